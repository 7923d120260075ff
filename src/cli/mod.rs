//! The command line: one file per command. Data goes to stdout, talk to stderr; errors are printed once, with
//! their causes, and the exit code is chosen here.

mod audit;
mod calls;
mod campaigns;
mod config;
mod contacts;
mod control;
mod database;
mod dead;
mod dev;
mod doctor;
mod endpoints;
mod events;
mod host;
mod jobs;
mod keys;
mod limits;
mod manual;
mod media;
mod migrate;
mod optouts;
mod output;
mod payload;
mod provider;
mod reconcile;
mod remote;
mod schedules;
mod search;
mod secrets;
mod seed;
mod segments;
mod sends;
mod serve;
mod server;
mod shutdown;
mod simulate;
mod stats;
mod tasks;
mod timeline;
mod top;
mod tunnel;
mod upkeep;
mod watch;
mod webhooks;
mod workers;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::config::{Config, Flags};
use crate::telemetry;

/// Takes the webhooks of an OpenPhone (Quo) workspace, keeps them, and does the work they ask for.
#[derive(Debug, Parser)]
#[command(name = "trunkline", version, about, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Try it: everything in one process, with a simulated provider; nothing to set up
    Dev(dev::DevCommand),
    /// Tell what is not as it should be, and the command that deals with it
    Doctor(doctor::DoctorCommand),
    /// Run the program
    Serve(serve::ServeCommand),
    /// Play the provider: its API, and signed webhooks to a target
    Simulate(simulate::SimulateCommand),
    /// Bring the database's schema up to date
    Migrate(migrate::MigrateCommand),
    /// Look at tasks; cancel and change them
    Tasks(tasks::TasksCommand),
    /// Look at queues; pause and resume them
    Queues(limits::QueuesCommand),
    /// Look at the limits of queues and kinds; set and clear them
    Limits(limits::LimitsCommand),
    /// Look at dead letters; retry, edit and discard them
    Dead(dead::DeadCommand),
    /// List the jobs, and enqueue any of them
    Jobs(jobs::JobsCommand),
    /// Make campaigns; start, pause and look at them
    Campaigns(campaigns::CampaignsCommand),
    /// Look texts up; find out why somebody did not get one
    Sends(sends::SendsCommand),
    /// Look at stored webhook events; replay them
    Events(events::EventsCommand),
    /// Forward webhooks to development machines, and see what they answered
    Endpoints(endpoints::EndpointsCommand),
    /// Do what the API does, on an installation elsewhere; needs its address and a key only
    Remote(remote::RemoteCommand),
    /// Get the webhooks of an installation delivered on this machine; needs its API only
    Tunnel(Box<tunnel::TunnelCommand>),
    /// Look at files; fetch, scan and purge them, and put them under legal hold
    Media(media::MediaCommand),
    /// Look at calls: what was said, and what came of it
    Calls(calls::CallsCommand),
    /// Search what was written and said
    Search(search::SearchCommand),
    /// Look at the people of campaigns; bring them in and out
    Contacts(contacts::ContactsCommand),
    /// Save filters over people, and count whom they take
    Segments(segments::SegmentsCommand),
    /// Look at who must not be texted; close and open numbers
    Optouts(optouts::OptoutsCommand),
    /// Make up people to try things with
    Seed(seed::SeedCommand),
    /// Count events, tasks, queues and files
    Stats(stats::StatsCommand),
    /// Watch what works, what waits and what is wrong
    Top(top::TopCommand),
    /// List the worker processes
    Workers(workers::WorkersCommand),
    /// Look at schedules; pause, resume and trigger them
    Schedules(schedules::SchedulesCommand),
    /// Ask the provider for what webhooks missed, and see what that came to
    Reconcile(reconcile::ReconcileCommand),
    /// See what upkeep freed, and run it by hand
    Upkeep(upkeep::UpkeepCommand),
    /// Make, rotate and revoke the keys of the API and the pages
    Keys(keys::KeysCommand),
    /// Look at the provider's webhooks; make, repair and delete them, and change their secrets
    Webhooks(webhooks::WebhooksCommand),
    /// Look at the secrets that the provider and we share; keep, change and retire them
    Secrets(secrets::SecretsCommand),
    /// Read who did what, and why
    Audit(audit::AuditCommand),
    /// Show and check the settings
    Config(config::ConfigCommand),
    /// Print what a shell needs to complete commands and options
    Completions(manual::CompletionsCommand),
    /// Write the pages of the manual
    Man(manual::ManCommand),
}

/// Runs the program from its arguments.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("trunkline: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(cli.run());
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("trunkline: {}", trunkline_platform::chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

impl Cli {
    async fn run(self) -> Result<ExitCode> {
        match self.command {
            // These choose settings of their own before the configuration is read, or need none.
            Command::Dev(command) => return command.run(self.flags).await.map(|()| ExitCode::SUCCESS),
            Command::Config(command) => return command.run(&self.flags).await,
            Command::Completions(command) => return command.run().map(|()| ExitCode::SUCCESS),
            Command::Man(command) => return command.run().map(|()| ExitCode::SUCCESS),
            Command::Remote(command) => return command.run().await.map(|()| ExitCode::SUCCESS),
            Command::Tunnel(command) => return command.run().await.map(|()| ExitCode::SUCCESS),
            _ => {}
        }
        let config = load(&self.flags)?;
        telemetry::init(&config.log);
        for warning in config.warnings() {
            tracing::warn!("{warning}");
        }
        match self.command {
            Command::Serve(command) => command.run(config).await,
            Command::Simulate(command) => command.run(&config).await,
            Command::Migrate(command) => command.run(&config).await,
            Command::Tasks(command) => command.run(&config).await,
            Command::Queues(command) => command.run(&config).await,
            Command::Limits(command) => command.run(&config).await,
            Command::Dead(command) => return command.run(&config).await,
            Command::Doctor(command) => return command.run(&config).await,
            Command::Jobs(command) => command.run(&config).await,
            Command::Campaigns(command) => command.run(&config).await,
            Command::Sends(command) => command.run(&config).await,
            Command::Events(command) => return command.run(&config).await,
            Command::Endpoints(command) => command.run(&config).await,
            Command::Media(command) => command.run(&config).await,
            Command::Calls(command) => command.run(&config).await,
            Command::Search(command) => command.run(&config).await,
            Command::Contacts(command) => command.run(&config).await,
            Command::Segments(command) => command.run(&config).await,
            Command::Optouts(command) => command.run(&config).await,
            Command::Seed(command) => command.run(&config).await,
            Command::Stats(command) => command.run(&config).await,
            Command::Top(command) => command.run(&config).await,
            Command::Workers(command) => command.run(&config).await,
            Command::Schedules(command) => command.run(&config).await,
            Command::Reconcile(command) => command.run(&config).await,
            Command::Upkeep(command) => command.run(&config).await,
            Command::Keys(command) => command.run(&config).await,
            Command::Webhooks(command) => return command.run(&config).await,
            Command::Secrets(command) => command.run(&config).await,
            Command::Audit(command) => command.run(&config).await,
            Command::Dev(_)
            | Command::Config(_)
            | Command::Completions(_)
            | Command::Man(_)
            | Command::Remote(_)
            | Command::Tunnel(_) => Ok(()),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

fn load(flags: &Flags) -> Result<Config> {
    Ok(Config::load(flags, std::env::vars_os())?)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
