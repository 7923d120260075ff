//! `trunkline contacts import`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use trunkline_jobs::contacts::import::{self, ImportRow, Mapping, Options, Progress};
use trunkline_jobs::contacts::number::Country;
use trunkline_jobs::contacts::people::{Label, OnDuplicate};
use trunkline_platform::clock::Clock;
use trunkline_platform::db::Db;

use super::super::audit::ActorArgs;
use super::super::output;

#[derive(Args, Debug)]
pub(super) struct Import {
    file: PathBuf,
    /// What a column is, when its name does not tell: 'Handy=phone', 'Plan=field.tariff', 'Notes=ignore'
    #[arg(long = "map", value_name = "COLUMN=TARGET")]
    mappings: Vec<Mapping>,
    /// What becomes of a number that is there already
    #[arg(long, value_enum, default_value = "skip")]
    duplicates: Duplicates,
    /// Put this tag on everybody
    #[arg(long = "tag", value_name = "TAG", value_parser = Label::tag)]
    tags: Vec<Label>,
    /// The country of numbers without a country code [default: contacts.country]
    #[arg(long)]
    country: Option<Country>,
    /// Where bad rows go, to be mended and imported again [default: beside the file]
    #[arg(long, value_name = "FILE")]
    errors: Option<PathBuf>,
    /// Only tell what would come of it, and which rows are bad
    #[arg(long)]
    dry_run: bool,
    /// From the beginning, although an earlier run was cut off in the middle
    #[arg(long)]
    restart: bool,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Duplicates {
    /// It stays as it is
    Skip,
    /// It takes on what is new
    Update,
    /// The row is a bad one
    Fail,
}

#[derive(Args, Debug)]
pub(super) struct Imports {
    /// Only imports before this one: the last of the page before
    #[arg(long, value_name = "ID")]
    before: Option<i64>,
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

impl Import {
    pub(super) async fn text(self, db: &Db, country: Country) -> Result<String> {
        let errors = self.errors.clone().unwrap_or_else(|| {
            let mut name = self.file.file_stem().unwrap_or_default().to_owned();
            name.push(".errors.csv");
            self.file.with_file_name(name)
        });
        let options = Options {
            file: self.file.clone(),
            report: errors.clone(),
            mappings: self.mappings.clone(),
            on_duplicate: match self.duplicates {
                Duplicates::Skip => OnDuplicate::Skip,
                Duplicates::Update => OnDuplicate::Update,
                Duplicates::Fail => OnDuplicate::Fail,
            },
            country: self.country.unwrap_or(country),
            labels: self.tags.clone(),
            dry_run: self.dry_run,
            restart: self.restart,
        };
        let actor = self.actor.actor()?;
        // Drawn on a terminal, and nowhere else.
        let bar = ProgressBar::new(0);
        let style = "{bar:30} {bytes}/{total_bytes} {msg} {eta}";
        bar.set_style(ProgressStyle::with_template(style).context("the progress bar")?);
        let told = |progress: &Progress| {
            let row = &progress.row;
            bar.set_length(u64::try_from(row.bytes).unwrap_or_default());
            bar.set_position(u64::try_from(row.next_byte).unwrap_or_default());
            bar.set_message(format!("{} in, {} bad", row.added + row.updated + row.skipped, row.bad));
        };
        let outcome = import::import(db, &Clock::system(), &options, &actor, told).await;
        bar.finish_and_clear();
        let progress = outcome.with_context(|| {
            format!("{} was not imported to its end; run it again to go on", self.file.display())
        })?;
        let row = &progress.row;
        let report = (row.bad > 0).then(|| errors.display().to_string());
        if report.is_none() {
            let _ = std::fs::remove_file(&errors);
        }
        if self.json {
            return output::json(&json!({ "dry_run": self.dry_run, "import": row,
                "resumed_at_line": progress.resumed_at, "errors": report }));
        }
        let mut text = String::new();
        if let Some(line) = progress.resumed_at {
            text += &format!("went on in line {line}, where an earlier run stopped\n");
        }
        let ImportRow { added, updated, skipped, bad, .. } = row;
        let would = if self.dry_run { "would be: " } else { "" };
        text += &format!("{would}{added} added, {updated} updated, {skipped} left as they are, {bad} bad\n");
        if let Some(report) = report {
            text += &format!("the bad rows are in {report}: mend them there and import that file\n");
        }
        Ok(text)
    }
}

impl Imports {
    pub(super) async fn text(self, db: &Db) -> Result<String> {
        let rows = import::list(db, self.before, self.limit).await?;
        if self.json {
            return output::json(&rows);
        }
        let now = Clock::system().now();
        let mut table = output::Table::new(&[
            ">ID", "FILE", "STATE", "STARTED", ">ADDED", ">UPDATED", ">LEFT", ">BAD", "BY", "ERROR",
        ]);
        for row in rows {
            table.row([
                row.id.to_string(),
                row.file,
                row.state,
                output::relative(row.started_at, now),
                row.added.to_string(),
                row.updated.to_string(),
                row.skipped.to_string(),
                row.bad.to_string(),
                row.actor,
                row.error.unwrap_or_default(),
            ]);
        }
        Ok(table.text("nothing was imported"))
    }
}
