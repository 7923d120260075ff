//! The API for operators and their programs, under `/api/v1`.
//!
//! One file for each resource, in it one method for each operation; a method translates and a service of the platform
//! or of the jobs does the work. What is common stands beside them:
//!
//! * `door`: what every request passes and every answer gets.
//! * `granted`: what an operation takes. Its argument of that type is the check.
//! * `shape`: what the description allows, checked before an operation is reached.
//! * `problem`: how it says no. `page`: lists and cursors.
//! * `download`: files of rows. `people`: numbers and filters as people write them.
//! * `docs`: the description, for programs and for people.

mod audit;
mod calls;
mod campaigns;
mod contacts;
mod dead;
mod dead_acts;
pub(crate) mod docs;
mod door;
mod download;
mod endpoints;
mod etag;
mod event_replays;
mod events;
mod granted;
mod keys;
mod limits;
pub mod media;
mod opt_outs;
mod page;
mod people;
mod problem;
mod queues;
mod schedules;
mod search;
mod segments;
mod sends;
mod shape;
mod task_acts;
mod tasks;
pub mod tunnels;

use std::sync::Arc;

use chrono_tz::Tz;
use poem::{Endpoint, IntoEndpoint, Response, Route, get};
use poem_openapi::payload::Json;
use poem_openapi::{OpenApiService, Tags};
use trunkline_jobs::contacts::number::Country;
use trunkline_jobs::forward::Forwarder;
use trunkline_jobs::media::MediaStore;
use trunkline_platform::job::Jobs;
use trunkline_platform::schedule::Schedules;
use trunkline_platform::task::Tasks;

use crate::access::Keys;
use crate::access::gate::Gate;
use crate::campaign_rules::CampaignRules;
use crate::correlation::CorrelationIds;
use crate::replays::Replays;
use media::Listeners;
use tunnels::Followers;

/// What operations work with. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    pub tasks: Tasks,
    pub jobs: Arc<dyn Jobs>,
    pub replays: Replays,
    pub schedules: Arc<Schedules>,
    pub store: MediaStore,
    pub gate: Gate,
    pub listeners: Listeners,
    pub campaigns: Arc<CampaignRules>,
    /// Of numbers that are written without a country code.
    pub country: Country,
    pub forwarder: Forwarder,
    pub followers: Followers,
    /// The business's.
    pub zone: Tz,
}

impl Desk {
    fn keys(&self) -> &Keys {
        self.gate.access.keys()
    }
}

#[derive(Tags)]
enum Tag {
    /// Who may use this API
    Keys,
    /// Who did what, and why
    Audit,
    /// What is to be done, is being done and was done
    Tasks,
    /// Tasks that are not tried again unless a person says so
    #[oai(rename = "Dead letters")]
    DeadLetters,
    /// Where tasks wait
    Queues,
    /// The files behind texts and calls
    Media,
    /// Calls, what was made of them, and what is found in it
    Calls,
    /// What the provider told us, and having it done once more
    Events,
    /// What happens when although nobody asks
    Schedules,
    /// One text to many, within hours and limits, to nobody twice and to nobody who asked to get none
    Campaigns,
    /// The ledger of texts
    Sends,
    /// Those whom campaigns can text
    Contacts,
    /// Saved filters over contacts
    Segments,
    /// Who must not be texted
    #[oai(rename = "Opt-outs")]
    OptOuts,
    /// Deliveries as they came, for those who develop
    Development,
}

/// What an operation answers.
type Answer<T> = Result<Json<T>, problem::Problem>;

type Api = (
    keys::KeysApi,
    audit::AuditApi,
    tasks::TasksApi,
    task_acts::TaskActsApi,
    dead::DeadApi,
    dead_acts::DeadActsApi,
    Queues,
    media::MediaApi,
    calls::CallsApi,
    search::SearchApi,
    events::EventsApi,
    event_replays::EventReplaysApi,
    schedules::SchedulesApi,
    Campaigns,
    People,
    Development,
);

type Queues = (queues::QueuesApi, limits::LimitsApi);

type Development = (endpoints::EndpointsApi, tunnels::TunnelsApi);

type Campaigns = (
    campaigns::CampaignsApi,
    campaigns::acts::CampaignActsApi,
    campaigns::flight::FlightApi,
    campaigns::report::ReportApi,
    campaigns::recipients::RecipientsApi,
    campaigns::numbers::HeldNumbersApi,
);

type People = (
    sends::SendsApi,
    contacts::ContactsApi,
    contacts::acts::ContactActsApi,
    segments::SegmentsApi,
    opt_outs::OptOutsApi,
);

fn service(desk: &Desk) -> OpenApiService<Api, ()> {
    let api = (
        keys::KeysApi(desk.clone()),
        audit::AuditApi(desk.clone()),
        tasks::TasksApi(desk.clone()),
        task_acts::TaskActsApi(desk.clone()),
        dead::DeadApi(desk.clone()),
        dead_acts::DeadActsApi(desk.clone()),
        (queues::QueuesApi(desk.clone()), limits::LimitsApi(desk.clone())),
        media::MediaApi(desk.clone()),
        calls::CallsApi(desk.clone()),
        search::SearchApi(desk.clone()),
        events::EventsApi(desk.clone()),
        event_replays::EventReplaysApi(desk.clone()),
        schedules::SchedulesApi(desk.clone()),
        (
            campaigns::CampaignsApi(desk.clone()),
            campaigns::acts::CampaignActsApi(desk.clone()),
            campaigns::flight::FlightApi(desk.clone()),
            campaigns::report::ReportApi(desk.clone()),
            campaigns::recipients::RecipientsApi(desk.clone()),
            campaigns::numbers::HeldNumbersApi(desk.clone()),
        ),
        (
            sends::SendsApi(desk.clone()),
            contacts::ContactsApi(desk.clone()),
            contacts::acts::ContactActsApi(desk.clone()),
            segments::SegmentsApi(desk.clone()),
            opt_outs::OptOutsApi(desk.clone()),
        ),
        (endpoints::EndpointsApi(desk.clone()), tunnels::TunnelsApi(desk.clone())),
    );
    OpenApiService::new(api, "Trunkline", env!("CARGO_PKG_VERSION"))
        .description(docs::ABOUT)
        .server("/api/v1")
}

/// Everything under `/api/v1`.
pub fn routes(desk: &Desk, ids: CorrelationIds) -> impl Endpoint<Output = Response> + 'static {
    let service = service(desk);
    let mut spec = serde_json::from_str(&service.spec()).unwrap_or_default();
    docs::tell_of_nulls(&mut spec);
    let (description, page) = (docs::description(&spec), docs::page(&spec));
    let shape = shape::Shape::of(&spec);
    Route::new()
        .at("/openapi.json", get(description))
        .at("/docs", get(page))
        .nest_no_strip("/", door::Door::new(service.into_endpoint(), shape, desk.gate.clone(), ids))
}
