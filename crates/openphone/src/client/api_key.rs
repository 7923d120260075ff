//! The key that opens the API to us. It can be changed while requests are under way; each ends under the key it began with.

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::ClientError;

/// The key of a client, or none. Clones share it.
#[derive(Clone, Default)]
pub struct ApiKey(Arc<RwLock<Option<Arc<KeyInUse>>>>);

/// A key, and how often the provider answered to it.
pub struct KeyInUse {
    header: HeaderValue,
    fingerprint: String,
    answers: AtomicU64,
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fingerprint = self.in_use().map(|key| key.fingerprint.clone());
        f.debug_tuple("ApiKey").field(&fingerprint).finish()
    }
}

impl ApiKey {
    /// # Errors
    /// When the key cannot be sent in a header.
    pub fn of(key: &SecretString) -> Result<Self, ClientError> {
        let made = Self::default();
        made.change(Some(key))?;
        Ok(made)
    }

    /// What is asked from now on is asked under this key.
    ///
    /// # Errors
    /// When the key cannot be sent in a header; then the one before stays.
    pub fn change(&self, key: Option<&SecretString>) -> Result<(), ClientError> {
        let key = key.map(KeyInUse::of).transpose()?.map(Arc::new);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = key;
        Ok(())
    }

    pub fn in_use(&self) -> Option<Arc<KeyInUse>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl KeyInUse {
    fn of(key: &SecretString) -> Result<Self, ClientError> {
        // As it is: with `Bearer` before it, the provider refuses it.
        let mut header = HeaderValue::from_str(key.expose_secret()).map_err(|_| ClientError::ApiKey)?;
        header.set_sensitive(true);
        let hash = Sha256::digest(key.expose_secret());
        let fingerprint = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { header, fingerprint, answers: AtomicU64::new(0) })
    }

    pub fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// Tells keys apart without giving one away.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    pub(super) fn answered(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// How often the provider has answered to it since this was last asked. A refusal of the key is no answer.
    pub fn take_answers(&self) -> u64 {
        self.answers.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_changed_for_all_clones_and_never_printed() {
        let key = ApiKey::of(&SecretString::from("the first one")).unwrap();
        let (clone, first) = (key.clone(), key.in_use().unwrap());
        key.change(Some(&SecretString::from("the second one"))).unwrap();
        assert_ne!(clone.in_use().unwrap().fingerprint(), first.fingerprint());
        assert!(key.change(Some(&SecretString::from("no\nheader"))).is_err());
        assert_eq!(clone.in_use().unwrap().header(), "the second one");
        assert!(!format!("{clone:?} {:?}", first.header()).contains("the "));
        key.change(None).unwrap();
        assert!(clone.in_use().is_none());
    }
}
