//! The decision about one text, from facts alone: the same code decides when it is sent and when it is foreseen.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::hours::Holidays;
use super::plan::{Plan, PlanError};
use super::template::{RenderError, Rendered, Template};

/// From the decision until the provider has the text can pass a request's life; it must arrive in time, too.
pub const MARGIN: TimeDelta = TimeDelta::seconds(60);

/// A campaign's plan, ready to decide by.
#[derive(Debug)]
pub struct Rules<'p> {
    pub plan: &'p Plan,
    templates: BTreeMap<&'p str, Template>,
    holidays: Holidays,
}

impl<'p> Rules<'p> {
    /// # Errors
    /// When a text of the plan cannot be read.
    pub fn new(plan: &'p Plan, holidays: &Holidays) -> Result<Self, PlanError> {
        let templates = plan.variants.iter().map(|variant| Ok((variant.name.as_str(), variant.parsed()?)));
        let holidays = if plan.skip_holidays { holidays.clone() } else { Holidays::new() };
        Ok(Self { plan, templates: templates.collect::<Result<_, PlanError>>()?, holidays })
    }

    /// With the text that was promoted and no other, where one was.
    #[must_use]
    pub fn only(mut self, winner: Option<&str>) -> Self {
        self.templates.retain(|name, _| winner.is_none_or(|winner| winner == *name));
        self
    }

    /// The words for a person; `value` looks a variable up. Whom one of the texts does not fit gets none of them: texts are compared
    /// by how people answer, and those who get one must not differ from those who get another.
    ///
    /// # Errors
    /// With the reason for which the person gets none.
    pub fn text(&self, variant: &str, value: impl Fn(&str) -> Option<String>) -> Result<Rendered, String> {
        if self.plan.without.iter().any(|without| without == variant) {
            return Err(format!("without:{variant}"));
        }
        let mut own = None;
        for (name, template) in &self.templates {
            let rendered = template.render(self.plan.missing, &value).map_err(|error| match error {
                RenderError::Missing(name) => format!("missing:{name}"),
                RenderError::TooLong(_) => "too_long".to_owned(),
                RenderError::Blank => "blank".to_owned(),
            })?;
            if *name == variant {
                own = Some(rendered);
            }
        }
        own.ok_or_else(|| "no_such_text".to_owned())
    }

    /// From when on it is the hour in all these zones; see [`Hours::next_open`](super::Hours::next_open).
    pub fn opens(&self, zones: &[Tz], now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.plan.hours.next_open(zones, &self.holidays, MARGIN, now)
    }
}

/// What other tables say about a recipient.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'k> {
    /// They asked to get no texts.
    pub opted_out: bool,
    /// The flag by which campaigns leave them out.
    pub kept_out: Option<&'k str>,
    /// When another campaign texted them last.
    pub texted_at: Option<DateTime<Utc>>,
}

/// What is known about one recipient.
#[derive(Debug)]
pub struct Facts<'f> {
    pub now: DateTime<Utc>,
    pub variant: &'f str,
    /// Where they may be; never empty.
    pub zones: &'f [Tz],
    /// What their record says, by the name of the variable.
    pub fields: &'f BTreeMap<String, String>,
    pub known: Known<'f>,
}

/// What becomes of one text now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict<T = Rendered> {
    Send(T),
    /// Looked at again then.
    Hold {
        until: DateTime<Utc>,
        reason: &'static str,
    },
    /// There will be none.
    Refuse {
        reason: String,
    },
}

/// Decides about one text.
pub fn decide(rules: &Rules<'_>, facts: &Facts<'_>) -> Verdict {
    let text = || rules.text(facts.variant, |name| facts.fields.get(name).cloned());
    weigh(rules, facts.known, facts.now, text, || rules.opens(facts.zones, facts.now))
}

/// The same where `text` and `opens` need not be worked out anew: what the person would get (or the reason why nothing), and
/// from when on it is the hour. The opt-out comes first: whatever else holds, it is the reason that is told.
pub fn weigh<T>(
    rules: &Rules<'_>,
    known: Known<'_>,
    now: DateTime<Utc>,
    text: impl FnOnce() -> Result<T, String>,
    opens: impl FnOnce() -> Option<DateTime<Utc>>,
) -> Verdict<T> {
    let refuse = |reason: &str| Verdict::Refuse { reason: reason.to_owned() };
    if known.opted_out {
        return refuse("opted_out");
    }
    if let Some(flag) = known.kept_out {
        return refuse(&format!("flag:{flag}"));
    }
    let since = now - rules.plan.duplicates_within();
    if rules.plan.duplicate_days > 0 && known.texted_at.is_some_and(|at| at > since) {
        return refuse("texted_lately");
    }
    let text = match text() {
        Ok(text) => text,
        Err(reason) => return Verdict::Refuse { reason },
    };
    match opens() {
        Some(until) if until > now => Verdict::Hold { until, reason: "quiet_hours" },
        Some(_) => Verdict::Send(text),
        None => refuse("no_common_hour"),
    }
}

