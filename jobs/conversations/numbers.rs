//! Numbers on their way into a statement.

use serde::Serialize;
use trunkline_platform::db::Rows;

#[derive(Serialize)]
struct Line<'n> {
    number: &'n str,
}

/// A batch of numbers for a statement's `(rows "$n" as r (number TEXT))`.
pub(crate) fn number_rows<'n>(numbers: impl IntoIterator<Item = &'n str>) -> Result<Rows, serde_json::Error> {
    let lines: Vec<_> = numbers.into_iter().map(|number| Line { number }).collect();
    Rows::of(&lines)
}
