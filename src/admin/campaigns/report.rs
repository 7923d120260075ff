//! What a campaign came to.

use std::collections::BTreeMap;

use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use trunkline_jobs::campaigns::experiment::sequential::{Comparison, Difference, Interval};
use trunkline_jobs::campaigns::experiment::{Arm, Pair, Standing};
use trunkline_jobs::campaigns::report::{self, HoldoutCount, Left, Line, Share, StateCount, TimeCount};

use super::super::granted::{Granted, Read};
use super::super::{Answer, Desk, Tag};
use super::found;
use super::state::State;

pub(in crate::admin) struct ReportApi(pub(in crate::admin) Desk);

/// What a campaign came to
#[derive(Debug, Object)]
struct CampaignReport {
    campaign: i64,
    name: String,
    state: State,
    /// The text that was promoted
    winner: Option<String>,
    /// One for each text
    texts: Vec<ReportLine>,
    total: ReportLine,
    /// Those who got nothing, where some were held out
    #[oai(skip_serializing_if_is_none)]
    holdout: Option<ReportHoldout>,
    /// How the texts fared while they were tried
    tried: Vec<ReportTried>,
    /// Each of them beside each other
    comparisons: Vec<ReportComparison>,
    standing: TextsStanding,
    /// What `by_time` tells by, of UTC: `hour` or `day`
    bucket: String,
    by_time: Vec<ReportTime>,
    /// By the area code of the recipients' numbers
    by_state: Vec<ReportState>,
}

/// What is known of a campaign's texts by now
#[derive(Debug, Object)]
pub(super) struct TextsStanding {
    /// `nothing_to_compare`, `too_few`, `open`, `guarded` or `winner`
    code: String,
    /// In words
    told: String,
    /// The text it is about
    #[oai(skip_serializing_if_is_none)]
    text: Option<String>,
}

/// What one text came to, or all together
#[derive(Debug, Object)]
struct ReportLine {
    /// Its name; `all`
    text: String,
    /// Recipients it was drawn for
    planned: i64,
    /// By what they wait for
    waiting: BTreeMap<String, i64>,
    /// Got nothing, by the reason
    refused: BTreeMap<String, i64>,
    /// Left, or may have left
    left: i64,
    /// The provider has it
    accepted: i64,
    delivered: i64,
    /// By the carrier's code
    failed: BTreeMap<String, i64>,
    /// Nobody knows yet, or a person must say
    unknown: i64,
    replies: i64,
    opt_outs: i64,
    delivered_share: Option<ReportShare>,
    reply_share: Option<ReportShare>,
    opt_out_share: Option<ReportShare>,
}

/// A share of the texts that left, from 0 to 1
#[derive(Debug, Object)]
struct ReportShare {
    share: f64,
    /// Where it truly lies, with 95 percent of confidence at all times at once
    low: f64,
    high: f64,
}

/// Those who were held out
#[derive(Debug, Object)]
struct ReportHoldout {
    people: i64,
    /// Texted us all the same
    replies: i64,
    opt_outs: i64,
}

/// How one text fared while it was tried
#[derive(Debug, Object)]
struct ReportTried {
    text: String,
    weight: u32,
    texts: u64,
    replies: u64,
    opt_outs: u64,
    /// It is sent no more
    left_out: bool,
}

/// Two texts beside each other
#[derive(Debug, Object)]
struct ReportComparison {
    first: String,
    second: String,
    replies: ReportTimes,
    opt_outs: ReportTimes,
}

/// How many times as often the first has it as the second
#[derive(Debug, Object)]
struct ReportTimes {
    /// At least
    low: f64,
    /// At most; absent while nothing limits it
    high: Option<f64>,
    /// The chance of seeing so much, at any time, were there no difference
    p_value: f64,
    /// The difference is certain enough: `more` or `less`
    difference: Option<String>,
}

/// The texts that left in an hour or on a day
#[derive(Debug, Object)]
struct ReportTime {
    /// `2026-03-02T17`, or `2026-03-02`
    bucket: String,
    text: Option<String>,
    left: i64,
    delivered: i64,
    failed: i64,
    replies: i64,
    opt_outs: i64,
}

/// The texts to the numbers of one state
#[derive(Debug, Object)]
struct ReportState {
    /// Two letters; `other` where the area code tells none
    state: String,
    left: i64,
    delivered: i64,
    failed: i64,
    replies: i64,
    opt_outs: i64,
}

