//! Whether a document really fits, and how well: more of the words, closer together, in a shorter text.

use super::query::Term;
use super::source::Passage;
use super::words::{Word, words};

/// How soon further mentions of a word count for little, and how much a long text is marked down.
const SATURATION: f64 = 1.2;
const BY_LENGTH: f64 = 0.3;
/// A text of this many words is neither short nor long.
const USUAL_LENGTH: f64 = 100.0;

/// A passage with its words.
#[derive(Debug)]
pub(super) struct Read<'p> {
    pub(super) passage: &'p Passage,
    pub(super) words: Vec<Word>,
}

/// A term found in a passage: the words `from..to`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mention {
    pub(super) term: usize,
    pub(super) from: usize,
    pub(super) to: usize,
}

/// A document that fits.
#[derive(Debug)]
pub(super) struct Fit<'p> {
    pub(super) score: f64,
    /// The passage that tells the most.
    pub(super) best: Read<'p>,
    pub(super) mentions: Vec<Mention>,
}

/// How well these passages of one document fit, if every term is among them.
pub(super) fn fit<'p>(passages: impl Iterator<Item = &'p Passage>, terms: &[Term]) -> Option<Fit<'p>> {
    let mut counts = vec![0_u32; terms.len()];
    let mut places: Vec<(usize, usize)> = Vec::new();
    let mut length = 0;
    let mut best: Option<(Read<'p>, Vec<Mention>, usize)> = None;
    for passage in passages {
        let words: Vec<Word> = words(&passage.text).collect();
        let mentions = mentions(&words, terms);
        for mention in &mentions {
            counts[mention.term] += 1;
            places.push((length + mention.from, mention.term));
        }
        length += words.len();
        let variety = distinct(&mentions, terms.len());
        if best.as_ref().is_none_or(|(_, before, most)| (*most, before.len()) < (variety, mentions.len())) {
            best = Some((Read { passage, words }, mentions, variety));
        }
    }
    if counts.contains(&0) {
        return None;
    }
    let (best, mentions, _) = best?;
    let weight = SATURATION * (1.0 - BY_LENGTH + BY_LENGTH * length as f64 / USUAL_LENGTH);
    let by_count: f64 =
        counts.iter().map(|count| f64::from(*count)).map(|count| count / (count + weight)).sum();
    Some(Fit { score: by_count + closeness(&places, terms.len()), best, mentions })
}

/// Where the terms are, in order of place.
fn mentions(words: &[Word], terms: &[Term]) -> Vec<Mention> {
    let mut found = Vec::new();
    for from in 0..words.len() {
        for (at, term) in terms.iter().enumerate() {
            let to = from + term.words.len();
            if words.get(from..to).is_some_and(|here| is_said(here, term)) {
                found.push(Mention { term: at, from, to });
            }
        }
    }
    found
}

fn is_said(here: &[Word], term: &Term) -> bool {
    let last = term.words.len().saturating_sub(1);
    here.iter().zip(&term.words).enumerate().all(|(at, (word, wanted))| {
        if term.prefix && at == last { word.folded.starts_with(wanted) } else { word.folded == *wanted }
    })
}

fn distinct(mentions: &[Mention], terms: usize) -> usize {
    (0..terms).filter(|term| mentions.iter().any(|mention| mention.term == *term)).count()
}

/// One where all terms stand side by side, and less the further the closest of them are apart.
fn closeness(places: &[(usize, usize)], terms: usize) -> f64 {
    if terms < 2 {
        return 0.0;
    }
    let mut inside = vec![0_u32; terms];
    let (mut missing, mut first, mut closest) = (terms, 0, usize::MAX);
    for &(place, term) in places {
        inside[term] += 1;
        missing -= usize::from(inside[term] == 1);
        while missing == 0 {
            let (begin, leaving) = places[first];
            closest = closest.min(place - begin + 1);
            inside[leaving] -= 1;
            missing += usize::from(inside[leaving] == 0);
            first += 1;
        }
    }
    (terms as f64 / closest as f64).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::super::query::Terms;
    use super::*;

    fn passages(texts: &[&str]) -> Vec<Passage> {
        texts.iter().map(|text| Passage { text: (*text).to_owned(), ..Passage::default() }).collect()
    }

    fn score(query: &str, texts: &[&str]) -> Option<f64> {
        fit(passages(texts).iter(), &Terms::parse(query).terms).map(|fit| fit.score)
    }

    #[test]
    fn every_term_must_be_there_in_whatever_passage() {
        assert!(score("heater out", &["My heater", "is out."]).is_some());
        assert!(score("heater off", &["My heater", "is out."]).is_none());
        assert!(score("\"heater out\"", &["My heater", "out."]).is_none(), "a phrase is said in one go");
        assert!(score("\"my heat*\" out*", &["My heaters", "Out."]).is_some());
        assert!(score("", &["anything"]).is_some());
    }

    #[test]
    fn closer_oftener_and_shorter_is_better() {
        let apart = "heater is what we have and it went out";
        assert!(score("heater out", &["heater out of order"]) > score("heater out", &[apart]));
        assert!(score("heater", &["heater heater"]) > score("heater", &["heater there"]));
        let long = "and so on ".repeat(200) + "heater";
        assert!(score("heater", &["heater"]) > score("heater", &[&long]));
    }

    #[test]
    fn the_passage_with_most_of_the_terms_is_shown() {
        let all = passages(&["heater heater heater", "the heater is out", "out"]);
        let fit = fit(all.iter(), &Terms::parse("heater out").terms).unwrap();
        assert_eq!(fit.best.passage.text, "the heater is out");
        let places: Vec<_> = fit.mentions.iter().map(|mention| (mention.term, mention.from)).collect();
        assert_eq!(places, [(0, 1), (1, 3)]);
    }
}
