//! The states of a campaign, and which moves there are between them.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use thiserror::Error;

/// Where a campaign is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing is promised yet; everything can be changed.
    Draft,
    /// Starts by itself at a time.
    Scheduled,
    Running,
    /// Held, by a person or by the program; the reason is kept.
    Paused,
    /// Every recipient has come to an end, or has a text on its way.
    Completed,
    Cancelled,
}

/// What can be done to a campaign.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Move {
    Schedule,
    Start,
    Pause,
    Resume,
    Complete,
    Cancel,
}

/// A move that there is not from this state.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub struct IllegalMove {
    pub from: State,
    pub to: Move,
}

impl fmt::Display for IllegalMove {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let advice = match (self.from, self.to) {
            (State::Completed | State::Cancelled, _) => "it has ended; make a new one",
            (State::Draft, Move::Pause | Move::Resume | Move::Complete) => "it has not begun; start it first",
            (State::Scheduled, Move::Pause | Move::Resume | Move::Complete) => {
                "it has not begun; schedule it for another time, start it now, or cancel it"
            }
            (State::Running, Move::Start | Move::Schedule | Move::Resume) => "it runs already",
            (State::Paused, Move::Start | Move::Schedule) => "it has begun and is held; resume it",
            (State::Paused, Move::Pause) => "it is held already",
            (State::Paused, Move::Complete) => "it is held; resume it, or cancel it",
            _ => "there is no such move",
        };
        write!(f, "a campaign that is {} cannot {}: {advice}", self.from, self.to.name())
    }
}

impl State {
    pub const ALL: [Self; 6] =
        [Self::Draft, Self::Scheduled, Self::Running, Self::Paused, Self::Completed, Self::Cancelled];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Where a move leads.
    ///
    /// # Errors
    /// When there is no such move from here.
    pub fn after(self, to: Move) -> Result<Self, IllegalMove> {
        match (self, to) {
            (Self::Draft | Self::Scheduled, Move::Schedule) => Ok(Self::Scheduled),
            (Self::Draft | Self::Scheduled, Move::Start) | (Self::Paused, Move::Resume) => Ok(Self::Running),
            (Self::Running, Move::Pause) => Ok(Self::Paused),
            (Self::Running, Move::Complete) => Ok(Self::Completed),
            (Self::Draft | Self::Scheduled | Self::Running | Self::Paused, Move::Cancel) => {
                Ok(Self::Cancelled)
            }
            _ => Err(IllegalMove { from: self, to }),
        }
    }
}

impl Move {
    pub const ALL: [Self; 6] =
        [Self::Schedule, Self::Start, Self::Pause, Self::Resume, Self::Complete, Self::Cancel];

    /// As in "cannot …".
    pub const fn name(self) -> &'static str {
        match self {
            Self::Schedule => "be scheduled",
            Self::Start => "be started",
            Self::Pause => "be paused",
            Self::Resume => "be resumed",
            Self::Complete => "be completed",
            Self::Cancel => "be cancelled",
        }
    }

    /// In the audit.
    pub(super) const fn action(self) -> &'static str {
        match self {
            Self::Schedule => "campaign.schedule",
            Self::Start => "campaign.start",
            Self::Pause => "campaign.pause",
            Self::Resume => "campaign.resume",
            Self::Complete => "campaign.complete",
            Self::Cancel => "campaign.cancel",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no state.
#[derive(Debug, Error)]
#[error("{0:?} is no state of a campaign")]
pub struct UnknownState(String);

impl FromStr for State {
    type Err = UnknownState;

    fn from_str(word: &str) -> Result<Self, UnknownState> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == word);
        found.ok_or_else(|| UnknownState(word.to_owned()))
    }
}

impl TryFrom<String> for State {
    type Error = UnknownState;

    fn try_from(word: String) -> Result<Self, UnknownState> {
        word.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_stays_ended_and_what_has_not_can_be_cancelled() {
        for to in Move::ALL {
            assert!(State::Completed.after(to).is_err() && State::Cancelled.after(to).is_err());
        }
        for from in [State::Draft, State::Scheduled, State::Running, State::Paused] {
            assert_eq!(from.after(Move::Cancel), Ok(State::Cancelled));
        }
    }

    #[test]
    fn the_way_of_a_campaign() {
        let way = [Move::Schedule, Move::Schedule, Move::Start, Move::Pause, Move::Resume, Move::Complete];
        let end = way.into_iter().try_fold(State::Draft, State::after);
        assert_eq!(end, Ok(State::Completed));
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let refusal = State::Draft.after(Move::Pause).unwrap_err().to_string();
        assert_eq!(refusal, "a campaign that is draft cannot be paused: it has not begun; start it first");
        for from in State::ALL {
            for to in Move::ALL {
                let told = from.after(to).map_or_else(|error| error.to_string(), |_| String::new());
                assert!(!told.contains("no such move"), "{told}");
            }
        }
        assert!("soon".parse::<State>().is_err());
    }
}
