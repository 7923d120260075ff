//! `trunkline calls show`.

use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;
use trunkline_jobs::calls::{self, CallDetails, Said};
use trunkline_platform::clock::Clock;
use trunkline_platform::db::Db;

use crate::cli::output;
use crate::elapsed::clock;
use crate::mask;

#[derive(Args, Debug)]
pub(super) struct Show {
    /// The call, such as AC0a1b2c3d4e5f60718293a4b5c6d7e8f9
    id: String,
    /// Show phone numbers and what was said
    #[arg(long)]
    unmask: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// How people are shown.
#[derive(Clone, Copy)]
struct View {
    unmask: bool,
}

impl View {
    fn number(self, number: &str) -> String {
        if self.unmask { number.to_owned() } else { mask::phone(number) }
    }

    fn said(self, text: &str) -> String {
        if self.unmask { text.to_owned() } else { mask::text(text) }
    }
}

impl Show {
    pub(super) async fn text(self, db: &Db) -> Result<String> {
        let found = calls::show(db, &self.id).await?;
        let details = found.with_context(|| format!("there is no call {}", self.id))?;
        if self.json {
            let document = serde_json::to_string(&details)?;
            let mut shown =
                if self.unmask { serde_json::from_str(&document)? } else { mask::json(&document) };
            hide(&mut shown, self.unmask);
            return output::json(&shown);
        }
        Ok(told(&details, View { unmask: self.unmask }))
    }
}

/// Whoever took part, under names that tell nobody.
fn hide(document: &mut Value, unmask: bool) {
    for name in ["caller", "callee", "voicemail"] {
        if let Some(Value::String(text)) = document.get_mut(name).filter(|_| !unmask) {
            *text = if name == "voicemail" { mask::text(text) } else { mask::phone(text) };
        }
    }
}

fn told(details: &CallDetails, view: View) -> String {
    let (call, now) = (&details.call, Clock::system().now());
    let number = |number: &Option<String>| number.as_deref().map(|number| view.number(number));
    let seconds = |ms: i64| clock(ms as f64 / 1_000.0);
    let mut text = format!("call {}  {}\n", call.id, call.status);
    text += &output::fields(&[
        ("began", Some(output::time(call.at, now))),
        ("direction", call.direction.clone()),
        ("from", number(&call.caller)),
        ("to", number(&call.callee)),
        ("participants", Some(list(details.participants.iter().map(|it| view.number(it))))),
        ("user", call.user_id.clone()),
        ("answered", call.answered_at.map(|at| output::time(at, now))),
        ("answered by", call.answered_by.clone()),
        ("ended", call.completed_at.map(|at| output::time(at, now))),
        ("length", call.duration_ms.map(seconds)),
        ("outcome", call.outcome.clone()),
        ("forwarded from", number(&call.forwarded_from)),
        ("forwarded to", number(&call.forwarded_to)),
        ("conversation", call.conversation_id.clone()),
        ("transcript", call.transcript_status.clone()),
        ("summary", call.summary_status.clone()),
    ]);
    for recording in &details.recordings {
        let length = recording.duration_ms.map(seconds).unwrap_or_default();
        let file = match (recording.media, recording.state.as_deref()) {
            (Some(id), Some(state)) => format!("media {id}, {state}"),
            _ => "no link was told".to_owned(),
        };
        text += &format!("\nrecording {}  {length}  {file}\n", recording.recording);
    }
    if call.voicemail_id.is_some() {
        let length = call.voicemail_ms.map(seconds).unwrap_or_default();
        let said = call.voicemail.as_deref().map_or("no transcript".to_owned(), |said| view.said(said));
        text += &format!("\nvoicemail  {length}\n{}", output::indented(&said));
    }
    for (name, paragraphs) in [("summary", &details.summary), ("next steps", &details.next_steps)] {
        if !paragraphs.is_empty() {
            let lines: Vec<String> = paragraphs.iter().map(|line| view.said(line)).collect();
            text += &format!("\n{name}\n{}", output::indented(&lines.join("\n")));
        }
    }
    if !details.dialogue.is_empty() {
        text += "\ntranscript\n";
        for said in &details.dialogue {
            text += &line(said, view);
        }
    }
    text
}

fn line(said: &Said, view: View) -> String {
    let who = match (&said.user_id, &said.identifier) {
        (Some(user), _) => user.clone(),
        (None, Some(number)) => view.number(number),
        (None, None) => "somebody".to_owned(),
    };
    let at = said.start.map(clock).unwrap_or_default();
    output::indented(&format!("{at:>7}  {who}: {}", view.said(&said.content).replace('\n', " ")))
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}
