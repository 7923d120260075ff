//! Asking the provider several things one after another, within the rate that everybody shares.

use chrono::{DateTime, Utc};
use thiserror::Error;
use trunkline_openphone::client::{ApiError, Client};
use trunkline_platform::clock::Clock;
use trunkline_platform::db::DbError;
use trunkline_platform::job::FailureKind;

use crate::provider::{Provider, ProviderError, Share};
use crate::secrets::VaultError;

/// How often one question waits for its turn.
const MOST_WAITS: usize = 60;

#[derive(Debug, Error)]
pub enum CareError {
    #[error("where the provider reaches this installation was not said: set webhooks.public_url")]
    NoAddress,
    #[error("the provider has no webhook {0}; see `trunkline webhooks status`")]
    Unknown(String),
    #[error("{0} is an older webhook, whose secret cannot be changed: see `trunkline webhooks move`")]
    Older(String),
    #[error("the webhook {0} is for another address")]
    Elsewhere(String),
    #[error(
        "the provider may have given the webhook {id} a new secret and its answer was lost. Nothing is refused: what is signed \
         with it is to be sent again. Run `trunkline webhooks rotate {id}` again, now"
    )]
    AnswerLost { id: String, source: ApiError },
    #[error("the provider told no secret of the webhook {0}")]
    NoSecret(String),
    #[error("asking the provider")]
    Api(#[source] ApiError),
    #[error("the rate of requests to the provider is used up: try again in a minute")]
    Busy,
    #[error("the token for a request could not be had: {0}")]
    Token(String),
    #[error(transparent)]
    NoKey(#[from] ProviderError),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Asks, waiting for a token and heeding what the provider says of its own rate.
pub(super) async fn ask<'p, T, F>(
    provider: &'p Provider,
    clock: &Clock,
    question: impl Fn(&'p Client) -> F + Send + Sync,
) -> Result<Result<T, ApiError>, CareError>
where
    F: Future<Output = Result<T, ApiError>> + Send,
{
    provider.client()?;
    for _ in 0..MOST_WAITS {
        let asked_at = clock.now();
        let until: DateTime<Utc> = match provider.token(Share::Repair, asked_at).await {
            Ok(client) => match question(client).await {
                Err(error @ ApiError::RateLimited { .. }) => {
                    provider.heed(&error, asked_at, clock.now()).await?
                }
                answer => return Ok(answer),
            },
            Err(failure) => match failure.kind {
                FailureKind::Snooze(until) => until,
                _ => return Err(CareError::Token(failure.error.to_string())),
            },
        };
        if !clock.sleep_until(until).await {
            return Err(CareError::Busy);
        }
    }
    Err(CareError::Busy)
}
