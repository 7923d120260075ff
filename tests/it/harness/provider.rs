//! The simulated provider, set up as the programs under test expect it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use trunkline_openphone::event::Generation;
use trunkline_openphone::simulator::{Simulator, SimulatorConfig, SimulatorHandle};
use trunkline_platform::clock::Clock;

use super::Program;

/// The provider's settings for a test: every generation, quick retries.
pub(crate) fn provider() -> SimulatorConfig {
    let clock = Clock::system();
    let mut config = SimulatorConfig::new(Arc::new(move || -> DateTime<Utc> { clock.now() }));
    config.generations = Generation::ALL.to_vec();
    config.retry_scale = 0.001;
    config
}

/// Starts a provider that sends its webhooks to the program.
pub(crate) async fn provider_for(program: &Program, mut config: SimulatorConfig) -> SimulatorHandle {
    config.target = Some(program.url("/webhooks/openphone").parse().unwrap());
    Simulator::start(config).await.unwrap()
}

/// The signing secrets as the program's variable takes them.
pub(crate) fn secrets() -> String {
    let config = provider();
    format!("{},{}", config.standard_secret.expose_secret(), config.legacy_secret.expose_secret())
}
