//! `trunkline campaigns promote`.

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;
use trunkline_jobs::campaigns::experiment::{evidence, promote};
use trunkline_platform::task::Tasks;

use super::look::found;
use crate::cli::audit::ActorArgs;
use crate::cli::{database, output};
use crate::config::Config;

#[derive(Args, Debug)]
pub(super) struct Promote {
    id: i64,
    /// The name of the text
    text: String,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

impl Promote {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let tasks = database::open_tasks(config).await?;
        output::print(&self.text(&tasks).await?)
    }

    async fn text(self, tasks: &Tasks) -> Result<String> {
        let actor = self.actor.actor()?;
        if actor.reason.is_none() {
            bail!("a text is promoted for a reason, which goes into the audit: say it with --why");
        }
        let campaign = found(tasks.db(), self.id).await?;
        let (standing, evidence) = evidence(tasks.db(), &campaign).await?;
        let mut tx = tasks.begin().await?;
        let promoting = promote(tx.session(), self.id, &self.text, &evidence, &actor, tasks.clock().now());
        let promoted = promoting.await.context("nothing was promoted")?;
        tx.commit().await?;
        if self.json {
            return output::json(
                &json!({ "id": self.id, "winner": self.text, "changed": promoted, "evidence": evidence }),
            );
        }
        Ok(match promoted {
            true => format!("those of campaign {} who wait get text {}; {standing}\n", self.id, self.text),
            false => format!("text {} was promoted before\n", self.text),
        })
    }
}
