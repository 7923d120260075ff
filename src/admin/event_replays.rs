//! Having events done once more. `dry_run` tells what it would be; the workers do it, a page at a time, so it survives the
//! process that was asked.

use chrono::{DateTime, Utc};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::types::Any;
use poem_openapi::{Object, OpenApi};
use serde_json::Value;
use trunkline_jobs::events::replay::{self, MOST_COUNTED, Order, ReplayError, ReplayRow};
use trunkline_jobs::events::{EventFilter, EventState, Survey, survey};

use super::events::{State, Told, checked};
use super::granted::{Granted, Operate, Read, View};
use super::page::{Listing, Page, usual};
use super::problem::Problem;
use super::{Answer, Desk, Tag};

pub(super) struct EventReplaysApi(pub(super) Desk);

/// Which events. All that is said must hold
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
struct EventSelection {
    /// The type as it was sent: `message.received`
    #[oai(rename = "type")]
    event_type: Option<String>,
    /// Received at this time or later
    since: Option<DateTime<Utc>>,
    /// Received before this time
    until: Option<DateTime<Utc>>,
    /// Tells of this phone number, on either side
    number: Option<String>,
    /// Part of anything it tells: words, names, ids. Capitals or not
    text: Option<String>,
    state: Option<State>,
    /// Every event there is
    #[oai(default)]
    all: bool,
}

fn usual_pace() -> u32 {
    replay::USUAL_PACE
}

/// A replay to begin
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
struct EventReplayToBegin {
    which: EventSelection,
    /// Events in a second
    #[oai(default = "usual_pace", validator(minimum(value = "1"), maximum(value = "1000")))]
    pace: u32,
    /// Only tell what it would be
    #[oai(default)]
    dry_run: bool,
    /// Why, for the audit
    #[oai(validator(max_length = 1000))]
    reason: Option<String>,
}

/// Why it is done
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
struct EventReplayAct {
    /// For the audit
    #[oai(validator(max_length = 1000))]
    reason: Option<String>,
}

/// What is replayed, or would be
#[derive(Debug, Object)]
struct EventReplayBegun {
    dry_run: bool,
    /// Events that were looked at, 20,000 at the most
    looked: u64,
    /// Of those: as described
    found: u64,
    /// Everything was looked at; else the figures are of the oldest part
    complete: bool,
    by_type: Vec<EventsOfType>,
    first_at: Option<DateTime<Utc>>,
    last_at: Option<DateTime<Utc>>,
    /// The first ten of them
    sample: Vec<Told>,
    /// Absent in a dry run
    replay: Option<EventReplay>,
}

/// Events of one type
#[derive(Debug, Object)]
struct EventsOfType {
    event_type: String,
    /// Absent: no job knew this type
    job: Option<String>,
    count: u64,
}

/// A replay of events
#[derive(Debug, Object)]
struct EventReplay {
    id: i64,
    /// `running`, `complete`, `cancelled` or `failed`
    state: String,
    by: String,
    reason: Option<String>,
    /// Which events. Numbers and texts are masked
    filter: Any<Value>,
    /// Events in a second
    pace: i32,
    /// How much of what it looks at it has looked at
    percent: i64,
    /// How many there were when it began; absent when they were too many to be counted then
    expected: Option<i64>,
    looked: i64,
    /// Events whose jobs were enqueued
    replayed: i64,
    /// As described, but of types that have no job
    jobless: i64,
    began_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    error: Option<String>,
}

#[OpenApi(tag = "Tag::Events")]
impl EventReplaysApi {
    /// Replay events
    ///
    /// Their jobs are enqueued once more, at this pace; doing them twice leaves what doing them once leaves, and nothing is
    /// texted because of it. Only events that came before are replayed. There is one replay at a time. The answer comes at
    /// once: look with `show_event_replay`.
    #[oai(path = "/events/replays", method = "post", operation_id = "begin_event_replay")]
    async fn begin(&self, by: Granted<Operate>, body: Json<EventReplayToBegin>) -> Answer<EventReplayBegun> {
        let Json(EventReplayToBegin { which, pace, dry_run, reason }) = body;
        let filter = which.filter()?;
        if dry_run {
            let counted = survey(self.0.tasks.db(), &filter, MOST_COUNTED, |_| {}).await?;
            return Ok(Json(EventReplayBegun::of(counted, None)));
        }
        let (id, counted) = replay::begin(&self.0.tasks, &Order { filter, pace }, &by.actor(reason)).await?;
        let Json(begun) = self.read(id).await?;
        Ok(Json(EventReplayBegun::of(counted, Some(begun))))
    }

