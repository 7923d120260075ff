//! Sealing secrets under a master key: AES-256-GCM-SIV by `aws-lc-rs`, the cryptography of our TLS. Whose secret it is and
//! which version is authenticated with it, so that a row cannot be given the secret of another.
//!
//! There can be several master keys: the first seals, all of them open. That is how one is exchanged while processes run.

use std::fmt::{self, Write as _};

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::kind::Purpose;

const KEY_BYTES: usize = 32;

#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum MasterKeyError {
    #[error("a master key is 32 random bytes in base64, as `trunkline secrets new-master-key` makes them")]
    Malformed,
    #[error("the same master key is there twice")]
    Twice,
}

#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum SealError {
    #[error("it could not be sealed")]
    Seal,
    #[error("it is not sealed with a master key of secrets.master_keys")]
    UnknownKey,
    #[error("it was changed since it was sealed, or belongs to another row")]
    Open,
}

/// What a sealed secret is bound to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity<'i> {
    pub(super) purpose: Purpose,
    pub(super) name: &'i str,
    pub(super) version: i32,
}

impl Identity<'_> {
    fn bytes(self) -> Vec<u8> {
        format!("trunkline.secrets.v1\n{}\n{}\n{}", self.purpose.as_str(), self.name, self.version)
            .into_bytes()
    }
}

/// A secret as it is stored.
pub(super) struct Sealed {
    pub(super) text: String,
    /// The id of the master key.
    pub(super) with: String,
}

struct MasterKey {
    id: String,
    key: RandomizedNonceKey,
}

/// The master keys of this installation.
pub struct MasterKeys {
    first: MasterKey,
    others: Vec<MasterKey>,
}

impl fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all().map(|key| &key.id)).finish()
    }
}

impl MasterKey {
    fn parse(text: &str) -> Result<Self, MasterKeyError> {
        let bytes = STANDARD.decode(text.trim()).map_err(|_| MasterKeyError::Malformed)?;
        let bytes = SecretSlice::from(bytes);
        if bytes.expose_secret().len() != KEY_BYTES {
            return Err(MasterKeyError::Malformed);
        }
        let key = RandomizedNonceKey::new(&AES_256_GCM_SIV, bytes.expose_secret());
        Ok(Self {
            id: fingerprint(b"trunkline master key\0", bytes.expose_secret()),
            key: key.map_err(|_| MasterKeyError::Malformed)?,
        })
    }
}

impl MasterKeys {
    /// Reads them; `None` where there are none.
    ///
    /// # Errors
    /// When one is no key, or there twice.
    pub fn parse<'k>(list: impl IntoIterator<Item = &'k str>) -> Result<Option<Self>, MasterKeyError> {
        let mut keys: Vec<MasterKey> = Vec::new();
        for text in list {
            let key = MasterKey::parse(text)?;
            if keys.iter().any(|known| known.id == key.id) {
                return Err(MasterKeyError::Twice);
            }
            keys.push(key);
        }
        let mut keys = keys.into_iter();
        Ok(keys.next().map(|first| Self { first, others: keys.collect() }))
    }

    /// A new one, drawn from the operating system.
    ///
    /// # Errors
    /// When that has no randomness to give.
    pub fn generate() -> Result<SecretString, SealError> {
        let mut bytes = SecretSlice::from(vec![0; KEY_BYTES]);
        let drawn = aws_lc_rs::rand::fill(secrecy::ExposeSecretMut::expose_secret_mut(&mut bytes));
        drawn.map_err(|_| SealError::Seal)?;
        Ok(STANDARD.encode(bytes.expose_secret()).into())
    }

    /// Which of them seals.
    pub(super) fn sealing(&self) -> &str {
        &self.first.id
    }

    pub(super) fn knows(&self, id: &str) -> bool {
        self.all().any(|key| key.id == id)
    }

    fn all(&self) -> impl Iterator<Item = &MasterKey> {
        std::iter::once(&self.first).chain(&self.others)
    }

    pub(super) fn seal(&self, of: Identity<'_>, secret: &SecretString) -> Result<Sealed, SealError> {
        let plain = secret.expose_secret().as_bytes();
        // With room for the tag from the start, or growing would leave a copy behind.
        let mut bytes = Vec::with_capacity(plain.len() + AES_256_GCM_SIV.tag_len());
        bytes.extend_from_slice(plain);
        let nonce = self.first.key.seal_in_place_append_tag(Aad::from(of.bytes()), &mut bytes);
        let nonce = nonce.map_err(|_| SealError::Seal)?;
        let nonce: &[u8; NONCE_LEN] = nonce.as_ref();
        let whole = [nonce.as_slice(), &bytes].concat();
        Ok(Sealed { text: STANDARD.encode(whole), with: self.first.id.clone() })
    }

    pub(super) fn open(&self, of: Identity<'_>, sealed: &str, with: &str) -> Result<SecretString, SealError> {
        let master = self.all().find(|key| key.id == with).ok_or(SealError::UnknownKey)?;
        let mut whole = STANDARD.decode(sealed).map_err(|_| SealError::Open)?;
        if whole.len() < NONCE_LEN {
            return Err(SealError::Open);
        }
        let mut bytes = whole.split_off(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&whole).map_err(|_| SealError::Open)?;
        let opened = master.key.open_in_place(nonce, Aad::from(of.bytes()), &mut bytes);
        let length = opened.map_err(|_| SealError::Open)?.len();
        bytes.truncate(length);
        String::from_utf8(bytes).map(SecretString::from).map_err(|_| SealError::Open)
    }
}

