//! What is not as it should be, by the tables and by what the program depends on. The first page tells it and
//! `trunkline doctor`: each trouble with where it is dealt with, the command that deals with it, and its runbook.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use trunkline_jobs::campaigns::{Paused, Stalled, breaker, list_paused, stalled};
use trunkline_jobs::contacts::optout;
use trunkline_jobs::reconcile;
use trunkline_jobs::secrets::Vault;
use trunkline_jobs::sends::{self, SendFilter, SendState};
use trunkline_jobs::subscriptions::{self, Finding};
use trunkline_platform::db::DbError;
use trunkline_platform::job::Jobs;
use trunkline_platform::schedule::operate;
use trunkline_platform::task::dead::{DeadFilter, DeadGroup};
use trunkline_platform::task::{Backlog, LimitRow, TaskId, Tasks, WorkerRow};

use crate::elapsed;
use crate::health::Checks;
use crate::mask;
use crate::queues::{self, QueueNow};

/// A due task that waits longer than this is stuck.
const STUCK: TimeDelta = TimeDelta::minutes(5);
/// The most that is counted of what waits for a person.
const MOST: u32 = 100;
/// Groups of dead letters that are told.
const GROUPS: u32 = 5;
/// Ticks of schedules that are looked back on.
const TICKS: u32 = 200;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trouble {
    /// Nothing, or not all, goes on.
    pub urgent: bool,
    pub what: String,
    /// The page where it is dealt with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
    /// The command that deals with it, or shows what to decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// By its name in the folder of runbooks.
    pub runbook: &'static str,
}

impl Trouble {
    pub fn now(what: impl Into<String>, runbook: &'static str) -> Self {
        Self { urgent: true, what: what.into(), page: None, command: None, runbook }
    }

    pub fn soon(what: impl Into<String>, runbook: &'static str) -> Self {
        Self { urgent: false, ..Self::now(what, runbook) }
    }

    #[must_use]
    pub fn page(self, page: impl Into<String>) -> Self {
        Self { page: Some(page.into()), ..self }
    }

    #[must_use]
    pub fn command(self, command: impl Into<String>) -> Self {
        Self { command: Some(command.into()), ..self }
    }
}

/// What the tables say.
pub struct Look {
    pub workers: Vec<WorkerRow>,
    pub backlog: Vec<Backlog>,
    pub queues: Vec<QueueNow>,
    pub groups: Vec<DeadGroup>,
    pub dead: i64,
    limits: Vec<LimitRow>,
    unresolved: usize,
    reviews: usize,
    /// Schedules whose last task died.
    failing: Vec<(String, Option<TaskId>)>,
    /// Waits for a release that knows its job.
    unknown: i64,
    paused: Vec<Paused>,
    stalled: Vec<Stalled>,
    /// Our numbers that send nothing, and why.
    held: Vec<(String, String)>,
    /// The last reconciliation, if it failed: its number and why.
    reconcile: Option<(i64, String)>,
    /// What was wrong with the provider's webhooks at the last look.
    webhooks: Vec<Finding>,
    /// Secrets whose change has taken too long, and those that none of our master keys opens.
    overdue: usize,
    unreadable: usize,
}

impl Look {
    /// # Errors
    /// When the database cannot be read.
    pub async fn take(tasks: &Tasks, jobs: &dyn Jobs, secrets: &Vault) -> Result<Self, DbError> {
        let db = tasks.db();
        let (backlog, limits) = (tasks.backlog().await?, tasks.limits().await?);
        let unresolved =
            SendFilter { state: Some(SendState::Unresolved), limit: MOST, ..SendFilter::default() };
        let mut seen = BTreeSet::new();
        let mut failing = Vec::new();
        for tick in operate::history(db, None, None, TICKS).await? {
            // Only the newest of each schedule tells how it does.
            if tick.task_state.is_some()
                && seen.insert(tick.schedule.clone())
                && tick.task_state.as_deref() == Some("dead")
            {
                failing.push((tick.schedule, tick.task_id));
            }
        }
        let held = breaker::held_numbers(db).await?.into_iter();
        let secrets = secrets.standing(tasks.clock().now()).await?;
        let last = reconcile::status(db).await?.last.map(|last| last.run);
        Ok(Self {
            workers: tasks.workers().await?,
            queues: queues::join(&backlog, tasks.rates().await?, &limits),
            groups: tasks.dead_groups(&DeadFilter::default(), GROUPS).await?,
            dead: tasks.count_dead().await?.iter().map(|kind| kind.count).sum(),
            unresolved: sends::list(db, &unresolved).await?.len(),
            reviews: optout::reviews(db, None, MOST).await?.len(),
            failing,
            unknown: backlog
                .iter()
                .filter(|row| !jobs.can_run(&row.kind, row.version))
                .map(|row| row.due + row.delayed + row.blocked)
                .sum(),
            paused: list_paused(db, MOST).await?,
            stalled: stalled(tasks).await?,
            held: held.filter_map(|trip| Some((trip.sender?, trip.reason))).collect(),
            reconcile: last
                .filter(|run| run.state == "failed")
                .map(|run| (run.id, run.error.unwrap_or_default())),
            webhooks: subscriptions::last(db).await?.map(|last| last.findings).unwrap_or_default(),
            overdue: secrets.iter().filter(|secret| secret.overdue).count(),
            unreadable: secrets.iter().filter(|secret| secret.unreadable).count(),
            backlog,
            limits,
        })
    }

    pub fn alive(&self, now: DateTime<Utc>) -> impl Iterator<Item = &WorkerRow> {
        self.workers.iter().filter(move |worker| worker.lease_until > now)
    }

