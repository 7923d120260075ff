//! Texts that are tried against each other, and which person gets which.
//!
//! Who gets what is a keyed hash of the number: it depends on the campaign and the number alone, so it stays the same in
//! whatever order people are written down and whoever joins. Every campaign has a key of its own: who gets the first text of one
//! may get the second of the next. Places in the order of leaving have nothing to do with the hash, so texts leave mixed,
//! and an hour or a limit that slows a campaign down slows all its texts down alike.

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::plan::{Plan, PlanError};
use super::table::CampaignRow;
use super::template::Template;

/// What stands in place of a variant for those who get nothing, so that there is somebody to compare with.
pub const HOLDOUT: &str = "holdout";
/// Texts that one campaign can compare.
pub(super) const MOST_VARIANTS: usize = 5;
pub(super) const MOST_WEIGHT: u32 = 1_000;
/// Percent.
pub(super) const MOST_HOLDOUT: u32 = 90;
const LONGEST_NAME: usize = 32;

/// One of the texts that are tried against each other.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Variant {
    pub name: String,
    pub template: String,
    /// Its share among the weights of all.
    #[serde(default = "one")]
    pub weight: u32,
}

const fn one() -> u32 {
    1
}

impl Variant {
    /// With the same weight as every other.
    pub fn new(name: impl Into<String>, template: impl Into<String>) -> Self {
        Self { name: name.into(), template: template.into(), weight: one() }
    }

    /// Its template, which may be sent to many.
    ///
    /// # Errors
    /// When it cannot be read, or does not say how to stop.
    pub fn parsed(&self) -> Result<Template, PlanError> {
        let named = |source| PlanError::Template { name: self.name.clone(), source };
        let template: Template = self.template.parse().map_err(named)?;
        template.check().map_err(named)?;
        Ok(template)
    }
}

/// That they can be told apart and sent.
pub(super) fn check(variants: &[Variant]) -> Result<(), PlanError> {
    if variants.is_empty() || variants.len() > MOST_VARIANTS {
        return Err(PlanError::Variants);
    }
    for (at, variant) in variants.iter().enumerate() {
        let name = &variant.name;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(plain) || name == HOLDOUT {
            return Err(PlanError::VariantName(name.clone()));
        }
        if variants[..at].iter().any(|other| other.name == *name) {
            return Err(PlanError::VariantTwice(name.clone()));
        }
        if !(1..=MOST_WEIGHT).contains(&variant.weight) {
            return Err(PlanError::Weight(name.clone()));
        }
        variant.parsed()?;
    }
    Ok(())
}

/// Who gets which text of one campaign.
#[derive(Clone, Debug)]
pub struct Assignment<'p> {
    plan: &'p Plan,
    key: Hmac<Sha256>,
}

impl<'p> Assignment<'p> {
    pub fn of(campaign: &'p CampaignRow) -> Self {
        Self::new(&campaign.plan.0, campaign.id, campaign.created_at)
    }

    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    fn new(plan: &'p Plan, campaign: i64, created_at: DateTime<Utc>) -> Self {
        let key = format!("campaign:{campaign}:{}", created_at.timestamp_micros());
        let key = Hmac::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length");
        Self { plan, key }
    }

