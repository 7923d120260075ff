//! Statements into which a batch of rows goes. PostgreSQL gets each column as an array; SQLite, which has no arrays,
//! gets a list of values. Both are read many times faster than the same rows as JSON.

use std::fmt::Write;
use std::sync::OnceLock;

/// A part of a statement that each engine has its own words for.
#[derive(Debug)]
pub enum Part {
    Sql(&'static str),
    /// The right-hand side of `IN` for a list of ids.
    Any(&'static str),
    /// A batch of rows, read as a table. Columns have a name and a type.
    Rows {
        param: &'static str,
        alias: &'static str,
        columns: &'static [(&'static str, &'static str)],
    },
}

/// A text for 1, 2, 4 … rows each, up to so many; larger batches take more than one turn.
pub(super) const MOST_ROWS: usize = 1_024;
const SIZES: usize = MOST_ROWS.ilog2() as usize + 1;

/// A statement of parts, with the texts made of it so far.
#[derive(Debug)]
pub struct Parts {
    parts: &'static [Part],
    postgres: OnceLock<String>,
    sqlite: [OnceLock<String>; SIZES],
}

/// What stands for the parameters of a SQLite text, in order.
pub(super) enum Slot {
    /// The parameter of this number.
    Param(usize),
    /// The cells of all rows, row by row, and then how many rows there are.
    Rows,
}

impl Parts {
    pub(super) const fn new(parts: &'static [Part]) -> Self {
        Self { parts, postgres: OnceLock::new(), sqlite: [const { OnceLock::new() }; SIZES] }
    }

    /// The columns of the rows, if rows are a part of it.
    pub(super) fn columns(&self) -> Option<&'static [(&'static str, &'static str)]> {
        self.parts.iter().find_map(|part| match part {
            Part::Rows { columns, .. } => Some(*columns),
            _ => None,
        })
    }

    /// The first column has the number of the rows' parameter, the others those after the statement's own.
    pub(super) fn postgres(&'static self) -> &'static str {
        self.postgres.get_or_init(|| {
            let mut next = self.highest() + 1;
            let mut text = String::new();
            for part in self.parts {
                match part {
                    Part::Sql(sql) => text.push_str(sql),
                    Part::Any(param) => {
                        let _ = write!(text, "(SELECT unnest(CAST({param} AS BIGINT[])))");
                    }
                    Part::Rows { param, alias, columns } => {
                        let mut arrays = Vec::new();
                        for (at, (_, sql_type)) in columns.iter().enumerate() {
                            if at == 0 {
                                arrays.push(format!("CAST({param} AS {sql_type}[])"));
                            } else {
                                arrays.push(format!("CAST(${next} AS {sql_type}[])"));
                                next += 1;
                            }
                        }
                        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
                        let (arrays, names) = (arrays.join(", "), names.join(", "));
                        let _ = write!(text, "unnest({arrays}) AS {alias}({names})");
                    }
                }
            }
            text
        })
    }

    /// The text for up to so many rows. Its parameters have no numbers: SQLite looks numbered ones up one by one.
    pub(super) fn sqlite(&'static self, rows: usize) -> &'static str {
        let size = Self::size(rows);
        let at = size.ilog2() as usize;
        self.sqlite[at.min(SIZES - 1)].get_or_init(|| {
            let mut text = String::new();
            for part in self.parts {
                match part {
                    Part::Sql(sql) if self.columns().is_some() => {
                        let mut rest = *sql;
                        while let Some((before, after)) = rest.split_once('$') {
                            text.push_str(before);
                            text.push('?');
                            rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
                        }
                        text.push_str(rest);
                    }
                    Part::Sql(sql) => text.push_str(sql),
                    Part::Any(param) => {
                        let param = if self.columns().is_some() { "?" } else { param };
                        let _ = write!(text, "(SELECT value FROM json_each({param}))");
                    }
                    Part::Rows { alias, columns, .. } => {
                        let named: Vec<String> = columns
                            .iter()
                            .enumerate()
                            .map(|(at, (name, _))| format!("column{} AS {name}", at + 2))
                            .collect();
                        let cells = ",?".repeat(columns.len());
                        let rows: Vec<String> = (0..size).map(|row| format!("({row}{cells})")).collect();
                        let (named, rows) = (named.join(", "), rows.join(","));
                        let _ = write!(
                            text,
                            "(SELECT {named} FROM (VALUES {rows}) WHERE column1 < ?) AS {alias}"
                        );
                    }
                }
            }
            text
        })
    }

    /// For how many rows the text is that takes so many.
    pub(super) fn size(rows: usize) -> usize {
        rows.clamp(1, MOST_ROWS).next_power_of_two()
    }

    /// What each parameter of a SQLite text stands for, where rows are a part of it.
    pub(super) fn slots(&self) -> Vec<Slot> {
        let mut slots = Vec::new();
        for part in self.parts {
            match part {
                Part::Sql(sql) => slots.extend(numbers(sql).map(Slot::Param)),
                Part::Any(param) => slots.extend(numbers(param).map(Slot::Param)),
                Part::Rows { .. } => slots.push(Slot::Rows),
            }
        }
        slots
    }

    /// The highest number of a parameter.
    fn highest(&self) -> usize {
        let numbers = self.parts.iter().flat_map(|part| match part {
            Part::Sql(text) | Part::Any(text) | Part::Rows { param: text, .. } => numbers(text),
        });
        numbers.max().unwrap_or(0)
    }
}

/// The numbers of the parameters in a text, in order.
fn numbers(text: &'static str) -> impl Iterator<Item = usize> {
    text.split('$').skip(1).filter_map(|after| {
        let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        after.get(..end)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    static PARTS: Parts = Parts::new(&[
        Part::Sql("INSERT INTO t SELECT r.a, $3 FROM "),
        Part::Rows { param: "$2", alias: "r", columns: &[("a", "BIGINT"), ("b", "TEXT")] },
        Part::Sql(" WHERE r.b <> $1 OR r.a IN "),
        Part::Any("$4"),
    ]);

    #[test]
    fn postgres_gets_an_array_for_each_column() {
        assert_eq!(
            PARTS.postgres(),
            "INSERT INTO t SELECT r.a, $3 FROM unnest(CAST($2 AS BIGINT[]), CAST($5 AS TEXT[])) AS r(a, b) \
             WHERE r.b <> $1 OR r.a IN (SELECT unnest(CAST($4 AS BIGINT[])))"
        );
    }

    #[test]
    fn sqlite_gets_a_list_of_values_without_numbers() {
        assert_eq!(
            PARTS.sqlite(2),
            "INSERT INTO t SELECT r.a, ? FROM (SELECT column2 AS a, column3 AS b FROM (VALUES (0,?,?),(1,?,?)) \
             WHERE column1 < ?) AS r WHERE r.b <> ? OR r.a IN (SELECT value FROM json_each(?))"
        );
        let order: Vec<usize> = PARTS
            .slots()
            .iter()
            .map(|slot| match slot {
                Slot::Param(number) => *number,
                Slot::Rows => 0,
            })
            .collect();
        assert_eq!(order, [3, 0, 1, 4]);
    }

    #[test]
    fn a_text_is_for_as_many_rows_or_the_next_power_of_two() {
        for (rows, size) in [(0, 1), (1, 1), (3, 4), (64, 64), (500, 512), (5_000, MOST_ROWS)] {
            assert_eq!(Parts::size(rows), size, "{rows}");
        }
    }
}
