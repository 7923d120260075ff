//! Claims under limits: the slower way, taken by a queue that a limit concerns.
//!
//! One transaction locks the limits, counts who runs, looks at who is due, lets in as many as the limits allow and
//! claims them. A task whose kind (or key) has used up its rate is put off to the time its turn comes, so that it
//! does not stand in the way; one whose kind is full or paused is passed over. Tokens of a rate are taken for a
//! whole claim at once.

mod door;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::claim::{ClaimedRow, sort};
use super::limits::{Scope, Stored};
use super::{TaskId, TaskTx, Tasks, WorkerId};
use crate::crash_point;
use crate::db::{DbError, Rows, sql_time};
use crate::job::{Priority, Queue};
use door::{Answer, Doorman, Due, RateState};

/// Looks at who is due, per priority: each look but the first leaves out the kinds that were found full.
const LOOKS: usize = 16;

crate::statements! {
    /// The limits that concern a queue.
    FIND_LIMITS = same {
        "SELECT scope, paused, max_running, rate_count, rate_period_ms, rate_burst, set_by
         FROM limits WHERE queue IN ($1, '*') ORDER BY scope"
    }
    /// Differs by necessity: SQLite has one writer and no row locks. In order, so that two who lock the same
    /// limits do not wait for each other.
    LOCK_LIMITS = split {
        postgres:
        "SELECT scope, paused, max_running, rate_count, rate_period_ms, rate_burst, set_by
         FROM limits WHERE queue IN ($1, '*') ORDER BY scope FOR UPDATE",
        sqlite:
        "SELECT scope, paused, max_running, rate_count, rate_period_ms, rate_burst, set_by
         FROM limits WHERE queue IN ($1, '*') ORDER BY scope",
    }
    FREE_SLOTS = same {
        "DELETE FROM task_slots
         WHERE NOT EXISTS (SELECT 1 FROM tasks WHERE tasks.id = task_slots.task_id
                           AND tasks.attempt = task_slots.attempt AND tasks.state || '' = 'running')"
    }
    COUNT_SLOTS = same { "SELECT scope, COUNT(*) AS count FROM task_slots GROUP BY scope" }
    TAKE_SLOTS = parts {
        "INSERT INTO task_slots (scope, task_id, attempt)
         SELECT r.scope, r.task_id, r.attempt
         FROM " (rows "$1" as r (scope TEXT, task_id BIGINT, attempt INTEGER))
        " WHERE r.task_id > 0
         ON CONFLICT (scope, task_id) DO UPDATE SET attempt = excluded.attempt"
    }
    /// For each scope and key: its tat, and the last turn that somebody waits for.
    READ_RATES = parts {
        "SELECT r.scope, r.key, rates.tat,
                (SELECT MAX(t.run_at) FROM tasks AS t
                 WHERE t.kind = r.kind AND COALESCE(t.rate_key, '') = r.key
                   AND t.put_off_from IS NOT NULL AND t.finished_at IS NULL) AS tail
         FROM " (rows "$1" as r (scope TEXT, kind TEXT, key TEXT))
        " LEFT JOIN rates ON rates.scope = r.scope AND rates.key = r.key"
    }
    /// When the next task of a queue is due. One look into the index per priority.
    NEXT_DUE = same {
        "SELECT MIN(next.run_at) AS run_at FROM (
            SELECT MIN(run_at) AS run_at FROM tasks
            WHERE finished_at IS NULL AND NOT blocked AND queue = $1 AND priority = 0 AND run_at > $2
            UNION ALL
            SELECT MIN(run_at) AS run_at FROM tasks
            WHERE finished_at IS NULL AND NOT blocked AND queue = $1 AND priority = 1 AND run_at > $2
            UNION ALL
            SELECT MIN(run_at) AS run_at FROM tasks
            WHERE finished_at IS NULL AND NOT blocked AND queue = $1 AND priority = 2 AND run_at > $2
            UNION ALL
            SELECT MIN(run_at) AS run_at FROM tasks
            WHERE finished_at IS NULL AND NOT blocked AND queue = $1 AND priority = 3 AND run_at > $2
         ) AS next"
    }
    SAVE_RATES = parts {
        "INSERT INTO rates (scope, key, tat) SELECT r.scope, r.key, r.tat
         FROM " (rows "$1" as r (scope TEXT, key TEXT, tat TIMESTAMPTZ))
        " WHERE r.scope <> '' ORDER BY r.scope, r.key
         ON CONFLICT (scope, key) DO UPDATE SET tat = excluded.tat"
    }
    /// Differs by necessity: PostgreSQL passes over rows that another worker is claiming at this moment.
    FIND_DUE = split {
        postgres:
        "SELECT id, kind, priority, rate_key, put_off_from IS NOT NULL AS waited FROM tasks
         WHERE finished_at IS NULL AND NOT blocked AND queue = $1 AND priority = $2 AND run_at <= $3
           AND state || '' = 'pending' AND crashes < 2
           AND kind NOT IN (SELECT r.kind FROM json_to_recordset(CAST($4 AS json)) AS r(kind TEXT))
         ORDER BY run_at, id LIMIT $5 FOR UPDATE SKIP LOCKED",
        sqlite:
        "SELECT id, kind, priority, rate_key, put_off_from IS NOT NULL AS waited FROM tasks
         WHERE finished_at IS NULL AND NOT blocked AND queue = $1 AND priority = $2 AND run_at <= $3
           AND state || '' = 'pending' AND crashes < 2
           AND kind NOT IN (SELECT value ->> '$.kind' FROM json_each($4))
         ORDER BY run_at, id LIMIT $5",
    }
    /// Differs by necessity, as above.
    FIND_SUSPECTS = split {
        postgres:
        "SELECT id, kind, priority, rate_key, put_off_from IS NOT NULL AS waited FROM tasks
         WHERE finished_at IS NULL AND NOT blocked AND queue = $1 AND priority = $2 AND run_at <= $3
           AND state || '' = 'pending' AND crashes >= 2
           AND kind NOT IN (SELECT r.kind FROM json_to_recordset(CAST($4 AS json)) AS r(kind TEXT))
         ORDER BY run_at, id LIMIT $5 FOR UPDATE SKIP LOCKED",
        sqlite:
        "SELECT id, kind, priority, rate_key, put_off_from IS NOT NULL AS waited FROM tasks
         WHERE finished_at IS NULL AND NOT blocked AND queue = $1 AND priority = $2 AND run_at <= $3
           AND state || '' = 'pending' AND crashes >= 2
           AND kind NOT IN (SELECT value ->> '$.kind' FROM json_each($4))
         ORDER BY run_at, id LIMIT $5",
    }
    CLAIM_ADMITTED = parts {
        "UPDATE tasks SET state = 'running', attempt = attempt + 1, worker = $2, started_at = $3, put_off_from = NULL
         WHERE id IN " (any "$1") " AND state || '' = 'pending' AND NOT blocked
           AND EXISTS (SELECT 1 FROM workers WHERE workers.id = $2)
         RETURNING id, kind, version, priority, payload, attempt, refunds, crashes, max_attempts,
                   correlation_id, trace_context, created_at, run_at"
    }
    PUT_OFF = parts {
        "UPDATE tasks SET put_off_from = COALESCE(tasks.put_off_from, tasks.run_at), run_at = r.run_at
         FROM " (rows "$1" as r (id BIGINT, run_at TIMESTAMPTZ))
        " WHERE tasks.id = r.id AND tasks.state || '' = 'pending'"
    }
}

