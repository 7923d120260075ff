//! What can be wrong with a configuration. Each problem names the setting and the place it came from, and none
//! repeats a secret; all of them are found before any is told.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::Profile;
use super::source::Source;

/// One thing that is wrong.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Problem {
    #[error("{named_by}: cannot read {}: {kind}", path.display())]
    Unreadable { named_by: String, path: PathBuf, kind: io::ErrorKind },
    #[error("{}:{line}: {message}", path.display())]
    Syntax { path: PathBuf, line: usize, message: String },
    #[error("{name}: there is no such setting (a variable's name is TRUNKLINE_ and the setting's key)")]
    UnknownVariable { name: String },
    #[error("{name}: not UTF-8")]
    NotUtf8 { name: String },
    #[error("{variable} and {variable}_FILE are both set: unset one of them")]
    SetTwice { variable: String },
    #[error("{key} ({from}): there is no such setting")]
    UnknownKey { key: String, from: Source },
    #[error("{key} ({from}): {message}")]
    Value { key: String, from: Source, message: String },
    #[error("{first} and {second} contradict each other: {reason}")]
    Contradiction { first: &'static str, second: &'static str, reason: String },
    #[error("{key}: {reason} ({profile} profile)")]
    Unsafe { key: &'static str, reason: &'static str, profile: Profile },
}

/// Everything that is wrong.
#[derive(Clone, Debug, Error)]
pub struct ConfigError {
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration cannot be used")?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  - {problem}"))
    }
}
