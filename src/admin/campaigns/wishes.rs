//! What a campaign shall do, as somebody sets it.

use poem_openapi::Object;
use poem_openapi::types::MaybeUndefined;
use trunkline_jobs::campaigns::experiment::WinnerRule;
use trunkline_jobs::campaigns::hours::HoursError;
use trunkline_jobs::campaigns::{self as jobs, Audience, Hours, Plan};
use trunkline_jobs::contacts::number::Country;
use trunkline_jobs::contacts::people::Label;
use trunkline_jobs::contacts::segments;
use trunkline_platform::db::Db;

use super::super::granted::{Granted, Operate};
use super::super::people::{filter, numbers};
use super::super::problem::Problem;
use super::plan::{Missing, WinnersRule};

/// To whom a campaign shall go: exactly one of these
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub(super) struct AudienceToText {
    /// Everybody on record when it starts
    #[oai(default)]
    everyone: bool,
    /// Those who have this tag when it starts
    tag: Option<String>,
    /// Those whom the segment of this name takes when it starts
    segment: Option<String>,
    /// Those whom this filter takes when it starts: `tag:vip state:TX -flag:test`
    filter: Option<String>,
    /// These numbers
    #[oai(validator(min_items = 1, max_items = 20000))]
    numbers: Option<Vec<String>>,
}

/// A text to send
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub(super) struct TextToSend {
    /// Letters, digits, - and _
    #[oai(default = "first_name")]
    name: String,
    /// `Hi {{first_name|there}}, … Reply STOP to opt out`
    words: String,
    #[oai(default = "one")]
    weight: u32,
}

fn first_name() -> String {
    "A".to_owned()
}

fn one() -> u32 {
    1
}

/// What a plan shall say. What is absent stays, or is as usual in a new one
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub(super) struct PlanToSet {
    /// One, or two to five that are tried against each other
    #[oai(validator(min_items = 1, max_items = 5))]
    texts: Option<Vec<TextToSend>>,
    /// Our numbers it is sent from, by the provider's ids (PN…)
    #[oai(validator(min_items = 1, max_items = 50))]
    senders: Option<Vec<String>>,
    late_joiners: Option<bool>,
    #[oai(validator(maximum(value = "90")))]
    holdout_percent: Option<u32>,
    missing: Option<Missing>,
    /// `09:00-20:00`, or `mon-fri 09:00-20:00, sat 10:00-18:00`
    hours: Option<String>,
    skip_holidays: Option<bool>,
    /// `5/m`, `600/h`; null: as many as the provider takes
    rate: MaybeUndefined<String>,
    #[oai(validator(maximum(value = "365")))]
    duplicate_days: Option<u32>,
    #[oai(validator(minimum(value = "1"), maximum(value = "10000")))]
    daily_cap: Option<u32>,
    /// null: no end
    budget_segments: MaybeUndefined<u32>,
    #[oai(validator(minimum(value = "1"), maximum(value = "720")))]
    counts_for_hours: Option<u32>,
    /// null: never
    winner: MaybeUndefined<WinnersRule>,
    dry_run: Option<bool>,
}

/// Wishes whose words were understood.
pub(super) struct Wishes {
    told: PlanToSet,
    hours: Option<Hours>,
}

impl AudienceToText {
    /// The audience, with the numbers of a list.
    pub(super) async fn read(
        self,
        by: &Granted<Operate>,
        db: &Db,
        country: Country,
    ) -> Result<(Audience, Vec<String>), Problem> {
        let no_list = Vec::new();
        match self {
            Self { everyone: true, tag: None, segment: None, filter: None, numbers: None } => {
                Ok((Audience::Everyone, no_list))
            }
            Self { everyone: false, tag: Some(tag), segment: None, filter: None, numbers: None } => {
                Ok((Audience::Tag(Label::tag(&tag)?.word().to_owned()), no_list))
            }
            Self { everyone: false, tag: None, segment: Some(name), filter: None, numbers: None } => {
                let segment = segments::show(db, &name).await?;
                Ok((Audience::Segment(segment.filter()?), no_list))
            }
            Self { everyone: false, tag: None, segment: None, filter: Some(told), numbers: None } => {
                Ok((Audience::Segment(filter(by, &told)?), no_list))
            }
            Self { everyone: false, tag: None, segment: None, filter: None, numbers: Some(told) } => {
                Ok((Audience::List, numbers(&told, country)?))
            }
            _ => Err(Problem::invalid(
                "to whom? Say one of everyone, tag, segment, filter and numbers in `audience`",
            )),
        }
    }
}

impl PlanToSet {
    /// # Errors
    /// When its hours are none. The rest is checked with the plan.
    pub(super) fn read(self) -> Result<Wishes, Problem> {
        let hours = self.hours.as_deref().map(str::parse).transpose();
        let hours = hours.map_err(|error: HoursError| Problem::invalid(error.to_string()))?;
        Ok(Wishes { told: self, hours })
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(
            self,
            Self {
                texts: None,
                senders: None,
                late_joiners: None,
                holdout_percent: None,
                missing: None,
                hours: None,
                skip_holidays: None,
                rate: MaybeUndefined::Undefined,
                duplicate_days: None,
                daily_cap: None,
                budget_segments: MaybeUndefined::Undefined,
                counts_for_hours: None,
                winner: MaybeUndefined::Undefined,
                dry_run: None,
            }
        )
    }
}

impl Wishes {
    pub(super) fn apply(self, plan: &mut Plan) {
        let Self { told, hours } = self;
        let text = |text: TextToSend| jobs::Variant {
            weight: text.weight,
            ..jobs::Variant::new(text.name, text.words)
        };
        set(&mut plan.variants, told.texts.map(|texts| texts.into_iter().map(text).collect()));
        set(&mut plan.senders, told.senders);
        set(&mut plan.late_joiners, told.late_joiners);
        set(&mut plan.holdout_percent, told.holdout_percent);
        set(&mut plan.missing, told.missing.map(jobs::Missing::from));
        set(&mut plan.hours, hours);
        set(&mut plan.skip_holidays, told.skip_holidays);
        told.rate.update_to(&mut plan.rate);
        set(&mut plan.duplicate_days, told.duplicate_days);
        set(&mut plan.daily_cap, told.daily_cap);
        told.budget_segments.update_to(&mut plan.budget_segments);
        set(&mut plan.counts_for_hours, told.counts_for_hours);
        told.winner.map_value(WinnerRule::from).update_to(&mut plan.winner);
        set(&mut plan.dry_run, told.dry_run);
    }
}

fn set<T>(place: &mut T, wish: Option<T>) {
    if let Some(wish) = wish {
        *place = wish;
    }
}
