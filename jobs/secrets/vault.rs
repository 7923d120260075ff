//! What is done to secrets, by people and by jobs. Each act is one transaction with its entry in the audit; no entry, log or
//! error has a secret in it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::json;
use thiserror::Error;
use tokio::sync::watch;
use trunkline_openphone::signature::{Key, SecretError};
use trunkline_platform::audit::{self, Act, Actor};
use trunkline_platform::db::{Db, DbError, Session};

use super::kind::{Purpose, State};
use super::master::{Identity, MasterKeys, SealError, fingerprint_of};
use super::rules::{self, Needed, RotationRules, Step};
use super::table::{self, MOST_LIVE, NewRow, SecretRow};

const LONGEST_NAME: usize = 100;

#[derive(Debug, Error)]
pub enum VaultError {
    #[error(
        "there is no master key, so secrets are only those of openphone.webhook_secrets: make one with `trunkline secrets \
         new-master-key`, give it to every process in secrets.master_keys (TRUNKLINE_SECRETS_MASTER_KEYS_FILE), and start \
         them again"
    )]
    NoMasterKey,
    #[error("whose secret it is needs a name of 1 to {LONGEST_NAME} characters: the id of its subscription")]
    Name,
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("it is there already, as secret {id} ({purpose} {name}, version {version}, {state})")]
    There { id: i64, purpose: Purpose, name: String, version: i32, state: State },
    #[error("{MOST_LIVE} secrets are in use, and each is tried against each delivery: retire some first")]
    Full,
    #[error("there is no secret {0}; see `trunkline secrets list --all`")]
    Unknown(i64),
    #[error("secret {0} was retired already")]
    Retired(i64),
    #[error("secret {id} cannot go yet: {}; if it leaked, --force retires it all the same", reason(.needed))]
    Needed { id: i64, needed: Needed },
    #[error("secret {id} ({purpose} {name}, version {version}) cannot be opened")]
    Sealed { id: i64, purpose: Purpose, name: String, version: i32, source: SealError },
    #[error("the secret cannot be kept")]
    Seal(#[source] SealError),
    #[error(transparent)]
    Db(#[from] DbError),
}

fn reason(needed: &Needed) -> String {
    match needed {
        Needed::NoSuccessor => {
            "no other is in use in its place, and what is signed with it would be refused".to_owned()
        }
        Needed::Deliveries(missing) => {
            format!("{missing} more deliveries under its successor are to be seen (secrets.deliveries)")
        }
        Needed::Quiet(until) => format!(
            "something was signed with it alone a short time ago; nothing may be until {} (secrets.quiet)",
            until.format("%Y-%m-%d %H:%M:%S UTC")
        ),
    }
}

/// What a step came to.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Moved {
    /// In use from now on.
    Activated(SecretRow),
    /// Refused from now on.
    Retired(SecretRow),
}

/// A version with what keeps it from going.
#[derive(Clone, Debug, Serialize)]
pub struct Standing {
    #[serde(flatten)]
    pub row: SecretRow,
    /// Why it is needed still, while it is retiring.
    pub needed: Option<Needed>,
    /// Its change has taken too long.
    pub overdue: bool,
    /// None of our master keys opens it.
    pub unreadable: bool,
}

/// The table of secrets and the keys that open it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Vault {
    db: Db,
    keys: Option<Arc<MasterKeys>>,
    rules: RotationRules,
    changed: Arc<watch::Sender<()>>,
}

impl Vault {
    pub fn new(db: Db, keys: Option<MasterKeys>, rules: RotationRules) -> Self {
        Self { db, keys: keys.map(Arc::new), rules, changed: Arc::default() }
    }

    pub fn db(&self) -> &Db {
        &self.db
    }

    pub fn rules(&self) -> &RotationRules {
        &self.rules
    }

    /// Whether there is a master key.
    pub fn is_open(&self) -> bool {
        self.keys.is_some()
    }

    /// The master keys.
    ///
    /// # Errors
    /// With the remedy, when there are none.
    pub fn keys(&self) -> Result<&MasterKeys, VaultError> {
        self.keys.as_deref().ok_or(VaultError::NoMasterKey)
    }

    pub(super) fn some_keys(&self) -> Option<&MasterKeys> {
        self.keys.as_deref()
    }

    /// Told when this process changed something.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// All that are not retired, and how each stands.
    pub async fn standing(&self, now: DateTime<Utc>) -> Result<Vec<Standing>, DbError> {
        Ok(self.judge(self.live().await?, now))
    }

    /// The rows of every purpose and name that has one that is not retired.
    pub(crate) async fn live(&self) -> Result<Vec<SecretRow>, DbError> {
        table::live(&mut self.db.read().await?).await
    }

