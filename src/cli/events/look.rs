//! Lists of events, and one event with its body.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::{Value, json};
use trunkline_jobs::events::{self, EventId, EventRow, EventState};
use trunkline_platform::task::Tasks;

use super::select::FilterArgs;
use crate::cli::output;
use crate::mask;

#[derive(Args, Debug)]
pub(super) struct List {
    #[command(flatten)]
    filter: FilterArgs,
    /// Only events of types that no job knows: --state unknown
    #[arg(long, conflicts_with = "state")]
    unknown: bool,
    /// Only events older than this one: the last of the page before
    #[arg(long, value_name = "ID")]
    before: Option<i64>,
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(super) struct Show {
    id: i64,
    /// Show phone numbers, names and texts
    #[arg(long)]
    unmask: bool,
    /// Print the body exactly as it came, and nothing else
    #[arg(long, conflicts_with_all = ["json", "unmask"])]
    raw: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) async fn text(mut self, tasks: &Tasks) -> Result<String> {
        let now = tasks.clock().now();
        if self.unknown {
            self.filter.state = Some(EventState::Unknown);
        }
        let filter = self.filter.filter(now)?;
        let limit = usize::try_from(self.limit)?;
        let found = events::find(tasks.db(), &filter, self.before.map(EventId), limit).await?;
        if let Some(next) = found.next.filter(|_| found.events.len() < limit) {
            eprintln!("there may be more: go on with --before {next}");
        }
        if self.json {
            return output::json(&found.events);
        }
        let mut table =
            output::Table::new(&[">ID", "TYPE", "JOB", "STATE", "EVENT", "RECEIVED", "CORRELATION"]);
        for found in found.events {
            let event = found.event;
            table.row([
                event.id.to_string(),
                event.event_type,
                event.job.unwrap_or_else(|| "unknown".to_owned()),
                found.state.map(|state| state.to_string()).unwrap_or_default(),
                event.event_id,
                output::relative(event.received_at, now),
                event.correlation_id,
            ]);
        }
        Ok(table.text("no events"))
    }
}

impl Show {
    pub(super) async fn text(self, tasks: &Tasks) -> Result<String> {
        let now = tasks.clock().now();
        let row = events::show(tasks.db(), EventId(self.id)).await?;
        let row = row.with_context(|| format!("there is no event {}", self.id))?;
        if self.raw {
            return Ok(row.body);
        }
        let view = if self.unmask { parsed } else { mask::json };
        let body = view(&row.body);
        if self.json {
            let headers = parsed(&row.headers);
            let mut document = serde_json::to_value(row)?;
            document["headers"] = headers;
            document["body"] = body;
            return output::json(&document);
        }
        let mut text = format!("event {}  {}\n", row.id, row.event_type);
        text += &about(&row, now);
        text += "\nheaders\n";
        text += &headers(&row.headers);
        text += "\nbody\n";
        text += &output::indented(&output::json(&body)?);
        Ok(text)
    }
}

fn about(row: &EventRow, now: DateTime<Utc>) -> String {
    output::fields(&[
        ("job", Some(row.job.clone().unwrap_or_else(|| "none: this release knows no such type".to_owned()))),
        ("event", Some(row.event_id.clone())),
        ("scheme", Some(row.scheme.clone())),
        ("api version", row.api_version.clone()),
        ("occurred", row.occurred_at.map(|time| output::time(time, now))),
        ("received", Some(output::time(row.received_at, now))),
        ("dedupe key", Some(row.dedupe_key.clone())),
        ("correlation", Some(row.correlation_id.clone())),
        ("see", Some(format!("trunkline tasks list --correlation {}", row.correlation_id))),
    ])
}

/// A line for each value of each header.
fn headers(document: &str) -> String {
    let headers: BTreeMap<String, Vec<String>> = serde_json::from_str(document).unwrap_or_default();
    let lines = headers.iter().flat_map(|(name, values)| {
        values.iter().map(move |value| output::indented(&format!("{name}: {value}")))
    });
    lines.collect()
}

/// JSON as it is, or text that is not JSON as a string.
fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!(text))
}

#[cfg(test)]
mod tests {
    use trunkline_jobs::events::{Delivery, Source, accept};
    use trunkline_openphone::event::Envelope;
    use trunkline_openphone::signature::Scheme;

    use super::*;
    use crate::cli::database::testing::{Place, place};

