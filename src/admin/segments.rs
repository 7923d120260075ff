//! Segments: saved filters over contacts, and whom they take.

use chrono::{DateTime, Utc};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use trunkline_jobs::contacts::segments::{self as jobs, SegmentRow};

use super::granted::{Granted, Operate, Read, View};
use super::page::{Listing, Page, usual};
use super::problem::in_a_minute;
use super::{Answer, Desk, Tag, people};

pub(super) struct SegmentsApi(pub(super) Desk);

/// A saved filter
#[derive(Debug, Object)]
struct Segment {
    name: String,
    /// `tag:vip state:TX -flag:test last_reply<30d`
    filter: String,
    created_by: String,
    created_at: DateTime<Utc>,
}

/// A filter to save
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
struct SegmentToSave {
    /// Small letters, digits, - and _, up to 50
    name: String,
    filter: String,
    /// Why, for the audit
    #[oai(validator(max_length = 1000))]
    reason: Option<String>,
}

/// Whom a filter takes
#[derive(Debug, Object)]
struct SegmentCount {
    /// As the program understood it
    filter: String,
    people: u64,
    /// Of them, those who must not be texted
    opted_out: u64,
    /// Of them, those whom campaigns leave out by a flag
    kept_out: u64,
    /// Of them, those of whom nobody knows which time it is where they are
    nowhere: u64,
}

/// A segment that is gone; its people stay
#[derive(Debug, Object)]
struct SegmentDeleted {
    name: String,
}

#[OpenApi(tag = "Tag::Segments")]
impl SegmentsApi {
    /// List segments
    ///
    /// By name. A filter that has names, addresses or numbers in it is masked; `unmask` takes the scope `pii` and is in the audit.
    #[oai(path = "/segments", method = "get", operation_id = "list_segments")]
    async fn list(
        &self,
        by: Granted<Read>,
        #[oai(default)] unmask: Query<bool>,
        cursor: Query<Option<String>>,
        #[oai(default = "usual", validator(minimum(value = "1"), maximum(value = "200")))] limit: Query<u32>,
    ) -> Answer<Page<Segment>> {
        let listing = Listing::of("segments", &());
        let after: Option<String> = listing.after(cursor.0.as_deref())?;
        let view = by.view(unmask.0, "segments").await?;
        let rows = jobs::list(self.0.tasks.db(), after.as_deref(), limit.0 + 1).await?;
        Ok(listing.page(rows, limit.0, |row| row.name.clone(), |row| Segment::of(row, view)))
    }

    /// Save a segment
    ///
    /// A name that is taken is refused: delete the segment first.
    #[oai(path = "/segments", method = "post", operation_id = "save_segment")]
    async fn save(&self, by: Granted<Operate>, body: Json<SegmentToSave>) -> Answer<Segment> {
        let Json(SegmentToSave { name, filter, reason }) = body;
        let (filter, tasks) = (people::filter(&by, &filter)?, &self.0.tasks);
        jobs::create(tasks.db(), &name, &filter, &by.actor(reason), tasks.clock().now()).await?;
        let view = by.view(false, "segments").await?;
        Ok(Json(Segment::of(jobs::show(tasks.db(), &name).await?, view)))
    }

    /// Count contacts
    ///
    /// Whom a segment or a filter takes; everybody, without either. It goes through everybody on record, in a minute at most.
    #[oai(path = "/contacts/count", method = "get", operation_id = "count_contacts")]
    async fn count(
        &self,
        by: Granted<Read>,
        /// The name of a segment
        segment: Query<Option<String>>,
        /// `tag:vip state:TX`
        filter: Query<Option<String>>,
    ) -> Answer<SegmentCount> {
        let (db, now) = (self.0.tasks.db(), self.0.tasks.clock().now());
        let filter = people::whom(&by, db, segment.0.as_deref(), filter.0.as_deref()).await?;
        let late = "it takes too long to count; narrow the filter by a tag, or ask the command line";
        let count = in_a_minute(jobs::count(db, &filter, now), late).await??;
        let view = by.view(false, "segments").await?;
        Ok(Json(SegmentCount {
            filter: view.filter(&filter.to_string()),
            people: count.people,
            opted_out: count.opted_out,
            kept_out: count.kept_out,
            nowhere: count.nowhere,
        }))
    }

    /// Show a segment
    #[oai(path = "/segments/:name", method = "get", operation_id = "show_segment")]
    async fn show(
        &self,
        by: Granted<Read>,
        name: Path<String>,
        #[oai(default)] unmask: Query<bool>,
    ) -> Answer<Segment> {
        let row = jobs::show(self.0.tasks.db(), &name).await?;
        let view = by.view(unmask.0, &format!("segment:{}", row.name)).await?;
        Ok(Json(Segment::of(row, view)))
    }

    /// Delete a segment
    ///
    /// Its people stay, and so do campaigns that took it: they have its filter.
    #[oai(path = "/segments/:name", method = "delete", operation_id = "delete_segment")]
    async fn delete(
        &self,
        by: Granted<Operate>,
        name: Path<String>,
        /// Why, for the audit
        #[oai(validator(max_length = 1000))]
        reason: Query<Option<String>>,
    ) -> Answer<SegmentDeleted> {
        let tasks = &self.0.tasks;
        jobs::delete(tasks.db(), &name, &by.actor(reason.0), tasks.clock().now()).await?;
        Ok(Json(SegmentDeleted { name: name.0 }))
    }
}

impl Segment {
    fn of(row: SegmentRow, view: View) -> Self {
        let SegmentRow { name, filter, created_by, created_at } = row;
        Self { name, filter: view.filter(&filter), created_by, created_at }
    }
}
