//! Looking at events one stretch after another, bounded whatever is looked for. Types and times are found by index; words
//! and states by looking at each event, so a stretch ends after so many however few of them match.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use trunkline_platform::db::{Db, DbError, Rows, Session};
use trunkline_platform::task::{TaskId, TaskState};

use super::filter::{EventFilter, EventState};
use super::store::{EventId, EventSummary, FoundEvent};

/// Events of one stretch: their bodies are in memory, and each is two rows for the look at its tasks, which SQLite takes a
/// thousand at a time.
pub(super) const STRETCH: usize = 250;
/// Events that are looked at for those of one page.
const MOST_LOOKED: usize = 5_000;
/// How far the time at which an event came may lie behind that of an earlier one. Clocks of receivers that differ by more
/// than minutes refuse every webhook, by the time it was signed.
const DISORDER: TimeDelta = TimeDelta::hours(1);
/// The longest a statement may take. Which index is the quick one depends on how rare the type is.
const LIMIT: Duration = Duration::from_secs(5);
/// When no event ever comes: 9999.
const NEVER: i64 = 253_402_300_799;

/// Of a [`FoundEvent`].
const COLUMNS: &str =
    "SELECT id, scheme, event_id, event_type, api_version, job, occurred_at, received_at, correlation_id,
         CASE WHEN CAST($6 AS BOOLEAN) THEN body END AS body FROM events
         WHERE id > $1 AND id <= $2 AND received_at >= $3 AND received_at < $4";

trunkline_platform::statements! {
    EDGES = same {
        "SELECT COALESCE((SELECT MIN(id) FROM events), 0) AS first, COALESCE((SELECT MAX(id) FROM events), 0) AS last"
    }
    AT_OR_AFTER = same { "SELECT id, received_at FROM events WHERE id >= $1 ORDER BY id LIMIT 1" }
    UPWARDS = parts {
        (sql COLUMNS)
        " ORDER BY id LIMIT $5"
    }
    /// By an index of its own: of a rare type the next can be far.
    UPWARDS_OF_TYPE = parts {
        (sql COLUMNS)
        " AND event_type = $7 ORDER BY id LIMIT $5"
    }
    UPWARDS_UNKNOWN = parts {
        (sql COLUMNS)
        " AND job IS NULL AND (CAST($7 AS TEXT) IS NULL OR event_type = $7) ORDER BY id LIMIT $5"
    }
    DOWNWARDS = parts {
        (sql COLUMNS)
        " ORDER BY id DESC LIMIT $5"
    }
    DOWNWARDS_OF_TYPE = parts {
        (sql COLUMNS)
        " AND event_type = $7 ORDER BY id DESC LIMIT $5"
    }
    DOWNWARDS_UNKNOWN = parts {
        (sql COLUMNS)
        " AND job IS NULL AND (CAST($7 AS TEXT) IS NULL OR event_type = $7) ORDER BY id DESC LIMIT $5"
    }
    /// Thousands can share a correlation (those that one reconciliation told of), so causes are not looked for one by one.
    TASKS_OF_EVENTS = parts {
        "WITH wanted AS (SELECT r.correlation_id, r.cause FROM "
        (rows "$1" as r (correlation_id TEXT, cause TEXT))
        ") SELECT id, cause, state FROM tasks
         WHERE correlation_id IS NOT NULL AND correlation_id IN (SELECT correlation_id FROM wanted)
           AND cause IN (SELECT cause FROM wanted)"
    }
}

/// The events after `after` and up to `last`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Window {
    pub(super) after: i64,
    pub(super) last: i64,
}

impl Window {
    pub(super) fn has_any(&self) -> bool {
        self.after < self.last
    }
}

/// In which order events are looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    OldestFirst,
    NewestFirst,
}

/// What a stretch came to.
#[derive(Debug, Default)]
pub(super) struct Stretch {
    pub(super) found: Vec<FoundEvent>,
    pub(super) looked: usize,
    /// What of the window was not looked at; nothing at its end.
    pub(super) rest: Option<Window>,
}

#[derive(sqlx::FromRow)]
struct Edges {
    first: i64,
    last: i64,
}

#[derive(sqlx::FromRow)]
struct Came {
    id: i64,
    received_at: DateTime<Utc>,
}

/// Where the events of a filter lie.
pub(super) async fn window(session: &mut Session, filter: &EventFilter) -> Result<Window, DbError> {
    let Edges { first, last } = EDGES.query().one(session).await?;
    let mut window = Window { after: first - 1, last };
    if let Some(since) = filter.since {
        window.after = first_since(session, window, since - DISORDER).await? - 1;
    }
    if let Some(until) = filter.until {
        window.last = first_since(session, window, until + DISORDER).await? - 1;
    }
    Ok(window)
}

/// The first event that came at this time or later, or what follows the last, found in as many steps as its number has bits.
async fn first_since(session: &mut Session, window: Window, time: DateTime<Utc>) -> Result<i64, DbError> {
    let (mut from, mut to) = (window.after + 1, window.last + 1);
    while from < to {
        let middle = from + (to - from) / 2;
        match AT_OR_AFTER.bind(middle).optional::<Came>(session).await? {
            Some(came) if came.received_at < time => from = came.id + 1,
            _ => to = middle,
        }
    }
    Ok(from)
}