    /// Writes down what came, or was answered, under a version.
    pub(super) async fn note(&self, id: i64, count: i64, now: DateTime<Utc>) -> Result<(), DbError> {
        let query = table::NOTE_DELIVERIES.bind(id).bind(count).bind(now);
        query.execute(&mut self.db.write_one().await?).await.map(drop)
    }

    /// Commits, and has this process read the table again at once.
    async fn commit(&self, tx: Session) -> Result<(), DbError> {
        tx.commit().await?;
        self.changed.send_replace(());
        Ok(())
    }

    fn judge(&self, rows: Vec<SecretRow>, now: DateTime<Utc>) -> Vec<Standing> {
        let stands = |row: &SecretRow, versions: &[SecretRow]| Standing {
            needed: (row.state == State::Retiring)
                .then(|| rules::needed(row, versions, &self.rules, now))
                .flatten(),
            overdue: rules::is_overdue(row, &self.rules, now),
            unreadable: self.is_unreadable(row),
            row: row.clone(),
        };
        groups(&rows).flat_map(|versions| versions.iter().map(|row| stands(row, versions))).collect()
    }

    fn is_unreadable(&self, row: &SecretRow) -> bool {
        let with = row.sealed_with.as_deref();
        with.is_some_and(|with| self.keys.as_ref().is_none_or(|keys| !keys.knows(with)))
    }

    /// Keeps a secret. The first of its name is in use at once, and so is an API key; what signs webhooks and is one beside
    /// others is accepted, and in use when a delivery was signed with it.
    ///
    /// # Errors
    /// Without a master key; when it is no secret, or kept already.
    pub async fn add(
        &self,
        purpose: Purpose,
        name: &str,
        secret: &SecretString,
        actor: &Actor,
        now: DateTime<Utc>,
    ) -> Result<SecretRow, VaultError> {
        self.keys()?;
        let name = checked_name(name)?;
        // Without the space that files and environments leave around it.
        let secret = &SecretString::from(secret.expose_secret().trim());
        check(purpose, secret)?;
        let mut tx = self.db.write().await?;
        // What was announced is told by hand.
        table::WITHDRAW_AWAITED.bind(purpose.as_str()).bind(name).execute(&mut tx).await?;
        let mut row = self.insert(&mut tx, purpose, name, Some(secret), actor, now).await?;
        record(&mut tx, now, actor, "secret.add", None, &row).await?;
        // Nobody but us uses it: it need not be seen in use first.
        if purpose == Purpose::ApiKey && row.state == State::Incoming {
            row = activate(&mut tx, &row, actor, now).await?.unwrap_or(row);
        }
        self.commit(tx).await?;
        Ok(row)
    }

    async fn insert(
        &self,
        tx: &mut Session,
        purpose: Purpose,
        name: &str,
        secret: Option<&SecretString>,
        actor: &Actor,
        now: DateTime<Utc>,
    ) -> Result<SecretRow, VaultError> {
        let live = table::live(tx).await?;
        let fingerprint = secret.map(fingerprint_of);
        if let Some(there) =
            live.iter().find(|row| row.fingerprint.is_some() && row.fingerprint == fingerprint)
        {
            let SecretRow { id, purpose, name, version, state, .. } = there.clone();
            return Err(VaultError::There { id, purpose, name, version, state });
        }
        if live.len() >= MOST_LIVE {
            return Err(VaultError::Full);
        }
        let version = table::next_version(tx, purpose, name).await?;
        let has_one = live.iter().any(|row| row.group() == (purpose, name) && row.state == State::Active);
        let identity = Identity { purpose, name, version };
        let sealed =
            secret.map(|secret| self.keys()?.seal(identity, secret).map_err(VaultError::Seal)).transpose()?;
        let state = if has_one || secret.is_none() { State::Incoming } else { State::Active };
        let new = NewRow { purpose, name, version, state, sealed, fingerprint, by: &actor.name, now };
        Ok(table::insert(tx, new).await?)
    }

    /// Writes down that the provider is about to be asked for a new secret. Until it is known, a delivery of its scheme that is
    /// signed with no known secret may be signed with it: receivers hold it, or have it sent again, and refuse it not.
    /// What was announced before and never told is announced again.
    ///
    /// # Errors
    /// Without a master key.
    pub async fn announce(
        &self,
        purpose: Purpose,
        name: &str,
        actor: &Actor,
        now: DateTime<Utc>,
    ) -> Result<SecretRow, VaultError> {
        self.keys()?;
        let name = checked_name(name)?;
        let mut tx = self.db.write().await?;
        let awaited = table::live(&mut tx)
            .await?
            .into_iter()
            .find(|row| row.group() == (purpose, name) && row.is_awaited());
        let row = match awaited {
            Some(row) => {
                table::ANNOUNCE_AGAIN.bind(row.id).bind(now).execute(&mut tx).await?;
                SecretRow { announced_at: Some(now), ..row }
            }
            None => self.insert(&mut tx, purpose, name, None, actor, now).await?,
        };
        record(&mut tx, now, actor, "secret.announce", None, &row).await?;
        self.commit(tx).await?;
        Ok(row)
    }

