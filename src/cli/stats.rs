//! `trunkline stats`: everything counted, at a glance.

use std::collections::BTreeMap;

use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;
use trunkline_jobs::events::EventCount;
use trunkline_jobs::media::MediaCount;
use trunkline_jobs::upkeep::{self, Stored};
use trunkline_platform::task::dead::DeadCount;
use trunkline_platform::task::{Backlog, Tasks, Total};

use super::{database, output};
use crate::config::Config;
use crate::queues::{self, QueueNow};

#[derive(Args, Debug)]
pub(super) struct StatsCommand {
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// What is counted.
#[derive(Debug, Serialize)]
struct Stats {
    /// Absent: there is much, and it was never counted.
    #[serde(flatten)]
    stored: Option<StoredStats>,
    tasks: Vec<KindStats>,
    queues: Vec<QueueNow>,
    /// Waiting for a release that knows the job or its payload version.
    waiting_for_release: i64,
    workers_alive: usize,
}

/// What is stored.
#[derive(Debug, Serialize)]
struct StoredStats {
    /// When this was counted. Absent: now.
    counted_at: Option<DateTime<Utc>>,
    /// Webhooks stored.
    deliveries: i64,
    /// Distinct events they told of.
    happenings: i64,
    events: Vec<EventCount>,
    media: MediaCount,
}

/// Tasks of one kind. What waits, runs or is dead is exact; what was done and failed are attempts, as the workers
/// told them, deleted tasks included.
#[derive(Debug, Default, PartialEq, Serialize)]
struct KindStats {
    kind: String,
    pending: i64,
    running: i64,
    dead: i64,
    done: i64,
    failed: i64,
}

impl StatsCommand {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let tasks = database::open_tasks(config).await?;
        let stats = Stats::read(&tasks).await?;
        output::print(&if self.json { output::json(&stats)? } else { stats.text(tasks.clock().now()) })
    }
}

impl Stats {
    async fn read(tasks: &Tasks) -> Result<Self> {
        let (db, now) = (tasks.db(), tasks.clock().now());
        let stored = upkeep::stored(db).await?.map(StoredStats::from);
        let workers = tasks.workers().await?;
        let backlog = tasks.backlog().await?;
        let jobs = trunkline_jobs::registry()?;
        let newer = |row: &&Backlog| !jobs.knows(&row.kind, row.version);
        Ok(Self {
            stored,
            waiting_for_release: backlog
                .iter()
                .filter(newer)
                .map(|row| row.due + row.delayed + row.blocked)
                .sum(),
            tasks: by_kind(&backlog, tasks.count_dead().await?, tasks.totals().await?),
            queues: queues::join(&backlog, tasks.rates().await?, &tasks.limits().await?),
            workers_alive: workers.iter().filter(|worker| worker.lease_until > now).count(),
        })
    }

    fn text(&self, now: DateTime<Utc>) -> String {
        let workers = self.workers_alive;
        let (events, media) = match &self.stored {
            Some(stored) => (stored.events(now), stored.media()),
            None => (
                "events and media: not counted yet; `trunkline upkeep run upkeep.counts` does it\n"
                    .to_owned(),
                String::new(),
            ),
        };
        let newer = match self.waiting_for_release {
            0 => String::new(),
            count => {
                format!("{count} wait for a newer release: this one does not know their job or payload\n")
            }
        };
        [
            events,
            "\ntasks (done and failed: attempts, as the workers told them)\n".to_owned(),
            self.task_table(),
            newer,
            "\nqueues (by the minute, over the last 1, 5 and 15)\n".to_owned(),
            queue_table(&self.queues, now),
            format!("\nworkers: {workers} alive\n"),
            media,
        ]
        .concat()
    }

    fn task_table(&self) -> String {
        let mut table = output::Table::new(&["KIND", ">PENDING", ">RUNNING", ">DEAD", ">DONE", ">FAILED"]);
        for KindStats { kind, pending, running, dead, done, failed } in &self.tasks {
            let counts = [pending, running, dead, done, failed].map(ToString::to_string);
            table.row([kind.clone()].into_iter().chain(counts));
        }
        table.text("none")
    }
}

/// Queues and how fast they are worked off.
pub(super) fn queue_table(queues: &[QueueNow], now: DateTime<Utc>) -> String {
    let mut table = output::Table::new(&[
        "QUEUE",
        ">DUE",
        ">DELAYED",
        ">BLOCKED",
        ">RUNNING",
        "OLDEST DUE WAITS",
        ">DONE/MIN",
        ">FAILED/MIN",
        "",
    ]);
    for QueueNow { depth, paused, rate } in queues {
        let waits = depth.oldest_due.map(|since| output::roughly(now - since)).unwrap_or_default();
        let counts = [depth.due, depth.delayed, depth.blocked, depth.running].map(|count| count.to_string());
        let rates = [rate.done_per_minute, rate.failed_per_minute];
        let rates = rates.map(|[one, five, fifteen]| format!("{one:.0} {five:.1} {fifteen:.1}"));
        let paused = if *paused { "paused" } else { "" }.to_owned();
        table
            .row([depth.queue.clone()].into_iter().chain(counts).chain([waits]).chain(rates).chain([paused]));
    }
    table.text("none at work")
}

impl From<Stored> for StoredStats {
    fn from(stored: Stored) -> Self {
        let Stored { events, media, counted_at } = stored;
        Self {
            counted_at,
            deliveries: events.iter().map(|row| row.count).sum(),
            happenings: events.iter().map(|row| row.happenings).sum(),
            events,
            media,
        }
    }
}