    /// List replays of events
    ///
    /// The newest first.
    #[oai(path = "/events/replays", method = "get", operation_id = "list_event_replays")]
    async fn list(
        &self,
        _by: Granted<Read>,
        cursor: Query<Option<String>>,
        #[oai(default = "usual", validator(minimum(value = "1"), maximum(value = "200")))] limit: Query<u32>,
    ) -> Answer<Page<EventReplay>> {
        let listing = Listing::of("event_replays", &());
        let before: Option<i64> = listing.after(cursor.0.as_deref())?;
        let rows = replay::list(self.0.tasks.db(), before, limit.0 + 1).await?;
        Ok(listing.page(rows, limit.0, |row| row.id, EventReplay::of))
    }

    /// Show a replay of events
    #[oai(path = "/events/replays/:id", method = "get", operation_id = "show_event_replay")]
    async fn show(&self, _by: Granted<Read>, id: Path<i64>) -> Answer<EventReplay> {
        self.read(id.0).await
    }

    /// Cancel a replay of events
    ///
    /// Between two pages; what was enqueued goes on.
    #[oai(path = "/events/replays/:id/cancel", method = "post", operation_id = "cancel_event_replay")]
    async fn cancel(
        &self,
        by: Granted<Operate>,
        id: Path<i64>,
        body: Json<EventReplayAct>,
    ) -> Answer<EventReplay> {
        replay::cancel(&self.0.tasks, id.0, &by.actor(body.0.reason)).await?;
        self.read(id.0).await
    }

    /// Resume a replay of events
    ///
    /// One that was cancelled or has failed goes on from where it was.
    #[oai(path = "/events/replays/:id/resume", method = "post", operation_id = "resume_event_replay")]
    async fn resume(
        &self,
        by: Granted<Operate>,
        id: Path<i64>,
        body: Json<EventReplayAct>,
    ) -> Answer<EventReplay> {
        replay::resume(&self.0.tasks, id.0, &by.actor(body.0.reason)).await?;
        self.read(id.0).await
    }
}

impl EventReplaysApi {
    async fn read(&self, id: i64) -> Answer<EventReplay> {
        let row = replay::show(self.0.tasks.db(), id).await?;
        Ok(Json(EventReplay::of(row.ok_or(ReplayError::Unknown(id))?)))
    }
}

impl EventSelection {
    /// Nothing is chosen by accident.
    fn filter(self) -> Result<EventFilter, Problem> {
        let Self { event_type, since, until, number, text, state, all } = self;
        let filter =
            EventFilter { event_type, since, until, number, text, state: state.map(EventState::from) };
        let filter = checked(filter)?;
        if filter.is_empty() != all {
            return Err(Problem::invalid("say in `which` either what they have in common, or all"));
        }
        Ok(filter)
    }
}

impl EventReplayBegun {
    fn of(survey: Survey, replay: Option<EventReplay>) -> Self {
        let of_type = |row: trunkline_jobs::events::TypeCount| EventsOfType {
            event_type: row.event_type,
            job: row.job,
            count: row.count,
        };
        Self {
            dry_run: replay.is_none(),
            looked: survey.looked,
            found: survey.found,
            complete: survey.complete,
            by_type: survey.by_type.into_iter().map(of_type).collect(),
            first_at: survey.first_at,
            last_at: survey.last_at,
            sample: survey.sample.into_iter().map(Told::stateless).collect(),
            replay,
        }
    }
}

impl EventReplay {
    fn of(row: ReplayRow) -> Self {
        let view = View::of(false);
        Self {
            id: row.id,
            percent: row.percent(),
            filter: Any(view.json(&row.filter)),
            state: row.state,
            by: row.actor,
            reason: view.maybe(row.reason.as_deref()),
            pace: row.pace,
            expected: row.expected,
            looked: row.looked,
            replayed: row.replayed,
            jobless: row.jobless,
            began_at: row.started_at,
            ended_at: row.ended_at,
            error: view.maybe(row.error.as_deref()),
        }
    }
}

impl From<ReplayError> for Problem {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Unknown(id) => Self::not_found(format!("replay {id}")),
            ReplayError::Running(_) | ReplayError::Ended(..) | ReplayError::Nothing => {
                Self::conflict(error.to_string())
            }
            ReplayError::Pace => Self::invalid(error.to_string()),
            ReplayError::Database(error) => error.into(),
        }
    }
}
