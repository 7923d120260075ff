//! An answer for people: a list is a table, one thing its fields. What has parts of its own is JSON.

use anyhow::Result;
use serde_json::{Map, Value};

use crate::cli::output;

/// The most columns of a table; `--json` has all.
const MOST_COLUMNS: usize = 8;
/// As much of a text as is shown in a cell.
const LONGEST_CELL: usize = 60;
/// What tells a row from the others stands first.
const FIRST: [&str; 7] = ["id", "name", "number", "kind", "type", "state", "queue"];

pub(super) fn told(answer: &Value) -> Result<String> {
    match answer {
        Value::Array(rows) => table(rows),
        Value::Object(fields) => match fields.get("items").and_then(Value::as_array) {
            Some(rows) => {
                let mut text = table(rows)?;
                if let Some(next) = fields.get("next").filter(|next| !next.is_null()) {
                    text += &format!("there are more: add --cursor {}\n", cell(next));
                }
                Ok(text)
            }
            None => one(fields),
        },
        other => output::json(other),
    }
}

fn table(rows: &[Value]) -> Result<String> {
    let said = |name: &str| rows.iter().any(|row| is_plain(&row[name]) && !cell(&row[name]).is_empty());
    let names = rows.iter().filter_map(Value::as_object).flat_map(Map::keys);
    let mut names: Vec<&str> = names.map(String::as_str).collect();
    names.sort_by_key(|name| (FIRST.iter().position(|first| first == name).unwrap_or(FIRST.len()), *name));
    names.dedup();
    names.retain(|name| said(name));
    names.truncate(MOST_COLUMNS);
    if names.is_empty() && !rows.is_empty() {
        return output::json(&rows);
    }
    let headings: Vec<String> = names.iter().map(|name| name.to_uppercase().replace('_', " ")).collect();
    let mut table = output::Table::new(&headings);
    for row in rows {
        table.row(names.iter().map(|name| output::shortened(&cell(&row[*name]), LONGEST_CELL)));
    }
    Ok(table.text("there are none"))
}

fn one(fields: &Map<String, Value>) -> Result<String> {
    let plain: Vec<(&str, Option<String>)> = fields
        .iter()
        .filter(|(_, value)| is_plain(value) && !value.is_null())
        .map(|(name, value)| (name.as_str(), Some(cell(value))))
        .collect();
    let mut text = output::fields(&plain);
    for (name, value) in fields.iter().filter(|(_, value)| !is_plain(value)) {
        text += &format!("\n{name}\n");
        text += &match value {
            Value::Array(rows) if rows.iter().all(Value::is_object) => table(rows)?,
            other => output::indented(&output::json(other)?),
        };
    }
    Ok(text)
}

fn is_plain(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.iter().all(|value| !value.is_array() && !value.is_object()),
        value => !value.is_object(),
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(cell).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_is_a_table_that_tells_how_to_go_on() {
        let page = json!({"next": "abc", "items": [
            {"attempt": 2, "id": 17, "kind": "media.download", "payload": {"event": 1}, "worker": null},
            {"attempt": 1, "id": 4, "kind": "x\u{1b}[2J", "payload": {}, "worker": null},
        ]});
        assert_eq!(
            told(&page).unwrap(),
            "ID  KIND            ATTEMPT\n17  media.download  2\n4   x [2J           1\nthere are more: add --cursor abc\n"
        );
        assert_eq!(told(&json!({"items": []})).unwrap(), "there are none\n");
        assert_eq!(told(&json!([])).unwrap(), "there are none\n");
    }

    #[test]
    fn one_thing_is_its_fields_and_what_has_parts_stands_below() {
        let one = json!({"id": 7, "by": null, "tags": ["a", "b"], "payload": {"event": 1}, "attempts": [{"attempt": 1}]});
        assert_eq!(
            told(&one).unwrap(),
            "  id    7\n  tags  a, b\n\nattempts\nATTEMPT\n1\n\npayload\n    {\n      \"event\": 1\n    }\n"
        );
        assert_eq!(told(&json!("done")).unwrap(), "\"done\"\n");
    }
}
