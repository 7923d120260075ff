//! The stopping rule: when one text is known to be better than every other.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::sequential::{Comparison, Difference, Side, compare};
use crate::campaigns::plan::PlanError;

const MOST_ALPHA: u32 = 20;
const MOST_MINIMUM: u32 = 100_000;

/// What makes a text the better one.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// More people answer.
    Replies,
    /// Fewer people ask to stop.
    OptOuts,
}

/// When a campaign's winner is promoted by itself.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct WinnerRule {
    pub metric: Metric,
    /// The chance in percent, over the whole campaign, of promoting a text that is no better than another.
    pub alpha_percent: u32,
    /// So many texts of every variant must have left before.
    pub minimum: u32,
}

/// How one text fared while it was tried.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Arm {
    pub name: String,
    pub weight: u32,
    /// Texts that left or may have left.
    pub texts: u64,
    /// Recipients who answered.
    pub replies: u64,
    /// Recipients who asked to stop.
    pub opt_outs: u64,
    /// It is sent no more, so it can neither win nor stand in the way.
    pub left_out: bool,
}

/// Two texts beside each other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    pub first: String,
    pub second: String,
    pub replies: Comparison,
    pub opt_outs: Comparison,
}

/// What is known by now.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "standing")]
pub enum Standing {
    /// There is one text, or one is left.
    NothingToCompare,
    /// Of this one not enough have left.
    TooFew {
        text: String,
        missing: u64,
    },
    /// None is known to be better than every other.
    Open,
    /// More people answer this one, and more ask to stop than at another: a person decides.
    Guarded {
        text: String,
        other: String,
    },
    Winner {
        text: String,
    },
}

impl Default for WinnerRule {
    fn default() -> Self {
        Self { metric: Metric::Replies, alpha_percent: 5, minimum: 100 }
    }
}

impl WinnerRule {
    /// # Errors
    /// When the chance or the minimum is out of range.
    pub(in crate::campaigns) fn check(&self) -> Result<(), PlanError> {
        if !(1..=MOST_ALPHA).contains(&self.alpha_percent) {
            return Err(PlanError::Alpha(MOST_ALPHA));
        }
        if !(1..=MOST_MINIMUM).contains(&self.minimum) {
            return Err(PlanError::Minimum(MOST_MINIMUM));
        }
        Ok(())
    }

    /// The chance for one comparison. A text wins by being better than each of the others, so to be wrong about any of them it must be
    /// wrong about the one that is the best, and that is one of so many comparisons.
    fn alpha(&self, arms: usize) -> f64 {
        f64::from(self.alpha_percent) / 100.0 / arms.saturating_sub(1).max(1) as f64
    }
}

/// Every text beside every other, once.
pub fn pairs(arms: &[Arm], rule: &WinnerRule) -> Vec<Pair> {
    let alpha = rule.alpha(arms.len());
    let mut pairs = Vec::new();
    for (at, first) in arms.iter().enumerate() {
        for second in &arms[at + 1..] {
            pairs.push(Pair {
                first: first.name.clone(),
                second: second.name.clone(),
                replies: first.against(second, Metric::Replies, alpha),
                opt_outs: first.against(second, Metric::OptOuts, alpha),
            });
        }
    }
    pairs
}

/// Whether a text has won. It may be asked at any time, and as often as one likes.
pub fn standing(arms: &[Arm], rule: &WinnerRule) -> Standing {
    // Of as many comparisons as there were texts at first: who leaves one out may have looked at the figures.
    let alpha = rule.alpha(arms.len());
    let arms: Vec<&Arm> = arms.iter().filter(|arm| !arm.left_out).collect();
    if arms.len() < 2 {
        return Standing::NothingToCompare;
    }
    let minimum = u64::from(rule.minimum);
    if let Some(few) = arms.iter().min_by_key(|arm| arm.texts).filter(|arm| arm.texts < minimum) {
        return Standing::TooFew { text: few.name.clone(), missing: minimum - few.texts };
    }
    let better = match rule.metric {
        Metric::Replies => Difference::More,
        Metric::OptOuts => Difference::Less,
    };
    let differs = |one: &Arm, other: &Arm, metric, difference| {
        one.name != other.name && one.against(other, metric, alpha).difference == Some(difference)
    };
    let wins = |arm: &Arm| {
        arms.iter().all(|other| other.name == arm.name || differs(arm, other, rule.metric, better))
    };
    let Some(winner) = arms.iter().find(|arm| wins(arm)) else { return Standing::Open };
    let text = winner.name.clone();
    match arms.iter().find(|other| differs(winner, other, Metric::OptOuts, Difference::More)) {
        Some(other) => Standing::Guarded { text, other: other.name.clone() },
        None => Standing::Winner { text },
    }
}

