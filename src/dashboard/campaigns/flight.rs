//! What will come of a campaign, and while it goes, that beside what came.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use maud::{Markup, html};
use poem::web::{Data, Path};
use poem::{Request, handler};
use trunkline_jobs::campaigns::flight::{FlightPlan, kept};
use trunkline_jobs::campaigns::report::{Report, report as counted};
use trunkline_jobs::campaigns::{CampaignRow, State};

use super::charts::{self, Column};
use super::{figures, foreseen, found, report};
use crate::dashboard::form::Fields;
use crate::dashboard::layout::Place;
use crate::dashboard::visit::{Page, Stop, Visit};
use crate::dashboard::{Pages, parts};
use crate::elapsed;

/// `GET /campaigns/:id/plan`
#[handler]
pub(in crate::dashboard) async fn show(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path(id): Path<String>,
) -> Page {
    let visit = pages.visit(request).await?;
    let campaign = found(&visit, &id).await?;
    let fields = Fields::of_query(request);
    let at = fields.get("at").map(|text| time(text, visit.now));
    let at = at.transpose().map_err(|why| visit.refuse(Place::Campaigns, &why))?;
    let begun = matches!(campaign.state, State::Running | State::Paused);
    let ended = matches!(campaign.state, State::Completed | State::Cancelled);
    let content = html! {
        h1 { "Flight plan of campaign " a href={ "/campaigns/" (campaign.id) } { (campaign.id) " " (campaign.name) } " " (super::state(campaign.state)) }
        @if !ended { (ahead(&visit, &campaign, at, begun).await?) }
        @if campaign.started_at.is_some() { (beside(&visit, &campaign).await?) }
        @if ended && campaign.started_at.is_none() { p.note { "It ended before it began." } }
    };
    Ok(visit.page(Place::Campaigns, "Flight plan", &content))
}

