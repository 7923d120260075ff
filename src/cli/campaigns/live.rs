//! `trunkline campaigns watch`: a campaign on its way, a line whenever something has changed.

use std::time::Duration;

use anyhow::{Result, ensure};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use clap::Args;
use serde::Serialize;
use trunkline_jobs::campaigns::flight::{self, Progress, Tower};
use trunkline_jobs::campaigns::{self, CampaignRow, Outcome, State};
use trunkline_platform::clock::Clock;
use trunkline_platform::db::Db;

use super::look::found;
use crate::cli::{database, output};
use crate::config::Config;

/// So many who wait are foreseen in an instant.
const QUICK: i64 = 20_000;
const SHORTEST: Duration = Duration::from_secs(1);

#[derive(Args, Debug)]
pub(super) struct Watch {
    id: i64,
    /// The time between two looks, from 1s
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = crate::config::parse_duration)]
    every: Duration,
    /// Print JSON objects, one a line
    #[arg(long)]
    json: bool,
}

/// How a campaign is doing.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Live {
    state: State,
    recipients: i64,
    left: i64,
    /// Texts that left in the last minute.
    pub(super) last_minute: i64,
    pub(super) waiting: i64,
    held: Vec<Held>,
    /// Texts that failed, were not delivered or not taken, by the code or the reason.
    failed: Vec<Failed>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Held {
    reason: String,
    count: i64,
    next_at: Option<DateTime<Utc>>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Failed {
    code: String,
    count: i64,
}

impl Watch {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        ensure!(self.every >= SHORTEST, "look every second at most: --every 1s");
        let db = database::open(config).await?;
        let clock = Clock::system();
        let mut last = None;
        loop {
            let now = clock.now();
            let campaign = found(&db, self.id).await?;
            let outcomes = campaigns::outcomes(&db, self.id).await?;
            let live = Live::of(&db, &campaign, &outcomes, now).await?;
            let ended = matches!(live.state, State::Completed | State::Cancelled);
            if last.as_ref() != Some(&live) {
                output::print(&if self.json {
                    serde_json::to_string(&live)? + "\n"
                } else {
                    live.line(&campaign, now)
                })?;
                last = Some(live);
            }
            if ended {
                return Ok(());
            }
            tokio::time::sleep(self.every).await;
        }
    }
}

impl Live {
    pub(super) async fn of(
        db: &Db,
        campaign: &CampaignRow,
        outcomes: &[Outcome],
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let last_minute = campaigns::left_since(db, campaign.id, now - TimeDelta::minutes(1)).await?;
        Ok(Self::counted(campaign, outcomes, last_minute))
    }

    fn counted(campaign: &CampaignRow, outcomes: &[Outcome], last_minute: i64) -> Self {
        let of = |states: &[&str]| -> Vec<&Outcome> {
            outcomes.iter().filter(|row| states.contains(&row.state.as_str())).collect()
        };
        let sum = |rows: &[&Outcome]| rows.iter().map(|row| row.count).sum();
        let reason = |row: &Outcome| row.reason.clone().unwrap_or_else(|| "none".to_owned());
        let waiting = of(&["waiting"]);
        let held = waiting.iter().filter(|row| row.reason.is_some());
        // Whom the gate refused has no text; their reasons are not codes.
        let failed = of(&["failed", "undelivered"]);
        Self {
            state: campaign.state,
            recipients: campaign.recipients,
            left: sum(&of(&[
                "intended",
                "accepted",
                "unknown",
                "unresolved",
                "sent",
                "delivered",
                "failed",
                "undelivered",
            ])),
            last_minute,
            waiting: sum(&waiting),
            held: held
                .map(|row| Held { reason: reason(row), count: row.count, next_at: row.next_at })
                .collect(),
            failed: failed.iter().map(|row| Failed { code: reason(row), count: row.count }).collect(),
        }
    }

    fn line(&self, campaign: &CampaignRow, now: DateTime<Utc>) -> String {
        let mut parts = vec![
            format!("{} {}", now.to_rfc3339_opts(SecondsFormat::Secs, true), self.state),
            format!("{} of {} left", self.left, self.recipients),
            format!("{} in the last minute", self.last_minute),
            format!("{} wait", self.waiting),
        ];
        let until = |at: Option<DateTime<Utc>>| {
            at.map(|at| format!(" until {}", at.to_rfc3339_opts(SecondsFormat::Secs, true)))
                .unwrap_or_default()
        };
        for held in &self.held {
            parts.push(format!("{} for {}{}", held.count, held.reason, until(held.next_at)));
        }
        if let Some(what) = &campaign.waits_for {
            parts.push(format!("all for {what}{}", until(campaign.next_at)));
        }
        parts.extend(self.failed.iter().map(|failed| format!("{} failed by {}", failed.count, failed.code)));
        parts.extend(campaign.reason.as_ref().map(|reason| crate::mask::phones_in(reason)));
        parts.join(", ") + "\n"
    }
}

/// How a campaign fares beside its plan, and when it ends. None: it does not run, or began without one, or so many wait that it would
/// take a while and nobody insists.
pub(super) async fn progress(
    db: &Db,
    config: &Config,
    campaign: &CampaignRow,
    waiting: i64,
    insists: bool,
    now: DateTime<Utc>,
) -> Result<Option<Progress>> {
    let goes_on = matches!(campaign.state, State::Running | State::Paused);
    if !goes_on || (waiting > QUICK && !insists) {
        return Ok(None);
    }
    let Some(kept) = flight::kept(db, campaign.id).await? else { return Ok(None) };
    let holidays = config.campaigns.holidays()?;
    let tower = Tower { db, holidays: &holidays, limit: config.openphone.rate_limit() };
    let present = tower.foresee(campaign, now, now, None).await?;
    Ok(Some(kept.beside(&present)))
}

/// On one line.
pub(super) fn told(progress: &Progress) -> String {
    let Progress { left, planned, behind_seconds, .. } = progress;
    let by = output::roughly(TimeDelta::seconds(behind_seconds.abs()));
    let fares = match behind_seconds {
        0 => "as planned".to_owned(),
        1.. => format!("{by} behind"),
        _ => format!("{by} ahead"),
    };
    format!("{planned} texts by now; {left} have left: {fares}")
}
