//! The key that opens the provider's API to us: the one in use of the table, or, where the table has none, that of the
//! configuration. The table is read every two seconds and at once when this process changed it, so every process asks under
//! a new key within two seconds. What was asked under the old one ends under it, and it goes by the same rules as a secret of
//! webhooks: an answer under a key is what a delivery is there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::SecretString;
use thiserror::Error;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use trunkline_openphone::client::{ApiError, ApiKey, Client, ClientError, KeyInUse, PhoneNumber};
use trunkline_platform::audit::Actor;
use trunkline_platform::clock::Clock;
use trunkline_platform::db::DbError;
use trunkline_platform::job::FailureKind;

use super::keyring::READ_EVERY;
use super::kind::{Purpose, State};
use super::master::{SealError, fingerprint_of};
use super::table::{self, SecretRow};
use super::vault::{Vault, VaultError};
use crate::provider::{Provider, Share};

/// Whose key it is in the table.
const OURS: &str = "openphone";
/// How long one read may take.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// Keeps a client's key what it is to be.
pub struct ApiKeys {
    vault: Vault,
    configured: Option<SecretString>,
    key: ApiKey,
    clock: Clock,
    read: Mutex<Read>,
}

#[derive(Default)]
struct Read {
    /// What is used, as far as anything was read.
    used: Option<Used>,
    /// The keys of the table that were used, and are not retired.
    counted: HashMap<i64, Arc<KeyInUse>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Used {
    Nothing,
    Configured,
    Version(i64),
}

#[derive(Debug, Error)]
pub enum ApiKeyError {
    #[error("the API key of the configuration cannot be used")]
    Key(#[from] ClientError),
    #[error(transparent)]
    Db(#[from] DbError),
}

impl ApiKeys {
    /// Reads the table a first time, and gives the key to whoever holds `key`.
    ///
    /// # Errors
    /// When the table cannot be read, or the key of the configuration cannot be sent.
    pub async fn open(
        configured: Option<SecretString>,
        vault: Vault,
        key: ApiKey,
        clock: Clock,
    ) -> Result<Self, ApiKeyError> {
        let keys = Self { vault, configured, key, clock, read: Mutex::default() };
        keys.refresh().await?;
        Ok(keys)
    }

    /// Reads the table and writes down what was answered, until told to stop.
    pub async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let mut changes = self.vault.changes();
        let mut rounds = tokio::time::interval(READ_EVERY);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = rounds.tick() => {}
                Ok(()) = changes.changed() => {}
            }
            let read = tokio::time::timeout(READ_WITHIN, async {
                self.write_down().await?;
                self.refresh().await
            });
            match read.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the API key could not be read");
                }
                Err(_) => tracing::warn!("the API key could not be read in time"),
            }
        }
    }

    /// Writes down how often the provider answered under each key since the last time.
    ///
    /// # Errors
    /// When the database is away. What was answered meanwhile is not counted: the old key goes later.
    pub async fn write_down(&self) -> Result<(), DbError> {
        let counted: Vec<(i64, u64)> =
            self.read().counted.iter().map(|(id, key)| (*id, key.take_answers())).collect();
        for (id, answers) in counted.into_iter().filter(|(_, answers)| *answers > 0) {
            self.vault.note(id, i64::try_from(answers).unwrap_or(i64::MAX), self.clock.now()).await?;
        }
        Ok(())
    }

    async fn refresh(&self) -> Result<(), ApiKeyError> {
        let mut session = self.vault.db().read().await?;
        let mut rows = table::live(&mut session).await?;
        rows.retain(|row| row.purpose == Purpose::ApiKey);
        let active = rows.iter().filter(|row| row.state == State::Active).max_by_key(|row| row.version);
        let configured = match (&self.configured, active) {
            (Some(key), None) => {
                let retired = table::retired_among(&mut session, &[fingerprint_of(key)]).await?;
                retired.is_empty().then_some(key)
            }
            _ => None,
        };
        drop(session);

        let mut read = self.read();
        read.counted.retain(|id, _| rows.iter().any(|row| row.id == *id));
        let used = match (active, configured) {
            (Some(row), _) => Used::Version(row.id),
            (None, Some(_)) => Used::Configured,
            (None, None) => Used::Nothing,
        };
        if read.used == Some(used) {
            return Ok(());
        }
        match active.map(|row| (row.id, self.opened(row))) {
            Some((id, Ok(secret))) => {
                self.key.change(Some(&secret))?;
                read.counted.extend(self.key.in_use().map(|key| (id, key)));
            }
            // What was asked under before is asked under still.
            Some((id, Err(error))) => {
                tracing::error!(
                    secret = id,
                    error = &error as &dyn std::error::Error,
                    "the API key of the table cannot be opened"
                );
                if read.used.is_none() {
                    self.key.change(self.configured.as_ref())?;
                }
            }
            None => {
                if configured.is_none() && self.configured.is_some() {
                    tracing::error!("openphone.api_key was retired and is not used: take it out of there");
                }
                self.key.change(configured)?;
            }
        }
        read.used = Some(used);
        Ok(())
    }

    fn opened(&self, row: &SecretRow) -> Result<SecretString, SealError> {
        row.open(self.vault.some_keys()).unwrap_or(Err(SealError::Open))
    }

    fn read(&self) -> std::sync::MutexGuard<'_, Read> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a key was not taken. Nothing was kept.
