//! The secrets by which deliveries are believed: those of the configuration, and those of the table that are not retired.
//!
//! The table is read every two seconds and at once when this process changed it, never for a request. What was read counts
//! for fifteen seconds; where the table could not be read for longer, deliveries are to be sent again rather than believed by
//! what may have been retired. So a retired secret is refused within two seconds, and after fifteen at the latest.
//!
//! A secret that the provider made and we do not know yet is the one thing that could have a genuine delivery refused. It is
//! announced before the provider is asked for it: see [`View::may_be`].

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use trunkline_openphone::signature::{Key, Scheme, SecretError, Secrets, Verified};
use trunkline_platform::clock::Clock;
use trunkline_platform::db::DbError;

use super::kind::State;
use super::master::fingerprint_of;
use super::rules::may_be_used_unknown;
use super::table::{self, SecretRow};
use super::vault::Vault;

/// How often the table is read.
pub const READ_EVERY: Duration = Duration::from_secs(2);
/// The same while a delivery waits for a secret.
const READ_EVERY_WHILE_AWAITED: Duration = Duration::from_millis(100);
/// For how long what was read counts.
pub const COUNTS_FOR: Duration = Duration::from_secs(15);
/// How long one read may take.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// A version of the table, and what came under it since that was last written down.
#[derive(Debug)]
pub struct Version {
    pub id: i64,
    deliveries: AtomicI64,
}

/// What deliveries are checked by at a time.
#[derive(Debug, Default)]
pub struct View {
    pub secrets: Secrets,
    /// In the order of the keys.
    standard: Vec<Option<Arc<Version>>>,
    legacy: Vec<Option<Arc<Version>>>,
    /// The schemes of which there is a secret that we cannot tell.
    unknown: HashSet<Scheme>,
}

impl View {
    /// The version of the table by which a delivery was believed; `None` for a secret of the configuration.
    pub fn version_of(&self, verified: &Verified) -> Option<Arc<Version>> {
        let versions = match verified.scheme {
            Scheme::Standard => &self.standard,
            Scheme::Legacy => &self.legacy,
        };
        versions.get(verified.key)?.clone()
    }

    /// Whether a signature that matches no secret may be genuine all the same: by one that the provider was asked for and
    /// has not told, or one that no master key of this process opens.
    pub fn may_be(&self, scheme: Scheme) -> bool {
        self.unknown.contains(&scheme)
    }

    fn push(&mut self, scheme: Scheme, key: Key, version: Option<Arc<Version>>) {
        let (keys, versions) = match scheme {
            Scheme::Standard => (&mut self.secrets.standard, &mut self.standard),
            Scheme::Legacy => (&mut self.secrets.legacy, &mut self.legacy),
        };
        keys.push(key);
        versions.push(version);
    }
}

/// What was read lies too long ago.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the table of secrets could not be read for {} s", COUNTS_FOR.as_secs())]
pub struct Stale;

/// Reads the table, and keeps what was read.
pub struct Keyring {
    configured: Vec<(Scheme, SecretString)>,
    /// Absent: only the secrets of the configuration count.
    vault: Option<Vault>,
    clock: Clock,
    view: watch::Sender<Arc<View>>,
    read: Mutex<Read>,
    /// Deliveries that wait for a secret.
    waiting: AtomicUsize,
    hurry: Notify,
}

/// What the view was made of.
struct Read {
    at: Instant,
    /// Whether there is a view at all.
    made: bool,
    /// Of each row what the view depends on.
    of: Vec<(i64, State, Option<String>, bool)>,
    retired: Vec<String>,
    /// Secrets that were opened once stay readable, whatever becomes of master keys while we run.
    opened: HashMap<i64, SecretString>,
    versions: HashMap<i64, Arc<Version>>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("view", &*self.view.borrow()).finish_non_exhaustive()
    }
}

impl Default for Keyring {
    fn default() -> Self {
        Self::of(Vec::new(), None, Clock::system())
    }
}

