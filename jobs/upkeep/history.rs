//! Remove what is told of ticks, of upkeep, of reconciliation, of replays and of forwarding long ago.

use super::retention::before;
use super::run::{Chore, ChoreError, Run};

trunkline_platform::statements! {
    SIZE_TICKS = same { "SELECT COUNT(*) AS count, CAST(0 AS BIGINT) AS bytes FROM schedule_ticks WHERE tick_at < $1" }
    DELETE_TICKS = same {
        "DELETE FROM schedule_ticks WHERE (schedule, tick_at, source) IN
             (SELECT schedule, tick_at, source FROM schedule_ticks WHERE tick_at < $1 ORDER BY tick_at LIMIT $2)
         RETURNING CAST(0 AS BIGINT) AS bytes"
    }
    SIZE_RUNS = same { "SELECT COUNT(*) AS count, CAST(0 AS BIGINT) AS bytes FROM upkeep_runs WHERE ended_at < $1" }
    DELETE_RUNS = same {
        "DELETE FROM upkeep_runs WHERE id IN
             (SELECT id FROM upkeep_runs WHERE ended_at < $1 ORDER BY id LIMIT $2)
         RETURNING CAST(0 AS BIGINT) AS bytes"
    }
    SIZE_RECONCILED = same { "SELECT COUNT(*) AS count, CAST(0 AS BIGINT) AS bytes FROM reconcile_runs WHERE ended_at < $1" }
    DELETE_RECONCILED = same {
        "DELETE FROM reconcile_runs WHERE id IN
             (SELECT id FROM reconcile_runs WHERE ended_at < $1 ORDER BY ended_at LIMIT $2)
         RETURNING CAST(0 AS BIGINT) AS bytes"
    }
    SIZE_REPLAYED = same { "SELECT COUNT(*) AS count, CAST(0 AS BIGINT) AS bytes FROM event_replays WHERE ended_at < $1" }
    DELETE_REPLAYED = same {
        "DELETE FROM event_replays WHERE id IN
             (SELECT id FROM event_replays WHERE ended_at < $1 ORDER BY ended_at LIMIT $2)
         RETURNING CAST(0 AS BIGINT) AS bytes"
    }
    SIZE_FORWARDS = same { "SELECT COUNT(*) AS count, CAST(0 AS BIGINT) AS bytes FROM forwards WHERE created_at < $1" }
    DELETE_FORWARDS = same {
        "DELETE FROM forwards WHERE (endpoint_id, event_id) IN
             (SELECT endpoint_id, event_id FROM forwards WHERE created_at < $1 ORDER BY created_at LIMIT $2)
         RETURNING CAST(0 AS BIGINT) AS bytes"
    }
    SIZE_ENDPOINTS = same { "SELECT COUNT(*) AS count, CAST(0 AS BIGINT) AS bytes FROM dev_endpoints WHERE ended_at < $1" }
    DELETE_ENDPOINTS = same {
        "DELETE FROM dev_endpoints WHERE id IN
             (SELECT id FROM dev_endpoints WHERE ended_at < $1 ORDER BY ended_at LIMIT $2)
         RETURNING CAST(0 AS BIGINT) AS bytes"
    }
    SIZE_TUNNELS = same { "SELECT COUNT(*) AS count, CAST(0 AS BIGINT) AS bytes FROM tunnels WHERE expires_at < $1" }
    DELETE_TUNNELS = same {
        "DELETE FROM tunnels WHERE id IN
             (SELECT id FROM tunnels WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)
         RETURNING CAST(0 AS BIGINT) AS bytes"
    }
}

/// Removes old entries of the histories of schedules, of upkeep, of reconciliation, of replays and of forwarding.
#[derive(Debug)]
pub struct RemoveHistory;

impl Chore for RemoveHistory {
    const NAME: &'static str = "upkeep.history";
    const ABOUT: &'static str = "Removes old entries of the histories of schedules, of upkeep, of reconciliation, of replays and of forwarding.";

    async fn work(run: &mut Run<'_>) -> Result<(), ChoreError> {
        let Some(kept) = run.upkeep.retention.history else { return Ok(()) };
        let newest = before(run.now(), kept);
        run.clear(&SIZE_TICKS, &DELETE_TICKS, newest).await?;
        run.clear(&SIZE_FORWARDS, &DELETE_FORWARDS, newest).await?;
        run.clear(&SIZE_ENDPOINTS, &DELETE_ENDPOINTS, newest).await?;
        run.clear(&SIZE_TUNNELS, &DELETE_TUNNELS, newest).await?;
        run.clear(&SIZE_RECONCILED, &DELETE_RECONCILED, newest).await?;
        run.clear(&SIZE_REPLAYED, &DELETE_REPLAYED, newest).await?;
        run.clear(&SIZE_RUNS, &DELETE_RUNS, newest).await
    }
}
