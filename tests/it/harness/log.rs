//! The execution log: a test job that writes down when each of its attempts ran, in a table that only tests
//! make, and the judge that reads it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use anyhow::{anyhow, bail};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_jobs::Services;
use trunkline_platform::clock::Clock;
use trunkline_platform::db::{Db, DbError, Stmt, Text};
use trunkline_platform::job::{Context, Done, Failure, Job, Queue, Retry};
use trunkline_platform::task::{NewTask, TaskRow, TaskState};

const fn same(name: &'static str, text: &'static str) -> Stmt {
    Stmt { name, text: Text::Same(text) }
}

static MAKE_LOG: Stmt = same(
    "MAKE_LOG",
    "CREATE TABLE execution_log (task_id BIGINT NOT NULL, attempt BIGINT NOT NULL, worker TEXT, process TEXT NOT NULL,
                                 started_at BIGINT NOT NULL, ended_at BIGINT)",
);
/// Only the owner begins: the row must still be under the token.
static BEGIN_RUN: Stmt = same(
    "BEGIN_RUN",
    "INSERT INTO execution_log (task_id, attempt, worker, process, started_at)
     SELECT id, attempt, worker, $3, $4 FROM tasks WHERE id = $1 AND attempt = $2 AND state = 'running'",
);
static END_RUN: Stmt =
    same("END_RUN", "UPDATE execution_log SET ended_at = $3 WHERE task_id = $1 AND attempt = $2");
static RUNS: Stmt = same(
    "RUNS",
    "SELECT task_id, attempt, process, started_at, ended_at FROM execution_log ORDER BY task_id, attempt, started_at",
);
static EXPIRED: Stmt = same(
    "EXPIRED",
    "SELECT task_id, CAST(attempt AS BIGINT) AS attempt FROM task_attempts WHERE verdict = 'lease_expired'",
);

/// The process that runs, as the log calls it.
pub(crate) const PROCESS: &str = "CHAOS_PROCESS";

pub(crate) async fn make_log(db: &Db) -> Result<(), DbError> {
    MAKE_LOG.query().execute(&mut db.write_one().await?).await.map(drop)
}

fn micros(time: DateTime<Utc>) -> i64 {
    time.timestamp_micros()
}

/// The machine's time, whatever clock the worker goes by: one machine runs them all.
pub(crate) fn true_time() -> i64 {
    micros(Clock::system().now())
}

/// Runs for a while, fails at first if it is told to, and is followed by an [`Echo`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Logged {
    pub(crate) number: u64,
    pub(crate) millis: u64,
    pub(crate) failures: u32,
    /// Goes on although it is told to stop.
    pub(crate) deaf: bool,
    /// Its ordering key.
    #[serde(default)]
    pub(crate) line: Option<String>,
}

impl Logged {
    /// As a task that is there once, however often its enqueue must be repeated.
    pub(crate) fn task(&self) -> NewTask {
        let day = Duration::from_secs(24 * 3_600);
        NewTask::of(self).unwrap().unique_for(self.number.to_string(), day).cause("test")
    }
}

/// Writes the end of a run when it is dropped before it has: a stopped attempt is over as well.
struct Run {
    db: Db,
    task: i64,
    attempt: i32,
    ended: bool,
}

