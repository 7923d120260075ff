//! A plan beside what happened: how far ahead or behind a campaign is, and when it will end now.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::FlightPlan;

/// How a campaign fares.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Progress {
    /// Texts that have left, and that had by now when it was planned.
    pub left: u64,
    pub planned: u64,
    /// How much later than planned so many texts have left; negative: earlier.
    pub behind_seconds: i64,
    /// When the last text leaves, as it looks now and as it was planned.
    pub ends_at: Option<DateTime<Utc>>,
    pub planned_end: Option<DateTime<Utc>>,
}

impl FlightPlan {
    /// Texts that have left by then, if all goes as planned, those before the plan included.
    pub fn left_by(&self, at: DateTime<Utc>) -> u64 {
        let next = self.curve.partition_point(|(time, _)| *time <= at);
        let (from, texts) = self.point_before(next);
        let part = match self.curve.get(next) {
            Some((to, more)) if *to > from && at > from => {
                let share = (at - from).num_milliseconds() as f64 / (*to - from).num_milliseconds() as f64;
                ((more - texts) as f64 * share) as u64
            }
            _ => 0,
        };
        self.already + texts + part
    }

    /// When so many texts have left, if all goes as planned. None: later than the last, or before the plan was made.
    pub fn left_at(&self, texts: u64) -> Option<DateTime<Utc>> {
        let texts = texts.checked_sub(self.already)?;
        let next = self.curve.partition_point(|(_, planned)| *planned < texts);
        let (from, before) = self.point_before(next);
        let (to, after) = *self.curve.get(next)?;
        let share = (texts - before.min(texts)) as f64 / (after - before).max(1) as f64;
        Some(from + TimeDelta::milliseconds(((to - from).num_milliseconds() as f64 * share) as i64))
    }

    fn point_before(&self, next: usize) -> (DateTime<Utc>, u64) {
        next.checked_sub(1).and_then(|at| self.curve.get(at)).copied().unwrap_or((self.starts_at, 0))
    }

    /// What was planned beside `present`, a plan made now of those who still wait.
    pub fn beside(&self, present: &Self) -> Progress {
        let (now, left) = (present.made_at, present.already);
        let should_have = self.left_at(left).or(self.last_at).unwrap_or(now);
        let planned = self.left_by(now);
        // Who is where the plan is may have waited since.
        let behind = if planned == left { TimeDelta::zero() } else { now - should_have };
        Progress {
            left,
            planned,
            behind_seconds: behind.num_seconds(),
            ends_at: present.last_at,
            planned_end: self.last_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> DateTime<Utc> {
        "2026-03-02T15:00:00Z".parse().unwrap()
    }

    /// A text a minute.
    fn plan(made_at: DateTime<Utc>, already: u64, texts: u64) -> FlightPlan {
        let at = |text: u64| made_at + TimeDelta::minutes(i64::try_from(text).unwrap());
        FlightPlan {
            campaign: 1,
            made_at,
            starts_at: made_at,
            already,
            recipients: texts,
            texts,
            segments: texts,
            first_at: Some(at(1)),
            last_at: Some(at(texts)),
            curve: (1..=texts).filter(|text| text % 10 == 0).map(|text| (at(text), text)).collect(),
            ..FlightPlan::default()
        }
    }

    #[test]
    fn what_lies_between_two_points_is_told_by_the_line_between_them() {
        let plan = plan(start(), 5, 100);
        assert_eq!(plan.left_by(start()), 5);
        assert_eq!(plan.left_by(start() + TimeDelta::minutes(34)), 39);
        assert_eq!(plan.left_by(start() + TimeDelta::days(1)), 105);
        assert_eq!(plan.left_at(39), Some(start() + TimeDelta::minutes(34)));
        assert_eq!((plan.left_at(4), plan.left_at(106)), (None, None));
    }

    #[test]
    fn a_campaign_is_ahead_or_behind_by_texts_and_by_time() {
        let planned = plan(start(), 0, 100);
        let now = start() + TimeDelta::minutes(60);
        let behind = planned.beside(&plan(now, 40, 60));
        assert_eq!((behind.left, behind.planned, behind.behind_seconds), (40, 60, 20 * 60));
        assert_eq!(behind.ends_at, Some(now + TimeDelta::minutes(60)));
        assert_eq!(planned.beside(&plan(now, 70, 30)).behind_seconds, -10 * 60);
        assert_eq!(planned.beside(&plan(now, 60, 40)).behind_seconds, 0);
    }
}
