//! The table of secrets.

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::Serialize;
use trunkline_platform::db::{Db, DbError, Rows, Session};

use super::kind::{Purpose, State};
use super::master::{Identity, MasterKeys, SealError, Sealed};

/// Of a [`SecretRow`].
const COLUMNS: &str = "id, purpose, name, version, state, sealed, sealed_with, fingerprint, deliveries, last_delivery_at, \
     created_at, created_by, announced_at, activated_at, retiring_at, retired_at";
/// The most secrets that are not retired. Each is tried against each delivery of its scheme.
pub(super) const MOST_LIVE: usize = 100;

trunkline_platform::statements! {
    LIVE_SECRETS = parts {
        "SELECT " (sql COLUMNS)
        " FROM secrets WHERE state <> 'retired' ORDER BY purpose, name, version LIMIT 1000"
    }
    LIST_SECRETS = parts {
        "SELECT " (sql COLUMNS)
        " FROM secrets ORDER BY purpose, name, version DESC LIMIT $1"
    }
    SHOW_SECRET = parts {
        "SELECT " (sql COLUMNS)
        " FROM secrets WHERE id = $1"
    }
    NEWEST_VERSION = same {
        "SELECT CAST(COALESCE(MAX(version), 0) AS BIGINT) AS version FROM secrets WHERE purpose = $1 AND name = $2"
    }
    /// Says what the index says of itself, too: SQLite takes a partial index by its own words only.
    RETIRED_AMONG = parts {
        "SELECT DISTINCT s.fingerprint AS fingerprint FROM " (rows "$1" as r (fingerprint TEXT))
        " JOIN secrets AS s ON s.fingerprint = r.fingerprint WHERE s.state = 'retired'"
    }
    INSERT_SECRET = parts {
        "INSERT INTO secrets (purpose, name, version, state, sealed, sealed_with, fingerprint, deliveries, created_at,
                              created_by, announced_at, activated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $9, $10, $11)
         RETURNING " (sql COLUMNS)
    }
    pub(super) ANNOUNCE_AGAIN = same { "UPDATE secrets SET announced_at = $2 WHERE id = $1 AND sealed IS NULL AND state = 'incoming'" }
    pub(super) FILL_SECRET = same {
        "UPDATE secrets SET sealed = $2, sealed_with = $3, fingerprint = $4
         WHERE id = $1 AND sealed IS NULL AND state = 'incoming'"
    }
    pub(super) WITHDRAW_SECRET = same { "DELETE FROM secrets WHERE id = $1 AND sealed IS NULL AND state = 'incoming'" }
    pub(super) WITHDRAW_AWAITED = same {
        "DELETE FROM secrets WHERE purpose = $1 AND name = $2 AND sealed IS NULL AND state = 'incoming'"
    }
    pub(super) ACTIVATE_SECRET = same {
        "UPDATE secrets SET state = 'active', activated_at = $2 WHERE id = $1 AND state = 'incoming' AND sealed IS NOT NULL"
    }
    /// What came before a version, those that are still awaited excepted.
    pub(super) RETIRING_BEFORE = same {
        "UPDATE secrets SET state = 'retiring', retiring_at = $4
         WHERE purpose = $1 AND name = $2 AND version < $3 AND state IN ('incoming', 'active') AND sealed IS NOT NULL"
    }
    pub(super) RETIRE_SECRET = same {
        "UPDATE secrets SET state = 'retired', retired_at = $2, sealed = NULL, sealed_with = NULL
         WHERE id = $1 AND state <> 'retired'"
    }
    pub(super) RESEAL_SECRET = same {
        "UPDATE secrets SET sealed = $2, sealed_with = $3 WHERE id = $1 AND sealed = $4"
    }
    pub(super) NOTE_DELIVERIES = same {
        "UPDATE secrets SET deliveries = deliveries + $2,
                last_delivery_at = CASE WHEN last_delivery_at IS NULL OR last_delivery_at < $3 THEN $3 ELSE last_delivery_at END
         WHERE id = $1"
    }
}

