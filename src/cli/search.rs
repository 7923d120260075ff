//! `trunkline search`: messages, transcripts, summaries and voicemails by what is in them.

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use trunkline_jobs::search::{self, By, Cursor, Hit, Kind, Order, Query};
use trunkline_platform::clock::Clock;
use trunkline_platform::db::Db;

use super::{database, output, payload};
use crate::config::Config;
use crate::mask;

/// Every word must be there, in any form of its letters. "Words in quotes" must stand in this order; techn* stands
/// for every word that begins so.
#[derive(Args, Debug)]
pub(super) struct SearchCommand {
    /// What to look for; nothing lists what the filters leave
    words: Vec<String>,
    /// Only in these
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<KindArg>,
    /// Somebody who took part, such as +12125550101
    #[arg(long)]
    number: Option<String>,
    /// Who said it: `us`, `them`, a user's id or a number
    #[arg(long, value_name = "WHO")]
    speaker: Option<String>,
    /// Only in this conversation
    #[arg(long, value_name = "ID")]
    conversation: Option<String>,
    /// Since then: a time, or how long ago it was (2h)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before then
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The newest first, not the best
    #[arg(long)]
    newest: bool,
    /// Go on from here: `next` of the page before
    #[arg(long, value_name = "PLACE")]
    after: Option<Cursor>,
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
    /// Show phone numbers and texts
    #[arg(long)]
    unmask: bool,
    /// Print a JSON object: `hits`, and `next` when there are more
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KindArg {
    Message,
    Transcript,
    Summary,
    Voicemail,
}

impl From<KindArg> for Kind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::Message => Self::Message,
            KindArg::Transcript => Self::Transcript,
            KindArg::Summary => Self::Summary,
            KindArg::Voicemail => Self::Voicemail,
        }
    }
}

/// A search among some kinds.
#[derive(Debug)]
pub(super) struct Search {
    command: SearchCommand,
    among: &'static [Kind],
}

impl SearchCommand {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let db = database::open(config).await?;
        output::print(&self.among(&Kind::ALL).text(&db).await?)
    }

    pub(super) fn among(self, kinds: &'static [Kind]) -> Search {
        Search { command: self, among: kinds }
    }

    fn query(&self, among: &[Kind]) -> Result<Query> {
        let now = Clock::system().now();
        let time = |text: &Option<String>| text.as_deref().map(|text| payload::past(text, now)).transpose();
        let asked: Vec<Kind> = self.kinds.iter().map(|kind| Kind::from(*kind)).collect();
        let mut kinds: Vec<Kind> = if asked.is_empty() { among.to_vec() } else { asked };
        anyhow::ensure!(
            kinds.iter().all(|kind| among.contains(kind)),
            "calls have no messages: `trunkline search` looks through all"
        );
        if kinds.len() == Kind::ALL.len() {
            kinds.clear();
        }
        Ok(Query {
            text: self.words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
            kinds,
            number: self.number.clone(),
            speaker: self.speaker.as_deref().map(By::from),
            conversation: self.conversation.clone(),
            since: time(&self.since)?,
            until: time(&self.until)?,
            order: if self.newest { Order::Newest } else { Order::Best },
            limit: self.limit,
            cursor: self.after,
        })
    }
}

/// A word that the shell was told to keep together is a phrase.
fn quoted(word: &str) -> String {
    let is_phrase = word.contains(char::is_whitespace) && !word.contains('"');
    if is_phrase { format!("\"{word}\"") } else { word.to_owned() }
}

impl Search {
    pub(super) async fn text(self, db: &Db) -> Result<String> {
        let query = self.command.query(self.among)?;
        let page = search::search(db, &query).await?;
        let (unmask, next) = (self.command.unmask, page.next.map(|next| next.to_string()));
        if self.command.json {
            let hits: Vec<Value> =
                page.hits.into_iter().map(|hit| as_json(hit, unmask)).collect::<Result<_>>()?;
            return output::json(&json!({"hits": hits, "next": next, "cut": page.cut}));
        }
        let now = Clock::system().now();
        let mut text = String::new();
        for hit in &page.hits {
            let about = [
                Some(hit.kind.as_str().to_owned()),
                Some(hit.id.clone()),
                Some(output::relative(hit.at, now)),
                hit.from.as_deref().map(|from| format!("from {}", number(from, unmask))),
                hit.start.map(|start| format!("at {start:.0}s")),
            ];
            text += &format!("{}\n", about.into_iter().flatten().collect::<Vec<_>>().join("  "));
            text += &output::indented(&snippet(hit, unmask));
        }
        if page.hits.is_empty() && next.is_none() {
            text += "nothing found\n";
        }
        if page.cut {
            text += "not all of the query was looked for: it is too long\n";
        }
        if let Some(next) = next {
            text += &format!("more: --after {next}\n");
        }
        Ok(text)
    }
}

fn number(number: &str, unmask: bool) -> String {
    if unmask { number.to_owned() } else { mask::phone(number) }
}

fn snippet(hit: &Hit, unmask: bool) -> String {
    let plain = hit.snippet.marked("", "", str::to_owned);
    if unmask { hit.snippet.marked("«", "»", str::to_owned) } else { mask::text(&plain) }
}

fn as_json(mut hit: Hit, unmask: bool) -> Result<Value> {
    if !unmask {
        hit.from = hit.from.map(|from| mask::phone(&from));
        hit.to = hit.to.iter().map(|to| mask::phone(to)).collect();
        hit.speaker.number = hit.speaker.number.map(|number| mask::phone(&number));
        for piece in &mut hit.snippet.pieces {
            piece.text = mask::text(&piece.text);
        }
    }
    Ok(serde_json::to_value(hit)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_shell_kept_together_is_a_phrase() {
        assert_eq!(quoted("heater"), "heater");
        assert_eq!(quoted("heater is out"), "\"heater is out\"");
        assert_eq!(quoted("\"heater is\" out"), "\"heater is\" out");
    }
}
