//! Finding events, a page at a time, and counting them before something is done to them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_platform::db::{Db, DbError};
use trunkline_platform::task::TaskId;

use super::filter::EventFilter;
use super::scan::{self, STRETCH, Stretch, Way, Window, gather, states, stretch, tell_states, window};
use super::store::{EventId, EventSummary, FoundEvent};

/// Events that a count shows.
const SAMPLE: usize = 10;

/// A page of events, the newest first.
#[derive(Debug)]
pub struct Found {
    /// Each with what became of it.
    pub events: Vec<FoundEvent>,
    /// The next page is of those before this one. A page can be short, or empty, and not the last: it looks at so many
    /// events and no more.
    pub next: Option<EventId>,
}

/// Finds events that came before one, or up to the newest.
pub async fn find(
    db: &Db,
    filter: &EventFilter,
    before: Option<EventId>,
    limit: usize,
) -> Result<Found, DbError> {
    let limit = limit.clamp(1, 1_000);
    let mut window = window(&mut db.read().await?, filter).await?;
    if let Some(before) = before {
        window.last = window.last.min(before.0.saturating_sub(1));
    }
    let Stretch { found: mut events, rest, .. } =
        gather(db, filter, window, Way::NewestFirst, (limit + 1, false)).await?;
    let mut next = rest.map(|rest| EventId(rest.last + 1));
    if events.len() > limit {
        events.truncate(limit);
        next = events.last().map(|found| found.event.id);
    }
    if filter.state.is_none() {
        tell_states(&mut db.read().await?, &mut events).await?;
    }
    Ok(Found { events, next })
}

/// What became of one event.
pub async fn state_of(db: &Db, event: &EventSummary) -> Result<Option<super::EventState>, DbError> {
    Ok(states(&mut db.read().await?, std::iter::once(event)).await?.remove(&event.id))
}

/// The tasks of one event itself, the newest first.
pub async fn tasks_of(db: &Db, event: &EventSummary) -> Result<Vec<TaskId>, DbError> {
    let tasks = scan::tasks_of(&mut db.read().await?, std::iter::once(event)).await?;
    let mut ids: Vec<TaskId> = tasks.into_iter().map(|task| task.id).collect();
    ids.sort_unstable_by_key(|id| std::cmp::Reverse(*id));
    Ok(ids)
}

/// What a filter takes, without anything being done.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Survey {
    /// Events that were looked at.
    pub looked: u64,
    /// Of those: as described.
    pub found: u64,
    /// The largest first.
    pub by_type: Vec<TypeCount>,
    /// When the first and the last of them came.
    pub first_at: Option<DateTime<Utc>>,
    pub last_at: Option<DateTime<Utc>>,
    /// The first of them.
    pub sample: Vec<EventSummary>,
    /// Everything was looked at; else the figures are of a part.
    pub complete: bool,
}

/// Events of one type.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct TypeCount {
    pub event_type: String,
    /// Absent: no job knew this type.
    pub job: Option<String>,
    pub count: u64,
}

/// Counts what a filter takes, the oldest first, until so many were looked at.
pub async fn survey(
    db: &Db,
    filter: &EventFilter,
    most: u64,
    told: impl FnMut(&Survey),
) -> Result<Survey, DbError> {
    let window = window(&mut db.read().await?, filter).await?;
    survey_in(db, filter, window, most, told).await
}

/// The same within a window.
pub(super) async fn survey_in(
    db: &Db,
    filter: &EventFilter,
    window: Window,
    most: u64,
    mut told: impl FnMut(&Survey),
) -> Result<Survey, DbError> {
    let mut rest = Some(window).filter(Window::has_any);
    let mut survey = Survey::default();
    while let Some(window) = rest
        && survey.looked < most
    {
        let next = stretch(db, filter, window, Way::OldestFirst, (STRETCH, false)).await?;
        rest = next.rest;
        survey.add(next);
        told(&survey);
    }
    survey.complete = rest.is_none();
    survey.by_type.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.event_type.cmp(&b.event_type)));
    Ok(survey)
}

impl Survey {
    fn add(&mut self, stretch: Stretch) {
        self.looked += stretch.looked as u64;
        self.found += stretch.found.len() as u64;
        for FoundEvent { event, .. } in stretch.found {
            self.first_at = Some(self.first_at.map_or(event.received_at, |at| at.min(event.received_at)));
            self.last_at = Some(self.last_at.map_or(event.received_at, |at| at.max(event.received_at)));
            let same = |row: &&mut TypeCount| row.event_type == event.event_type && row.job == event.job;
            match self.by_type.iter_mut().find(same) {
                Some(row) => row.count += 1,
                None => self.by_type.push(TypeCount {
                    event_type: event.event_type.clone(),
                    job: event.job.clone(),
                    count: 1,
                }),
            }
            if self.sample.len() < SAMPLE {
                self.sample.push(event);
            }
        }
    }
}

/// Reads what a filter takes, the oldest first, for whoever sends it elsewhere.
#[derive(Debug)]
pub struct Reading<'r> {
    db: &'r Db,
    filter: &'r EventFilter,
    rest: Option<Window>,
}

impl<'r> Reading<'r> {
    /// From after an event on, or from the first.
    pub async fn begin(db: &'r Db, filter: &'r EventFilter, after: Option<EventId>) -> Result<Self, DbError> {
        let mut window = window(&mut db.read().await?, filter).await?;
        window.after = window.after.max(after.map_or(i64::MIN, |after| after.0));
        Ok(Self { db, filter, rest: Some(window).filter(Window::has_any) })
    }

    /// The next of them. None: there are no more. Some can be empty.
    pub async fn next(&mut self) -> Result<Option<Vec<FoundEvent>>, DbError> {
        let Some(window) = self.rest else { return Ok(None) };
        let next = stretch(self.db, self.filter, window, Way::OldestFirst, (STRETCH, false)).await?;
        self.rest = next.rest;
        Ok(Some(next.found))
    }
}
