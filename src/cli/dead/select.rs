//! Which dead letters: by id, by what they have in common, or all.

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use clap::Args;
use trunkline_platform::task::TaskId;
use trunkline_platform::task::dead::{DeadFilter, Target};

use crate::cli::payload;

#[derive(Args, Clone, Debug, Default)]
pub(super) struct FilterArgs {
    /// The name of the job
    #[arg(long)]
    pub(super) kind: Option<String>,
    #[arg(long)]
    pub(super) queue: Option<String>,
    /// What they died of, as `dead groups` tells it
    #[arg(long)]
    pub(super) fingerprint: Option<String>,
    /// Part of the error, capitals or not
    #[arg(long, value_name = "TEXT")]
    pub(super) error: Option<String>,
    /// Died since then: a time, or how long ago it was (2h)
    #[arg(long, value_name = "TIME")]
    pub(super) since: Option<String>,
    /// Died before then
    #[arg(long, value_name = "TIME")]
    pub(super) until: Option<String>,
}

#[derive(Args, Clone, Debug, Default)]
pub(super) struct SelectArgs {
    /// Numbers of tasks; or name what they have in common
    #[arg(value_name = "ID")]
    pub(super) ids: Vec<TaskId>,
    #[command(flatten)]
    pub(super) filter: FilterArgs,
    /// Every dead letter there is
    #[arg(long)]
    pub(super) all: bool,
}

impl FilterArgs {
    pub(super) fn filter(self, now: DateTime<Utc>) -> Result<DeadFilter> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        Ok(DeadFilter {
            kind: given(self.kind),
            queue: given(self.queue),
            fingerprint: given(self.fingerprint),
            error: given(self.error),
            since: self.since.map(|text| payload::past(&text, now)).transpose()?,
            until: self.until.map(|text| payload::past(&text, now)).transpose()?,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        let Self { kind, queue, fingerprint, error, since, until } = self;
        [kind, queue, fingerprint, error, since, until]
            .into_iter()
            .all(|given| given.as_deref().is_none_or(str::is_empty))
    }
}

impl SelectArgs {
    pub(super) fn target(self, now: DateTime<Utc>) -> Result<Target> {
        match (self.ids.is_empty(), self.filter.is_empty(), self.all) {
            (false, true, false) => Ok(Target::Ids(self.ids)),
            (true, false, false) => Ok(Target::Filter(self.filter.filter(now)?)),
            (true, true, true) => Ok(Target::Filter(DeadFilter::default())),
            (true, true, false) => bail!(
                "which dead letters? Name their ids, or what they have in common (--fingerprint, --kind, --queue, \
                 --error, --since, --until), or say --all. See `trunkline dead groups`"
            ),
            _ => bail!("ids, what they have in common, and --all do not go together: give one of them"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_chosen_by_accident_or_twice() {
        let select = |ids: &[i64], kind: Option<&str>, all| SelectArgs {
            ids: ids.iter().copied().map(TaskId).collect(),
            filter: FilterArgs { kind: kind.map(str::to_owned), ..FilterArgs::default() },
            all,
        };
        let now = DateTime::UNIX_EPOCH;
        assert!(matches!(select(&[1], None, false).target(now), Ok(Target::Ids(_))));
        assert!(matches!(select(&[], Some("a"), false).target(now), Ok(Target::Filter(_))));
        assert!(matches!(select(&[], None, true).target(now), Ok(Target::Filter(_))));
        for bad in [
            select(&[], None, false),
            select(&[1], Some("a"), false),
            select(&[1], None, true),
            select(&[], Some(""), false),
        ] {
            assert!(bad.target(now).is_err());
        }
    }
}
