//! Moving secrets on: what was seen in use is in use, and what it takes the place of goes when its time has come.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_platform::audit::Actor;
use trunkline_platform::job::{Context, Done, Failure, Job, Queue};

use super::kind::Purpose;
use super::vault::Moved;
use crate::{Services, UPKEEP};

/// Takes every step of a rotation that is due, and tells of those that take too long.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct TendSecrets {}

impl Job for TendSecrets {
    type Services = Services;
    const NAME: &'static str = "secrets.tend";
    const QUEUE: Queue = UPKEEP;

    fn unique_key(&self) -> Option<String> {
        Some("all".to_owned())
    }

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        let vault = &cx.services().secrets;
        let actor = Actor { name: format!("task:{}", cx.task().id), reason: None };
        for moved in vault.tend(&actor, cx.now()).await? {
            match moved {
                Moved::Activated(row) => {
                    tracing::info!(secret = row.id, purpose = %row.purpose, name = row.name, "a secret is in use");
                }
                Moved::Retired(row) if row.purpose == Purpose::ApiKey => {
                    tracing::warn!(
                        secret = row.id,
                        fingerprint = row.fingerprint,
                        "an API key was retired here, and the provider accepts it still: delete it in the workspace's settings"
                    );
                }
                Moved::Retired(row) => {
                    tracing::info!(secret = row.id, purpose = %row.purpose, name = row.name, "a secret was retired");
                }
            }
        }
        for standing in vault.standing(cx.now()).await?.iter().filter(|standing| standing.overdue) {
            let row = &standing.row;
            tracing::warn!(
                secret = row.id,
                purpose = %row.purpose,
                name = row.name,
                state = %row.state,
                "the rotation of a secret is overdue; see the runbook on rotation"
            );
        }
        Ok(Done::new())
    }
}
