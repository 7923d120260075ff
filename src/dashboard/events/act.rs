//! Replay: what it would be, then its beginning; and ending one and going on with it.

use std::sync::Arc;

use chrono::{SecondsFormat, TimeDelta};
use maud::{Markup, html};
use poem::web::{Data, Path};
use poem::{Body, Request, handler};
use trunkline_jobs::events::replay::{self, LARGEST_PACE, MOST_COUNTED, Order, ReplayError, USUAL_PACE};
use trunkline_jobs::events::{EventFilter, Survey, survey};

use super::wanted;
use crate::dashboard::form::{self, Fields, hidden};
use crate::dashboard::layout::Place;
use crate::dashboard::visit::{Page, Stop, Visit};
use crate::dashboard::{Pages, parts, see_other};
use crate::mask::View;

/// What is chosen, if anything is. Nothing is chosen by accident: all of them only if that is said.
fn chosen(visit: &Visit<'_>, fields: &Fields) -> Result<EventFilter, Stop> {
    let filter = wanted::read(fields, visit.now).map_err(|why| visit.refuse(Place::Events, &why))?;
    if filter.is_empty() && fields.get("all") != Some("yes") {
        return Err(visit.refuse(Place::Events, "Nothing is chosen: go back and say which events."));
    }
    Ok(filter)
}

/// `GET /events/replay`: what would be done.
#[handler]
pub(in crate::dashboard) async fn rehearse(Data(pages): Data<&Arc<Pages>>, request: &Request) -> Page {
    let visit = pages.operator(request).await?;
    let fields = Fields::of_query(request);
    let filter = chosen(&visit, &fields)?;
    let counted = survey(pages.tasks.db(), &filter, MOST_COUNTED, |_| {}).await?;
    // What comes from now on is not what was shown. What came at this very moment was there to be seen.
    let now = visit.now + TimeDelta::microseconds(1);
    let until = filter.until.map_or(now, |until| until.min(now));
    let named = wanted::fields(&EventFilter { until: Some(until), ..filter.clone() });
    let content = html! {
        h1 { "Replay?" }
        p { "Of " (wanted::told(&filter, View::of(false))) }
        (would(&visit, &counted))
        @if counted.found > 0 || !counted.complete {
            form method="post" action="/events/replay" {
                (hidden(&wanted::borrowed(&named, &[])))
                label for="pace" { "Events in a second" }
                input #pace name="pace" type="number" min="1" max=(LARGEST_PACE) value=(USUAL_PACE) required;
                (form::reason("reason"))
                p.buttons {
                    button type="submit" { @if counted.complete { "Replay " (counted.found) } @else { "Replay them" } }
                    a href="/events" { "Leave it" }
                }
            }
        } @else { p { a href="/events" { "Back to the events" } } }
    };
    Ok(visit.page(Place::Events, "Replay", &content))
}

fn would(visit: &Visit<'_>, counted: &Survey) -> Markup {
    let absolute = |at: chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    html! {
        p.big {
            strong { (counted.found) }
            @if !counted.complete { " or more" }
            " would be done once more, behind everything that is new. What they keep stays as doing them once left it, and nothing is texted because of it."
        }
        @if !counted.complete {
            p.note { "Counted among the oldest " (counted.looked) ". The rest is found on the way." }
        }
        @if let (Some(first), Some(last)) = (counted.first_at, counted.last_at) {
            p { "Received from " (absolute(first)) " to " (absolute(last)) "." }
        }
        @if !counted.by_type.is_empty() {
            div.wide tabindex="0" {
                table {
                    thead { tr { th.n { "Events" } th { "Type" } th { "Job" } } }
                    tbody {
                        @for row in &counted.by_type {
                            tr {
                                td.n { (row.count) }
                                td { code { (row.event_type) } }
                                td { @match &row.job { Some(job) => code { (job) }, None => span.note { "none, unless this release knows one" } } }
                            }
                        }
                    }
                }
            }
            p {
                "The first of them: "
                @for event in &counted.sample { a href={ "/events/" (event.id) } { (event.id) } " (" (parts::time(event.received_at, visit.now)) ") " }
            }
        }
    }
}

/// `POST /events/replay`
#[handler]
pub(in crate::dashboard) async fn perform(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    body: Body,
) -> Page {
    let visit = pages.operator(request).await?;
    let fields = Fields::of_body(body).await.unwrap_or_default();
    let filter = chosen(&visit, &fields)?;
    let reason = visit.reason(Place::Events, &fields)?;
    let order = Order { filter, pace: fields.number("pace").unwrap_or(0) };
    let begun = replay::begin(&pages.tasks, &order, &visit.actor(Some(reason))).await;
    match begun {
        Ok((id, _)) => Ok(see_other(&format!("/events/replays/{id}"))),
        Err(error) => Err(refused(&visit, error)),
    }
}

/// `POST /events/replays/:id/cancel`, `POST /events/replays/:id/resume`
#[handler]
pub(in crate::dashboard) async fn change(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path((id, word)): Path<(i64, String)>,
    body: Body,
) -> Page {
    let visit = pages.operator(request).await?;
    let fields = Fields::of_body(body).await.unwrap_or_default();
    let reason = visit.reason(Place::Events, &fields)?;
    let actor = visit.actor(Some(reason));
    let done = match word.as_str() {
        "cancel" => replay::cancel(&pages.tasks, id, &actor).await.map(drop),
        "resume" => replay::resume(&pages.tasks, id, &actor).await,
        _ => return Err(visit.missing(Place::Events, "such act")),
    };
    match done {
        Ok(()) => Ok(see_other(&format!("/events/replays/{id}"))),
        Err(error) => Err(refused(&visit, error)),
    }
}

fn refused(visit: &Visit<'_>, error: ReplayError) -> Stop {
    match error {
        ReplayError::Database(error) => error.into(),
        ReplayError::Unknown(_) => visit.missing(Place::Events, "such replay"),
        other => visit.refuse(Place::Events, &format!("{other}.")),
    }
}
