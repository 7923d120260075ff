//! Promoting by itself: campaigns whose plan has a rule are looked at once a minute.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use trunkline_platform::audit::Actor;
use trunkline_platform::crash_point;
use trunkline_platform::db::{DbError, Session};
use trunkline_platform::job::{Context, Done, Failure, Job, Queue};

use super::rule::{Standing, pairs, standing};
use super::{arms, promote};
use crate::campaigns::operate::OperateError;
use crate::campaigns::table::{self, CampaignRow};
use crate::{SENDS, Services};

/// Campaigns of one page.
const PAGE: u32 = 50;
/// Pages of one run.
const MOST_PAGES: usize = 20;

trunkline_platform::statements! {
    UNDECIDED_CAMPAIGNS = same {
        "SELECT id FROM campaigns WHERE state IN ('running', 'paused') AND winner IS NULL AND id > $1 ORDER BY id LIMIT $2"
    }
}

#[derive(sqlx::FromRow)]
struct Id {
    id: i64,
}

/// Promotes the texts that have won.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct DecideWinners {}

impl Job for DecideWinners {
    type Services = Services;
    const NAME: &'static str = "campaigns.decide";
    const QUEUE: Queue = SENDS;

    fn unique_key(&self) -> Option<String> {
        Some("all".to_owned())
    }

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        let mut after = 0;
        for _ in 0..MOST_PAGES {
            let mut session = cx.services().db.read().await?;
            let page: Vec<Id> = UNDECIDED_CAMPAIGNS.bind(after).bind(PAGE).all(&mut session).await?;
            drop(session);
            for Id { id } in &page {
                decide(cx, *id).await?;
            }
            match page.last() {
                Some(last) if page.len() == PAGE as usize => after = last.id,
                _ => break,
            }
        }
        Ok(Done::new())
    }
}

/// Looks at one campaign. It is looked at again under its lock, so that of two who decide one does, and nobody overrules a person.
async fn decide(cx: &Context<Services>, id: i64) -> Result<(), Failure> {
    let mut session = cx.services().db.read().await?;
    let row: Option<CampaignRow> = table::SHOW_CAMPAIGN.bind(id).optional(&mut session).await?;
    let Some((row, rule)) = row.and_then(|row| row.plan.0.winner.map(|rule| (row, rule))) else {
        return Ok(());
    };
    let arms = arms(&mut session, &row).await?;
    drop(session);
    let standing = standing(&arms, &rule);
    if let Standing::Guarded { .. } = &standing {
        tracing::warn!(campaign = id, standing = %standing, "a text has won and is not promoted");
    }
    let Standing::Winner { text } = &standing else { return Ok(()) };
    let evidence = json!({ "rule": rule, "arms": arms, "comparisons": pairs(&arms, &rule) });
    let actor = Actor { name: "program".to_owned(), reason: Some(standing.to_string()) };
    let mut tx = cx.services().db.write().await?;
    if !still_open(&mut tx, id).await? {
        return Ok(());
    }
    match promote(&mut tx, id, text, &evidence, &actor, cx.now()).await {
        Ok(_) => {}
        // It came to its end since.
        Err(OperateError::NotUnderWay(_)) => return Ok(()),
        Err(error) => return Err(anyhow::Error::from(error).into()),
    }
    crash_point!("winner.before_commit");
    tx.commit().await?;
    crash_point!("winner.after_commit");
    cx.services().campaigns.metrics.promoted.inc();
    tracing::info!(campaign = id, text, "a text has won, and those who wait get it");
    Ok(())
}

async fn still_open(tx: &mut Session, id: i64) -> Result<bool, DbError> {
    Ok(table::lock(tx, id).await?.is_some_and(|row| row.winner.is_none()))
}
