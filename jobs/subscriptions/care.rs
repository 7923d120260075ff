//! Looking after the webhooks: what there is, and making, changing and deleting them.
//!
//! A present webhook is made disabled, its secret is kept, and only when every receiver knows it is it enabled: no delivery
//! of it comes before. Whoever dies between these steps leaves a disabled webhook, which the next run finds and finishes.

use std::collections::BTreeSet;

use secrecy::SecretString;
use serde::Serialize;
use serde_json::json;
use trunkline_openphone::client::{ApiError, NewSubscription, Subscription, SubscriptionChange};
use trunkline_openphone::signature::Scheme;
use trunkline_platform::audit::{self, Act, Actor};
use trunkline_platform::clock::Clock;
use trunkline_platform::crash_point;

use super::ask::{CareError, ask};
use super::expected::{Action, Expected, Finding, Known};
use crate::provider::Provider;
use crate::secrets::{READ_EVERY, SecretRow, State, Vault, fingerprint_of};

/// Users whose older webhooks are looked at.
const MOST_USERS: usize = 50;
/// How the provider's pages call what we made.
const LABEL: &str = "Trunkline";

/// Who looks after the webhooks, and with what.
pub struct Care<'c> {
    pub provider: &'c Provider,
    pub vault: &'c Vault,
    pub expected: &'c Expected,
    /// The secrets of the configuration.
    pub configured: &'c [SecretString],
    pub clock: &'c Clock,
    pub actor: &'c Actor,
}

/// What there is, and what is wrong with it.
#[derive(Debug, Serialize)]
pub struct Look {
    /// Of both systems, for this address and for others.
    pub subscriptions: Vec<Subscription>,
    pub findings: Vec<Finding>,
    /// What would put it right.
    pub plan: Vec<Action>,
}

/// What was done.
#[derive(Clone, Debug, Serialize)]
pub struct Done {
    #[serde(flatten)]
    pub action: Action,
    /// The webhook it was done to.
    pub subscription: String,
}

