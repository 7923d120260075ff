//! The pages for people, made on the server and whole without script. They stand behind the same door as the API.
//! `script.js` adds keys, and takes what `live` sends.
//!
//! * `overview`: is it well, and if not, what to do about it. `runbook`: how.
//! * `dead`: dead letters, by what they died of; what can be done to them is shown before it is done.
//! * `events`: what was told, found again, and done once more. `schedules`: what happens when.
//! * `tasks`: a task's life, its payload, and what can be done to it. `queues`, `audit`: as they say.
//! * `campaigns`: what is sent to many: building one, driving it, and what comes of it.
//! * `contacts`: those whom it can be sent to, and whether they may be texted. `sends`: one text, and what became of it.
//! * `calls`: what was said and written, and what calls came to. `media`: files.
//! * `keys`: who may come in. `system`: what it is made of, and whether that is well.
//! * `visit`: who looks and what they may. `layout`: the frame. `live`: pages kept up to date. `form`: queries and forms. `parts`: what pages repeat. `people`:
//!   numbers and filters as people write them.

mod audit;
mod calls;
mod campaigns;
mod contacts;
mod dead;
mod events;
mod form;
mod keys;
mod layout;
mod live;
mod login;
mod media;
mod overview;
mod parts;
mod people;
mod queues;
mod runbook;
mod schedules;
mod sends;
mod system;
mod tasks;
mod visit;

use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;
use poem::endpoint::make_sync;
use poem::http::{StatusCode, header};
use poem::{Endpoint, EndpointExt, IntoResponse, Response, Route, get, post};
use trunkline_jobs::contacts::number::Country;
use trunkline_jobs::provider::Lines;
use trunkline_jobs::secrets::Vault;
use trunkline_platform::job::Jobs;
use trunkline_platform::schedule::Schedules;
use trunkline_platform::task::Tasks;

pub use live::{Pace, Viewers};

use crate::access::gate::Gate;
use crate::campaign_rules::CampaignRules;
use crate::config::Origin;
use crate::health::Probes;
use crate::replays::Replays;

const SCRIPT: &str = include_str!("script.js");
const STYLE: &str = include_str!("style.css");
/// A page is not waited for any longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the pages work with.
#[derive(Clone)]
pub struct Pages {
    pub gate: Gate,
    pub tasks: Tasks,
    pub jobs: Arc<dyn Jobs>,
    pub probes: Probes,
    pub replays: Replays,
    pub schedules: Arc<Schedules>,
    pub secrets: Vault,
    pub campaigns: Arc<CampaignRules>,
    pub lines: Lines,
    /// Of numbers that are written without a country code.
    pub country: Country,
    /// The business's.
    pub zone: Tz,
    /// Whether files are scanned.
    pub scans: bool,
    /// What the process runs by, fit to be shown.
    pub settings: Arc<[Origin]>,
    pub viewers: Viewers,
}

/// The pages, to be put beside what else a process answers.
pub fn routes(pages: Pages) -> Route {
    let pages = Arc::new(pages);
    let live = live::Live { pages: Arc::clone(&pages), maker: Arc::new(made(&pages)) };
    made(&pages)
        .at("/live", get(live))
        .at("/assets/style.css", get(asset("text/css; charset=utf-8", STYLE)))
        .at("/assets/script.js", get(asset("text/javascript; charset=utf-8", SCRIPT)))
}