/// Looks at the next `most` events of a window, with their bodies if they are wanted or needed.
pub(super) async fn stretch(
    db: &Db,
    filter: &EventFilter,
    window: Window,
    way: Way,
    (most, bodies): (usize, bool),
) -> Result<Stretch, DbError> {
    let words = filter.words();
    let most = most.clamp(1, STRETCH);
    let statement = match (way, filter.state == Some(EventState::Unknown), &filter.event_type) {
        (Way::OldestFirst, true, _) => &UPWARDS_UNKNOWN,
        (Way::OldestFirst, false, Some(_)) => &UPWARDS_OF_TYPE,
        (Way::OldestFirst, false, None) => &UPWARDS,
        (Way::NewestFirst, true, _) => &DOWNWARDS_UNKNOWN,
        (Way::NewestFirst, false, Some(_)) => &DOWNWARDS_OF_TYPE,
        (Way::NewestFirst, false, None) => &DOWNWARDS,
    };
    let mut query = statement
        .bind(window.after)
        .bind(window.last)
        .bind(filter.since.unwrap_or(DateTime::UNIX_EPOCH))
        .bind(filter.until.or_else(|| DateTime::from_timestamp(NEVER, 0)))
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .bind(bodies || words.is_some());
    if filter.state == Some(EventState::Unknown) || filter.event_type.is_some() {
        query = query.bind(filter.event_type.as_deref());
    }
    let mut session = db.look(LIMIT).await?;
    let mut found: Vec<FoundEvent> = query.all(&mut session).await?;
    let looked = found.len();
    let rest = found.last().filter(|_| looked == most).map(|last| match way {
        Way::OldestFirst => Window { after: last.event.id.0, ..window },
        Way::NewestFirst => Window { last: last.event.id.0 - 1, ..window },
    });
    if let Some(words) = &words {
        found.retain(|found| found.body.as_deref().is_some_and(|body| words.are_in(body)));
    }
    if !bodies {
        found.iter_mut().for_each(|found| found.body = None);
    }
    if filter.state.is_some() {
        tell_states(&mut session, &mut found).await?;
        found.retain(|found| found.state == filter.state);
    }
    session.commit().await?;
    Ok(Stretch { found, looked, rest: rest.filter(Window::has_any) })
}

/// The next events of a window, until `most` of them are as described or so many were looked at; it can be a few more.
pub(super) async fn gather(
    db: &Db,
    filter: &EventFilter,
    window: Window,
    way: Way,
    (most, bodies): (usize, bool),
) -> Result<Stretch, DbError> {
    // Without words and states every event that is looked at is found, and what is left over would be looked at again.
    let sieved = filter.words().is_some() || filter.state.is_some();
    let mut all = Stretch { rest: Some(window), ..Stretch::default() };
    while let Some(window) = all.rest
        && all.found.len() < most
        && all.looked < MOST_LOOKED
    {
        let step = if sieved { STRETCH } else { most - all.found.len() };
        let next = stretch(db, filter, window, way, (step, bodies)).await?;
        all.looked += next.looked;
        all.rest = next.rest;
        all.found.extend(next.found);
    }
    Ok(all)
}

/// Says of each what became of it.
pub(super) async fn tell_states(session: &mut Session, found: &mut [FoundEvent]) -> Result<(), DbError> {
    let states = states(session, found.iter().map(|found| &found.event)).await?;
    found.iter_mut().for_each(|found| found.state = states.get(&found.event.id).copied());
    Ok(())
}

#[derive(Serialize)]
struct Wanted<'e> {
    correlation_id: &'e str,
    cause: String,
}

#[derive(sqlx::FromRow)]
pub(super) struct TaskOf {
    pub(super) id: TaskId,
    cause: String,
    #[sqlx(try_from = "String")]
    state: TaskState,
}

/// The tasks of events themselves; what followed from those has other causes.
pub(super) async fn tasks_of<'e>(
    session: &mut Session,
    events: impl Iterator<Item = &'e EventSummary>,
) -> Result<Vec<TaskOf>, DbError> {
    let wanted: Vec<Wanted<'_>> = events
        .flat_map(|event| event.causes().map(|cause| Wanted { correlation_id: &event.correlation_id, cause }))
        .collect();
    TASKS_OF_EVENTS.bind(Rows::of(&wanted)?).all(session).await
}

/// What became of events: how the newest task of each stands.
pub(super) async fn states<'e>(
    session: &mut Session,
    events: impl Iterator<Item = &'e EventSummary>,
) -> Result<HashMap<EventId, EventState>, DbError> {
    let (known, unknown): (Vec<&EventSummary>, Vec<&EventSummary>) =
        events.partition(|event| event.job.is_some());
    let mut states: HashMap<EventId, EventState> =
        unknown.into_iter().map(|event| (event.id, EventState::Unknown)).collect();
    if known.is_empty() {
        return Ok(states);
    }
    let tasks = tasks_of(session, known.iter().copied()).await?;
    let mut newest: HashMap<&str, &TaskOf> = HashMap::new();
    for task in &tasks {
        let kept = newest.entry(task.cause.as_str()).or_insert(task);
        if kept.id < task.id {
            *kept = task;
        }
    }
    states.extend(known.into_iter().map(|event| {
        let causes = event.causes();
        let task = causes.iter().filter_map(|cause| newest.get(cause.as_str())).max_by_key(|task| task.id);
        (event.id, task.map_or(EventState::Gone, |task| task.state.into()))
    }));
    Ok(states)
}