    /// What is not as it should be, table by table: [`ranked`] puts the urgent ones first.
    pub fn troubles(&self, now: DateTime<Utc>) -> Vec<Trouble> {
        let mut found = Vec::new();
        if self.alive(now).next().is_none() {
            let trouble = Trouble::now("No worker is alive: nothing is worked off", "stopping");
            found.push(trouble.command("trunkline serve"));
        }
        for queue in self.queues.iter().filter(|queue| !queue.paused) {
            let waited = queue.depth.oldest_due.map(|since| now - since).filter(|waited| *waited > STUCK);
            if let Some(waited) = waited {
                let (name, length) = (&queue.depth.queue, elapsed::roughly(waited));
                let what = format!("In the queue {name} a task that is due has waited for {length}");
                let page = format!("/tasks?q=state%3Apending+queue%3A{name}");
                let command = format!("trunkline tasks list --state pending --queue {name}");
                found.push(Trouble::now(what, "holding-back").page(page).command(command));
            }
        }
        if self.dead > 0 {
            let what = match self.dead {
                1 => "1 dead letter waits for somebody".to_owned(),
                dead => format!("{dead} dead letters wait for somebody"),
            };
            let trouble = Trouble::soon(what, "dead-letters");
            found.push(trouble.page("/dead").command("trunkline dead groups"));
        }
        for row in self.limits.iter().filter(|row| row.limit.paused) {
            let what = format!("{} is paused, by {}", row.scope, row.set_by);
            let queue = row.scope.strip_prefix("queue:").unwrap_or(&row.scope);
            let command = format!("trunkline queues resume {queue} --reason …");
            found.push(Trouble::soon(what, "holding-back").page("/queues").command(command));
        }
        if self.unresolved > 0 {
            let what = format!(
                "{} texts may or may not have been sent; a person has to say",
                counted(self.unresolved)
            );
            let trouble = Trouble::soon(what, "sending").page("/sends");
            found.push(trouble.command("trunkline sends list --state unresolved"));
        }
        if self.reviews > 0 {
            let what = format!("{} answers may be opt-outs; a person has to say", counted(self.reviews));
            let trouble = Trouble::soon(what, "opt-outs").page("/contacts/reviews");
            found.push(trouble.command("trunkline optouts review"));
        }
        for Stalled { campaign, task } in &self.stalled {
            let what = format!("The campaign {campaign} stands still: its task {task} is a dead letter");
            let trouble = Trouble::now(what, "campaigns").page(format!("/campaigns/{campaign}"));
            found.push(trouble.command(format!("trunkline dead retry {task} --reason …")));
        }
        for Paused { id, reason } in &self.paused {
            let what = format!("The campaign {id} is paused: {}", mask::phones_in(reason));
            let trouble = Trouble::soon(what, "campaigns").page(format!("/campaigns/{id}"));
            found.push(trouble.command(format!("trunkline campaigns show {id}")));
        }
        for (sender, reason) in &self.held {
            let what = format!("The number {sender} sends nothing: {}", mask::phones_in(reason));
            let trouble = Trouble::soon(what, "campaigns").page("/campaigns/numbers");
            found.push(trouble.command("trunkline campaigns numbers"));
        }
        if let Some((run, error)) = &self.reconcile {
            let what = format!("The last reconciliation failed: {}", mask::phones_in(error));
            let command = format!("trunkline reconcile show {run}");
            found.push(Trouble::soon(what, "reconcile").command(command));
        }
        for finding in &self.webhooks {
            let what = format!("The provider's webhooks: {}", mask::phones_in(&finding.what));
            found.push(Trouble::now(what, "rotation").command("trunkline webhooks create --dry-run"));
        }
        if self.unreadable > 0 {
            let what = format!("{} secrets cannot be opened with the master keys here", self.unreadable);
            found.push(Trouble::now(what, "rotation").command("trunkline secrets list"));
        }
        if self.overdue > 0 {
            let what = format!("The change of {} secrets takes too long", self.overdue);
            found.push(Trouble::soon(what, "rotation").command("trunkline secrets list"));
        }
        for (schedule, task) in &self.failing {
            let what = format!("The last task of the schedule {schedule} died");
            let mut trouble = Trouble::soon(what, "schedules");
            if let Some(task) = task {
                trouble =
                    trouble.page(format!("/tasks/{task}")).command(format!("trunkline tasks show {task}"));
            }
            found.push(trouble);
        }
        if self.unknown > 0 {
            let what = format!("{} tasks wait for a release that knows their job", self.unknown);
            let trouble = Trouble::soon(what, "upgrading").page("/tasks?q=state%3Apending");
            found.push(trouble.command("trunkline stats"));
        }
        found
    }
}

/// What does not answer.
pub fn of_checks(checks: &Checks) -> Vec<Trouble> {
    let asked = [
        ("The database", Some(&checks.database), true, "database-away"),
        ("Redis", checks.redis.as_ref(), false, "redis-away"),
        ("The connection that listens", checks.listen.as_ref(), false, "database-away"),
        ("The store of files", checks.media_store.as_ref(), false, "media-store"),
        ("The virus scanner", checks.scanner.as_ref(), false, "media"),
        ("A worker of this process", checks.workers.as_ref(), true, "stopping"),
    ];
    let found = asked.into_iter().filter_map(|(name, check, urgent, runbook)| {
        let problem = check.and_then(|check| check.problem.as_deref())?;
        Some(Trouble { urgent, ..Trouble::now(format!("{name}: {}", mask::phones_in(problem)), runbook) })
    });
    found.collect()
}

/// The urgent ones first, else in their order.
pub fn ranked(mut troubles: Vec<Trouble>) -> Vec<Trouble> {
    troubles.sort_by_key(|trouble| !trouble.urgent);
    troubles
}

fn counted(count: usize) -> String {
    match count >= MOST as usize {
        true => format!("{count} or more"),
        false => count.to_string(),
    }
}
