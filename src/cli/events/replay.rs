//! `trunkline events replay`: what it would be, then its beginning. The workers do it, so it survives this process.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use trunkline_jobs::events::replay::{self, LARGEST_PACE, Order, ReplayRow};
use trunkline_jobs::events::{EventFilter, EventId, Survey, survey};
use trunkline_platform::task::Tasks;
use url::Url;

use super::elsewhere;
use super::replays;
use super::select::FilterArgs;
use crate::cli::audit::ActorArgs;
use crate::cli::output;

/// How often a replay that is followed is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Args, Debug)]
pub(super) struct Replay {
    #[command(flatten)]
    filter: FilterArgs,
    /// Every event there is
    #[arg(long)]
    all: bool,
    /// Events in a second, 1 to 1000
    #[arg(long, default_value_t = replay::USUAL_PACE, value_parser = clap::value_parser!(u32).range(1..=i64::from(LARGEST_PACE)))]
    pace: u32,
    /// Only tell how many there are, of which types
    #[arg(long)]
    dry_run: bool,
    /// Stay until it has ended; it goes on without you, too
    #[arg(long, conflicts_with_all = ["dry_run", "to"])]
    follow: bool,
    /// Instead of doing their jobs here, send the events as webhooks to this address, signed anew
    #[arg(long, value_name = "URL", requires = "secret_file")]
    to: Option<Url>,
    /// The file with the webhook secret of that address: whsec_… (present webhooks), bare base64 (older ones), or both,
    /// one a line
    #[arg(long, value_name = "FILE", requires = "to")]
    secret_file: Option<PathBuf>,
    /// Send only events after this one: the last of a run that was stopped
    #[arg(long, value_name = "ID", requires = "to")]
    after: Option<i64>,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

impl Replay {
    pub(super) async fn run(self, tasks: &Tasks) -> Result<ExitCode> {
        let filter = self.filter.clone().chosen(self.all, tasks.clock().now())?;
        if self.dry_run {
            let counted = count(tasks, &filter).await?;
            output::print(&if self.json {
                output::json(&as_json(&counted))?
            } else {
                text(&counted, tasks)
            })?;
            return Ok(ExitCode::SUCCESS);
        }
        let actor = self.actor.actor()?;
        if let (Some(to), Some(file)) = (self.to, self.secret_file) {
            let target = elsewhere::Target::new(to, &file)?;
            let sending = elsewhere::Sending { filter, pace: self.pace, after: self.after.map(EventId) };
            return sending.run(tasks, &target, &actor, self.json).await;
        }
        let (id, counted) = replay::begin(tasks, &Order { filter, pace: self.pace }, &actor).await?;
        if self.follow {
            let ended = follow(tasks, id).await?;
            output::print(&replays::described(&ended, self.json)?)?;
            return Ok(if ended.state == "complete" { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        let found = counted.complete.then_some(counted.found);
        output::print(&if self.json {
            output::json(&json!({"replay": id, "found": found}))?
        } else {
            let of = found.map(|found| format!(" of {found} events")).unwrap_or_default();
            format!("replay {id}{of} has begun; see `trunkline events replays show {id}`\n")
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// All of it is counted, however long that takes.
async fn count(tasks: &Tasks, filter: &EventFilter) -> Result<Survey> {
    let bar = ProgressBar::new_spinner();
    let told = |survey: &Survey| bar.set_message(format!("{} found in {}", survey.found, survey.looked));
    let counted = survey(tasks.db(), filter, u64::MAX, told).await;
    bar.finish_and_clear();
    Ok(counted?)
}

fn as_json(survey: &Survey) -> Value {
    json!({
        "dry_run": true, "looked": survey.looked, "found": survey.found, "by_type": survey.by_type,
        "first_at": survey.first_at, "last_at": survey.last_at, "sample": survey.sample,
    })
}

fn text(survey: &Survey, tasks: &Tasks) -> String {
    let now = tasks.clock().now();
    let mut types = output::Table::new(&["TYPE", "JOB", ">EVENTS"]);
    for row in &survey.by_type {
        let job = row.job.clone().unwrap_or_else(|| "unknown".to_owned());
        types.row([row.event_type.clone(), job, row.count.to_string()]);
    }
    let mut text = types.text("no event is as described");
    let mut sample = output::Table::new(&[">ID", "TYPE", "EVENT", "RECEIVED"]);
    for event in &survey.sample {
        let received = output::relative(event.received_at, now);
        sample.row([event.id.to_string(), event.event_type.clone(), event.event_id.clone(), received]);
    }
    if !survey.sample.is_empty() {
        text += "\nthe first of them\n";
        text += &output::indented(&sample.text(""));
    }
    text + &format!("\n{} would be replayed, of {} that were looked at\n", survey.found, survey.looked)
}

/// Waits until a replay has ended, or somebody has seen enough.
async fn follow(tasks: &Tasks, id: i64) -> Result<ReplayRow> {
    let bar = ProgressBar::new(100);
    bar.set_style(ProgressStyle::with_template("{bar:30} {percent}% {msg}").context("the progress bar")?);
    let talks = std::io::stderr().is_terminal();
    loop {
        let row = replay::show(tasks.db(), id).await?;
        let Some(row) = row else { bail!("replay {id} was removed") };
        bar.set_position(u64::try_from(row.percent()).unwrap_or_default());
        bar.set_message(format!("{} replayed", row.replayed));
        if !row.is_running() {
            bar.finish_and_clear();
            return Ok(row);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = tokio::signal::ctrl_c() => {
                bar.finish_and_clear();
                if talks {
                    eprintln!("it goes on; `trunkline events replays cancel {id}` ends it");
                }
                return Ok(row);
            }
        }
    }
}
