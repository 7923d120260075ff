//! The provider's API, behind the one rate that everybody shares.
//!
//! The provider counts requests per API key, whoever makes them. So every request of every process takes a token
//! first, from one row in the database: see [`Window`]. Whoever just wants to ask something uses
//! [`Provider::ask`]; the gate, which takes tokens together with other limits, uses [`Provider::take`] in its own
//! transaction.

mod lines;
mod metrics;
mod table;
mod window;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use thiserror::Error;
use trunkline_openphone::client::{ApiError, ApiKey, Client};
use trunkline_platform::db::{Db, DbError, Session};
use trunkline_platform::job::{Context, Failure};

use crate::Services;
pub use lines::{Lines, Told};
pub use metrics::ProviderMetrics;
pub(crate) use table::STATEMENTS;
pub use window::{Grant, RateLimit, Share, Window};

/// The provider is asked to slow down and does not say for how long: its second has to end.
const UNTOLD_WAIT: Duration = Duration::from_secs(1);

#[derive(Debug, Error)]
pub enum ProviderError {
    #[error(
        "there is no API key for the provider: keep one with `trunkline secrets add-api-key`, or set openphone.api_key and start again"
    )]
    NoKey,
}

/// The client of the provider's API, and how often it may be used.
#[derive(Clone)]
pub struct Provider {
    db: Db,
    client: Option<Client>,
    limit: RateLimit,
    metrics: ProviderMetrics,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl Provider {
    /// With no client, or while it has no key, every request is refused as [`ProviderError::NoKey`].
    pub fn new(db: Db, client: Option<Client>, limit: RateLimit, metrics: ProviderMetrics) -> Self {
        Self { db, client, limit, metrics }
    }

    /// Whether there is a key to ask with.
    pub fn is_configured(&self) -> bool {
        self.client().is_ok()
    }

    /// What it is asked under.
    pub fn api_key(&self) -> ApiKey {
        self.client.as_ref().map(|client| client.api_key().clone()).unwrap_or_default()
    }

    /// How often it may be asked.
    pub fn limit(&self) -> RateLimit {
        self.limit
    }

    /// The client without a token, for who has taken one by [`take`](Self::take).
    pub fn client(&self) -> Result<&Client, ProviderError> {
        let client = self.client.as_ref().filter(|client| client.api_key().in_use().is_some());
        client.ok_or(ProviderError::NoKey)
    }

    /// Which row of rates counts: each key has its own.
    fn rate(&self) -> String {
        let key = self.client.as_ref().and_then(|client| client.api_key().in_use());
        key.map(|key| key.fingerprint().to_owned()).unwrap_or_default()
    }

    /// Takes a token and asks. The outer error is the task's: it is to be looked at again when there is a token, or
    /// when the provider said so after a 429, and neither costs a try. The inner error is the provider's other answers.
    pub async fn ask<'p, T, F>(
        &'p self,
        cx: &Context<Services>,
        share: Share,
        question: impl FnOnce(&'p Client) -> F,
    ) -> Result<Result<T, ApiError>, Failure>
    where
        F: Future<Output = Result<T, ApiError>> + Send,
    {
        let asked_at = cx.now();
        let client = self.token(share, asked_at).await?;
        match question(client).await {
            Err(error @ ApiError::RateLimited { .. }) => {
                let until = self.heed(&error, asked_at, cx.now()).await?;
                Err(Failure::snooze_until(until, "the provider asked us to slow down"))
            }
            answer => Ok(answer),
        }
    }

    /// The client with a token for one request, to be made at once. Hand its 429s to [`heed`](Self::heed).
    pub async fn token(&self, share: Share, now: DateTime<Utc>) -> Result<&Client, Failure> {
        let client = self.client().map_err(Failure::permanent)?;
        let rate = self.rate();
        let mut tx = self.db.write().await?;
        let mut window = table::lock(&mut tx, &rate).await?;
        let grant = window.take(self.limit, share, 1, now);
        let turn = (grant.granted == 0).then(|| window.turn(self.limit, grant.next, now));
        table::keep(&mut tx, &rate, &window).await?;
        tx.commit().await?;
        self.metrics.told(share, &window, self.limit, grant, now);
        match turn {
            None => Ok(client),
            Some(turn) => Err(Failure::snooze_until(turn, "the provider's rate is used up")),
        }
    }

    /// Holds the rate's row until the caller's transaction ends: nobody else takes a token meanwhile.
    pub async fn hold(&self, tx: &mut Session) -> Result<(), DbError> {
        table::lock(tx, &self.rate()).await.map(drop)
    }

    /// Takes up to so many tokens in the caller's transaction, which holds the row until it ends: keep it short, and
    /// make the requests at once after the commit.
    pub async fn take(
        &self,
        tx: &mut Session,
        share: Share,
        wanted: u32,
        now: DateTime<Utc>,
    ) -> Result<Grant, DbError> {
        let rate = self.rate();
        let mut window = table::lock(tx, &rate).await?;
        let grant = window.take(self.limit, share, wanted, now);
        if grant.granted > 0 {
            table::keep(tx, &rate, &window).await?;
        }
        if wanted > 0 {
            self.metrics.told(share, &window, self.limit, grant, now);
        }
        Ok(grant)
    }

    /// Obeys a 429 to a request made at `asked_at`, in every process: nobody asks before the time it answers, and
    /// everybody asks less often for a while. Other errors change nothing.
    pub async fn heed(
        &self,
        error: &ApiError,
        asked_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, DbError> {
        let ApiError::RateLimited { retry_after, .. } = error else { return Ok(now) };
        let wait = TimeDelta::from_std(retry_after.unwrap_or(UNTOLD_WAIT)).unwrap_or(TimeDelta::seconds(1));
        let rate = self.rate();
        let mut tx = self.db.write().await?;
        let mut window = table::lock(&mut tx, &rate).await?;
        window.slow_down(self.limit, asked_at, now + wait, now);
        table::keep(&mut tx, &rate, &window).await?;
        tx.commit().await?;
        self.metrics.limited(&window, self.limit, now);
        Ok(now + wait)
    }
}
