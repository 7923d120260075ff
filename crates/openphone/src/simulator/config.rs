//! How a simulator is set up, and why it may not start.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use url::Url;

use super::{Faults, Manners};
use crate::{event::Generation, signature::SecretError};

/// What time it is.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// How a simulator is set up.
#[derive(Clone)]
pub struct SimulatorConfig {
    /// Where it listens; port 0 picks one.
    pub listen: SocketAddr,
    /// How others reach it, if not at the address it listens on; files are linked under it.
    pub public_url: Option<Url>,
    /// Where webhooks go. Without one, deliveries wait until there is.
    pub target: Option<Url>,
    pub api_key: SecretString,
    /// `whsec_…`: signs the webhooks of the present system, until the API is asked for another.
    pub standard_secret: SecretString,
    /// Bare base64: signs the webhooks of the older systems.
    pub legacy_secret: SecretString,
    /// Which systems tell of what happens; each happening picks one. Repeat one to favour it.
    pub generations: Vec<Generation>,
    /// How many events a second happen by themselves; 0 means none.
    pub rate_per_second: f64,
    pub seed: u64,
    pub faults: Faults,
    /// Calls of the API in each second; those above it are answered 429.
    pub calls_per_second: u32,
    /// Whether those seconds are of `clock`, which a test moves by hand, and not of the machine.
    pub limits_by_clock: bool,
    /// How people take the texts that are sent to them.
    pub manners: Manners,
    /// 1 keeps the provider's retry times, which reach over a day; 0 retries at once.
    pub retry_scale: f64,
    /// Where acknowledged deliveries and accepted texts are kept across restarts.
    pub journal: Option<PathBuf>,
    /// How long a secret that was rotated signs beside its successor. It is not known how long the provider does so.
    pub rotation_overlap: Duration,
    /// How many events happen by themselves before it stops.
    pub max_events: Option<u64>,
    pub clock: Clock,
}

impl SimulatorConfig {
    /// A quiet simulator on any free port: nothing happens by itself and nothing goes wrong.
    pub fn new(clock: Clock) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            public_url: None,
            target: None,
            api_key: "simulated-api-key".into(),
            standard_secret: "whsec_c2ltdWxhdGVkIHN0YW5kYXJkIHNlY3JldA==".into(),
            legacy_secret: "c2ltdWxhdGVkIGxlZ2FjeSBzZWNyZXQ=".into(),
            generations: vec![Generation::Dated],
            rate_per_second: 0.0,
            seed: 0,
            faults: Faults::default(),
            calls_per_second: 10,
            limits_by_clock: false,
            manners: Manners::default(),
            retry_scale: 1.0,
            journal: None,
            rotation_overlap: Duration::from_secs(24 * 3_600),
            max_events: None,
            clock,
        }
    }

    pub(super) fn check(&self) -> Result<(), SimulatorError> {
        let sane = |number: f64| (0.0..=100_000.0).contains(&number);
        if !sane(self.rate_per_second) {
            return Err(SimulatorError::OutOfRange("rate_per_second"));
        }
        if !sane(self.retry_scale) {
            return Err(SimulatorError::OutOfRange("retry_scale"));
        }
        if self.generations.is_empty() {
            return Err(SimulatorError::NoGeneration);
        }
        Ok(())
    }
}

/// Why a simulator does not start.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("cannot use the journal {path}")]
    Journal { path: PathBuf, source: std::io::Error },
    #[error("cannot sign webhooks")]
    Secret(#[from] SecretError),
    #[error("cannot set up HTTP")]
    Http(#[source] reqwest::Error),
    #[error("`{0}` is not between 0 and 100000")]
    OutOfRange(&'static str),
    #[error("`generations` names none")]
    NoGeneration,
    #[error("`public_url` cannot be extended by a path")]
    PublicUrl,
}
