//! Counting the latest texts and judging the shares, from values alone.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::latest::LatestText;
use super::{BreakerSettings, Cause, Fault, Subject, Threshold};
use crate::contacts::optout::OPTED_OUT;

/// Carriers' codes, as the provider passes them on: a filter took the text for spam.
const FILTERED: [&str; 2] = ["30007", "30038"];
/// The number may not text at all before it is registered.
const NOT_REGISTERED: [&str; 3] = ["30032", "30034", "30035"];
/// The brand has used up what carriers let it send in a day.
const CARRIER_DAILY_CAP: [&str; 1] = ["30023"];
/// Of a text that was sent so long ago no failure is to be expected any more, though nobody told that it arrived.
const QUIET_AFTER: TimeDelta = TimeDelta::minutes(10);
const SAMPLES: usize = 5;

/// What the breaker saw: kept with the trip, so that a person can judge it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Evidence {
    /// Texts that had come to an end.
    pub ended: u32,
    pub failures: u32,
    /// Of the failures.
    pub carrier_filter: u32,
    /// People who asked to stop after a text.
    pub opt_outs: u32,
    /// Failures by the carriers' codes.
    pub codes: BTreeMap<String, u32>,
    /// Of several texts of a campaign, by their names.
    #[serde(default)]
    pub variants: BTreeMap<String, OneText>,
    /// Rows of the ledger that show it.
    pub sends: Vec<i64>,
}

/// What became of one of a campaign's texts.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct OneText {
    pub ended: u32,
    pub failures: u32,
    pub opt_outs: u32,
}

/// Which texts show it.
type Such = fn(&LatestText) -> bool;

/// A part of the texts that came to an end.
#[derive(Clone, Copy)]
struct Share {
    part: u32,
    whole: u32,
}

impl Share {
    fn percent(self) -> f64 {
        100.0 * f64::from(self.part) / f64::from(self.whole.max(1))
    }

    fn is_over(self, threshold: Threshold) -> bool {
        self.whole >= threshold.sample.max(1) && self.percent() > threshold.most_percent
    }
}

impl Evidence {
    pub(super) fn of_one(send: i64, code: Option<&str>) -> Self {
        let codes = code.map(|code| (code.to_owned(), 1)).into_iter().collect();
        Self { ended: 1, failures: 1, codes, sends: vec![send], ..Self::default() }
    }

    fn count(texts: &[LatestText], now: DateTime<Utc>) -> Self {
        texts.iter().fold(Self::default(), |mut seen, text| {
            let failed = text.has_failed();
            let quiet = text.intended_at < now - QUIET_AFTER && text.has_left();
            let ended = u32::from(failed || text.state == "delivered" || quiet);
            let opt_outs = u32::from(text.has_left() && text.led_to_opt_out());
            seen.ended += ended;
            seen.failures += u32::from(failed);
            seen.carrier_filter += u32::from(failed && text.has_code(&FILTERED));
            seen.opt_outs += opt_outs;
            if let Some(variant) = &text.variant {
                let one = seen.variants.entry(variant.clone()).or_default();
                one.ended += ended;
                one.failures += u32::from(failed);
                one.opt_outs += opt_outs;
            }
            if failed {
                let code = text.error_code.clone().unwrap_or_else(|| "none".to_owned());
                *seen.codes.entry(code).or_default() += 1;
            }
            seen
        })
    }

    fn sampled(mut self, texts: &[LatestText], such: impl Fn(&LatestText) -> bool) -> Self {
        self.sends = texts.iter().filter(|text| such(text)).map(|text| text.id).take(SAMPLES).collect();
        self
    }
}

impl LatestText {
    fn has_code(&self, codes: &[&str]) -> bool {
        self.error_code.as_deref().is_some_and(|code| codes.contains(&code))
    }

    /// A person who had opted out is no failure of ours to send.
    fn has_failed(&self) -> bool {
        matches!(self.state.as_str(), "failed" | "undelivered") && !self.has_code(&[OPTED_OUT])
    }

    fn has_left(&self) -> bool {
        matches!(self.state.as_str(), "accepted" | "sent" | "delivered")
    }

    fn led_to_opt_out(&self) -> bool {
        self.closed_at.is_some_and(|at| at >= self.intended_at)
    }
}

