//! What this installation wants to be told, what is wrong with that, and what would put it right.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use trunkline_openphone::client::{LegacyFamily, Subscription};
use trunkline_openphone::signature::Scheme;
use url::Url;

/// What this installation wants to be told, and where.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Of `/webhooks/openphone`, as the provider reaches it.
    pub url: Url,
    pub events: BTreeSet<String>,
    /// Of which of our numbers (`PN…`); all, where there is none.
    pub numbers: BTreeSet<String>,
}

/// A way in which things are not as they should be.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// No webhook is for this address.
    Missing,
    /// It tells nothing.
    Disabled,
    /// It does not tell of events that are wanted.
    Events,
    /// It does not tell of numbers that are wanted.
    Numbers,
    /// What it signs with is not known here: its deliveries are refused.
    Secret,
}

impl Problem {
    pub const ALL: [Self; 5] = [Self::Missing, Self::Disabled, Self::Events, Self::Numbers, Self::Secret];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Disabled => "disabled",
            Self::Events => "events",
            Self::Numbers => "numbers",
            Self::Secret => "secret",
        }
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Finding {
    pub problem: Problem,
    /// The webhook that it is wrong with.
    pub subscription: Option<String>,
    pub what: String,
}

/// What would put something right.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Make a present webhook.
    Create {
        events: Vec<String>,
        numbers: Vec<String>,
    },
    /// Let it tell of more.
    Change {
        id: String,
        events: Vec<String>,
        numbers: Vec<String>,
    },
    /// Give it a new secret, for the one it has is not known here.
    Rotate {
        id: String,
    },
    /// Keep the secret of an older one, which tells it.
    Keep {
        id: String,
    },
    Enable {
        id: String,
    },
}

/// Which webhooks' secrets are known here, by their ids.
pub(super) type Known = BTreeSet<String>;

