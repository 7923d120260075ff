//! WHAT work there is: one folder per subject, in it one file per typed job, and beside them the rules and
//! statements they need.
//!
//! * [`events`]: what the provider told us, kept byte for byte, and how each telling becomes a job.
//! * [`messages`], [`calls`], [`contacts`], [`provider_tasks`]: what the tellings add up to.
//! * `conversations`: where messages and calls happen, and between whom.
//! * [`media`]: the files behind the provider's links.
//! * [`campaigns`]: one text to many people; [`sends`]: the ledger of every text of ours.
//! * [`provider`]: the provider's API, behind the rate that everybody shares.
//! * [`reconcile`]: what webhooks missed, asked for and told after all.
//! * [`forward`]: deliveries as they came, passed on to those who develop.
//! * [`secrets`]: what the provider signs with and what we ask with, in versions, sealed.
//! * [`subscriptions`]: the provider's webhooks, held against what we want to be told.
//! * [`search`]: what people wrote and said, found again. [`export`]: rows on their way out.
//! * [`upkeep`]: what keeps the database small and quick.
//!
//! Events come in any order and more than once. Every row that is kept from them is a join: what an event
//! adds depends on that event alone, and adding is commutative, associative and idempotent, so the same
//! events leave the same rows however they came.
//!
//! To add a job: write its file, add one line to the list below, and a payload to `jobs/fixtures/`.

pub mod calls;
pub mod campaigns;
pub mod contacts;
mod conversations;
pub mod events;
pub mod export;
pub mod forward;
pub mod media;
pub mod messages;
pub mod network;
pub mod provider;
pub mod provider_tasks;
mod queues;
pub mod reconcile;
pub mod search;
pub mod secrets;
pub mod sends;
mod services;
pub mod subscriptions;
pub mod upkeep;

#[cfg(test)]
mod tests;

use trunkline_platform::db::Stmt;
use trunkline_platform::job::{Registry, RegistryError};

pub use queues::{EVENTS, FORWARD, MEDIA, SENDS, UPKEEP};
pub use services::Services;

macro_rules! jobs {
    ($($job:ty,)+) => {
        /// Every job this release knows.
        pub fn registry() -> Result<Registry<Services>, RegistryError> {
            let registry = Registry::new();
            $(let registry = registry.register::<$job>()?;)+
            Ok(registry)
        }

        /// How each job reads its payload, by name.
        #[cfg(test)]
        const DECODERS: &[tests::Decoder] = &[$(tests::Decoder::of::<$job>()),+];
    };
}

jobs! {
    calls::CallAnswered,
    calls::CallCompleted,
    calls::CallForwarded,
    calls::CallMenuSelected,
    calls::CallMissed,
    calls::CallRecording,
    calls::CallRinging,
    calls::CallSummary,
    calls::CallTextsWanted,
    calls::CallTranscript,
    calls::CallVoicemail,
    calls::stats::RefreshCallStats,
    campaigns::FindLateJoiners,
    campaigns::JoinCampaign,
    campaigns::PlanCampaign,
    campaigns::PumpCampaign,
    campaigns::experiment::DecideWinners,
    contacts::ContactDeleted,
    contacts::ContactUpdated,
    events::replay::ReplayEvents,
    forward::ForwardDelivery,
    forward::PumpForwards,
    media::DownloadMedia,
    media::RescanMedia,
    messages::MessageDelivered,
    messages::MessageFailed,
    messages::MessageReceived,
    messages::MessageUndelivered,
    messages::MessageUpdated,
    provider_tasks::ProviderTaskChanged,
    reconcile::ReconcilePage,
    reconcile::StartReconcile,
    secrets::TendSecrets,
    sends::SendText,
    sends::SettleSend,
    sends::SweepSends,
    subscriptions::WatchWebhooks,
    upkeep::UpkeepJob<upkeep::CountStored>,
    upkeep::UpkeepJob<upkeep::IndexLeftOut>,
    upkeep::UpkeepJob<upkeep::PurgeMedia>,
    upkeep::UpkeepJob<upkeep::RemoveAttempts>,
    upkeep::UpkeepJob<upkeep::RemoveAudit>,
    upkeep::UpkeepJob<upkeep::RemoveEvents>,
    upkeep::UpkeepJob<upkeep::RemoveHistory>,
    upkeep::UpkeepJob<upkeep::RemoveKeys>,
    upkeep::UpkeepJob<upkeep::RemoveOrphans>,
    upkeep::UpkeepJob<upkeep::RemoveTasks>,
    upkeep::UpkeepJob<upkeep::RequeueMedia>,
    upkeep::UpkeepJob<upkeep::TidyDatabase>,
    upkeep::UpkeepJob<upkeep::TrimRing>,
}

/// Every statement of the jobs, for the test that prepares them all on both engines.
pub fn statements() -> impl Iterator<Item = &'static Stmt> {
    let own = [conversations::STATEMENTS, provider::STATEMENTS, provider_tasks::STATEMENTS];
    let groups = [
        events::STATEMENTS,
        forward::STATEMENTS,
        media::STATEMENTS,
        messages::STATEMENTS,
        reconcile::STATEMENTS,
        search::STATEMENTS,
        secrets::STATEMENTS,
        sends::STATEMENTS,
        subscriptions::STATEMENTS,
        upkeep::STATEMENTS,
    ];
    own.into_iter()
        .chain(calls::statements())
        .chain(campaigns::statements())
        .chain(contacts::statements())
        .chain(groups.into_iter().flatten().copied())
        .flatten()
        .copied()
}
