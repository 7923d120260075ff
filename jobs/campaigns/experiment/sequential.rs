//! Comparing shares so that looking does not lie: whoever looks at every step and stops at the first difference is wrong no more often
//! than was said.
//!
//! Two texts are compared by whose the answers are, one after the other. Were both as good, each answer would come from the one text or the
//! other by their weights alone, like throws of one coin, whatever the hour, however many have left, however late people
//! answer. Against that coin a mixture of others is held (a beta distribution around it); the ratio of how likely the
//! answers are under both is a martingale that begins at 1, so it ever reaches 1/alpha with a chance of alpha at most (Ville's
//! inequality; Robbins 1970). Coins that it has not ruled out make up an interval that holds at all times at once, and that
//! interval is told as a ratio of the two shares. The share of one text among those it was sent to gets its interval in the same way.

use serde::Serialize;

/// How far the mixture is from the coin: as if so many answers had been seen before. It makes differences of a third and more quick to find,
/// and costs no correctness.
const PRIOR: f64 = 20.0;
/// Steps of halving: more than a number has digits.
const HALVINGS: u32 = 60;

/// Where a true value lies, at all times at once with the confidence that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    pub low: f64,
    /// Infinite for a ratio that nothing limits yet.
    pub high: f64,
}

/// How one of two texts fared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Side {
    /// Its share in the draw.
    pub weight: u32,
    /// Its recipients who answered (or asked to stop).
    pub hits: u64,
}

/// One text against another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// How many times as often people answer the first as the second.
    pub ratio: Interval,
    /// The chance of seeing so much, at any time, were there no difference.
    pub p_value: f64,
    /// Whether the difference is certain enough: greater, the first is answered more often.
    pub difference: Option<Difference>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    More,
    Less,
}

/// The share of `hits` among `of`, at all times at once with confidence 1 - alpha.
pub fn share(hits: u64, of: u64, alpha: f64) -> Interval {
    Evidence { hits: hits.min(of) as f64, misses: of.saturating_sub(hits) as f64, prior: (0.5, 0.5) }
        .interval(alpha)
}

/// Compares two texts with a chance of at most `alpha` to find a difference, ever, where there is none.
pub fn compare(one: Side, other: Side, alpha: f64) -> Comparison {
    let fair = f64::from(one.weight) / (f64::from(one.weight) + f64::from(other.weight));
    let prior = (PRIOR * fair, PRIOR * (1.0 - fair));
    let (hits, misses) = (one.hits as f64, other.hits as f64);
    let evidence = Evidence { hits, misses, prior };
    let p_value = (-evidence.against(fair)).exp().min(1.0);
    let coin = evidence.interval(alpha);
    let odds = |share: f64| share / (1.0 - share) * (1.0 - fair) / fair;
    let more = hits * (1.0 - fair) > misses * fair;
    let difference = (p_value <= alpha).then_some(if more { Difference::More } else { Difference::Less });
    Comparison { ratio: Interval { low: odds(coin.low), high: odds(coin.high) }, p_value, difference }
}

/// Throws of a coin, and what was held against it.
struct Evidence {
    hits: f64,
    misses: f64,
    prior: (f64, f64),
}

impl Evidence {
    /// The logarithm of how much likelier the throws are under the mixture than with a coin of this share.
    fn against(&self, share: f64) -> f64 {
        let (a, b) = self.prior;
        let term = |count: f64, chance: f64| if count > 0.0 { count * chance.ln() } else { 0.0 };
        let coin = term(self.hits, share) + term(self.misses, 1.0 - share);
        ln_beta(a + self.hits, b + self.misses) - ln_beta(a, b) - coin
    }

    /// The coins that are not ruled out.
    fn interval(&self, alpha: f64) -> Interval {
        let count = self.hits + self.misses;
        if count == 0.0 {
            return Interval { low: 0.0, high: 1.0 };
        }
        let (likeliest, limit) = (self.hits / count, -alpha.ln());
        // Away from the likeliest coin the evidence against only grows.
        let edge = |mut outside: f64| {
            if self.against(outside) < limit {
                return outside;
            }
            let mut inside = likeliest;
            for _ in 0..HALVINGS {
                let middle = f64::midpoint(inside, outside);
                if self.against(middle) < limit { inside = middle } else { outside = middle }
            }
            outside
        };
        Interval { low: edge(0.0), high: edge(1.0) }
    }
}

