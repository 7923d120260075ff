//! Retry, edit, discard: one, some, or all that match; what it would be with `--dry-run`.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};
use trunkline_platform::task::dead::{Batch, BatchOutcome, DeadAct, Edit, Edited, Target};
use trunkline_platform::task::{self, CONTROL_BATCH, Outcome, TaskId, Tasks};

use super::select::SelectArgs;
use crate::cli::audit::ActorArgs;
use crate::cli::{output, payload};
use crate::mask::{self, View};

#[derive(Args, Debug)]
pub(super) struct Retry {
    #[command(flatten)]
    how: How,
}

#[derive(Args, Debug)]
pub(super) struct EditPayload {
    /// The whole payload: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "PAYLOAD", conflicts_with = "change", required_unless_present = "change")]
    payload: Option<String>,
    /// Change one place, as a JSON pointer says it; can be given more than once
    #[arg(long, value_name = "/PLACE=VALUE")]
    change: Vec<String>,
    /// Show phone numbers, names and texts in what changes
    #[arg(long)]
    unmask: bool,
    #[command(flatten)]
    how: How,
}

#[derive(Args, Debug)]
pub(super) struct Discard {
    #[command(flatten)]
    how: How,
}

#[derive(Args, Debug)]
pub(super) struct Skip {
    #[arg(required = true, value_name = "ID")]
    ids: Vec<TaskId>,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct How {
    #[command(flatten)]
    select: SelectArgs,
    /// Only tell what would be done
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

impl Retry {
    pub(super) async fn run(self, tasks: &Tasks) -> Result<ExitCode> {
        self.how.run(tasks, DeadAct::Retry, "retried", false).await
    }
}

impl Discard {
    pub(super) async fn run(self, tasks: &Tasks) -> Result<ExitCode> {
        self.how.run(tasks, DeadAct::Discard, "discarded", false).await
    }
}

impl Skip {
    pub(super) async fn run(self, tasks: &Tasks) -> Result<ExitCode> {
        let actor = self.actor.actor()?;
        let (mut acted, mut ran) = (Vec::new(), Ok(()));
        for batch in self.ids.chunks(CONTROL_BATCH) {
            match tasks.skip(batch, &actor).await {
                Ok(more) => acted.extend(more),
                Err(error) => {
                    ran = Err(error);
                    break;
                }
            }
        }
        let refused = acted.iter().any(|one| matches!(one.outcome, Outcome::Refused { .. }));
        output::print(&if self.json {
            output::json(&acted)?
        } else {
            let line = |one: &task::Acted| match &one.outcome {
                Outcome::Refused { why } => format!("task {} refused: {why}\n", one.id),
                Outcome::Done | Outcome::Told => {
                    format!("task {} no longer holds up its line; it is still a dead letter\n", one.id)
                }
            };
            acted.iter().map(line).collect()
        })?;
        ran.context("stopped here; what is told above is done")?;
        Ok(if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

impl EditPayload {
    pub(super) async fn run(self, tasks: &Tasks) -> Result<ExitCode> {
        let edit = match self.payload {
            Some(source) => Edit::Replace(payload::read(&source)?),
            None => {
                Edit::Set(self.change.iter().map(|text| payload::assignment(text)).collect::<Result<_>>()?)
            }
        };
        let jobs = Arc::new(trunkline_jobs::registry()?);
        self.how.run(tasks, DeadAct::Edit(edit, jobs), "edited and retried", self.unmask).await
    }
}

/// What became of all of them.
#[derive(Default)]
struct Told {
    done: Vec<TaskId>,
    refused: Vec<(TaskId, String)>,
    edited: Vec<Edited>,
}

impl How {
    async fn run(self, tasks: &Tasks, act: DeadAct, word: &str, unmask: bool) -> Result<ExitCode> {
        let (actor, target) = (self.actor.actor()?, self.select.target(tasks.clock().now())?);
        let mut batch = Batch::new(tasks, act, actor, self.dry_run);
        let mut told = Told::default();
        let bulk = matches!(target, Target::Filter(_));
        let ran = batch.run(&target, |acted| {
            told.add(acted);
            if bulk && !self.json {
                eprintln!("{} {word}, {} refused so far", told.done.len(), told.refused.len());
            }
            true
        });
        let ran = ran.await;
        let view = |text: &str| if unmask { text.to_owned() } else { mask::phones_in(text) };
        output::print(&if self.json {
            output::json(&told.json(self.dry_run, unmask))?
        } else {
            told.text(self.dry_run, word, unmask, view)
        })?;
        // What was told so far is done, whatever stopped the rest.
        ran.context("stopped here; what is told above is done")?;
        Ok(if told.refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Told {
    fn add(&mut self, acted: &BatchOutcome) {
        self.done.extend_from_slice(&acted.done);
        self.edited.extend_from_slice(&acted.edited);
        self.refused.extend(acted.refused.iter().map(|one| (one.id, one.why.to_string())));
    }

    fn json(&self, dry_run: bool, unmask: bool) -> Value {
        let view = |text: &str| if unmask { text.to_owned() } else { mask::phones_in(text) };
        let refused: Vec<Value> =
            self.refused.iter().map(|(id, why)| json!({"id": id, "why": view(why)})).collect();
        let edited: Vec<Value> = self
            .edited
            .iter()
            .map(|one| json!({"id": one.id, "changes": View::of(unmask).changes(&one.changes)}))
            .collect();
        json!({"dry_run": dry_run, "done": self.done, "refused": refused, "edited": edited})
    }

    fn text(&self, dry_run: bool, word: &str, unmask: bool, view: impl Fn(&str) -> String) -> String {
        let mut text = String::new();
        let verb = if dry_run { format!("would be {word}") } else { word.to_owned() };
        for id in &self.done {
            text += &format!("task {id} {verb}\n");
            let changes = self
                .edited
                .iter()
                .find(|one| one.id == *id)
                .map(|one| View::of(unmask).changes(&one.changes));
            for change in changes.iter().filter_map(Value::as_array).flatten() {
                let side =
                    |name: &str| change.get(name).map_or_else(|| "nothing".to_owned(), Value::to_string);
                let place = change["pointer"].as_str().unwrap_or_default();
                text += &format!("    {place}: {} -> {}\n", side("before"), side("after"));
            }
        }
        for (id, why) in &self.refused {
            text += &format!("task {id} refused: {}\n", view(why));
        }
        text + &format!("{} {verb}, {} refused\n", self.done.len(), self.refused.len())
    }
}