#[OpenApi(tag = "Tag::Campaigns")]
impl ReportApi {
    /// Tell what a campaign came to
    ///
    /// For each text, by time and by state, with the comparison of the texts: a test that may be looked at at any time.
    #[oai(path = "/campaigns/:id/report", method = "get", operation_id = "campaign_report")]
    async fn report(&self, _by: Granted<Read>, id: Path<i64>) -> Answer<CampaignReport> {
        let campaign = found(&self.0, id.0).await?;
        Ok(Json(CampaignReport::of(report::report(self.0.tasks.db(), &campaign).await?)))
    }
}

impl CampaignReport {
    fn of(report: report::Report) -> Self {
        Self {
            campaign: report.campaign,
            name: report.name,
            state: report.state.into(),
            winner: report.winner,
            texts: report.texts.into_iter().map(ReportLine::of).collect(),
            total: ReportLine::of(report.total),
            holdout: report.holdout.map(ReportHoldout::of),
            tried: report.arms.into_iter().map(ReportTried::of).collect(),
            comparisons: report.pairs.into_iter().map(ReportComparison::of).collect(),
            standing: TextsStanding::of(report.standing),
            bucket: report.bucket.to_owned(),
            by_time: report.by_time.into_iter().map(ReportTime::of).collect(),
            by_state: report.by_state.into_iter().map(ReportState::of).collect(),
        }
    }
}

impl TextsStanding {
    pub(super) fn of(standing: Standing) -> Self {
        let told = standing.to_string();
        let (code, text) = match standing {
            Standing::NothingToCompare => ("nothing_to_compare", None),
            Standing::TooFew { text, .. } => ("too_few", Some(text)),
            Standing::Open => ("open", None),
            Standing::Guarded { text, .. } => ("guarded", Some(text)),
            Standing::Winner { text } => ("winner", Some(text)),
        };
        Self { code: code.to_owned(), told, text }
    }
}

impl ReportLine {
    fn of(line: Line) -> Self {
        Self {
            text: line.text,
            planned: line.planned,
            waiting: line.waiting,
            refused: line.refused,
            left: line.left,
            accepted: line.accepted,
            delivered: line.delivered,
            failed: line.failed,
            unknown: line.unknown,
            replies: line.replies,
            opt_outs: line.opt_outs,
            delivered_share: line.delivered_share.map(ReportShare::of),
            reply_share: line.reply_share.map(ReportShare::of),
            opt_out_share: line.opt_out_share.map(ReportShare::of),
        }
    }
}

impl ReportShare {
    fn of(share: Share) -> Self {
        let Share { share, interval: Interval { low, high } } = share;
        Self { share, low, high }
    }
}

impl ReportHoldout {
    fn of(count: HoldoutCount) -> Self {
        Self { people: count.people, replies: count.replies, opt_outs: count.opt_outs }
    }
}

impl ReportTried {
    fn of(arm: Arm) -> Self {
        Self {
            text: arm.name,
            weight: arm.weight,
            texts: arm.texts,
            replies: arm.replies,
            opt_outs: arm.opt_outs,
            left_out: arm.left_out,
        }
    }
}

impl ReportComparison {
    fn of(pair: Pair) -> Self {
        Self {
            first: pair.first,
            second: pair.second,
            replies: ReportTimes::of(pair.replies),
            opt_outs: ReportTimes::of(pair.opt_outs),
        }
    }
}

impl ReportTimes {
    fn of(comparison: Comparison) -> Self {
        let word = |difference| match difference {
            Difference::More => "more".to_owned(),
            Difference::Less => "less".to_owned(),
        };
        Self {
            low: comparison.ratio.low,
            high: Some(comparison.ratio.high).filter(|high| high.is_finite()),
            p_value: comparison.p_value,
            difference: comparison.difference.map(word),
        }
    }
}

impl ReportTime {
    fn of(count: TimeCount) -> Self {
        let Left { left, delivered, failed, replies, opt_outs } = count.texts;
        Self { bucket: count.bucket, text: count.variant, left, delivered, failed, replies, opt_outs }
    }
}

impl ReportState {
    fn of(count: StateCount) -> Self {
        let Left { left, delivered, failed, replies, opt_outs } = count.texts;
        Self { state: count.state, left, delivered, failed, replies, opt_outs }
    }
}
