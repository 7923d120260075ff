//! Pictures of figures, drawn by the server. They have no words in them, so that they can be of any size; the words stand beside
//! them, and a table tells the same.

use maud::{Markup, html};

/// A column, and how high it was meant to be.
pub(super) struct Column {
    pub(super) label: String,
    pub(super) value: u64,
    pub(super) planned: Option<u64>,
}

const HIGH: u64 = 100;
const STEP: usize = 10;
/// One alone would fill the picture, and tell nothing.
const FEWEST_COLUMNS: usize = 24;
/// Columns side by side that can still be told apart.
const MOST_COLUMNS: usize = 400;

/// How much of something there was at each time, beside how much was planned.
pub(super) fn columns(says: &str, columns: &[Column]) -> Markup {
    let columns = &columns[columns.len().saturating_sub(MOST_COLUMNS)..];
    let most = columns.iter().map(|column| column.value.max(column.planned.unwrap_or(0))).max().unwrap_or(0);
    let height = |value: u64| (value * HIGH).div_ceil(most.max(1));
    let (first, last) = (columns.first(), columns.last());
    html! {
        figure.chart {
            svg viewBox=(format!("0 0 {} {HIGH}", columns.len().max(FEWEST_COLUMNS) * STEP)) preserveAspectRatio="none" role="img" aria-label=(says) {
                @for (at, column) in columns.iter().enumerate() {
                    g {
                        title {
                            (column.label) ": " (column.value)
                            @if let Some(planned) = column.planned { ", planned " (planned) }
                        }
                        @if let Some(planned) = column.planned {
                            rect.planned x=(at * STEP) y=(HIGH - height(planned)) width=(STEP - 1) height=(height(planned)) {}
                        }
                        @let inset = if column.planned.is_some() { 2 } else { 0 };
                        rect.bar x=(at * STEP + inset) y=(HIGH - height(column.value)) width=(STEP - 1 - 2 * inset) height=(height(column.value)) {}
                    }
                }
            }
            figcaption.note {
                (says) ". The highest is " (most) "."
                @if let (Some(first), Some(last)) = (first, last) { " From " (first.label) " to " (last.label) "." }
            }
        }
    }
}

/// A part of a whole, in a table.
pub(super) fn bar(part: i64, whole: i64) -> Markup {
    let (part, whole) = (part.max(0), whole.max(1));
    html! {
        svg.part viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" {
            rect.bar x="0" y="0" width=((part * 100).min(whole * 100) / whole) height="10" {}
        }
    }
}

/// Where each state stands when all are drawn as tiles: its letters, its column, its row.
const TILES: [(&str, usize, usize); 51] = [
    ("AK", 0, 0),
    ("ME", 10, 0),
    ("VT", 9, 1),
    ("NH", 10, 1),
    ("WA", 0, 2),
    ("ID", 1, 2),
    ("MT", 2, 2),
    ("ND", 3, 2),
    ("MN", 4, 2),
    ("IL", 5, 2),
    ("WI", 6, 2),
    ("MI", 7, 2),
    ("NY", 8, 2),
    ("RI", 9, 2),
    ("MA", 10, 2),
    ("OR", 0, 3),
    ("NV", 1, 3),
    ("WY", 2, 3),
    ("SD", 3, 3),
    ("IA", 4, 3),
    ("IN", 5, 3),
    ("OH", 6, 3),
    ("PA", 7, 3),
    ("NJ", 8, 3),
    ("CT", 9, 3),
    ("CA", 0, 4),
    ("UT", 1, 4),
    ("CO", 2, 4),
    ("NE", 3, 4),
    ("MO", 4, 4),
    ("KY", 5, 4),
    ("WV", 6, 4),
    ("VA", 7, 4),
    ("MD", 8, 4),
    ("DE", 9, 4),
    ("AZ", 1, 5),
    ("NM", 2, 5),
    ("KS", 3, 5),
    ("AR", 4, 5),
    ("TN", 5, 5),
    ("NC", 6, 5),
    ("SC", 7, 5),
    ("DC", 8, 5),
    ("OK", 3, 6),
    ("LA", 4, 6),
    ("MS", 5, 6),
    ("AL", 6, 6),
    ("GA", 7, 6),
    ("HI", 0, 7),
    ("TX", 3, 7),
    ("FL", 8, 7),
];
const TILE: usize = 40;

/// How much there is in each state, told by how dark it is.
pub(super) fn map(says: &str, of: impl Fn(&str) -> i64) -> Markup {
    let most = TILES.iter().map(|(state, ..)| of(state)).max().unwrap_or(0).max(1);
    html! {
        figure.chart {
            svg.map viewBox=(format!("0 0 {} {}", 11 * TILE, 8 * TILE)) role="img" aria-label=(says) {
                @for (state, column, row) in TILES {
                    @let (x, y, count) = (column * TILE, row * TILE, of(state));
                    g {
                        title { (state) ": " (count) }
                        rect.tile x=(x + 1) y=(y + 1) width=(TILE - 2) height=(TILE - 2) rx="4" {}
                        @if count > 0 {
                            rect.bar x=(x + 1) y=(y + 1) width=(TILE - 2) height=(TILE - 2) rx="4"
                                fill-opacity=(format!("0.{:02}", 12 + count * 33 / most)) {}
                        }
                        text x=(x + TILE / 2) y=(y + TILE / 2 + 5) text-anchor="middle" { (state) }
                    }
                }
            }
            figcaption.note { (says) "." }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_state_has_a_place_of_its_own() {
        let places: BTreeSet<(usize, usize)> = TILES.iter().map(|(_, column, row)| (*column, *row)).collect();
        let names: BTreeSet<&str> = TILES.iter().map(|(name, ..)| *name).collect();
        assert_eq!((places.len(), names.len()), (TILES.len(), TILES.len()));
        assert!(places.iter().all(|(column, row)| *column < 11 && *row < 8));
    }

    #[test]
    fn the_highest_column_is_as_high_as_the_picture_and_nothing_at_all_is_none() {
        let column = |value| Column { label: "<b>".to_owned(), value, planned: None };
        let drawn = columns("Texts", &[column(1), column(4), column(0)]).into_string();
        assert!(
            drawn.contains("height=\"25\"")
                && drawn.contains("height=\"100\"")
                && drawn.contains("height=\"0\""),
            "{drawn}"
        );
        assert!(!drawn.contains("<b>"), "{drawn}");
        assert!(columns("Texts", &[]).into_string().contains("The highest is 0."));
    }
}
