//! Having a file fetched or scanned again; holding and purging it.

use std::sync::Arc;

use poem::web::{Data, Path};
use poem::{Body, Request, handler};
use trunkline_jobs::media::act::{self, MediaActed};
use trunkline_jobs::media::{MediaId, purge};

use super::show::find;
use crate::dashboard::form::{Fields, address};
use crate::dashboard::layout::Place;
use crate::dashboard::visit::Page;
use crate::dashboard::{Pages, see_other};

/// `POST /media/:id/fetch`, `…/rescan`; and for administrators `…/hold`, `…/release`, `…/purge`
#[handler]
pub(in crate::dashboard) async fn perform(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path((id, word)): Path<(String, String)>,
    body: Body,
) -> Page {
    let visit = match word.as_str() {
        "hold" | "release" | "purge" => pages.admin(request).await?,
        _ => pages.operator(request).await?,
    };
    let row = find(&visit, &id).await?;
    let fields = Fields::of_body(body).await.unwrap_or_default();
    let actor = visit.actor(Some(visit.reason(Place::Media, &fields)?));
    let (tasks, id) = (&pages.tasks, MediaId(row.id));
    let acted = match word.as_str() {
        "fetch" => act::fetch(tasks, &[id], &actor).await?,
        "hold" => act::hold(tasks, &[id], true, &actor).await?,
        "release" => act::hold(tasks, &[id], false, &actor).await?,
        "purge" => {
            let purged =
                purge::purge_chosen(tasks.db(), &pages.probes.store, &[id], &actor, visit.now).await?;
            let done = purged.files.contains(&id);
            vec![MediaActed { id, done, why: (!done).then_some("it is purged already, or under legal hold") }]
        }
        "rescan" if !pages.scans => {
            return Err(
                visit.refuse(Place::Media, "Nothing is scanned here: set media.scan and media.clamd.")
            );
        }
        "rescan" if row.state != "stored" => {
            return Err(visit.refuse(Place::Media, "Only what is stored is scanned again."));
        }
        "rescan" => match act::rescan(tasks, row.id - 1, row.id, &actor).await? {
            Some(task) => return Ok(see_other(&format!("/tasks/{task}"))),
            None => vec![MediaActed { id, done: false, why: Some("no task was made") }],
        },
        _ => return Err(visit.missing(Place::Media, "such act")),
    };
    match acted.first().and_then(|one| one.why) {
        Some(why) => Err(visit.refuse(Place::Media, &format!("This was not done: {why}."))),
        None => Ok(see_other(&address(&format!("/media/{id}"), &[("did", Some(&word))]))),
    }
}
