//! The book of what people did: who, when, what to what, why, and how it was before and after. An entry is
//! written in the transaction of the act it tells of, so there is neither an act without one nor one without
//! an act.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::db::{Db, DbError, Rows, Session, sql_text, sql_time};

crate::statements! {
    RECORD = parts {
        "INSERT INTO audit (at, actor, action, subject, reason, before, after)
         SELECT r.at, r.actor, r.action, r.subject, r.reason, r.before, r.after
         FROM " (rows "$1" as r (seq BIGINT, at TIMESTAMPTZ, actor TEXT, action TEXT, subject TEXT, reason TEXT,
            before TEXT, after TEXT))
        " ORDER BY r.seq"
    }
    LIST_AUDIT = same {
        "SELECT id, at, actor, action, subject, reason, before, after FROM audit
         WHERE (CAST($1 AS TEXT) IS NULL OR subject = $1) AND (CAST($2 AS TEXT) IS NULL OR actor = $2)
           AND (CAST($3 AS TEXT) IS NULL OR action = $3) AND (CAST($4 AS BIGINT) IS NULL OR id < $4)
         ORDER BY id DESC LIMIT $5"
    }
}

/// Who acts, and why.
#[derive(Clone, Debug)]
pub struct Actor {
    /// `operator:ana`, `key:…`.
    pub name: String,
    pub reason: Option<String>,
}

/// One thing done to one subject.
#[derive(Clone, Debug)]
pub struct Act {
    /// `task.cancel`, `queue.pause`, …
    pub action: &'static str,
    /// `task:17`, `queue:media`, …
    pub subject: String,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

/// An entry of the book.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct AuditRow {
    pub id: i64,
    pub at: DateTime<Utc>,
    pub actor: String,
    pub action: String,
    pub subject: String,
    pub reason: Option<String>,
    /// JSON.
    pub before: Option<String>,
    /// JSON.
    pub after: Option<String>,
}

/// Which entries to list, the newest first.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    pub subject: Option<String>,
    pub actor: Option<String>,
    pub action: Option<String>,
    /// Only entries older than this one: the last id of the page before.
    pub before: Option<i64>,
    pub limit: u32,
}

#[derive(Serialize)]
struct Line {
    seq: usize,
    at: String,
    actor: String,
    action: &'static str,
    subject: String,
    reason: Option<String>,
    before: Option<String>,
    after: Option<String>,
}

/// Writes entries into the transaction of the acts they tell of.
pub async fn record(
    session: &mut Session,
    now: DateTime<Utc>,
    actor: &Actor,
    acts: &[Act],
) -> Result<(), DbError> {
    if acts.is_empty() {
        return Ok(());
    }
    let json = |value: &Option<Value>| value.as_ref().map(|value| sql_text(&value.to_string()).into_owned());
    let lines: Vec<Line> = acts
        .iter()
        .enumerate()
        .map(|(seq, act)| Line {
            seq,
            at: sql_time(now),
            actor: sql_text(&actor.name).into_owned(),
            action: act.action,
            subject: sql_text(&act.subject).into_owned(),
            reason: actor.reason.as_deref().map(|reason| sql_text(reason).into_owned()),
            before: json(&act.before),
            after: json(&act.after),
        })
        .collect();
    RECORD.bind(Rows::of(&lines)?).execute(session).await.map(drop)
}

/// Lists entries, the newest first.
pub async fn list(db: &Db, filter: &AuditFilter) -> Result<Vec<AuditRow>, DbError> {
    let query = LIST_AUDIT
        .bind(filter.subject.as_deref())
        .bind(filter.actor.as_deref())
        .bind(filter.action.as_deref())
        .bind(filter.before)
        .bind(filter.limit.clamp(1, 1_000));
    query.all(&mut db.read().await?).await
}
