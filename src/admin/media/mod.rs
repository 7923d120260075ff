//! The files behind texts and calls. What they are is for every reader; what is in them takes `pii` and is in the
//! audit.

mod content;
mod disposition;
mod listeners;
mod range;

use chrono::{DateTime, Utc};
use poem::Request;
use poem::http::StatusCode;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Enum, Object, OpenApi};
use trunkline_jobs::media::MediaId;
use trunkline_jobs::media::inspect::{self, MediaDetail, MediaFilter};

use super::granted::{Granted, Read, ReadPersonal, View};
use super::page::{Listing, Page, usual};
use super::problem::Problem;
use super::{Answer, Desk, Tag};
use content::{Content, File};
pub use listeners::Listeners;

pub(super) struct MediaApi(pub(super) Desk);

/// What a file belongs to
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename = "MediaOwner", rename_all = "snake_case")]
enum Owner {
    Message,
    Recording,
    Voicemail,
}

/// A file
#[derive(Debug, Object)]
struct Medium {
    id: i64,
    /// `message`, `recording` or `voicemail`
    owner_type: String,
    /// The message's id, the voicemail's, or the call's and the recording's, joined by a slash
    owner_id: String,
    /// Tells the files of one message apart
    position: i32,
    /// `pending`, `stored`, `quarantined`, `failed` or `purged`
    state: String,
    /// Why it failed
    error: Option<String>,
    /// What the sender says it is; not to be trusted
    declared_type: Option<String>,
    /// What it is, told by its content
    media_type: Option<String>,
    /// It is something else than it was said to be
    type_mismatch: bool,
    size: Option<i64>,
    sha256: Option<String>,
    has_thumbnail: bool,
    /// What the virus scanner found
    signature: Option<String>,
    /// Not to be purged, whatever the retention
    legal_hold: bool,
    created_at: DateTime<Utc>,
    stored_at: Option<DateTime<Utc>>,
    purged_at: Option<DateTime<Utc>>,
}

fn yes() -> bool {
    true
}

#[OpenApi(tag = "Tag::Media")]
impl MediaApi {
    /// List files
    ///
    /// The newest first. The provider's links are secrets and never shown.
    #[oai(path = "/media", method = "get", operation_id = "list_media")]
    async fn list(
        &self,
        by: Granted<Read>,
        /// `pending`, `stored`, `quarantined`, `failed` or `purged`
        state: Query<Option<String>>,
        owner_type: Query<Option<Owner>>,
        cursor: Query<Option<String>>,
        #[oai(default = "usual", validator(minimum(value = "1"), maximum(value = "200")))] limit: Query<u32>,
    ) -> Answer<Page<Medium>> {
        let owner_type = owner_type.0.map(Owner::as_str);
        let listing = Listing::of("media", &(&state.0, owner_type));
        let filter = MediaFilter {
            before: listing.after(cursor.0.as_deref())?,
            state: state.0,
            owner_type: owner_type.map(str::to_owned),
            limit: limit.0 + 1,
            ..MediaFilter::default()
        };
        let view = by.view(false, "media").await?;
        let rows = inspect::list(self.0.tasks.db(), &filter).await?;
        Ok(listing.page(rows, limit.0, |row| row.id, |row| Medium::of(row, view)))
    }

    /// Show a file's row
    #[oai(path = "/media/:id", method = "get", operation_id = "show_media")]
    async fn show(&self, by: Granted<Read>, id: Path<i64>) -> Answer<Medium> {
        let view = by.view(false, "media").await?;
        Ok(Json(Medium::of(self.row(id.0).await?, view)))
    }

    /// Get a file
    ///
    /// Only one that is stored: nothing unchecked and nothing in quarantine. Takes ranges and conditions. Who gets it
    /// is in the audit, once for each time somebody listens or looks, however many requests that takes. Where the
    /// store hands files out itself, the answer leads there with a link that soon expires.
    #[oai(path = "/media/:id/content", method = "get", operation_id = "get_media_content")]
    async fn content(
        &self,
        by: Granted<ReadPersonal>,
        request: &Request,
        id: Path<i64>,
        /// Whether the answer may lead to the store
        #[oai(default = "yes")]
        redirect: Query<bool>,
    ) -> Result<Content, Problem> {
        let row = self.row(id.0).await?;
        self.hand_out(&by, request, &row, redirect.0).await
    }