impl Keyring {
    /// Only these secrets, which never change.
    ///
    /// # Errors
    /// When one is no secret.
    pub fn fixed<'s>(secrets: impl IntoIterator<Item = &'s str>) -> Result<Self, SecretError> {
        let secrets: Vec<SecretString> = secrets.into_iter().map(SecretString::from).collect();
        let keyring = Self::of(sorted(&secrets)?, None, Clock::system());
        let mut view = View::default();
        for (scheme, secret) in &keyring.configured {
            view.push(*scheme, Key::parse(secret.expose_secret())?, None);
        }
        keyring.view.send_replace(Arc::new(view));
        Ok(keyring)
    }

    /// The secrets of the configuration and of the table, read a first time.
    ///
    /// # Errors
    /// When one of the configuration is no secret, or the table cannot be read.
    pub async fn open(configured: &[SecretString], vault: Vault, clock: Clock) -> Result<Self, KeyringError> {
        let keyring = Self::of(sorted(configured)?, Some(vault), clock);
        keyring.refresh().await?;
        Ok(keyring)
    }

    fn of(configured: Vec<(Scheme, SecretString)>, vault: Option<Vault>, clock: Clock) -> Self {
        let read = Read {
            at: Instant::now(),
            made: false,
            of: Vec::new(),
            retired: Vec::new(),
            opened: HashMap::new(),
            versions: HashMap::new(),
        };
        Self {
            configured,
            vault,
            clock,
            view: watch::Sender::new(Arc::default()),
            read: Mutex::new(read),
            waiting: AtomicUsize::new(0),
            hurry: Notify::new(),
        }
    }

    /// What deliveries are to be checked by now.
    ///
    /// # Errors
    /// When that was read too long ago.
    pub fn view(&self) -> Result<Arc<View>, Stale> {
        if self.vault.is_some() && self.read().at.elapsed() > COUNTS_FOR {
            return Err(Stale);
        }
        Ok(Arc::clone(&self.view.borrow()))
    }

    /// Waits for another view than this; the table is read more often meanwhile.
    pub async fn other_than(&self, view: &Arc<View>) -> Result<Arc<View>, Stale> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let _waits = Waits(self);
        self.hurry.notify_one();
        let mut views = self.view.subscribe();
        let other = views.wait_for(|other| !Arc::ptr_eq(other, view)).await;
        drop(other.map_err(|_| Stale)?);
        self.view()
    }

    /// A delivery that was believed by a version is committed.
    pub fn count(version: &Version) {
        version.deliveries.fetch_add(1, Ordering::Relaxed);
    }

    /// Reads the table and writes down what came, until told to stop.
    pub async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let Some(vault) = self.vault.clone() else { return };
        let mut changes = vault.changes();
        let mut rounds = tokio::time::interval(READ_EVERY);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut quick_rounds = tokio::time::interval(READ_EVERY_WHILE_AWAITED);
        quick_rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let awaited = self.waiting.load(Ordering::Acquire) > 0;
            tokio::select! {
                () = stop.cancelled() => return,
                _ = rounds.tick() => {}
                Ok(()) = changes.changed() => {}
                _ = quick_rounds.tick(), if awaited => {}
                () = self.hurry.notified() => continue,
            }
            match tokio::time::timeout(READ_WITHIN, self.refresh()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the table of secrets could not be read"
                    );
                }
                Err(_) => tracing::warn!("the table of secrets could not be read in time"),
            }
            // Not cut off: whether what was cut off is in the table nobody would know. The database has its own limits of time.
            if let Err(error) = self.write_down().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "what came under the webhook secrets could not be written down yet"
                );
            }
        }
    }

    /// Writes down what came under each version since the last time.
    ///
    /// # Errors
    /// When the database is away; what came is written down the next time.
    pub async fn write_down(&self) -> Result<(), KeyringError> {
        let Some(vault) = &self.vault else { return Ok(()) };
        let versions: Vec<Arc<Version>> = self.read().versions.values().cloned().collect();
        for version in versions {
            let count = version.deliveries.swap(0, Ordering::Relaxed);
            if count == 0 {
                continue;
            }
            let noted = vault.note(version.id, count, self.clock.now()).await;
            if noted.is_err() {
                version.deliveries.fetch_add(count, Ordering::Relaxed);
                noted?;
            }
        }
        Ok(())
    }

    async fn refresh(&self) -> Result<(), KeyringError> {
        let Some(vault) = &self.vault else { return Ok(()) };
        let begun = Instant::now();
        let fingerprints: Vec<String> =
            self.configured.iter().map(|(_, secret)| fingerprint_of(secret)).collect();
        let mut session = vault.db().read().await?;
        let rows = table::live(&mut session).await?;
        let retired = table::retired_among(&mut session, &fingerprints).await?;
        drop(session);

        let now = self.clock.now();
        let of: Vec<_> = rows
            .iter()
            .map(|row| (row.id, row.state, row.fingerprint.clone(), may_be_used_unknown(row, now)))
            .collect();
        let mut read = self.read();
        if !read.made || read.of != of || read.retired != retired {
            let view = self.make(vault, &mut read, &rows, &fingerprints, &retired, now)?;
            (read.made, read.of, read.retired) = (true, of, retired);
            self.view.send_replace(Arc::new(view));
        }
        read.at = begun;
        Ok(())
    }

    fn make(
        &self,
        vault: &Vault,
        read: &mut Read,
        rows: &[SecretRow],
        fingerprints: &[String],
        retired: &[String],
        now: DateTime<Utc>,
    ) -> Result<View, KeyringError> {
        let mut view = View::default();
        // From the oldest on: what is signed with several counts for the last.
        for ((scheme, secret), fingerprint) in self.configured.iter().zip(fingerprints) {
            let in_table = rows.iter().any(|row| row.fingerprint.as_ref() == Some(fingerprint));
            if retired.contains(fingerprint) && !in_table {
                tracing::warn!(
                    fingerprint,
                    "a secret of openphone.webhook_secrets was retired and is refused: take it out of there"
                );
            } else if !in_table {
                view.push(*scheme, Key::parse(secret.expose_secret().trim())?, None);
            }
        }
        read.opened.retain(|id, _| rows.iter().any(|row| row.id == *id));
        read.versions.retain(|id, version| {
            rows.iter().any(|row| row.id == *id) || version.deliveries.load(Ordering::Relaxed) > 0
        });
        for row in rows {
            let Some(scheme) = row.purpose.scheme() else { continue };
            if may_be_used_unknown(row, now) {
                view.unknown.insert(scheme);
            }
            let secret = match read.opened.get(&row.id) {
                Some(opened) => opened.clone(),
                None => match row.open(vault.some_keys()) {
                    None => continue,
                    Some(Ok(secret)) => secret,
                    Some(Err(error)) => {
                        tracing::error!(
                            secret = row.id,
                            error = &error as &dyn std::error::Error,
                            "a webhook secret cannot be opened; what is signed with it is to be sent again"
                        );
                        view.unknown.insert(scheme);
                        continue;
                    }
                },
            };
            let version = read
                .versions
                .entry(row.id)
                .or_insert_with(|| Arc::new(Version { id: row.id, deliveries: AtomicI64::new(0) }));
            view.push(scheme, Key::parse(secret.expose_secret().trim())?, Some(Arc::clone(version)));
            read.opened.insert(row.id, secret);
        }
        Ok(view)
    }

    fn read(&self) -> std::sync::MutexGuard<'_, Read> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Waits<'k>(&'k Keyring);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Db(#[from] DbError),
}

fn sorted(secrets: &[SecretString]) -> Result<Vec<(Scheme, SecretString)>, SecretError> {
    let sort = |secret: &SecretString| {
        let text = secret.expose_secret().trim();
        Key::parse(text).map(|_| (Key::scheme_of(text), SecretString::from(text)))
    };
    secrets.iter().map(sort).collect()
}
