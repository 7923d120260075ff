//! What people type: words, all of which must be there; `"words in this order"`; and `begin*`, also as the last of a
//! phrase. A word with signs inside (`212-555-0101`) is a phrase. Whatever else is typed counts for nothing.

use super::words::{Word, words};

/// The most terms, and the most words, of one query.
const MOST_TERMS: usize = 16;
const MOST_WORDS: usize = 32;
/// How much of a query is read, in bytes.
const MOST_BYTES: usize = 2_000;
/// A shorter beginning would fit too much: it counts as the word itself.
pub(super) const SHORTEST_PREFIX: usize = 3;

/// One thing that must be there: a word, or words that follow each other.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Term {
    /// At least one.
    pub(super) words: Vec<String>,
    /// The last word need only begin so.
    pub(super) prefix: bool,
}

/// A query as it was understood.
#[derive(Debug, Default)]
pub(super) struct Terms {
    pub(super) terms: Vec<Term>,
    /// There was more than is looked for.
    pub(super) cut: bool,
}

impl Terms {
    pub(super) fn parse(text: &str) -> Self {
        let mut end = text.len().min(MOST_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let mut parsed = Self { terms: Vec::new(), cut: end < text.len() };
        let mut quoted = false;
        for part in text[..end].split(['"', '\u{201c}', '\u{201d}']) {
            if quoted {
                parsed.add(part);
            } else {
                part.split_whitespace().for_each(|word| parsed.add(word));
            }
            quoted = !quoted;
        }
        parsed
    }

    fn add(&mut self, text: &str) {
        let mut found: Vec<String> = words(text).map(|word: Word| word.folded).collect();
        let Some(last) = found.last() else { return };
        let prefix = text.trim_end().ends_with('*') && last.chars().count() >= SHORTEST_PREFIX;
        let room = MOST_WORDS.saturating_sub(self.terms.iter().map(|term| term.words.len()).sum());
        if self.terms.len() == MOST_TERMS || room == 0 {
            self.cut = true;
            return;
        }
        let whole = found.len() <= room;
        self.cut |= !whole;
        found.truncate(room);
        let term = Term { words: found, prefix: prefix && whole };
        if !self.terms.contains(&term) {
            self.terms.push(term);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<String> {
        let terms = Terms::parse(text).terms;
        terms.iter().map(|term| term.words.join(" ") + if term.prefix { "*" } else { "" }).collect()
    }

    #[test]
    fn words_phrases_and_beginnings_are_told_apart() {
        assert_eq!(parsed("Heater out"), ["heater", "out"]);
        assert_eq!(parsed("\"heater out\" tech*"), ["heater out", "tech*"]);
        assert_eq!(parsed("“book a techn*” 212-555"), ["book a techn*", "212 555"]);
        assert_eq!(parsed("a\"b c\"d out out"), ["a", "b c", "d", "out"]);
    }

    #[test]
    fn what_is_no_word_counts_for_nothing() {
        assert_eq!(parsed("* \"\" && OR:' -- ; \u{202e}\0 ()"), ["or"]);
        assert_eq!(parsed("\"never closed"), ["never closed"]);
        assert_eq!(parsed("a* ab* abc* x"), ["a", "ab", "abc*", "x"]);
        assert!(parsed("").is_empty());
    }

    #[test]
    fn a_query_without_end_is_cut() {
        let long: String = (0..5_000).map(|n| format!("w{n}x ")).collect();
        let terms = Terms::parse(&long);
        assert_eq!((terms.terms.len(), terms.cut), (MOST_TERMS, true));
        let phrase = Terms::parse(&format!("\"{}\"", long));
        assert_eq!((phrase.terms[0].words.len(), phrase.cut), (MOST_WORDS, true));
    }
}