    /// Get the thumbnail of a picture
    ///
    /// As `get_media_content` does.
    #[oai(path = "/media/:id/thumbnail", method = "get", operation_id = "get_media_thumbnail")]
    async fn thumbnail(
        &self,
        by: Granted<ReadPersonal>,
        request: &Request,
        id: Path<i64>,
        /// Whether the answer may lead to the store
        #[oai(default = "yes")]
        redirect: Query<bool>,
    ) -> Result<Content, Problem> {
        let row = self.row(id.0).await?;
        let hash = row.servable_thumbnail().ok_or_else(|| Problem::not_found("thumbnail of this file"))?;
        self.0.listeners.enter(&by, &row).await?;
        let file = File::thumbnail(&row, hash);
        content::serve(&self.0.store, &file, request.headers(), redirect.0).await
    }

    /// List the recordings of a call
    #[oai(path = "/calls/:id/recordings", method = "get", operation_id = "list_recordings")]
    async fn recordings(&self, by: Granted<Read>, id: Path<String>) -> Answer<Vec<Medium>> {
        let view = by.view(false, "media").await?;
        let rows = inspect::recordings(self.0.tasks.db(), &id).await?;
        Ok(Json(rows.into_iter().map(|row| Medium::of(row, view)).collect()))
    }

    /// Get the first recording of a call
    ///
    /// As `get_media_content` does. A call can have more than one: `list_recordings` tells them all.
    #[oai(path = "/calls/:id/recording", method = "get", operation_id = "get_recording")]
    async fn recording(
        &self,
        by: Granted<ReadPersonal>,
        request: &Request,
        id: Path<String>,
        /// Whether the answer may lead to the store
        #[oai(default = "yes")]
        redirect: Query<bool>,
    ) -> Result<Content, Problem> {
        let rows = inspect::recordings(self.0.tasks.db(), &id).await?;
        let first = rows.iter().find(|row| row.servable().is_some()).or(rows.first());
        let row = first.ok_or_else(|| Problem::not_found("recording of this call"))?;
        self.hand_out(&by, request, row, redirect.0).await
    }

    async fn row(&self, id: i64) -> Result<MediaDetail, Problem> {
        let row = inspect::show(self.0.tasks.db(), MediaId(id)).await?;
        row.ok_or_else(|| Problem::not_found(format!("file {id}")))
    }

    async fn hand_out(
        &self,
        by: &Granted<ReadPersonal>,
        request: &Request,
        row: &MediaDetail,
        redirect: bool,
    ) -> Result<Content, Problem> {
        let Some(hash) = row.servable() else {
            let detail = format!("the file {} is {} and not handed out", row.id, row.state);
            return Err(Problem::new(StatusCode::NOT_FOUND, "not_stored", detail));
        };
        self.0.listeners.enter(by, row).await?;
        content::serve(&self.0.store, &File::original(row, hash), request.headers(), redirect).await
    }
}

impl Medium {
    fn of(row: MediaDetail, view: View) -> Self {
        Self {
            id: row.id,
            owner_type: row.owner_type,
            owner_id: row.owner_id,
            position: row.position,
            state: row.state,
            error: view.maybe(row.error.as_deref()),
            declared_type: view.maybe(row.declared_type.as_deref()),
            media_type: row.media_type,
            type_mismatch: row.type_mismatch,
            size: row.size,
            has_thumbnail: row.thumbnail_sha256.is_some(),
            sha256: row.sha256,
            signature: row.signature,
            legal_hold: row.legal_hold,
            created_at: row.created_at,
            stored_at: row.stored_at,
            purged_at: row.purged_at,
        }
    }
}

impl Owner {
    fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Recording => "recording",
            Self::Voicemail => "voicemail",
        }
    }
}
