//! The table of keys, and what people do to it.
//!
//! A rotation is one transaction: the successor is there and the old key's end is set, or neither. If the successor
//! is lost on its way to whoever asked (the process died before it could show it), the old one still works for the
//! overlap, and the rotation can be asked for again.

use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use secrecy::SecretString;
use serde::Serialize;
use serde_json::json;
use thiserror::Error;
use trunkline_platform::audit::{self, Act, Actor};
use trunkline_platform::clock::Clock;
use trunkline_platform::crash_point;
use trunkline_platform::db::{Db, DbError, Rows, Session, sql_time};

use super::scope::Scopes;
use super::secret::{Hash, KeyId, Made, Mint};

const LONGEST_NAME: usize = 100;
const LONGEST_LIFE: TimeDelta = TimeDelta::days(36_500);
const LONGEST_OVERLAP: TimeDelta = TimeDelta::days(90);
/// The most keys of one page.
pub const MOST_KEYS: u32 = 1_000;

trunkline_platform::statements! {
    INSERT_KEY = same {
        "INSERT INTO access_keys (id, name, scopes, secret_hash, replaces, created_at, created_by, lifetime_seconds,
                                  expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
    }
    SHOW_KEY = same {
        "SELECT id, name, scopes, replaces, created_at, created_by, lifetime_seconds, expires_at, revoked_at,
                last_used_at
         FROM access_keys WHERE id = $1"
    }
    LIST_KEYS = same {
        "SELECT id, name, scopes, replaces, created_at, created_by, lifetime_seconds, expires_at, revoked_at,
                last_used_at
         FROM access_keys WHERE (created_at, id) < ($1, $2) ORDER BY created_at DESC, id DESC LIMIT $3"
    }
    FIND_KEY = same {
        "SELECT id, name, scopes, secret_hash, expires_at, revoked_at FROM access_keys WHERE id = $1"
    }
    /// Its end only ever comes closer.
    END_KEY_BY = same {
        "UPDATE access_keys SET expires_at = $2
         WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)"
    }
    REVOKE_KEY = same { "UPDATE access_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL" }
    KEYS_OF_NAME = same {
        "SELECT id, name, scopes, replaces, created_at, created_by, lifetime_seconds, expires_at, revoked_at,
                last_used_at
         FROM access_keys WHERE name = $1 AND revoked_at IS NULL ORDER BY created_at LIMIT 1000"
    }
    NOTE_USES = parts {
        "UPDATE access_keys SET last_used_at = r.used_at
         FROM " (rows "$1" as r (id TEXT, used_at TIMESTAMPTZ))
        " WHERE access_keys.id = r.id AND (access_keys.last_used_at IS NULL OR access_keys.last_used_at < r.used_at)"
    }
}

/// A key without its secret.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct KeyRow {
    pub id: KeyId,
    pub name: String,
    #[sqlx(try_from = "String")]
    pub scopes: Scopes,
    pub replaces: Option<KeyId>,
    pub created_at: DateTime<Utc>,
    pub created_by: String,
    /// What it was made for; `expires_at` can come sooner.
    pub lifetime_seconds: Option<i64>,
    pub expires_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
    /// To the minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// Whether a key opens anything.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    Active,
    Expired,
    Revoked,
}

