//! Replay with a canary, from the terminal: it can be stopped at any moment, and run again.

use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::Args;
use serde_json::{Value, json};
use trunkline_platform::task::Tasks;
use trunkline_platform::task::dead::{Canary, DeadFilter, Order, Pace, Replayed, Stopped, replay};

use super::select::FilterArgs;
use crate::cli::audit::ActorArgs;
use crate::cli::{output, shutdown};
use crate::config::parse_duration;
use crate::mask;

/// Exit code when one failed of the same again.
const REPEAT: u8 = 3;
/// Exit code when some did not end in time.
const UNDECIDED: u8 = 4;
/// How often the progress is told.
const TELL_EVERY: u32 = 8;

#[derive(Args, Debug)]
pub(super) struct Replay {
    #[command(flatten)]
    filter: FilterArgs,
    /// Every dead letter there is
    #[arg(long)]
    all: bool,
    /// Tasks in a time, once the first few went well: 20/s, 100/m
    #[arg(long, default_value = "20/s", value_name = "N/TIME")]
    pace: PaceArg,
    /// How long the first few, and the last, are waited for
    #[arg(long, default_value = "10m", value_parser = parse_duration, value_name = "TIME")]
    patience: Duration,
    /// Only tell how many there are
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug)]
struct PaceArg(Pace);

impl FromStr for PaceArg {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let parsed = text.split_once('/').and_then(|(tasks, unit)| {
            let tasks: u32 = tasks.parse().ok().filter(|tasks| *tasks > 0)?;
            let per = match unit {
                "s" => 1,
                "m" => 60,
                "h" => 3_600,
                _ => return None,
            };
            Some(Self(Pace { tasks, per: Duration::from_secs(per) }))
        });
        parsed.ok_or_else(|| {
            anyhow!("{text:?} is no pace: write a number of tasks and s, m or h, such as 20/s")
        })
    }
}

impl Replay {
    pub(super) async fn run(self, tasks: &Tasks) -> Result<ExitCode> {
        let actor = self.actor.actor()?;
        if self.filter.is_empty() != self.all {
            return Err(anyhow!(
                "which dead letters? Name what they have in common (--fingerprint, --kind, --queue, --error, \
                 --since, --until), or say --all. See `trunkline dead groups`"
            ));
        }
        let filter = self.filter.filter(tasks.clock().now())?;
        if self.dry_run {
            return rehearse(tasks, &filter, self.json).await;
        }
        let plan = Canary { pace: self.pace.0, patience: self.patience, ..Canary::default() };
        // Between two steps nothing is half done, and a step is one transaction.
        let wait = async |length: Duration| {
            tokio::select! {
                () = tokio::time::sleep(length) => true,
                _ = tokio::signal::ctrl_c() => false,
            }
        };
        let mut looks = 0_u32;
        let mut before = 0;
        let progress = |told: &Replayed| {
            if told.retried != before || looks.is_multiple_of(TELL_EVERY) {
                eprintln!("{}", line(told));
            }
            before = told.retried;
            looks += 1;
        };
        let told = replay(tasks, &filter, &plan, &actor, wait, progress).await?;
        output::print(&if self.json { output::json(&as_json(&told)?)? } else { text(&told) })?;
        Ok(code(&told))
    }
}

async fn rehearse(tasks: &Tasks, filter: &DeadFilter, json: bool) -> Result<ExitCode> {
    use trunkline_platform::audit::Actor;
    use trunkline_platform::task::dead::{Batch, DeadAct, Target};

    let nobody = Actor { name: "nobody".to_owned(), reason: None };
    let first = tasks.list_dead(filter, Order::Oldest, None, 1).await?.pop().map(|row| row.id);
    let (mut retried, mut refused) = (0, 0);
    let mut batch = Batch::new(tasks, DeadAct::Retry, nobody, true);
    batch
        .run(&Target::Filter(filter.clone()), |acted| {
            retried += acted.done.len();
            refused += acted.refused.len();
            true
        })
        .await?;
    output::print(&if json {
        output::json(&json!({"dry_run": true, "retried": retried, "refused": refused, "first": first}))?
    } else {
        let first = first.map(|id| format!(", beginning with task {id}")).unwrap_or_default();
        format!("{retried} would be retried{first}; {refused} would be refused\n")
    })?;
    Ok(ExitCode::SUCCESS)
}