impl Care<'_> {
    /// Looks at everything there is.
    ///
    /// # Errors
    /// When the provider does not answer.
    pub async fn look(&self) -> Result<Look, CareError> {
        let subscriptions = self.all().await?;
        let live = self.live().await?;
        let kept = kept(&live);
        let findings = self.expected.judge(&subscriptions, &self.known(&subscriptions, &live, &kept));
        let plan = self.expected.plan(&subscriptions, &findings, &kept);
        Ok(Look { subscriptions, findings, plan })
    }

    /// The webhooks of both systems.
    pub(super) async fn all(&self) -> Result<Vec<Subscription>, CareError> {
        let (provider, clock) = (self.provider, self.clock);
        let mut all = ask(provider, clock, |client| client.list_webhooks()).await?.map_err(CareError::Api)?;
        let numbers =
            ask(provider, clock, |client| client.list_phone_numbers()).await?.map_err(CareError::Api)?;
        let users: BTreeSet<String> = numbers.into_iter().flat_map(|number| number.user_ids).collect();
        // Without a user it tells those of the owner alone.
        let users: Vec<Option<String>> =
            std::iter::once(None).chain(users.into_iter().take(MOST_USERS).map(Some)).collect();
        for user in &users {
            let listed = ask(provider, clock, |client| client.list_legacy_webhooks(user.as_deref())).await?;
            match listed {
                Ok(older) => {
                    for one in older {
                        if !all.iter().any(|known| known.id == one.id) {
                            all.push(one);
                        }
                    }
                }
                // Somebody who left, or may not.
                Err(ApiError::NotFound(_) | ApiError::Forbidden(_) | ApiError::Invalid(_))
                    if user.is_some() => {}
                Err(error) => return Err(CareError::Api(error)),
            }
        }
        Ok(all)
    }

    pub(super) async fn live(&self) -> Result<Vec<SecretRow>, CareError> {
        Ok(self.vault.live().await?)
    }

    /// Whose secrets are known here. The provider does not tell those of present webhooks, so one of the configuration may
    /// be anybody's.
    fn known(&self, all: &[Subscription], live: &[SecretRow], kept: &Known) -> Known {
        let told: BTreeSet<String> = live
            .iter()
            .filter_map(|row| row.fingerprint.clone())
            .chain(self.configured.iter().map(fingerprint_of))
            .collect();
        let configured = self.configured.iter().any(is_standard);
        let is_known = |one: &&Subscription| match &one.key {
            Some(key) => told.contains(&fingerprint_of(key)),
            None => configured || kept.contains(&one.id),
        };
        all.iter().filter(is_known).map(|one| one.id.clone()).collect()
    }

    /// Puts right what can be. What was done before something failed stays done.
    ///
    /// # Errors
    /// With what failed first.
    pub async fn repair(&self, look: &Look) -> Result<Vec<Done>, CareError> {
        self.vault.keys()?;
        let mut done = Vec::new();
        for action in &look.plan {
            let subscription = match action {
                Action::Create { events, numbers } => self.create(events, numbers).await?,
                Action::Change { id, events, numbers } => {
                    let change = SubscriptionChange {
                        events: Some(events.clone()),
                        resource_ids: Some(numbers.clone()),
                        enabled: None,
                    };
                    self.change(id, &change).await?
                }
                Action::Rotate { id } => {
                    self.rotate_of(&look.subscriptions, id).await?;
                    id.clone()
                }
                Action::Keep { id } => self.keep(&look.subscriptions, id).await?,
                Action::Enable { id } => self.enable(id).await?,
            };
            done.push(Done { action: action.clone(), subscription });
        }
        Ok(done)
    }

    async fn create(&self, events: &[String], numbers: &[String]) -> Result<String, CareError> {
        let new = NewSubscription {
            url: self.expected.url.to_string(),
            events: events.to_vec(),
            resource_ids: numbers.to_vec(),
            label: Some(LABEL.to_owned()),
            enabled: false,
        };
        let made = ask(self.provider, self.clock, |client| client.create_webhook(&new)).await?;
        let mut made = made.map_err(CareError::Api)?;
        crash_point!("webhooks.after_creation");
        let key = made.key.take().ok_or_else(|| CareError::NoSecret(made.id.clone()))?;
        self.record("webhook.create", &made.id, json!(made)).await?;
        self.vault.add(Scheme::Standard.into(), &made.id, &key, self.actor, self.clock.now()).await?;
        self.enable(&made.id).await
    }

    /// When every receiver has had the time to read what is kept of it.
    async fn enable(&self, id: &str) -> Result<String, CareError> {
        self.settle().await;
        let change = SubscriptionChange { enabled: Some(true), ..SubscriptionChange::default() };
        self.change(id, &change).await
    }

    async fn change(&self, id: &str, change: &SubscriptionChange) -> Result<String, CareError> {
        let changed = ask(self.provider, self.clock, |client| client.change_webhook(id, change)).await?;
        let changed = changed.map_err(|error| unknown(id, error))?;
        self.record("webhook.change", id, json!(changed)).await?;
        Ok(changed.id)
    }

    async fn keep(&self, all: &[Subscription], id: &str) -> Result<String, CareError> {
        let one = all.iter().find(|one| one.id == id);
        let key = one.and_then(|one| one.key.as_ref()).ok_or_else(|| CareError::NoSecret(id.to_owned()))?;
        self.vault.add(Scheme::Legacy.into(), id, key, self.actor, self.clock.now()).await?;
        Ok(id.to_owned())
    }

    /// Deletes a webhook at the provider, for ever, and refuses what it signed with.
    ///
    /// # Errors
    /// When there is none, or it is for another address.
    pub async fn delete(&self, id: &str) -> Result<Vec<SecretRow>, CareError> {
        let all = self.all().await?;
        let one = self.one(&all, id)?;
        let deleted = match one.scheme {
            Scheme::Standard => ask(self.provider, self.clock, |client| client.delete_webhook(id)).await?,
            Scheme::Legacy => {
                ask(self.provider, self.clock, |client| client.delete_legacy_webhook(id)).await?
            }
        };
        match deleted {
            // Asked twice, because the first answer was lost.
            Ok(()) | Err(ApiError::NotFound(_)) => {}
            Err(error) => return Err(CareError::Api(error)),
        }
        self.record("webhook.delete", id, json!(one)).await?;
        let fingerprint = one.key.as_ref().map(fingerprint_of);
        let mut retired = Vec::new();
        for row in self.live().await? {
            let by_name = row.name == id && row.purpose == one.scheme.into();
            if by_name || (fingerprint.is_some() && row.fingerprint == fingerprint) {
                retired.push(self.vault.retire(row.id, true, self.actor, self.clock.now()).await?);
            }
        }
        Ok(retired)
    }

    /// A webhook for this address.
    ///
    /// # Errors
    /// When there is none of this id, or it is for another address.
    pub fn one<'s>(&self, all: &'s [Subscription], id: &str) -> Result<&'s Subscription, CareError> {
        let one = all.iter().find(|one| one.id == id).ok_or_else(|| CareError::Unknown(id.to_owned()))?;
        if self.expected.ours(all).iter().any(|ours| ours.id == id) {
            Ok(one)
        } else {
            Err(CareError::Elsewhere(id.to_owned()))
        }
    }

    /// Until every receiver has read the table of secrets again.
    pub(super) async fn settle(&self) {
        let wait = READ_EVERY + READ_EVERY / 2;
        let until = self.clock.now() + chrono::TimeDelta::from_std(wait).unwrap_or_default();
        self.clock.sleep_until(until).await;
    }

    pub(super) async fn record(
        &self,
        action: &'static str,
        id: &str,
        after: serde_json::Value,
    ) -> Result<(), CareError> {
        let act = Act { action, subject: format!("webhook:{id}"), before: None, after: Some(after) };
        let mut tx = self.vault.db().write().await?;
        audit::record(&mut tx, self.clock.now(), self.actor, &[act]).await?;
        Ok(tx.commit().await?)
    }
}

pub(super) fn unknown(id: &str, error: ApiError) -> CareError {
    match error {
        ApiError::NotFound(_) => CareError::Unknown(id.to_owned()),
        error => CareError::Api(error),
    }
}

pub(super) fn is_standard(secret: &SecretString) -> bool {
    use secrecy::ExposeSecret;
    use trunkline_openphone::signature::Key;
    Key::scheme_of(secret.expose_secret().trim()) == Scheme::Standard
}

/// The present webhooks of which the table has a secret that is used.
fn kept(live: &[SecretRow]) -> Known {
    let is_kept = |row: &&SecretRow| {
        row.purpose.scheme() == Some(Scheme::Standard) && row.state != State::Retired && !row.is_awaited()
    };
    live.iter().filter(is_kept).map(|row| row.name.clone()).collect()
}