impl Run {
    async fn end(db: &Db, task: i64, attempt: i32, at: i64) -> Result<(), DbError> {
        END_RUN.bind(task).bind(attempt).bind(at).execute(&mut db.write_one().await?).await.map(drop)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let (db, task, attempt, at) = (self.db.clone(), self.task, self.attempt, true_time());
        tokio::spawn(async move {
            for _ in 0..600 {
                if Self::end(&db, task, attempt, at).await.is_ok() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
    }
}

impl Job for Logged {
    type Services = Services;
    const NAME: &'static str = "test.logged";
    const QUEUE: Queue = Queue::new("logged");
    const RETRY: Retry = Retry::fixed(Duration::from_millis(500)).attempts(100);

    fn ordering_key(&self) -> Option<String> {
        self.line.clone()
    }

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        let (db, task) = (&cx.services().db, cx.task());
        let process = std::env::var(PROCESS).unwrap_or_else(|_| "test".to_owned());
        let begun = BEGIN_RUN.bind(task.id.0).bind(task.token).bind(process).bind(true_time());
        if begun.execute(&mut db.write_one().await?).await? == 0 {
            return Err(anyhow!("the task is no longer ours").into());
        }
        let mut run = Run { db: db.clone(), task: task.id.0, attempt: task.token, ended: false };
        let working = tokio::time::sleep(Duration::from_millis(self.millis));
        if self.deaf {
            working.await;
        } else {
            tokio::select! {
                () = working => {}
                () = cx.cancelled().cancelled() => return Err(anyhow!("told to stop").into()),
            }
        }
        Run::end(db, task.id.0, task.token, true_time()).await?;
        run.ended = true;
        if task.attempt <= self.failures {
            return Err(anyhow!("fails {} times", self.failures).into());
        }
        Ok(Done::new().then(cx.follow_up(&Echo { number: self.number })?))
    }
}

/// Follows from a [`Logged`]; two of one task would mean that it was completed twice.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Echo {
    pub(crate) number: u64,
}

impl Job for Echo {
    type Services = Services;
    const NAME: &'static str = "test.echo";
    const QUEUE: Queue = Logged::QUEUE;
    const RETRY: Retry = Retry::fixed(Duration::from_millis(500)).attempts(100);

