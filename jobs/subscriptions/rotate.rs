//! Giving a webhook another secret while deliveries come.
//!
//! The provider switches when it is asked, and its answer is the only word of the new secret. So the change is announced
//! first; when every receiver has read that, the provider is asked, and what it tells is kept. In between, a delivery that is
//! signed with a secret nobody knows is held, or sent again by the provider, and not refused. Whoever dies in between leaves
//! the announcement: asking again makes yet another secret, of which the provider then tells, and which signs what is still to
//! be sent.

use serde_json::json;
use trunkline_openphone::client::Subscription;
use trunkline_openphone::signature::Scheme;
use trunkline_platform::crash_point;

use super::ask::{CareError, ask};
use super::care::{Care, is_standard};
use crate::secrets::{Purpose, SecretRow, VaultError, fingerprint_of};

impl Care<'_> {
    /// A webhook for this address whose secret can be changed.
    ///
    /// # Errors
    /// As [`one`](Self::one), and when it is of the older system.
    pub fn changeable<'s>(&self, all: &'s [Subscription], id: &str) -> Result<&'s Subscription, CareError> {
        let one = self.one(all, id)?;
        if one.scheme == Scheme::Legacy {
            return Err(CareError::Older(id.to_owned()));
        }
        Ok(one)
    }

    /// Gives a present webhook another secret, and keeps it as incoming.
    ///
    /// # Errors
    /// When it is none of ours or of the older system; when the provider refuses; when its answer was lost, and this is to be
    /// run again.
    pub async fn rotate(&self, id: &str) -> Result<SecretRow, CareError> {
        self.vault.keys()?;
        self.rotate_of(&self.all().await?, id).await
    }

    /// The same for whoever knows all webhooks.
    pub(super) async fn rotate_of(&self, all: &[Subscription], id: &str) -> Result<SecretRow, CareError> {
        self.vault.keys()?;
        self.changeable(all, id)?;
        self.adopt(all, id).await?;
        let (actor, clock) = (self.actor, self.clock);
        let announced = self.vault.announce(Purpose::Standard, id, actor, clock.now()).await?;
        crash_point!("webhooks.before_rotation");
        self.settle().await;
        let told = ask(self.provider, clock, |client| client.rotate_webhook(id)).await;
        crash_point!("webhooks.after_rotation");
        let key = match told {
            Ok(Ok(key)) => key,
            Ok(Err(error)) if error.outcome_unknown() => {
                return Err(CareError::AnswerLost { id: id.to_owned(), source: error });
            }
            Ok(Err(error)) => {
                self.vault.withdraw(&announced, actor, clock.now()).await?;
                return Err(super::care::unknown(id, error));
            }
            Err(error) => {
                self.vault.withdraw(&announced, actor, clock.now()).await?;
                return Err(error);
            }
        };
        let row = self.vault.fill(&announced, &key, actor, clock.now()).await?;
        self.record("webhook.rotate", id, json!({ "secret": row.id, "version": row.version })).await?;
        Ok(row)
    }

    /// Takes the one secret of the configuration that can be this webhook's into the table, so that it can be retired there.
    /// Where it cannot be told whose it is, it stays where it is.
    async fn adopt(&self, all: &[Subscription], id: &str) -> Result<(), CareError> {
        let live = self.live().await?;
        let in_table =
            |fingerprint: &String| live.iter().any(|row| row.fingerprint.as_ref() == Some(fingerprint));
        if live.iter().any(|row| row.purpose == Purpose::Standard && row.name == id && !row.is_awaited()) {
            return Ok(());
        }
        let mut unkept =
            self.configured.iter().filter(|secret| is_standard(secret) && !in_table(&fingerprint_of(secret)));
        let present = all.iter().filter(|one| one.scheme == Scheme::Standard).count();
        if let (Some(only), None, 1) = (unkept.next(), unkept.next(), present) {
            match self.vault.add(Purpose::Standard, id, only, self.actor, self.clock.now()).await {
                Ok(_) | Err(VaultError::There { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
