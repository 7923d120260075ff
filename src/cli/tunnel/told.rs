//! What a tunnel prints: a line for each delivery, its answer at the end. Nobody's number, name or words, unless asked for.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use url::Url;

use super::super::output;
use super::local::Answer;
use super::remote::Delivery;
use crate::mask;

#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) json: bool,
    pub(super) body: bool,
    pub(super) unmask: bool,
}

impl Told {
    pub(super) fn begun(self, server: &Url, to: &Url, after: i64, keys: bool) {
        let from = server.origin().ascii_serialization();
        eprintln!(
            "webhooks of {from} behind event {after} go to {to}. Ctrl-C stops; the next start goes on."
        );
        if keys {
            eprintln!("r and Enter sends the last one again, r 17 event 17, q stops.");
        }
    }

    pub(super) fn delivered(self, delivery: &Delivery, answer: &Answer, again: bool) -> Result<()> {
        let (status, took) = match answer {
            Answer::Status { status, took } => (Some(*status), *took),
            Answer::Silent { took } => (None, *took),
            Answer::Away(_) => return Ok(()),
        };
        if self.json {
            let mut line = json!({
                "event": delivery.id, "type": delivery.event_type, "correlation_id": delivery.correlation_id,
                "status": status, "took_ms": millis(took), "again": again,
            });
            if self.body {
                line["body"] = self.shown(delivery);
            }
            return output::print(&format!("{line}\n"));
        }
        let said = status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        let again = if again { "  again" } else { "" };
        let (id, took) = (delivery.id, millis(took));
        let event_type = output::shortened(&delivery.event_type, 40);
        let mut text = format!("{id:>8}  {event_type:<28}  {said:>9}  {took:>6} ms{again}\n");
        if self.body {
            text += &output::indented(&output::json(&self.shown(delivery))?);
        }
        output::print(&text)
    }

    fn shown(self, delivery: &Delivery) -> Value {
        mask::View::of(self.unmask).json(&delivery.body)
    }
}

fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}
