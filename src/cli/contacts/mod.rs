//! `trunkline contacts`: the people of campaigns; bringing them in, looking at them, and taking them out.

mod import;
mod label;
mod look;

use anyhow::Result;
use clap::{Args, Subcommand};
use trunkline_jobs::contacts::people::Person;

use super::optouts::Show;
use super::{database, output};
use crate::config::Config;

#[derive(Args, Debug)]
pub(super) struct ContactsCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Bring in a CSV file; a run that was cut off goes on where it stopped
    Import(import::Import),
    /// List imports, the newest first
    Imports(import::Imports),
    /// Write people to a file, as CSV that can be imported again or as JSON
    Export(look::Export),
    /// List people in the order of their numbers
    List(look::List),
    /// Show everything that is known of a number: the person, and what they said about being texted
    Show(look::ShowOne),
    /// Put a tag on people, or take it off
    Tag(label::Tag),
    /// Put a flag on people (blocked, complained, invalid, test, vip), or take it off
    Flag(label::Flag),
    /// Take people out; what they said about being texted stays
    Remove(label::Remove),
}

impl ContactsCommand {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let db = database::open(config).await?;
        let country = config.contacts.country;
        let text = match self.action {
            Action::Import(import) => import.text(&db, country).await?,
            Action::Imports(imports) => imports.text(&db).await?,
            Action::Export(export) => export.text(&db).await?,
            Action::List(list) => list.text(&db).await?,
            Action::Show(show) => show.text(&db, country).await?,
            Action::Tag(tag) => tag.text(&db, country).await?,
            Action::Flag(flag) => flag.text(&db, country).await?,
            Action::Remove(remove) => remove.text(&db, country).await?,
        };
        output::print(&text)
    }
}

/// A person as somebody may see them.
fn shown(person: Person, show: Show) -> Person {
    show.view().person(person)
}
