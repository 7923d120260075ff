//! The keys webhooks are signed with.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice};
use sha2::Sha256;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::Scheme;

const STANDARD_PREFIX: &str = "whsec_";

/// One signing key. It does not print, and is wiped when dropped.
pub struct Key(SecretSlice<u8>);

impl Key {
    /// Reads a key as the provider shows it, with or without the `whsec_` of the present scheme.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let encoded = text.strip_prefix(STANDARD_PREFIX).unwrap_or(text);
        let bytes = STANDARD.decode(encoded).map_err(|_| SecretError::NotBase64)?;
        if bytes.is_empty() {
            return Err(SecretError::Empty);
        }
        Ok(Self(SecretSlice::from(bytes)))
    }

    /// Whose a key is by its look: `whsec_…` belongs to the present scheme, anything else to the older one.
    pub fn scheme_of(text: &str) -> Scheme {
        if text.starts_with(STANDARD_PREFIX) { Scheme::Standard } else { Scheme::Legacy }
    }

    /// The code that authenticates `parts`, one after the other.
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    pub(super) fn authenticate(&self, parts: &[&[u8]]) -> Code {
        let mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret());
        let mut mac = mac.expect("HMAC takes keys of any length");
        for part in parts {
            mac.update(part);
        }
        Code(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// An authentication code: one a key made, or one a header claims.
pub(super) struct Code([u8; 32]);

impl Code {
    /// Reads a claimed code. Base64 that a strict reader refuses is no claim: a signature must have
    /// one spelling only.
    pub(super) fn read(encoded: &str) -> Option<Self> {
        STANDARD.decode(encoded).ok()?.try_into().ok().map(Self)
    }

    pub(super) fn encode(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// Which of `made` this is, the last where several are. All are compared, in constant time, whichever matches.
    pub(super) fn place_in(&self, made: &[Self]) -> Option<usize> {
        let (mut found, mut place) = (Choice::from(0), 0u32);
        for (at, code) in (0u32..).zip(made) {
            let same = code.0.ct_eq(&self.0);
            place.conditional_assign(&at, same);
            found |= same;
        }
        bool::from(found).then_some(place as usize)
    }
}

/// The configured keys of both schemes; several of each, for rotation and for several webhooks.
#[derive(Default)]
pub struct Secrets {
    pub standard: Vec<Key>,
    pub legacy: Vec<Key>,
}

/// Why a configured secret cannot be used. It does not repeat the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error("a webhook secret is empty")]
    Empty,
    #[error("a webhook secret is not base64, with or without `whsec_` before it")]
    NotBase64,
}

impl Secrets {
    /// Whether there is no secret of either scheme.
    pub fn is_empty(&self) -> bool {
        self.standard.is_empty() && self.legacy.is_empty()
    }

    /// Sorts secrets by their look: `whsec_…` belongs to the present scheme, bare base64 to the
    /// older one. Space around a secret, as files and environments leave it, is dropped.
    pub fn parse<'s>(list: impl IntoIterator<Item = &'s str>) -> Result<Self, SecretError> {
        let mut secrets = Self::default();
        for text in list {
            let text = text.trim();
            let keys = match Key::scheme_of(text) {
                Scheme::Standard => &mut secrets.standard,
                Scheme::Legacy => &mut secrets.legacy,
            };
            keys.push(Key::parse(text)?);
        }
        Ok(secrets)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets")
            .field("standard", &self.standard.len())
            .field("legacy", &self.legacy.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_sorted_by_their_look() {
        let secrets = Secrets::parse([" whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", "c2VjcmV0", "b3RoZXI="]);
        let secrets = secrets.unwrap();
        assert_eq!((secrets.standard.len(), secrets.legacy.len()), (1, 2));
    }

    #[test]
    fn unusable_secrets_are_refused() {
        for (text, error) in [
            ("", SecretError::Empty),
            ("whsec_", SecretError::Empty),
            ("not base64!", SecretError::NotBase64),
            ("whsec_ c2VjcmV0", SecretError::NotBase64),
            ("c2VjcmV0=", SecretError::NotBase64),
        ] {
            assert_eq!(Secrets::parse([text]).unwrap_err(), error, "{text:?}");
        }
    }

    #[test]
    fn debug_prints_counts_only() {
        let secrets = Secrets::parse(["c2VjcmV0"]).unwrap();
        assert_eq!(format!("{secrets:?}"), "Secrets { standard: 0, legacy: 1 }");
        assert_eq!(format!("{:?}", secrets.legacy[0]), "Key(..)");
    }
}
