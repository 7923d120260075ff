//! Who may ask this installation what: keys, the sessions browsers get for them, and the door at which both are
//! checked. The API and the pages stand behind the same door; neither knows the other.
//!
//! * [`Keys`]: what people do with keys. [`Scope`] says what a key allows.
//! * [`Access`]: the door. It turns what a request carries into a [`Caller`], slows down whoever guesses, and
//!   allows each key so many requests a second.
//! * [`gate`]: the door before an HTTP endpoint.
//!
//! Without a key nobody gets in; there is no other way, and no default key.

mod allowance;
mod denied;
pub mod gate;
mod keys;
mod metrics;
mod notes;
mod scope;
mod secret;
mod sessions;
mod throttle;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use trunkline_platform::audit::{self, Act, Actor};
use trunkline_platform::clock::Clock;
use trunkline_platform::db::{Db, DbError, Stmt};

pub use allowance::{Allowance, Standing};
pub use denied::Denied;
pub use keys::{CreatedKey, KeyError, KeyRow, KeyState, Keys, MOST_KEYS, NewKey};
pub use metrics::AccessMetrics;
pub use scope::{Scope, Scopes, UnknownScope};
pub use secret::KeyId;

use notes::Notes;
use secret::Presented;
use throttle::Throttle;

/// How often uses and refusals are written.
const WRITE_EVERY: Duration = Duration::from_secs(60);
/// Keys whose requests are counted apart.
const MOST_COUNTED: usize = 10_000;
/// Who writes entries that nobody in particular is to answer for.
const DOOR: &str = "trunkline:access";

pub(crate) static STATEMENTS: &[&[&Stmt]] = &[keys::STATEMENTS, sessions::STATEMENTS];

/// How the door behaves.
#[derive(Clone, Copy, Debug)]
pub struct AccessSettings {
    /// Requests a second of one key, on average, and how many may come at once.
    pub rate_per_second: u32,
    pub rate_burst: u32,
    /// How long a browser stays in.
    pub session: TimeDelta,
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Caller {
    pub key: KeyId,
    /// What the key is for.
    pub name: String,
    pub scopes: Scopes,
    /// Whether it is a browser with a session.
    pub by_session: bool,
}

impl Caller {
    pub fn actor(&self, reason: Option<String>) -> Actor {
        Actor { name: format!("key:{}", self.key), reason }
    }
}

/// The door. Cheap to clone.
#[derive(Clone)]
pub struct Access {
    keys: Keys,
    state: Arc<State>,
}

struct State {
    settings: AccessSettings,
    throttle: Throttle,
    rates: Mutex<Allowance<KeyId>>,
    notes: Notes,
    metrics: AccessMetrics,
}

impl Access {
    pub fn new(keys: Keys, settings: AccessSettings, metrics: AccessMetrics) -> Self {
        let interval = TimeDelta::microseconds(1_000_000 / i64::from(settings.rate_per_second.max(1)));
        let rates = Mutex::new(Allowance::new(interval, settings.rate_burst, MOST_COUNTED));
        let state = State { settings, throttle: Throttle::new(), rates, notes: Notes::default(), metrics };
        Self { keys, state: Arc::new(state) }
    }

    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    pub fn settings(&self) -> &AccessSettings {
        &self.state.settings
    }

    /// Checks a key.
    pub async fn by_token(&self, token: &str, source: IpAddr) -> Result<Caller, Denied> {
        self.guarded(source, async |now| {
            let presented = Presented::parse(token).ok_or((None, Denied::Malformed))?;
            let found = keys::find(self.db(), &presented.id).await.map_err(|error| (None, error.into()))?;
            let lock = found.ok_or((None, Denied::Unknown))?;
            let id = Some(lock.id.clone());
            if !lock.secret_hash.is_of(presented.secret) {
                return Err((id, Denied::WrongSecret));
            }
            still_good(lock.expires_at, lock.revoked_at, now).map_err(|denied| (id, denied))?;
            Ok(Caller { key: lock.id, name: lock.name, scopes: lock.scopes, by_session: false })
        })
        .await
    }

    /// Checks what the cookie of a session holds.
    pub async fn by_session(&self, secret: &str, source: IpAddr) -> Result<Caller, Denied> {
        self.guarded(source, async |now| {
            if !secret::is_secret(secret) {
                return Err((None, Denied::Malformed));
            }
            let found = sessions::find(self.db(), secret).await.map_err(|error| (None, error.into()))?;
            let session = found.ok_or((None, Denied::Unknown))?;
            let id = Some(session.id.clone());
            if session.session_expires_at <= now {
                return Err((id, Denied::Expired));
            }
            still_good(session.expires_at, session.revoked_at, now).map_err(|denied| (id, denied))?;
            Ok(Caller { key: session.id, name: session.name, scopes: session.scopes, by_session: true })
        })
        .await
    }

