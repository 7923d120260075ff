//! Dead letters: tasks that are not tried again unless a person says so.

#![expect(clippy::too_many_arguments, reason = "an argument is a parameter of the operation")]

use chrono::{DateTime, Utc};
use poem_openapi::param::Query;
use poem_openapi::payload::Json;
use poem_openapi::types::Any;
use poem_openapi::{Object, OpenApi};
use serde_json::Value;
use trunkline_platform::task::TaskId;
use trunkline_platform::task::dead::{Cursor, DeadFilter, DeadGroup, DeadRow, Order};

use super::granted::{Granted, Read, View};
use super::page::{Listing, Page, usual};
use super::{Answer, Desk, Tag};

pub(super) struct DeadApi(pub(super) Desk);

/// A dead letter
#[derive(Debug, Object)]
struct DeadLetter {
    id: i64,
    /// The name of its job
    kind: String,
    queue: String,
    payload: Any<Value>,
    attempt: i32,
    crashes: i32,
    max_attempts: i32,
    died_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
    /// Shared by those that died of the same thing
    fingerprint: Option<String>,
    last_error: Option<String>,
    /// The line that it holds up
    ordering_key: Option<String>,
    correlation_id: Option<String>,
    cause: String,
}

/// Dead letters that died of the same thing
#[derive(Debug, Object)]
#[oai(rename = "DeadLetterGroup")]
struct Group {
    kind: String,
    fingerprint: Option<String>,
    /// The error without what differs from one to the next
    error: String,
    count: i64,
    first_died_at: DateTime<Utc>,
    last_died_at: DateTime<Utc>,
    /// The newest of them
    sample: i64,
}

#[OpenApi(tag = "Tag::DeadLetters")]
impl DeadApi {
    /// List dead letters
    ///
    /// The last to die first. Numbers and texts are masked.
    #[oai(path = "/dead-letters", method = "get", operation_id = "list_dead_letters")]
    async fn list(
        &self,
        by: Granted<Read>,
        /// The name of the job
        kind: Query<Option<String>>,
        queue: Query<Option<String>>,
        /// What they died of, as the groups tell it
        fingerprint: Query<Option<String>>,
        /// Part of the error, capitals or not
        error: Query<Option<String>>,
        cursor: Query<Option<String>>,
        #[oai(default = "usual", validator(minimum(value = "1"), maximum(value = "200")))] limit: Query<u32>,
    ) -> Answer<Page<DeadLetter>> {
        let listing = Listing::of("dead_letters", &(&kind.0, &queue.0, &fingerprint.0, &error.0));
        let after: Option<(DateTime<Utc>, TaskId)> = listing.after(cursor.0.as_deref())?;
        let after = after.map(|(died_at, id)| Cursor { died_at, id });
        let filter = DeadFilter {
            kind: kind.0,
            queue: queue.0,
            fingerprint: fingerprint.0,
            error: error.0,
            since: None,
            until: None,
        };
        let view = by.view(false, "dead letters").await?;
        let rows = self.0.tasks.list_dead(&filter, Order::Newest, after, limit.0 + 1).await?;
        Ok(listing.page(rows, limit.0, |row| (row.died_at, row.id), |row| DeadLetter::of(row, view)))
    }

    /// List dead letters by what they died of
    ///
    /// The largest group first, 200 groups at most.
    #[oai(path = "/dead-letters/groups", method = "get", operation_id = "list_dead_letter_groups")]
    async fn groups(
        &self,
        by: Granted<Read>,
        /// The name of the job
        kind: Query<Option<String>>,
    ) -> Answer<Vec<Group>> {
        let view = by.view(false, "dead letters").await?;
        let filter = DeadFilter { kind: kind.0, ..DeadFilter::default() };
        let groups = self.0.tasks.dead_groups(&filter, 200).await?;
        Ok(Json(groups.into_iter().map(|group| Group::of(group, view)).collect()))
    }
}

impl DeadLetter {
    fn of(row: DeadRow, view: View) -> Self {
        Self {
            id: row.id.0,
            kind: row.kind,
            queue: row.queue,
            payload: Any(view.json(&row.payload)),
            attempt: row.attempt,
            crashes: row.crashes,
            max_attempts: row.max_attempts,
            died_at: row.died_at,
            created_at: row.created_at,
            fingerprint: row.fingerprint,
            last_error: view.maybe(row.last_error.as_deref()),
            ordering_key: view.maybe(row.ordering_key.as_deref()),
            correlation_id: row.correlation_id,
            cause: row.cause,
        }
    }
}

impl Group {
    fn of(group: DeadGroup, view: View) -> Self {
        Self {
            kind: group.kind,
            fingerprint: group.fingerprint,
            error: view.line(&group.error),
            count: group.count,
            first_died_at: group.first_died_at,
            last_died_at: group.last_died_at,
            sample: group.sample.0,
        }
    }
}