    /// Keeps what the provider told to an announcement. When somebody else's answer took its place, it is one more version.
    ///
    /// # Errors
    /// When it cannot be sealed or is no secret.
    pub async fn fill(
        &self,
        announced: &SecretRow,
        secret: &SecretString,
        actor: &Actor,
        now: DateTime<Utc>,
    ) -> Result<SecretRow, VaultError> {
        check(announced.purpose, secret)?;
        let sealed = self.keys()?.seal(announced.identity(), secret).map_err(VaultError::Seal)?;
        let fingerprint = fingerprint_of(secret);
        let mut tx = self.db.write().await?;
        let known = table::live(&mut tx).await?;
        if let Some(there) = known.into_iter().find(|row| row.fingerprint.as_ref() == Some(&fingerprint)) {
            // The answer of an earlier question, told again.
            table::WITHDRAW_SECRET.bind(announced.id).execute(&mut tx).await?;
            self.commit(tx).await?;
            return Ok(there);
        }
        let filled = table::FILL_SECRET
            .bind(announced.id)
            .bind(&sealed.text)
            .bind(&sealed.with)
            .bind(&fingerprint)
            .execute(&mut tx)
            .await?;
        let row = match table::show(&mut tx, announced.id).await? {
            Some(row) if filled > 0 => row,
            _ => self.insert(&mut tx, announced.purpose, &announced.name, Some(secret), actor, now).await?,
        };
        record(&mut tx, now, actor, "secret.add", None, &row).await?;
        self.commit(tx).await?;
        Ok(row)
    }

    /// Takes an announcement back: the provider made no secret.
    pub async fn withdraw(
        &self,
        announced: &SecretRow,
        actor: &Actor,
        now: DateTime<Utc>,
    ) -> Result<(), VaultError> {
        let mut tx = self.db.write().await?;
        if table::WITHDRAW_SECRET.bind(announced.id).execute(&mut tx).await? > 0 {
            record(&mut tx, now, actor, "secret.withdraw", Some(announced), announced).await?;
        }
        self.commit(tx).await?;
        Ok(())
    }

    /// Refuses a secret from now on and forgets it. `force` does so although it is needed still.
    ///
    /// # Errors
    /// When it is not there, or is needed still.
    pub async fn retire(
        &self,
        id: i64,
        force: bool,
        actor: &Actor,
        now: DateTime<Utc>,
    ) -> Result<SecretRow, VaultError> {
        let mut tx = self.db.write().await?;
        let row = table::show(&mut tx, id).await?.ok_or(VaultError::Unknown(id))?;
        if row.state == State::Retired {
            return Err(VaultError::Retired(id));
        }
        let mut versions = table::live(&mut tx).await?;
        versions.retain(|other| other.group() == row.group());
        if let Some(needed) = rules::needed(&row, &versions, &self.rules, now).filter(|_| !force) {
            return Err(VaultError::Needed { id, needed });
        }
        let row = retire(&mut tx, &row, actor, now).await?.ok_or(VaultError::Retired(id))?;
        self.commit(tx).await?;
        Ok(row)
    }

    /// Takes every step that is due, of all secrets.
    pub async fn tend(&self, actor: &Actor, now: DateTime<Utc>) -> Result<Vec<Moved>, VaultError> {
        let mut moved = Vec::new();
        let mut tx = self.db.write().await?;
        // Activating makes others retire, which may be due at once.
        for _ in 0..2 {
            let rows = table::live(&mut tx).await?;
            for versions in groups(&rows) {
                for step in rules::due(versions, &self.rules, now) {
                    let (Step::Activate(id) | Step::Retire(id)) = step;
                    let Some(row) = versions.iter().find(|row| row.id == id) else { continue };
                    moved.extend(match step {
                        Step::Activate(_) => activate(&mut tx, row, actor, now).await?.map(Moved::Activated),
                        Step::Retire(_) => retire(&mut tx, row, actor, now).await?.map(Moved::Retired),
                    });
                }
            }
        }
        tx.commit().await?;
        if !moved.is_empty() {
            self.changed.send_replace(());
        }
        Ok(moved)
    }