impl StoredStats {
    fn events(&self, now: DateTime<Utc>) -> String {
        let (deliveries, happenings) = (self.deliveries, self.happenings);
        let when = self.counted_at.map(|at| format!(" (counted {})", output::relative(at, now)));
        let when = when.unwrap_or_default();
        let mut table = output::Table::new(&["TYPE", "JOB", ">DELIVERIES", ">DISTINCT"]);
        for row in &self.events {
            let job = row.job.clone().unwrap_or_else(|| "unknown".to_owned());
            table.row([row.event_type.clone(), job, row.count.to_string(), row.happenings.to_string()]);
        }
        format!("events: {happenings} distinct, in {deliveries} deliveries{when}\n") + &table.text("none")
    }

    fn media(&self) -> String {
        let MediaCount { pending, stored, failed, quarantined, purged, files, bytes } = self.media;
        let bytes = output::size(bytes);
        format!(
            "media: {stored} stored in {files} files ({bytes}), {pending} pending, {failed} failed, \
             {quarantined} in quarantine, {purged} purged\n"
        )
    }
}

fn by_kind(backlog: &[Backlog], dead: Vec<DeadCount>, totals: Vec<Total>) -> Vec<KindStats> {
    let mut kinds: BTreeMap<String, KindStats> = BTreeMap::new();
    let mut of = |kind: &str, add: &dyn Fn(&mut KindStats)| {
        let fresh = || KindStats { kind: kind.to_owned(), ..KindStats::default() };
        add(kinds.entry(kind.to_owned()).or_insert_with(fresh));
    };
    for row in backlog {
        of(&row.kind, &|stats| {
            stats.pending += row.due + row.delayed + row.blocked;
            stats.running += row.running;
        });
    }
    for row in dead {
        of(&row.kind, &|stats| stats.dead = row.count);
    }
    for row in totals {
        of(&row.kind, &|stats| (stats.done, stats.failed) = (row.done, row.failed));
    }
    kinds.into_values().collect()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use trunkline_platform::task::{Limit, LimitRow, QueueRate};

    use super::*;
    use crate::cli::database::testing::place;

    #[tokio::test]
    async fn an_empty_database_counts_nothing() {
        let place = place();
        let stats = Stats::read(&place.migrated().await).await.unwrap();
        assert_eq!(
            stats.text(DateTime::UNIX_EPOCH),
            "events: 0 distinct, in 0 deliveries\nnone\n\ntasks (done and failed: attempts, as the workers told them)\n\
             none\n\nqueues (by the minute, over the last 1, 5 and 15)\nnone at work\n\n\
             workers: 0 alive\nmedia: 0 stored in 0 files (0 B), 0 pending, 0 failed, 0 in quarantine, 0 purged\n"
        );
    }

    #[test]
    fn everything_is_told_in_aligned_columns() {
        let now = DateTime::UNIX_EPOCH;
        let event = |event_type: &str, job: Option<&str>, count, happenings| EventCount {
            event_type: event_type.to_owned(),
            job: job.map(str::to_owned),
            count,
            happenings,
        };
        let waiting = Backlog {
            queue: "media".to_owned(),
            kind: "media.download".to_owned(),
            version: 1,
            due: 3,
            delayed: 0,
            running: 1,
            blocked: 2,
            oldest_due: Some(now - TimeDelta::seconds(75)),
        };
        let dead = DeadCount { kind: "call.missed".to_owned(), count: 1, oldest: now };
        let total = Total { kind: "call.missed".to_owned(), done: 11, failed: 13 };
        let rate = QueueRate { done_per_minute: [60.0, 12.0, 4.0], failed_per_minute: [0.0, 0.2, 0.5] };
        let backlog = vec![waiting.clone(), Backlog { version: 9, oldest_due: None, ..waiting }];
        let paused = LimitRow {
            scope: "queue:media".to_owned(),
            limit: Limit { paused: true, ..Limit::default() },
            set_by: "operator:ana".to_owned(),
            running: 0,
        };
        let stats = Stats {
            stored: Some(StoredStats::from(Stored {
                events: vec![
                    event("moon.rose", None, 1, 1),
                    event("call.missed", Some("call.missed"), 12, 10),
                ],
                media: MediaCount {
                    pending: 3,
                    stored: 4,
                    failed: 0,
                    quarantined: 1,
                    purged: 2,
                    files: 3,
                    bytes: 2_048,
                },
                counted_at: Some(now - TimeDelta::minutes(9)),
            })),
            tasks: by_kind(&backlog, vec![dead], vec![total]),
            queues: queues::join(&backlog, BTreeMap::from([("events".to_owned(), rate)]), &[paused]),
            waiting_for_release: 3,
            workers_alive: 2,
        };
        let expected = "\
events: 11 distinct, in 13 deliveries (counted 9m 0s ago)
TYPE         JOB          DELIVERIES  DISTINCT
moon.rose    unknown               1         1
call.missed  call.missed          12        10

tasks (done and failed: attempts, as the workers told them)
KIND            PENDING  RUNNING  DEAD  DONE  FAILED
call.missed           0        0     1    11      13
media.download       10        2     0     0       0
3 wait for a newer release: this one does not know their job or payload

queues (by the minute, over the last 1, 5 and 15)
QUEUE   DUE  DELAYED  BLOCKED  RUNNING  OLDEST DUE WAITS     DONE/MIN  FAILED/MIN
events    0        0        0        0                    60 12.0 4.0   0 0.2 0.5
media     6        0        4        2  1m 15s              0 0.0 0.0   0 0.0 0.0  paused

workers: 2 alive
media: 4 stored in 3 files (2.0 KiB), 3 pending, 0 failed, 1 in quarantine, 2 purged
";
        assert_eq!(stats.text(now), expected);
    }
}
