//! `trunkline workers`: the processes that run jobs.

use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::Args;
use trunkline_platform::task::{Tasks, WorkerRow};

use super::{database, output};
use crate::config::Config;

#[derive(Args, Debug)]
pub(super) struct WorkersCommand {
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

impl WorkersCommand {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        output::print(&self.text(&database::open_tasks(config).await?).await?)
    }

    async fn text(self, tasks: &Tasks) -> Result<String> {
        let workers = tasks.workers().await?;
        if self.json {
            return output::json(&workers);
        }
        let now = tasks.clock().now();
        Ok(worker_table(&workers, now))
    }
}

pub(super) fn worker_table(workers: &[WorkerRow], now: DateTime<Utc>) -> String {
    let mut table = output::Table::new(&["WORKER", "HOST", ">PID", "QUEUES", "STARTED", "LEASE"]);
    for worker in workers {
        table.row([
            worker.id.clone(),
            worker.host.clone(),
            worker.pid.to_string(),
            worker.queues.clone(),
            output::relative(worker.started_at, now),
            lease(worker, now),
        ]);
    }
    table.text("no workers")
}

fn lease(worker: &WorkerRow, now: DateTime<Utc>) -> String {
    let word = if worker.lease_until > now { "ends" } else { "expired" };
    format!("{word} {}", output::relative(worker.lease_until, now))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use trunkline_platform::task::WorkerId;

    use super::*;
    use crate::cli::database::testing::place;

    #[tokio::test]
    async fn workers_are_listed_with_what_is_left_of_their_lease() {
        let place = place();
        let tasks = place.migrated().await;
        assert_eq!(WorkersCommand { json: false }.text(&tasks).await.unwrap(), "no workers\n");
        for (id, lease) in [("wk_alive", 3_600), ("wk_gone", -60)] {
            let lease = TimeDelta::seconds(lease);
            tasks.register_worker(&WorkerId::new(id), "events,media", lease).await.unwrap();
        }
        let text = WorkersCommand { json: false }.text(&tasks).await.unwrap();
        let line = |id: &str| text.lines().find(|line| line.starts_with(id)).unwrap().to_owned();
        assert!(line("wk_alive").contains("ends in 59m"), "{text}");
        assert!(line("wk_gone").contains("expired 1m 0s ago"), "{text}");
    }
}