impl Arm {
    fn against(&self, other: &Self, metric: Metric, alpha: f64) -> Comparison {
        let side = |arm: &Self| Side {
            weight: arm.weight,
            hits: match metric {
                Metric::Replies => arm.replies,
                Metric::OptOuts => arm.opt_outs,
            },
        };
        compare(side(self), side(other), alpha)
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingToCompare => f.write_str("there is one text, or one is left"),
            Self::TooFew { text, missing } => {
                write!(f, "too early: {missing} more of text {text} must leave first")
            }
            Self::Open => f.write_str("no text is known to be better than every other"),
            Self::Guarded { text, other } => write!(
                f,
                "text {text} is the best, and more people ask to stop than at text {other}: decide by \
                 `trunkline campaigns promote`"
            ),
            Self::Winner { text } => write!(f, "text {text} is better than every other"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn arm(name: &str, texts: u64, replies: u64, opt_outs: u64) -> Arm {
        Arm { name: name.to_owned(), weight: 1, texts, replies, opt_outs, left_out: false }
    }

    fn winner(text: &str) -> Standing {
        Standing::Winner { text: text.to_owned() }
    }

    #[test]
    fn a_text_wins_that_is_better_than_every_other_and_enough_have_left() {
        let rule = WinnerRule::default();
        let [a, b] = [arm("A", 500, 30, 0), arm("B", 500, 80, 0)];
        assert_eq!(standing(&[a.clone(), b.clone()], &rule), winner("B"));
        assert_eq!(standing(&[b.clone(), a.clone()], &rule), winner("B"));
        assert_eq!(standing(std::slice::from_ref(&a), &rule), Standing::NothingToCompare);
        let as_good = arm("C", 500, 75, 0);
        assert_eq!(standing(&[a.clone(), b.clone(), as_good], &rule), Standing::Open);
        let early = standing(&[a, Arm { texts: 60, ..b }], &rule);
        assert_eq!(early, Standing::TooFew { text: "B".to_owned(), missing: 40 });
    }

    #[test]
    fn a_text_that_is_sent_no_more_neither_wins_nor_stands_in_the_way() {
        let rule = WinnerRule::default();
        let left_out = Arm { left_out: true, ..arm("C", 20, 90, 0) };
        let [a, b] = [arm("A", 500, 30, 0), arm("B", 500, 80, 0)];
        assert_eq!(standing(&[a.clone(), b, left_out.clone()], &rule), winner("B"));
        assert_eq!(standing(&[a, left_out], &rule), Standing::NothingToCompare);
    }

    #[test]
    fn who_makes_more_people_stop_does_not_win_by_itself() {
        let rule = WinnerRule::default();
        let (a, b) = (arm("A", 500, 30, 5), arm("B", 500, 80, 50));
        let guarded = Standing::Guarded { text: "B".to_owned(), other: "A".to_owned() };
        assert_eq!(standing(&[a.clone(), b.clone()], &rule), guarded);
        let fewest = WinnerRule { metric: Metric::OptOuts, ..rule };
        assert_eq!(standing(&[a, b], &fewest), winner("A"));
    }

    #[test]
    fn a_rule_that_is_none_is_refused() {
        let rule = WinnerRule::default();
        assert!(rule.check().is_ok());
        for wrong in [
            WinnerRule { alpha_percent: 0, ..rule },
            WinnerRule { alpha_percent: 21, ..rule },
            WinnerRule { minimum: 0, ..rule },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
        assert_eq!(serde_json::from_str::<WinnerRule>("{}").unwrap(), rule);
    }

    /// Texts go out one by one to a text drawn by weight, and the rule is asked after each.
    fn watched(seed: u64, weights: &[u32], chances: &[f64]) -> Option<usize> {
        let (mut random, rule) =
            (StdRng::seed_from_u64(seed), WinnerRule { minimum: 50, ..WinnerRule::default() });
        let mut arms: Vec<Arm> =
            weights.iter().map(|weight| Arm { weight: *weight, ..arm("", 0, 0, 0) }).collect();
        for (at, arm) in arms.iter_mut().enumerate() {
            arm.name = at.to_string();
        }
        for _ in 0..4_000 {
            let mut drawn = random.random_range(0..weights.iter().sum::<u32>());
            let at = weights.iter().position(|weight| {
                let here = drawn < *weight;
                drawn = drawn.saturating_sub(*weight);
                here
            });
            let at = at.unwrap();
            arms[at].texts += 1;
            if random.random::<f64>() < chances[at] {
                arms[at].replies += 1;
                if let Standing::Winner { text } = standing(&arms, &rule) {
                    return text.parse().ok();
                }
            }
        }
        None
    }

    #[test]
    fn of_texts_that_are_all_as_good_one_is_promoted_no_more_often_than_said() {
        let runs = 200;
        for weights in [&[1, 1][..], &[1, 1, 1], &[4, 2, 1, 1, 1]] {
            let chances = vec![0.1; weights.len()];
            let wrong = (0..runs).filter(|seed| watched(*seed, weights, &chances).is_some()).count();
            assert!(wrong <= runs as usize / 20, "{wrong} of {runs} with {weights:?}");
        }
    }

    #[test]
    fn the_best_of_three_is_found() {
        let found: Vec<_> = (0..100).map(|seed| watched(seed, &[1, 1, 1], &[0.05, 0.06, 0.12])).collect();
        let right = found.iter().filter(|found| **found == Some(2)).count();
        assert!(right >= 95, "found in {right} of 100");
        assert!(found.iter().flatten().all(|found| *found == 2));
    }
}