/// Which tasks a claim is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Lane {
    Ordinary,
    /// Those that were in the hands of two workers when they died.
    Suspects,
}

/// What a claim under limits came to.
#[derive(Debug, Default)]
pub(crate) struct Admitted {
    pub(crate) rows: Vec<ClaimedRow>,
    /// No limit concerns this queue any more.
    pub(crate) unlimited: bool,
    /// Due tasks wait for one that runs to end.
    pub(crate) full: bool,
    /// When the next one may be let in: its turn comes, or the queue's rate has a token.
    pub(crate) again_at: Option<DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
struct SlotCount {
    scope: String,
    count: i64,
}

#[derive(sqlx::FromRow)]
struct RateRow {
    scope: String,
    key: String,
    tat: Option<DateTime<Utc>>,
    tail: Option<DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
struct NextDue {
    run_at: Option<DateTime<Utc>>,
}

#[derive(Serialize)]
struct RateKey<'k> {
    scope: &'k str,
    kind: Option<&'k str>,
    key: &'k str,
}

#[derive(Serialize)]
struct RateLine<'k> {
    scope: &'k str,
    key: &'k str,
    tat: String,
}

#[derive(Serialize)]
struct SlotLine<'k> {
    scope: &'k str,
    task_id: TaskId,
    attempt: i32,
}

