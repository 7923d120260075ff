//! Browsers that came in with a key. The cookie holds a secret of its own and never the key; a session ends when it
//! is left, when its time is up, and with its key.

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use trunkline_platform::audit::{self, Act, Actor};
use trunkline_platform::db::{Db, DbError};

use super::scope::Scopes;
use super::secret::{Hash, KeyId, Mint};

/// The sessions of one key; the oldest beyond are ended.
const MOST_OF_KEY: u32 = 50;
/// How many that are over one login clears away.
const SWEEP: u32 = 100;

trunkline_platform::statements! {
    INSERT_SESSION = same {
        "INSERT INTO access_sessions (token_hash, key_id, created_at, expires_at) VALUES ($1, $2, $3, $4)"
    }
    FIND_SESSION = same {
        "SELECT k.id, k.name, k.scopes, k.expires_at, k.revoked_at, s.expires_at AS session_expires_at
         FROM access_sessions AS s JOIN access_keys AS k ON k.id = s.key_id WHERE s.token_hash = $1"
    }
    DELETE_SESSION = same { "DELETE FROM access_sessions WHERE token_hash = $1" }
    SWEEP_SESSIONS = same {
        "DELETE FROM access_sessions WHERE token_hash IN
             (SELECT token_hash FROM access_sessions WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)"
    }
    TRIM_SESSIONS = same {
        "DELETE FROM access_sessions WHERE token_hash IN
             (SELECT token_hash FROM access_sessions WHERE key_id = $1
              ORDER BY created_at DESC, token_hash LIMIT 1000 OFFSET $2)"
    }
}

/// A session with the key it came from.
#[derive(sqlx::FromRow)]
pub(super) struct Found {
    pub(super) id: KeyId,
    pub(super) name: String,
    #[sqlx(try_from = "String")]
    pub(super) scopes: Scopes,
    pub(super) expires_at: Option<DateTime<Utc>>,
    pub(super) revoked_at: Option<DateTime<Utc>>,
    pub(super) session_expires_at: DateTime<Utc>,
}

pub(super) async fn find(db: &Db, secret: &str) -> Result<Option<Found>, DbError> {
    FIND_SESSION.bind(Hash::of(secret).as_str()).optional(&mut db.read().await?).await
}

/// Opens a session and answers what its cookie is to hold.
pub(super) async fn open(
    db: &Db,
    mint: &Mint,
    now: DateTime<Utc>,
    key: &KeyId,
    length: TimeDelta,
    actor: &Actor,
) -> Result<SecretString, DbError> {
    let secret = mint.secret();
    let mut tx = db.write().await?;
    SWEEP_SESSIONS.bind(now).bind(SWEEP).execute(&mut tx).await?;
    INSERT_SESSION
        .bind(Hash::of(secret.expose_secret()).as_str())
        .bind(key.as_str())
        .bind(now)
        .bind(now + length)
        .execute(&mut tx)
        .await?;
    TRIM_SESSIONS.bind(key.as_str()).bind(MOST_OF_KEY).execute(&mut tx).await?;
    audit::record(&mut tx, now, actor, &[act("session.open", key)]).await?;
    tx.commit().await?;
    Ok(secret)
}

pub(super) async fn close(
    db: &Db,
    now: DateTime<Utc>,
    secret: &str,
    key: &KeyId,
    actor: &Actor,
) -> Result<(), DbError> {
    let mut tx = db.write().await?;
    if DELETE_SESSION.bind(Hash::of(secret).as_str()).execute(&mut tx).await? > 0 {
        audit::record(&mut tx, now, actor, &[act("session.close", key)]).await?;
    }
    tx.commit().await
}

fn act(action: &'static str, key: &KeyId) -> Act {
    Act { action, subject: format!("key:{key}"), before: None, after: None }
}
