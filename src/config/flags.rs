//! The flags every command takes: where the settings are, and single settings.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use thiserror::Error;

#[derive(Args, Clone, Debug, Default)]
pub struct Flags {
    /// Read settings from this TOML file [env: TRUNKLINE_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Set one setting, as in --set log.level=debug; can be repeated. Not for secrets: the system's list of
    /// processes shows flags to everybody
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub set: Vec<Assignment>,
}

/// `key=value`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Assignment {
    pub key: String,
    pub value: String,
}

#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("write it as KEY=VALUE, such as log.level=debug")]
pub struct NoAssignment;

impl FromStr for Assignment {
    type Err = NoAssignment;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (key, value) = text.split_once('=').ok_or(NoAssignment)?;
        Ok(Self { key: key.to_owned(), value: value.to_owned() })
    }
}

impl Flags {
    /// Adds a setting, above all others.
    pub fn assign(&mut self, key: &str, value: impl Into<String>) {
        self.set.push(Assignment { key: key.to_owned(), value: value.into() });
    }
}