#[derive(Serialize)]
struct PutOffLine {
    id: TaskId,
    run_at: String,
}

#[derive(Serialize)]
struct KindLine<'k> {
    kind: &'k str,
}

impl Tasks {
    /// Claims up to `limit` due tasks of a queue, as its limits allow.
    pub(crate) async fn claim_admitted(
        &self,
        worker: &WorkerId,
        queue: Queue,
        lane: Lane,
        limit: usize,
    ) -> Result<Admitted, DbError> {
        let concerned: Vec<Stored> =
            FIND_LIMITS.bind(queue.name()).all(&mut self.db.read_pinned().await?).await?;
        if concerned.is_empty() {
            return Ok(Admitted { unlimited: true, ..Admitted::default() });
        }
        let mut tx = self.begin_pinned().await?;
        // Without a lease nothing is claimed, and then nothing of a rate is used up either.
        let Some(admitted) = tx.claim_admitted(worker, queue, lane, limit).await? else {
            return Ok(Admitted::default());
        };
        crash_point!("claim.before_commit");
        tx.commit().await?;
        if !admitted.rows.is_empty() {
            crash_point!("claim.after_commit");
        }
        Ok(admitted)
    }
}

impl TaskTx {
    async fn claim_admitted(
        &mut self,
        worker: &WorkerId,
        queue: Queue,
        lane: Lane,
        limit: usize,
    ) -> Result<Option<Admitted>, DbError> {
        let now = self.clock.now();
        let stored: Vec<Stored> = LOCK_LIMITS.bind(queue.name()).all(&mut self.session).await?;
        let mut door = Doorman::new(queue, &stored, now);
        if door.queue().paused {
            return Ok(Some(Admitted::default()));
        }
        self.count_running(&mut door).await?;
        let queue_rate = door.queue().rate.map(|_| (door.queue_scope.clone(), String::new()));
        self.read_rates(&mut door, queue_rate.into_iter().collect()).await?;
        let allowed = limit.min(door.allowed());
        if allowed == 0 {
            self.save(&door, &[]).await?;
            let (full, again_at) = (door.is_full(), door.queue_again_at());
            return Ok(Some(Admitted { full, again_at, ..Admitted::default() }));
        }

        let (mut let_in, mut put_off) = (Vec::new(), Vec::new());
        for priority in Priority::ALL {
            self.admit((queue, lane, priority), allowed, &mut door, &mut let_in, &mut put_off).await?;
        }
        let wanted = let_in.len();
        let mut rows: Vec<ClaimedRow> =
            CLAIM_ADMITTED.bind(let_in).bind(worker.as_str()).bind(now).all(&mut self.session).await?;
        if rows.len() != wanted {
            return Ok(None);
        }
        sort(&mut rows);
        door.count_in(rows.len());
        // Those put off may have stood before others.
        let mut again_at =
            if rows.is_empty() && !put_off.is_empty() { Some(now) } else { door.queue_again_at() };
        self.put_off(put_off).await?;
        self.save(&door, &rows).await?;
        if again_at.is_none() && door.has_kind_rate() {
            let next: NextDue = NEXT_DUE.bind(queue.name()).bind(now).one(&mut self.session).await?;
            again_at = next.run_at;
        }
        Ok(Some(Admitted { rows, unlimited: false, full: door.is_full(), again_at }))
    }

    async fn count_running(&mut self, door: &mut Doorman) -> Result<(), DbError> {
        if door.limits.values().all(|limit| limit.max_running.is_none()) {
            return Ok(());
        }
        FREE_SLOTS.query().execute(&mut self.session).await?;
        let counts: Vec<SlotCount> = COUNT_SLOTS.query().all(&mut self.session).await?;
        door.running =
            counts.into_iter().map(|row| (row.scope, u32::try_from(row.count).unwrap_or(u32::MAX))).collect();
        Ok(())
    }

