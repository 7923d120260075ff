//! What stands in the index for a document, and how a query is put to each engine.
//!
//! Three kinds of terms, kept apart by an underscore, which no word has: words (`heater`), pairs of neighbours
//! (`_the_heater`), and marks of what the document is and who took part (`_kmessage`, `_n12125550101`). With pairs
//! in the index a phrase is as quick as a word, on either engine, and needs no positions.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use trunkline_platform::db::Engine;

use super::query::Term;
use super::words::{one_word, words};

/// The most that is indexed of one document, in bytes of distinct terms. PostgreSQL refuses more than a mebibyte.
/// Hours of talk fit.
const MOST_BYTES: usize = 500_000;

/// The terms of one document.
#[derive(Debug, Default)]
pub(super) struct Terms {
    terms: BTreeSet<String>,
    bytes: usize,
}

impl Terms {
    /// Adds words that stand together.
    pub(super) fn add_text(&mut self, text: &str) {
        let mut before: Option<String> = None;
        for word in words(text) {
            if self.bytes >= MOST_BYTES {
                return;
            }
            if let Some(before) = before {
                self.add(pair(&before, &word.folded));
            }
            self.add(word.folded.clone());
            before = Some(word.folded);
        }
    }

    pub(super) fn mark(&mut self, mark: Mark<'_>) {
        self.add(mark.term());
    }

    fn add(&mut self, term: String) {
        let length = term.len();
        if self.terms.insert(term) {
            self.bytes += length + 1;
        }
    }

    /// As both engines read them: no term has a character that means something to either.
    pub(super) fn text(&self) -> String {
        let mut text = String::with_capacity(self.bytes);
        for term in &self.terms {
            text.push_str(term);
            text.push(' ');
        }
        text
    }
}

/// What a document is, or who took part.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mark<'m> {
    Kind(&'m str),
    Number(&'m str),
    User(&'m str),
    Conversation(&'m str),
}

impl Mark<'_> {
    fn term(self) -> String {
        match self {
            Self::Kind(kind) => format!("_k{kind}"),
            Self::Number(number) => format!("_n{}", one_word(number)),
            Self::User(id) => format!("_u{}", one_word(id)),
            Self::Conversation(id) => format!("_c{}", one_word(id)),
        }
    }
}

fn pair(first: &str, second: &str) -> String {
    format!("_{first}_{second}")
}

/// The query in an engine's own words: every term, and of every group of marks at least one. None asks for nothing.
pub(super) fn expression(engine: Engine, terms: &[Term], marks: &[Vec<Mark<'_>>]) -> Option<String> {
    let (and, or) = match engine {
        Engine::Postgres => (" & ", " | "),
        Engine::Sqlite => (" AND ", " OR "),
    };
    let mut needed: Vec<String> = Vec::new();
    for term in terms {
        let last = term.words.len().saturating_sub(1);
        if let [word] = term.words.as_slice() {
            needed.push(operand(engine, word, term.prefix));
        }
        for (at, both) in term.words.windows(2).enumerate() {
            needed.push(operand(engine, &pair(&both[0], &both[1]), term.prefix && at + 1 == last));
        }
    }
    for group in marks.iter().filter(|group| !group.is_empty()) {
        let any: Vec<String> = group.iter().map(|mark| operand(engine, &mark.term(), false)).collect();
        needed.push(format!("({})", any.join(or)));
    }
    needed.sort_unstable();
    needed.dedup();
    (!needed.is_empty()).then(|| needed.join(and))
}

fn operand(engine: Engine, term: &str, prefix: bool) -> String {
    let mut text = String::with_capacity(term.len() + 4);
    let _ = match (engine, prefix) {
        (Engine::Postgres, false) => write!(text, "'{term}'"),
        (Engine::Postgres, true) => write!(text, "'{term}':*"),
        (Engine::Sqlite, false) => write!(text, "\"{term}\""),
        (Engine::Sqlite, true) => write!(text, "\"{term}\" *"),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::super::query::Terms as Parsed;
    use super::*;

    fn asked(engine: Engine, text: &str, marks: &[Vec<Mark<'_>>]) -> String {
        expression(engine, &Parsed::parse(text).terms, marks).unwrap_or_default()
    }

    #[test]
    fn a_document_has_its_words_their_neighbours_and_its_marks() {
        let mut terms = Terms::default();
        terms.add_text("The heater, the HEATER.");
        terms.mark(Mark::Kind("message"));
        terms.mark(Mark::Number("+1 212 555 0101"));
        assert_eq!(terms.text(), "_heater_the _kmessage _n12125550101 _the_heater heater the ");
    }

    #[test]
    fn a_document_without_end_is_indexed_up_to_a_bound() {
        let mut terms = Terms::default();
        let text: String = (0..200_000).map(|n| format!("word{n} ")).collect();
        terms.add_text(&text);
        assert!(terms.text().len() < MOST_BYTES + 200);
    }

    #[test]
    fn each_engine_is_asked_in_its_own_words() {
        let marks = [vec![Mark::Kind("message"), Mark::Kind("summary")], vec![]];
        assert_eq!(
            asked(Engine::Postgres, "heat* \"out of order\"", &marks),
            "'_of_order' & '_out_of' & 'heat':* & ('_kmessage' | '_ksummary')"
        );
        assert_eq!(
            asked(Engine::Sqlite, "heat* \"out of ord*\"", &marks),
            "\"_of_ord\" * AND \"_out_of\" AND \"heat\" * AND (\"_kmessage\" OR \"_ksummary\")"
        );
        assert_eq!(asked(Engine::Sqlite, "!!", &[]), "");
    }
}
