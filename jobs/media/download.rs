//! Fetch one file, check it, store it, and note where it went.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_platform::job::{Context, Done, Failure, Job, Queue, Retry};
use url::Url;

use super::MediaServices;
use super::fetch::FetchError;
use super::sniff::sniff;
use super::store::StoreError;
use super::table::{self, MediaId, MediaRow, StoredFile};
use crate::{MEDIA, Services};

/// The longest that a host can put us off by `Retry-After`.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

/// Fetches a file that an event told of, unless it is there already.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct DownloadMedia {
    pub media: MediaId,
}

#[derive(Debug, thiserror::Error)]
enum DownloadError {
    #[error("the link is not a URL")]
    NotAUrl(#[from] url::ParseError),
    #[error("the link is gone")]
    Gone(#[source] FetchError),
    #[error(transparent)]
    Fetch(FetchError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl DownloadError {
    fn is_permanent(&self) -> bool {
        match self {
            Self::NotAUrl(_) | Self::Gone(_) => true,
            Self::Fetch(error) => error.is_permanent(),
            Self::Store(_) => false,
        }
    }
}

impl From<FetchError> for DownloadError {
    fn from(error: FetchError) -> Self {
        if error.is_gone() { Self::Gone(error) } else { Self::Fetch(error) }
    }
}

impl Job for DownloadMedia {
    type Services = Services;
    const NAME: &'static str = "media.download";
    const QUEUE: Queue = MEDIA;
    const RETRY: Retry =
        Retry::exponential(Duration::from_secs(10), Duration::from_secs(6 * 60 * 60)).attempts(12);
    const TIMEOUT: Duration = Duration::from_secs(5 * 60);

    fn unique_key(&self) -> Option<String> {
        Some(self.media.to_string())
    }

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        let Services { db, media, .. } = cx.services();
        let row = table::load(db, self.media).await?;
        let row = row.ok_or_else(|| Failure::discard("what the file belonged to is gone"))?;
        if let Some(hash) = row.stored()
            && media.store.exists(&hash).await?
        {
            return Ok(Done::new());
        }
        match download(media, &row.url).await {
            Ok(file) => {
                table::mark_stored(db, self.media, &file, cx.now()).await?;
                Ok(Done::new())
            }
            Err(error) => Err(self.failure(cx, &row, error).await?),
        }
    }
}

impl DownloadMedia {
    /// What follows from an error. The row of a file that will not be tried again says why.
    async fn failure(
        &self,
        cx: &Context<Services>,
        row: &MediaRow,
        error: DownloadError,
    ) -> Result<Failure, Failure> {
        let permanent = error.is_permanent();
        let last = cx.task().attempt >= cx.task().max_attempts;
        let failure = failure(error);
        if !permanent && !last {
            return Ok(failure);
        }
        let reason = format!("{:#}", failure.error);
        let noted = table::mark_failed(&cx.services().db, self.media, &row.url, &reason).await?;
        Ok(match noted {
            true => failure,
            false => Failure::snooze_until(cx.now(), "a newer link was told meanwhile"),
        })
    }
}

async fn download(media: &MediaServices, url: &str) -> Result<StoredFile, DownloadError> {
    let url = Url::parse(url)?;
    let fetched = media.fetcher.fetch(&url, media.store.temp_dir()).await?;
    let media_type = sniff(&fetched.head);
    let path = media.store.keep(fetched.file, &fetched.sha256, media_type.mime).await?;
    Ok(StoredFile { sha256: fetched.sha256, size: fetched.size, media_type, path })
}

fn failure(error: DownloadError) -> Failure {
    match &error {
        DownloadError::Fetch(FetchError::RateLimited { retry_after: Some(wait), .. }) => {
            let wait = (*wait).min(LONGEST_WAIT);
            Failure::retry_after(error, wait)
        }
        error_ if error_.is_permanent() => Failure::permanent(error),
        _ => Failure::from(error),
    }
}

#[cfg(test)]
mod tests {
    use trunkline_platform::job::FailureKind;

    use super::*;

    fn kind_of(error: FetchError) -> FailureKind {
        failure(error.into()).kind
    }

    fn status(status: u16) -> FetchError {
        let status = reqwest::StatusCode::from_u16(status).unwrap();
        FetchError::Status { origin: "https://media.example".to_owned(), status }
    }

    fn limited(seconds: Option<u64>) -> FetchError {
        let retry_after = seconds.map(Duration::from_secs);
        FetchError::RateLimited { origin: "https://media.example".to_owned(), retry_after }
    }

    #[test]
    fn what_cannot_succeed_is_not_tried_again() {
        assert_eq!(kind_of(FetchError::TooLarge { limit: 1 }), FailureKind::Permanent);
        assert_eq!(kind_of(status(404)), FailureKind::Permanent);
        assert_eq!(kind_of(status(500)), FailureKind::Retry);
        assert_eq!(failure(Url::parse("no url").unwrap_err().into()).kind, FailureKind::Permanent);
    }

    #[test]
    fn a_link_that_is_gone_is_called_that() {
        let reason = format!("{:#}", failure(status(410).into()).error);
        assert_eq!(reason, "the link is gone: https://media.example answered 410 Gone");
    }

    #[test]
    fn a_host_is_given_the_time_it_asks_for_but_no_more_than_an_hour() {
        assert_eq!(kind_of(limited(Some(90))), FailureKind::RetryAfter(Duration::from_secs(90)));
        assert_eq!(kind_of(limited(Some(90_000))), FailureKind::RetryAfter(LONGEST_WAIT));
        assert_eq!(kind_of(limited(None)), FailureKind::Retry);
    }
}
