//! What the commands have in common that look again and again.

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

const SHORTEST: Duration = Duration::from_secs(1);

#[derive(Args, Debug)]
pub(super) struct Every {
    /// The time between two looks, from 1s
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = crate::config::parse_duration)]
    every: Duration,
}

impl Every {
    /// # Errors
    /// When it is shorter than whoever is looked at should bear.
    pub(super) fn time(&self) -> Result<Duration> {
        ensure!(self.every >= SHORTEST, "look every second at most: --every 1s");
        Ok(self.every)
    }
}
