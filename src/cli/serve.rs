//! `trunkline serve`: the program itself.

use anyhow::Result;
use clap::Args;
use trunkline_platform::clock::Clock;

use super::shutdown;
use crate::app::{App, Roles};
use crate::config::Config;

#[derive(Args, Debug)]
pub(super) struct ServeCommand {
    /// What this process does: receiver, worker, scheduler, admin [default: everything]
    #[arg(long, value_name = "ROLES")]
    roles: Option<Roles>,
    /// Work off only these queues [default: all]
    #[arg(long, value_name = "QUEUES", value_delimiter = ',')]
    queues: Option<Vec<String>>,
}

impl ServeCommand {
    pub(super) async fn run(self, config: Config) -> Result<()> {
        let roles = self.roles.unwrap_or_else(Roles::all);
        let stop = shutdown::listen()?;
        let app = tokio::select! {
            app = App::build(config, Clock::system()) => app?,
            () = stop.cancelled() => {
                tracing::info!("stopped before it started");
                return Ok(());
            }
        };
        let mut running = app.start(&roles, self.queues.as_deref()).await?;
        tokio::select! {
            ended = running.ended() => ended?,
            () = stop.cancelled() => {}
        }
        tracing::info!("stopping");
        running.stop().await?;
        tracing::info!("stopped");
        Ok(())
    }
}
