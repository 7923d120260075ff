//! The words of a text, told apart from how they are spelled: the provider writes quotes and dashes in its own way.

use sha2::{Digest, Sha256};

use crate::media::Sha256Hash;

/// The same for the same words.
pub fn body_hash(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '‘' | '’' | '‚' | '‛' | '′' => folded.push('\''),
            '“' | '”' | '„' | '‟' | '″' => folded.push('"'),
            '‐'..='―' => folded.push('-'),
            '…' => folded.push_str("..."),
            '\u{200b}'..='\u{200d}' | '\u{feff}' => {}
            c if c.is_whitespace() => {
                if !folded.ends_with(' ') {
                    folded.push(' ');
                }
            }
            c => folded.push(c),
        }
    }
    let hash: [u8; 32] = Sha256::digest(folded.trim()).into();
    Sha256Hash::from(hash).to_string()
}

#[cfg(test)]
mod tests {
    use super::body_hash;

    #[test]
    fn spelling_makes_no_difference_and_words_do() {
        assert_eq!(body_hash("It’s “on” – now…\r\n"), body_hash("It's \"on\" - now..."));
        assert_eq!(body_hash("a  b"), body_hash(" a\u{a0}b"));
        assert_ne!(body_hash("Sale"), body_hash("sale"));
        assert_ne!(body_hash("10% off"), body_hash("1 0% off"));
    }
}
