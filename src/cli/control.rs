//! `trunkline tasks cancel|change`: what people do to tasks that have not ended; one, some, or all that match, and
//! with `--dry-run` nothing but what it would be.

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::json;
use trunkline_platform::db::DbError;
use trunkline_platform::job::{Priority, Queue};
use trunkline_platform::task::{Acted, CONTROL_BATCH, Change, Outcome, TaskId, TaskState, Tasks, Unfinished};

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
    #[arg(long, value_parser = unfinished)]
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
        let chosen = self.how.chosen(tasks, MOST).await?;
        if self.how.dry_run {
            return self.how.would(&chosen, "be cancelled");
        }
        let actor = self.how.actor.actor()?;
        let cancel = async |ids: &[TaskId]| tasks.cancel_those(ids, &chosen.by, &actor).await;
        self.how.act(&chosen, "cancelled", cancel).await
    }
}

impl ChangeTasks {
    pub(super) async fn run(self, tasks: &Tasks) -> Result<()> {
        let change = self.change(tasks.clock().now())?;
        let chosen = self.how.chosen(tasks, MOST).await?;
        if self.how.dry_run {
            return self.how.would(&chosen, "be changed");
        }
        let actor = self.how.actor.actor()?;
        let act = async |ids: &[TaskId]| tasks.change_those(ids, &chosen.by, &change, &actor).await;
        self.how.act(&chosen, "changed", act).await
    }

