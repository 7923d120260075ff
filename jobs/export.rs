//! Rows on their way out, as CSV or as JSON one to a line.

use std::io;

use csv::WriterBuilder;
use serde::Serialize;
use thiserror::Error;
use trunkline_platform::db::DbError;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    Csv,
    Jsonl,
}

#[derive(Debug, Error)]
pub enum ExportError {
    #[error("the file cannot be written")]
    Write(#[from] io::Error),
    #[error(transparent)]
    Database(#[from] DbError),
}

impl ExportError {
    /// Whether whoever read has gone, as `head` does: that is their wish, and no failure.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Write(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl Format {
    /// The names of the columns, where the format has them.
    pub(crate) fn head<const N: usize>(self, columns: [&str; N]) -> io::Result<Vec<u8>> {
        match self {
            Self::Csv => csv_lines([columns.map(str::to_owned)]),
            Self::Jsonl => Ok(Vec::new()),
        }
    }

    /// A line for each row; `cells` are those of a row in CSV.
    pub(crate) fn lines<T: Serialize, const N: usize>(
        self,
        rows: impl Iterator<Item = T>,
        cells: impl Fn(&T) -> [String; N],
    ) -> io::Result<Vec<u8>> {
        match self {
            Self::Csv => csv_lines(rows.map(|row| cells(&row))),
            Self::Jsonl => json_lines(rows),
        }
    }
}

fn csv_lines<const N: usize>(rows: impl IntoIterator<Item = [String; N]>) -> io::Result<Vec<u8>> {
    let mut writer = WriterBuilder::new().from_writer(Vec::new());
    for row in rows {
        writer.write_record(&row).map_err(io::Error::other)?;
    }
    writer.into_inner().map_err(|error| io::Error::other(error.to_string()))
}

fn json_lines<T: Serialize>(rows: impl Iterator<Item = T>) -> io::Result<Vec<u8>> {
    let mut lines = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut lines, &row).map_err(io::Error::from)?;
        lines.push(b'\n');
    }
    Ok(lines)
}
