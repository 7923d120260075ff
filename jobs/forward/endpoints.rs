//! Development endpoints: registered for a while, listed, removed, and what was forwarded to each.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use trunkline_platform::audit::{self, Act, Actor};
use trunkline_platform::db::{Db, DbError, Session};
use trunkline_platform::task::{NewTask, Tasks};
use url::Url;

use super::pump::PumpForwards;
use super::send::{Forwarder, Unreachable};
use super::types::EventTypes;
use crate::events::feed;
use crate::media::guard::Refusal;

/// Endpoints that are open at a time.
const MOST_OPEN: i64 = 10;
const LONGEST_URL: usize = 2_000;
/// How long an endpoint can be registered for.
pub const LIFETIMES: (TimeDelta, TimeDelta) = (TimeDelta::minutes(1), TimeDelta::days(30));
/// Who closes an endpoint that must not be reached any more.
const GUARD: &str = "trunkline:forward";

/// What waits stands in the endpoint's line of tasks.
const ROWS: &str =
    "SELECT e.id, e.url, e.types, e.created_at, e.created_by, e.expires_at, e.seen_to, e.ended_at, e.ended,
            (SELECT COUNT(*) FROM tasks AS t WHERE t.ordering_key = 'endpoint:' || CAST(e.id AS TEXT)
               AND (t.finished_at IS NULL OR t.died_at IS NOT NULL)) AS waiting
     FROM dev_endpoints AS e ";

trunkline_platform::statements! {
    COUNT_OPEN = same { "SELECT COUNT(*) AS count FROM dev_endpoints WHERE ended_at IS NULL" }
    END_EXPIRED = same {
        "UPDATE dev_endpoints SET ended_at = $1, ended = 'expired' WHERE ended_at IS NULL AND expires_at <= $1"
    }
    ADD_ENDPOINT = same {
        "INSERT INTO dev_endpoints (url, types, created_at, created_by, expires_at, seen_to)
         VALUES ($1, $2, $3, $4, $5, $6) RETURNING id"
    }
    END_ENDPOINT = same {
        "UPDATE dev_endpoints SET ended_at = $2, ended = $3 WHERE id = $1 AND ended_at IS NULL"
    }
    SHOW_ENDPOINT = parts { (sql ROWS) "WHERE e.id = $1" }
    LIST_ENDPOINTS = parts { (sql ROWS) "WHERE e.id < $1 ORDER BY e.id DESC LIMIT $2" }
    LIST_OPEN_ENDPOINTS = parts {
        (sql ROWS) "WHERE e.id < $1 AND e.ended_at IS NULL AND e.expires_at > $3 ORDER BY e.id DESC LIMIT $2"
    }
    LIST_FORWARDS = same {
        "SELECT event_id, event_type, state, tries, status, duration_ms, error, created_at, tried_at FROM forwards
         WHERE endpoint_id = $1 AND event_id < $2 ORDER BY event_id DESC LIMIT $3"
    }
}

/// An endpoint to register.
#[derive(Clone, Debug)]
pub struct NewEndpoint {
    pub url: String,
    pub types: EventTypes,
    /// Within [`LIFETIMES`].
    pub expires_in: TimeDelta,
}

#[derive(Clone, Debug, sqlx::FromRow)]
pub struct EndpointRow {
    pub id: i64,
    pub url: String,
    types: String,
    pub created_at: DateTime<Utc>,
    pub created_by: String,
    pub expires_at: DateTime<Utc>,
    /// The number of the last event that was looked at for it.
    pub seen_to: i64,
    pub ended_at: Option<DateTime<Utc>>,
    ended: Option<String>,
    /// Deliveries that were not sent yet.
    pub waiting: i64,
}

/// Whether anything is forwarded to an endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointState {
    Open,
    Expired,
    Removed,
    /// It was found to lead where nothing may be sent.
    Refused,
}

impl EndpointState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Expired => "expired",
            Self::Removed => "removed",
            Self::Refused => "refused",
        }
    }
}

impl EndpointRow {
    pub fn state(&self, now: DateTime<Utc>) -> EndpointState {
        match self.ended.as_deref() {
            Some("removed") => EndpointState::Removed,
            Some("refused") => EndpointState::Refused,
            Some(_) => EndpointState::Expired,
            None if self.expires_at <= now => EndpointState::Expired,
            None => EndpointState::Open,
        }
    }

    pub fn types(&self) -> EventTypes {
        EventTypes::of_json(&self.types)
    }

    /// Its address without a query, which may hold a secret.
    pub fn shown_url(&self) -> String {
        shown(&self.url)
    }
}