impl Expected {
    /// Those that are for this address.
    pub fn ours<'s>(&self, all: &'s [Subscription]) -> Vec<&'s Subscription> {
        let is_ours = |one: &&Subscription| one.url.parse::<Url>().is_ok_and(|url| same(&url, &self.url));
        all.iter().filter(is_ours).collect()
    }

    /// What is wrong.
    pub(super) fn judge(&self, all: &[Subscription], known: &Known) -> Vec<Finding> {
        let ours = self.ours(all);
        let mut findings = Vec::new();
        let mut find = |problem, one: Option<&Subscription>, what: String| {
            findings.push(Finding { problem, subscription: one.map(|one| one.id.clone()), what });
        };
        if ours.is_empty() {
            find(Problem::Missing, None, format!("no webhook of the provider is for {}", self.url));
            return findings;
        }
        let (enabled, disabled): (Vec<&Subscription>, Vec<&Subscription>) =
            ours.into_iter().partition(|one| one.enabled);
        // Present ones tell everything; where there is none, what older ones can tell has to do.
        let present = enabled.iter().any(|one| one.scheme == Scheme::Standard);
        let told: BTreeSet<&str> = enabled.iter().flat_map(|one| &one.events).map(String::as_str).collect();
        for one in disabled.iter().filter(|one| one.scheme == Scheme::Standard || !present) {
            // What another tells in its place is missed by nobody.
            if one.events.iter().any(|event| self.events.contains(event) && !told.contains(event.as_str())) {
                find(
                    Problem::Disabled,
                    Some(one),
                    format!("{} is disabled, and what happens is not told later", one.id),
                );
            }
        }
        let first = enabled.iter().find(|one| one.scheme == Scheme::Standard).or(enabled.first());
        let can_be_told = |event: &&String| present || legacy_events().any(|name| name == event.as_str());
        let lacking: Vec<&str> = self
            .events
            .iter()
            .filter(can_be_told)
            .map(String::as_str)
            .filter(|event| !told.contains(event))
            .collect();
        if let Some(first) = first
            && !lacking.is_empty()
        {
            find(Problem::Events, Some(first), format!("{} does not tell {}", first.id, lacking.join(", ")));
        }
        for one in enabled.iter().filter(|one| one.scheme == Scheme::Standard || !present) {
            let leaves_out: Vec<&str> = match self.numbers.is_empty() {
                true if one.resource_ids.is_empty() => Vec::new(),
                true => vec!["all numbers but its own"],
                false => {
                    self.numbers.iter().map(String::as_str).filter(|number| !takes(one, number)).collect()
                }
            };
            if !leaves_out.is_empty() {
                find(Problem::Numbers, Some(one), format!("{} leaves out {}", one.id, leaves_out.join(", ")));
            }
        }
        for one in enabled.iter().filter(|one| !known.contains(&one.id)) {
            let what =
                format!("what {} signs with is not known here, and its deliveries are refused", one.id);
            find(Problem::Secret, Some(one), what);
        }
        findings
    }

    /// What would put it right, in this order.
    pub(super) fn plan(&self, all: &[Subscription], findings: &[Finding], kept: &Known) -> Vec<Action> {
        let find = |id: &Option<String>| all.iter().find(|one| Some(&one.id) == id.as_ref());
        let create = || Action::Create {
            events: self.events.iter().cloned().collect(),
            numbers: self.numbers.iter().cloned().collect(),
        };
        let has_present = self.ours(all).iter().any(|one| one.scheme == Scheme::Standard);
        let mut plan: Vec<Action> = Vec::new();
        for finding in findings {
            let one = find(&finding.subscription);
            let legacy = one.is_some_and(|one| one.scheme == Scheme::Legacy);
            let actions = match (finding.problem, one) {
                (Problem::Secret, Some(one)) if legacy => vec![Action::Keep { id: one.id.clone() }],
                (Problem::Secret, Some(one)) => vec![Action::Rotate { id: one.id.clone() }],
                // Older ones cannot be changed.
                (Problem::Missing, _) | (_, None) => vec![create()],
                _ if legacy && has_present => Vec::new(),
                _ if legacy => vec![create()],
                (Problem::Disabled, Some(one)) if kept.contains(&one.id) => {
                    vec![Action::Enable { id: one.id.clone() }]
                }
                // Made, and what it signs with was lost on the way.
                (Problem::Disabled, Some(one)) => {
                    vec![Action::Rotate { id: one.id.clone() }, Action::Enable { id: one.id.clone() }]
                }
                (Problem::Events | Problem::Numbers, Some(one)) => vec![self.change(one)],
            };
            for action in actions {
                if !plan.contains(&action) {
                    plan.push(action);
                }
            }
        }
        plan
    }

    /// One more event or number is no harm; one less is.
    fn change(&self, one: &Subscription) -> Action {
        let events: BTreeSet<&String> = one.events.iter().chain(&self.events).collect();
        let numbers: BTreeSet<&String> = match self.numbers.is_empty() || one.resource_ids.is_empty() {
            true => BTreeSet::new(),
            false => one.resource_ids.iter().chain(&self.numbers).collect(),
        };
        Action::Change {
            id: one.id.clone(),
            events: events.into_iter().cloned().collect(),
            numbers: numbers.into_iter().cloned().collect(),
        }
    }
}

fn takes(one: &Subscription, number: &str) -> bool {
    one.resource_ids.is_empty() || one.resource_ids.iter().any(|id| id == number)
}

fn legacy_events() -> impl Iterator<Item = &'static str> {
    LegacyFamily::ALL.into_iter().flat_map(LegacyFamily::events).copied()
}

