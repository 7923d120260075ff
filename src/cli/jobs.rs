//! `trunkline jobs`: which jobs this release knows, what their payloads look like, and how to enqueue one by hand.

use anyhow::{Context, Result};
use chrono::TimeDelta;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};
use trunkline_jobs::Services;
use trunkline_platform::job::{AnyJob, Jobs, Priority, Registry};
use trunkline_platform::task::{Enqueued, Tasks};

use super::audit::ActorArgs;
use super::{database, output, payload};
use crate::config::Config;
use crate::mask;

#[derive(Args, Debug)]
pub(super) struct JobsCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the jobs this release knows
    List(List),
    /// Print the JSON schema of a job's payload
    Schema(Schema),
    /// Put a task of any job into its queue
    Enqueue(Enqueue),
}

#[derive(Args, Debug)]
struct List {
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Schema {
    /// The name of the job
    name: String,
}

#[derive(Args, Debug)]
struct Enqueue {
    /// The name of the job
    name: String,
    /// JSON, @FILE, or - for standard input
    #[arg(long, value_name = "PAYLOAD")]
    payload: String,
    /// Not before this time
    #[arg(long, value_name = "TIME", conflicts_with = "within")]
    at: Option<String>,
    /// Not before this long from now: 5m
    #[arg(long = "in", value_name = "TIME", id = "within")]
    within: Option<String>,
    /// urgent, high, normal or low; by default the job's own
    #[arg(long)]
    priority: Option<Priority>,
    /// No second task under this key until this one has ended; by default the job's own
    #[arg(long, value_name = "KEY")]
    unique_key: Option<String>,
    /// Only check the payload and tell what would be enqueued
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Listed {
    name: &'static str,
    version: u16,
    queue: &'static str,
    priority: u8,
    tries: u16,
    timeout_seconds: u64,
    about: Option<String>,
}

impl JobsCommand {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let jobs = trunkline_jobs::registry()?;
        output::print(&match self.action {
            Action::List(list) => list.text(&jobs)?,
            Action::Schema(schema) => output::json(&known(&jobs, &schema.name)?.schema())?,
            Action::Enqueue(enqueue) => {
                database::act(config, async |tasks| enqueue.run(&jobs, tasks).await).await?
            }
        })
    }
}

impl List {
    fn text(self, jobs: &Registry<Services>) -> Result<String> {
        let listed: Vec<Listed> = jobs.jobs().map(Listed::of).collect();
        if self.json {
            return output::json(&listed);
        }
        let mut table =
            output::Table::new(&["NAME", ">VERSION", "QUEUE", ">PRIORITY", ">TRIES", ">TIME LIMIT", "ABOUT"]);
        for job in listed {
            table.row([
                job.name.to_owned(),
                job.version.to_string(),
                job.queue.to_owned(),
                job.priority.to_string(),
                job.tries.to_string(),
                output::roughly(TimeDelta::seconds(i64::try_from(job.timeout_seconds).unwrap_or(i64::MAX))),
                output::shortened(&job.about.unwrap_or_default(), 80),
            ]);
        }
        Ok(table.text("no jobs"))
    }
}

impl Listed {
    fn of(job: &AnyJob<Services>) -> Self {
        let schema = job.schema();
        Self {
            name: job.name,
            version: job.version,
            queue: job.queue.name(),
            priority: job.priority.level(),
            tries: job.retry.max_attempts(),
            timeout_seconds: job.timeout.as_secs(),
            about: schema.get("description").and_then(Value::as_str).map(str::to_owned),
        }
    }
}

impl Enqueue {
    async fn run(self, jobs: &Registry<Services>, tasks: &Tasks) -> Result<String> {
        let (actor, now) = (self.actor.actor()?, tasks.clock().now());
        known(jobs, &self.name)?;
        let mut task = jobs.check(&self.name, &payload::read(&self.payload)?)?;
        task.cause = actor.name.clone();
        task.run_at = payload::not_before(self.at.as_deref(), self.within.as_deref(), now)?;
        task.priority = self.priority.unwrap_or(task.priority);
        if let Some(key) = self.unique_key.clone() {
            task.unique_key = Some(key);
            task.unique_for = None;
        }
        if self.dry_run {
            let document = json!({
                "dry_run": true, "kind": task.kind, "version": task.version, "queue": task.queue.name(),
                "priority": task.priority.level(), "run_at": task.run_at.unwrap_or(now),
                "unique_key": task.unique_key.as_deref().map(mask::phones_in), "payload": mask::json(&task.payload),
            });
            return output::json(&document);
        }
        let answer = tasks.enqueue_by_hand(&task, None, &actor).await?;
        if self.json {
            return output::json(&json!({"id": answer.id(), "outcome": answer.as_str()}));
        }
        let id = answer.id();
        Ok(match answer {
            Enqueued::New(_) => format!("task {id} enqueued\n"),
            Enqueued::Existing(_) => {
                format!("nothing enqueued: task {id} holds the unique key; see `trunkline tasks show {id}`\n")
            }
            Enqueued::Replaced(_) => format!("task {id} holds the unique key, and has the new payload now\n"),
            Enqueued::Pushed(_) => {
                format!("task {id} holds the unique key, and waits for the new time now\n")
            }
        })
    }
}

fn known<'j>(jobs: &'j Registry<Services>, name: &str) -> Result<&'j AnyJob<Services>> {
    jobs.get(name).with_context(|| format!("this release knows no job {name:?}: see `trunkline jobs list`"))
}