    async fn guarded(
        &self,
        source: IpAddr,
        check: impl AsyncFnOnce(DateTime<Utc>) -> Result<Caller, (Option<KeyId>, Denied)>,
    ) -> Result<Caller, Denied> {
        let now = self.clock().now();
        if let Some(wait) = self.state.throttle.wait(source, now) {
            return Err(self.refuse(None, Denied::Throttled { wait }, source));
        }
        match check(now).await {
            Ok(caller) => {
                self.state.notes.used(&caller.key, now);
                self.state.metrics.granted();
                Ok(caller)
            }
            Err((key, denied)) => {
                if denied.is_a_guess() {
                    self.state.throttle.failed(source, now);
                }
                Err(self.refuse(key.as_ref(), denied, source))
            }
        }
    }

    /// Counts a refusal, for the metrics and the audit.
    pub fn refuse(&self, key: Option<&KeyId>, denied: Denied, source: IpAddr) -> Denied {
        self.state.metrics.refused(denied.reason());
        self.state.notes.refused(key, denied.reason(), source);
        match &denied {
            Denied::Unavailable(error) => {
                tracing::error!(error = error as &dyn std::error::Error, "{denied}")
            }
            _ => {
                tracing::debug!(reason = denied.reason(), key = key.map(KeyId::as_str), "refused at the door")
            }
        }
        denied
    }

    /// Whether the caller may do what takes these scopes.
    pub fn allow(&self, caller: &Caller, needed: Scopes, source: IpAddr) -> Result<(), Denied> {
        if caller.scopes.allow(needed) {
            return Ok(());
        }
        Err(self.refuse(Some(&caller.key), Denied::Scope, source))
    }

    /// Takes one request from what the key is allowed.
    pub fn count(&self, key: &KeyId) -> (u32, Standing) {
        let mut rates = self.state.rates.lock().unwrap_or_else(PoisonError::into_inner);
        (rates.burst(), rates.take(key, self.clock().now()))
    }

    /// Opens a session for whoever holds a key, and answers what its cookie is to hold.
    pub async fn open_session(&self, caller: &Caller) -> Result<SecretString, DbError> {
        let (now, length) = (self.clock().now(), self.state.settings.session);
        sessions::open(self.db(), &self.keys.mint, now, &caller.key, length, &caller.actor(None)).await
    }

    pub async fn close_session(&self, caller: &Caller, secret: &str) -> Result<(), DbError> {
        sessions::close(self.db(), self.clock().now(), secret, &caller.key, &caller.actor(None)).await
    }

    /// Writes down, once a minute and at the end, when keys were used and who was refused.
    pub async fn keep_notes(self, stop: CancellationToken) {
        let mut rounds = tokio::time::interval(WRITE_EVERY);
        rounds.tick().await;
        loop {
            let last = tokio::select! {
                () = stop.cancelled() => true,
                _ = rounds.tick() => false,
            };
            if let Err(error) = self.write_notes().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "uses of keys were not written down"
                );
            }
            if last {
                return;
            }
        }
    }

    /// Writes down what was noted since the last time. What cannot be written is lost: it is in the metrics, too.
    pub async fn write_notes(&self) -> Result<(), DbError> {
        let (uses, acts) = (self.state.notes.take_uses(), self.state.notes.take_refusals());
        keys::note_uses(self.db(), &uses).await?;
        self.record(&Actor { name: DOOR.to_owned(), reason: None }, &acts).await
    }

    /// Writes an act of a caller that changes nothing but is to be known: that something personal was looked at.
    pub async fn record_look(&self, caller: &Caller, act: Act) -> Result<(), DbError> {
        self.record(&caller.actor(None), &[act]).await
    }

    async fn record(&self, actor: &Actor, acts: &[Act]) -> Result<(), DbError> {
        if acts.is_empty() {
            return Ok(());
        }
        let mut session = self.db().write().await?;
        audit::record(&mut session, self.clock().now(), actor, acts).await?;
        session.commit().await
    }

    pub fn clock(&self) -> &Clock {
        &self.keys.clock
    }

    fn db(&self) -> &Db {
        &self.keys.db
    }
}

fn still_good(
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(), Denied> {
    match KeyState::of(expires_at, revoked_at, now) {
        KeyState::Active => Ok(()),
        KeyState::Expired => Err(Denied::Expired),
        KeyState::Revoked => Err(Denied::Revoked),
    }
}