fn line(told: &Replayed) -> String {
    let Replayed { retried, done, failed_otherwise, ended_otherwise, open, refused, .. } = told;
    let mut line = format!("{retried} retried: {done} done, {open} on their way");
    for (count, what) in
        [(failed_otherwise, "failed of something else"), (ended_otherwise, "ended otherwise")]
    {
        if *count > 0 {
            line += &format!(", {count} {what}");
        }
    }
    if *refused > 0 {
        line += &format!("; {refused} refused");
    }
    line
}

fn text(told: &Replayed) -> String {
    let why = match &told.stopped {
        None => String::new(),
        Some(Stopped::Repeat { task, error, .. }) => format!(
            "stopped: task {task} failed of the same again: {}\nthe others are dead letters as before; repair the cause and run it again\n",
            mask::phones_in(error)
        ),
        Some(Stopped::NoneDone { task, error }) => format!(
            "stopped: none of the first succeeded; task {task} failed of something else: {}\n",
            mask::phones_in(error)
        ),
        Some(Stopped::Undecided { tasks }) => {
            let ids: Vec<String> = tasks.iter().take(10).map(ToString::to_string).collect();
            format!(
                "stopped: {} did not end in time (task {}): does a worker run, is the queue paused? See `trunkline \
                 workers`; wait longer with --patience\n",
                tasks.len(),
                ids.join(", ")
            )
        }
        Some(Stopped::Interrupted) => "stopped as you asked; run it again to go on\n".to_owned(),
    };
    let refusals: String = told
        .refusals
        .iter()
        .map(|one| format!("task {} refused: {}\n", one.id, mask::phones_in(&one.why.to_string())))
        .collect();
    refusals + &line(told) + "\n" + &why
}

fn as_json(told: &Replayed) -> Result<Value> {
    let mut document = serde_json::to_value(told)?;
    if let Some(error) = document.pointer_mut("/stopped/error") {
        *error = mask::phones_in(error.as_str().unwrap_or_default()).into();
    }
    let refusal = |one: &trunkline_platform::task::dead::Refused| json!({"id": one.id, "why": mask::phones_in(&one.why.to_string())});
    document["refusals"] = told.refusals.iter().map(refusal).collect();
    Ok(document)
}

fn code(told: &Replayed) -> ExitCode {
    match &told.stopped {
        None if told.refused > 0 => ExitCode::FAILURE,
        None => ExitCode::SUCCESS,
        Some(Stopped::Repeat { .. } | Stopped::NoneDone { .. }) => REPEAT.into(),
        Some(Stopped::Undecided { .. }) => UNDECIDED.into(),
        Some(Stopped::Interrupted) => shutdown::INTERRUPTED.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_a_number_of_tasks_in_a_time() {
        let pace: PaceArg = "100/m".parse().unwrap();
        assert_eq!((pace.0.tasks, pace.0.per), (100, Duration::from_secs(60)));
        for bad in ["100", "0/s", "x/s", "5/d"] {
            assert!(bad.parse::<PaceArg>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_repeat_is_told_with_what_to_do_and_nobodys_number() {
        let stopped = Stopped::Repeat {
            task: trunkline_platform::task::TaskId(7),
            fingerprint: "f".to_owned(),
            error: "cannot text +12125550101".to_owned(),
        };
        let told = Replayed { retried: 1, stopped: Some(stopped), ..Replayed::default() };
        let text = text(&told);
        assert!(
            text.starts_with("1 retried: 0 done, 0 on their way\nstopped: task 7 failed of the same again"),
            "{text}"
        );
        assert!(!text.contains("1212555") && !as_json(&told).unwrap().to_string().contains("1212555"));
    }
}