/// How many more a sliding window of `count` in `period` takes when `taken` are in it, and when it takes the next. `oldest`
/// is the oldest of the newest `count` in it.
pub fn room(
    count: u32,
    period: TimeDelta,
    taken: u32,
    oldest: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> (u32, DateTime<Utc>) {
    let free = count.saturating_sub(taken);
    let next = if free > 0 { now } else { oldest.map_or(now, |oldest| oldest + period) };
    (free, next)
}

#[cfg(test)]
mod tests {
    use chrono_tz::America::{Chicago, Los_Angeles, New_York};
    use proptest::prelude::*;

    use super::*;
    use crate::campaigns::{Audience, Missing, Variant};

    fn plan() -> Plan {
        Plan::new(Audience::List, "PN1", "Hi {{first_name}}, reply STOP to opt out")
    }

    fn named() -> BTreeMap<String, String> {
        BTreeMap::from([("first_name".to_owned(), "Ann".to_owned())])
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn facts<'f>(now: &str, zones: &'f [Tz], fields: &'f BTreeMap<String, String>) -> Facts<'f> {
        Facts { now: at(now), variant: "A", zones, fields, known: Known::default() }
    }

    fn verdict(plan: &Plan, facts: &Facts<'_>) -> String {
        match decide(&Rules::new(plan, &Holidays::new()).unwrap(), facts) {
            Verdict::Send(rendered) => rendered.text,
            Verdict::Hold { until, reason } => format!("{reason} {}", until.format("%m-%dT%H:%M")),
            Verdict::Refuse { reason } => reason,
        }
    }

    #[test]
    fn a_text_goes_is_held_or_is_refused_with_the_reason() {
        let (fields, plan) = (named(), plan());
        let noon = facts("2026-03-02T17:00:00Z", &[New_York], &fields);
        assert_eq!(verdict(&plan, &noon), "Hi Ann, reply STOP to opt out");
        let early = facts("2026-03-02T11:00:00Z", &[New_York], &fields);
        assert_eq!(verdict(&plan, &early), "quiet_hours 03-02T14:00");
        let nameless = BTreeMap::new();
        assert_eq!(
            verdict(&plan, &facts("2026-03-02T17:00:00Z", &[New_York], &nameless)),
            "missing:first_name"
        );
        let blank = Plan { missing: Missing::Blank, ..plan.clone() };
        assert_eq!(
            verdict(&blank, &facts("2026-03-02T17:00:00Z", &[New_York], &nameless)),
            "Hi , reply STOP to opt out"
        );
        let lately = Facts {
            known: Known { texted_at: Some(at("2026-03-01T18:00:00Z")), ..Known::default() },
            ..facts("2026-03-02T17:00:00Z", &[New_York], &fields)
        };
        assert_eq!(verdict(&plan, &lately), "texted_lately");
        assert!(verdict(&Plan { duplicate_days: 0, ..plan.clone() }, &lately).starts_with("Hi Ann"));
        assert_eq!(verdict(&plan, &Facts { variant: "Z", ..noon }), "no_such_text");
    }

    #[test]
    fn whom_one_of_the_texts_does_not_fit_gets_none_of_them() {
        let mut plan = plan();
        plan.variants.push(Variant::new("B", "Sale. STOP"));
        let (named, nameless) = (named(), BTreeMap::new());
        let of = |variant, fields| Facts { variant, ..facts("2026-03-02T17:00:00Z", &[New_York], fields) };
        assert_eq!(verdict(&plan, &of("B", &named)), "Sale. STOP");
        for variant in ["A", "B"] {
            assert_eq!(verdict(&plan, &of(variant, &nameless)), "missing:first_name");
        }
    }

    #[test]
    fn a_window_is_full_until_its_oldest_is_a_period_old() {
        let now = at("2026-03-02T17:00:00Z");
        let day = TimeDelta::days(1);
        assert_eq!(room(125, day, 100, Some(now), now), (25, now));
        let oldest = now - TimeDelta::hours(3);
        assert_eq!(room(125, day, 125, Some(oldest), now), (0, oldest + day));
        assert_eq!(room(5, day, 9, None, now), (0, now));
    }

    proptest! {
        /// Whatever the facts: nothing goes to whom it must not, nor at an hour that is wrong in any zone; and what is held is held
        /// until a time at which it goes.
        #[test]
        fn no_text_goes_that_must_not(
            start in 1_770_000_000i64..1_800_000_000, opted_out: bool, lately in prop::option::of(0i64..72),
            zones in prop::sample::subsequence(vec![New_York, Chicago, Los_Angeles], 1..=3), has_name: bool,
        ) {
            let (plan, fields) = (plan(), if has_name { named() } else { BTreeMap::new() });
            let rules = Rules::new(&plan, &Holidays::new()).unwrap();
            let now = DateTime::from_timestamp(start, 0).unwrap();
            let texted_at = lately.map(|hours| now - TimeDelta::hours(hours));
            let known = Known { opted_out, kept_out: None, texted_at };
            let facts = Facts { now, variant: "A", zones: &zones, fields: &fields, known };
            match decide(&rules, &facts) {
                Verdict::Send(_) => {
                    prop_assert!(!opted_out && has_name && lately.is_none_or(|hours| hours >= 24));
                    prop_assert!(plan.hours.open(&zones, &Holidays::new(), now));
                    prop_assert!(plan.hours.open(&zones, &Holidays::new(), now + MARGIN));
                }
                Verdict::Hold { until, .. } => {
                    prop_assert!(until > now);
                    let then = Facts { now: until, ..facts };
                    prop_assert!(matches!(decide(&rules, &then), Verdict::Send(_)));
                }
                Verdict::Refuse { .. } => prop_assert!(opted_out || !has_name || lately.is_some()),
            }
        }
    }
}
