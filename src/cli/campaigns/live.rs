//! `trunkline campaigns watch`: a campaign on its way, a line whenever something has changed.

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use trunkline_jobs::campaigns::flight::{Progress, QUICK, Tower};
use trunkline_jobs::campaigns::{self, CampaignRow, Live, State};
use trunkline_platform::clock::Clock;
use trunkline_platform::db::Db;

use super::look::found;
use crate::cli::watch::Every;
use crate::cli::{database, output};
use crate::config::Config;

#[derive(Args, Debug)]
pub(super) struct Watch {
    id: i64,
    #[command(flatten)]
    every: Every,
    /// Print JSON objects, one a line
    #[arg(long)]
    json: bool,
}

impl Watch {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let every = self.every.time()?;
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
                    line(&live, &campaign, now)
                })?;
                last = Some(live);
            }
            if ended {
                return Ok(());
            }
            tokio::time::sleep(every).await;
        }
    }
}

fn line(live: &Live, campaign: &CampaignRow, now: DateTime<Utc>) -> String {
    let mut parts = vec![
        format!("{} {}", output::moment(now), live.state),
        format!("{} of {} left", live.left, live.recipients),
        format!("{} in the last minute", live.last_minute),
        format!("{} wait", live.waiting),
    ];
    let until =
        |at: Option<DateTime<Utc>>| at.map(|at| format!(" until {}", output::moment(at))).unwrap_or_default();
    for held in &live.held {
        parts.push(format!("{} for {}{}", held.count, held.reason, until(held.next_at)));
    }
    if let Some(what) = &campaign.waits_for {
        parts.push(format!("all for {what}{}", until(campaign.next_at)));
    }
    parts.extend(live.failed.iter().map(|failed| format!("{} failed by {}", failed.count, failed.code)));
    parts.extend(campaign.reason.as_ref().map(|reason| crate::mask::phones_in(reason)));
    parts.join(", ") + "\n"
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
    if waiting > QUICK && !insists {
        return Ok(None);
    }
    let holidays = config.campaigns.holidays()?;
    let tower = Tower { db, holidays: &holidays, limit: config.openphone.rate_limit() };
    Ok(tower.progress(campaign, now).await?)
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
