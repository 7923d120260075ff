//! The audit: who did what, and why.

use chrono::{DateTime, Utc};
use poem_openapi::param::Query;
use poem_openapi::types::Any;
use poem_openapi::{Object, OpenApi};
use serde_json::Value;
use trunkline_platform::audit::{self, AuditFilter, AuditRow};

use super::granted::{Granted, Read, View};
use super::page::{Listing, Page, usual};
use super::{Answer, Desk, Tag};

pub(super) struct AuditApi(pub(super) Desk);

/// Something that was done
#[derive(Debug, Object)]
#[oai(rename = "AuditEntry")]
struct Entry {
    id: i64,
    at: DateTime<Utc>,
    /// `operator:ana`, `key:0f3a52c9d1e8`
    actor: String,
    /// `task.cancel`, `key.create`
    action: String,
    /// `task:17`, `queue:media`
    subject: String,
    reason: Option<String>,
    before: Option<Any<Value>>,
    after: Option<Any<Value>>,
}

#[OpenApi(tag = "Tag::Audit")]
impl AuditApi {
    /// List what was done
    ///
    /// The newest first. Numbers and texts are masked.
    #[oai(path = "/audit", method = "get", operation_id = "list_audit")]
    async fn list(
        &self,
        by: Granted<Read>,
        /// To what: `task:17`
        subject: Query<Option<String>>,
        /// By whom: `operator:ana`
        actor: Query<Option<String>>,
        /// What: `task.cancel`
        action: Query<Option<String>>,
        cursor: Query<Option<String>>,
        #[oai(default = "usual", validator(minimum(value = "1"), maximum(value = "200")))] limit: Query<u32>,
    ) -> Answer<Page<Entry>> {
        let listing = Listing::of("audit", &(&subject.0, &actor.0, &action.0));
        let filter = AuditFilter {
            before: listing.after(cursor.0.as_deref())?,
            subject: subject.0,
            actor: actor.0,
            action: action.0,
            limit: limit.0 + 1,
        };
        let view = by.view(false, "audit").await?;
        let rows = audit::list(self.0.tasks.db(), &filter).await?;
        Ok(listing.page(rows, limit.0, |row| row.id, |row| Entry::of(row, view)))
    }
}

impl Entry {
    fn of(row: AuditRow, view: View) -> Self {
        Self {
            id: row.id,
            at: row.at,
            actor: row.actor,
            action: row.action,
            subject: view.line(&row.subject),
            reason: view.maybe(row.reason.as_deref()),
            before: row.before.map(|text| Any(view.json(&text))),
            after: row.after.map(|text| Any(view.json(&text))),
        }
    }
}
