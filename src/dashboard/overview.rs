//! What whoever is woken opens first: is it well, what is not, and where that is dealt with. Each trouble is told with
//! its place and its runbook; figures come after.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};
use poem::web::Data;
use poem::{Request, handler};
use trunkline_jobs::contacts::optout;
use trunkline_jobs::sends::{self, SendFilter, SendState};
use trunkline_platform::schedule::operate;
use trunkline_platform::task::dead::{DeadFilter, DeadGroup};
use trunkline_platform::task::{Backlog, LimitRow, TaskId, WorkerRow};

use super::form::address;
use super::layout::Place;
use super::visit::{Page, Stop, Visit};
use super::{Pages, parts};
use crate::elapsed;
use crate::health::Report;
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
struct Trouble {
    /// Nothing, or not all, goes on.
    urgent: bool,
    what: String,
    /// Where it is dealt with.
    place: Option<String>,
    runbook: &'static str,
}

/// Everything that is looked at.
struct Look {
    report: Report,
    workers: Vec<WorkerRow>,
    backlog: Vec<Backlog>,
    queues: Vec<QueueNow>,
    limits: Vec<LimitRow>,
    groups: Vec<DeadGroup>,
    dead: i64,
    unresolved: usize,
    reviews: usize,
    /// Schedules whose last task died.
    failing: Vec<(String, Option<TaskId>)>,
    /// Waits for a release that knows its job.
    unknown: i64,
}

/// `GET /`
#[handler]
pub(super) async fn show(Data(pages): Data<&Arc<Pages>>, request: &Request) -> Page {
    let visit = pages.visit(request).await?;
    let look = Look::take(&visit).await?;
    let troubles = look.troubles(visit.now);
    let content = html! {
        (verdict(&troubles))
        (look.queue_table(visit.now))
        @if look.dead > 0 {
            h2 { "Dead letters: " (look.dead) }
            ul.plain {
                @for group in &look.groups {
                    li {
                        a href=(group_address(group)) { (group.count) " × " code { (group.kind) } }
                        " " (mask::phones_in(&group.error)) " "
                        span.note { "last " (parts::time(group.last_died_at, visit.now)) }
                    }
                }
            }
        }
        h2 { "Workers" }
        ul.plain {
            @for worker in look.alive(visit.now) {
                li { code { (worker.id) } " on " (worker.host) ", since " (parts::time(worker.started_at, visit.now)) }
            }
        }
    };
    Ok(visit.page(Place::Overview, "Overview", &content))
}

fn verdict(troubles: &[Trouble]) -> Markup {
    html! {
        @match troubles.len() {
            0 => h1 { "All is well" },
            1 => h1 { "One thing is not well" },
            count => h1 { (count) " things are not well" },
        }
        ul.troubles {
            @for trouble in troubles {
                li class=(if trouble.urgent { "urgent" } else { "soon" }) {
                    strong { (if trouble.urgent { "Now: " } else { "Soon: " }) }
                    (trouble.what)
                    span.ways {
                        @if let Some(place) = &trouble.place { a href=(place) { "Deal with it" } " " }
                        a href={ "/runbooks/" (trouble.runbook) } { "Runbook: " (trouble.runbook) }
                    }
                }
            }
        }
    }
}

fn group_address(group: &DeadGroup) -> String {
    let (kind, fingerprint) = (Some(group.kind.as_str()), group.fingerprint.as_deref());
    address("/dead/list", &[("kind", kind), ("fingerprint", fingerprint)])
}

impl Look {
    async fn take(visit: &Visit<'_>) -> Result<Self, Stop> {
        let (tasks, jobs) = (&visit.pages.tasks, &visit.pages.jobs);
        let db = tasks.db();
        let report = visit.pages.probes.report().await;
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
        Ok(Self {
            report,
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
            backlog,
            limits,
        })
    }

    fn alive(&self, now: DateTime<Utc>) -> impl Iterator<Item = &WorkerRow> {
        self.workers.iter().filter(move |worker| worker.lease_until > now)
    }

