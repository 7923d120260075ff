//! Figures on calls: how long people talk, what goes unanswered, when it rings.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use maud::{Markup, html};
use poem::web::Data;
use poem::{Request, handler};
use trunkline_jobs::calls::stats::{
    self, Breakdown, CallStats, Filter, Group, Hour, Range, StatsError, USUAL_DAYS,
};
use trunkline_platform::db::DbError;

use super::heat;
use super::wanted::{self, field};
use crate::dashboard::Pages;
use crate::dashboard::form::{Fields, address};
use crate::dashboard::layout::Place;
use crate::dashboard::parts;
use crate::dashboard::visit::{Page, Visit};
use crate::elapsed;
use crate::mask::{self, View};

const BREAKDOWNS: [Breakdown; 5] =
    [Breakdown::Number, Breakdown::User, Breakdown::Day, Breakdown::Week, Breakdown::Month];
/// Groups that are shown: more than a year has days.
const MOST: usize = 400;

/// `GET /calls/figures`
#[handler]
pub(in crate::dashboard) async fn figures(Data(pages): Data<&Arc<Pages>>, request: &Request) -> Page {
    let visit = pages.visit(request).await?;
    let fields = Fields::of_query(request);
    let by = breakdown(&fields);
    let found = match read(&visit, &fields) {
        Ok(filter) => count(&visit, &filter, by).await?,
        Err(unclear) => Err(unclear),
    };
    let content = html! {
        h1 { "Figures on calls" }
        p { a href="/calls" { "Calls" } }
        (form(&fields, by))
        @match &found {
            Err(unclear) => p.problem role="alert" { (unclear) },
            Ok((told, hours)) => {
                (whole(&visit, told))
                (outcomes(&visit, told, &fields))
                h2 { "When it rings" }
                (heat::week(hours))
                h2 { "By " (by) }
                (groups(&told.groups, by))
            }
        }
    };
    Ok(visit.page(Place::Calls, "Figures on calls", &content))
}

fn breakdown(fields: &Fields) -> Breakdown {
    let asked = BREAKDOWNS.into_iter().find(|by| fields.get("by") == Some(by.to_string().as_str()));
    asked.unwrap_or(Breakdown::Number)
}

fn read(visit: &Visit<'_>, fields: &Fields) -> Result<Filter, String> {
    let day = |name: &str| -> Result<Option<NaiveDate>, String> {
        let Some(text) = fields.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| format!("{text:?} is no day: write one such as 2026-03-02."))
    };
    let range = Range::asked(day("from")?, day("to")?, USUAL_DAYS, visit.now, visit.pages.zone);
    // An id of the provider's is no number, and stays as it is.
    Ok(Filter { range, number: fields.get("number").map(wanted::number), user: fields.owned("user") })
}

type Counted = Result<(CallStats, Vec<Hour>), String>;

async fn count(visit: &Visit<'_>, filter: &Filter, by: Breakdown) -> Result<Counted, DbError> {
    let (db, zone) = (visit.pages.tasks.db(), visit.pages.zone);
    let told = match stats::stats(db, zone, filter, Some(by)).await {
        Ok(told) => told,
        Err(error) => return unclear(error),
    };
    match stats::by_hour(db, zone, filter).await {
        Ok(hours) => Ok(Ok((told, hours))),
        Err(error) => unclear(error),
    }
}

fn unclear(error: StatsError) -> Result<Counted, DbError> {
    match error {
        StatsError::Database(error) => Err(error),
        other => Ok(Err(format!("{}.", mask::phones_in(&other.to_string())))),
    }
}

fn form(fields: &Fields, by: Breakdown) -> Markup {
    let day = |name: &str, label: &str| {
        html! { div { label for=(name) { (label) } input id=(name) name=(name) type="date" value=[fields.get(name)]; } }
    };
    html! {
        form.filter method="get" action="/calls/figures" {
            (day("from", "The first day"))
            (day("to", "The last day"))
            (field(fields, "number", "Our number", "+13105550142"))
            (field(fields, "user", "User", "US0123456789"))
            div {
                label for="by" { "By" }
                select #by name="by" {
                    @for one in BREAKDOWNS { option value=(one) selected[one == by] { (one) } }
                }
            }
            button type="submit" { "Count" }
        }
    }
}

