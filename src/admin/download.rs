//! Files of rows on their way out, a piece at a time: however long one is, it takes the memory of a piece, and no
//! connection of the database while whoever reads it is slow.

use std::io;

use futures_util::stream;
use poem::http::header;
use poem::{Body, IntoResponse, Response};
use poem_openapi::payload::{Binary, Payload as _};
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::{ApiResponse, Enum};
use trunkline_jobs::export::{ExportError, Format};

/// How a file of rows is written
#[derive(Clone, Copy, Debug, Default, Enum)]
#[oai(remote = "Format", rename_all = "snake_case")]
pub(super) enum FileFormat {
    #[default]
    Csv,
    /// JSON, an object on each line
    Jsonl,
}

/// A file on its way out.
pub(super) struct Download(Response);

/// A piece of a file.
pub(super) struct Chunk<P> {
    pub(super) bytes: Vec<u8>,
    /// Where the next one begins; none at the end.
    pub(super) next: Option<P>,
}

impl Download {
    /// A file of this name, whose pieces `next` makes, beginning at `first`.
    pub(super) fn of<P, N, F>(name: &str, format: Format, first: P, next: N) -> Self
    where
        P: Send + 'static,
        N: Fn(P) -> F + Send + 'static,
        F: Future<Output = Result<Chunk<P>, ExportError>> + Send + 'static,
    {
        let (media_type, extension) = match format {
            Format::Csv => ("text/csv; charset=utf-8", "csv"),
            Format::Jsonl => ("application/x-ndjson", "jsonl"),
        };
        let pieces = stream::unfold((Some(first), next), async |(place, next)| {
            let piece = match next(place?).await {
                Ok(Chunk { bytes, next: place }) => (Ok(bytes), (place, next)),
                // What has gone out says 200; that it ends early is told by the connection.
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "an export stopped");
                    (Err(io::Error::other("the export stopped")), (None, next))
                }
            };
            Some(piece)
        });
        let response = Response::builder()
            .content_type(media_type)
            .header(header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.{extension}\""));
        Self(response.body(Body::from_bytes_stream(pieces)))
    }
}

impl IntoResponse for Download {
    fn into_response(self) -> Response {
        self.0
    }
}

impl ApiResponse for Download {
    fn meta() -> MetaResponses {
        let content = |content_type| MetaMediaType { content_type, schema: Binary::<Body>::schema_ref() };
        let response = MetaResponse {
            description: "The file",
            status: Some(200),
            status_range: None,
            content: vec![content("text/csv"), content("application/x-ndjson")],
            headers: Vec::new(),
        };
        MetaResponses { responses: vec![response] }
    }

    fn register(_registry: &mut Registry) {}
}
