//! Where a campaign is, as the API names it.

use poem_openapi::Enum;
use trunkline_jobs::campaigns as jobs;

/// Where a campaign is
#[derive(Clone, Copy, Debug, Eq, PartialEq, Enum)]
#[oai(rename = "CampaignState", rename_all = "snake_case")]
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

impl From<State> for jobs::State {
    fn from(state: State) -> Self {
        match state {
            State::Draft => Self::Draft,
            State::Scheduled => Self::Scheduled,
            State::Running => Self::Running,
            State::Paused => Self::Paused,
            State::Completed => Self::Completed,
            State::Cancelled => Self::Cancelled,
        }
    }
}

impl From<jobs::State> for State {
    fn from(state: jobs::State) -> Self {
        match state {
            jobs::State::Draft => Self::Draft,
            jobs::State::Scheduled => Self::Scheduled,
            jobs::State::Running => Self::Running,
            jobs::State::Paused => Self::Paused,
            jobs::State::Completed => Self::Completed,
            jobs::State::Cancelled => Self::Cancelled,
        }
    }
}