    async fn run(&self, _: &Context<Services>) -> Result<Done, Failure> {
        Ok(Done::new())
    }
}

#[derive(sqlx::FromRow)]
struct RunRow {
    task_id: i64,
    attempt: i64,
    process: String,
    started_at: i64,
    ended_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct ExpiredRow {
    task_id: i64,
    attempt: i64,
}

/// What the log tells.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) runs: usize,
    /// Two attempts of one task at a time, the earlier of which had lost its lease and completed nothing.
    pub(crate) overlaps_after_expiry: usize,
    /// The most runs at a time, those that had lost their lease left out.
    pub(crate) most_at_once: usize,
    pub(crate) wrongs: Vec<String>,
}

/// Reads the log: attempts of one task may overlap only where the earlier one's lease was ended. `deaths` tells
/// when processes died, whose runs ended with them. `acknowledged` counts the numbers enqueued, from 0.
pub(crate) async fn read_log(
    db: &Db,
    rows: &[TaskRow],
    deaths: &HashMap<String, i64>,
    acknowledged: u64,
) -> Result<Findings, DbError> {
    let mut session = db.read().await?;
    let runs: Vec<RunRow> = RUNS.query().all(&mut session).await?;
    let expired: Vec<ExpiredRow> = EXPIRED.query().all(&mut session).await?;
    drop(session);
    let expired: HashSet<(i64, i64)> = expired.iter().map(|row| (row.task_id, row.attempt)).collect();
    let mut findings = Findings { runs: runs.len(), ..Findings::default() };
    let end = |run: &RunRow| run.ended_at.or_else(|| deaths.get(&run.process).copied()).unwrap_or(i64::MAX);
    for of_one_task in runs.chunk_by(|a, b| a.task_id == b.task_id) {
        for (n, later) in of_one_task.iter().enumerate() {
            for earlier in &of_one_task[..n] {
                let at_once = later.started_at < end(earlier) && earlier.started_at < end(later);
                if later.attempt == earlier.attempt {
                    findings
                        .wrongs
                        .push(format!("two runs of task {} under token {}", later.task_id, later.attempt));
                } else if at_once && expired.contains(&(earlier.task_id, earlier.attempt)) {
                    findings.overlaps_after_expiry += 1;
                } else if at_once {
                    findings.wrongs.push(format!(
                        "task {} ran twice at once: token {} in {} from {} to {:?}, token {} in {} from {}",
                        later.task_id,
                        earlier.attempt,
                        earlier.process,
                        earlier.started_at,
                        earlier.ended_at,
                        later.attempt,
                        later.process,
                        later.started_at,
                    ));
                }
            }
        }
    }
    let live = runs.iter().filter(|run| !expired.contains(&(run.task_id, run.attempt)));
    let live: Vec<(i64, i64, i64)> = live.map(|run| (run.task_id, run.started_at, end(run))).collect();
    findings.most_at_once = most_at_once(&live);
    findings.wrongs.extend(out_of_line(rows, &live));
    findings.wrongs.extend(completions(rows, &runs, acknowledged));
    Ok(findings)
}

fn most_at_once(live: &[(i64, i64, i64)]) -> usize {
    let begins = live.iter().map(|&(_, from, _)| (from, true));
    let ends = live.iter().map(|&(_, _, to)| (to, false));
    let mut moments: Vec<(i64, bool)> = begins.chain(ends).collect();
    // One that ends makes room for one that begins in the same moment.
    moments.sort_unstable();
    let (mut now, mut most) = (0, 0);
    for (_, begins) in moments {
        now = if begins { now + 1 } else { now - 1 };
        most = most.max(now);
    }
    most
}

/// Tasks of one ordering key run in the order of their ids, one after the other.
fn out_of_line(rows: &[TaskRow], live: &[(i64, i64, i64)]) -> Vec<String> {
    let mut lines: HashMap<String, Vec<i64>> = HashMap::new();
    for row in rows.iter().filter(|row| row.kind == Logged::NAME) {
        let job: Option<Logged> = serde_json::from_str(&row.payload).ok();
        if let Some(line) = job.and_then(|job| job.line) {
            lines.entry(line).or_default().push(row.id.0);
        }
    }
    let mut times: HashMap<i64, (i64, i64)> = HashMap::new();
    for &(task, from, to) in live {
        let time = times.entry(task).or_insert((from, to));
        *time = (time.0.min(from), time.1.max(to));
    }
    let mut wrongs = Vec::new();
    for (line, mut tasks) in lines {
        tasks.sort_unstable();
        let ran: Vec<_> =
            tasks.iter().filter_map(|task| times.get(task).map(|time| (*task, *time))).collect();
        for pair in ran.windows(2) {
            let [(first, (_, end)), (second, (start, _))] = pair else { continue };
            if start < end {
                wrongs.push(format!(
                    "line {line}: task {second} began at {start}, before {first} was over at {end}"
                ));
            }
        }
    }
    wrongs
}

/// Every number has its task; a done task has one echo, any other none; and what completed it was its last token.
fn completions(rows: &[TaskRow], runs: &[RunRow], acknowledged: u64) -> Vec<String> {
    let mut wrongs = Vec::new();
    let mut echoes: HashMap<&str, usize> = HashMap::new();
    for row in rows.iter().filter(|row| row.kind == Echo::NAME) {
        *echoes.entry(row.cause.as_str()).or_default() += 1;
    }
    let mut last_runs: HashMap<i64, i64> = HashMap::new();
    for run in runs {
        let last = last_runs.entry(run.task_id).or_default();
        *last = run.attempt.max(*last);
    }
    let mut numbers: HashMap<u64, usize> = HashMap::new();
    for row in rows.iter().filter(|row| row.kind == Logged::NAME) {
        match number_of(row) {
            Ok(number) => *numbers.entry(number).or_default() += 1,
            Err(error) => wrongs.push(format!("task {}: {error}", row.id)),
        }
        let echoes = echoes.get(format!("task:{}", row.id).as_str()).copied().unwrap_or_default();
        if echoes != usize::from(row.state == TaskState::Done) {
            wrongs.push(format!("task {} is {} and has {echoes} echoes", row.id, row.state));
        }
        let last = last_runs.get(&row.id.0).copied().unwrap_or_default();
        if row.state == TaskState::Done && i64::from(row.attempt) != last {
            wrongs
                .push(format!("task {} was completed by token {}, and {last} ran last", row.id, row.attempt));
        }
    }
    for number in 0..acknowledged {
        let count = numbers.get(&number).copied().unwrap_or_default();
        if count != 1 {
            wrongs.push(format!("number {number} was enqueued once and is there {count} times"));
        }
    }
    wrongs
}

fn number_of(row: &TaskRow) -> anyhow::Result<u64> {
    let logged: Logged = serde_json::from_str(&row.payload)?;
    if logged.number == u64::MAX {
        bail!("no number");
    }
    Ok(logged.number)
}
