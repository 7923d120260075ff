//! What pages repeat: times, states, links, blocks of text.

use std::fmt::Display;

use chrono::{DateTime, SecondsFormat, Utc};
use maud::{Markup, html};
use serde_json::Value;
use trunkline_platform::task::TaskId;

use super::form::{Fields, address};
use crate::elapsed;

/// How long ago; the time itself when pointed at.
pub(super) fn time(at: DateTime<Utc>, now: DateTime<Utc>) -> Markup {
    let whole = at.to_rfc3339_opts(SecondsFormat::Millis, true);
    html! { time datetime=(whole) title=(whole) { (elapsed::relative(at, now)) } }
}

/// Where something stands. The style goes by the word.
pub(super) fn state(state: impl Display) -> Markup {
    html! { span class={ "state " (state) } { (state) } }
}

pub(super) fn task(id: TaskId) -> Markup {
    html! { a href={ "/tasks/" (id) } { (id) } }
}

/// What caused a task, as a link where it leads somewhere.
pub(super) fn cause(cause: &str) -> Markup {
    let to = match cause.split_once(':') {
        Some(("task", id)) if id.parse::<i64>().is_ok() => Some(format!("/tasks/{id}")),
        Some(("webhook" | "reconcile" | "replay", id)) if id.parse::<i64>().is_ok() => {
            Some(format!("/events/{id}"))
        }
        _ => None,
    };
    html! { @match to { Some(to) => a href=(to) { (cause) }, None => (cause) } }
}

/// A document to be read.
pub(super) fn json(value: &Value) -> Markup {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    html! { pre tabindex="0" { code { (text) } } }
}

/// The beginning of a text that has no end in sight.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(160) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Facts under one another; absent ones are left out.
pub(super) fn facts(facts: &[(&str, Option<Markup>)]) -> Markup {
    html! {
        dl { @for (name, value) in facts { @if let Some(value) = value { dt { (name) } dd { (value) } } } }
    }
}

/// What differs between two documents.
pub(super) fn changes(changes: &Value) -> Markup {
    let side =
        |change: &Value, name: &str| change.get(name).map_or_else(|| "nothing".to_owned(), Value::to_string);
    html! {
        div.wide tabindex="0" {
            table {
                thead { tr { th { "Place" } th { "Before" } th { "After" } } }
                tbody {
                    @for change in changes.as_array().into_iter().flatten() {
                        tr {
                            td { code { (change["pointer"].as_str().unwrap_or_default()) } }
                            td { del { (side(change, "before")) } }
                            td { ins { (side(change, "after")) } }
                        }
                    }
                }
            }
        }
    }
}

/// What an act that sent the visitor here has done. Only its numbers are taken from the address.
pub(super) fn outcome(fields: &Fields) -> Markup {
    let said = match fields.get("did") {
        Some("retry") => "retried",
        Some("discard") => "discarded",
        Some("edit") => "changed and retried",
        Some("cancel") => "cancelled",
        Some("told") => "told to stop; it ends with its attempt",
        Some("change") => "changed",
        Some("pause") => "paused",
        Some("resume") => "resumed",
        Some("start") => "started",
        Some("schedule") => "scheduled",
        Some("make") => "made",
        Some("promote") => "told which text all who wait get",
        Some("revoke") => "revoked",
        Some("fetch") => "to be fetched",
        Some("hold") => "under legal hold",
        Some("release") => "no longer under legal hold",
        Some("purge") => "purged",
        _ => return html! {},
    };
    let count = |name: &str| fields.number::<u32>(name);
    html! {
        p.done role="status" {
            @match count("done") { Some(done) => { (done) " " (said) }, None => { "It is " (said) } }
            @if let Some(refused) = count("refused").filter(|refused| *refused > 0) { ", " (refused) " refused" }
            @if fields.has("more") { "; there are more: do it again for the rest" }
            "."
        }
    }
}

/// The rows of a page, of one more than it has place for, and the last of them if there are more.
pub(super) fn page<T>(rows: &[T], place: u32) -> (&[T], Option<&T>) {
    let shown = &rows[..rows.len().min(place as usize)];
    (shown, shown.last().filter(|_| rows.len() > shown.len()))
}

/// A link to the next page of a list.
pub(super) fn next(path: &str, fields: &[(&str, Option<&str>)]) -> Markup {
    html! { p { a rel="next" href=(address(path, fields)) { "Next page" } } }
}