    const BODY: &str = r#"{"id": "EV1",  "object": "event", "apiVersion": "v3", "type": "message.received",
        "createdAt": "2024-01-23T16:55:52.557Z", "data": {"object": {"id": "AC1", "object": "message",
        "from": "+12125550101", "to": "+12125550102", "direction": "incoming", "body": "hello there"}}}"#;
    const UNKNOWN: &str = r#"{"id": "EV2", "object": "event", "apiVersion": "v3", "type": "moon.rose", "data": {"object": {}}}"#;

    /// A known event and, after it, one of a type nobody knows.
    async fn two_events(place: &Place) -> Tasks {
        let tasks = place.migrated().await;
        let delivery = |body: &str| Delivery {
            envelope: Envelope::parse(body.as_bytes()).unwrap(),
            source: Source::Webhook(Scheme::Legacy),
            delivery_id: None,
            received_at: tasks.clock().now(),
            headers: json!({"content-type": ["application/json"]}).to_string(),
            body: body.to_owned(),
            correlation_id: "c-1".to_owned(),
            trace_context: None,
        };
        let mut tx = tasks.begin().await.unwrap();
        accept(&mut tx, &[delivery(BODY), delivery(UNKNOWN)]).await.unwrap();
        tx.commit().await.unwrap();
        tasks
    }

    fn list() -> List {
        List { filter: FilterArgs::default(), unknown: false, before: None, limit: 50, json: false }
    }

    fn show(id: i64) -> Show {
        Show { id, unmask: false, raw: false, json: false }
    }

    #[tokio::test]
    async fn events_are_listed_the_newest_first_and_those_nobody_knows_stand_out() {
        let place = place();
        let tasks = two_events(&place).await;
        let text = list().text(&tasks).await.unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with(" 2  moon.rose         unknown           unknown  EV2"), "{text}");
        assert!(lines[2].starts_with(" 1  message.received  message.received  pending  EV1"), "{text}");
    }

    #[tokio::test]
    async fn a_list_can_be_narrowed() {
        let place = place();
        let tasks = two_events(&place).await;
        let (none, known) = (FilterArgs::default, || Some("message.received".to_owned()));
        let with = |filter| List { filter, ..list() };
        for (narrowed, types) in [
            (List { unknown: true, ..list() }, vec!["moon.rose"]),
            (with(FilterArgs { event_type: known(), ..none() }), vec!["message.received"]),
            (with(FilterArgs { event_type: known(), state: Some(EventState::Done), ..none() }), vec![]),
            (
                with(FilterArgs { number: Some("+1 212 555 0102".to_owned()), ..none() }),
                vec!["message.received"],
            ),
            (with(FilterArgs { text: Some("THERE".to_owned()), ..none() }), vec!["message.received"]),
            (
                with(FilterArgs { since: Some("1h".to_owned()), ..none() }),
                vec!["moon.rose", "message.received"],
            ),
            (with(FilterArgs { until: Some("1h".to_owned()), ..none() }), vec![]),
            (List { before: Some(2), ..list() }, vec!["message.received"]),
            (List { before: Some(1), ..list() }, vec![]),
        ] {
            let text = List { json: true, ..narrowed }.text(&tasks).await.unwrap();
            let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
            let found: Vec<&str> = rows.iter().map(|row| row["event_type"].as_str().unwrap()).collect();
            assert_eq!(found, types);
        }
    }

    #[tokio::test]
    async fn an_event_is_shown_without_its_people_unless_somebody_asks() {
        let place = place();
        let tasks = two_events(&place).await;
        let text = show(1).text(&tasks).await.unwrap();
        assert!(text.contains("    content-type: application/json\n"), "{text}");
        assert!(text.contains("+*******0101") && text.contains("[11 chars]"), "{text}");
        assert!(!text.contains("1212555") && !text.contains("hello"), "{text}");

        let text = Show { unmask: true, json: true, ..show(1) }.text(&tasks).await.unwrap();
        let event: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(event["body"]["data"]["object"]["from"], "+12125550101");
        assert_eq!(event["headers"]["content-type"], json!(["application/json"]));
    }

    #[tokio::test]
    async fn the_raw_body_is_printed_byte_for_byte() {
        let place = place();
        let tasks = two_events(&place).await;
        assert_eq!(Show { raw: true, ..show(1) }.text(&tasks).await.unwrap(), BODY);
    }

    #[tokio::test]
    async fn an_event_that_is_not_there_is_an_error() {
        let place = place();
        let tasks = two_events(&place).await;
        assert_eq!(show(9).text(&tasks).await.unwrap_err().to_string(), "there is no event 9");
    }
}
