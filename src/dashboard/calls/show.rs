//! A call: who, when and how long, what was said, what it came to.

use std::sync::Arc;

use maud::{Markup, html};
use poem::web::{Data, Path};
use poem::{Request, handler};
use serde_json::Value;
use trunkline_jobs::calls::{self, CallDetails, CallRow, Said};
use trunkline_jobs::media::inspect::{self, MediaDetail};

use super::{list, player};
use crate::access::Scope;
use crate::dashboard::form::{Fields, address};
use crate::dashboard::layout::Place;
use crate::dashboard::visit::{Page, Visit};
use crate::dashboard::{Pages, parts};
use crate::elapsed::clock;
use crate::mask::View;

/// `GET /calls/:id`
#[handler]
pub(in crate::dashboard) async fn show(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path(id): Path<String>,
) -> Page {
    let visit = pages.visit(request).await?;
    let db = pages.tasks.db();
    let found = calls::show(db, &id.replace('\0', "")).await?;
    let call = found.ok_or_else(|| visit.missing(Place::Calls, "such call"))?;
    let files = inspect::recordings(db, &call.call.id).await?;
    let left = inspect::voicemail(db, &call.call.id).await?;
    let fields = Fields::of_query(request);
    let unmask = fields.get("unmask") == Some("true");
    let view = visit.view(unmask, &format!("call:{}", call.call.id)).await?;
    let at = fields.number("at").filter(|at: &f64| at.is_finite());
    let at = at.and_then(|at| player::moment(&call.recordings, at));
    let path = super::path(&call.call.id);
    let content = html! {
        h1 { "Call of " (visit.local(call.call.at)) " " (list::came_to(call.call.outcome.as_deref(), &call.call.status)) }
        (about(&visit, &call, view))
        (visit.way_to_unmask(unmask, &path))
        (player::recordings(&visit, &files, at))
        (paragraphs("Summary", &call.summary, call.call.summary_status.as_deref(), view))
        (paragraphs("Next steps", &call.next_steps, None, view))
        (voicemail(&visit, &call.call, &left, view))
        @let listens = visit.caller.scopes.has(Scope::Pii) && files.iter().any(|file| file.servable().is_some());
        (dialogue(&call, view, listens.then_some((path.as_str(), unmask))))
        @if call.insights != Value::Null {
            details { summary { "What else the provider made of it" } (parts::json(&view.json(&call.insights.to_string()))) }
        }
    };
    Ok(visit.page(Place::Calls, "Call", &content))
}

fn about(visit: &Visit<'_>, call: &CallDetails, view: View) -> Markup {
    let CallDetails { call, participants, menu, .. } = call;
    let number = |number: &Option<String>| number.as_deref().map(|number| html! { (view.number(number)) });
    let code = |text: &Option<String>| text.as_deref().map(|text| html! { code { (text) } });
    let time = |at: Option<chrono::DateTime<chrono::Utc>>| at.map(|at| parts::time(at, visit.now));
    let others: Vec<String> = participants.iter().map(|one| view.number(one)).collect();
    let conversation = call.conversation_id.as_deref().map(|id| {
        let to = address("/calls/search", &[("conversation", Some(id)), ("order", Some("newest"))]);
        html! { a href=(to) { (id) } }
    });
    parts::facts(&[
        ("Call", Some(html! { code { (call.id) } })),
        ("Began", time(Some(call.at))),
        ("Which way", call.direction.as_deref().map(|way| html! { (way) })),
        ("From", number(&call.caller)),
        ("To", number(&call.callee)),
        ("Took part", (!others.is_empty()).then(|| html! { (others.join(", ")) })),
        ("Length", call.duration_ms.map(|ms| html! { (clock(ms as f64 / 1_000.0)) })),
        ("Answered", time(call.answered_at)),
        ("Answered by", code(&call.answered_by)),
        ("Ended", time(call.completed_at)),
        ("The provider’s word", Some(html! { (call.status) })),
        ("Forwarded from", number(&call.forwarded_from)),
        ("Forwarded to", number(&call.forwarded_to)),
        (
            "Chosen in the menu",
            (*menu != Value::Null).then(|| html! { code { (view.json(&menu.to_string())) } }),
        ),
        ("User", code(&call.user_id)),
        ("Our number", code(&call.phone_number_id)),
        ("Conversation", conversation),
    ])
}

/// What was made of the call, or how far that is.
fn paragraphs(name: &str, texts: &[String], status: Option<&str>, view: View) -> Markup {
    html! {
        @if !texts.is_empty() {
            h2 { (name) }
            ul { @for text in texts { li { (view.said(text)) } } }
        } @else if let Some(status) = status {
            h2 { (name) }
            p.note { "There is none: " (status) "." }
        }
    }
}

fn voicemail(visit: &Visit<'_>, call: &CallRow, files: &[MediaDetail], view: View) -> Markup {
    html! {
        @if call.voicemail_id.is_some() || !files.is_empty() {
            h2 { "Voicemail" @if let Some(ms) = call.voicemail_ms { " " span.note { (clock(ms as f64 / 1_000.0)) } } }
            @for file in files { (player::player(visit, file, None)) }
            @match &call.voicemail {
                Some(said) => p.said { (view.said(said)) },
                None => p.note { "No transcript of it was told." },
            }
        }
    }
}

/// What was said, line by line. `to` is the page whose player a line's time leads to, and whether people are shown on it.
fn dialogue(call: &CallDetails, view: View, to: Option<(&str, bool)>) -> Markup {
    let link = |place: usize, start: f64| {
        let (path, unmask) = to?;
        player::moment(&call.recordings, start)?;
        let at = start.to_string();
        let fields = [("unmask", unmask.then_some("true")), ("at", Some(at.as_str()))];
        Some(format!("{}#said-{place}", address(path, &fields)))
    };
    html! {
        @if !call.dialogue.is_empty() {
            h2 { "What was said" }
            ol.plain.dialogue {
                @for (place, turn) in call.dialogue.iter().enumerate() {
                    li id={ "said-" (place) } .ours[turn.user_id.is_some()] {
                        @if let Some(start) = turn.start {
                            @match link(place, start) {
                                Some(to) => a href=(to) aria-label={ "Listen from " (clock(start)) } { (clock(start)) },
                                None => span.note { (clock(start)) },
                            }
                            " "
                        }
                        strong { (speaker(turn, view)) }
                        p.said { (view.said(&turn.content)) }
                    }
                }
            }
        } @else if let Some(status) = &call.call.transcript_status {
            h2 { "What was said" }
            p.note { "There is no transcript: " (status) "." }
        }
    }
}

fn speaker(turn: &Said, view: View) -> String {
    match (&turn.user_id, &turn.identifier) {
        (Some(user), _) => user.clone(),
        (None, Some(number)) => view.number(number),
        (None, None) => "somebody".to_owned(),
    }
}
