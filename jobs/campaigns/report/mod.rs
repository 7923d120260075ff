//! What a campaign came to: who was planned, held or refused, what became of every text, what people made of it. For each text, each
//! hour or day, and each state.

mod counts;
mod export;

use std::collections::BTreeMap;

use serde::Serialize;
use trunkline_platform::db::{Db, DbError, Stmt};

use super::experiment::sequential::{Interval, share};
use super::experiment::{Arm, Pair, Standing, arms, pairs, standing};
use super::table::CampaignRow;
use super::variants::HOLDOUT;
use counts::{Counted, Recipients, Texts};
pub use counts::{HoldoutCount, Left, StateCount, TimeCount};
pub use export::{ExportedRow, Part, export, note_export};

pub(super) static ALL_STATEMENTS: &[&[&Stmt]] = &[counts::STATEMENTS, export::STATEMENTS];

/// With so many percent of confidence rates are told, at all times at once.
const ALPHA: f64 = 0.05;

/// What a campaign came to.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub campaign: i64,
    pub name: String,
    pub state: super::State,
    /// The text that was promoted, and all those who waited then were given.
    pub winner: Option<String>,
    /// One for each text.
    pub texts: Vec<Line>,
    pub total: Line,
    /// Those who got nothing, where some were held out.
    pub holdout: Option<HoldoutCount>,
    /// How the texts fared while they were tried.
    pub arms: Vec<Arm>,
    pub pairs: Vec<Pair>,
    #[serde(flatten)]
    pub standing: Standing,
    /// `hour` or `day`, of UTC.
    pub bucket: &'static str,
    pub by_time: Vec<TimeCount>,
    /// By the area code of the recipients' numbers.
    pub by_state: Vec<StateCount>,
}

/// What one text came to, or all together.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Line {
    pub text: String,
    /// Recipients this text was drawn for.
    pub planned: i64,
    /// By what they wait for.
    pub waiting: BTreeMap<String, i64>,
    /// Got nothing, by the gate's reason or the provider's.
    pub refused: BTreeMap<String, i64>,
    /// Left, or may have left. After a promotion that is more of the winner than was drawn.
    pub left: i64,
    /// The provider has it.
    pub accepted: i64,
    pub delivered: i64,
    /// By the carrier's code.
    pub failed: BTreeMap<String, i64>,
    /// Nobody knows yet, or a person must say.
    pub unknown: i64,
    pub replies: i64,
    pub opt_outs: i64,
    pub delivered_share: Option<Share>,
    pub reply_share: Option<Share>,
    pub opt_out_share: Option<Share>,
}

/// A share of the texts that left.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Share {
    pub share: f64,
    /// Where it truly lies, with 95 percent of confidence at all times at once.
    #[serde(flatten)]
    pub interval: Interval,
}

/// Counts what a campaign came to, from its rows.
pub async fn report(db: &Db, campaign: &CampaignRow) -> Result<Report, DbError> {
    let rule = campaign.plan.0.winner.unwrap_or_default();
    let mut session = db.read().await?;
    let recipients = counts::recipients(&mut session, campaign.id).await?;
    let texts = counts::texts(&mut session, campaign.id).await?;
    let arms = arms(&mut session, campaign).await?;
    let (bucket, by_time) = counts::by_time(&mut session, campaign).await?;
    let by_state = counts::by_state(&mut session, campaign.id).await?;
    let holdout = match campaign.plan.0.holdout_percent {
        0 => None,
        _ => Some(counts::holdout(&mut session, campaign).await?),
    };
    let names = campaign.plan.0.variants.iter().map(|variant| variant.name.as_str());
    let lines: Vec<Line> = names.map(|name| Line::of(name, &recipients, &texts, |of| of == name)).collect();
    Ok(Report {
        campaign: campaign.id,
        name: campaign.name.clone(),
        state: campaign.state,
        winner: campaign.winner.clone(),
        texts: lines,
        total: Line::of("all", &recipients, &texts, |of| of != HOLDOUT),
        holdout,
        pairs: pairs(&arms, &rule),
        standing: standing(&arms, &rule),
        arms,
        bucket,
        by_time,
        by_state,
    })
}

impl Line {
    fn of(text: &str, recipients: &[Recipients], texts: &[Texts], is_it: impl Fn(&str) -> bool) -> Self {
        let mut line = Self { text: text.to_owned(), ..Self::default() };
        for row in recipients.iter().filter(|row| is_it(&row.variant)) {
            line.planned += row.count;
            let reason = || row.reason.clone().unwrap_or_else(|| "turn".to_owned());
            match row.state.as_str() {
                "waiting" => *line.waiting.entry(reason()).or_default() += row.count,
                "refused" => *line.refused.entry(reason()).or_default() += row.count,
                _ => {}
            }
        }
        for row in texts.iter().filter(|row| row.variant.as_deref().is_some_and(&is_it)) {
            line.add(row);
        }
        let share = |hits: i64| Share::of(hits, line.left);
        let shares = (share(line.delivered), share(line.replies), share(line.opt_outs));
        (line.delivered_share, line.reply_share, line.opt_out_share) = shares;
        line
    }

    fn add(&mut self, row: &Texts) {
        let reason = || row.reason.clone().unwrap_or_else(|| "no_reason".to_owned());
        let counted = Counted::of(&row.state);
        if counted == Counted::Refused {
            *self.refused.entry(reason()).or_default() += row.count;
            return;
        }
        self.left += row.count;
        self.replies += row.replies;
        self.opt_outs += row.opt_outs;
        if counted == Counted::Unknown {
            self.unknown += row.count;
            return;
        }
        self.accepted += row.count;
        match counted {
            Counted::Delivered => self.delivered += row.count,
            Counted::Failed => *self.failed.entry(reason()).or_default() += row.count,
            _ => {}
        }
    }
}

impl Share {
    /// None: there is nothing yet to have a share of.
    pub fn of(hits: i64, of: i64) -> Option<Self> {
        (of > 0).then(|| Self {
            share: hits as f64 / of as f64,
            interval: share(hits.unsigned_abs(), of.unsigned_abs(), ALPHA),
        })
    }
}
