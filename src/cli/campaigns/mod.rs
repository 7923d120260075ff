//! `trunkline campaigns`: making campaigns, moving them, looking at them.

mod act;
mod create;
mod export;
mod flight;
mod live;
mod look;
mod numbers;
mod promote;
mod report;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::config::Config;

#[derive(Args, Debug)]
pub(super) struct CampaignsCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a draft
    Create(create::Create),
    /// List campaigns, the newest first
    List(look::List),
    /// Show one: its plan, where its recipients are, and what it waits for
    Show(look::Show),
    /// Follow one until it has ended: what left, who waits for what, what failed
    Watch(live::Watch),
    /// Show what the next recipients would get if it were their turn now
    Preview(look::Preview),
    /// Foresee who will get what and when, from which number, what it costs and when it ends
    Plan(flight::FlightPlanOf),
    /// Start a draft now
    Start(act::Start),
    /// Have a draft start at a time
    Schedule(act::Schedule),
    /// Hold a campaign; what the provider has been asked is not taken back
    Pause(act::Pause),
    /// Let a held campaign go on
    Resume(act::Resume),
    /// End a campaign; those who wait get nothing
    Cancel(act::Cancel),
    /// Give a text to everybody who waits, whatever was drawn for them
    Promote(promote::Promote),
    /// Tell what a campaign came to: for each text, by hour and by state
    Report(report::ShowReport),
    /// Write every recipient with what became of them, as CSV or JSON
    Export(export::Export),
    /// Change the rate, the hours, the cap or the budget, while it runs too
    Change(act::ChangePlan),
    /// List our numbers that the breaker holds, and why
    Numbers(numbers::Numbers),
    /// Let a number that the breaker holds send again
    Release(numbers::Release),
}

impl CampaignsCommand {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        match self.action {
            Action::Create(create) => create.run(config).await,
            Action::List(list) => list.run(config).await,
            Action::Show(show) => show.run(config).await,
            Action::Watch(watch) => watch.run(config).await,
            Action::Preview(preview) => preview.run(config).await,
            Action::Plan(plan) => plan.run(config).await,
            Action::Start(start) => start.run(config).await,
            Action::Schedule(schedule) => schedule.run(config).await,
            Action::Pause(pause) => pause.run(config).await,
            Action::Resume(resume) => resume.run(config).await,
            Action::Cancel(cancel) => cancel.run(config).await,
            Action::Promote(promote) => promote.run(config).await,
            Action::Report(report) => report.run(config).await,
            Action::Export(export) => export.run(config).await,
            Action::Change(change) => change.run(config).await,
            Action::Numbers(numbers) => numbers.run(config).await,
            Action::Release(release) => release.run(config).await,
        }
    }
}
