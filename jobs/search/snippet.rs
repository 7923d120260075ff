//! What is shown of a hit: the words around what was looked for. It comes in pieces, so that whoever shows it escapes
//! each in their own way and no text can pass for a mark.

use serde::Serialize;

use super::rank::{Mention, Read};

/// The most words, and the most characters, of a snippet.
const MOST_WORDS: usize = 32;
const MOST_CHARS: usize = 320;
/// Words before the first that was looked for.
const BEFORE: usize = 6;
const MOST_CHARS_BEFORE: usize = 120;

/// A part of a text with what was looked for set apart.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Snippet {
    /// The text begins before it.
    pub cut_before: bool,
    /// The text goes on after it.
    pub cut_after: bool,
    pub pieces: Vec<Piece>,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Piece {
    pub text: String,
    /// This was looked for.
    pub hit: bool,
}

impl Snippet {
    pub(super) fn of(read: &Read<'_>, mentions: &[Mention]) -> Self {
        let (text, words) = (read.passage.text.as_str(), &read.words);
        let shown_first = densest(mentions);
        let near = |start: usize| {
            let until = words.get(shown_first).map_or(text.len(), |word| word.start);
            text[start..until].chars().nth(MOST_CHARS_BEFORE).is_none()
        };
        let earliest = shown_first.saturating_sub(BEFORE);
        let first = (earliest..shown_first).find(|at| near(words[*at].start)).unwrap_or(shown_first);
        let last = (first + MOST_WORDS).min(words.len());
        let start = match words.get(first) {
            Some(word) if first > 0 || !near(0) => word.start,
            _ => 0,
        };
        let end = if last == words.len() { text.len() } else { words[last - 1].end };
        let end = start + bounded(&text[start..end]);
        let mut snippet = Self { cut_before: start > 0, cut_after: end < text.len(), pieces: Vec::new() };
        let mut at = start;
        for mention in mentions {
            let (from, to) = (words[mention.from].start.max(at), words[mention.to - 1].end.min(end));
            if from < to && from >= start {
                snippet.push(&text[at..from], false);
                snippet.push(&text[from..to], true);
                at = to;
            }
        }
        snippet.push(&text[at.min(end)..end], false);
        snippet
    }

    fn push(&mut self, text: &str, hit: bool) {
        if !text.is_empty() {
            self.pieces.push(Piece { text: text.chars().filter_map(shown).collect(), hit });
        }
    }

    /// With what was looked for between two marks, every piece through `escape`.
    pub fn marked(&self, open: &str, close: &str, escape: impl Fn(&str) -> String) -> String {
        let mut text = String::from(if self.cut_before { "…" } else { "" });
        for piece in &self.pieces {
            let escaped = escape(&piece.text);
            text += &if piece.hit { format!("{open}{escaped}{close}") } else { escaped };
        }
        if self.cut_after {
            text.push('…');
        }
        text
    }
}

/// The mention at which the most different terms begin to follow within one snippet.
fn densest(mentions: &[Mention]) -> usize {
    let variety = |at: usize| {
        let begin = mentions[at].from;
        let mut terms: Vec<usize> = mentions[at..]
            .iter()
            .take_while(|mention| mention.to <= begin + MOST_WORDS - BEFORE)
            .map(|mention| mention.term)
            .collect();
        terms.sort_unstable();
        terms.dedup();
        terms.len()
    };
    // Among equals the first.
    let best = (0..mentions.len().min(200)).rev().max_by_key(|at| variety(*at));
    best.map_or(0, |at| mentions[at].from)
}

/// How many bytes of a text fit.
fn bounded(text: &str) -> usize {
    text.char_indices().nth(MOST_CHARS).map_or(text.len(), |(end, _)| end)
}

/// Line ends and other controls as blanks; what would turn the direction of the text around, not at all.
fn shown(c: char) -> Option<char> {
    match c {
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => None,
        c if c.is_control() => Some(' '),
        c => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::query::Terms;
    use super::super::rank::fit;
    use super::super::source::Passage;
    use super::*;

    fn snippet(query: &str, text: &str) -> Option<Snippet> {
        let passage = Passage { text: text.to_owned(), ..Passage::default() };
        let fit = fit(std::iter::once(&passage), &Terms::parse(query).terms)?;
        Some(Snippet::of(&fit.best, &fit.mentions))
    }

    fn marked(query: &str, text: &str) -> String {
        snippet(query, text).unwrap().marked("[", "]", str::to_owned)
    }

    #[test]
    fn what_was_looked_for_is_set_apart() {
        assert_eq!(marked("heat* \"is out\"", "My Héater is OUT."), "My [Héater] [is OUT].");
        assert_eq!(marked("", "🎉🎉"), "🎉🎉");
        assert_eq!(marked("b \"a b c\"", "a b c"), "[a b c]", "marks do not overlap");
    }

    #[test]
    fn only_the_words_around_are_shown() {
        let text = format!("{}the heater is out{}", "before ".repeat(50), " after".repeat(50));
        let shown = marked("heater", &text);
        assert!(shown.starts_with("…before ") && shown.ends_with(" after…"), "{shown}");
        assert!(shown.contains("the [heater] is"), "{shown}");
        let nearer = format!("heater {} out heater", "x ".repeat(100));
        assert!(marked("heater out", &nearer).ends_with("[out] [heater]"));
    }

    #[test]
    fn hostile_text_stays_text() {
        let text = "<script>alert('heater')</script>\0\u{202e}evil\u{2066}\x1b[2J";
        let shown = marked("heater", text);
        assert_eq!(shown, "<script>alert('[heater]')</script> evil [2J");
        let html = snippet("heater", text).unwrap().marked("<mark>", "</mark>", |piece| {
            piece.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
        });
        assert!(html.contains("&lt;script&gt;") && html.contains("<mark>heater</mark>"), "{html}");
        let far = format!("{} {} heater", "🎉".repeat(9_000), "b".repeat(9_000));
        assert_eq!(marked("heater", &far), "…[heater]");
        let endless = "a".repeat(1_000_000);
        assert!(marked("", &endless).len() < 2_000);
    }

    proptest! {
        #[test]
        fn the_pieces_are_a_part_of_the_text_and_the_marked_ones_fit(
            text in "([a-c]{1,2}|[ .,!é<&🎉\u{202e}\n]{1,3}){0,80}", query in "[a-c\"* ]{0,12}",
        ) {
            if let Some(snippet) = snippet(&query, &text) {
                let whole: String = text.chars().filter_map(shown).collect();
                let joined: String = snippet.pieces.iter().map(|piece| piece.text.as_str()).collect();
                prop_assert!(whole.contains(&joined));
                prop_assert!(joined.chars().count() <= MOST_CHARS);
                let looked_for = !Terms::parse(&query).terms.is_empty();
                prop_assert_eq!(snippet.pieces.iter().any(|piece| piece.hit), looked_for);
            }
        }
    }
}