#[derive(Debug, Error)]
pub enum AdoptError {
    #[error("the provider does not know this key; was it copied whole, and is it of this provider?")]
    Unknown,
    #[error(
        "this key opens another workspace: it has {theirs} numbers, and none of them is among the {ours} of the key in use"
    )]
    OtherWorkspace { ours: usize, theirs: usize },
    #[error("asking the provider under the new key")]
    New(#[source] ApiError),
    #[error("asking the provider under the key in use")]
    InUse(#[source] ApiError),
    #[error("the rate of requests to the provider is used up: try again in a minute")]
    Busy,
    #[error("the token for a request could not be had: {0}")]
    Token(String),
    #[error("the key cannot be sent")]
    Key(#[from] ClientError),
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// Keeps a new API key, which is used at once, after the provider has answered to it. A key of another workspace is refused
/// while the one in use tells of this one. `new` is a client that asks under it.
///
/// # Errors
/// When it is not to be used, or cannot be kept; then the one before stays in use.
pub async fn adopt(
    vault: &Vault,
    provider: &Provider,
    new: &Client,
    key: &SecretString,
    actor: &Actor,
    clock: &Clock,
) -> Result<SecretRow, AdoptError> {
    vault.keys()?;
    let theirs = match new.list_phone_numbers().await {
        Err(ApiError::Unauthorized(_)) => return Err(AdoptError::Unknown),
        answer => answer.map_err(AdoptError::New)?,
    };
    if provider.is_configured() {
        let client =
            provider.token(Share::Repair, clock.now()).await.map_err(|failure| match failure.kind {
                FailureKind::Snooze(_) => AdoptError::Busy,
                _ => AdoptError::Token(failure.error.to_string()),
            })?;
        match client.list_phone_numbers().await {
            // It was deleted at the provider, which may be why there is a new one.
            Err(ApiError::Unauthorized(_)) => {}
            answer => check_workspace(&answer.map_err(AdoptError::InUse)?, &theirs)?,
        }
    }
    Ok(vault.add(Purpose::ApiKey, OURS, key, actor, clock.now()).await?)
}

fn check_workspace(ours: &[PhoneNumber], theirs: &[PhoneNumber]) -> Result<(), AdoptError> {
    let shared = ours.is_empty() || ours.iter().any(|one| theirs.iter().any(|other| other.id == one.id));
    if shared { Ok(()) } else { Err(AdoptError::OtherWorkspace { ours: ours.len(), theirs: theirs.len() }) }
}
