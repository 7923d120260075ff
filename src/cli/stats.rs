//! `trunkline stats`: everything counted, at a glance.

use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;
use trunkline_jobs::events::{self, EventCount};
use trunkline_jobs::media::{self, MediaCount};
use trunkline_platform::task::{KindCount, QueueDepth, TaskState, Tasks};

use super::{database, output};
use crate::config::Config;

#[derive(Args, Debug)]
pub(super) struct StatsCommand {
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// What is counted.
#[derive(Debug, Serialize)]
struct Stats {
    /// Webhooks stored.
    deliveries: i64,
    /// Distinct events they told of.
    happenings: i64,
    events: Vec<EventCount>,
    tasks: Vec<KindCount>,
    queues: Vec<QueueDepth>,
    workers_alive: usize,
    media: MediaCount,
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
        let events = events::count(db).await?;
        let workers = tasks.workers().await?;
        Ok(Self {
            deliveries: events.iter().map(|row| row.count).sum(),
            happenings: events.iter().map(|row| row.happenings).sum(),
            events,
            tasks: tasks.count_by_kind().await?,
            queues: tasks.queue_depths().await?,
            workers_alive: workers.iter().filter(|worker| worker.lease_until > now).count(),
            media: media::count(db).await?,
        })
    }

    fn text(&self, now: DateTime<Utc>) -> String {
        let MediaCount { pending, stored, failed, files, bytes } = self.media;
        let (deliveries, happenings) = (self.deliveries, self.happenings);
        let (workers, bytes) = (self.workers_alive, output::size(bytes));
        [
            format!("events: {happenings} distinct, in {deliveries} deliveries\n"),
            self.event_table(),
            "\ntasks\n".to_owned(),
            self.task_table(),
            "\nqueues\n".to_owned(),
            self.queue_table(now),
            format!("\nworkers: {workers} alive\n"),
            format!(
                "media: {stored} stored in {files} files ({bytes}), {pending} pending, {failed} failed\n"
            ),
        ]
        .concat()
    }

    fn event_table(&self) -> String {
        let mut table = output::Table::new(&["TYPE", "JOB", ">DELIVERIES", ">DISTINCT"]);
        for row in &self.events {
            let job = row.job.clone().unwrap_or_else(|| "unknown".to_owned());
            table.row([row.event_type.clone(), job, row.count.to_string(), row.happenings.to_string()]);
        }
        table.text("none")
    }

    fn task_table(&self) -> String {
        let mut table = output::Table::new(&[
            "KIND",
            ">PENDING",
            ">RUNNING",
            ">DONE",
            ">DEAD",
            ">CANCELLED",
            ">DISCARDED",
        ]);
        for kind in self.tasks.chunk_by(|one, other| one.kind == other.kind) {
            let count = |state: TaskState| {
                let found = kind.iter().find(|row| row.state == state);
                found.map_or(0, |row| row.count).to_string()
            };
            let name = kind.first().map(|row| row.kind.clone());
            table.row(name.into_iter().chain(TaskState::ALL.map(count)));
        }
        table.text("none")
    }

    fn queue_table(&self, now: DateTime<Utc>) -> String {
        let mut table = output::Table::new(&["QUEUE", ">DUE", ">DELAYED", ">RUNNING", "OLDEST DUE WAITS"]);
        for queue in &self.queues {
            let waits = queue.oldest_due.map(|since| output::roughly(now - since)).unwrap_or_default();
            let counts = [queue.due, queue.delayed, queue.running].map(|count| count.to_string());
            table.row([queue.queue.clone()].into_iter().chain(counts).chain([waits]));
        }
        table.text("none waiting or running")
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::cli::database::testing::place;

    #[tokio::test]
    async fn an_empty_database_counts_nothing() {
        let place = place();
        let stats = Stats::read(&place.migrated().await).await.unwrap();
        assert_eq!(
            stats.text(DateTime::UNIX_EPOCH),
            "events: 0 distinct, in 0 deliveries\nnone\n\ntasks\nnone\n\nqueues\nnone waiting or running\n\n\
             workers: 0 alive\nmedia: 0 stored in 0 files (0 B), 0 pending, 0 failed\n"
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
        let task = |kind: &str, state, count| KindCount { kind: kind.to_owned(), state, count };
        let stats = Stats {
            deliveries: 13,
            happenings: 11,
            events: vec![event("moon.rose", None, 1, 1), event("call.missed", Some("call.missed"), 12, 10)],
            tasks: vec![
                task("call.missed", TaskState::Done, 11),
                task("call.missed", TaskState::Dead, 1),
                task("media.download", TaskState::Pending, 3),
            ],
            queues: vec![QueueDepth {
                queue: "media".to_owned(),
                due: 3,
                delayed: 0,
                running: 0,
                blocked: 0,
                oldest_due: Some(now - TimeDelta::seconds(75)),
            }],
            workers_alive: 2,
            media: MediaCount { pending: 3, stored: 4, failed: 0, files: 3, bytes: 2_048 },
        };
        let expected = "\
events: 11 distinct, in 13 deliveries
TYPE         JOB          DELIVERIES  DISTINCT
moon.rose    unknown               1         1
call.missed  call.missed          12        10

tasks
KIND            PENDING  RUNNING  DONE  DEAD  CANCELLED  DISCARDED
call.missed           0        0    11     1          0          0
media.download        3        0     0     0          0          0

queues
QUEUE  DUE  DELAYED  RUNNING  OLDEST DUE WAITS
media    3        0        0  1m 15s

workers: 2 alive
media: 4 stored in 3 files (2.0 KiB), 3 pending, 0 failed
";
        assert_eq!(stats.text(now), expected);
    }
}