fn same(one: &Url, other: &Url) -> bool {
    let path = |url: &Url| url.path().trim_end_matches('/').to_owned();
    one.origin() == other.origin() && path(one) == path(other) && one.query() == other.query()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected() -> Expected {
        Expected {
            url: "https://hooks.example.com/webhooks/openphone".parse().unwrap(),
            events: ["call.completed", "contact.updated", "message.received"].map(str::to_owned).into(),
            numbers: BTreeSet::new(),
        }
    }

    fn present(id: &str) -> Subscription {
        Subscription {
            id: id.to_owned(),
            scheme: Scheme::Standard,
            label: None,
            enabled: true,
            url: "https://hooks.example.com/webhooks/openphone/".to_owned(),
            events: expected().events.into_iter().collect(),
            resource_ids: Vec::new(),
            created_at: None,
            key: None,
        }
    }

    fn older(id: &str) -> Subscription {
        let events = legacy_events().map(str::to_owned).collect();
        Subscription { scheme: Scheme::Legacy, events, ..present(id) }
    }

    fn problems(all: &[Subscription]) -> Vec<(Problem, Option<String>)> {
        let known = all.iter().map(|one| one.id.clone()).collect();
        let findings = expected().judge(all, &known);
        findings.into_iter().map(|finding| (finding.problem, finding.subscription)).collect()
    }

    fn plan(all: &[Subscription], known: &[&str]) -> Vec<Action> {
        let known: Known = known.iter().map(|&id| id.to_owned()).collect();
        expected().plan(all, &expected().judge(all, &known), &known)
    }

    #[test]
    fn one_of_either_system_that_tells_all_it_can_is_well() {
        assert_eq!(problems(&[present("1")]), []);
        assert_eq!(problems(&[older("WH1")]), [], "older ones tell of no contacts");
        assert_eq!(problems(&[present("1"), Subscription { enabled: false, ..older("WH1") }]), []);
    }

    #[test]
    fn none_for_this_address_is_missing_whatever_there_is_for_others() {
        let elsewhere = Subscription { url: "https://elsewhere.example.com/".to_owned(), ..present("1") };
        assert_eq!(problems(std::slice::from_ref(&elsewhere)), [(Problem::Missing, None)]);
        assert!(matches!(&plan(&[elsewhere], &[])[..], [Action::Create { events, .. }] if events.len() == 3));
    }

    #[test]
    fn a_disabled_one_is_enabled_and_learns_its_secret_first_where_that_is_not_known() {
        let disabled = [Subscription { enabled: false, ..present("1") }];
        assert_eq!(problems(&disabled), [(Problem::Disabled, Some("1".to_owned()))]);
        let (rotate, enable) = (Action::Rotate { id: "1".to_owned() }, Action::Enable { id: "1".to_owned() });
        assert_eq!(plan(&disabled, &["1"]), std::slice::from_ref(&enable));
        assert_eq!(plan(&disabled, &[]), [rotate, enable]);
        let another = [disabled[0].clone(), present("2")];
        assert_eq!(problems(&another), [], "the other tells all of it");
    }

    #[test]
    fn what_is_not_told_is_asked_for_and_what_is_told_beyond_it_stays() {
        let one = Subscription {
            events: vec!["message.received".to_owned(), "task.created".to_owned()],
            resource_ids: vec!["PN1".to_owned()],
            ..present("1")
        };
        let found: Vec<Problem> =
            problems(std::slice::from_ref(&one)).into_iter().map(|(found, _)| found).collect();
        assert_eq!(found, [Problem::Events, Problem::Numbers]);
        let expected = Action::Change {
            id: "1".to_owned(),
            events: ["call.completed", "contact.updated", "message.received", "task.created"]
                .map(str::to_owned)
                .into(),
            numbers: Vec::new(),
        };
        assert_eq!(plan(&[one], &["1"]), [expected]);
    }

    #[test]
    fn an_unknown_secret_is_learned() {
        assert_eq!(plan(&[present("1")], &[]), [Action::Rotate { id: "1".to_owned() }]);
        assert_eq!(plan(&[older("WH1")], &[]), [Action::Keep { id: "WH1".to_owned() }]);
    }

    #[test]
    fn older_ones_that_tell_nothing_get_a_present_one_beside_them() {
        let disabled = [Subscription { enabled: false, ..older("WH1") }];
        assert!(matches!(&plan(&disabled, &["WH1"])[..], [Action::Create { .. }]));
    }
}
