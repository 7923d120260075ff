//! What a text says about being texted: nothing, most of the time.
//!
//! Two kinds of asking are heard. A text that is nothing but a word of a list means just that. A sentence that plainly
//! asks to stop means it, too, but a sentence can be misread, so a person looks at it afterwards. When in doubt
//! between the two mistakes, this leans towards closing: a number closed by mistake is opened again by one command,
//! a text after "leave me alone" is not unsent.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;
use thiserror::Error;
use unicode_normalization::UnicodeNormalization;

/// The lists; what is in them and why stands there.
const BUILTIN: &str = include_str!("words.toml");
/// Words of a text that are looked at. Longer ones ask for something else.
const LONGEST: usize = 400;
/// The list that holds everywhere.
const ANYWHERE: &str = "*";

/// What a text says about being texted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Meaning {
    /// A word that stops. The provider acts on its own words by itself, and answers them.
    Stop { by_provider: bool },
    /// A sentence that plainly asks to stop.
    AsksToStop,
    /// A word that starts again.
    Start,
    /// A word that asks who we are.
    Help,
}

/// Words of one's own beside the built-in ones; they hold everywhere.
#[derive(Clone, Debug, Default)]
pub struct MoreWords {
    pub stop: Vec<String>,
    pub start: Vec<String>,
    pub help: Vec<String>,
}

