//! Where the value of a setting comes from.

use std::fmt;
use std::path::PathBuf;

/// The place that had the last word on a setting.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    /// `default.toml`, inside the program.
    Default,
    File(PathBuf),
    Variable(String),
    /// A file named by a variable that ends in `_FILE`.
    SecretFile {
        variable: String,
        path: PathBuf,
    },
    Flag,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => path.display().fmt(f),
            Self::Variable(name) => f.write_str(name),
            Self::SecretFile { variable, path } => write!(f, "{} by {variable}", path.display()),
            Self::Flag => f.write_str("--set"),
        }
    }
}
