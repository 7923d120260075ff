//! Looking at the provider's webhooks from time to time: that one was disabled is told by nobody. It only looks, and where
//! that is wanted gives a webhook another secret when the one it has is old.

use std::time::Duration;

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_openphone::signature::Scheme;
use trunkline_platform::audit::Actor;
use trunkline_platform::clock::Clock;
use trunkline_platform::job::{Context, Done, Failure, Job, Queue};

use super::care::{Care, Look};
use super::{CareError, checks};
use crate::secrets::{Purpose, State};
use crate::{Services, UPKEEP};

/// Compares the provider's webhooks with what this installation expects.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct WatchWebhooks {}

impl Job for WatchWebhooks {
    type Services = Services;
    const NAME: &'static str = "webhooks.watch";
    const QUEUE: Queue = UPKEEP;
    const TIMEOUT: Duration = Duration::from_secs(5 * 60);

    fn unique_key(&self) -> Option<String> {
        Some("all".to_owned())
    }

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        let services = cx.services();
        let Some(expected) = &services.subscriptions.expected else {
            return Err(Failure::discard("where the provider reaches us was not said (webhooks.public_url)"));
        };
        if !services.provider.is_configured() {
            return Err(Failure::discard("there is no API key to ask the provider with (openphone.api_key)"));
        }
        let actor = Actor { name: format!("task:{}", cx.task().id), reason: Some("a schedule".to_owned()) };
        let clock = services.upkeep.tasks.clock();
        let care = Care {
            provider: &services.provider,
            vault: &services.secrets,
            expected,
            configured: &services.subscriptions.configured,
            clock,
            actor: &actor,
        };
        let look = care.look().await?;
        checks::keep(&services.db, &look.findings, cx.now()).await?;
        for finding in &look.findings {
            tracing::warn!(
                problem = finding.problem.as_str(),
                subscription = finding.subscription,
                "the provider's webhooks are not as they should be: {}",
                finding.what
            );
        }
        rotate_old(&care, &look, clock).await?;
        Ok(Done::new())
    }
}

/// Gives those another secret whose secret is old, one after another, while none is being changed already.
async fn rotate_old(care: &Care<'_>, look: &Look, clock: &Clock) -> Result<(), CareError> {
    let Some(every) = care.vault.rules().every.filter(|_| care.vault.is_open()) else { return Ok(()) };
    let old = clock.now() - TimeDelta::from_std(every).unwrap_or(TimeDelta::MAX);
    let live = care.live().await?;
    for one in care.expected.ours(&look.subscriptions) {
        if one.scheme != Scheme::Standard || !one.enabled {
            continue;
        }
        let mut own = live.iter().filter(|row| row.purpose == Purpose::Standard && row.name == one.id);
        let is_old = |row: &crate::secrets::SecretRow| {
            row.state == State::Active && row.activated_at.unwrap_or(row.created_at) < old
        };
        if own.clone().all(|row| row.state == State::Active) && own.any(is_old) {
            let row = care.rotate_of(&look.subscriptions, &one.id).await?;
            tracing::info!(subscription = one.id, version = row.version, "a webhook has another secret");
        }
    }
    Ok(())
}
