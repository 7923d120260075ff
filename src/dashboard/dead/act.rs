//! Retry, discard, replay with a canary: what it would do, then doing it. A request does so much and no more; the rest
//! is for the next.

use std::sync::Arc;

use maud::{Markup, html};
use poem::web::Data;
use poem::{Body, Request, handler};
use trunkline_platform::db::DbError;
use trunkline_platform::task::TaskId;
use trunkline_platform::task::dead::{Batch, DeadAct, Target};

use super::wanted::Chosen;
use crate::dashboard::form::{self, Fields, address};
use crate::dashboard::layout::Place;
use crate::dashboard::visit::{Page, Stop, Visit};
use crate::dashboard::{Pages, parts, see_other};
use crate::mask;

/// Letters that one request acts on, or looks at to tell what it would do.
const MOST: usize = 10_000;
/// Letters and refusals that are told one by one.
const MOST_TOLD: usize = 50;

#[derive(Clone, Copy)]
enum Word {
    Retry,
    Discard,
    Replay,
}

/// What an act did, or would do.
#[derive(Default)]
struct Told {
    done: usize,
    first: Vec<TaskId>,
    refused: usize,
    refusals: Vec<(TaskId, String)>,
    /// There are more than one request takes.
    more: bool,
}

impl Word {
    fn of(fields: &Fields) -> Option<Self> {
        match fields.get("act")? {
            "retry" => Some(Self::Retry),
            "discard" => Some(Self::Discard),
            "replay" => Some(Self::Replay),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Discard => "discard",
            Self::Replay => "replay",
        }
    }

    fn act(self) -> DeadAct {
        match self {
            Self::Retry | Self::Replay => DeadAct::Retry,
            Self::Discard => DeadAct::Discard,
        }
    }
}

/// What was asked for, if it can be meant.
fn asked(visit: &Visit<'_>, fields: &Fields) -> Result<(Word, Chosen), Stop> {
    let refuse = |why| visit.refuse(Place::DeadLetters, why);
    let word = Word::of(fields).ok_or_else(|| refuse("There is nothing of this name to do."))?;
    let chosen = Chosen::of(fields, visit.now)
        .ok_or_else(|| refuse("Nothing is chosen: go back and mark some, or choose all that are found."))?;
    match (word, &chosen) {
        (Word::Replay, Chosen::Ids(_)) => Err(refuse(
            "A replay is of all that are found: go back and choose that, or retry those you marked.",
        )),
        _ => Ok((word, chosen)),
    }
}

/// `GET /dead/act`: what would be done.
#[handler]
pub(in crate::dashboard) async fn rehearse(Data(pages): Data<&Arc<Pages>>, request: &Request) -> Page {
    let visit = pages.operator(request).await?;
    let (word, chosen) = asked(&visit, &Fields::of_query(request))?;
    let told = run(&visit, word, &chosen.target(), None).await?;
    let content = html! {
        h1 { (match word { Word::Retry => "Retry?", Word::Discard => "Discard?", Word::Replay => "Replay with a canary?" }) }
        @if let Chosen::Filter(wanted, _) = &chosen { p { "Of " (wanted.told()) } }
        (would(word, &told))
        @if told.done > 0 {
            form method="post" action="/dead/act" {
                (chosen.hidden())
                input type="hidden" name="act" value=(word.name());
                (form::reason("reason"))
                p.buttons {
                    button.grave[matches!(word, Word::Discard)] type="submit" { (button(word, &told)) }
                    a href="/dead" { "Leave it" }
                }
            }
        } @else { p { a href="/dead" { "Back to the dead letters" } } }
    };
    Ok(visit.page(Place::DeadLetters, "Dead letters", &content))
}

fn button(word: Word, told: &Told) -> String {
    match word {
        Word::Retry => format!("Retry {}", told.done),
        Word::Discard => format!("Discard {}", told.done),
        Word::Replay => "Begin the replay".to_owned(),
    }
}

fn would(word: Word, told: &Told) -> Markup {
    let what = match word {
        Word::Retry => "would be retried at once, each from its first attempt.",
        Word::Discard => "would end without effect. That cannot be undone.",
        Word::Replay => {
            "would be retried: one first, then ten, then the rest at 20 a second. It stops when one fails of the same again."
        }
    };
    html! {
        p.big {
            strong { (told.done) }
            @if told.more { " of more" }
            " " (what)
        }
        @if told.more && !matches!(word, Word::Replay) { p { "One request does " (MOST) ". Do it again for the rest." } }
        @if !told.first.is_empty() {
            p {
                "Which: " @for id in &told.first { (parts::task(*id)) " " }
                @if told.done > told.first.len() { "and " (told.done - told.first.len()) " others" }
            }
        }
        @if told.refused > 0 {
            p { strong { (told.refused) } " would be refused:" }
            ul { @for (id, why) in &told.refusals { li { (parts::task(*id)) ": " (why) } } }
        }
    }
}

/// `POST /dead/act`
#[handler]
pub(in crate::dashboard) async fn perform(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    body: Body,
) -> Page {
    let visit = pages.operator(request).await?;
    let fields = Fields::of_body(body).await.unwrap_or_default();
    let (word, chosen) = asked(&visit, &fields)?;
    let reason = visit.reason(Place::DeadLetters, &fields)?;
    if let (Word::Replay, Target::Filter(filter)) = (word, chosen.target()) {
        let begun = pages.replays.begin(filter, visit.actor(Some(reason)));
        let id = begun.map_err(|error| visit.refuse(Place::DeadLetters, &error.to_string()))?;
        return Ok(see_other(&format!("/dead/replays/{id}")));
    }
    let told = run(&visit, word, &chosen.target(), Some(reason)).await?;
    let place = match &chosen {
        Chosen::Ids(ids) if ids.len() == 1 => format!("/tasks/{}", ids[0]),
        _ => "/dead".to_owned(),
    };
    let (done, refused) = (told.done.to_string(), told.refused.to_string());
    let more = told.more.then_some("yes");
    let outcome = [
        ("did", Some(word.name())),
        ("done", Some(done.as_str())),
        ("refused", Some(refused.as_str())),
        ("more", more),
    ];
    Ok(see_other(&address(&place, &outcome)))
}

/// Does it, or only tells what it would do when nobody says why.
async fn run(visit: &Visit<'_>, word: Word, target: &Target, reason: Option<&str>) -> Result<Told, DbError> {
    let mut told = Told::default();
    let mut batch = Batch::new(&visit.pages.tasks, word.act(), visit.actor(reason), reason.is_none());
    batch
        .run(target, |acted| {
            told.done += acted.done.len();
            told.refused += acted.refused.len();
            let room = MOST_TOLD - told.first.len();
            told.first.extend(acted.done.iter().take(room));
            let room = MOST_TOLD - told.refusals.len();
            let refusals = acted.refused.iter().take(room);
            told.refusals.extend(refusals.map(|one| (one.id, mask::phones_in(&one.why.to_string()))));
            told.more = told.done + told.refused >= MOST;
            !told.more
        })
        .await?;
    Ok(told)
}
