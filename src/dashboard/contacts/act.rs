//! Closing a number, and opening it again, because its person said so.

use std::sync::Arc;

use maud::{Markup, html};
use poem::web::{Data, Path};
use poem::{Body, Request, handler};
use trunkline_jobs::contacts::optout::{self, Channel, ReviewError};

use crate::dashboard::form::{self, Fields, address};
use crate::dashboard::layout::Place;
use crate::dashboard::visit::Page;
use crate::dashboard::{Pages, people, see_other};

/// On which way a person can have said it to one of us.
const CHANNELS: [(Channel, &str); 5] = [
    (Channel::Phone, "on the phone"),
    (Channel::Text, "by text"),
    (Channel::Email, "by email"),
    (Channel::Web, "on the web"),
    (Channel::InPerson, "in person"),
];

/// What its state allows, with what would come of it.
pub(super) fn choices(number: &str, closed: bool) -> Markup {
    let (word, says, would) = if closed {
        (
            "opt-in",
            "Open it again",
            "It can be texted again from then on. The provider may block it still, until the person texts START.",
        )
    } else {
        ("opt-out", "Opt it out", "From then on nothing is sent to it: no campaign, no answer.")
    };
    let asked = html! {
        label for="channel" { "They asked for it" }
        select #channel name="channel" { @for (channel, means) in CHANNELS { option value=(channel.as_str()) { (means) } } }
        label for="wording" { "What was said, word for word" }
        input #wording name="wording" maxlength="2000" autocomplete="off";
    };
    form::folded(&format!("/contacts/{number}/{word}"), says, would, "reason", &asked)
}

/// What an act that sent the visitor here has done.
pub(super) fn outcome(fields: &Fields) -> Markup {
    let says = match fields.get("did") {
        Some("opt-out") => "It is closed: nothing is sent to it.",
        Some("opt-in") => "It is open again.",
        _ => return html! {},
    };
    html! { p.done role="status" { (says) } }
}

/// `POST /contacts/:number/opt-out`, `POST /contacts/:number/opt-in`
#[handler]
pub(in crate::dashboard) async fn perform(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path((number, word)): Path<(String, String)>,
    body: Body,
) -> Page {
    let visit = pages.operator(request).await?;
    let number = people::number(&visit, &number);
    let number = number.map_err(|_| visit.missing(Place::Contacts, "such number"))?;
    let fields = Fields::of_body(body).await.unwrap_or_default();
    let actor = visit.actor(Some(visit.reason(Place::Contacts, &fields)?));
    let said = CHANNELS.iter().find(|(channel, _)| fields.get("channel") == Some(channel.as_str()));
    let Some((channel, _)) = said.copied() else {
        return Err(visit.refuse(Place::Contacts, "Say on which way they asked for it."));
    };
    let (db, clock, wording) = (pages.tasks.db(), pages.tasks.clock(), fields.get("wording"));
    match word.as_str() {
        "opt-out" => {
            optout::opt_out(db, clock, &[number.as_str()], channel, wording, &actor).await?;
        }
        "opt-in" => match optout::opt_in(db, clock, &number, channel, wording, &actor).await {
            Ok(_) => {}
            Err(ReviewError::Database(error)) => return Err(error.into()),
            Err(other) => return Err(visit.refuse(Place::Contacts, &format!("{other}."))),
        },
        _ => return Err(visit.missing(Place::Contacts, "such act")),
    }
    Ok(see_other(&address(&format!("/contacts/{number}"), &[("did", Some(&word))])))
}
