//! `trunkline migrate`: brings the schema up to date. `serve` does so by itself when it starts.

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;

use super::{database, output};
use crate::app::FileLock;
use crate::config::Config;
use crate::schema;

#[derive(Args, Debug)]
pub(super) struct MigrateCommand {
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

impl MigrateCommand {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        output::print(&self.text(config).await?)
    }

    async fn text(self, config: &Config) -> Result<String> {
        let url = &config.database.url;
        let _alone = url.file().map(FileLock::take).transpose()?;
        let db = database::connect(&config.database).await?;
        let before = database::version(&db).await?;
        schema::migrate(&db).await.with_context(|| format!("cannot migrate {url:?}"))?;
        let after = database::version(&db).await?;
        db.close().await;
        if self.json {
            return output::json(&json!({"before": before, "after": after}));
        }
        let named =
            |version: Option<i64>| version.map_or("nothing".to_owned(), |version| version.to_string());
        Ok(if before == after {
            format!("{url:?} is up to date: the schema is at {}\n", named(after))
        } else {
            format!("{url:?}: the schema went from {} to {}\n", named(before), named(after))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::database::testing::place;

    #[tokio::test]
    async fn a_database_is_made_and_migrated_and_the_second_time_nothing_is_left_to_do() {
        let place = place();
        let first = MigrateCommand { json: false }.text(&place.config).await.unwrap();
        assert!(first.contains("trunkline.db: the schema went from nothing to "), "{first}");
        let second = MigrateCommand { json: false }.text(&place.config).await.unwrap();
        assert!(second.contains(" is up to date: the schema is at "), "{second}");
    }
}
