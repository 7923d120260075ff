//! `trunkline queues` and `trunkline limits`: what holds tasks back, and who set it.

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use trunkline_platform::job::Queue;
use trunkline_platform::task::{Limit, LimitRow, QueueDepth, Rate, Scope, Tasks};

use super::audit::ActorArgs;
use super::control::known_queue;
use super::{database, output};
use crate::config::Config;
use crate::queues;

#[derive(Args, Debug)]
pub(super) struct QueuesCommand {
    #[command(subcommand)]
    action: QueueAction,
}

#[derive(Debug, Subcommand)]
enum QueueAction {
    /// List the queues: what waits, what runs, and what holds them back
    List(Json),
    /// Start no more tasks of a queue, in any process; those that run go on
    Pause(OneQueue),
    /// Start tasks of a queue again
    Resume(OneQueue),
}

#[derive(Args, Debug)]
pub(super) struct LimitsCommand {
    #[command(subcommand)]
    action: LimitAction,
}

#[derive(Debug, Subcommand)]
enum LimitAction {
    /// List every limit
    List(Json),
    /// Set the limits of a queue or of a kind; what is not named stays
    Set(Set),
    /// Remove the limits of a queue, or go back to those a job declares
    Clear(Clear),
}

#[derive(Args, Debug)]
struct Json {
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct OneQueue {
    queue: String,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Set {
    /// queue:NAME or kind:NAME
    scope: Scope,
    /// The most tasks at a time, in all processes together; none for no limit
    #[arg(long, value_name = "TASKS")]
    running: Option<String>,
    /// How many may start in a period, such as 10/s, 100/m or 3/90s; none for no limit. Of a kind with rate keys: for
    /// each key
    #[arg(long, value_name = "RATE")]
    rate: Option<String>,
    /// How many may start at once after a rest; by default as many as in one period
    #[arg(long, value_name = "TASKS")]
    burst: Option<u32>,
    /// Start none at all
    #[arg(long, conflicts_with = "resume")]
    pause: bool,
    /// Start them again
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Clear {
    /// queue:NAME or kind:NAME
    scope: Scope,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// A queue as people look at it.
#[derive(Debug, Serialize)]
struct QueueView {
    queue: String,
    due: i64,
    delayed: i64,
    running: i64,
    blocked: i64,
    oldest_due_seconds: Option<i64>,
    limit: Option<LimitRow>,
}

impl QueuesCommand {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        match self.action {
            QueueAction::List(list) => {
                output::print(&list_queues(&database::open_tasks(config).await?, list.json).await?)
            }
            QueueAction::Pause(one) => database::act(config, async |tasks| one.set(tasks, true).await).await,
            QueueAction::Resume(one) => {
                database::act(config, async |tasks| one.set(tasks, false).await).await
            }
        }
    }
}

impl LimitsCommand {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        match self.action {
            LimitAction::List(list) => {
                let rows = database::open_tasks(config).await?.limits().await?;
                output::print(&if list.json { output::json(&rows)? } else { table(&rows) })
            }
            LimitAction::Set(set) => database::act(config, async |tasks| set.run(tasks).await).await,
            LimitAction::Clear(clear) => database::act(config, async |tasks| clear.run(tasks).await).await,
        }
    }
}

async fn list_queues(tasks: &Tasks, json: bool) -> Result<String> {
    let now = tasks.clock().now();
    let (depths, limits) = (tasks.queue_depths().await?, tasks.limits().await?);
    let mut names: Vec<String> =
        trunkline_jobs::registry()?.queues().into_iter().map(|queue| Queue::name(queue).to_owned()).collect();
    names.extend(depths.iter().map(|depth| depth.queue.clone()));
    names.sort_unstable();
    names.dedup();
    let views: Vec<QueueView> = names
        .into_iter()
        .map(|queue| {
            let scope = Scope::Queue(queue.clone()).to_string();
            let depth = depths.iter().find(|depth| depth.queue == queue);
            let count = |field: fn(&QueueDepth) -> i64| depth.map_or(0, field);
            QueueView {
                due: count(|depth| depth.due),
                delayed: count(|depth| depth.delayed),
                running: count(|depth| depth.running),
                blocked: count(|depth| depth.blocked),
                oldest_due_seconds: depth
                    .and_then(|depth| depth.oldest_due)
                    .map(|since| (now - since).num_seconds()),
                limit: limits.iter().find(|limit| limit.scope == scope).cloned(),
                queue,
            }
        })
        .collect();
    if json {
        return output::json(&views);
    }
    let mut table = output::Table::new(&[
        "QUEUE",
        ">DUE",
        ">DELAYED",
        ">RUNNING",
        ">BLOCKED",
        ">OLDEST DUE WAITS",
        "LIMIT",
    ]);
    for view in views {
        let waits = view.oldest_due_seconds.map(|s| output::roughly(chrono::TimeDelta::seconds(s)));
        let counts = [view.due, view.delayed, view.running, view.blocked].map(|count| count.to_string());
        let limit = view.limit.map(|row| in_words(row.limit)).unwrap_or_default();
        table.row([view.queue].into_iter().chain(counts).chain([waits.unwrap_or_default(), limit]));
    }
    Ok(table.text("no queues"))
}

impl OneQueue {
    async fn set(self, tasks: &Tasks, paused: bool) -> Result<()> {
        known_queue(&self.queue)?;
        let (limit, changed) = tasks.pause_queue(&self.queue, paused, &self.actor.actor()?).await?;
        if self.json {
            return output::print(&as_json(Scope::Queue(self.queue), limit, changed)?);
        }
        let (already, word) =
            (if changed { "" } else { " already" }, if paused { "paused" } else { "resumed" });
        output::print(&format!("queue {} is{already} {word}\n", self.queue))
    }
}

impl Set {
    async fn run(self, tasks: &Tasks) -> Result<()> {
        declared(&self.scope)?;
        let running = self.running.as_deref().map(running).transpose()?;
        let rate = self.rate.as_deref().map(|text| rate(text, self.burst)).transpose()?;
        if self.burst.is_some() && !matches!(rate, Some(Some(_))) {
            bail!("a burst is part of a rate: say --rate as well");
        }
        if running.is_none() && rate.is_none() && !self.pause && !self.resume {
            bail!("nothing to set: say --running, --rate, --pause or --resume");
        }
        let paused = (self.pause || self.resume).then_some(self.pause);
        let change = move |limit: Limit| Limit {
            paused: paused.unwrap_or(limit.paused),
            max_running: running.unwrap_or(limit.max_running),
            rate: rate.unwrap_or(limit.rate),
        };
        let limit = tasks.set_limit(&self.scope, None, &self.actor.actor()?, change).await?;
        if self.json {
            return output::print(&as_json(self.scope, limit, true)?);
        }
        output::print(&format!("{}: {}\n", self.scope, in_words(limit)))
    }
}

impl Clear {
    async fn run(self, tasks: &Tasks) -> Result<()> {
        let scope = self.scope.to_string();
        // What has a limit can be cleared, also when no job of this release has its name any more.
        let is_set = tasks.limits().await?.iter().any(|row| row.scope == scope);
        let declared = match declared(&self.scope) {
            Err(unknown) if !is_set => return Err(unknown),
            declared => declared.unwrap_or_default(),
        };
        tasks.clear_limit(&self.scope, declared, None, &self.actor.actor()?).await?;
        let left = tasks.limits().await?.into_iter().find(|row| row.scope == scope);
        if self.json {
            return output::print(&output::json(&json!({ "scope": scope, "limit": left }))?);
        }
        output::print(&match left {
            Some(row) => format!("{scope}: {} (as the job declares)\n", in_words(row.limit)),
            None => format!("{scope}: no limit\n"),
        })
    }
}

fn as_json(scope: Scope, limit: Limit, changed: bool) -> Result<String> {
    #[derive(Serialize)]
    struct Told {
        scope: String,
        changed: bool,
        #[serde(flatten)]
        limit: Limit,
    }
    output::json(&Told { scope: scope.to_string(), changed, limit })
}

/// # Errors
/// When this release has no such queue or job.
fn declared(scope: &Scope) -> Result<Limit> {
    let jobs = trunkline_jobs::registry()?;
    if let Some(limit) = queues::declared(&jobs, scope) {
        return Ok(limit);
    }
    match scope {
        Scope::Queue(name) => known_queue(name).map(|()| Limit::default()),
        Scope::Kind(name) => {
            let names: Vec<&str> = jobs.jobs().map(|job| job.name).collect();
            bail!("there is no job {name:?}; the jobs are {}", names.join(", "))
        }
    }
}

fn running(text: &str) -> Result<Option<u32>> {
    if text == "none" {
        return Ok(None);
    }
    let count = text.parse().ok().filter(|count: &u32| *count > 0);
    let count = count.with_context(|| {
        format!(
            "{text:?} is no number of tasks: write one from 1 on, or none (to start no more, use --pause)"
        )
    })?;
    Ok(Some(count))
}

fn rate(text: &str, burst: Option<u32>) -> Result<Option<Rate>> {
    if text == "none" {
        return Ok(None);
    }
    let rate: Rate = text.parse()?;
    Ok(Some(burst.map_or(rate, |burst| rate.burst(burst))))
}

fn in_words(limit: Limit) -> String {
    let words: Vec<String> = [
        limit.paused.then(|| "paused".to_owned()),
        limit.max_running.map(|most| format!("at most {most} at a time")),
        limit.rate.map(|rate| format!("{rate}, {} at once", rate.saved_up())),
    ]
    .into_iter()
    .flatten()
    .collect();
    if words.is_empty() { "no limit".to_owned() } else { words.join("; ") }
}

fn table(rows: &[LimitRow]) -> String {
    let mut table = output::Table::new(&["SCOPE", "LIMIT", ">RUNNING", "SET BY"]);
    for row in rows {
        let running = row.limit.max_running.map(|_| row.running.to_string()).unwrap_or_default();
        table.row([row.scope.clone(), in_words(row.limit), running, row.set_by.clone()]);
    }
    table.text("no limits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_people_write_them() {
        assert_eq!(running("7").unwrap(), Some(7));
        assert_eq!(running("none").unwrap(), None);
        assert!(running("0").unwrap_err().to_string().contains("use --pause"));
        assert_eq!(rate("10/s", Some(3)).unwrap(), Some(Rate::per_second(10).burst(3)));
        assert!(rate("ten", None).is_err());
        let limit = Limit { paused: true, max_running: Some(2), rate: Some(Rate::per_second(5)) };
        assert_eq!(in_words(limit), "paused; at most 2 at a time; 5/s, 5 at once");
        assert_eq!(in_words(Limit::default()), "no limit");
    }
}
