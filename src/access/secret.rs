//! Keys and sessions as whoever holds them carries them, and what is kept of them.
//!
//! The secret part has 256 random bits. Nobody guesses those, so one round of SHA-256 hides them as well as a slow
//! hash would, and costs a request nothing.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rand::Rng;
use rand::rngs::StdRng;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Begins every key, so that scanners of repositories can tell one.
const PREFIX: &str = "tlk_";
const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 32;

/// The part of a key that is no secret: logs and the audit name a key by it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, sqlx::Type)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct KeyId(String);

impl KeyId {
    /// What is meant to be an id, whether or not there is such a key.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 2 * ID_BYTES && is_hex(text)).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// SHA-256 of a secret.
#[derive(Clone, Debug, sqlx::Type)]
#[sqlx(transparent)]
pub(super) struct Hash(String);

impl Hash {
    pub(super) fn of(secret: &str) -> Self {
        Self(hex(&Sha256::digest(secret)))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// In a time that tells nothing.
    pub(super) fn is_of(&self, secret: &str) -> bool {
        self.0.as_bytes().ct_eq(Self::of(secret).0.as_bytes()).into()
    }
}

/// A key in two parts, as it came in.
pub(super) struct Presented<'t> {
    pub(super) id: KeyId,
    pub(super) secret: &'t str,
}

impl<'t> Presented<'t> {
    pub(super) fn parse(token: &'t str) -> Option<Self> {
        let (id, secret) = token.strip_prefix(PREFIX)?.split_once('_')?;
        let id = KeyId::parse(id)?;
        is_secret(secret).then_some(Self { id, secret })
    }
}

/// Whether it has the form of a secret part.
pub(super) fn is_secret(text: &str) -> bool {
    text.len() == 2 * SECRET_BYTES && is_hex(text)
}

/// A new key: what its row keeps, and the whole, which is shown once.
pub(super) struct Made {
    pub(super) id: KeyId,
    pub(super) hash: Hash,
    pub(super) token: SecretString,
}

/// Makes secrets. What it draws from must be seeded by the operating system anywhere but in a test.
#[derive(Clone)]
pub(super) struct Mint(Arc<Mutex<StdRng>>);

impl Mint {
    pub(super) fn new(random: StdRng) -> Self {
        Self(Arc::new(Mutex::new(random)))
    }

    pub(super) fn key(&self) -> Made {
        let id = KeyId(hex(&self.bytes::<ID_BYTES>()));
        let secret = self.secret();
        let token = format!("{PREFIX}{id}_{}", secret.expose_secret());
        Made { hash: Hash::of(secret.expose_secret()), id, token: token.into() }
    }

    pub(super) fn secret(&self) -> SecretString {
        hex(&self.bytes::<SECRET_BYTES>()).into()
    }

    fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes);
        bytes
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;

    use super::*;

    fn mint() -> Mint {
        Mint::new(StdRng::seed_from_u64(7))
    }

    #[test]
    fn a_key_is_told_by_its_id_and_proved_by_its_secret() {
        let made = mint().key();
        let presented = Presented::parse(made.token.expose_secret()).unwrap();
        assert_eq!(presented.id, made.id);
        assert!(made.hash.is_of(presented.secret));
        assert!(!made.hash.is_of(&presented.secret.replace(|c: char| c != '0', "0")));
        assert!(!made.hash.as_str().contains(presented.secret));
        assert!(!format!("{:?}", made.token).contains(presented.secret));
    }

    #[test]
    fn no_two_are_alike() {
        let mint = mint();
        let (first, second) = (mint.key(), mint.key());
        assert_ne!(first.id, second.id);
        assert_ne!(first.hash.as_str(), second.hash.as_str());
    }

    #[test]
    fn what_differs_from_a_key_in_form_is_none() {
        let token = mint().key().token.expose_secret().to_owned();
        for bad in [
            String::new(),
            token.to_uppercase(),
            token[1..].to_owned(),
            token[..token.len() - 1].to_owned(),
            format!("{token}0"),
            format!(" {token}"),
            token.replacen('_', "-", 1),
            token.replace("tlk_", "tlk__"),
        ] {
            assert!(Presented::parse(&bad).is_none(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn anything_can_be_presented(text in "\\PC{0,100}|tlk_[0-9a-f_é]{0,90}") {
            let _ = Presented::parse(&text);
            let _ = KeyId::parse(&text);
        }
    }
}