fn ln_beta(a: f64, b: f64) -> f64 {
    ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)
}

/// By Stirling's series, for arguments above 0, to some eleven digits.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut below) = (x, 1.0);
    while x < 10.0 {
        below *= x;
        x += 1.0;
    }
    let y = 1.0 / (x * x);
    let series = (1.0 / 12.0 - y * (1.0 / 360.0 - y * (1.0 / 1_260.0 - y / 1_680.0))) / x;
    (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series - f64::ln(below)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    const ALPHA: f64 = 0.05;

    fn sides(weights: (u32, u32), hits: (u64, u64)) -> (Side, Side) {
        (Side { weight: weights.0, hits: hits.0 }, Side { weight: weights.1, hits: hits.1 })
    }

    fn compared(weights: (u32, u32), hits: (u64, u64)) -> Comparison {
        let (one, other) = sides(weights, hits);
        compare(one, other, ALPHA)
    }

    #[test]
    fn the_gamma_function_is_right() {
        let factorial = (1..=20).map(f64::from).product::<f64>();
        for (x, value) in [(1.0, 1.0), (0.5, std::f64::consts::PI.sqrt()), (5.0, 24.0), (21.0, factorial)] {
            assert!((ln_gamma(x) - f64::ln(value)).abs() < 1e-10, "{x}");
        }
    }

    #[test]
    fn with_nothing_seen_nothing_is_said() {
        let nothing = compared((1, 1), (0, 0));
        assert_eq!((nothing.p_value, nothing.difference), (1.0, None));
        assert_eq!(nothing.ratio, Interval { low: 0.0, high: f64::INFINITY });
        assert_eq!(share(0, 0, ALPHA), Interval { low: 0.0, high: 1.0 });
        let none = share(0, 1_000, ALPHA);
        assert!(none.low == 0.0 && none.high < 0.02, "{none:?}");
        let all = share(1_000, 1_000, ALPHA);
        assert!(all.high == 1.0 && all.low > 0.98, "{all:?}");
    }

    #[test]
    fn twice_as_many_of_ninety_answers_are_enough_and_of_thirty_are_not() {
        assert_eq!(compared((1, 1), (20, 10)).difference, None);
        let clear = compared((1, 1), (70, 30));
        assert_eq!(clear.difference, Some(Difference::More));
        assert!(clear.ratio.low > 1.0 && clear.ratio.high < 5.0, "{clear:?}");
        // The same answers where the first went to more than twice as many are no sign of anything.
        assert_eq!(compared((7, 3), (70, 30)).difference, None);
    }

    proptest! {
        /// Whatever was seen, the next answer changes the evidence by nothing in the mean, were there no difference: so nobody
        /// finds one by waiting. This is what makes it right to look at any time.
        #[test]
        fn the_evidence_is_a_martingale(weights in (1u32..100, 1u32..100), hits in (0u64..500, 0u64..500)) {
            let fair = f64::from(weights.0) / f64::from(weights.0 + weights.1);
            let evidence = |hits: u64, misses: u64| {
                let prior = (PRIOR * fair, PRIOR * (1.0 - fair));
                Evidence { hits: hits as f64, misses: misses as f64, prior }.against(fair)
            };
            let now = evidence(hits.0, hits.1);
            let grown = |then: f64| (then - now).exp();
            let mean = fair * grown(evidence(hits.0 + 1, hits.1)) + (1.0 - fair) * grown(evidence(hits.0, hits.1 + 1));
            prop_assert!((mean - 1.0).abs() < 1e-6, "{mean} times {now} in the mean");
        }

        #[test]
        fn the_other_way_round_is_the_same(weights in (1u32..100, 1u32..100), hits in (0u64..500, 0u64..500)) {
            let (one, other) = (compared(weights, hits), compared((weights.1, weights.0), (hits.1, hits.0)));
            prop_assert!((one.p_value - other.p_value).abs() < 1e-9);
            prop_assert_eq!(one.difference.is_some(), other.difference.is_some());
            prop_assert!(one.difference.is_none() || one.difference != other.difference);
            // Nearer to nothing, 1 less it has too few digits left.
            if one.ratio.low > 1e-6 && other.ratio.low > 1e-6 {
                prop_assert!((one.ratio.low * other.ratio.high - 1.0).abs() < 1e-6);
            }
        }

        /// The interval and the verdict never contradict one another.
        #[test]
        fn a_difference_is_told_when_the_interval_leaves_out_that_there_is_none(
            weights in (1u32..20, 1u32..20), hits in (0u64..300, 0u64..300),
        ) {
            let Comparison { ratio, difference, .. } = compared(weights, hits);
            prop_assert!(ratio.low <= ratio.high);
            match difference {
                Some(Difference::More) => prop_assert!(ratio.low >= 1.0 - 1e-9),
                Some(Difference::Less) => prop_assert!(ratio.high <= 1.0 + 1e-9),
                None => prop_assert!(ratio.low <= 1.0 + 1e-9 && ratio.high >= 1.0 - 1e-9),
            }
        }

        #[test]
        fn a_share_lies_in_its_interval_and_more_confidence_widens_it(hits in 0u64..1_000, more in 0u64..1_000) {
            let of = hits + more;
            let (narrow, wide) = (share(hits, of, 0.2), share(hits, of, 0.01));
            let found = hits as f64 / of.max(1) as f64;
            prop_assert!(0.0 <= wide.low && wide.low <= narrow.low && narrow.low <= found);
            prop_assert!(found <= narrow.high && narrow.high <= wide.high && wide.high <= 1.0);
        }
    }

    /// Texts go out one by one, drawn by weight; the chance of an answer goes up and down with the hour. Looks at every answer.
    /// Tells whether a difference was ever found, and whether one was by the test that is good for a single look.
    fn watched(seed: u64, weights: (u32, u32), chances: (f64, f64)) -> (Option<Difference>, bool) {
        let mut random = StdRng::seed_from_u64(seed);
        let (mut sent, mut hits, mut naive) = ([0u64; 2], (0u64, 0u64), false);
        for text in 0..4_000u32 {
            let second = random.random_range(0..weights.0 + weights.1) >= weights.0;
            sent[usize::from(second)] += 1;
            let hour = 1.0 + 0.8 * f64::sin(f64::from(text) / 150.0);
            if random.random::<f64>() >= hour * if second { chances.1 } else { chances.0 } {
                continue;
            }
            if second {
                hits.1 += 1
            } else {
                hits.0 += 1
            }
            if let found @ Some(_) = compared(weights, hits).difference {
                return (found, naive);
            }
            naive |= text > 200 && z(sent, hits).abs() > 1.96;
        }
        (None, naive)
    }

    /// Of two shares, as it is taught.
    fn z(sent: [u64; 2], hits: (u64, u64)) -> f64 {
        let [n, m] = sent.map(|sent| sent as f64);
        let (one, other) = (hits.0 as f64 / n, hits.1 as f64 / m);
        let pooled = (hits.0 + hits.1) as f64 / (n + m);
        (one - other) / (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)).sqrt()
    }

    #[test]
    fn whoever_looks_at_every_answer_finds_a_difference_that_is_not_there_no_more_often_than_said() {
        let runs = 400;
        for (weights, chance) in [((1, 1), 0.05), ((3, 1), 0.1), ((1, 1), 0.3)] {
            let watched: Vec<_> = (0..runs).map(|seed| watched(seed, weights, (chance, chance))).collect();
            let wrong = watched.iter().filter(|(found, _)| found.is_some()).count();
            assert!(wrong as f64 <= ALPHA * runs as f64, "{wrong} of {runs} with {weights:?} {chance}");
            let naive = watched.iter().filter(|(_, naive)| *naive).count();
            assert!(
                naive as f64 > 3.0 * ALPHA * runs as f64,
                "looking made {naive} wrong: the test tests nothing"
            );
        }
    }

    #[test]
    fn a_difference_that_is_there_is_found_and_the_right_way_round() {
        let found: Vec<_> = (0..200).map(|seed| watched(seed, (1, 1), (0.05, 0.09)).0).collect();
        let right = found.iter().filter(|found| **found == Some(Difference::Less)).count();
        assert!(right >= 190, "found {right} of 200");
        let wrong = found.iter().filter(|found| **found == Some(Difference::More)).count();
        assert!(wrong <= 1, "{wrong} were found the wrong way round");
    }
}