/// What is to come.
async fn ahead(
    visit: &Visit<'_>,
    campaign: &CampaignRow,
    at: Option<DateTime<Utc>>,
    begun: bool,
) -> Result<Markup, Stop> {
    let plan = foresee(visit, campaign, at).await?;
    Ok(html! {
        p { "What is to come, foreseen by the very code that will decide. Nobody knows who will ask to stop meanwhile, or what else is started." }
        @if !begun {
            form.filter method="get" action={ "/campaigns/" (campaign.id) "/plan" } {
                div { label for="at" { "As if it started" } input #at name="at" placeholder="now, 2h, 2026-03-02T09:00:00Z" autocomplete="off"; }
                button type="submit" { "Foresee" }
            }
        }
        @match &plan {
            None => (too_long(campaign)),
            Some(plan) => {
                (told(visit, plan))
                (in_full(visit, plan))
            },
        }
    })
}

/// The plan as of a time; otherwise when it is scheduled for, or now. None: it takes too long for a page.
pub(super) async fn foresee(
    visit: &Visit<'_>,
    campaign: &CampaignRow,
    at: Option<DateTime<Utc>>,
) -> Result<Option<FlightPlan>, Stop> {
    let start = at.or(campaign.scheduled_for).map_or(visit.now, |start| start.max(visit.now));
    let tower = visit.pages.campaigns.tower(visit.pages.tasks.db());
    foreseen(visit, tower.foresee(campaign, start, visit.now, None)).await
}

pub(super) fn too_long(campaign: &CampaignRow) -> Markup {
    html! {
        p.problem role="alert" {
            "So many wait that it takes too long for a page. " code { "trunkline campaigns plan " (campaign.id) } " tells it."
        }
    }
}

/// The plan in a few words.
pub(super) fn told(visit: &Visit<'_>, plan: &FlightPlan) -> Markup {
    let price = &visit.pages.campaigns.price;
    let refused: u64 = plan.refused.values().sum();
    html! {
        p.big {
            strong { (plan.texts) @if plan.texts == 1 { " text" } @else { " texts" } } " would leave"
            @if plan.already > 0 { " beside the " (plan.already) " that have" }
            ", " (plan.segments) @if plan.segments == 1 { " segment" } @else { " segments" } " for " strong { (price.of(plan.segments)) } ". "
            (refused) @if refused == 1 { " person gets" } @else { " people get" } " nothing."
        }
        @if let (Some(first), Some(last)) = (plan.first_at, plan.last_at) {
            p { "The first leaves " (moment(visit, first)) ", the last " (moment(visit, last)) "." }
        }
        @if let Some(stopped) = &plan.stopped {
            p.problem role="alert" {
                @if stopped.reason == "horizon" { "It goes on for longer than is looked ahead: " }
                @else { "It does not come to its end. It stops for " code { (stopped.reason) } " " (moment(visit, stopped.at)) ": " }
                (stopped.waiting) " would still wait."
            }
        }
        (counts("Get nothing", "People", &plan.refused))
        (counts("Wait before they get theirs", "People", &plan.held))
    }
}

fn in_full(visit: &Visit<'_>, plan: &FlightPlan) -> Markup {
    let columns: Vec<Column> =
        hours(plan).into_iter().map(|(label, value)| Column { label, value, planned: None }).collect();
    let waits =
        plan.waits.iter().map(|(what, seconds)| (what, elapsed::roughly(TimeDelta::seconds(*seconds))));
    html! {
        @if !columns.is_empty() { h2 { "Texts to leave" } (charts::columns("Texts to leave in each hour (UTC)", &columns)) }
        (counts("By our number they are sent from", "Texts", &plan.numbers))
        (counts("By text", "Texts", &plan.variants))
        @if !plan.waits.is_empty() {
            h2 { "How long nothing leaves" }
            ul.plain { @for (what, long) in waits { li { code { (what) } ": " (long) } } }
        }
        @if !plan.others.is_empty() {
            p {
                "Beside it run and share the provider's rate and our numbers: "
                @for other in &plan.others { a href={ "/campaigns/" (other) } { (other) } " " }
                @if plan.more_others { "and more" }
            }
        }
        p.note { "Foreseen " (parts::time(plan.made_at, visit.now)) ", as if it ran from " (parts::time(plan.starts_at, visit.now)) " on." }
    }
}

/// What was planned when it began, beside what came.
async fn beside(visit: &Visit<'_>, campaign: &CampaignRow) -> Result<Markup, Stop> {
    let db = visit.pages.tasks.db();
    let Some(planned) = kept(db, campaign.id).await? else {
        return Ok(html! { p.note { "It began without a plan that was kept." } });
    };
    let tower = visit.pages.campaigns.tower(db);
    let progress = foreseen(visit, tower.progress(campaign, visit.now)).await?.flatten();
    let columns = both(&planned, &counted(db, campaign).await?);
    Ok(html! {
        h2 { "As it was planned, and as it came" }
        @if let Some(progress) = &progress { (figures::fares(visit, progress)) }
        (charts::columns("Texts that left (filled), and as it was planned when it began (outlined)", &columns))
        p.note {
            "Planned " (parts::time(planned.made_at, visit.now)) ": " (planned.texts) " texts, " (planned.segments) " segments"
            @if let Some(last) = planned.last_at { ", the last of them " (moment(visit, last)) }
            "."
        }
    })
}

/// Both by the hour or by the day, as the report tells it.
fn both(planned: &FlightPlan, counted: &Report) -> Vec<Column> {
    let mut columns: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let length = if counted.bucket == "hour" { "2026-03-02T17".len() } else { "2026-03-02".len() };
    for (label, texts) in hours(planned) {
        columns.entry(label[..length].to_owned()).or_default().1 += texts;
    }
    for (label, left) in report::left_by_time(counted) {
        columns.entry(label).or_default().0 += left;
    }
    columns
        .into_iter()
        .map(|(label, (value, planned))| Column { label, value, planned: Some(planned) })
        .collect()
}

fn hours(plan: &FlightPlan) -> Vec<(String, u64)> {
    plan.hours.iter().map(|hour| (hour.begins.format("%Y-%m-%dT%H").to_string(), hour.texts)).collect()
}

fn counts(says: &str, of: &str, counts: &BTreeMap<String, u64>) -> Markup {
    let whole: u64 = counts.values().sum();
    let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    html! {
        @if !counts.is_empty() {
            h2 { (says) }
            div.wide tabindex="0" {
                table {
                    thead { tr { th.n { (of) } th { "" } th { "Part" } } }
                    tbody {
                        @for (what, count) in counts {
                            tr { td.n { (count) } td { code { (what) } } td { (charts::bar(signed(*count), signed(whole))) } }
                        }
                    }
                }
            }
        }
    }
}

/// A time that somebody may write down, and how far away it is.
fn moment(visit: &Visit<'_>, at: DateTime<Utc>) -> Markup {
    html! { (at.to_rfc3339_opts(SecondsFormat::Secs, true)) " (" (parts::time(at, visit.now)) ")" }
}

/// `now`, a length of time from now, or a time.
pub(super) fn time(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    let time = match text {
        "now" => Some(now),
        _ => elapsed::ahead(text, now).or_else(|| elapsed::time(text)),
    };
    time.ok_or_else(|| format!("{text:?} is no time: write now, 2h, or a time such as 2026-03-02T09:00:00Z."))
}
