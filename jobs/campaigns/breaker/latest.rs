//! The latest texts of a campaign or of one of our numbers, as the breaker counts them.

use chrono::{DateTime, Utc};
use trunkline_platform::db::{DbError, Session};

use super::{BreakerSettings, LATEST, window_start};

/// Texts with when their recipient asked to stop. Who opted out at the carrier or by an import did not do so at this text.
const TEXTS: &str = "SELECT s.id, s.variant, s.state, s.error_code, s.intended_at, o.at AS closed_at
    FROM sends AS s LEFT JOIN opt_outs AS o
        ON o.number = s.number AND o.closed AND o.channel NOT IN ('provider', 'import')";

trunkline_platform::statements! {
    /// Those that left since the campaign was let go on last.
    LATEST_OF_CAMPAIGN = parts {
        (sql TEXTS)
        " WHERE s.campaign_id = $1 AND s.intended_at > $2
           AND s.intended_at > COALESCE((SELECT MAX(released_at) FROM breaker_trips WHERE campaign_id = $1), $2)
         ORDER BY s.intended_at DESC LIMIT $3"
    }
    /// Over all campaigns. A text is blamed once: those a campaign was stopped for do not count against its number, too.
    LATEST_OF_SENDER = parts {
        (sql TEXTS)
        " WHERE s.sender = $1 AND s.intended_at > $2
           AND s.intended_at > COALESCE((SELECT MAX(released_at) FROM breaker_trips WHERE sender = $1), $2)
           AND NOT EXISTS (SELECT 1 FROM breaker_trips AS t
                           WHERE t.campaign_id = s.campaign_id AND t.tripped_at > s.intended_at)
         ORDER BY s.intended_at DESC LIMIT $3"
    }
}

/// One of them.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct LatestText {
    pub(super) id: i64,
    pub(super) variant: Option<String>,
    pub(super) state: String,
    pub(super) error_code: Option<String>,
    pub(super) intended_at: DateTime<Utc>,
    pub(super) closed_at: Option<DateTime<Utc>>,
}

pub(super) async fn of_campaign(
    session: &mut Session,
    campaign: i64,
    settings: &BreakerSettings,
    now: DateTime<Utc>,
) -> Result<Vec<LatestText>, DbError> {
    LATEST_OF_CAMPAIGN.bind(campaign).bind(window_start(settings, now)).bind(LATEST).all(session).await
}

pub(super) async fn of_sender(
    session: &mut Session,
    sender: &str,
    settings: &BreakerSettings,
    now: DateTime<Utc>,
) -> Result<Vec<LatestText>, DbError> {
    LATEST_OF_SENDER.bind(sender).bind(window_start(settings, now)).bind(LATEST).all(session).await
}
