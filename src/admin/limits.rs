//! Limits: what holds the tasks of a queue or of a kind back, and who set it.

use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::types::MaybeUndefined;
use poem_openapi::{Object, OpenApi};
use trunkline_platform::task::{Limit, LimitError, LimitRow, Rate, RateError, Scope, ScopeError};

use super::etag::{self, Tagged, tagged};
use super::granted::{Granted, Operate, Read};
use super::problem::Problem;
use super::{Answer, Desk, Tag};
use crate::queues;

pub(super) struct LimitsApi(pub(super) Desk);

/// What holds tasks back
#[derive(Debug, Object)]
#[oai(rename = "Limit")]
struct LimitNow {
    /// `queue:media`, `kind:media.download`
    scope: String,
    /// Nothing of it starts
    paused: bool,
    /// Tasks at a time, in all processes together
    max_running: Option<u32>,
    /// Starts per period, such as `10/s`; of a kind, for each rate key by itself
    rate: Option<String>,
    /// How many may start at once after a rest
    burst: Option<u32>,
    /// `job` where the job declares it, else who set it; absent where there is no limit
    set_by: Option<String>,
    /// Tasks that have a place under `max_running`
    running: i64,
}

/// What shall be otherwise; what is absent stays
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
struct LimitToSet {
    paused: Option<bool>,
    /// null: as many as there are
    #[oai(validator(minimum(value = "1")))]
    max_running: MaybeUndefined<u32>,
    /// Such as `10/s`, `100/m` or `3/90s`; null: as fast as it goes
    rate: MaybeUndefined<String>,
    /// Part of a rate; as many as in one period unless it is said
    #[oai(validator(minimum(value = "1")))]
    burst: Option<u32>,
    /// Why, for the audit
    #[oai(validator(max_length = 1000))]
    reason: Option<String>,
}

#[OpenApi(tag = "Tag::Queues")]
impl LimitsApi {
    /// List limits
    #[oai(path = "/limits", method = "get", operation_id = "list_limits")]
    async fn list(&self, _by: Granted<Read>) -> Answer<Vec<LimitNow>> {
        Ok(Json(self.0.tasks.limits().await?.into_iter().map(LimitNow::of).collect()))
    }

    /// Show a limit
    ///
    /// Its `ETag` is what `If-Match` takes.
    #[oai(path = "/limits/:scope", method = "get", operation_id = "show_limit")]
    async fn show(
        &self,
        _by: Granted<Read>,
        /// `queue:media`, `kind:media.download`
        scope: Path<String>,
    ) -> Tagged<LimitNow> {
        let scope = self.known(&scope.0)?;
        self.read(&scope).await
    }

    /// Set a limit
    ///
    /// Every process obeys from its next claim on. With `If-Match` it is set only if nobody has since the `ETag` that `show_limit`
    /// told.
    #[oai(path = "/limits/:scope", method = "post", operation_id = "set_limit")]
    async fn set(
        &self,
        by: Granted<Operate>,
        /// `queue:media`, `kind:media.download`
        scope: Path<String>,
        /// The `ETag` of the limit as it was looked at
        #[oai(name = "If-Match")]
        seen: Header<Option<String>>,
        body: Json<LimitToSet>,
    ) -> Tagged<LimitNow> {
        let scope = self.known(&scope.0)?;
        let Json(LimitToSet { paused, max_running, rate, burst, reason }) = body;
        let rate = wished(rate, burst)?;
        if paused.is_none() && max_running.is_undefined() && rate.is_none() {
            return Err(Problem::invalid("nothing to set: say paused, max_running or rate"));
        }
        let change = move |limit: Limit| Limit {
            paused: paused.unwrap_or(limit.paused),
            max_running: match max_running {
                MaybeUndefined::Undefined => limit.max_running,
                MaybeUndefined::Null => None,
                MaybeUndefined::Value(most) => Some(most),
            },
            rate: rate.unwrap_or(limit.rate),
        };
        let seen = etag::seen(seen.0.as_deref());
        self.0.tasks.set_limit(&scope, seen, &by.actor(reason), change).await?;
        self.read(&scope).await
    }

    /// Clear a limit
    ///
    /// Of a queue there is none then; of a kind it is what the job declares. With `If-Match` as it is set.
    #[oai(path = "/limits/:scope", method = "delete", operation_id = "clear_limit")]
    async fn clear(
        &self,
        by: Granted<Operate>,
        /// `queue:media`, `kind:media.download`
        scope: Path<String>,
        /// The `ETag` of the limit as it was looked at
        #[oai(name = "If-Match")]
        seen: Header<Option<String>>,
        /// Why, for the audit
        #[oai(validator(max_length = 1000))]
        reason: Query<Option<String>>,
    ) -> Tagged<LimitNow> {
        let scope = self.known(&scope.0)?;
        let declared = queues::declared(self.0.jobs.as_ref(), &scope).unwrap_or_default();
        let seen = etag::seen(seen.0.as_deref());
        self.0.tasks.clear_limit(&scope, declared, seen, &by.actor(reason.0)).await?;
        self.read(&scope).await
    }
}

impl LimitsApi {
    fn known(&self, told: &str) -> Result<Scope, Problem> {
        let scope: Scope = told.parse().map_err(|error: ScopeError| Problem::invalid(error.to_string()))?;
        match queues::declared(self.0.jobs.as_ref(), &scope) {
            Some(_) => Ok(scope),
            None => Err(Problem::not_found(match scope {
                Scope::Queue(name) => format!("queue {name:?}; see list_queues"),
                Scope::Kind(name) => format!("job {name:?} in this release"),
            })),
        }
    }

    async fn read(&self, scope: &Scope) -> Tagged<LimitNow> {
        let name = scope.to_string();
        let row = self.0.tasks.limits().await?.into_iter().find(|row| row.scope == name);
        let tag = row.as_ref().map(|row| row.limit).unwrap_or_default().tag();
        Ok(tagged(&tag, row.map_or_else(|| LimitNow::unset(name, Limit::default()), LimitNow::of)))
    }
}

/// The rate that is to be, if it is to be otherwise.
fn wished(rate: MaybeUndefined<String>, burst: Option<u32>) -> Result<Option<Option<Rate>>, Problem> {
    match (rate, burst) {
        (MaybeUndefined::Value(told), burst) => {
            let rate: Rate = told.parse().map_err(|error: RateError| Problem::invalid(error.to_string()))?;
            Ok(Some(Some(burst.map_or(rate, |burst| rate.burst(burst)))))
        }
        (_, Some(_)) => Err(Problem::invalid("a burst is part of a rate: say rate as well")),
        (MaybeUndefined::Null, None) => Ok(Some(None)),
        (MaybeUndefined::Undefined, None) => Ok(None),
    }
}

impl LimitNow {
    fn of(row: LimitRow) -> Self {
        let LimitRow { scope, limit, set_by, running } = row;
        Self { set_by: Some(set_by), running, ..Self::unset(scope, limit) }
    }

    /// As nobody has set it, and nothing runs under it.
    fn unset(scope: String, limit: Limit) -> Self {
        let Limit { paused, max_running, rate } = limit;
        let burst = rate.map(Rate::saved_up);
        let rate = rate.map(|rate| rate.to_string());
        Self { scope, paused, max_running, rate, burst, set_by: None, running: 0 }
    }
}

impl From<LimitError> for Problem {
    fn from(error: LimitError) -> Self {
        match error {
            LimitError::Database(error) => error.into(),
            LimitError::Outdated(_) => Self::outdated(error.to_string()),
        }
    }
}
