//! What identifies a file's content.

use std::fmt;
use std::str::FromStr;

/// The SHA-256 of a content, in hexadecimal wherever it is written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256Hash([u8; 32]);

impl Sha256Hash {
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Where it stands among all hashes, as a number from 1: its first seven bytes.
    pub(crate) fn position(&self) -> i64 {
        let first = self.0.iter().take(7);
        first.fold(0, |position, byte| position << 8 | i64::from(*byte)).max(1)
    }

    /// The first of the hashes at a position.
    pub(crate) fn at(position: i64) -> Self {
        let mut bytes = [0; 32];
        for (byte, of) in bytes.iter_mut().zip(position.to_be_bytes().into_iter().skip(1)) {
            *byte = of;
        }
        Self(bytes)
    }
}

impl From<[u8; 32]> for Sha256Hash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Sha256Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 hash is 64 lower-case hexadecimal digits")]
pub struct InvalidHash;

impl FromStr for Sha256Hash {
    type Err = InvalidHash;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(InvalidHash),
        };
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return Err(InvalidHash) };
        let pairs: &[[u8; 2]; 32] = pairs.try_into().map_err(|_| InvalidHash)?;
        let mut bytes = [0; 32];
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Ok(Self(bytes))
    }
}

/// Where a file is, relative to the store's root and with forward slashes: what the database keeps. It is the same
/// in every kind of store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StoredPath(String);

impl StoredPath {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&Sha256Hash> for StoredPath {
    fn from(hash: &Sha256Hash) -> Self {
        let Sha256Hash([first, second, ..]) = hash;
        Self(format!("{first:02x}/{second:02x}/{hash}"))
    }
}

impl fmt::Display for StoredPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_hash_is_read_only_in_its_one_spelling() {
        let hash = Sha256Hash([0xab; 32]);
        let upper = hash.to_string().to_uppercase();
        for text in ["", "ab", "zz", &upper, &format!("{hash}ab"), &format!("{hash}a"), &"é".repeat(32)] {
            assert_eq!(text.parse::<Sha256Hash>(), Err(InvalidHash), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_hash_survives_being_written_and_read(bytes: [u8; 32]) {
            let hash = Sha256Hash(bytes);
            prop_assert_eq!(hash.to_string().parse(), Ok(hash));
        }

        #[test]
        fn a_position_leads_back_to_where_it_was_taken(bytes: [u8; 32]) {
            let hash = Sha256Hash(bytes);
            let first = Sha256Hash::at(hash.position());
            prop_assert!(first <= hash || hash.position() == 1);
            prop_assert_eq!(first.position(), hash.position());
        }

        #[test]
        fn hashes_and_their_paths_have_one_order(one: [u8; 32], other: [u8; 32]) {
            let (one, other) = (Sha256Hash(one), Sha256Hash(other));
            let path = |hash: &Sha256Hash| StoredPath::from(hash).as_str().to_owned();
            prop_assert_eq!(one.cmp(&other), path(&one).cmp(&path(&other)));
        }
    }
}
