//! How people take a text: whether it reaches them, whether they answer, and with what.
//!
//! What one person does with one text follows from the seed, the number and the words alone. The order in which
//! texts arrive, and everything else that happens meanwhile, change nothing, so two runs of a campaign can be
//! compared person by person. A number with a [meaning of its own](super::script) keeps it.

use std::{str::FromStr, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use sha2::{Digest, Sha256};

use super::provider::Provider;

/// The most that a rate can be asked to wait, in seconds.
const LONGEST_DELAY: f64 = 86_400.0;

const REPLIES: [&str; 8] = [
    "Yes please",
    "Sounds good, count me in",
    "How much would that be?",
    "Can you do Friday?",
    "Thanks!",
    "Not now, maybe next month",
    "👍",
    "Who is this?",
];
/// Words that the provider, too, takes for the end of all texts.
const STOPS: [&str; 5] = ["STOP", "stop", "Stop", "UNSUBSCRIBE", "cancel"];
/// What only a reader understands as that.
const PLEAS: [&str; 4] = [
    "Please don't text me again",
    "Take me off your list please",
    "stop texting me!!",
    "remove my number, I never signed up for this",
];

/// How people take a text, each as a rate from 0 to 1 of the texts accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Manners {
    /// The carrier takes it for spam: `undelivered`, code 30007.
    pub filtered: f64,
    /// It cannot be delivered: `failed`, code 30003.
    pub failed: f64,
    /// It is sent, and nothing is heard of it again.
    pub silent: f64,
    /// Of the texts that arrive: answered by a word that ends all texts.
    pub stop: f64,
    /// Of the texts that arrive: answered by a sentence that asks for the same.
    pub plea: f64,
    /// Of the texts that arrive: answered in some other way.
    pub reply: f64,
    /// What texts with certain words in them are answered at instead, the first that fits. Case does not matter.
    pub reply_to: Vec<(String, f64)>,
    /// The longest that people take to answer.
    pub answer_within: Duration,
}

impl Default for Manners {
    /// Everything arrives and nobody answers.
    fn default() -> Self {
        Self {
            filtered: 0.0,
            failed: 0.0,
            silent: 0.0,
            stop: 0.0,
            plea: 0.0,
            reply: 0.0,
            reply_to: Vec::new(),
            answer_within: Duration::from_secs(1),
        }
    }
}

/// Why manners cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MannersError {
    #[error("`{0}` is not of the form name=number")]
    Syntax(String),
    #[error(
        "there is nothing people do named `{0}`; they do filtered, failed, silent, stop, plea, reply, \
         reply:WORDS and answer_within"
    )]
    Unknown(String),
    #[error("`{0}` is not a rate from 0 to 1, or not a number of seconds up to 86400")]
    OutOfRange(String),
}

/// What one person does with one text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Taken {
    pub arrival: Arrival,
    /// What is answered, and how long that takes.
    pub answer: Option<(&'static str, Duration)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    Delivered,
    Filtered,
    Failed,
    Silent,
}

