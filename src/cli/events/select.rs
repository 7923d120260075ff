//! Which events.

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use clap::Args;
use trunkline_jobs::events::{EventFilter, EventState};

use crate::cli::payload;

#[derive(Args, Clone, Debug, Default)]
pub(super) struct FilterArgs {
    /// The event's type, such as message.received
    #[arg(long = "type", value_name = "TYPE")]
    pub(super) event_type: Option<String>,
    /// Received since then: a time, or how long ago it was (2h)
    #[arg(long, value_name = "TIME")]
    pub(super) since: Option<String>,
    /// Received before then
    #[arg(long, value_name = "TIME")]
    pub(super) until: Option<String>,
    /// Tells of this phone number, on either side
    #[arg(long)]
    pub(super) number: Option<String>,
    /// Part of anything it tells (words, names, ids), capitals or not
    #[arg(long)]
    pub(super) text: Option<String>,
    /// What became of it: pending, running, done, dead, cancelled, discarded, unknown (no job knew its type), gone (its
    /// task is no longer stored)
    #[arg(long)]
    pub(super) state: Option<EventState>,
}

impl FilterArgs {
    pub(super) fn filter(self, now: DateTime<Utc>) -> Result<EventFilter> {
        let time = |text: Option<String>| text.map(|text| payload::past(&text, now)).transpose();
        let filter = EventFilter {
            event_type: self.event_type,
            since: time(self.since).context("--since")?,
            until: time(self.until).context("--until")?,
            number: self.number,
            text: self.text,
            state: self.state,
        };
        Ok(filter.checked()?)
    }

    /// The same for an act: nothing is chosen by accident.
    pub(super) fn chosen(self, all: bool, now: DateTime<Utc>) -> Result<EventFilter> {
        let filter = self.filter(now)?;
        if filter.is_empty() != all {
            bail!(
                "which events? Say what they have in common (--type, --since, --until, --number, --text, --state), or \
                 say --all"
            );
        }
        Ok(filter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_chosen_by_accident() {
        let now = DateTime::UNIX_EPOCH;
        let typed = FilterArgs { event_type: Some("call.ringing".to_owned()), ..FilterArgs::default() };
        let empty = FilterArgs { text: Some(" ".to_owned()), ..FilterArgs::default() };
        assert!(empty.clone().chosen(false, now).is_err() && typed.clone().chosen(true, now).is_err());
        assert!(empty.chosen(true, now).unwrap().is_empty());
        assert_eq!(typed.chosen(false, now).unwrap().event_type.as_deref(), Some("call.ringing"));
        let odd = FilterArgs { number: Some("ana".to_owned()), ..FilterArgs::default() };
        assert!(odd.filter(now).is_err());
    }
}