    /// Seals every secret under the first master key that is sealed under another. Answers how many were, and how many are
    /// sealed under a key that we have not.
    ///
    /// # Errors
    /// Without a master key, or when one does not open although its key is there.
    pub async fn rewrap(&self, actor: &Actor, now: DateTime<Utc>) -> Result<Rewrapped, VaultError> {
        let keys = self.keys()?;
        let mut tx = self.db.write().await?;
        let mut done = Rewrapped::default();
        for row in table::live(&mut tx).await? {
            let (Some(sealed), Some(with)) = (&row.sealed, &row.sealed_with) else { continue };
            if with == keys.sealing() {
                done.unchanged += 1;
                continue;
            }
            if !keys.knows(with) {
                done.unreadable += 1;
                continue;
            }
            let plain = keys.open(row.identity(), sealed, with).map_err(|source| unopened(&row, source))?;
            let again = keys.seal(row.identity(), &plain).map_err(VaultError::Seal)?;
            let query = table::RESEAL_SECRET.bind(row.id).bind(again.text).bind(&again.with).bind(sealed);
            done.rewrapped += query.execute(&mut tx).await?;
            let act = Act {
                action: "secret.rewrap",
                subject: subject(row.id),
                before: Some(json!({ "sealed_with": with })),
                after: Some(json!({ "sealed_with": again.with })),
            };
            audit::record(&mut tx, now, actor, &[act]).await?;
        }
        self.commit(tx).await?;
        Ok(done)
    }

    /// The secret of a version, to be used and not to be shown.
    ///
    /// # Errors
    /// When it cannot be opened, or is not known.
    pub fn open(&self, row: &SecretRow) -> Result<SecretString, VaultError> {
        let opened = row.open(Some(self.keys()?)).unwrap_or(Err(SealError::Open));
        opened.map_err(|source| unopened(row, source))
    }
}

/// What rewrapping came to.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Rewrapped {
    pub rewrapped: u64,
    /// Sealed under the first key already.
    pub unchanged: u64,
    /// Sealed under a key that is not among ours.
    pub unreadable: u64,
}

fn unopened(row: &SecretRow, source: SealError) -> VaultError {
    VaultError::Sealed {
        id: row.id,
        purpose: row.purpose,
        name: row.name.clone(),
        version: row.version,
        source,
    }
}

/// The versions of each secret, from rows in their order.
pub(super) fn groups(rows: &[SecretRow]) -> impl Iterator<Item = &[SecretRow]> {
    rows.chunk_by(|one, other| one.group() == other.group())
}

fn checked_name(name: &str) -> Result<&str, VaultError> {
    let name = name.trim();
    let is_one =
        !name.is_empty() && name.chars().count() <= LONGEST_NAME && !name.chars().any(char::is_control);
    if is_one { Ok(name) } else { Err(VaultError::Name) }
}

fn check(purpose: Purpose, secret: &SecretString) -> Result<(), VaultError> {
    let text = secret.expose_secret();
    match purpose {
        Purpose::Standard | Purpose::Legacy => Key::parse(text).map(drop)?,
        Purpose::ApiKey if text.is_empty() => return Err(SecretError::Empty.into()),
        Purpose::ApiKey => {}
    }
    Ok(())
}

/// `None` when somebody else was quicker.
async fn activate(
    tx: &mut Session,
    row: &SecretRow,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<Option<SecretRow>, DbError> {
    if table::ACTIVATE_SECRET.bind(row.id).bind(now).execute(tx).await? == 0 {
        return Ok(None);
    }
    let before =
        table::RETIRING_BEFORE.bind(row.purpose.as_str()).bind(&row.name).bind(row.version).bind(now);
    before.execute(tx).await?;
    let after = SecretRow { state: State::Active, activated_at: Some(now), ..row.clone() };
    record(tx, now, actor, "secret.activate", Some(row), &after).await?;
    Ok(Some(after))
}

/// `None` when somebody else was quicker.
async fn retire(
    tx: &mut Session,
    row: &SecretRow,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<Option<SecretRow>, DbError> {
    if table::RETIRE_SECRET.bind(row.id).bind(now).execute(tx).await? == 0 {
        return Ok(None);
    }
    let gone = SecretRow { state: State::Retired, retired_at: Some(now), ..row.clone() };
    let after = SecretRow { sealed: None, sealed_with: None, ..gone };
    record(tx, now, actor, "secret.retire", Some(row), &after).await?;
    Ok(Some(after))
}

async fn record(
    tx: &mut Session,
    now: DateTime<Utc>,
    actor: &Actor,
    action: &'static str,
    before: Option<&SecretRow>,
    after: &SecretRow,
) -> Result<(), DbError> {
    let (subject, before, after) = (subject(after.id), before.map(|row| json!(row)), Some(json!(after)));
    audit::record(tx, now, actor, &[Act { action, subject, before, after }]).await
}

fn subject(id: i64) -> String {
    format!("secret:{id}")
}
