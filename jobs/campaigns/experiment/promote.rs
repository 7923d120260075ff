//! Promoting a text: those who wait get it, whatever was drawn for them.
//!
//! The campaign's row names the winner, and the gate reads that row in the transaction that commits to texts. So a promotion is one
//! row, whether a hundred wait or a million, and it holds from its commit on; who has a text, or may have one, is not asked again.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use trunkline_platform::audit::Actor;
use trunkline_platform::db::{Db, DbError, Session};

use super::arms::arms;
use super::rule::{Standing, pairs, standing};
use crate::campaigns::operate::{OperateError, note};
use crate::campaigns::table::CampaignRow;
use crate::campaigns::{State, table};

trunkline_platform::statements! {
    PROMOTE = same { "UPDATE campaigns SET winner = $2, promoted_at = $3 WHERE id = $1" }
}

/// How the texts of a campaign stand, as a promotion by hand keeps it in the audit.
pub async fn evidence(db: &Db, campaign: &CampaignRow) -> Result<(Standing, Value), DbError> {
    let rule = campaign.plan.0.winner.unwrap_or_default();
    let arms = arms(&mut db.read().await?, campaign).await?;
    let standing = standing(&arms, &rule);
    let evidence = json!({ "arms": arms, "comparisons": pairs(&arms, &rule), "standing": standing });
    Ok((standing, evidence))
}

/// Promotes a text of a campaign that is under way, in the caller's transaction and with an entry in the audit. False: it was
/// promoted before. `evidence` goes into the audit.
///
/// # Errors
/// When there is no such text, nothing to choose from, or the campaign is not under way.
pub async fn promote(
    tx: &mut Session,
    id: i64,
    text: &str,
    evidence: &Value,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<bool, OperateError> {
    let row = table::lock(tx, id).await?.ok_or(OperateError::Unknown(id))?;
    let plan = &row.plan.0;
    let sent =
        || plan.variants.iter().map(|variant| &variant.name).filter(|name| !plan.without.contains(name));
    if !sent().any(|name| name == text) {
        let texts: Vec<&str> = sent().map(String::as_str).collect();
        return Err(OperateError::NoSuchText { text: text.to_owned(), texts: texts.join(", ") });
    }
    if plan.variants.len() < 2 {
        return Err(OperateError::OneText);
    }
    if !matches!(row.state, State::Running | State::Paused) {
        return Err(OperateError::NotUnderWay(row.state));
    }
    if row.winner.as_deref() == Some(text) {
        return Ok(false);
    }
    // What was tried ended with the first promotion.
    PROMOTE.bind(id).bind(text).bind(row.promoted_at.unwrap_or(now)).execute(tx).await?;
    let after = json!({ "winner": text, "evidence": evidence });
    note(tx, id, "campaign.promote", Some(json!({ "winner": row.winner })), Some(after), actor, now).await?;
    Ok(true)
}
