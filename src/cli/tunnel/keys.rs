//! What is typed while a tunnel runs. A line at a time: the terminal stays as it is.

use std::io::{BufRead as _, IsTerminal as _, stdin};

use tokio::sync::mpsc;

/// Lines that may wait.
const WAITING: usize = 8;

/// A command that was typed.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Typed {
    /// The last one, or this event.
    Replay(Option<i64>),
    Quit,
    Help(Option<String>),
}

pub(super) struct Keys(Option<mpsc::Receiver<Typed>>);

impl Keys {
    /// Reads standard input if it is a terminal, or somebody wants it.
    pub(super) fn start(wanted: bool) -> Self {
        if !wanted && !stdin().is_terminal() {
            return Self(None);
        }
        let (told, typed) = mpsc::channel(WAITING);
        // A thread of its own: a read from a terminal cannot be ended, and nobody waits for it at the end.
        std::thread::spawn(move || {
            for line in stdin().lock().lines() {
                let Ok(line) = line else { return };
                if told.blocking_send(parse(&line)).is_err() {
                    return;
                }
            }
        });
        Self(Some(typed))
    }

    pub(super) fn are_read(&self) -> bool {
        self.0.is_some()
    }

    /// The next command; for ever where there are none.
    pub(super) async fn next(&mut self) -> Option<Typed> {
        if let Some(typed) = &mut self.0 {
            match typed.recv().await {
                Some(typed) => return Some(typed),
                None => self.0 = None,
            }
        }
        std::future::pending().await
    }
}

fn parse(line: &str) -> Typed {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["r"] => Typed::Replay(None),
        ["r", event] => match event.parse() {
            Ok(event) => Typed::Replay(Some(event)),
            Err(_) => Typed::Help(Some((*event).to_owned())),
        },
        // Without a blank, too: r17.
        [word]
            if word.len() > 1 && word.starts_with('r') && word[1..].bytes().all(|c| c.is_ascii_digit()) =>
        {
            word[1..].parse().map_or_else(|_| Typed::Help(None), |event| Typed::Replay(Some(event)))
        }
        ["q"] => Typed::Quit,
        [] => Typed::Help(None),
        [word, ..] => Typed::Help(Some((*word).to_owned())),
    }
}

pub(super) fn help(word: Option<&str>) {
    if let Some(word) = word {
        eprintln!("{:?} is nothing to do.", word.chars().take(20).collect::<String>());
    }
    eprintln!("r sends the last one again, r 17 event 17, q stops.");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_sends_the_last_one_again_and_with_a_number_any_other() {
        assert_eq!(parse("r"), Typed::Replay(None));
        assert_eq!(parse(" r 17 "), Typed::Replay(Some(17)));
        assert_eq!(parse("r17"), Typed::Replay(Some(17)));
        assert_eq!(parse("q"), Typed::Quit);
        assert_eq!(parse(""), Typed::Help(None));
        for bad in ["x", "r x", "replay", "r99999999999999999999"] {
            assert!(matches!(parse(bad), Typed::Help(_)), "{bad}");
        }
    }
}
