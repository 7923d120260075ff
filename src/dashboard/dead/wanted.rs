//! Which dead letters a page is about, as its address says it.

use chrono::{DateTime, SecondsFormat, Utc};
use maud::{Markup, html};
use trunkline_platform::task::TaskId;
use trunkline_platform::task::dead::{DeadFilter, Target};

use crate::dashboard::form::{Fields, hidden};

/// What they have in common.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub(super) kind: Option<String>,
    pub(super) queue: Option<String>,
    pub(super) fingerprint: Option<String>,
    pub(super) error: Option<String>,
}

impl Wanted {
    pub(super) fn of(fields: &Fields) -> Self {
        Self {
            kind: fields.owned("kind"),
            queue: fields.owned("queue"),
            fingerprint: fields.owned("fingerprint"),
            error: fields.owned("error"),
        }
    }

    pub(super) fn of_filter(filter: &DeadFilter) -> Self {
        let DeadFilter { kind, queue, fingerprint, error, .. } = filter.clone();
        Self { kind, queue, fingerprint, error }
    }

    pub(super) fn fields(&self) -> [(&'static str, Option<&str>); 4] {
        [
            ("kind", self.kind.as_deref()),
            ("queue", self.queue.as_deref()),
            ("fingerprint", self.fingerprint.as_deref()),
            ("error", self.error.as_deref()),
        ]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fields().iter().all(|(_, value)| value.is_none())
    }

    pub(super) fn filter(&self) -> DeadFilter {
        let Self { kind, queue, fingerprint, error } = self.clone();
        DeadFilter { kind, queue, fingerprint, error, ..DeadFilter::default() }
    }

    /// In words.
    pub(super) fn told(&self) -> Markup {
        html! {
            @if self.is_empty() { "all of them" }
            @for (name, value) in self.fields() {
                @if let Some(value) = value { span.chip { (name) " " code { (value) } } " " }
            }
        }
    }
}

/// To which dead letters something is to be done.
pub(super) enum Chosen {
    Ids(Vec<TaskId>),
    /// Of those that had died when it was chosen.
    Filter(Wanted, DateTime<Utc>),
}

impl Chosen {
    /// None: nothing is chosen. Nothing is chosen by accident: all of them only if that is said.
    pub(super) fn of(fields: &Fields, now: DateTime<Utc>) -> Option<Self> {
        let ids: Vec<TaskId> = fields.all("id").filter_map(|id| id.parse().ok()).collect();
        if fields.get("which") != Some("filter") {
            return (!ids.is_empty()).then_some(Self::Ids(ids));
        }
        let wanted = Wanted::of(fields);
        let until = fields.get("until").and_then(|time| DateTime::parse_from_rfc3339(time).ok());
        let until = until.map_or(now, |time| time.to_utc().min(now));
        (!wanted.is_empty() || fields.get("all") == Some("yes")).then_some(Self::Filter(wanted, until))
    }

    pub(super) fn target(&self) -> Target {
        match self {
            Self::Ids(ids) => Target::Ids(ids.clone()),
            Self::Filter(wanted, until) => Target::Filter(DeadFilter {
                // What died at that very moment was there to be seen.
                until: Some(*until + chrono::TimeDelta::microseconds(1)),
                ..wanted.filter()
            }),
        }
    }

    /// The same choice for the next form.
    pub(super) fn hidden(&self) -> Markup {
        match self {
            Self::Ids(ids) => html! {
                @for id in ids { input type="hidden" name="id" value=(id); }
            },
            Self::Filter(wanted, until) => {
                let until = until.to_rfc3339_opts(SecondsFormat::Micros, true);
                let all = wanted.is_empty().then_some("yes");
                html! {
                    (hidden(&wanted.fields()))
                    (hidden(&[("which", Some("filter")), ("until", Some(&until)), ("all", all)]))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(query: &str) -> Option<Chosen> {
        Chosen::of(&Fields::read(query), DateTime::UNIX_EPOCH)
    }

    #[test]
    fn nothing_is_chosen_by_accident() {
        for nothing in ["", "which=filter", "kind=a", "id=x", "which=filter&kind=&id=7", "which=ids&all=yes"]
        {
            assert!(chosen(nothing).is_none(), "{nothing}");
        }
        assert!(matches!(chosen("id=7&id=8"), Some(Chosen::Ids(ids)) if ids.len() == 2));
        assert!(
            matches!(chosen("which=filter&all=yes"), Some(Chosen::Filter(wanted, _)) if wanted.is_empty())
        );
        let Some(Chosen::Filter(wanted, until)) =
            chosen("which=filter&kind=a&id=7&until=2999-01-01T00:00:00Z")
        else {
            panic!("the filter counts");
        };
        assert_eq!((wanted.kind.as_deref(), until), (Some("a"), DateTime::UNIX_EPOCH), "never beyond now");
    }
}