#[derive(Debug, Error)]
pub enum WordsError {
    #[error("the built-in list of words cannot be read")]
    Builtin(#[source] Box<toml::de::Error>),
    #[error("nothing is left of {0:?} when punctuation is taken off")]
    Nothing(String),
    #[error("{0:?} would both stop and start")]
    Both(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    provider: Provider,
    countries: BTreeMap<String, Lists>,
    sentences: Sentences,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Provider {
    stop: HashSet<String>,
    start: HashSet<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lists {
    stop: HashSet<String>,
    start: HashSet<String>,
    help: HashSet<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sentences {
    alone: HashSet<String>,
    asks: Vec<String>,
    open_asks: Vec<String>,
    closers: Vec<String>,
    unless_before: Vec<String>,
    unless_after: Vec<String>,
    reactions: Vec<String>,
    signs: Vec<String>,
}

/// The lists in force.
#[derive(Debug)]
pub struct Words {
    provider: Provider,
    countries: BTreeMap<String, Lists>,
    sentences: Sentences,
}

impl Words {
    /// # Errors
    /// When a word of one's own is none, or means two things.
    pub fn new(more: &MoreWords) -> Result<Self, WordsError> {
        let file: File = toml::from_str(BUILTIN).map_err(|error| WordsError::Builtin(Box::new(error)))?;
        let File { provider, mut countries, sentences } = file;
        let anywhere = countries.entry(ANYWHERE.to_owned()).or_default();
        for (list, words) in [
            (&mut anywhere.stop, &more.stop),
            (&mut anywhere.start, &more.start),
            (&mut anywhere.help, &more.help),
        ] {
            for word in words {
                let folded = folded(word).join(" ");
                if folded.is_empty() {
                    return Err(WordsError::Nothing(word.clone()));
                }
                list.insert(folded);
            }
        }
        let both = countries.values().find_map(|lists| {
            lists.start.iter().find(|word| countries.values().any(|other| other.stop.contains(*word)))
        });
        match both {
            Some(word) => Err(WordsError::Both(word.clone())),
            None => Ok(Self { provider, countries, sentences }),
        }
    }

    /// What a text says, from somebody of this country.
    pub fn meaning(&self, text: &str, country: Option<&str>) -> Option<Meaning> {
        let words = folded(text);
        if words.is_empty() {
            let sign = text.trim().trim_end_matches('\u{fe0f}');
            return self.sentences.signs.iter().any(|known| known == sign).then_some(Meaning::AsksToStop);
        }
        let whole = whole(&words);
        let lists =
            [Some(ANYWHERE), country].into_iter().flatten().filter_map(|name| self.countries.get(name));
        for list in lists {
            if list.stop.contains(&whole) {
                return Some(Meaning::Stop { by_provider: self.provider.stop.contains(&bare(text)) });
            }
            if list.start.contains(&whole) {
                return Some(Meaning::Start);
            }
            if list.help.contains(&whole) {
                return Some(Meaning::Help);
            }
        }
        (words.len() <= LONGEST && self.asks_to_stop(text)).then_some(Meaning::AsksToStop)
    }

    /// Whether the provider opens its own block at this text.
    pub fn opens_at_provider(&self, text: &str) -> bool {
        self.provider.start.contains(&bare(text))
    }

    fn asks_to_stop(&self, text: &str) -> bool {
        let own = without_quotes(text);
        let lists = &self.sentences;
        let sentences: Vec<Vec<String>> =
            own.split(['.', '!', '?', '\n', ';']).map(folded).filter(|words| !words.is_empty()).collect();
        let Some(first) = sentences.first() else { return false };
        if lists.reactions.iter().any(|reaction| begins(first, reaction)) {
            return false;
        }
        let ends = [sentences.first(), sentences.last()].into_iter().flatten();
        if sentences.len() > 1 && ends.map(|words| words.join(" ")).any(|words| lists.alone.contains(&words))
        {
            return true;
        }
        sentences.iter().any(|words| self.asks(words))
    }

    /// Whether one sentence asks to stop.
    fn asks(&self, words: &[String]) -> bool {
        let lists = &self.sentences;
        (0..words.len()).any(|at| {
            let (before, rest) = words.split_at(at);
            let turned = before.last().is_some_and(|word| lists.unless_before.contains(word));
            let asked = |phrases: &[String], holds: &dyn Fn(&[String]) -> bool| {
                phrases.iter().any(|phrase| {
                    begins(rest, phrase) && holds(rest.get(phrase.split(' ').count()..).unwrap_or_default())
                })
            };
            let follows = |after: &[String], list: &[String]| list.iter().any(|phrase| begins(after, phrase));
            let for_now = |after: &[String]| follows(after, &lists.unless_after);
            !turned
                && (asked(&lists.asks, &|after| !for_now(after))
                    || asked(&lists.open_asks, &|after| {
                        !for_now(after) && (after.is_empty() || follows(after, &lists.closers))
                    }))
        })
    }
}

/// Whether these words begin with a phrase.
fn begins(words: &[String], phrase: &str) -> bool {
    let mut words = words.iter();
    phrase.split(' ').all(|part| words.next().is_some_and(|word| word == part))
}

/// All words as one text. One that is spelled out ("S T O P") or said again and again ("stop stop") is that word.
fn whole(words: &[String]) -> String {
    if words.len() > 2 && words.iter().all(|word| word.chars().count() == 1) {
        return words.concat();
    }
    match words {
        [first, rest @ ..] if rest.iter().all(|word| word == first) => first.clone(),
        _ => words.join(" "),
    }
}

/// The words of a text without case, accents, apostrophes, punctuation and what cannot be seen. Letters in fancy
/// dress (𝐒𝐓𝐎𝐏, ＳＴＯＰ) are undressed.
fn folded(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for c in text.nfkd().flat_map(char::to_lowercase) {
        let invisible =
            matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{ad}' | '\u{fe0f}');
        let mark = matches!(c, '\u{300}'..='\u{36f}');
        let apostrophe = matches!(c, '\'' | '\u{2018}' | '\u{2019}' | '\u{2bc}' | '`' | '\u{b4}');
        if c.is_alphanumeric() {
            if let Some(word) = words.last_mut() {
                word.push(c);
            }
        } else if !invisible && !mark && !apostrophe && words.last().is_some_and(|word| !word.is_empty()) {
            words.push(String::new());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The text as the provider compares it: only case and the space around it are taken off.
fn bare(text: &str) -> String {
    text.trim().to_lowercase()
}

/// A text without what it quotes: those are somebody else's words, ours as a rule.
fn without_quotes(text: &str) -> String {
    let mut own = String::with_capacity(text.len());
    let mut closing = None;
    for c in text.chars() {
        match (closing, c) {
            (Some(end), c) if c == end => closing = None,
            (Some(_), _) => {}
            (None, '“') => closing = Some('”'),
            (None, '"') => closing = Some('"'),
            (None, '«') => closing = Some('»'),
            (None, c) => own.push(c),
        }
    }
    // A quote that never ends quotes nothing.
    if closing.is_some() { text.to_owned() } else { own }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words() -> Words {
        Words::new(&MoreWords::default()).unwrap()
    }

    fn corpus(name: &str) -> Vec<(&'static str, &'static str)> {
        let text = match name {
            "asks" => include_str!("corpus/asks.txt"),
            _ => include_str!("corpus/harmless.txt"),
        };
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(|line| line.split_once('\t').unwrap_or(("", line))).collect()
    }

    #[test]
    fn what_asks_to_stop_is_heard() {
        let words = words();
        for (country, line) in corpus("asks") {
            let text = line.replace("\\n", "\n");
            let meaning = words.meaning(&text, (!country.is_empty()).then_some(country));
            assert!(
                matches!(meaning, Some(Meaning::Stop { .. } | Meaning::AsksToStop)),
                "{text}: {meaning:?}"
            );
        }
    }

    #[test]
    fn what_only_looks_like_it_is_not() {
        let words = words();
        for (_, line) in corpus("harmless") {
            let text = line.replace("\\n", "\n");
            assert_eq!(words.meaning(&text, Some("US")), None, "{text}");
        }
    }

    #[test]
    fn a_word_of_the_list_stops_however_it_is_dressed() {
        let words = words();
        for text in [
            "STOP",
            " stop. ",
            "Stop!!!",
            "S.T.O.P",
            "s t o p",
            "𝐒𝐓𝐎𝐏",
            "ＳＴＯＰ",
            "stop\u{200b}",
            "“Stop”",
            "Stop stop STOP",
        ] {
            assert!(matches!(words.meaning(text, None), Some(Meaning::Stop { .. })), "{text}");
        }
        assert_eq!(words.meaning("Opt-Out", None), Some(Meaning::Stop { by_provider: false }));
        assert_eq!(words.meaning("🛑", None), Some(Meaning::AsksToStop));
        assert_eq!(words.meaning("👍", None), None);
        assert_eq!(words.meaning("", None), None);
    }

    #[test]
    fn only_the_providers_own_words_written_plainly_are_answered_by_it() {
        let words = words();
        for (text, by_provider) in [("STOP", true), (" Quit ", true), ("Stop.", false), ("revoke", false)] {
            assert_eq!(words.meaning(text, None), Some(Meaning::Stop { by_provider }), "{text}");
        }
        assert!(words.opens_at_provider("Unstop") && !words.opens_at_provider("opt in"));
    }

    #[test]
    fn words_hold_in_their_country() {
        let words = words();
        assert_eq!(words.meaning("Arrêt", Some("CA")), Some(Meaning::Stop { by_provider: false }));
        assert_eq!(words.meaning("Arrêt", Some("US")), None);
        assert_eq!(words.meaning("AYUDA", Some("MX")), Some(Meaning::Help));
        assert_eq!(words.meaning("start", Some("DE")), Some(Meaning::Start));
        assert_eq!(words.meaning("Yes", Some("US")), None);
        assert_eq!(words.meaning("help", None), Some(Meaning::Help));
    }

    #[test]
    fn words_of_ones_own_are_folded_and_checked() {
        let more = |stop: &str, start: &str| MoreWords {
            stop: vec![stop.to_owned()],
            start: vec![start.to_owned()],
            help: Vec::new(),
        };
        let words = Words::new(&more("No Más!", "Weiter")).unwrap();
        assert_eq!(words.meaning("no mas", Some("DE")), Some(Meaning::Stop { by_provider: false }));
        assert_eq!(words.meaning("weiter", None), Some(Meaning::Start));
        assert!(matches!(Words::new(&more("!!", "x")), Err(WordsError::Nothing(_))));
        assert!(matches!(Words::new(&more("Start", "x")), Err(WordsError::Both(_))));
    }

    #[test]
    fn the_built_in_lists_stand_there_folded() {
        let words = words();
        let lists = words.countries.values();
        let listed = lists.flat_map(|list| list.stop.iter().chain(&list.start).chain(&list.help));
        let sentences = &words.sentences;
        let phrases = [&sentences.asks, &sentences.open_asks, &sentences.closers, &sentences.unless_before];
        for phrase in listed.chain(phrases.into_iter().flatten()).chain(&sentences.alone) {
            assert_eq!(&folded(phrase).join(" "), phrase);
        }
        assert!(words.provider.stop.iter().all(|word| words.countries["*"].stop.contains(word)));
    }

    proptest! {
        #[test]
        fn nothing_written_breaks_it(text in "\\PC{0,80}") {
            let _ = words().meaning(&text, Some("US"));
        }

        #[test]
        fn a_stop_word_stays_one_in_any_case_and_dress(
            word in prop::sample::select(vec!["stop", "unsubscribe", "quit", "end", "revoke", "cancel"]),
            capitals in any::<u16>(),
            before in "[ .!*\\-]{0,3}",
            after in "[ .!*\\-]{0,3}",
        ) {
            let cased = word.char_indices().map(|(at, c)| if capitals >> at & 1 == 1 { c.to_ascii_uppercase() } else { c });
            let text = before + &cased.collect::<String>() + &after;
            let stopped = matches!(words().meaning(&text, None), Some(Meaning::Stop { .. }));
            prop_assert!(stopped, "{}", text);
        }
    }
}
