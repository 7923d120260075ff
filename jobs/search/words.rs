//! What counts as a word. Both engines index and look for exactly these, so that a query finds the same on either.
//!
//! Letters lose case, accents and typographic forms (`Café`, `CAFE` and `ｃａｆé` are one word), and nothing else: no
//! language is guessed and no ending is cut. An apostrophe belongs to its word, marks that nobody sees do not part
//! one. Scripts written without spaces are words of one character each.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// The longest word, in characters; the rest of a longer one counts for nothing.
const LONGEST: usize = 40;

/// A word of a text, and the bytes it stands in.
#[derive(Debug, PartialEq)]
pub(super) struct Word {
    pub(super) folded: String,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The words of a text, in order.
pub(super) fn words(text: &str) -> impl Iterator<Item = Word> {
    let mut rest = text.char_indices().peekable();
    std::iter::from_fn(move || {
        loop {
            let (start, first) = rest.find(|(_, c)| kind(*c) == Kind::Part || kind(*c) == Kind::Whole)?;
            let mut end = start + first.len_utf8();
            let mut folded = String::new();
            let mut length = 0;
            fold(first, &mut folded, &mut length);
            while kind(first) == Kind::Part {
                match rest.peek() {
                    Some(&(at, c)) if kind(c) == Kind::Part => {
                        fold(c, &mut folded, &mut length);
                        end = at + c.len_utf8();
                        rest.next();
                    }
                    Some(&(_, c)) if kind(c) == Kind::Unseen => {
                        rest.next();
                    }
                    Some(&(_, c)) if is_apostrophe(c) => {
                        rest.next();
                        if rest.peek().is_none_or(|(_, next)| kind(*next) != Kind::Part) {
                            break;
                        }
                    }
                    _ => break,
                }
            }
            if !folded.is_empty() {
                return Some(Word { folded, start, end });
            }
        }
    })
}

/// A number, id or name as one word. Of what looks like a phone number only the digits count.
pub(super) fn one_word(text: &str) -> String {
    let looks_like_phone = text.chars().any(|c| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_digit() || "+-.() ".contains(c));
    let mut folded = String::new();
    let mut length = 0;
    for c in text.chars().filter(|c| if looks_like_phone { c.is_ascii_digit() } else { c.is_alphanumeric() })
    {
        fold(c, &mut folded, &mut length);
    }
    folded
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Part of a word.
    Part,
    /// A word by itself.
    Whole,
    /// Seen by nobody, or a mark on the letter before.
    Unseen,
    Gap,
}

fn kind(c: char) -> Kind {
    match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' => Kind::Part,
        '\0'..='\x7f' => Kind::Gap,
        '\u{ad}'
        | '\u{2bc}'
        | '\u{200c}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' => Kind::Unseen,
        '\u{3040}'..='\u{30ff}'
        | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{ff66}'..='\u{ff9d}'
        | '\u{20000}'..='\u{3fffd}' => Kind::Whole,
        _ if is_combining_mark(c) => Kind::Unseen,
        _ if c.is_alphanumeric() => Kind::Part,
        _ => Kind::Gap,
    }
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '\u{2019}' | '\u{ff07}')
}

/// Adds a letter without its case, accents and form.
fn fold(c: char, folded: &mut String, length: &mut usize) {
    let mut push = |c: char| {
        if *length < LONGEST {
            folded.push(c);
            *length += 1;
        }
    };
    if c.is_ascii() {
        return push(c.to_ascii_lowercase());
    }
    let plain = c.to_lowercase().nfkd().flat_map(char::to_lowercase);
    plain.filter(|c| c.is_alphanumeric() && !is_combining_mark(*c)).for_each(push);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folded(text: &str) -> Vec<String> {
        words(text).map(|word| word.folded).collect()
    }

    #[test]
    fn case_accents_and_forms_make_no_other_word() {
        for text in ["café", "CAFÉ", "Cafe\u{301}", "ｃａｆé", "c\u{ad}a\u{200d}fe", "caf\u{202e}e"] {
            assert_eq!(folded(text), ["cafe"], "{text:?}");
        }
        assert_eq!(folded("ÅNGSTRÖM ﬁx Straße"), ["angstrom", "fix", "straße"]);
    }

    #[test]
    fn an_apostrophe_belongs_to_its_word_and_a_quote_does_not() {
        assert_eq!(
            folded("I don't, don’t 'quote' rock 'n' roll'"),
            ["i", "dont", "dont", "quote", "rock", "n", "roll"]
        );
    }

    #[test]
    fn whatever_is_no_letter_or_digit_parts_words() {
        assert_eq!(folded("+1 (212) 555-0101"), ["1", "212", "555", "0101"]);
        assert_eq!(folded("snake_case a@b.example 🎉\0x"), ["snake", "case", "a", "b", "example", "x"]);
        assert_eq!(folded("🎉 !!! \u{301}"), Vec::<String>::new());
    }

    #[test]
    fn scripts_without_spaces_are_words_of_one_character() {
        assert_eq!(folded("暖气坏了 ok"), ["暖", "气", "坏", "了", "ok"]);
        assert_eq!(folded("שָׁלוֹם"), ["שלום"]);
    }

    #[test]
    fn a_word_knows_where_it_stands() {
        let text = "«Heáter» out";
        let found: Vec<&str> = words(text).map(|word| &text[word.start..word.end]).collect();
        assert_eq!(found, ["Heáter", "out"]);
    }

    #[test]
    fn a_number_is_its_digits_and_a_name_is_one_word() {
        assert_eq!(one_word("+1 (212) 555-0101"), "12125550101");
        assert_eq!(one_word("Anonymous caller"), "anonymouscaller");
        assert_eq!(one_word("USz9y8x7w6"), "usz9y8x7w6");
    }

    proptest! {
        #[test]
        fn no_text_makes_a_word_that_an_engine_could_misread(text in ".{0,200}") {
            for word in words(&text) {
                prop_assert!(word.start < word.end && text.is_char_boundary(word.start) && text.is_char_boundary(word.end));
                prop_assert!(!word.folded.is_empty() && word.folded.chars().count() <= LONGEST);
                prop_assert!(word.folded.chars().all(|c| c.is_alphanumeric() && !c.is_ascii_uppercase()));
            }
        }

        #[test]
        fn folding_a_folded_word_changes_nothing(text in "\\PC{0,60}") {
            for word in words(&text) {
                let again: String = folded(&word.folded).concat();
                prop_assert_eq!(again, word.folded);
            }
        }
    }
}
