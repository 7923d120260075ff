//! Where a campaign is, as the API names it.

use poem_openapi::Enum;
use trunkline_jobs::campaigns as jobs;

/// Where a campaign is
#[derive(Clone, Copy, Debug, Eq, PartialEq, Enum)]
#[oai(rename = "CampaignState", remote = "jobs::State", rename_all = "snake_case")]
pub(super) enum State {
    /// Everything can be changed
    Draft,
    /// Starts by itself at a time
    Scheduled,
    Running,
    /// Held, by a person or by the program
    Paused,
    Completed,
    Cancelled,
}