    async fn read_rates(
        &mut self,
        door: &mut Doorman,
        keys: BTreeSet<(String, String)>,
    ) -> Result<(), DbError> {
        let keys: Vec<_> = keys.into_iter().filter(|key| !door.rates.contains_key(key)).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let lines: Vec<RateKey<'_>> = keys
            .iter()
            .map(|(scope, key)| RateKey { scope, kind: scope.strip_prefix("kind:"), key })
            .collect();
        let rows: Vec<RateRow> = READ_RATES.bind(Rows::of(&lines)?).all(&mut self.session).await?;
        for row in rows {
            let Some(rate) = door.limits.get(&row.scope).and_then(|limit| limit.rate) else { continue };
            let stored = row.tat.unwrap_or(door.now);
            let tat = rate.believed(stored, door.now);
            let tail = row.tail.unwrap_or(door.now);
            let state = RateState { rate, tat, taken: 0, mended: tat != stored, tail, ahead: 0 };
            door.rates.insert((row.scope, row.key), state);
        }
        Ok(())
    }

    /// Looks at the due tasks of one priority until enough are let in or there are no more.
    async fn admit(
        &mut self,
        (queue, lane, priority): (Queue, Lane, Priority),
        allowed: usize,
        door: &mut Doorman,
        let_in: &mut Vec<i64>,
        put_off: &mut Vec<PutOffLine>,
    ) -> Result<(), DbError> {
        let mut seen: BTreeSet<TaskId> = BTreeSet::new();
        for _ in 0..LOOKS {
            if let_in.len() >= allowed {
                return Ok(());
            }
            let shut: Vec<KindLine<'_>> = door.shut.iter().map(|kind| KindLine { kind }).collect();
            // Those looked at before are still due: they are claimed or put off only at the end.
            let room = i64::try_from(allowed + seen.len()).unwrap_or(i64::MAX);
            let find = match lane {
                Lane::Ordinary => &FIND_DUE,
                Lane::Suspects => &FIND_SUSPECTS,
            };
            let query = find
                .bind(queue.name())
                .bind(priority.level())
                .bind(door.now)
                .bind(Rows::of(&shut)?)
                .bind(room);
            let mut due: Vec<Due> = query.all(&mut self.session).await?;
            let more = i64::try_from(due.len()).unwrap_or(i64::MAX) >= room;
            due.retain(|task| !seen.contains(&task.id));
            self.read_rates(door, due.iter().filter_map(|task| door.rate_of(task)).collect()).await?;
            for task in &due {
                if let_in.len() >= allowed {
                    return Ok(());
                }
                match door.ask(task) {
                    Answer::In => let_in.push(task.id.0),
                    Answer::Later(time) => put_off.push(PutOffLine { id: task.id, run_at: sql_time(time) }),
                    Answer::KindShut => continue,
                }
                seen.insert(task.id);
            }
            if !more || due.is_empty() {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn put_off(&mut self, tasks: Vec<PutOffLine>) -> Result<(), DbError> {
        if tasks.is_empty() {
            return Ok(());
        }
        PUT_OFF.bind(Rows::of(&tasks)?).execute(&mut self.session).await.map(drop)
    }

    /// Writes down the places and tokens that were taken.
    async fn save(&mut self, door: &Doorman, rows: &[ClaimedRow]) -> Result<(), DbError> {
        let mut slots = Vec::new();
        for row in rows {
            let kind_scope = Scope::Kind(row.kind.clone()).to_string();
            for (scope, limit) in &door.limits {
                if limit.max_running.is_some() && (*scope == door.queue_scope || *scope == kind_scope) {
                    slots.push(SlotLine { scope, task_id: row.id, attempt: row.attempt });
                }
            }
        }
        if !slots.is_empty() {
            TAKE_SLOTS.bind(Rows::of(&slots)?).execute(&mut self.session).await?;
        }
        let rates: Vec<RateLine<'_>> = door
            .rates
            .iter()
            .filter(|(_, state)| state.taken > 0 || state.mended)
            .map(|((scope, key), state)| RateLine { scope, key, tat: sql_time(state.after(door.now)) })
            .collect();
        if !rates.is_empty() {
            SAVE_RATES.bind(Rows::of(&rates)?).execute(&mut self.session).await?;
        }
        Ok(())
    }
}