/// Tells a secret from others without giving it away.
pub(crate) fn fingerprint_of(secret: &SecretString) -> String {
    fingerprint(b"trunkline secret\0", secret.expose_secret().trim().as_bytes())
}

fn fingerprint(domain: &[u8], bytes: &[u8]) -> String {
    let digest = Sha256::new().chain_update(domain).chain_update(bytes).finalize();
    digest.iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_c2ltdWxhdGVkIHN0YW5kYXJkIHNlY3JldA==";

    fn keys(texts: &[&SecretString]) -> MasterKeys {
        MasterKeys::parse(texts.iter().map(|text| text.expose_secret())).unwrap().unwrap()
    }

    fn identity(name: &str, version: i32) -> Identity<'_> {
        Identity { purpose: Purpose::Standard, name, version }
    }

    #[test]
    fn a_secret_opens_for_its_own_row_and_for_no_other() {
        let keys = keys(&[&MasterKeys::generate().unwrap()]);
        let sealed = keys.seal(identity("4127", 2), &SECRET.into()).unwrap();
        assert!(!sealed.text.contains(SECRET));
        let open = |of| keys.open(of, &sealed.text, &sealed.with).map(|text| text.expose_secret().to_owned());
        assert_eq!(open(identity("4127", 2)).as_deref(), Ok(SECRET));
        for other in [
            identity("4127", 1),
            identity("4128", 2),
            Identity { purpose: Purpose::Legacy, ..identity("4127", 2) },
        ] {
            assert_eq!(open(other), Err(SealError::Open));
        }
        let twice = keys.seal(identity("4127", 2), &SECRET.into()).unwrap();
        assert_ne!(twice.text, sealed.text, "each with a nonce of its own");
    }

    #[test]
    fn what_was_changed_does_not_open() {
        let keys = keys(&[&MasterKeys::generate().unwrap()]);
        let sealed = keys.seal(identity("4127", 1), &SECRET.into()).unwrap();
        let bytes = STANDARD.decode(&sealed.text).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let opened = keys.open(identity("4127", 1), &STANDARD.encode(changed), &sealed.with);
            assert_eq!(opened.map(drop), Err(SealError::Open));
        }
        for text in ["", "AAAA", "no base64"] {
            assert_eq!(keys.open(identity("4127", 1), text, &sealed.with).map(drop), Err(SealError::Open));
        }
    }

    #[test]
    fn the_first_key_seals_and_every_key_opens() {
        let (old, new) = (MasterKeys::generate().unwrap(), MasterKeys::generate().unwrap());
        let (only_old, both, only_new) = (keys(&[&old]), keys(&[&new, &old]), keys(&[&new]));
        let sealed = only_old.seal(identity("4127", 1), &SECRET.into()).unwrap();
        assert!(both.open(identity("4127", 1), &sealed.text, &sealed.with).is_ok());
        let unknown = only_new.open(identity("4127", 1), &sealed.text, &sealed.with);
        assert_eq!(unknown.map(drop), Err(SealError::UnknownKey));
        let again = both.seal(identity("4127", 1), &SECRET.into()).unwrap();
        assert_eq!(again.with, only_new.sealing());
        assert!(only_new.open(identity("4127", 1), &again.text, &again.with).is_ok());
    }

    #[test]
    fn a_master_key_is_32_bytes_and_no_error_repeats_it() {
        for text in ["", "c2hvcnQ=", "not base64!", &"A".repeat(100)] {
            assert_eq!(MasterKeys::parse([text]).map(drop), Err(MasterKeyError::Malformed), "{text:?}");
        }
        let key = MasterKeys::generate().unwrap();
        let text = format!(" {}\n", key.expose_secret());
        let keys = MasterKeys::parse([text.as_str()]).unwrap().unwrap();
        assert!(!format!("{keys:?}").contains(key.expose_secret()));
        assert_eq!(MasterKeys::parse([text.trim(), &text]).map(drop), Err(MasterKeyError::Twice));
        assert!(MasterKeys::parse([]).unwrap().is_none());
    }
}