/// The pages themselves.
fn made(pages: &Arc<Pages>) -> Route {
    macro_rules! page {
        ($method:ident $handler:path) => {
            $method($handler.data(Arc::clone(pages)))
        };
    }
    Route::new()
        .at("/", page!(get overview::show))
        .at("/login", get(login::form.data(Arc::clone(pages))).post(login::enter.data(Arc::clone(pages))))
        .at("/logout", page!(post login::leave))
        .at("/dead", page!(get dead::list::groups))
        .at("/dead/list", page!(get dead::list::list))
        .at(
            "/dead/act",
            get(dead::act::rehearse.data(Arc::clone(pages))).post(dead::act::perform.data(Arc::clone(pages))),
        )
        .at("/dead/replays/:id", page!(get dead::replay::replay))
        .at("/dead/replays/:id/stop", page!(post dead::replay::stop))
        .at("/tasks", page!(get tasks::list::list))
        .at("/tasks/:id", page!(get tasks::show::show))
        .at("/tasks/:id/cancel", page!(post tasks::act::cancel))
        .at("/tasks/:id/change", page!(post tasks::act::change))
        .at(
            "/tasks/:id/edit",
            get(tasks::edit::edit.data(Arc::clone(pages)))
                .post(tasks::edit::try_edit.data(Arc::clone(pages))),
        )
        .at("/events", page!(get events::list::list))
        .at("/events/:id", page!(get events::show::show))
        .at(
            "/events/replay",
            get(events::act::rehearse.data(Arc::clone(pages)))
                .post(events::act::perform.data(Arc::clone(pages))),
        )
        .at("/events/replays", page!(get events::replays::list))
        .at("/events/replays/:id", page!(get events::replays::show))
        .at("/events/replays/:id/:act", page!(post events::act::change))
        .at("/schedules", page!(get schedules::list))
        .at("/schedules/:name", page!(get schedules::show))
        .at("/schedules/:name/:act", page!(post schedules::act))
        .at("/queues", page!(get queues::list))
        .at("/queues/:name/:act", page!(post queues::act))
        .at("/audit", page!(get audit::list))
        .at("/runbooks/:name", page!(get runbook::show))
        .at("/campaigns", page!(get campaigns::list::list))
        .at(
            "/campaigns/new",
            get(campaigns::build::blank.data(Arc::clone(pages)))
                .post(campaigns::build::make.data(Arc::clone(pages))),
        )
        .at("/campaigns/numbers", page!(get campaigns::numbers::list))
        .at("/campaigns/numbers/:number/release", page!(post campaigns::numbers::release))
        .at("/campaigns/:id", page!(get campaigns::show::show))
        .at(
            "/campaigns/:id/edit",
            get(campaigns::build::edit.data(Arc::clone(pages)))
                .post(campaigns::build::change.data(Arc::clone(pages))),
        )
        .at("/campaigns/:id/plan", page!(get campaigns::flight::show))
        .at("/campaigns/:id/preview", page!(get campaigns::preview::show))
        .at("/campaigns/:id/recipients", page!(get campaigns::recipients::list))
        .at(
            "/campaigns/:id/:act",
            get(campaigns::act::rehearse.data(Arc::clone(pages)))
                .post(campaigns::act::perform.data(Arc::clone(pages))),
        )
        .at("/contacts", page!(get contacts::list::list))
        .at("/contacts/find", page!(get contacts::list::find))
        .at("/contacts/reviews", page!(get contacts::reviews::list))
        .at("/contacts/reviews/:id/:verdict", page!(post contacts::reviews::act))
        .at("/contacts/:number", page!(get contacts::show::show))
        .at("/contacts/:number/:act", page!(post contacts::act::perform))
        .at("/sends", page!(get sends::list))
        .at("/sends/:id", page!(get sends::show))
        .at("/sends/:id/:verdict", page!(post sends::resolve))
        .at("/calls", page!(get calls::list::list))
        .at("/calls/search", page!(get calls::search::found))
        .at("/calls/figures", page!(get calls::figures::figures))
        .at("/calls/:id", page!(get calls::show::show))
        .at(
            "/keys",
            get(keys::list::list.data(Arc::clone(pages))).post(keys::act::create.data(Arc::clone(pages))),
        )
        .at("/keys/:id", page!(get keys::show::show))
        .at("/keys/:id/rotate", page!(post keys::act::rotate))
        .at("/keys/:id/revoke", page!(post keys::act::revoke))
        .at("/media", page!(get media::list::list))
        .at("/media/:id", page!(get media::show::show))
        .at("/media/:id/:act", page!(post media::act::perform))
        .at("/system", page!(get system::show))
}

fn asset(content_type: &'static str, content: &'static str) -> impl Endpoint<Output = Response> {
    make_sync(move |_| {
        Response::builder()
            .content_type(content_type)
            .header(header::CACHE_CONTROL, "public, max-age=300")
            .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
            .body(content)
    })
}

/// Go and look there.
fn see_other(place: &str) -> Response {
    StatusCode::SEE_OTHER
        .with_header(header::LOCATION, place)
        .with_header(header::CACHE_CONTROL, "no-store")
        .into_response()
}
