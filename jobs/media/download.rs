//! Fetch one file, have it taken in, and note what became of it.

use std::time::Duration;

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_platform::job::{Context, Done, Failure, Job, Queue, Retry};
use url::Url;

use super::check::CheckError;
use super::fetch::{FetchError, Fetched};
use super::fresh::{self, Fresh};
use super::intake::{self, Intake, IntakeError};
use super::purge;
use super::table::{self, MediaId, MediaRow};
use crate::{MEDIA, Services};

/// The longest that a host can put us off by `Retry-After`.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);
/// How long a content that is being deleted may take to be gone.
const A_MOMENT: TimeDelta = TimeDelta::seconds(10);

/// Fetches a file that an event told of, unless it is there already.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct DownloadMedia {
    pub media: MediaId,
}

#[derive(Debug, thiserror::Error)]
enum DownloadError {
    #[error("the link is not a URL")]
    NotAUrl(#[from] url::ParseError),
    #[error("the link is gone, and {why}")]
    Gone { why: &'static str, source: FetchError },
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Intake(#[from] IntakeError),
}

impl DownloadError {
    fn is_permanent(&self) -> bool {
        match self {
            Self::NotAUrl(_) | Self::Gone { .. } => true,
            Self::Fetch(error) => error.is_permanent(),
            Self::Intake(IntakeError::Check(CheckError::Rejected(_)) | IntakeError::TooLargeToScan(_)) => {
                true
            }
            Self::Intake(_) => false,
        }
    }

    /// What it counts as in the metrics.
    fn outcome(&self) -> &'static str {
        match self {
            Self::Gone { .. } => "gone",
            Self::Fetch(FetchError::Refused(_) | FetchError::TooLarge { .. })
            | Self::Intake(IntakeError::Check(CheckError::Rejected(_)) | IntakeError::TooLargeToScan(_)) => {
                "refused"
            }
            _ => "failed",
        }
    }
}

impl DownloadMedia {
    /// What one fetch may take, redirects included. The rest of the job's time is for scanning and storing.
    pub const LONGEST_FETCH: Duration = Duration::from_secs(270);
}

impl Job for DownloadMedia {
    type Services = Services;
    const NAME: &'static str = "media.download";
    const QUEUE: Queue = MEDIA;
    const RETRY: Retry =
        Retry::exponential(Duration::from_secs(10), Duration::from_secs(6 * 60 * 60)).attempts(12);
    const TIMEOUT: Duration = Duration::from_secs(15 * 60);

    fn unique_key(&self) -> Option<String> {
        Some(self.media.to_string())
    }

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        let Services { db, media, .. } = cx.services();
        let row = table::load(db, self.media).await?;
        let mut row = row.ok_or_else(|| Failure::discard("what the file belonged to is gone"))?;
        if row.is_closed() {
            return Err(Failure::discard("the file was purged, or is in quarantine"));
        }
        if let Some(hash) = row.stored()
            && media.store.exists(&hash).await?
        {
            return Ok(Done::new());
        }
        if cx.task().token > 1 {
            table::note_task(db, &row, cx.task().id).await?;
        }
        let fetched = match obtain(cx, &mut row).await? {
            Ok(fetched) => fetched,
            Err(error) => return Err(given_up(cx, &row, error).await?),
        };
        let size = fetched.size;
        match intake::take_in(db, media, &row, fetched, cx.now()).await {
            Ok(Intake::Stored) => {
                media.metrics.stored(size);
                Ok(Done::new())
            }
            Ok(Intake::Quarantined) => {
                media.metrics.download("quarantined");
                purge::remove(db, &media.store, &row.contents(), cx.now()).await?;
                Ok(Done::new())
            }
            Ok(Intake::Held(away)) => {
                media.metrics.download("held");
                let error = &away as &dyn std::error::Error;
                tracing::warn!(media = %self.media, error, "the file waits for the virus scanner");
                Err(wait_for_scanner(cx))
            }
            Ok(Intake::Overtaken) => {
                Err(Failure::snooze_until(cx.now() + A_MOMENT, "the file changed meanwhile; looking again"))
            }
            Ok(Intake::BeingDeleted) => {
                Err(Failure::snooze_until(cx.now() + A_MOMENT, "the same content is being deleted"))
            }
            Err(error) => Err(given_up(cx, &row, error.into()).await?),
        }
    }
}

fn wait_for_scanner(cx: &Context<Services>) -> Failure {
    let wait = intake::wait_for_scanner(cx.seed());
    let wait = TimeDelta::from_std(wait).unwrap_or(TimeDelta::minutes(1));
    Failure::snooze_until(cx.now() + wait, "the virus scanner is away")
}

/// The file from the store, where an earlier attempt left it, or from its link.
async fn obtain(
    cx: &Context<Services>,
    row: &mut MediaRow,
) -> Result<Result<Fetched, DownloadError>, Failure> {
    let media = &cx.services().media;
    if let Some(hash) = row.held()
        && media.store.exists(&hash).await?
    {
        if let Some(scanner) = &media.scanner
            && scanner.check().await.is_err()
        {
            return Err(wait_for_scanner(cx));
        }
        return Ok(intake::from_store(media, &hash).await.map_err(Into::into));
    }
    let gone = match fetch(cx, &row.url).await {
        Err(DownloadError::Fetch(error)) if error.is_gone() => error,
        other => return Ok(other),
    };
    let why = match fresh::ask(cx, row).await? {
        Fresh::Link(url) => {
            if !table::renew_link(&cx.services().db, row, &url, cx.now()).await? {
                return Err(Failure::snooze_until(cx.now(), "a newer link was told meanwhile"));
            }
            row.url = url;
            match fetch(cx, &row.url).await {
                Err(DownloadError::Fetch(error)) if error.is_gone() => {
                    return Ok(Err(DownloadError::Gone { why: "so is the fresh one", source: error }));
                }
                other => return Ok(other),
            }
        }
        Fresh::No(why) => why,
    };
    Ok(Err(DownloadError::Gone { why, source: gone }))
}

async fn fetch(cx: &Context<Services>, url: &str) -> Result<Fetched, DownloadError> {
    let media = &cx.services().media;
    Ok(media.fetcher.fetch(&Url::parse(url)?, media.store.temp_dir()).await?)
}

/// What follows from an error. The row of a file that will not be tried again says why.
async fn given_up(cx: &Context<Services>, row: &MediaRow, error: DownloadError) -> Result<Failure, Failure> {
    cx.services().media.metrics.download(error.outcome());
    let permanent = error.is_permanent();
    let failure = failure(error);
    if !permanent && !cx.task().is_last_attempt() {
        return Ok(failure);
    }
    let reason = format!("{:#}", failure.error);
    Ok(match table::mark_failed(&cx.services().db, row, &reason).await? {
        true => failure,
        false => Failure::snooze_until(cx.now() + A_MOMENT, "the file changed meanwhile; looking again"),
    })
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

    use super::super::check::Rejection;
    use super::*;

    fn kind_of(error: impl Into<DownloadError>) -> FailureKind {
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
        assert_eq!(kind_of(Url::parse("no url").unwrap_err()), FailureKind::Permanent);
        let rejected = IntakeError::Check(Rejection::Empty.into());
        assert_eq!(kind_of(rejected), FailureKind::Permanent);
        let unread = IntakeError::Check(std::io::Error::other("the disk").into());
        assert_eq!(kind_of(unread), FailureKind::Retry);
    }

    #[test]
    fn a_link_that_is_gone_is_called_that() {
        let gone = DownloadError::Gone { why: "the provider knows no other", source: status(410) };
        let reason = format!("{:#}", failure(gone).error);
        let expected =
            "the link is gone, and the provider knows no other: https://media.example answered 410 Gone";
        assert_eq!(reason, expected);
    }

    #[test]
    fn a_host_is_given_the_time_it_asks_for_but_no_more_than_an_hour() {
        assert_eq!(kind_of(limited(Some(90))), FailureKind::RetryAfter(Duration::from_secs(90)));
        assert_eq!(kind_of(limited(Some(90_000))), FailureKind::RetryAfter(LONGEST_WAIT));
        assert_eq!(kind_of(limited(None)), FailureKind::Retry);
    }
}