fn whole(visit: &Visit<'_>, told: &CallStats) -> Markup {
    let total = &told.total;
    let outgoing = total.counts.total - total.counts.incoming;
    html! {
        dl.figures {
            div { dt { "Calls" } dd { (total.counts.total) span.note { (total.counts.incoming) " incoming, " (outgoing) " outgoing or untold" } } }
            div { dt { "Missed" } dd { (total.missed_rate.map_or_else(nothing, percent)) span.note { "of incoming" } } }
            div { dt { "Average talk" } dd { (total.average_ms.map_or_else(nothing, length)) } }
            div { dt { "Median talk" } dd { (total.median_ms.map_or_else(nothing, length)) } }
        }
        p.note {
            (told.range.from) " to " (told.range.to) ", by the clock of " (told.timezone) ". "
            @match told.counted_at {
                Some(at) => { "Counted " (parts::time(at, visit.now)) @if told.waiting > 0 { "; " (told.waiting) " changes wait" } "." },
                None => "Nothing was counted yet: the schedule calls.stats does it.",
            }
        }
    }
}

fn outcomes(visit: &Visit<'_>, told: &CallStats, fields: &Fields) -> Markup {
    let total = told.total.counts.total;
    html! {
        @if total > 0 {
            h2 { "What they came to" }
            table {
                thead { tr { th { "Outcome" } th.n { "Calls" } th.n { "Share" } th { span.aside { "Share as a bar" } } } }
                tbody {
                    @for (name, count) in told.total.counts.outcomes().into_iter().filter(|(_, count)| *count > 0) {
                        tr {
                            td { a href=(list(visit, told, name, fields)) { (name.replace('_', " ")) } }
                            td.n { (count) }
                            td.n { (percent(count as f64 / total as f64)) }
                            td.bar { meter min="0" max=(total) value=(count) aria-hidden="true" {} }
                        }
                    }
                }
            }
        }
    }
}

/// The calls that an outcome was counted of. The list knows days by their times, and no number of ours apart from others.
fn list(visit: &Visit<'_>, told: &CallStats, outcome: &str, fields: &Fields) -> String {
    let begin = |day: Option<NaiveDate>| -> Option<DateTime<Utc>> {
        let midnight = day?.and_hms_opt(0, 0, 0)?.and_local_timezone(visit.pages.zone);
        Some(midnight.earliest()?.to_utc())
    };
    let time = |at: Option<DateTime<Utc>>| at.map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true));
    let (since, until) = (time(begin(Some(told.range.from))), time(begin(told.range.to.succ_opt())));
    let number = fields.get("number").map(wanted::number).filter(|number| number.starts_with('+'));
    address(
        "/calls",
        &[
            ("outcome", Some(outcome)),
            ("since", since.as_deref()),
            ("until", until.as_deref()),
            ("number", number.as_deref()),
            ("user", fields.get("user")),
        ],
    )
}

fn groups(groups: &[Group], by: Breakdown) -> Markup {
    let mut shown: Vec<&Group> = groups.iter().collect();
    if matches!(by, Breakdown::Number | Breakdown::User) {
        shown.sort_by_key(|group| std::cmp::Reverse(group.counts.total));
    }
    html! {
        @if shown.is_empty() { p.note { "There are no calls." } } @else {
            div.wide tabindex="0" {
                table {
                    thead {
                        tr {
                            th { (by) } th.n { "Calls" } th.n { "Incoming" } th.n { "Answered" } th.n { "Missed" }
                            th.n { "Missed rate" } th.n { "Average" } th.n { "Median" }
                        }
                    }
                    tbody {
                        @for group in shown.iter().take(MOST) {
                            tr {
                                td { (name(group)) }
                                td.n { (group.counts.total) }
                                td.n { (group.counts.incoming) }
                                td.n { (group.counts.answered + group.counts.ai_handled) }
                                td.n { (group.counts.missed + group.counts.voicemail + group.counts.abandoned) }
                                td.n { @if let Some(rate) = group.missed_rate { (percent(rate)) } }
                                td.n { @if let Some(ms) = group.average_ms { (length(ms)) } }
                                td.n { @if let Some(ms) = group.median_ms { (length(ms)) } }
                            }
                        }
                    }
                }
            }
            @if shown.len() > MOST { p.note { "And " (shown.len() - MOST) " with fewer calls." } }
        }
    }
}

fn name(group: &Group) -> Markup {
    html! {
        @match (&group.dialled, group.name.as_str()) {
            (Some(dialled), name) => { (View::of(false).number(dialled)) " " span.note { (name) } },
            (None, "") => span.note { "not told" },
            (None, name) => (name),
        }
    }
}

fn nothing() -> String {
    "–".to_owned()
}

fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

fn length(ms: i64) -> String {
    elapsed::roughly(TimeDelta::milliseconds(ms))
}
