//! `trunkline contacts tag|flag|remove`.

use anyhow::{Result, bail};
use clap::Args;
use trunkline_jobs::contacts::number::Country;
use trunkline_jobs::contacts::people::{self, LABEL_BATCH, Label, Labelling};
use trunkline_jobs::contacts::segments;
use trunkline_platform::clock::Clock;
use trunkline_platform::db::Db;

use super::super::audit::ActorArgs;
use super::super::optouts;
use super::super::segments::Whom;

#[derive(Args, Debug)]
pub(super) struct Tag {
    #[arg(value_parser = Label::tag, value_name = "TAG")]
    label: Label,
    #[command(flatten)]
    chosen: Chosen,
    /// Take it off
    #[arg(long)]
    remove: bool,
}

#[derive(Args, Debug)]
pub(super) struct Flag {
    #[arg(value_parser = Label::flag, value_name = "FLAG")]
    label: Label,
    #[command(flatten)]
    chosen: Chosen,
    /// Take it off
    #[arg(long)]
    remove: bool,
}

#[derive(Args, Debug)]
pub(super) struct Remove {
    #[command(flatten)]
    chosen: Chosen,
}

/// Whom it is done to.
#[derive(Args, Debug)]
struct Chosen {
    #[arg(value_name = "NUMBER")]
    numbers: Vec<String>,
    #[command(flatten)]
    whom: Whom,
    /// Only tell how many people it would be
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    actor: ActorArgs,
}

impl Tag {
    pub(super) async fn text(self, db: &Db, country: Country) -> Result<String> {
        label(db, country, &self.label, &self.chosen, self.remove).await
    }
}

impl Flag {
    pub(super) async fn text(self, db: &Db, country: Country) -> Result<String> {
        label(db, country, &self.label, &self.chosen, self.remove).await
    }
}

impl Remove {
    pub(super) async fn text(self, db: &Db, country: Country) -> Result<String> {
        let (actor, clock, mut removed) = (self.chosen.actor.actor()?, Clock::system(), 0);
        let act = async |numbers: &[&str]| {
            removed += people::remove(db, numbers, &actor, clock.now()).await?;
            anyhow::Ok(())
        };
        let count = self.chosen.each(db, country, act).await?;
        Ok(if self.chosen.dry_run {
            format!("{count} people would be removed\n")
        } else {
            format!("{removed} removed\n")
        })
    }
}

async fn label(db: &Db, country: Country, label: &Label, chosen: &Chosen, remove: bool) -> Result<String> {
    let labelling = if remove { Labelling::Remove } else { Labelling::Add };
    let (actor, clock, mut changed) = (chosen.actor.actor()?, Clock::system(), 0);
    let act = async |numbers: &[&str]| {
        changed += people::label(db, numbers, label, labelling, &actor, clock.now()).await?;
        anyhow::Ok(())
    };
    let count = chosen.each(db, country, act).await?;
    let (kind, word) = (label.kind(), label.word());
    Ok(if chosen.dry_run {
        format!("it would be {count} people\n")
    } else {
        format!("{changed} of {count} people changed: {kind} {word}\n")
    })
}

impl Chosen {
    /// Acts batch by batch; in a dry run only counts.
    async fn each(
        &self,
        db: &Db,
        country: Country,
        mut act: impl AsyncFnMut(&[&str]) -> Result<()>,
    ) -> Result<usize> {
        match (self.numbers.is_empty(), self.whom.is_anybody()) {
            (true, true) => bail!("whom? Name numbers, or say --segment or --filter"),
            (false, false) => bail!("numbers and a filter do not go together: give one of them"),
            _ => {}
        }
        if !self.numbers.is_empty() {
            let numbers = optouts::numbers(&self.numbers, country)?;
            let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
            for batch in numbers.chunks(LABEL_BATCH) {
                if !self.dry_run {
                    act(batch).await?;
                }
            }
            return Ok(numbers.len());
        }
        let (filter, now) = (self.whom.filter(db).await?, Clock::system().now());
        let (mut count, mut after) = (0, None);
        loop {
            let members = segments::members(db, &filter, after.as_deref(), now).await?;
            let numbers: Vec<&str> = members.people.iter().map(|person| person.number.as_str()).collect();
            count += numbers.len();
            for batch in numbers.chunks(LABEL_BATCH) {
                if !self.dry_run {
                    act(batch).await?;
                }
            }
            match members.next {
                Some(next) => after = Some(next),
                None => return Ok(count),
            }
        }
    }
}