/// What is wrong with the latest texts of a campaign or a number, the plainest first. None: nothing.
pub(super) fn judge(
    settings: &BreakerSettings,
    texts: &[LatestText],
    subject: &Subject,
    now: DateTime<Utc>,
) -> Option<Fault> {
    let seen = Evidence::count(texts, now);
    let fault = |cause, reason, evidence| Some(Fault { subject: subject.clone(), cause, reason, evidence });
    if let Subject::Number(_) = subject {
        for (cause, codes) in
            [(Cause::NotRegistered, &NOT_REGISTERED[..]), (Cause::CarrierDailyCap, &CARRIER_DAILY_CAP)]
        {
            if let Some(text) = texts.iter().find(|text| text.has_failed() && text.has_code(codes)) {
                let code = text.error_code.as_deref().unwrap_or_default();
                let reason = format!("{} ({code})", cause.as_str());
                return fault(cause, reason, seen.sampled(texts, |text| text.has_code(codes)));
            }
        }
    }
    let whole = seen.ended;
    let shares: [(Cause, u32, Option<Threshold>, Such); 3] = [
        (Cause::CarrierFilter, seen.carrier_filter, settings.carrier_filter, |text| text.has_code(&FILTERED)),
        (Cause::OptOuts, seen.opt_outs, settings.opt_outs, LatestText::led_to_opt_out),
        (Cause::Failures, seen.failures, settings.failures, LatestText::has_failed),
    ];
    for (cause, part, threshold, such) in shares {
        let share = Share { part, whole };
        if let Some(threshold) = threshold.filter(|threshold| share.is_over(*threshold)) {
            let (percent, most) = (share.percent(), threshold.most_percent);
            let reason = format!("{}: {part} of {whole} texts ({percent:.1}%, over {most}%)", cause.as_str());
            return fault(cause, reason, seen.sampled(texts, such));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-03-02T17:00:00Z".parse().unwrap()
    }

    fn texts(state: &str, code: Option<&str>, count: i64) -> Vec<LatestText> {
        let text = |id| LatestText {
            id,
            variant: Some("A".to_owned()),
            state: state.to_owned(),
            error_code: code.map(str::to_owned),
            intended_at: now() - TimeDelta::minutes(5),
            closed_at: None,
        };
        (0..count).map(text).collect()
    }

    fn settings() -> BreakerSettings {
        BreakerSettings {
            window: Duration::from_secs(3_600),
            failures: "10% of 50".parse().ok(),
            carrier_filter: "3% of 50".parse().ok(),
            opt_outs: "2.5% of 50".parse().ok(),
        }
    }

    fn cause(texts: &[LatestText]) -> Option<Cause> {
        judge(&settings(), texts, &Subject::Campaign, now()).map(|fault| fault.cause)
    }

    #[test]
    fn a_share_counts_when_there_are_enough_texts_and_only_above_what_is_well() {
        let mixed =
            |failed, delivered| [texts("failed", None, failed), texts("delivered", None, delivered)].concat();
        assert_eq!(cause(&mixed(49, 0)), None, "too few to judge by");
        assert_eq!(cause(&mixed(5, 45)), None, "a tenth is well");
        assert_eq!(cause(&mixed(6, 44)), Some(Cause::Failures));
        let off = BreakerSettings { failures: None, ..settings() };
        assert!(judge(&off, &mixed(50, 0), &Subject::Campaign, now()).is_none());
    }

    #[test]
    fn who_had_opted_out_before_is_no_failure_and_what_is_not_known_yet_is_no_text() {
        assert_eq!(
            cause(&[texts("undelivered", Some("21610"), 50), texts("delivered", None, 50)].concat()),
            None
        );
        assert_eq!(cause(&[texts("failed", None, 10), texts("accepted", None, 500)].concat()), None);
        let mut quiet = [texts("failed", None, 3), texts("sent", None, 47)].concat();
        quiet.iter_mut().for_each(|text| text.intended_at -= TimeDelta::minutes(6));
        assert_eq!(cause(&quiet), None, "silence is no failure, and enough of it a sample");
        assert_eq!(Evidence::count(&quiet, now()).ended, 50);
    }

    #[test]
    fn the_plainest_cause_is_told_with_its_figures_and_its_texts() {
        let filtered = [texts("undelivered", Some("30007"), 7), texts("delivered", None, 93)].concat();
        let fault = judge(&settings(), &filtered, &Subject::Campaign, now()).unwrap();
        assert_eq!(fault.reason, "carrier_filter: 7 of 100 texts (7.0%, over 3%)");
        assert_eq!(fault.evidence.sends, [0, 1, 2, 3, 4]);
        assert_eq!(fault.evidence.codes["30007"], 7);
        assert_eq!(fault.evidence.variants["A"], OneText { ended: 100, failures: 7, opt_outs: 0 });
    }

    #[test]
    fn people_who_ask_to_stop_after_the_text_count_and_those_of_before_do_not() {
        let mut texts = texts("delivered", None, 100);
        texts[..3].iter_mut().for_each(|text| text.closed_at = Some(now()));
        texts[3..50].iter_mut().for_each(|text| text.closed_at = Some(now() - TimeDelta::hours(1)));
        assert_eq!(cause(&texts), Some(Cause::OptOuts));
        texts[0].closed_at = None;
        assert_eq!(cause(&texts), None);
    }

    #[test]
    fn a_number_that_is_not_registered_is_held_at_the_first_text() {
        let one = texts("undelivered", Some("30034"), 1);
        let number = Subject::Number("PN1".to_owned());
        let fault = judge(&settings(), &one, &number, now()).unwrap();
        assert_eq!((fault.cause, fault.reason.as_str()), (Cause::NotRegistered, "a2p_not_approved (30034)"));
        assert_eq!(cause(&one), None, "the campaign may go on from another number");
    }
}
