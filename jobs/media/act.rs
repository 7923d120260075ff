//! What people do to media: have them fetched or scanned again, put them under legal hold. Each act and its entry in the audit are
//! one transaction.

use serde::Serialize;
use serde_json::json;
use trunkline_platform::audit::{self, Act, Actor};
use trunkline_platform::db::{DbError, Session};
use trunkline_platform::task::{NewTask, TaskId, TaskTx, Tasks};

use super::download::DownloadMedia;
use super::rescan::RescanMedia;
use super::table::MediaId;

/// Files of one transaction.
const BATCH: usize = 200;

trunkline_platform::statements! {
    READ_STATES = parts {
        "SELECT id, state, legal_hold FROM media WHERE id IN " (any "$1") " ORDER BY id LIMIT 1000"
    }
    SET_HOLD = parts {
        "UPDATE media SET legal_hold = $2 WHERE id IN " (any "$1") " AND legal_hold <> $2 AND state <> 'purged'
         RETURNING id, state, legal_hold"
    }
    /// A file under hold kept its content in quarantine. It is let go of when the hold ends.
    LET_GO = parts {
        "UPDATE media SET sha256 = NULL WHERE id IN " (any "$1") " AND state = 'quarantined' AND NOT legal_hold"
    }
    /// A provider that was asked before may be asked again, since a person wants it.
    OPEN_AGAIN = parts {
        "UPDATE media SET state = 'pending', error = NULL, signature = NULL, asked_at = NULL
         WHERE id IN " (any "$1") " AND state IN ('failed', 'quarantined', 'pending') RETURNING id, state, legal_hold"
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: MediaId,
    state: String,
    legal_hold: bool,
}

/// What became of an act on one file.
#[derive(Clone, Debug, Serialize)]
pub struct MediaActed {
    pub id: MediaId,
    pub done: bool,
    /// Why not.
    pub why: Option<&'static str>,
}

async fn states(session: &mut Session, ids: &[MediaId]) -> Result<Vec<Row>, DbError> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    READ_STATES.bind(ids).all(session).await
}

/// Puts files under legal hold, or lifts it. Those that are purged already cannot be held.
pub async fn hold(
    tasks: &Tasks,
    ids: &[MediaId],
    on: bool,
    actor: &Actor,
) -> Result<Vec<MediaActed>, DbError> {
    let mut all = Vec::with_capacity(ids.len());
    for batch in ids.chunks(BATCH) {
        let mut tx = tasks.begin().await?;
        let known = states(tx.session(), batch).await?;
        let numbers: Vec<i64> = batch.iter().map(|id| id.0).collect();
        let changed: Vec<Row> = SET_HOLD.bind(numbers.clone()).bind(on).all(tx.session()).await?;
        if !on {
            LET_GO.bind(numbers).execute(tx.session()).await?;
        }
        let act = |row: &Row| Act {
            action: if on { "media.hold" } else { "media.release" },
            subject: format!("media:{}", row.id),
            before: Some(json!({"legal_hold": !on})),
            after: Some(json!({"legal_hold": on})),
        };
        let acts: Vec<Act> = changed.iter().map(act).collect();
        record(&mut tx, actor, &acts, tasks).await?;
        tx.commit().await?;
        all.extend(batch.iter().map(|&id| {
            let done = changed.iter().any(|row| row.id == id);
            let why = match known.iter().find(|row| row.id == id) {
                _ if done => None,
                None => Some("there is no such file"),
                Some(row) if row.state == "purged" => Some("it is purged already"),
                Some(row) if row.legal_hold == on => Some("it is so already"),
                Some(_) => Some("it changed meanwhile"),
            };
            MediaActed { id, done, why }
        }));
    }
    Ok(all)
}

/// Has files fetched again that are not stored: failed, in quarantine, or waiting without a task.
pub async fn fetch(tasks: &Tasks, ids: &[MediaId], actor: &Actor) -> Result<Vec<MediaActed>, DbError> {
    let mut all = Vec::with_capacity(ids.len());
    for batch in ids.chunks(BATCH) {
        let mut tx = tasks.begin().await?;
        let known = states(tx.session(), batch).await?;
        let numbers: Vec<i64> = batch.iter().map(|id| id.0).collect();
        let opened: Vec<Row> = OPEN_AGAIN.bind(numbers).all(tx.session()).await?;
        let mut wanted = Vec::new();
        for &id in batch {
            let row = known.iter().find(|row| row.id == id);
            let why = match row {
                None => Some("there is no such file"),
                Some(row) if row.state == "purged" => Some("it is purged"),
                Some(_) => None,
            };
            if why.is_none() {
                wanted.push(NewTask::of(&DownloadMedia { media: id })?.cause(actor.name.clone()));
            }
            all.push(MediaActed { id, done: why.is_none(), why });
        }
        let before = |id: MediaId| known.iter().find(|row| row.id == id).map(|row| row.state.clone());
        let act = |row: &Row| Act {
            action: "media.fetch",
            subject: format!("media:{}", row.id),
            before: Some(json!({"state": before(row.id)})),
            after: Some(json!({"state": "pending"})),
        };
        let acts: Vec<Act> = opened.iter().map(act).collect();
        record(&mut tx, actor, &acts, tasks).await?;
        tx.enqueue(&wanted).await?;
        tx.commit().await?;
    }
    Ok(all)
}

/// Has stored files scanned again: those with numbers after one and up to another, a few at a time.
pub async fn rescan(
    tasks: &Tasks,
    after: i64,
    through: i64,
    actor: &Actor,
) -> Result<Option<TaskId>, DbError> {
    let job = RescanMedia { after, through, since: tasks.clock().now() };
    let subject = if after == through - 1 { format!("media:{through}") } else { "media".to_owned() };
    let mut tx = tasks.begin().await?;
    let enqueued = tx.enqueue(&[NewTask::of(&job)?.cause(actor.name.clone())]).await?;
    let task = enqueued.first().map(|one| one.id());
    let told = json!({"task": task, "after": after, "through": through});
    let act = Act { action: "media.rescan", subject, before: None, after: Some(told) };
    record(&mut tx, actor, &[act], tasks).await?;
    tx.commit().await?;
    Ok(task)
}

async fn record(tx: &mut TaskTx, actor: &Actor, acts: &[Act], tasks: &Tasks) -> Result<(), DbError> {
    audit::record(tx.session(), tasks.clock().now(), actor, acts).await
}
