//! The door for webhooks: raw bytes → size limit → rate limit → signature → freshness → envelope → committer
//! → answer.
//!
//! A 2xx is sent only after the event and its task are committed. A 4xx is for what can never succeed; our
//! own trouble is a 5xx, so that the provider tries again. Nothing unverified is parsed, and nothing of a
//! body is logged.

mod body;
mod committer;
mod endpoint;
mod metrics;
mod rate;
mod refusal;

use std::sync::Arc;
use std::time::Duration;

use trunkline_jobs::secrets::Keyring;
use trunkline_openphone::signature::Tolerance;
use trunkline_platform::clock::Clock;
use trunkline_platform::commit::Committer;
use trunkline_platform::task::Tasks;

use crate::config::Network;
use crate::correlation::CorrelationIds;

pub use endpoint::WebhookEndpoint;
pub use metrics::ReceiverMetrics;
pub use refusal::Refusal;

/// How the receiver behaves.
#[derive(Debug)]
pub struct ReceiverSettings {
    pub keyring: Arc<Keyring>,
    pub tolerance: Tolerance,
    /// The largest body that is read, in bytes.
    pub max_body: usize,
    /// How long a body may take to arrive, and what may be signed with a secret that is about to be known may wait for it.
    pub body_deadline: Duration,
    /// Bodies that may be on their way in at once; with `max_body` this bounds the memory they take.
    pub max_in_hand: usize,
    /// Deliveries that may wait for the committer.
    pub queue: usize,
    /// The most deliveries of one commit.
    pub batch: usize,
    /// Commits on their way at a time.
    pub writers: usize,
    /// How long a delivery may wait for its commit before the provider is told to come again. Together with
    /// `body_deadline` below the ten seconds the provider waits.
    pub commit_deadline: Duration,
    /// Requests per second and source, and how many may come at once.
    pub rate_per_second: u32,
    pub rate_burst: u32,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
}

impl Default for ReceiverSettings {
    fn default() -> Self {
        Self {
            keyring: Arc::default(),
            tolerance: Tolerance::default(),
            max_body: 1024 * 1024,
            body_deadline: Duration::from_secs(5),
            max_in_hand: 512,
            queue: 4_096,
            batch: 500,
            writers: 1,
            commit_deadline: Duration::from_secs(4),
            rate_per_second: 200,
            rate_burst: 400,
            trusted_proxies: Vec::new(),
        }
    }
}

/// Starts the committer and builds the endpoint that feeds it.
pub fn start(
    settings: ReceiverSettings,
    tasks: Tasks,
    clock: Clock,
    ids: CorrelationIds,
    metrics: ReceiverMetrics,
) -> (WebhookEndpoint, Committer) {
    let (committer, door) = committer::start(tasks, &settings, metrics.clone());
    let endpoint = WebhookEndpoint::new(Arc::new(settings), door, clock, ids, metrics);
    (endpoint, committer)
}
