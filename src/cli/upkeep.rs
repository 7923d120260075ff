//! `trunkline upkeep`: what upkeep freed, and running it by hand.

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use trunkline_jobs::upkeep::{self, CHORES, RunRow, Upkeep, UpkeepMetrics};

use super::audit::ActorArgs;
use super::{database, output};
use crate::config::Config;

#[derive(Args, Debug)]
pub(super) struct UpkeepCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List what each run freed, the newest first
    History(History),
    /// Run an upkeep job here and now, to its end
    Run(Run),
}

#[derive(Args, Debug)]
struct History {
    /// Of this job, such as upkeep.tasks [default: of all]
    job: Option<String>,
    /// Only runs older than this one: the last of the page before
    #[arg(long, value_name = "ID")]
    before: Option<i64>,
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Run {
    /// The job, such as upkeep.tasks
    job: String,
    /// Only tell what it would free
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

impl UpkeepCommand {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let text = match self.action {
            Action::History(history) => history.text(config).await?,
            Action::Run(run) => run.text(config).await?,
        };
        output::print(&text)
    }
}

impl History {
    async fn text(self, config: &Config) -> Result<String> {
        let tasks = database::open_tasks(config).await?;
        let rows = upkeep::history(tasks.db(), self.job.as_deref(), self.before, self.limit).await?;
        if self.json {
            let rows: Vec<Value> = rows.iter().map(as_document).collect();
            return output::json(&rows);
        }
        let now = tasks.clock().now();
        let mut table =
            output::Table::new(&[">ID", "JOB", "WHEN", "TOOK", ">ROWS", ">FREED", "MORE", ">TASK", "DETAIL"]);
        for row in rows {
            let millis = (row.ended_at - row.started_at).num_milliseconds();
            table.row([
                row.id.to_string(),
                row.job.clone(),
                output::relative(row.started_at, now),
                format!("{}.{:03} s", millis / 1_000, millis % 1_000),
                row.rows.to_string(),
                output::size(row.bytes),
                if row.more { "yes".to_owned() } else { String::new() },
                row.task_id.map(|id| id.to_string()).unwrap_or_default(),
                if row.detail == "null" { String::new() } else { row.detail.clone() },
            ]);
        }
        Ok(table.text("no upkeep has run"))
    }
}

impl Run {
    async fn text(self, config: &Config) -> Result<String> {
        let actor = self.actor.actor()?;
        let tasks = database::open_to_act(config).await?;
        let metrics = UpkeepMetrics::new(&prometheus::Registry::new())?;
        let store = database::media_store(config).await?;
        let upkeep = Upkeep { tasks, store, retention: config.retention.retention(), metrics };
        let Some(freed) = upkeep::run_now(&upkeep, &self.job, self.dry_run, &actor).await? else {
            bail!("there is no upkeep job {:?}; there are {}", self.job, CHORES.join(", "));
        };
        if self.json {
            let document = json!({"job": self.job, "dry_run": self.dry_run, "rows": freed.rows,
                "bytes": freed.bytes, "detail": freed.detail});
            return output::json(&document);
        }
        let bytes = output::size(i64::try_from(freed.bytes).unwrap_or(i64::MAX));
        let detail = if freed.detail.is_null() { String::new() } else { format!(" {}", freed.detail) };
        let would = if self.dry_run { "would be: " } else { "" };
        Ok(format!("{}: {would}{} rows, {bytes}{detail}\n", self.job, freed.rows))
    }
}

/// A run with its detail as JSON.
fn as_document(row: &RunRow) -> Value {
    let detail: Value = serde_json::from_str(&row.detail).unwrap_or_default();
    json!({
        "id": row.id, "job": row.job, "task_id": row.task_id, "started_at": row.started_at,
        "ended_at": row.ended_at, "rows": row.rows, "bytes": row.bytes, "more": row.more, "detail": detail,
    })
}