    fn troubles(&self, now: DateTime<Utc>) -> Vec<Trouble> {
        let trouble = |urgent: bool, what: String, place: Option<&str>, runbook: &'static str| Trouble {
            urgent,
            what,
            place: place.map(str::to_owned),
            runbook,
        };
        let mut found = Vec::new();
        let checks = &self.report.checks;
        for (name, check, urgent, runbook) in [
            ("The database", Some(&checks.database), true, "database-away"),
            ("Redis", checks.redis.as_ref(), false, "redis-away"),
            ("The connection that listens", checks.listen.as_ref(), false, "database-away"),
            ("The store of files", checks.media_store.as_ref(), false, "media-store"),
            ("A worker of this process", checks.workers.as_ref(), true, "stopping"),
        ] {
            if let Some(problem) = check.and_then(|check| check.problem.as_deref()) {
                found.push(trouble(urgent, format!("{name}: {}", mask::phones_in(problem)), None, runbook));
            }
        }
        if self.alive(now).next().is_none() {
            found.push(trouble(
                true,
                "No worker is alive: nothing is worked off".to_owned(),
                None,
                "stopping",
            ));
        }
        for queue in self.queues.iter().filter(|queue| !queue.paused) {
            let waited = queue.depth.oldest_due.map(|since| now - since).filter(|waited| *waited > STUCK);
            if let Some(waited) = waited {
                let (name, length) = (&queue.depth.queue, elapsed::roughly(waited));
                let what = format!("In the queue {name} a task that is due has waited for {length}");
                let place = address("/tasks", &[("q", Some(&format!("state:pending queue:{name}")))]);
                found.push(trouble(true, what, Some(&place), "holding-back"));
            }
        }
        if self.dead > 0 {
            let what = format!("{} dead letters wait for somebody", self.dead);
            found.push(trouble(false, what, Some("/dead"), "dead-letters"));
        }
        for limit in self.limits.iter().filter(|limit| limit.paused) {
            let what = format!("{} is paused, by {}", limit.scope, limit.set_by);
            found.push(trouble(false, what, Some("/queues"), "holding-back"));
        }
        let count = |count: usize| match count >= MOST as usize {
            true => format!("{count} or more"),
            false => count.to_string(),
        };
        if self.unresolved > 0 {
            let what = format!(
                "{} texts may or may not have been sent; a person has to say (trunkline sends list --state unresolved)",
                count(self.unresolved)
            );
            found.push(trouble(false, what, None, "sending"));
        }
        if self.reviews > 0 {
            let what = format!(
                "{} answers may be opt-outs; a person has to say (trunkline optouts review)",
                count(self.reviews)
            );
            found.push(trouble(false, what, None, "opt-outs"));
        }
        for (schedule, task) in &self.failing {
            let place = task.map(|task| format!("/tasks/{task}"));
            let what = format!("The last task of the schedule {schedule} died");
            found.push(trouble(false, what, place.as_deref(), "schedules"));
        }
        if self.unknown > 0 {
            let what = format!("{} tasks wait for a release that knows their job", self.unknown);
            found.push(trouble(false, what, Some("/tasks?q=state:pending"), "upgrading"));
        }
        found.sort_by_key(|trouble| !trouble.urgent);
        found
    }

    fn queue_table(&self, now: DateTime<Utc>) -> Markup {
        html! {
            h2 { "Queues" }
            div.wide tabindex="0" {
                table {
                    thead {
                        tr {
                            th { "Queue" } th.n { "Due" } th.n { "Later" } th.n { "Running" } th.n { "Behind" }
                            th { "Oldest due" } th.n { "Done/min" } th.n { "Failed/min" }
                        }
                    }
                    tbody {
                        @for QueueNow { depth, paused, rate } in &self.queues {
                            tr {
                                td {
                                    a href=(address("/tasks", &[("q", Some(&format!("queue:{}", depth.queue)))])) { (depth.queue) }
                                    @if *paused { " " span.state { "paused" } }
                                }
                                td.n { (depth.due) } td.n { (depth.delayed) } td.n { (depth.running) } td.n { (depth.blocked) }
                                td { @if let Some(since) = depth.oldest_due { (parts::time(since, now)) } }
                                td.n { (format!("{:.1}", rate.done_per_minute[1])) }
                                td.n { (format!("{:.1}", rate.failed_per_minute[1])) }
                            }
                        }
                    }
                }
            }
            @if self.backlog.is_empty() { p.note { "Nothing waits and nothing runs." } }
            p.note { "Rates: over the last five minutes. Done and failed are attempts." }
        }
    }
}
