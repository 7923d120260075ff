//! What goes to standard output: tables, blocks of fields, JSON. Text that comes from outside loses whatever
//! could steer a terminal, and a reader that has seen enough (`| head`) is no error.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write as _};

use anyhow::{Context, Result};
use chrono::{DateTime, SecondsFormat, Utc};
use clap::ValueEnum;
use serde::Serialize;
use trunkline_jobs::export::Format;

pub(super) use crate::elapsed::{relative, roughly};
pub(super) use crate::size::size;

/// How a file of rows is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum FormatName {
    Csv,
    Jsonl,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Csv => Self::Csv,
            FormatName::Jsonl => Self::Jsonl,
        }
    }
}

/// Prints `text` as it is.
pub(super) fn print(text: &str) -> Result<()> {
    bytes(text.as_bytes())
}

/// The same for what may be no text.
pub(super) fn bytes(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}

/// A JSON document with a line end.
pub(super) fn json(value: &impl Serialize) -> Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// A table with aligned columns.
#[derive(Debug)]
pub(super) struct Table {
    /// Right-aligned columns are those whose heading begins with `>`.
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(headings: &[impl ToString]) -> Self {
        Self { headings: headings.iter().map(ToString::to_string).collect(), rows: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| one_line(&cell)).collect());
    }

    /// The table as text, or `nothing` when it has no rows.
    pub(super) fn text(&self, nothing: &str) -> String {
        if self.rows.is_empty() {
            return format!("{nothing}\n");
        }
        let names: Vec<&str> = self.headings.iter().map(|heading| heading.trim_start_matches('>')).collect();
        let widths: Vec<usize> = (0..names.len())
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column).map(String::as_str));
                cells.chain([names[column]]).map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        let mut text = self.line(&names, &widths);
        for row in &self.rows {
            let cells: Vec<&str> = row.iter().map(String::as_str).collect();
            text += &self.line(&cells, &widths);
        }
        text
    }

    fn line(&self, cells: &[&str], widths: &[usize]) -> String {
        let mut line = String::new();
        for ((cell, &width), heading) in cells.iter().zip(widths).zip(&self.headings) {
            let padding = " ".repeat(width - cell.chars().count());
            line += &if heading.starts_with('>') { padding + cell } else { (*cell).to_owned() + &padding };
            line += "  ";
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    }
}

/// Fields under one another; absent ones are left out.
pub(super) fn fields(fields: &[(&str, Option<String>)]) -> String {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    fields.iter().fold(String::new(), |mut text, (name, value)| {
        if let Some(value) = value {
            let _ = writeln!(text, "  {name:width$}  {}", one_line(value));
        }
        text
    })
}

/// Text in a block of its own, moved to the right.
pub(super) fn indented(text: &str) -> String {
    let lines = text.lines().map(one_line);
    lines.fold(String::new(), |text, line| text + "    " + &line + "\n")
}

/// A time in full, and how long ago it was.
pub(super) fn time(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    format!("{} ({})", time.to_rfc3339_opts(SecondsFormat::Millis, true), relative(time, now))
}

/// A time to the second, as it begins a line.
pub(super) fn moment(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The beginning of a text, on one line.
pub(super) fn shortened(text: &str, length: usize) -> String {
    match text.char_indices().nth(length) {
        Some((end, _)) => one_line(&text[..end]) + "...",
        None => one_line(text),
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_numbers_stand_at_the_right() {
        let mut table = Table::new(&[">ID", "KIND", "STATE"]);
        table.row(["7".to_owned(), "media.download".to_owned(), "done".to_owned()]);
        table.row(["1234".to_owned(), "é".to_owned(), String::new()]);
        assert_eq!(table.text("none"), "  ID  KIND            STATE\n   7  media.download  done\n1234  é\n");
    }

    #[test]
    fn an_empty_table_says_so() {
        assert_eq!(Table::new(&["ID"]).text("no tasks"), "no tasks\n");
    }

    #[test]
    fn a_cell_cannot_steer_the_terminal() {
        let mut table = Table::new(&["ERROR"]);
        table.row(["a\nb\x1b[2J".to_owned()]);
        assert_eq!(table.text(""), "ERROR\na b [2J\n");
        assert_eq!(indented("a\r\nb\x07"), "    a\n    b \n");
    }

    #[test]
    fn absent_fields_are_left_out() {
        let text = fields(&[("worker", None), ("id", Some("7".to_owned()))]);
        assert_eq!(text, "  id      7\n");
    }

    #[test]
    fn a_long_text_is_shortened_by_characters() {
        assert_eq!(shortened("héllo", 3), "hél...");
        assert_eq!(shortened("hé\nl", 4), "hé l");
    }
}
