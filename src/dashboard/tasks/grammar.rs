//! What can be written into the search field of tasks: words of the form `name:value`, all of which must hold; or the
//! number of a task alone.

use thiserror::Error;
use trunkline_platform::task::{TaskFilter, TaskId, TaskState};

/// What was meant.
#[derive(Debug)]
pub(super) enum Search {
    One(TaskId),
    Many(TaskFilter),
}

/// A word that says nothing.
#[derive(Debug, Error, PartialEq)]
pub(super) enum Unclear {
    #[error(
        "{0:?} is no filter: write state:, kind:, queue: or correlation: and a value, or the number of a task"
    )]
    Word(String),
    #[error("{0}: is there twice")]
    Twice(&'static str),
    #[error("{0}")]
    State(String),
}

pub(super) fn read(text: &str) -> Result<Search, Unclear> {
    let words: Vec<&str> = text.split_whitespace().collect();
    if let [word] = words.as_slice()
        && let Ok(id) = word.trim_start_matches('#').parse()
    {
        return Ok(Search::One(id));
    }
    let mut filter = TaskFilter::default();
    for word in words {
        let (name, value) = word
            .split_once(':')
            .filter(|(_, value)| !value.is_empty())
            .ok_or_else(|| Unclear::Word(word.to_owned()))?;
        let (place, name) = match name {
            "state" => {
                let state: TaskState = value.parse().map_err(|error| Unclear::State(format!("{error}")))?;
                if filter.state.replace(state).is_some() {
                    return Err(Unclear::Twice("state"));
                }
                continue;
            }
            "kind" | "job" => (&mut filter.kind, "kind"),
            "queue" => (&mut filter.queue, "queue"),
            "correlation" => (&mut filter.correlation_id, "correlation"),
            _ => return Err(Unclear::Word(word.to_owned())),
        };
        if place.replace(value.to_owned()).is_some() {
            return Err(Unclear::Twice(name));
        }
    }
    Ok(Search::Many(filter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_narrow_and_a_number_is_a_task() {
        assert!(matches!(read("17"), Ok(Search::One(TaskId(17)))));
        assert!(matches!(read(" #17 "), Ok(Search::One(TaskId(17)))));
        let Ok(Search::Many(filter)) = read("state:dead  kind:media.download queue:media correlation:wh_1:2")
        else {
            panic!("a filter");
        };
        assert_eq!(filter.state, Some(TaskState::Dead));
        assert_eq!(filter.kind.as_deref(), Some("media.download"));
        assert_eq!(filter.queue.as_deref(), Some("media"));
        assert_eq!(filter.correlation_id.as_deref(), Some("wh_1:2"));
        assert!(matches!(read(""), Ok(Search::Many(_))));
    }

    #[test]
    fn what_says_nothing_is_told() {
        assert_eq!(read("dead").unwrap_err(), Unclear::Word("dead".to_owned()));
        assert_eq!(read("queue:").unwrap_err(), Unclear::Word("queue:".to_owned()));
        assert_eq!(read("queue:a queue:b").unwrap_err(), Unclear::Twice("queue"));
        assert!(read("state:asleep").unwrap_err().to_string().contains("pending, running"));
    }
}
