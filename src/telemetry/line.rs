//! One event as one line of text.

use std::fmt::{self, Write};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::ser::{SerializeMap, Serializer};
use serde_json::Value;
use tracing::{Level, Metadata};

use super::fields::{Fields, text_of};

/// What log lines look like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// For collectors: one object to a line.
    Json,
    /// For people.
    Pretty { colours: bool },
}

/// Names that a field cannot take in JSON, since every line has them.
const RESERVED: [&str; 3] = ["timestamp", "level", "target"];

/// Writes an event with its fields, line end included.
pub(super) fn render(
    format: Format,
    time: DateTime<Utc>,
    metadata: &Metadata<'_>,
    fields: Fields,
) -> Result<String, fmt::Error> {
    let time = time.to_rfc3339_opts(SecondsFormat::Micros, true);
    let (message, fields) = fields.split();
    match format {
        Format::Json => json(&time, metadata, &message, &fields).map_err(|_| fmt::Error),
        Format::Pretty { colours } => pretty(colours, &time, metadata, &message, &fields),
    }
}

fn json(
    time: &str,
    metadata: &Metadata<'_>,
    message: &str,
    fields: &[(&str, Value)],
) -> serde_json::Result<String> {
    let mut line = Vec::with_capacity(256);
    let mut serializer = serde_json::Serializer::new(&mut line);
    let mut map = serializer.serialize_map(None)?;
    map.serialize_entry("timestamp", time)?;
    map.serialize_entry("level", metadata.level().as_str())?;
    map.serialize_entry("target", metadata.target())?;
    map.serialize_entry("message", message)?;
    for (name, value) in fields.iter().filter(|(name, _)| !RESERVED.contains(name)) {
        map.serialize_entry(name, value)?;
    }
    map.end()?;
    line.push(b'\n');
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn pretty(
    colours: bool,
    time: &str,
    metadata: &Metadata<'_>,
    message: &str,
    fields: &[(&str, Value)],
) -> Result<String, fmt::Error> {
    let (dim, level_colour, plain) =
        if colours { ("\x1b[2m", colour(*metadata.level()), "\x1b[0m") } else { ("", "", "") };
    let mut line = String::with_capacity(256);
    write!(line, "{dim}{time}{plain} {level_colour}{:>5}{plain} ", metadata.level().as_str())?;
    write!(line, "{dim}{}:{plain} {}", metadata.target(), printable(message))?;
    for (name, value) in fields {
        write!(line, " {dim}{name}={plain}{}", quoted(value))?;
    }
    line.push('\n');
    Ok(line)
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    }
}

/// Text in quotes when it would else not be seen where it ends.
fn quoted(value: &Value) -> String {
    let text = text_of(value);
    let is_word =
        !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"');
    if is_word || !value.is_string() { text } else { format!("{text:?}") }
}

/// Text that cannot move the cursor or end the line, wherever it comes from.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
