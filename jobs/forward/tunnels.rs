//! Tunnels: somebody on a machine that cannot be reached follows the deliveries as they came. A session says who may and
//! what is wanted; opening it is in the audit. How far a tunnel is, it knows itself.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use trunkline_platform::audit::{self, Act, Actor};
use trunkline_platform::db::{Db, DbError};

use super::types::EventTypes;
use crate::events::EventId;
use crate::events::feed::{self, Head, Original};

/// How long a session is good for; after it a tunnel opens another.
const LIFETIME: TimeDelta = TimeDelta::hours(24);
/// Events of one look.
const LOOK_AT: u32 = 1_000;
/// Bytes of one answer, unless its only delivery has more.
const MOST_BYTES: i64 = 4 << 20;

trunkline_platform::statements! {
    OPEN_TUNNEL = same {
        "INSERT INTO tunnels (key_id, types, opened_at, expires_at) VALUES ($1, $2, $3, $4)
         RETURNING id, types, expires_at"
    }
    FIND_TUNNEL = same {
        "SELECT id, types, expires_at FROM tunnels WHERE id = $1 AND key_id = $2 AND expires_at > $3"
    }
}

/// A session.
#[derive(Clone, Debug)]
pub struct Tunnel {
    pub id: i64,
    pub types: EventTypes,
    pub expires_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    types: String,
    expires_at: DateTime<Utc>,
}

/// What a tunnel is handed.
#[derive(Clone, Debug)]
pub struct Batch {
    /// In order.
    pub deliveries: Vec<Original>,
    /// Where to go on once these are dealt with.
    pub next: EventId,
}

impl From<Row> for Tunnel {
    fn from(row: Row) -> Self {
        Self { id: row.id, types: EventTypes::of_json(&row.types), expires_at: row.expires_at }
    }
}

/// Opens a session for whoever holds a key.
pub async fn open(
    db: &Db,
    key: &str,
    types: &EventTypes,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<Tunnel, DbError> {
    let mut tx = db.write().await?;
    let query = OPEN_TUNNEL.bind(key).bind(types.to_json()).bind(now).bind(now + LIFETIME);
    let row: Row = query.one(&mut tx).await?;
    let after = Some(json!({"types": types, "expires_at": row.expires_at}));
    let act = Act { action: "tunnel.open", subject: format!("tunnel:{}", row.id), before: None, after };
    audit::record(&mut tx, now, actor, &[act]).await?;
    tx.commit().await?;
    Ok(row.into())
}

/// The session, if it is this key's and not over.
pub async fn find(db: &Db, id: i64, key: &str, now: DateTime<Utc>) -> Result<Option<Tunnel>, DbError> {
    let query = FIND_TUNNEL.bind(id).bind(key).bind(now);
    let row: Option<Row> = query.optional(&mut db.read().await?).await?;
    Ok(row.map(Tunnel::from))
}

impl Tunnel {
    /// What follows `after`, at most so many deliveries and so many bytes.
    pub async fn read(&self, db: &Db, after: EventId, most: u32) -> Result<Batch, DbError> {
        let look = feed::look(db, after, LOOK_AT).await?;
        let wanted = |head: &&Head| head.was_delivered() && self.types.want(&head.event_type);
        let (mut ids, mut bytes, mut next) = (Vec::new(), 0, look.next);
        for head in look.heads.iter().filter(wanted) {
            bytes += head.bytes;
            if ids.len() >= most as usize || (bytes > MOST_BYTES && !ids.is_empty()) {
                next = EventId(head.id.0 - 1);
                break;
            }
            ids.push(head.id);
        }
        let deliveries = if ids.is_empty() { Vec::new() } else { feed::load(db, &ids).await? };
        Ok(Batch { deliveries, next })
    }
}