impl Manners {
    /// What the owner of `number` does with a text of these words.
    pub(super) fn take(&self, seed: u64, number: &str, words: &str) -> Taken {
        let digest = Sha256::new().chain_update(number).chain_update([0]).chain_update(words).finalize();
        let mixed = digest.iter().take(8).fold(seed, |seed, byte| seed.rotate_left(8) ^ u64::from(*byte));
        let mut rng = StdRng::seed_from_u64(mixed);
        let arrivals = [
            (Arrival::Filtered, self.filtered),
            (Arrival::Failed, self.failed),
            (Arrival::Silent, self.silent),
        ];
        let arrival = draw(&mut rng, &arrivals).unwrap_or(Arrival::Delivered);
        if arrival != Arrival::Delivered {
            return Taken { arrival, answer: None };
        }
        let phrases: [(&[&'static str], f64); 3] =
            [(&STOPS, self.stop), (&PLEAS, self.plea), (&REPLIES, self.reply_rate(words))];
        let answer = draw(&mut rng, &phrases).and_then(|phrases| phrases.choose(&mut rng)).copied();
        let answer = answer.map(|words| (words, self.answer_within.mul_f64(rng.random())));
        Taken { arrival, answer }
    }

    fn reply_rate(&self, words: &str) -> f64 {
        let words = words.to_lowercase();
        self.reply_to.iter().find(|(part, _)| words.contains(part)).map_or(self.reply, |(_, rate)| *rate)
    }

    fn rate(&mut self, name: &str) -> Option<&mut f64> {
        Some(match name {
            "filtered" => &mut self.filtered,
            "failed" => &mut self.failed,
            "silent" => &mut self.silent,
            "stop" => &mut self.stop,
            "plea" => &mut self.plea,
            "reply" => &mut self.reply,
            _ => return None,
        })
    }
}

/// One of several things that exclude each other, or none of them.
fn draw<T: Copy>(rng: &mut StdRng, chances: &[(T, f64)]) -> Option<T> {
    let mut luck: f64 = rng.random();
    for (thing, rate) in chances {
        if luck < *rate {
            return Some(*thing);
        }
        luck -= rate;
    }
    None
}

/// Reads `reply=0.1,stop=0.02,reply:free coffee=0.3,answer_within=5`; `answer_within` is in seconds.
impl FromStr for Manners {
    type Err = MannersError;

    fn from_str(text: &str) -> Result<Self, MannersError> {
        let mut manners = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let syntax = || MannersError::Syntax(part.to_owned());
            let (name, value) = part.rsplit_once('=').ok_or_else(syntax)?;
            let (name, value) = (name.trim(), value.trim().parse::<f64>().map_err(|_| syntax())?);
            let limit = if name == "answer_within" { LONGEST_DELAY } else { 1.0 };
            if !(0.0..=limit).contains(&value) {
                return Err(MannersError::OutOfRange(name.to_owned()));
            }
            if name == "answer_within" {
                manners.answer_within = Duration::from_secs_f64(value);
            } else if let Some(words) = name.strip_prefix("reply:") {
                manners.reply_to.push((words.to_lowercase(), value));
            } else {
                *manners.rate(name).ok_or_else(|| MannersError::Unknown(name.to_owned()))? = value;
            }
        }
        Ok(manners)
    }
}

impl Provider {
    /// How its recipient takes a text.
    pub(super) fn taken(&self, number: &str, words: &str) -> Taken {
        self.manners.take(self.seed_of_people, number, words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers() -> impl Iterator<Item = String> {
        (0..4_000).map(|n| format!("+1212555{n:04}"))
    }

    #[test]
    fn manners_are_read_by_name() {
        let manners: Manners =
            "reply=0.1, stop=0.02,reply:Free Coffee=0.3,answer_within=2.5,".parse().unwrap();
        let expected = Manners {
            reply: 0.1,
            stop: 0.02,
            reply_to: vec![("free coffee".to_owned(), 0.3)],
            answer_within: Duration::from_millis(2500),
            ..Manners::default()
        };
        assert_eq!(manners, expected);
        assert_eq!("".parse(), Ok(Manners::default()));
    }

    #[test]
    fn mistakes_are_named() {
        let read = |text: &str| text.parse::<Manners>().unwrap_err();
        assert_eq!(read("reply"), MannersError::Syntax("reply".to_owned()));
        assert_eq!(read("reply=often"), MannersError::Syntax("reply=often".to_owned()));
        assert_eq!(read("laugh=0.1"), MannersError::Unknown("laugh".to_owned()));
        assert_eq!(read("stop=1.5"), MannersError::OutOfRange("stop".to_owned()));
        assert_eq!(read("reply:a=b=-1"), MannersError::OutOfRange("reply:a=b".to_owned()));
    }

    #[test]
    fn by_default_everything_arrives_and_nobody_answers() {
        let quiet = Taken { arrival: Arrival::Delivered, answer: None };
        assert!(numbers().all(|number| Manners::default().take(1, &number, "Hello") == quiet));
    }

    #[test]
    fn rates_are_kept_and_the_words_decide() {
        let manners: Manners = "filtered=0.1,stop=0.05,plea=0.05,reply=0.1,reply:coffee=0.4".parse().unwrap();
        let share = |words: &str, such: &dyn Fn(&Taken) -> bool| {
            let such = numbers().filter(|number| such(&manners.take(7, number, words))).count();
            such as f64 / 4_000.0
        };
        let near = |share: f64, rate: f64| (share - rate).abs() < 0.02;
        assert!(near(share("Hello", &|taken| taken.arrival == Arrival::Filtered), 0.1));
        let said = |phrases: &'static [&'static str]| {
            move |taken: &Taken| taken.answer.is_some_and(|(words, _)| phrases.contains(&words))
        };
        assert!(near(share("Hello", &said(&STOPS)), 0.9 * 0.05));
        assert!(near(share("Hello", &said(&PLEAS)), 0.9 * 0.05));
        assert!(near(share("Hello", &said(&REPLIES)), 0.9 * 0.1));
        assert!(near(share("Free COFFEE today", &said(&REPLIES)), 0.9 * 0.4));
    }

    #[test]
    fn a_person_takes_the_same_text_the_same_way() {
        let manners: Manners = "filtered=0.2,reply=0.5".parse().unwrap();
        let all = |seed| numbers().map(|number| manners.take(seed, &number, "Hi")).collect::<Vec<_>>();
        assert_eq!(all(1), all(1));
        assert_ne!(all(1), all(2));
    }
}