    /// The name of the text a number gets; none when it is held out and gets nothing.
    pub fn variant(&self, number: &str) -> Option<&'p str> {
        // Two draws: whether somebody is held out says nothing about the text they would have got.
        if self.draw("holdout", number, 100) < u64::from(self.plan.holdout_percent) {
            return None;
        }
        let total = self.plan.variants.iter().map(|variant| u64::from(variant.weight)).sum();
        let mut at = self.draw("variant", number, total);
        let drawn = self.plan.variants.iter().find(|variant| {
            let weight = u64::from(variant.weight);
            let here = at < weight;
            at = at.saturating_sub(weight);
            here
        });
        drawn.map(|variant| variant.name.as_str())
    }

    /// A number below `of`, each as likely.
    fn draw(&self, what: &str, number: &str, of: u64) -> u64 {
        let mut mac = self.key.clone();
        mac.update(what.as_bytes());
        mac.update(b":");
        mac.update(number.as_bytes());
        let hash = mac.finalize().into_bytes();
        let first = hash.iter().take(8).fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
        // The upper half of the product: a remainder would favour the first.
        (u128::from(first) * u128::from(of)).checked_shr(64).map_or(0, |drawn| drawn as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::campaigns::Audience;

    fn plan(weights: &[u32], holdout_percent: u32) -> Plan {
        let variants = ["A", "B", "C", "D", "E"].into_iter().zip(weights);
        let variants = variants.map(|(name, weight)| Variant {
            weight: *weight,
            ..Variant::new(name, format!("Text {name}. Reply STOP to opt out"))
        });
        Plan { variants: variants.collect(), holdout_percent, ..Plan::new(Audience::Everyone, "PN1", "STOP") }
    }

    fn numbers(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("+1212{n:07}")).collect()
    }

    fn made(plan: &Plan, campaign: i64) -> Assignment<'_> {
        Assignment::new(plan, campaign, DateTime::UNIX_EPOCH)
    }

    fn shares<'a>(drawn: impl Iterator<Item = Option<&'a str>>) -> BTreeMap<&'a str, usize> {
        let mut shares = BTreeMap::new();
        for name in drawn {
            *shares.entry(name.unwrap_or(HOLDOUT)).or_default() += 1;
        }
        shares
    }

    /// Five standard deviations.
    fn assert_near(found: usize, share: f64, of: usize) {
        let expected = share * of as f64;
        let off = (found as f64 - expected).abs() / (expected * (1.0 - share)).sqrt();
        assert!(off < 5.0, "{found} of {of}, not {expected}");
    }

    #[test]
    fn shares_are_those_of_the_weights_and_of_the_holdout() {
        let (plan, people) = (plan(&[3, 1, 1], 20), numbers(20_000));
        let assignment = made(&plan, 7);
        let shares = shares(people.iter().map(|number| assignment.variant(number)));
        for (name, share) in [("A", 0.48), ("B", 0.16), ("C", 0.16), (HOLDOUT, 0.2)] {
            assert_near(shares[name], share, people.len());
        }
    }

    /// Texts leave in the order people were written down in, and that order says nothing about the text: of any hundred in a row, those of
    /// every text are as many as its share, so a campaign that is slowed down or stopped has sent all its texts alike.
    #[test]
    fn whatever_part_of_a_campaign_has_left_its_texts_are_mixed() {
        let (plan, people) = (plan(&[1, 1, 2], 0), numbers(10_000));
        let assignment = made(&plan, 7);
        for part in people.chunks(100) {
            let shares = shares(part.iter().map(|number| assignment.variant(number)));
            for (name, share) in [("A", 0.25), ("B", 0.25), ("C", 0.5)] {
                assert_near(shares[name], share, part.len());
            }
        }
    }

    #[test]
    fn another_campaign_draws_anew() {
        let (plan, people) = (plan(&[1, 1], 0), numbers(10_000));
        let (one, other) = (made(&plan, 1), made(&plan, 2));
        let same = people.iter().filter(|number| one.variant(number) == other.variant(number)).count();
        assert_near(same, 0.5, people.len());
    }

    #[test]
    fn who_is_held_out_does_not_move_the_others() {
        let (all, some, people) = (plan(&[1, 1, 1], 0), plan(&[1, 1, 1], 30), numbers(2_000));
        let (all, some) = (made(&all, 7), made(&some, 7));
        for number in &people {
            let drawn = some.variant(number);
            assert!(drawn.is_none() || drawn == all.variant(number));
        }
    }

    #[test]
    fn older_plans_are_read_with_texts_of_one_weight_and_nobody_held_out() {
        let kept = serde_json::to_string(&plan(&[1], 0)).unwrap();
        let older = kept.replace(",\"weight\":1", "").replace("\"holdout_percent\":0,", "");
        assert!(!older.contains("weight") && !older.contains("holdout"));
        assert_eq!(serde_json::from_str::<Plan>(&older).unwrap(), plan(&[1], 0));
    }

    proptest! {
        /// A person's text is the campaign's and the number's alone.
        #[test]
        fn a_person_gets_the_same_text_whoever_else_is_written_down(
            weights in prop::collection::vec(1u32..100, 1..=5), holdout in 0u32..=90, numbers in prop::collection::vec("\\+1[0-9]{10}", 1..20),
            campaign: i64,
        ) {
            let plan = plan(&weights, holdout);
            let alone: Vec<_> = numbers.iter().map(|number| made(&plan, campaign).variant(number)).collect();
            let together = made(&plan, campaign);
            let backwards: Vec<_> = numbers.iter().rev().map(|number| together.variant(number)).collect();
            prop_assert!(alone.iter().eq(backwards.iter().rev()));
            prop_assert!(holdout > 0 || alone.iter().all(Option::is_some));
        }
    }
}
