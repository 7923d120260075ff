//! `trunkline contacts list|show|export`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;
use trunkline_jobs::contacts::export::{export, note_export};
use trunkline_jobs::contacts::number::Country;
use trunkline_jobs::contacts::people::Person;
use trunkline_jobs::contacts::{optout, people, segments};
use trunkline_platform::clock::Clock;
use trunkline_platform::db::Db;

use super::super::audit::ActorArgs;
use super::super::optouts::{self, Show};
use super::super::output;
use super::super::segments::Whom;
use super::shown;

/// Words of one number that are shown.
const CONSENTS: u32 = 50;

#[derive(Args, Debug)]
pub(super) struct List {
    #[command(flatten)]
    whom: Whom,
    /// Only numbers behind this one: the last of the page before
    #[arg(long, value_name = "NUMBER")]
    after: Option<String>,
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    #[command(flatten)]
    show: Show,
}

#[derive(Args, Debug)]
pub(super) struct ShowOne {
    number: String,
    #[command(flatten)]
    show: Show,
}

#[derive(Args, Debug)]
pub(super) struct Export {
    /// Where to write [default: standard output]
    file: Option<PathBuf>,
    #[command(flatten)]
    whom: Whom,
    #[arg(long, value_enum, default_value = "csv")]
    format: output::FormatName,
    /// Write numbers, names and fields in full
    #[arg(long)]
    unmask: bool,
    #[command(flatten)]
    actor: ActorArgs,
}

impl List {
    pub(super) async fn text(self, db: &Db) -> Result<String> {
        let filter = self.whom.filter(db).await?;
        let now = Clock::system().now();
        let limit = self.limit as usize;
        let (mut found, mut after): (Vec<Person>, _) = (Vec::new(), self.after.clone());
        loop {
            let members = segments::members(db, &filter, after.as_deref(), now).await?;
            found.extend(members.people);
            after = members.next;
            if found.len() >= limit || after.is_none() {
                break;
            }
        }
        found.truncate(limit);
        let found: Vec<Person> = found.into_iter().map(|person| shown(person, self.show)).collect();
        if self.show.json {
            return output::json(&found);
        }
        let mut table =
            output::Table::new(&["NUMBER", "NAME", "STATE", "TAGS", "FLAGS", "LAST REPLY", "TEXTS"]);
        for person in found {
            let names: Vec<&str> =
                [&person.first_name, &person.last_name].into_iter().flatten().map(String::as_str).collect();
            let words = |words: &std::collections::BTreeSet<String>| {
                words.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
            };
            table.row([
                person.number.clone(),
                names.join(" "),
                person.state.clone().unwrap_or_default(),
                words(&person.tags),
                words(&person.flags),
                person.last_reply_at.map(|at| output::relative(at, now)).unwrap_or_default(),
                if person.opted_out { "opted out" } else { "" }.to_owned(),
            ]);
        }
        Ok(table.text("no people"))
    }
}

impl ShowOne {
    pub(super) async fn text(self, db: &Db, country: Country) -> Result<String> {
        let numbers = optouts::numbers(std::slice::from_ref(&self.number), country)?;
        let number = numbers.first().map(String::as_str).unwrap_or_default();
        let person = people::find(&mut db.read().await?, [number]).await?.pop();
        let standing = optout::show(db, number).await?;
        let consents = optout::consents(db, number, CONSENTS).await?;
        if person.is_none() && standing.is_none() && consents.is_empty() {
            bail!("nothing is known of this number");
        }
        let place = person.as_ref().map(Person::place);
        let show = self.show;
        let person = person.map(|person| shown(person, show));
        if show.json {
            let said: Vec<_> = consents
                .iter()
                .map(|row| {
                    json!({ "id": row.id, "act": row.act, "at": row.at, "channel": row.channel,
                        "wording": row.wording.as_deref().map(|text| show.text(text)),
                        "message_id": row.message_id, "actor": row.actor, "review": row.review })
                })
                .collect();
            let zones = place.map(|place| place.zones.iter().map(|zone| zone.name()).collect::<Vec<_>>());
            return output::json(&json!({ "person": person, "zones": zones,
                "opt_out": standing.map(|row| optouts::document(&row, show)), "said": said }));
        }
        let now = Clock::system().now();
        let mut text = format!("{}\n", show.phone(number));
        if let Some(person) = person {
            let words = |words: Vec<String>| (!words.is_empty()).then(|| words.join(" "));
            let zones = place.map(|place| {
                let names: Vec<&str> = place.zones.iter().map(|zone| zone.name()).collect();
                if place.known { names.join(" ") } else { format!("unknown: {}", names.join(" ")) }
            });
            text += &output::fields(&[
                ("first name", person.first_name),
                ("last name", person.last_name),
                ("company", person.company),
                ("email", person.email),
                ("tags", words(person.tags.into_iter().collect())),
                ("flags", words(person.flags.into_iter().collect())),
                ("zones", zones),
                ("source", Some(person.source)),
                ("added", Some(output::time(person.created_at, now))),
                ("last reply", person.last_reply_at.map(|at| output::time(at, now))),
            ]);
            let fields: Vec<(&str, Option<String>)> =
                person.fields.iter().map(|(name, value)| (name.as_str(), Some(value.clone()))).collect();
            text += &output::fields(&fields);
        } else {
            text += "  in no list\n";
        }
        let closed = standing.is_some_and(|row| row.closed);
        text += if closed { "  must not be texted\n" } else { "  may be texted\n" };
        let mut table = output::Table::new(&[">ID", "WHEN", "SAID", "CHANNEL", "WORDING", "BY", "REVIEW"]);
        for row in consents {
            table.row([
                row.id.to_string(),
                output::relative(row.at, now),
                row.act,
                row.channel,
                output::shortened(&row.wording.map(|text| show.text(&text)).unwrap_or_default(), 60),
                row.actor.unwrap_or_default(),
                row.review.unwrap_or_default(),
            ]);
        }
        Ok(text + "\n" + &table.text("nothing was said about being texted"))
    }
}

impl Export {
    pub(super) async fn text(self, db: &Db) -> Result<String> {
        let filter = self.whom.filter(db).await?;
        let (now, actor) = (Clock::system().now(), self.actor.actor()?);
        let format = self.format.into();
        note_export(db, &filter, self.unmask, &actor, now).await?;
        let show = Show { unmask: self.unmask, json: false };
        let shown = |person| shown(person, show);
        let Some(path) = &self.file else {
            let mut out = BufWriter::new(io::stdout());
            return match export(db, &filter, format, now, shown, &mut out).await {
                Err(error) if error.is_broken_pipe() => Ok(String::new()),
                written => written.map(|_| String::new()).context("the export stopped"),
            };
        };
        let file = File::create_new(path).with_context(|| format!("{} cannot be made", path.display()))?;
        let mut out = BufWriter::new(file);
        let count = export(db, &filter, format, now, shown, &mut out).await?;
        out.flush()?;
        Ok(format!("{count} people are in {}\n", path.display()))
    }
}
