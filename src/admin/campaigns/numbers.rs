//! Our numbers that the breaker holds: they send nothing in any campaign until a person lets them go on.

use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use trunkline_jobs::campaigns::breaker;

use super::super::granted::{Granted, Operate, Read};
use super::super::problem::Problem;
use super::super::{Answer, Desk, Tag};
use super::live::Trip;

pub(in crate::admin) struct HeldNumbersApi(pub(in crate::admin) Desk);

/// Why a number may send again
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
struct NumberRelease {
    /// For the audit
    #[oai(validator(max_length = 1000))]
    reason: Option<String>,
}

/// A number that may send again
#[derive(Debug, Object)]
struct ReleasedNumber {
    /// By the provider's id
    number: String,
}

#[OpenApi(tag = "Tag::Campaigns")]
impl HeldNumbersApi {
    /// List numbers that the breaker holds
    ///
    /// With what it saw; a thousand at most.
    #[oai(path = "/held-numbers", method = "get", operation_id = "list_held_numbers")]
    async fn list(&self, by: Granted<Read>) -> Answer<Vec<Trip>> {
        let view = by.view(false, "numbers").await?;
        let held = breaker::held_numbers(self.0.tasks.db()).await?;
        Ok(Json(held.into_iter().map(|trip| Trip::of(trip, view)).collect()))
    }

    /// Let a number send again
    ///
    /// Its latest texts are counted anew from now on. Campaigns that were paused with it stay so: resume them.
    #[oai(path = "/held-numbers/:id/release", method = "post", operation_id = "release_number")]
    async fn release(
        &self,
        by: Granted<Operate>,
        /// The provider's id (PN…)
        id: Path<String>,
        body: Json<NumberRelease>,
    ) -> Answer<ReleasedNumber> {
        let (actor, now) = (by.actor(body.0.reason), self.0.tasks.clock().now());
        let mut tx = self.0.tasks.begin().await?;
        if !breaker::release(tx.session(), &id.0, &actor, now).await? {
            return Err(Problem::not_found(
                "number of this id that the breaker holds; see list_held_numbers",
            ));
        }
        tx.commit().await?;
        Ok(Json(ReleasedNumber { number: id.0 }))
    }
}
