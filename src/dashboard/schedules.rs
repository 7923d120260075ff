//! Schedules: what happens when, what became of it, and stopping and starting it by hand.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use poem::web::{Data, Path};
use poem::{Body, Request, handler};
use trunkline_platform::duration;
use trunkline_platform::schedule::{Outcome, Schedule, ScheduleState, TickRow, operate};

use super::form::{self, Fields, address};
use super::layout::Place;
use super::visit::{Page, Stop, Visit};
use super::{Pages, parts, see_other};
use crate::mask;
use crate::schedules::standing;

/// Firings shown ahead.
const AHEAD: usize = 5;
/// Ticks shown of the past.
const PAGE: u32 = 50;

/// `GET /schedules`
#[handler]
pub(super) async fn list(Data(pages): Data<&Arc<Pages>>, request: &Request) -> Page {
    let visit = pages.visit(request).await?;
    let states = operate::states(pages.tasks.db()).await?;
    let content = html! {
        h1 { "Schedules" }
        (parts::outcome(&Fields::of_query(request)))
        p { "What happens although nobody asks. " a href="/runbooks/schedules" { "Runbook" } }
        div.wide tabindex="0" {
            table {
                thead { tr { th { "Schedule" } th { "State" } th { "Next" } th { "Where it is for" } th { "Job" } } }
                tbody {
                    @for schedule in pages.schedules.iter() {
                        @let state = states.iter().find(|state| state.name == schedule.name);
                        @let next = schedule.when.after(visit.now).next();
                        tr {
                            td { a href={ "/schedules/" (schedule.name) } { (schedule.name) } }
                            td { (parts::state(standing(schedule, state))) }
                            td { @if let Some(next) = next { (parts::time(next, visit.now)) } }
                            td { @if let Some(next) = next { (local(schedule, next)) } }
                            td { code { (schedule.job) } }
                        }
                    }
                }
            }
        }
    };
    Ok(visit.live(Place::Schedules, "Schedules", &content))
}

/// `GET /schedules/:name`
#[handler]
pub(super) async fn show(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path(name): Path<String>,
) -> Page {
    let visit = pages.visit(request).await?;
    let schedule = find(&visit, &name)?;
    let fields = Fields::of_query(request);
    let states = operate::states(pages.tasks.db()).await?;
    let state = states.iter().find(|state| state.name == schedule.name);
    let before = fields.get("before").and_then(|time| DateTime::parse_from_rfc3339(time).ok());
    let before = before.map(|time| time.to_utc());
    let rows = operate::history(pages.tasks.db(), Some(&schedule.name), before, PAGE + 1).await?;
    let (shown, last) = parts::page(&rows, PAGE);
    let last = last.map(|row| row.tick_at.to_rfc3339());
    let content = html! {
        h1 { "Schedule " code { (schedule.name) } " " (parts::state(standing(schedule, state))) }
        (parts::outcome(&fields))
        (about(&visit, schedule, state))
        @if visit.may_operate() { (choices(schedule, state)) }
        h2 { "Next" }
        ol.plain {
            @for next in schedule.when.after(visit.now).take(AHEAD) {
                li { (local(schedule, next)) " " (parts::time(next, visit.now)) }
            }
        }
        h2 { "What became of its ticks" }
        (history(&visit, shown))
        @if let Some(last) = last { (parts::next(&format!("/schedules/{}", schedule.name), &[("before", Some(&last))])) }
    };
    Ok(visit.live(Place::Schedules, &schedule.name, &content))
}

fn about(visit: &Visit<'_>, schedule: &Schedule, state: Option<&ScheduleState>) -> Markup {
    let jitter = (!schedule.jitter.is_zero()).then(|| html! { "up to " (duration::write(schedule.jitter)) });
    let payload = mask::json(schedule.payload()).to_string();
    parts::facts(&[
        ("Paused", state.and_then(|state| state.paused_at).map(|at| parts::time(at, visit.now))),
        ("Cron", Some(html! { code { (schedule.when.expression()) } " " (schedule.when.zone()) })),
        ("Job", Some(html! { code { (schedule.job) } " " code { (payload) } })),
        ("When it was missed", Some(html! { (schedule.missed) })),
        ("When the last has not ended", Some(html! { (schedule.overlap) })),
        ("Jitter", jitter),
        ("File", Some(html! { (schedule.file) })),
        ("Judged up to", state.map(|state| parts::time(state.last_tick, visit.now))),
    ])
}

fn choices(schedule: &Schedule, state: Option<&ScheduleState>) -> Markup {
    let paused = state.is_some_and(|state| state.paused_at.is_some());
    let (toggle, says) = if paused { ("resume", "Resume it") } else { ("pause", "Pause it") };
    let form = |word: &str, says: &str| {
        html! {
            details {
                summary { (says) }
                form method="post" action=(format!("/schedules/{}/{word}", schedule.name)) {
                    (form::reason(&format!("why-{word}")))
                    button type="submit" { (says) }
                }
            }
        }
    };
    html! { (form(toggle, says)) (form("fire", "Fire it now")) }
}

fn history(visit: &Visit<'_>, rows: &[TickRow]) -> Markup {
    html! {
        @if rows.is_empty() { p.note { "It has not ticked." } } @else {
            div.wide tabindex="0" {
                table {
                    thead { tr { th { "Tick" } th { "Outcome" } th.n { "Ticks" } th { "By" } th { "Task" } } }
                    tbody {
                        @for row in rows {
                            tr {
                                td { (parts::time(row.tick_at, visit.now)) }
                                td { (row.outcome) }
                                td.n { (row.ticks) }
                                td { (row.source) }
                                td {
                                    @if let Some(task) = row.task_id { (parts::task(task)) }
                                    @if let Some(state) = &row.task_state { " " (parts::state(state)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// `POST /schedules/:name/pause`, `…/resume`, `…/fire`
#[handler]
pub(super) async fn act(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path((name, word)): Path<(String, String)>,
    body: Body,
) -> Page {
    let visit = pages.operator(request).await?;
    let schedule = find(&visit, &name)?;
    let fields = Fields::of_body(body).await.unwrap_or_default();
    let reason = visit.reason(Place::Schedules, &fields)?;
    let actor = visit.actor(Some(reason));
    match word.as_str() {
        "pause" => drop(operate::pause(&pages.tasks, schedule, &actor).await?),
        "resume" => drop(operate::resume(&pages.tasks, schedule, &actor).await?),
        "fire" => match operate::trigger(&pages.tasks, schedule, &actor).await? {
            (Outcome::Fired | Outcome::Existing, Some(task)) => {
                return Ok(see_other(&format!("/tasks/{task}")));
            }
            _ => {
                let why = "A task of an earlier tick has not ended, and this schedule does not overlap.";
                return Err(visit.refuse(Place::Schedules, why));
            }
        },
        _ => return Err(visit.missing(Place::Schedules, "such act")),
    }
    Ok(see_other(&address(&format!("/schedules/{}", schedule.name), &[("did", Some(&word))])))
}

fn find<'v>(visit: &Visit<'v>, name: &str) -> Result<&'v Schedule, Stop> {
    visit.pages.schedules.get(name).ok_or_else(|| visit.missing(Place::Schedules, "such schedule"))
}

fn local(schedule: &Schedule, at: DateTime<Utc>) -> String {
    at.with_timezone(&schedule.when.zone()).format("%a %Y-%m-%d %H:%M %Z").to_string()
}
