//! Handing a stored file out: whole or in part, or not at all to who has it. Browsers are told to show it as what it
//! is and to run nothing of it.

use poem::http::{HeaderMap, StatusCode, header};
use poem::{Body, IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::payload::{Binary, Payload as _};
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};
use trunkline_jobs::media::inspect::MediaDetail;
use trunkline_jobs::media::store::StoreError;
use trunkline_jobs::media::{MediaStore, Sha256Hash};

use super::super::problem::Problem;
use super::disposition::disposition;
use super::range::{Validators, Wanted, http_time, wanted};

/// Nothing in a file may load, run or be framed.
const POLICY: &str = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; \
    frame-ancestors 'none'; sandbox";
const UNKNOWN_TYPE: &str = "application/octet-stream";

/// A file on its way out.
pub(super) struct Content(Response);

/// What is handed out of a row.
pub(super) struct File<'r> {
    row: &'r MediaDetail,
    hash: Sha256Hash,
    media_type: &'r str,
    /// Absent: the store knows.
    size: Option<u64>,
    kind: &'static str,
}

impl<'r> File<'r> {
    pub(super) fn original(row: &'r MediaDetail, hash: Sha256Hash) -> Self {
        let media_type = row.media_type.as_deref().unwrap_or(UNKNOWN_TYPE);
        let size = row.size.and_then(|size| u64::try_from(size).ok());
        Self { row, hash, media_type, size, kind: "" }
    }

    pub(super) fn thumbnail(row: &'r MediaDetail, hash: Sha256Hash) -> Self {
        let media_type = row.thumbnail_type.as_deref().unwrap_or(UNKNOWN_TYPE);
        Self { row, hash, media_type, size: None, kind: "-thumbnail" }
    }
}

pub(super) async fn serve(
    store: &MediaStore,
    file: &File<'_>,
    headers: &HeaderMap,
    redirect: bool,
) -> Result<Content, Problem> {
    let File { row, hash, media_type, size, kind } = file;
    let failed = |error: StoreError| Problem::internal(&error);
    let size = match size {
        Some(size) => *size,
        None => store.open(hash, None).await.map_err(failed)?.size,
    };
    let validators =
        Validators { etag: format!("\"{hash}\""), modified: row.stored_at.unwrap_or(row.created_at) };
    let wanted = wanted(headers, size, &validators);
    let response = Response::builder()
        .header(header::ETAG, &validators.etag)
        .header(header::LAST_MODIFIED, http_time(validators.modified))
        .header(header::ACCEPT_RANGES, "bytes")
        // Kept, but asked for again each time: whoever lost the right to it does not see it any more.
        .header(header::CACHE_CONTROL, "private, no-cache")
        .header(header::CONTENT_SECURITY_POLICY, POLICY);
    let name = format!("{}-{}{kind}.{}", row.owner_type, row.id, extension(media_type));
    let disposition = disposition(media_type, &name);
    if redirect
        && wanted != Wanted::NotModified
        && let Some(link) = store.presigned(hash, media_type, &disposition).await.map_err(failed)?
    {
        let response = Response::builder().status(StatusCode::TEMPORARY_REDIRECT);
        return Ok(Content(response.header(header::LOCATION, link.as_str()).finish()));
    }
    let (status, range) = match wanted {
        Wanted::NotModified => {
            return Ok(Content(response.status(StatusCode::NOT_MODIFIED).finish()));
        }
        Wanted::Unsatisfiable => {
            let response = response.header(header::CONTENT_RANGE, format!("bytes */{size}"));
            return Ok(Content(response.status(StatusCode::RANGE_NOT_SATISFIABLE).finish()));
        }
        Wanted::Whole => (StatusCode::OK, None),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, Some(range)),
    };
    let mut response =
        response.status(status).content_type(media_type).header(header::CONTENT_DISPOSITION, disposition);
    let mut length = size;
    if let Some(range) = &range {
        length = range.end - range.start;
        let told = format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1));
        response = response.header(header::CONTENT_RANGE, told);
    }
    let opened = store.open(hash, range).await.map_err(failed)?;
    let response = response.header(header::CONTENT_LENGTH, length);
    Ok(Content(response.body(Body::from_async_read(opened.body))))
}

/// What a file of this type is called at its end.
fn extension(media_type: &str) -> &str {
    match media_type {
        "audio/mpeg" => "mp3",
        "audio/wav" | "audio/x-wav" => "wav",
        "audio/ogg" => "ogg",
        "image/jpeg" => "jpg",
        "text/plain" => "txt",
        "text/vcard" => "vcf",
        other => {
            let subtype = other.rsplit('/').next().unwrap_or_default();
            let plain = subtype.len() <= 8 && subtype.bytes().all(|byte| byte.is_ascii_alphanumeric());
            if plain && !subtype.is_empty() { subtype } else { "bin" }
        }
    }
}

impl IntoResponse for Content {
    fn into_response(self) -> Response {
        self.0
    }
}

impl ApiResponse for Content {
    fn meta() -> MetaResponses {
        let response = |status, description, has_body: bool| MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content: if has_body {
                vec![MetaMediaType { content_type: "*/*", schema: Binary::<Body>::schema_ref() }]
            } else {
                Vec::new()
            },
            headers: Vec::new(),
        };
        MetaResponses {
            responses: vec![
                response(200, "The whole file", true),
                response(206, "The part that was asked for", true),
                response(304, "You have it", false),
                response(307, "The store hands it out: go there", false),
                response(416, "It has no such part", false),
            ],
        }
    }

    fn register(_registry: &mut Registry) {}
}