/// A version of a secret. The secret itself is sealed, and is neither printed nor written out.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct SecretRow {
    pub id: i64,
    #[sqlx(try_from = "String")]
    pub purpose: Purpose,
    /// Whose it is: the provider's id of a subscription, or a name that a person gave.
    pub name: String,
    pub version: i32,
    #[sqlx(try_from = "String")]
    pub state: State,
    #[serde(skip)]
    pub(super) sealed: Option<String>,
    /// Which master key opens it.
    pub sealed_with: Option<String>,
    /// Tells it from others. Absent while the provider has not told it.
    pub fingerprint: Option<String>,
    /// Deliveries that were signed with it, and with none newer.
    pub deliveries: i64,
    pub last_delivery_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub created_by: String,
    /// When somebody was last about to ask the provider for it.
    pub announced_at: Option<DateTime<Utc>>,
    pub activated_at: Option<DateTime<Utc>>,
    pub retiring_at: Option<DateTime<Utc>>,
    pub retired_at: Option<DateTime<Utc>>,
}

impl SecretRow {
    /// Whether the provider was to be asked for it and has not told it, as far as we know.
    pub fn is_awaited(&self) -> bool {
        self.state == State::Incoming && self.fingerprint.is_none()
    }

    /// Of whose secrets it is a version.
    pub(super) fn group(&self) -> (Purpose, &str) {
        (self.purpose, &self.name)
    }

    pub(super) fn identity(&self) -> Identity<'_> {
        Identity { purpose: self.purpose, name: &self.name, version: self.version }
    }

    /// The secret, where it is known.
    pub(super) fn open(&self, keys: Option<&MasterKeys>) -> Option<Result<SecretString, SealError>> {
        let (sealed, with) = (self.sealed.as_deref()?, self.sealed_with.as_deref()?);
        Some(keys.ok_or(SealError::UnknownKey).and_then(|keys| keys.open(self.identity(), sealed, with)))
    }
}

/// The row of a version that is about to be.
pub(super) struct NewRow<'r> {
    pub(super) purpose: Purpose,
    pub(super) name: &'r str,
    pub(super) version: i32,
    pub(super) state: State,
    pub(super) sealed: Option<Sealed>,
    pub(super) fingerprint: Option<String>,
    pub(super) by: &'r str,
    pub(super) now: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Version {
    version: i64,
}

#[derive(sqlx::FromRow)]
struct Fingerprint {
    fingerprint: String,
}

/// All that are not retired, by whose they are and from the oldest on.
pub(super) async fn live(session: &mut Session) -> Result<Vec<SecretRow>, DbError> {
    LIVE_SECRETS.query().all(session).await
}

/// All, retired ones too, the newest of each first.
pub async fn list(db: &Db, limit: u32) -> Result<Vec<SecretRow>, DbError> {
    LIST_SECRETS.bind(limit.clamp(1, 1_000)).all(&mut db.read().await?).await
}

pub(super) async fn show(session: &mut Session, id: i64) -> Result<Option<SecretRow>, DbError> {
    SHOW_SECRET.bind(id).optional(session).await
}

/// The version after the newest there ever was.
pub(super) async fn next_version(
    session: &mut Session,
    purpose: Purpose,
    name: &str,
) -> Result<i32, DbError> {
    let newest: Version = NEWEST_VERSION.bind(purpose.as_str()).bind(name).one(session).await?;
    Ok(i32::try_from(newest.version).unwrap_or(i32::MAX).saturating_add(1))
}

/// Those of these that were retired.
pub(super) async fn retired_among(
    session: &mut Session,
    fingerprints: &[String],
) -> Result<Vec<String>, DbError> {
    #[derive(Serialize)]
    struct Line<'f> {
        fingerprint: &'f str,
    }
    if fingerprints.is_empty() {
        return Ok(Vec::new());
    }
    let lines: Vec<Line<'_>> = fingerprints.iter().map(|fingerprint| Line { fingerprint }).collect();
    let found: Vec<Fingerprint> = RETIRED_AMONG.bind(Rows::of(&lines)?).all(session).await?;
    Ok(found.into_iter().map(|row| row.fingerprint).collect())
}

pub(super) async fn insert(session: &mut Session, new: NewRow<'_>) -> Result<SecretRow, DbError> {
    let (sealed, with) = new.sealed.map(|sealed| (sealed.text, sealed.with)).unzip();
    let awaited = sealed.is_none();
    INSERT_SECRET
        .bind(new.purpose.as_str())
        .bind(new.name)
        .bind(new.version)
        .bind(new.state.as_str())
        .bind(sealed)
        .bind(with)
        .bind(new.fingerprint)
        .bind(new.now)
        .bind(new.by)
        .bind(awaited.then_some(new.now))
        .bind((new.state == State::Active).then_some(new.now))
        .one(session)
        .await
}
