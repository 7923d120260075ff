//! `trunkline tasks cancel|change`: what people do to tasks that have not ended; one, some, or all that match, and
//! with `--dry-run` nothing but what it would be.

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::json;
use trunkline_platform::job::{Priority, Queue};
use trunkline_platform::task::{Acted, Change, Outcome, TaskId, TaskState, Tasks, Unfinished};

use super::audit::ActorArgs;
use super::{output, payload};

/// The most tasks of one command; run it again for the rest.
const MOST: u32 = 100_000;

#[derive(Args, Debug)]
pub(super) struct Cancel {
    #[command(flatten)]
    how: How,
}

#[derive(Args, Debug)]
pub(super) struct ChangeTasks {
    /// urgent, high, normal or low
    #[arg(long)]
    priority: Option<Priority>,
    /// Not before this time
    #[arg(long, value_name = "TIME", conflicts_with_all = ["within", "now"])]
    at: Option<String>,
    /// Not before this long from now: 5m
    #[arg(long = "in", value_name = "TIME", id = "within", conflicts_with = "now")]
    within: Option<String>,
    /// As soon as possible
    #[arg(long)]
    now: bool,
    /// Move them to this queue
    #[arg(long, value_name = "QUEUE")]
    to: Option<String>,
    #[command(flatten)]
    how: How,
}

#[derive(Args, Debug)]
struct How {
    /// Numbers of tasks; or name what they have in common
    #[arg(value_name = "ID")]
    ids: Vec<TaskId>,
    /// The name of the job
    #[arg(long)]
    kind: Option<String>,
    #[arg(long)]
    queue: Option<String>,
    /// pending or running
    #[arg(long)]
    state: Option<TaskState>,
    /// Everything that followed from one webhook
    #[arg(long, value_name = "ID")]
    correlation: Option<String>,
    /// Every task that has not ended
    #[arg(long)]
    all: bool,
    /// Only tell which tasks it would be
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

impl Cancel {
    pub(super) async fn run(self, tasks: &Tasks) -> Result<()> {
        let ids = self.how.chosen(tasks).await?;
        if self.how.dry_run {
            return self.how.would(&ids, "be cancelled");
        }
        let acted = tasks.cancel(&ids, &self.how.actor.actor()?).await?;
        self.how.tell(&acted, "cancelled")
    }
}

impl ChangeTasks {
    pub(super) async fn run(self, tasks: &Tasks) -> Result<()> {
        let change = self.change(tasks.clock().now())?;
        let ids = self.how.chosen(tasks).await?;
        if self.how.dry_run {
            return self.how.would(&ids, "be changed");
        }
        let acted = tasks.change(&ids, &change, &self.how.actor.actor()?).await?;
        self.how.tell(&acted, "changed")
    }

    fn change(&self, now: DateTime<Utc>) -> Result<Change> {
        let run_at = match (&self.at, &self.within) {
            (Some(at), _) => Some(payload::time(at).with_context(|| {
                format!("{at:?} is no time: write one such as 2026-03-02T09:00:00Z")
            })?),
            (None, Some(within)) => Some(
                now + payload::delta(within).with_context(|| {
                    format!("{within:?} is no length of time: write a whole number and ms, s, m, h or d, such as 5m")
                })?,
            ),
            (None, None) => self.now.then_some(now),
        };
        if let Some(queue) = &self.to {
            known_queue(queue)?;
        }
        let change = Change { priority: self.priority, run_at, queue: self.to.clone() };
        if change.priority.is_none() && change.run_at.is_none() && change.queue.is_none() {
            bail!("nothing to change: say --priority, --at, --in, --now or --to");
        }
        Ok(change)
    }
}

impl How {
    async fn chosen(&self, tasks: &Tasks) -> Result<Vec<TaskId>> {
        let filter = Unfinished {
            queue: self.queue.clone(),
            kind: self.kind.clone(),
            state: self.state,
            correlation_id: self.correlation.clone(),
        };
        let filtered =
            self.queue.is_some() || self.kind.is_some() || self.state.is_some() || self.correlation.is_some();
        match (self.ids.is_empty(), filtered, self.all) {
            (false, false, false) => Ok(self.ids.clone()),
            (true, true, false) | (true, false, true) => Ok(tasks.unfinished(&filter, MOST).await?),
            (true, false, false) => bail!(
                "which tasks? Name their ids, or what they have in common (--kind, --queue, --state, --correlation), \
                 or say --all. See `trunkline tasks list`"
            ),
            _ => bail!("ids, what they have in common, and --all do not go together: give one of them"),
        }
    }

    fn would(&self, ids: &[TaskId], what: &str) -> Result<()> {
        if self.json {
            return output::print(&output::json(&json!({ "dry_run": true, "tasks": ids }))?);
        }
        let mut text: String = ids.iter().map(|id| format!("task {id} would {what}\n")).collect();
        text += &format!("{} tasks would {what}\n", ids.len());
        output::print(&text)
    }

    fn tell(&self, acted: &[Acted], word: &str) -> Result<()> {
        let count = |wanted: fn(&Outcome) -> bool| acted.iter().filter(|one| wanted(&one.outcome)).count();
        let done = count(|outcome| *outcome == Outcome::Done);
        let told = count(|outcome| *outcome == Outcome::Told);
        let refused = count(|outcome| matches!(outcome, Outcome::Refused { .. }));
        if self.json {
            let document = json!({ "done": done, "told": told, "refused": refused, "tasks": acted });
            output::print(&output::json(&document)?)?;
        } else {
            let mut text = String::new();
            for one in acted {
                text += &match &one.outcome {
                    Outcome::Done => format!("task {} {word}\n", one.id),
                    Outcome::Told => format!("task {} runs: its job is told to stop\n", one.id),
                    Outcome::Refused { why } => format!("task {} refused: {why}\n", one.id),
                };
            }
            text += &format!("{done} {word}, {told} told to stop, {refused} refused\n");
            output::print(&text)?;
        }
        if refused > 0 && done + told == 0 {
            bail!("none of the tasks was {word}");
        }
        Ok(())
    }
}

/// # Errors
/// When no job of this release has the queue.
pub(super) fn known_queue(name: &str) -> Result<()> {
    let queues = trunkline_jobs::registry()?.queues();
    let names: Vec<&str> = queues.into_iter().map(Queue::name).collect();
    if !names.contains(&name) {
        bail!("there is no queue {name:?}; the queues are {}", names.join(", "));
    }
    Ok(())
}