/// What came of one delivery to one endpoint.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct ForwardRow {
    pub event_id: i64,
    pub event_type: String,
    /// `waiting`, `delivered`, `failed` (given up), `refused` (must not be sent there), `dropped` (the endpoint was gone).
    pub state: String,
    pub tries: i32,
    /// What was answered last.
    pub status: Option<i32>,
    pub duration_ms: Option<i64>,
    pub error: Option<String>,
    pub created_at: DateTime<Utc>,
    pub tried_at: Option<DateTime<Utc>>,
}

/// Why an endpoint was not registered, or not removed.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    #[error("{0}")]
    Invalid(String),
    #[error("nothing may be forwarded there: {0} (forward.allow)")]
    Refused(#[source] Refusal),
    #[error(transparent)]
    Unreachable(Unreachable),
    #[error("{MOST_OPEN} endpoints are open, and there are no more at a time: remove one first")]
    TooMany,
    #[error("there is no endpoint {0}")]
    Unknown(i64),
    #[error("endpoint {0} was closed before")]
    Ended(i64),
    #[error(transparent)]
    Database(#[from] DbError),
}

#[derive(sqlx::FromRow)]
struct Id {
    id: i64,
}

#[derive(sqlx::FromRow)]
struct Count {
    count: i64,
}

/// Registers an endpoint: it gets what is received from now on. A refusal is written into the audit as well.
///
/// # Errors
/// When nothing may be forwarded there, or it is no address.
pub async fn register(
    tasks: &Tasks,
    forwarder: &Forwarder,
    new: NewEndpoint,
    actor: &Actor,
) -> Result<EndpointRow, EndpointError> {
    let url = checked(&new)?;
    let now = tasks.clock().now();
    match forwarder.admit(&url).await {
        Ok(()) => {}
        Err(Unreachable::Refused(refusal)) => {
            let act = refused("endpoint".to_owned(), &url, &refusal, None);
            let mut session = tasks.db().write().await?;
            audit::record(&mut session, now, actor, &[act]).await?;
            session.commit().await?;
            return Err(EndpointError::Refused(refusal));
        }
        Err(other) => return Err(EndpointError::Unreachable(other)),
    }
    let seen_to = feed::reach(tasks.db()).await?;
    let mut tx = tasks.begin().await?;
    END_EXPIRED.bind(now).execute(tx.session()).await?;
    if COUNT_OPEN.query().one::<Count>(tx.session()).await?.count >= MOST_OPEN {
        return Err(EndpointError::TooMany);
    }
    let query = ADD_ENDPOINT
        .bind(url.as_str())
        .bind(new.types.to_json())
        .bind(now)
        .bind(&actor.name)
        .bind(now + new.expires_in)
        .bind(seen_to.0);
    let Id { id } = query.one(tx.session()).await?;
    let after = json!({"url": shown(url.as_str()), "types": new.types, "expires_at": now + new.expires_in});
    let act =
        Act { action: "endpoint.add", subject: format!("endpoint:{id}"), before: None, after: Some(after) };
    audit::record(tx.session(), now, actor, &[act]).await?;
    let pump = NewTask::of(&PumpForwards { endpoint: id }).map_err(DbError::from)?;
    tx.enqueue(&[pump.correlation_id(&format!("fw_{id}")).cause(&actor.name)]).await?;
    let row = find(tx.session(), id).await?.ok_or(EndpointError::Unknown(id))?;
    tx.commit().await?;
    Ok(row)
}

/// Closes an endpoint at somebody's word; what waits for it is dropped.
///
/// # Errors
/// When there is none, or it is closed.
pub async fn remove(tasks: &Tasks, id: i64, actor: &Actor) -> Result<EndpointRow, EndpointError> {
    let now = tasks.clock().now();
    let mut tx = tasks.db().write().await?;
    let row = find(&mut tx, id).await?.ok_or(EndpointError::Unknown(id))?;
    if END_ENDPOINT.bind(id).bind(now).bind("removed").execute(&mut tx).await? == 0 {
        return Err(EndpointError::Ended(id));
    }
    let before = Some(json!({"url": row.shown_url(), "types": row.types(), "expires_at": row.expires_at}));
    let act = Act { action: "endpoint.remove", subject: format!("endpoint:{id}"), before, after: None };
    audit::record(&mut tx, now, actor, &[act]).await?;
    let row = find(&mut tx, id).await?.ok_or(EndpointError::Unknown(id))?;
    tx.commit().await?;
    Ok(row)
}

pub async fn show(db: &Db, id: i64) -> Result<Option<EndpointRow>, DbError> {
    find(&mut db.read().await?, id).await
}

/// Lists endpoints, the newest first.
pub async fn list(db: &Db, before: Option<i64>, limit: u32) -> Result<Vec<EndpointRow>, DbError> {
    let query = LIST_ENDPOINTS.bind(before.unwrap_or(i64::MAX)).bind(limit.clamp(1, 1_000));
    query.all(&mut db.read().await?).await
}

/// The same of those that are open at this time.
pub async fn list_open(
    db: &Db,
    before: Option<i64>,
    limit: u32,
    now: DateTime<Utc>,
) -> Result<Vec<EndpointRow>, DbError> {
    let query = LIST_OPEN_ENDPOINTS.bind(before.unwrap_or(i64::MAX)).bind(limit.clamp(1, 1_000)).bind(now);
    query.all(&mut db.read().await?).await
}

/// What was forwarded to an endpoint, the newest first.
pub async fn log(db: &Db, id: i64, before: Option<i64>, limit: u32) -> Result<Vec<ForwardRow>, DbError> {
    let query = LIST_FORWARDS.bind(id).bind(before.unwrap_or(i64::MAX)).bind(limit.clamp(1, 1_000));
    query.all(&mut db.read().await?).await
}

pub(super) async fn find(session: &mut Session, id: i64) -> Result<Option<EndpointRow>, DbError> {
    SHOW_ENDPOINT.bind(id).optional(session).await
}

/// Its time is over.
pub(super) async fn expire(session: &mut Session, id: i64, now: DateTime<Utc>) -> Result<(), DbError> {
    END_ENDPOINT.bind(id).bind(now).bind("expired").execute(session).await.map(drop)
}

/// Closes an endpoint that was found to lead where nothing may be sent. Only who closes it writes into the audit, so one
/// endpoint is one entry.
pub(super) async fn close_refused(
    session: &mut Session,
    endpoint: &EndpointRow,
    url: &Url,
    refusal: &Refusal,
    event: i64,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    if END_ENDPOINT.bind(endpoint.id).bind(now).bind("refused").execute(session).await? == 1 {
        let act = refused(format!("endpoint:{}", endpoint.id), url, refusal, Some(event));
        let actor =
            Actor { name: GUARD.to_owned(), reason: Some("forward.allow does not admit it".to_owned()) };
        audit::record(session, now, &actor, &[act]).await?;
    }
    Ok(())
}

fn refused(subject: String, url: &Url, refusal: &Refusal, event: Option<i64>) -> Act {
    let mut after = json!({"origin": url.origin().ascii_serialization(), "reason": refusal.to_string()});
    if let Some(event) = event {
        after["event"] = Value::from(event);
    }
    Act { action: "endpoint.refuse", subject, before: None, after: Some(after) }
}

fn checked(new: &NewEndpoint) -> Result<Url, EndpointError> {
    let invalid = |text: String| Err(EndpointError::Invalid(text));
    if new.url.len() > LONGEST_URL {
        return invalid(format!("the address has more than {LONGEST_URL} characters"));
    }
    let Ok(mut url) = Url::parse(&new.url) else {
        return invalid("that is no address: write one such as https://dev.example.com/webhooks".to_owned());
    };
    if new.expires_in < LIFETIMES.0 || new.expires_in > LIFETIMES.1 {
        return invalid("an endpoint is registered for 1 minute to 30 days".to_owned());
    }
    url.set_fragment(None);
    Ok(url)
}

fn shown(url: &str) -> String {
    match url.split_once('?') {
        Some((before, _)) => format!("{before}?[hidden]"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_query() {
        assert_eq!(shown("https://dev.example.com/a?token=x?y"), "https://dev.example.com/a?[hidden]");
        assert_eq!(shown("https://dev.example.com/a"), "https://dev.example.com/a");
    }

    #[test]
    fn what_is_no_address_or_lasts_too_long_is_not_registered() {
        let new = |url: &str, hours| NewEndpoint {
            url: url.to_owned(),
            types: EventTypes::default(),
            expires_in: TimeDelta::hours(hours),
        };
        assert_eq!(
            checked(&new("https://dev.example.com/a#b", 1)).unwrap().as_str(),
            "https://dev.example.com/a"
        );
        for bad in [
            new("dev", 1),
            new("https://dev.example.com", 0),
            new("https://dev.example.com", 721),
            new(&format!("https://dev.example.com/{}", "x".repeat(LONGEST_URL)), 1),
        ] {
            assert!(matches!(checked(&bad), Err(EndpointError::Invalid(_))), "{bad:?}");
        }
    }
}