    fn change(&self, now: DateTime<Utc>) -> Result<Change> {
        let run_at = payload::not_before(self.at.as_deref(), self.within.as_deref(), now)?
            .or_else(|| self.now.then_some(now));
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

/// The tasks an act is for.
struct Chosen {
    ids: Vec<TaskId>,
    /// What they have in common, which each must still have when its turn comes.
    by: Unfinished,
    /// Whether there are more than one command takes.
    more: bool,
}

impl How {
    async fn chosen(&self, tasks: &Tasks, most: u32) -> Result<Chosen> {
        let filter = Unfinished {
            queue: self.queue.clone(),
            kind: self.kind.clone(),
            state: self.state,
            correlation_id: self.correlation.clone(),
        };
        let filtered =
            self.queue.is_some() || self.kind.is_some() || self.state.is_some() || self.correlation.is_some();
        match (self.ids.is_empty(), filtered, self.all) {
            (false, false, false) => Ok(Chosen { ids: self.ids.clone(), by: filter, more: false }),
            (true, true, false) | (true, false, true) => {
                let mut ids = tasks.unfinished(&filter, most + 1).await?;
                let more = ids.len() > most as usize;
                ids.truncate(most as usize);
                Ok(Chosen { ids, by: filter, more })
            }
            (true, false, false) => bail!(
                "which tasks? Name their ids, or what they have in common (--kind, --queue, --state, --correlation), \
                 or say --all. See `trunkline tasks list`"
            ),
            _ => bail!("ids, what they have in common, and --all do not go together: give one of them"),
        }
    }

    fn would(&self, chosen: &Chosen, what: &str) -> Result<()> {
        let Chosen { ids, more, .. } = chosen;
        if self.json {
            return output::print(&output::json(&json!({ "dry_run": true, "tasks": ids, "more": more }))?);
        }
        let mut text: String = ids.iter().map(|id| format!("task {id} would {what}\n")).collect();
        text += &format!("{} tasks would {what}\n{}", ids.len(), chosen.rest());
        output::print(&text)
    }

    /// Acts batch by batch. What it tells is done, whatever stopped the rest.
    async fn act(
        &self,
        chosen: &Chosen,
        word: &str,
        mut act: impl AsyncFnMut(&[TaskId]) -> Result<Vec<Acted>, DbError>,
    ) -> Result<()> {
        let mut all = Vec::with_capacity(chosen.ids.len());
        let mut stopped = None;
        for batch in chosen.ids.chunks(CONTROL_BATCH) {
            match act(batch).await {
                Ok(acted) => all.extend(acted),
                Err(error) => {
                    stopped = Some(error);
                    break;
                }
            }
        }
        let none = self.tell(&all, chosen, word)?;
        if let Some(error) = stopped {
            return Err(error).context("stopped here; what is told above is done");
        }
        if none {
            bail!("none of the tasks was {word}");
        }
        Ok(())
    }

    /// True: all were refused.
    fn tell(&self, acted: &[Acted], chosen: &Chosen, word: &str) -> Result<bool> {
        let count = |wanted: fn(&Outcome) -> bool| acted.iter().filter(|one| wanted(&one.outcome)).count();
        let done = count(|outcome| *outcome == Outcome::Done);
        let told = count(|outcome| *outcome == Outcome::Told);
        let refused = count(|outcome| matches!(outcome, Outcome::Refused { .. }));
        if self.json {
            let document = json!({ "done": done, "told": told, "refused": refused, "tasks": acted, "more": chosen.more });
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
            text += &format!("{done} {word}, {told} told to stop, {refused} refused\n{}", chosen.rest());
            output::print(&text)?;
        }
        Ok(refused > 0 && done + told == 0)
    }
}

impl Chosen {
    fn rest(&self) -> String {
        if self.more { format!("{}; run it again for the rest\n", self.ids.len()) } else { String::new() }
    }
}

/// A state of tasks that have not ended.
fn unfinished(text: &str) -> Result<TaskState, String> {
    match text.parse::<TaskState>() {
        Ok(state @ (TaskState::Pending | TaskState::Running)) => Ok(state),
        Ok(ended) => Err(format!("a task that is {ended} has ended: say pending or running")),
        Err(error) => Err(error.to_string()),
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::database::testing::place;
    use trunkline_platform::task::{NewTask, OnConflict};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        how: How,
    }

    fn how(words: &[&str]) -> How {
        Line::parse_from([&["cancel"], words].concat()).how
    }

    #[tokio::test]
    async fn what_one_command_leaves_is_said() {
        let place = place();
        let tasks = place.migrated().await;
        let task = NewTask {
            kind: "text.send",
            version: 1,
            queue: Queue::new("messages"),
            priority: Priority::NORMAL,
            payload: "{}".to_owned(),
            max_attempts: 3,
            run_at: None,
            unique_key: None,
            unique_for: None,
            on_conflict: OnConflict::Keep,
            ordering_key: None,
            rate_key: None,
            correlation_id: None,
            trace_context: None,
            cause: "test".to_owned(),
        };
        tasks.enqueue(&[task.clone(), task.clone(), task]).await.unwrap();
        let first = how(&["--all"]).chosen(&tasks, 2).await.unwrap();
        assert_eq!((first.ids.len(), first.rest().as_str()), (2, "2; run it again for the rest\n"));
        let all = how(&["--all"]).chosen(&tasks, 3).await.unwrap();
        assert_eq!((all.ids.len(), all.rest().as_str()), (3, ""));
    }

    #[tokio::test]
    async fn an_error_in_a_later_batch_does_not_hide_what_was_done() {
        let ids = (1..=1_200).map(TaskId).collect();
        let chosen = Chosen { ids, by: Unfinished::default(), more: false };
        let mut batches = Vec::new();
        let act = async |ids: &[TaskId]| {
            batches.push(ids.len());
            if batches.len() == 2 {
                return Err(serde_json::from_str::<i64>("?").unwrap_err().into());
            }
            Ok(ids.iter().map(|id| Acted { id: *id, kind: None, outcome: Outcome::Done }).collect())
        };
        let error = how(&["--json"]).act(&chosen, "cancelled", act).await.unwrap_err();
        assert_eq!(error.to_string(), "stopped here; what is told above is done");
        assert_eq!(batches, [CONTROL_BATCH, CONTROL_BATCH]);
    }
}
