//! The provider's API as commands ask it: under the key that the processes ask under.

use anyhow::{Context, Result};
use prometheus::Registry;
use trunkline_jobs::provider::Provider;
use trunkline_jobs::secrets::{ApiKeys, Vault};
use trunkline_platform::clock::Clock;
use trunkline_platform::db::Db;

use crate::config::Config;

/// The provider, and the secrets of the table.
pub(super) async fn open(config: &Config, db: &Db) -> Result<(Provider, Vault)> {
    let provider = config.openphone.provider(db, &Registry::new())?;
    let vault = config.secrets.vault(db)?;
    let configured = config.openphone.api_key.clone();
    ApiKeys::open(configured, vault.clone(), provider.api_key(), Clock::system())
        .await
        .context("reading the API key")?;
    Ok((provider, vault))
}

/// The same for a command that is for nothing without a key.
pub(super) async fn with_key(config: &Config, db: &Db) -> Result<(Provider, Vault)> {
    let (provider, vault) = open(config, db).await?;
    provider.client()?;
    Ok((provider, vault))
}
