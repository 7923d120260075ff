//! A call was recorded, so a transcript and a summary should follow. Where the provider told of none, it is asked.

use std::time::Duration;

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_openphone::client::ApiError;
use trunkline_openphone::event::ProcessingStatus;
use trunkline_platform::job::{Context, Done, Failure, Job, Priority, Queue, Retry};
use trunkline_platform::task::NewTask;

use super::store;
use crate::provider::Share;
use crate::{MEDIA, Services};

/// They are usually told within minutes.
const FIRST_WAIT: TimeDelta = TimeDelta::minutes(10);
const WAITS: [Duration; 4] = [
    Duration::from_secs(20 * 60),
    Duration::from_secs(60 * 60),
    Duration::from_secs(4 * 60 * 60),
    Duration::from_secs(18 * 60 * 60),
];

trunkline_platform::statements! {
    TEXTS = same {
        "SELECT c.id, t.status AS transcript, s.status AS summary
         FROM calls AS c
         LEFT JOIN call_transcripts AS t ON t.call_id = c.id
         LEFT JOIN call_summaries AS s ON s.call_id = c.id
         WHERE c.id = $1"
    }
}

/// Asks the provider for the transcript and the summary of a call that were not told, a few times within a day.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CallTextsWanted {
    pub call: String,
}

#[derive(sqlx::FromRow)]
struct Texts {
    transcript: Option<String>,
    summary: Option<String>,
}

/// What the provider has not made, or not yet.
#[derive(Debug, thiserror::Error)]
#[error("not there yet: {0}")]
struct NotYet(String);

impl Job for CallTextsWanted {
    type Services = Services;
    const NAME: &'static str = "calls.texts_wanted";
    const QUEUE: Queue = MEDIA;
    const PRIORITY: Priority = Priority::LOW;
    const RETRY: Retry = Retry::custom(wait).attempts(WAITS.len() as u16 + 1);

    fn unique_key(&self) -> Option<String> {
        Some(self.call.clone())
    }

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        let services = cx.services();
        let texts: Option<Texts> = TEXTS.bind(&self.call).optional(&mut services.db.read().await?).await?;
        let Some(texts) = texts else { return Err(Failure::discard("the call is no longer kept")) };
        let mut missing = Vec::new();
        if !is_final(texts.transcript.as_deref()) {
            let answer = services
                .provider
                .ask(cx, Share::Repair, async |client| client.call_transcript(&self.call).await)
                .await?;
            match found(answer)? {
                Some(transcript) if is_over(&transcript.status) => {
                    store::keep_asked_transcript(cx, &self.call, transcript).await?;
                }
                other => missing.push(told("transcript", other.map(|transcript| transcript.status))),
            }
        }
        if !is_final(texts.summary.as_deref()) {
            let answer = services
                .provider
                .ask(cx, Share::Repair, async |client| client.call_summary(&self.call).await)
                .await?;
            match found(answer)? {
                Some(summary) if is_over(&summary.status) => {
                    store::keep_asked_summary(cx, &self.call, summary).await?;
                }
                other => missing.push(told("summary", other.map(|summary| summary.status))),
            }
        }
        if missing.is_empty() {
            return Ok(Done::new());
        }
        if cx.task().is_last_attempt() {
            return Err(Failure::discard("the provider made no transcript or summary within a day"));
        }
        Err(NotYet(missing.join(", ")).into())
    }
}

/// The wait after so many tries.
fn wait(failures: u32) -> Duration {
    let at = usize::try_from(failures).unwrap_or(usize::MAX).saturating_sub(1);
    WAITS[at.min(WAITS.len() - 1)]
}

/// The task that asks, where there is somebody to ask.
pub(super) fn want(cx: &Context<Services>, call: &str) -> Result<Option<NewTask>, serde_json::Error> {
    if !cx.services().provider.is_configured() {
        return Ok(None);
    }
    let task = cx.follow_up(&CallTextsWanted { call: call.to_owned() })?;
    Ok(Some(task.at(cx.now() + FIRST_WAIT)))
}

/// What the provider has, if it has it. Asking again what the plan does not include would not help.
fn found<T>(answer: Result<T, ApiError>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(ApiError::NotFound(_)) => Ok(None),
        Err(ApiError::Forbidden(_) | ApiError::PaymentRequired(_)) => {
            Err(Failure::discard("the provider's plan has no transcripts and summaries"))
        }
        Err(error) => Err(error.into()),
    }
}

fn is_over(status: &ProcessingStatus) -> bool {
    matches!(status, ProcessingStatus::Completed | ProcessingStatus::Failed)
}

fn is_final(status: Option<&str>) -> bool {
    status.is_some_and(|status| is_over(&ProcessingStatus::from(status.to_owned())))
}

fn told(what: &str, status: Option<ProcessingStatus>) -> String {
    format!("{what} {}", status.as_ref().map_or("not found", ProcessingStatus::as_str))
}
