//! What a campaign is to do, as it is told.

use poem_openapi::{Enum, Object};
use trunkline_jobs::campaigns::experiment::{self, WinnerRule};
use trunkline_jobs::campaigns::{self as jobs, Audience, Plan, sms};

use super::super::granted::View;

/// What becomes of somebody whose record lacks a variable that has no default
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename = "MissingVariable", remote = "jobs::Missing", rename_all = "snake_case")]
pub(super) enum Missing {
    /// Gets no text
    Skip,
    /// Gets the text without it
    Blank,
    /// The campaign is held until somebody has looked
    Hold,
}

/// What makes a text the better one
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename = "WinnerMetric", remote = "experiment::Metric", rename_all = "snake_case")]
enum Metric {
    /// More people answer
    Replies,
    /// Fewer people ask to stop
    OptOuts,
}

/// When a text is promoted by itself
#[derive(Clone, Copy, Debug, Object)]
#[oai(deny_unknown_fields)]
pub(super) struct WinnersRule {
    metric: Metric,
    /// The chance in percent, over the whole campaign, of promoting a text that is no better
    #[oai(default = "usual_alpha", validator(minimum(value = "1"), maximum(value = "20")))]
    alpha_percent: u32,
    /// So many texts of each must have left before
    #[oai(default = "usual_minimum", validator(minimum(value = "1"), maximum(value = "100000")))]
    minimum: u32,
}

fn usual_alpha() -> u32 {
    WinnerRule::default().alpha_percent
}

fn usual_minimum() -> u32 {
    WinnerRule::default().minimum
}

/// What a campaign is to do
#[derive(Debug, Object)]
pub(super) struct CampaignPlan {
    audience: CampaignAudience,
    /// Whoever comes to be one of them while it runs joins
    late_joiners: bool,
    /// Our numbers it is sent from, by the provider's ids
    senders: Vec<String>,
    texts: Vec<CampaignText>,
    /// So many percent of the people get nothing, to compare with
    holdout_percent: u32,
    missing: Missing,
    /// When people may be texted, by their own clocks
    hours: String,
    /// Nothing goes on days of the holidays file
    skip_holidays: bool,
    /// Texts in a period; absent: as many as the provider takes
    rate: Option<String>,
    /// Nobody gets two campaigns' texts within so many days
    duplicate_days: u32,
    /// Texts of each of our numbers in any 24 hours
    daily_cap: u32,
    /// Segments it may use up
    budget_segments: Option<u32>,
    /// So many hours after a text what its recipient answers belongs to it
    counts_for_hours: u32,
    /// When a text is promoted by itself; absent: never
    winner: Option<WinnersRule>,
    /// Everything is decided and nothing is sent
    dry_run: bool,
}

/// To whom a campaign goes
#[derive(Debug, Object)]
struct CampaignAudience {
    /// `everyone`, `tag`, `filter` or `list`
    kind: String,
    #[oai(skip_serializing_if_is_none)]
    tag: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    filter: Option<String>,
}

/// One of the texts of a campaign
#[derive(Debug, Object)]
struct CampaignText {
    name: String,
    /// With variables: `Hi {{first_name|there}}`
    words: String,
    /// Its share among the weights of all
    weight: u32,
    /// It is sent no more
    left_out: bool,
    /// The character that makes it UCS-2: 70 characters a segment instead of 160
    #[oai(skip_serializing_if_is_none)]
    ucs2_by: Option<String>,
}

impl CampaignPlan {
    pub(super) fn of(plan: &Plan) -> Self {
        let text = |variant: &jobs::Variant| CampaignText {
            name: variant.name.clone(),
            words: variant.template.clone(),
            weight: variant.weight,
            left_out: plan.without.contains(&variant.name),
            ucs2_by: sms::segments(&variant.template).forced_by.map(|(character, _)| character.to_string()),
        };
        Self {
            audience: CampaignAudience::of(&plan.audience),
            late_joiners: plan.late_joiners,
            senders: plan.senders.clone(),
            texts: plan.variants.iter().map(text).collect(),
            holdout_percent: plan.holdout_percent,
            missing: plan.missing.into(),
            hours: plan.hours.to_string(),
            skip_holidays: plan.skip_holidays,
            rate: plan.rate.clone(),
            duplicate_days: plan.duplicate_days,
            daily_cap: plan.daily_cap,
            budget_segments: plan.budget_segments,
            counts_for_hours: plan.counts_for_hours,
            winner: plan.winner.map(WinnersRule::from),
            dry_run: plan.dry_run,
        }
    }
}

impl CampaignAudience {
    fn of(audience: &Audience) -> Self {
        let of = |kind: &str| Self { kind: kind.to_owned(), tag: None, filter: None };
        match audience {
            Audience::Everyone => of("everyone"),
            Audience::Tag(tag) => Self { tag: Some(tag.clone()), ..of("tag") },
            Audience::Segment(filter) => {
                let filter = View::of(false).filter(&filter.to_string());
                Self { filter: Some(filter), ..of("filter") }
            }
            Audience::List => of("list"),
        }
    }
}

impl From<WinnersRule> for WinnerRule {
    fn from(rule: WinnersRule) -> Self {
        Self { metric: rule.metric.into(), alpha_percent: rule.alpha_percent, minimum: rule.minimum }
    }
}

impl From<WinnerRule> for WinnersRule {
    fn from(rule: WinnerRule) -> Self {
        Self { metric: rule.metric.into(), alpha_percent: rule.alpha_percent, minimum: rule.minimum }
    }
}
