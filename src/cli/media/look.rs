//! `trunkline media list|show`. Links are never shown: whoever has one has the file.

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::Value;
use trunkline_jobs::media::MediaId;
use trunkline_jobs::media::inspect::{self, MediaDetail, MediaFilter};
use trunkline_platform::task::Tasks;

use super::super::output;
use crate::mask;

pub(super) const STATES: [&str; 5] = ["pending", "stored", "quarantined", "failed", "purged"];
pub(super) const OWNERS: [&str; 3] = ["message", "recording", "voicemail"];

#[derive(Args, Debug)]
pub(super) struct List {
    /// pending, stored, quarantined, failed or purged
    #[arg(long, value_parser = PossibleValuesParser::new(STATES))]
    state: Option<String>,
    /// Of messages, recordings or voicemails
    #[arg(long, value_name = "KIND", value_parser = PossibleValuesParser::new(OWNERS))]
    of: Option<String>,
    /// Of this message, voicemail, or call and recording: AC…, call:AC…, AC…/RE…
    #[arg(long, value_name = "ID")]
    owner: Option<String>,
    /// Only files under legal hold
    #[arg(long)]
    held: bool,
    /// Only files older than this one: the last of the page before
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
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) async fn text(self, tasks: &Tasks) -> Result<String> {
        let filter = MediaFilter {
            state: self.state,
            owner_type: self.of,
            owner_id: self.owner,
            legal_hold: self.held.then_some(true),
            before: self.before,
            limit: self.limit,
        };
        let rows = inspect::list(tasks.db(), &filter).await?;
        if self.json {
            let rows: Vec<Value> = rows.iter().map(document).collect::<Result<_>>()?;
            return output::json(&rows);
        }
        let now = tasks.clock().now();
        let mut table =
            output::Table::new(&[">ID", "STATE", "OF", "OWNER", "TYPE", ">SIZE", "TOLD", "HOLD", "WHY"]);
        for row in rows {
            let why = row.error.as_deref().or(row.signature.as_deref()).map(mask::phones_in);
            table.row([
                row.id.to_string(),
                row.state.clone(),
                row.owner_type.clone(),
                row.owner_id.clone(),
                row.media_type.clone().unwrap_or_default(),
                row.size.map(output::size).unwrap_or_default(),
                output::relative(row.told_at, now),
                if row.legal_hold { "yes".to_owned() } else { String::new() },
                output::shortened(&why.unwrap_or_default(), 60),
            ]);
        }
        Ok(table.text("no files"))
    }
}

impl Show {
    pub(super) async fn text(self, tasks: &Tasks) -> Result<String> {
        let row = inspect::show(tasks.db(), MediaId(self.id)).await?;
        let row = row.with_context(|| format!("there is no file {}", self.id))?;
        if self.json {
            return output::json(&document(&row)?);
        }
        let now = tasks.clock().now();
        Ok(format!("media {}  {}\n", row.id, row.state) + &about(&row, now))
    }
}

fn document(row: &MediaDetail) -> Result<Value> {
    let mut document = serde_json::to_value(row)?;
    document["host"] = row.host().into();
    Ok(document)
}

fn about(row: &MediaDetail, now: DateTime<Utc>) -> String {
    let time = |time: Option<DateTime<Utc>>| time.map(|time| output::time(time, now));
    output::fields(&[
        ("of", Some(format!("{} {}, file {}", row.owner_type, row.owner_id, row.position))),
        ("why", row.error.as_deref().map(mask::phones_in)),
        ("found", row.signature.clone()),
        ("type", row.media_type.clone()),
        ("declared", row.declared_type.clone()),
        ("served as", row.served_type.clone()),
        ("mismatch", row.type_mismatch.then(|| "it is not what it was said to be".to_owned())),
        ("size", row.size.map(output::size)),
        ("sha256", row.sha256.clone()),
        ("thumbnail", row.thumbnail_sha256.clone()),
        ("no thumbnail", row.thumbnail_error.clone()),
        ("host", row.host()),
        ("told", time(Some(row.told_at))),
        ("fresh link", time(row.asked_at)),
        ("stored", time(row.stored_at)),
        ("scanned", time(row.scanned_at)),
        ("legal hold", row.legal_hold.then(|| "yes".to_owned())),
        ("purged", time(row.purged_at)),
        ("was", row.former_sha256.clone()),
        ("see", Some(format!("trunkline audit list --subject media:{}", row.id))),
    ])
}
