//! Campaigns: one text to many people, at a pace, within hours and limits, to nobody twice and to nobody who asked to
//! get none.
//!
//! * [`Plan`]: what a campaign is to do. [`State`]: where it is, and which moves there are.
//! * [`Variant`], [`Assignment`]: texts that are tried against each other, and who gets which.
//! * [`experiment`]: how they fare, when one has won, and what becomes of that.
//! * [`Template`], [`sms`], [`hours`]: the words, what they cost, when they may go.
//! * [`gate`]: the decision about one text, as a pure function; `round` the same about those whose turn it is; `admit` puts both
//!   to the database.
//! * [`breaker`]: what stops a campaign or a number by itself.
//! * [`flight`]: the same decisions on a clock of their own: who will get what and when.
//! * [`FindLateJoiners`]: who comes to be of the audience later.
//! * [`PumpCampaign`]: the task that carries a campaign out, a few seconds at a time.
//! * [`report`]: what a campaign came to, told and exported.
//! * `operate`: what people do.

mod admit;
mod audience;
pub mod breaker;
pub mod experiment;
pub mod flight;
pub mod gate;
pub mod hours;
mod join;
mod late;
mod live;
mod metrics;
mod operate;
mod plan;
mod pump;
mod read;
mod recipients;
pub mod report;
mod round;
pub mod sms;
mod stalled;
mod state;
mod table;
mod template;
mod variants;

use trunkline_platform::db::Stmt;

pub use audience::add_recipients;
pub use breaker::{BreakerSettings, Threshold, ThresholdError};
pub use flight::PlanCampaign;
pub use hours::{Holidays, Hours};
pub use join::JoinCampaign;
pub use late::FindLateJoiners;
pub use live::{Failed, Held, Live};
pub use metrics::CampaignMetrics;
pub use operate::{OperateError, change, create, make_move, resume_without};
pub use plan::{Audience, DAILY_CAP, Plan, PlanError};
pub use pump::PumpCampaign;
pub use read::{
    CampaignFilter, Outcome, Paused, Preview, left_since, list, list_paused, outcomes, preview, preview_of,
    show,
};
pub use recipients::{RecipientFilter, RecipientRow, Recipients, recipient, recipients, recipients_of};
pub use stalled::{Stalled, stalled};
pub use state::{IllegalMove, Move, State};
pub use table::CampaignRow;
pub use template::{Missing, Template};
pub use variants::{Assignment, HOLDOUT, Variant};

/// What campaigns are handed.
#[derive(Clone, Debug)]
pub struct CampaignServices {
    pub holidays: Holidays,
    pub breaker: BreakerSettings,
    pub metrics: CampaignMetrics,
}

pub(crate) fn statements() -> impl Iterator<Item = &'static [&'static Stmt]> {
    let own = [
        admit::STATEMENTS,
        audience::STATEMENTS,
        late::STATEMENTS,
        operate::STATEMENTS,
        read::STATEMENTS,
        recipients::STATEMENTS,
        stalled::STATEMENTS,
        table::STATEMENTS,
    ];
    let parts =
        [breaker::ALL_STATEMENTS, experiment::ALL_STATEMENTS, flight::ALL_STATEMENTS, report::ALL_STATEMENTS];
    own.into_iter().chain(parts.into_iter().flatten().copied())
}