impl KeyState {
    pub(super) fn of(
        expires_at: Option<DateTime<Utc>>,
        revoked_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Self {
        if revoked_at.is_some() {
            Self::Revoked
        } else if expires_at.is_some_and(|end| end <= now) {
            Self::Expired
        } else {
            Self::Active
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl KeyRow {
    pub fn state(&self, now: DateTime<Utc>) -> KeyState {
        KeyState::of(self.expires_at, self.revoked_at, now)
    }
}

/// A key to make.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// What it is for.
    pub name: String,
    pub scopes: Scopes,
    /// After how long it opens nothing any more.
    pub expires_in: Option<TimeDelta>,
}

/// A key that was made. The token is nowhere else.
#[derive(Debug)]
pub struct CreatedKey {
    pub key: KeyRow,
    pub token: SecretString,
}

#[derive(Debug, Error)]
pub enum KeyError {
    #[error("a key needs a name of 1 to {LONGEST_NAME} characters that says what it is for")]
    Name,
    #[error("a key needs at least one scope: read, operate, admin or pii")]
    NoScopes,
    #[error("the time until it expires must be from a second to a hundred years")]
    Expiry,
    #[error("the overlap must be from nothing to 90 days")]
    Overlap,
    #[error("there is no key {0}")]
    Unknown(KeyId),
    #[error("the key {0} was revoked already")]
    Revoked(KeyId),
    #[error("the key {0} has expired: create a new one")]
    Expired(KeyId),
    #[error(transparent)]
    Db(#[from] DbError),
}

/// What checking a secret needs.
#[derive(sqlx::FromRow)]
pub(super) struct Lock {
    pub(super) id: KeyId,
    pub(super) name: String,
    #[sqlx(try_from = "String")]
    pub(super) scopes: Scopes,
    pub(super) secret_hash: Hash,
    pub(super) expires_at: Option<DateTime<Utc>>,
    pub(super) revoked_at: Option<DateTime<Utc>>,
}

pub(super) async fn find(db: &Db, id: &KeyId) -> Result<Option<Lock>, DbError> {
    FIND_KEY.bind(id.as_str()).optional(&mut db.read().await?).await
}

/// What people do with keys, whoever asks for it.
#[derive(Clone)]
pub struct Keys {
    pub(super) db: Db,
    pub(super) clock: Clock,
    pub(super) mint: Mint,
}

impl Keys {
    /// With secrets drawn from the operating system.
    pub fn open(db: Db, clock: Clock) -> Self {
        Self::new(db, clock, rand::make_rng())
    }

    /// `random` is what secrets are drawn from: seeded by the operating system anywhere but in a test.
    pub fn new(db: Db, clock: Clock, random: StdRng) -> Self {
        Self { db, clock, mint: Mint::new(random) }
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    pub async fn show(&self, id: &KeyId) -> Result<Option<KeyRow>, DbError> {
        SHOW_KEY.bind(id.as_str()).optional(&mut self.db.read().await?).await
    }

    /// The newest first, beginning after a place.
    pub async fn list(
        &self,
        after: Option<(DateTime<Utc>, KeyId)>,
        limit: u32,
    ) -> Result<Vec<KeyRow>, DbError> {
        let end = DateTime::from_timestamp(253_402_300_799, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
        let (time, id) = after.map_or((end, String::new()), |(time, id)| (time, id.as_str().to_owned()));
        let query = LIST_KEYS.bind(time).bind(id).bind(limit.clamp(1, MOST_KEYS));
        query.all(&mut self.db.read().await?).await
    }

    pub async fn create(&self, new: NewKey, actor: &Actor) -> Result<CreatedKey, KeyError> {
        self.create_in_place_of(Vec::new(), new, actor).await
    }

    /// Makes a key in the place of all of its name: those are revoked.
    pub async fn replace(&self, new: NewKey, actor: &Actor) -> Result<CreatedKey, KeyError> {
        let query = KEYS_OF_NAME.bind(new.name.trim());
        let old = query.all(&mut self.db.read().await?).await?;
        self.create_in_place_of(old, new, actor).await
    }

    async fn create_in_place_of(
        &self,
        old: Vec<KeyRow>,
        new: NewKey,
        actor: &Actor,
    ) -> Result<CreatedKey, KeyError> {
        let now = self.clock.now();
        let (made, row) = self.prepare(now, new, None, actor)?;
        let mut acts = Vec::new();
        let mut tx = self.db.write().await?;
        for key in &old {
            if REVOKE_KEY.bind(key.id.as_str()).bind(now).execute(&mut tx).await? > 0 {
                let (before, after) = (Some(json!(key)), Some(json!({ "revoked_at": now })));
                acts.push(Act { action: "key.revoke", subject: subject(&key.id), before, after });
            }
        }
        insert(&mut tx, &made, &row).await?;
        acts.push(Act {
            action: "key.create",
            subject: subject(&row.id),
            before: None,
            after: Some(json!(row)),
        });
        audit::record(&mut tx, now, actor, &acts).await?;
        tx.commit().await?;
        Ok(CreatedKey { key: row, token: made.token })
    }

    /// Makes a successor with the same scopes and lifetime. The old key goes on for the overlap.
    pub async fn rotate(
        &self,
        id: &KeyId,
        overlap: TimeDelta,
        actor: &Actor,
    ) -> Result<CreatedKey, KeyError> {
        if overlap < TimeDelta::zero() || overlap > LONGEST_OVERLAP {
            return Err(KeyError::Overlap);
        }
        let now = self.clock.now();
        let mut tx = self.db.write().await?;
        let old = unrevoked(&mut tx, id).await?;
        if old.state(now) == KeyState::Expired {
            return Err(KeyError::Expired(id.clone()));
        }
        let expires_in = old.lifetime_seconds.map(TimeDelta::seconds);
        let new = NewKey { name: old.name.clone(), scopes: old.scopes, expires_in };
        let (made, row) = self.prepare(now, new, Some(id.clone()), actor)?;
        insert(&mut tx, &made, &row).await?;
        let ends = old.expires_at.map_or(now + overlap, |end| end.min(now + overlap));
        END_KEY_BY.bind(id.as_str()).bind(ends).execute(&mut tx).await?;
        let act = Act {
            action: "key.rotate",
            subject: subject(id),
            before: Some(json!(old)),
            after: Some(json!({ "expires_at": ends, "replaced_by": row })),
        };
        audit::record(&mut tx, now, actor, &[act]).await?;
        crash_point!("rotate.before_commit");
        tx.commit().await?;
        crash_point!("rotate.after_commit");
        Ok(CreatedKey { key: row, token: made.token })
    }

    pub async fn revoke(&self, id: &KeyId, actor: &Actor) -> Result<KeyRow, KeyError> {
        let now = self.clock.now();
        let mut tx = self.db.write().await?;
        let old = unrevoked(&mut tx, id).await?;
        if REVOKE_KEY.bind(id.as_str()).bind(now).execute(&mut tx).await? == 0 {
            return Err(KeyError::Revoked(id.clone()));
        }
        let act = Act {
            action: "key.revoke",
            subject: subject(id),
            before: Some(json!(old)),
            after: Some(json!({ "revoked_at": now })),
        };
        audit::record(&mut tx, now, actor, &[act]).await?;
        tx.commit().await?;
        Ok(KeyRow { revoked_at: Some(now), ..old })
    }

    fn prepare(
        &self,
        now: DateTime<Utc>,
        new: NewKey,
        replaces: Option<KeyId>,
        actor: &Actor,
    ) -> Result<(Made, KeyRow), KeyError> {
        let name = new.name.trim().to_owned();
        if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
            return Err(KeyError::Name);
        }
        if new.scopes.is_empty() {
            return Err(KeyError::NoScopes);
        }
        if new.expires_in.is_some_and(|length| length < TimeDelta::seconds(1) || length > LONGEST_LIFE) {
            return Err(KeyError::Expiry);
        }
        let made = self.mint.key();
        let row = KeyRow {
            id: made.id.clone(),
            name,
            scopes: new.scopes,
            replaces,
            created_at: now,
            created_by: actor.name.clone(),
            lifetime_seconds: new.expires_in.map(|length| length.num_seconds()),
            expires_at: new.expires_in.map(|length| now + length),
            revoked_at: None,
            last_used_at: None,
        };
        Ok((made, row))
    }
}

/// When keys were last used, in the order of their ids.
pub(super) async fn note_uses(db: &Db, uses: &[(KeyId, DateTime<Utc>)]) -> Result<(), DbError> {
    #[derive(Serialize)]
    struct Line<'k> {
        id: &'k str,
        used_at: String,
    }
    if uses.is_empty() {
        return Ok(());
    }
    let lines: Vec<Line<'_>> =
        uses.iter().map(|(id, at)| Line { id: id.as_str(), used_at: sql_time(*at) }).collect();
    NOTE_USES.bind(Rows::of(&lines)?).execute(&mut db.write_one().await?).await.map(drop)
}

async fn unrevoked(tx: &mut Session, id: &KeyId) -> Result<KeyRow, KeyError> {
    let row: Option<KeyRow> = SHOW_KEY.bind(id.as_str()).optional(tx).await?;
    let row = row.ok_or_else(|| KeyError::Unknown(id.clone()))?;
    if row.revoked_at.is_some() {
        return Err(KeyError::Revoked(id.clone()));
    }
    Ok(row)
}

async fn insert(tx: &mut Session, made: &Made, row: &KeyRow) -> Result<(), DbError> {
    INSERT_KEY
        .bind(row.id.as_str())
        .bind(&row.name)
        .bind(row.scopes.to_string())
        .bind(made.hash.as_str())
        .bind(row.replaces.as_ref().map(KeyId::as_str))
        .bind(row.created_at)
        .bind(&row.created_by)
        .bind(row.lifetime_seconds)
        .bind(row.expires_at)
        .execute(tx)
        .await
        .map(drop)
}

fn subject(id: &KeyId) -> String {
    format!("key:{id}")
}
