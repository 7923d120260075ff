//! Keys: who may use the API and the pages.

use chrono::{DateTime, TimeDelta, Utc};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Enum, Object, OpenApi};
use secrecy::ExposeSecret;

use super::granted::{Administer, Granted};
use super::page::{Listing, Page, usual};
use super::problem::Problem;
use super::{Answer, Desk, Tag};
use crate::access::{self, CreatedKey, KeyId, KeyRow, KeyState, NewKey};

pub(super) struct KeysApi(pub(super) Desk);

/// What a key allows
#[derive(Clone, Copy, Debug, Enum)]
#[oai(remote = "access::Scope", rename_all = "snake_case")]
enum Scope {
    /// Look, with everything personal masked
    Read,
    /// Act on work; includes `read`
    Operate,
    /// Act on the installation; includes `operate`
    Admin,
    /// See numbers, texts and recordings as they are
    Pii,
}

/// Whether a key opens anything
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename = "KeyState", remote = "KeyState", rename_all = "snake_case")]
enum State {
    Active,
    Expired,
    Revoked,
}

/// A key without its secret
#[derive(Debug, Object)]
struct Key {
    id: String,
    /// What it is for
    name: String,
    scopes: Vec<Scope>,
    state: State,
    /// The key that this one took the place of
    replaces: Option<String>,
    created_at: DateTime<Utc>,
    created_by: String,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    /// To the minute
    last_used_at: Option<DateTime<Utc>>,
}

/// A new key. The token is shown this once
#[derive(Debug, Object)]
struct KeyWithToken {
    token: String,
    key: Key,
}

/// A key to make
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
struct KeyToMake {
    /// What it is for
    #[oai(validator(min_length = 1, max_length = 100))]
    name: String,
    #[oai(validator(min_items = 1, max_items = 4))]
    scopes: Vec<Scope>,
    /// How long it is good for; absent for no end
    #[oai(validator(minimum(value = "1"), maximum(value = "36500")))]
    expires_in_days: Option<i64>,
    /// Why, for the audit
    #[oai(validator(max_length = 1000))]
    reason: Option<String>,
}

/// How to rotate a key
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
struct Rotation {
    /// How long the old one goes on
    #[oai(validator(minimum(value = "0"), maximum(value = "7776000")))]
    overlap_seconds: i64,
    /// Why, for the audit
    #[oai(validator(max_length = 1000))]
    reason: Option<String>,
}

#[OpenApi(tag = "Tag::Keys")]
impl KeysApi {
    /// List keys
    ///
    /// The newest first, expired and revoked ones included.
    #[oai(path = "/keys", method = "get", operation_id = "list_keys")]
    async fn list(
        &self,
        _by: Granted<Administer>,
        cursor: Query<Option<String>>,
        #[oai(default = "usual", validator(minimum(value = "1"), maximum(value = "200")))] limit: Query<u32>,
    ) -> Answer<Page<Key>> {
        let listing = Listing::of("keys", &());
        let after: Option<(DateTime<Utc>, String)> = listing.after(cursor.0.as_deref())?;
        let after = match after {
            Some((time, id)) => Some((time, known_form(&id)?)),
            None => None,
        };
        let rows = self.0.keys().list(after, limit.0 + 1).await?;
        let now = self.0.keys().clock().now();
        let place = |row: &KeyRow| (row.created_at, row.id.as_str().to_owned());
        Ok(listing.page(rows, limit.0, place, |row| Key::of(row, now)))
    }

    /// Show a key
    #[oai(path = "/keys/:id", method = "get", operation_id = "show_key")]
    async fn show(&self, _by: Granted<Administer>, id: Path<String>) -> Answer<Key> {
        let id = known_form(&id)?;
        let row = self.0.keys().show(&id).await?;
        let row = row.ok_or_else(|| Problem::not_found(format!("key {id}")))?;
        Ok(Json(Key::of(row, self.0.keys().clock().now())))
    }

    /// Make a key
    ///
    /// The answer has the token, which is kept nowhere: if it is lost, revoke the key and make another.
    #[oai(path = "/keys", method = "post", operation_id = "create_key")]
    async fn create(&self, by: Granted<Administer>, body: Json<KeyToMake>) -> Answer<KeyWithToken> {
        let Json(KeyToMake { name, scopes, expires_in_days, reason }) = body;
        let new = NewKey {
            name,
            scopes: scopes.into_iter().map(access::Scope::from).collect(),
            expires_in: expires_in_days.map(TimeDelta::days),
        };
        let created = self.0.keys().create(new, &by.actor(reason)).await?;
        Ok(Json(self.with_token(created)))
    }

    /// Rotate a key
    ///
    /// Makes a key with the same name, scopes and lifetime; the old one goes on for the overlap.
    #[oai(path = "/keys/:id/rotate", method = "post", operation_id = "rotate_key")]
    async fn rotate(
        &self,
        by: Granted<Administer>,
        id: Path<String>,
        body: Json<Rotation>,
    ) -> Answer<KeyWithToken> {
        let Json(Rotation { overlap_seconds, reason }) = body;
        let overlap = TimeDelta::seconds(overlap_seconds);
        let created = self.0.keys().rotate(&known_form(&id)?, overlap, &by.actor(reason)).await?;
        Ok(Json(self.with_token(created)))
    }

    /// Revoke a key
    ///
    /// It opens nothing any more, at once and in every process; its sessions end.
    #[oai(path = "/keys/:id/revoke", method = "post", operation_id = "revoke_key")]
    async fn revoke(
        &self,
        by: Granted<Administer>,
        id: Path<String>,
        /// Why, for the audit
        #[oai(validator(max_length = 1000))]
        reason: Query<Option<String>>,
    ) -> Answer<Key> {
        let row = self.0.keys().revoke(&known_form(&id)?, &by.actor(reason.0)).await?;
        Ok(Json(Key::of(row, self.0.keys().clock().now())))
    }

    fn with_token(&self, created: CreatedKey) -> KeyWithToken {
        let token = created.token.expose_secret().to_owned();
        KeyWithToken { token, key: Key::of(created.key, self.0.keys().clock().now()) }
    }
}

fn known_form(id: &str) -> Result<KeyId, Problem> {
    KeyId::parse(id).ok_or_else(|| Problem::not_found("key of this id: an id has 12 hexadecimal digits"))
}

impl Key {
    fn of(row: KeyRow, now: DateTime<Utc>) -> Self {
        Self {
            state: row.state(now).into(),
            id: row.id.to_string(),
            name: row.name,
            scopes: row.scopes.iter().map(Scope::from).collect(),
            replaces: row.replaces.map(|id| id.to_string()),
            created_at: row.created_at,
            created_by: row.created_by,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            last_used_at: row.last_used_at,
        }
    }
}
