//! What is counted of the texts that are tried.

use trunkline_platform::db::{DbError, Session};

use super::rule::Arm;
use crate::campaigns::table::CampaignRow;

trunkline_platform::statements! {
    /// Only what left while they were tried: after it everybody gets one text, and hours differ.
    COUNT_ARMS = same {
        "SELECT s.variant, COUNT(*) AS texts, COUNT(s.replied_at) AS replies, COUNT(s.opted_out_at) AS opt_outs
         FROM campaigns AS c JOIN sends AS s ON s.campaign_id = c.id
         WHERE c.id = $1 AND s.state NOT IN ('waiting', 'refused') AND (c.promoted_at IS NULL OR s.intended_at < c.promoted_at)
         GROUP BY s.variant"
    }
}

#[derive(sqlx::FromRow)]
struct Count {
    variant: Option<String>,
    texts: i64,
    replies: i64,
    opt_outs: i64,
}

/// How each text of a campaign fared while they were tried, in the order of the plan.
pub async fn arms(session: &mut Session, campaign: &CampaignRow) -> Result<Vec<Arm>, DbError> {
    let counts: Vec<Count> = COUNT_ARMS.bind(campaign.id).all(session).await?;
    let arms = campaign.plan.0.variants.iter().map(|variant| {
        let count = counts.iter().find(|count| count.variant.as_deref() == Some(variant.name.as_str()));
        let counted = |of: fn(&Count) -> i64| count.map_or(0, |count| of(count).unsigned_abs());
        Arm {
            name: variant.name.clone(),
            weight: variant.weight,
            texts: counted(|count| count.texts),
            replies: counted(|count| count.replies),
            opt_outs: counted(|count| count.opt_outs),
            left_out: campaign.plan.0.without.contains(&variant.name),
        }
    });
    Ok(arms.collect())
}
