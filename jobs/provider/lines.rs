//! Our numbers, as the provider tells them: for people to choose from, and to see whether it answers. However many look, it is asked
//! once a minute at most.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Mutex;
use tokio::time::timeout;
use trunkline_openphone::client::PhoneNumber;
use trunkline_platform::clock::Clock;

use super::{Provider, Share};

/// How long an answer is good for; also that there was none.
const FRESH: TimeDelta = TimeDelta::minutes(1);
/// How long somebody who looks at a page waits for it.
const DEADLINE: Duration = Duration::from_secs(2);

/// Our numbers, or why the provider does not tell them.
pub type Told = Result<Vec<PhoneNumber>, String>;

/// Asks for our numbers. Its clones share what was answered.
#[derive(Clone, Debug)]
pub struct Lines {
    provider: Provider,
    clock: Clock,
    last: Arc<Mutex<Option<Answer>>>,
}

#[derive(Clone, Debug)]
struct Answer {
    at: DateTime<Utc>,
    told: Told,
}

impl Lines {
    pub fn new(provider: Provider, clock: Clock) -> Self {
        Self { provider, clock, last: Arc::default() }
    }

    /// None: there is no key to ask with. Takes two seconds at most; whoever comes meanwhile waits for the same answer.
    pub async fn list(&self) -> Option<Told> {
        if !self.provider.is_configured() {
            return None;
        }
        let mut last = self.last.lock().await;
        let now = self.clock.now();
        let fresh = |answer: &&Answer| answer.at <= now && now - answer.at < FRESH;
        if let Some(answer) = last.as_ref().filter(fresh) {
            return Some(answer.told.clone());
        }
        let asked = timeout(DEADLINE, self.ask(now)).await;
        let told = asked.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        *last = Some(Answer { at: now, told: told.clone() });
        Some(told)
    }

    async fn ask(&self, now: DateTime<Utc>) -> Told {
        let client = match self.provider.token(Share::Repair, now).await {
            Ok(client) => client,
            Err(failure) => return Err(failure.error.to_string()),
        };
        let answer = client.list_phone_numbers().await;
        if let Err(error) = &answer
            && let Err(error) = self.provider.heed(error, now, self.clock.now()).await
        {
            return Err(error.to_string());
        }
        answer.map_err(|error| trunkline_platform::chain(&error))
    }
}
