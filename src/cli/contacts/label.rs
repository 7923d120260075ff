//! `trunkline contacts tag|flag|remove`.

use anyhow::{Result, bail};
use clap::Args;
use trunkline_jobs::contacts::number::Country;
use trunkline_jobs::contacts::people::{self, ActedOn, Label, Labelling, PeopleAct, Whom};
use trunkline_platform::clock::Clock;
use trunkline_platform::db::Db;

use super::super::audit::ActorArgs;
use super::super::optouts;
use super::super::segments;

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
    whom: segments::Whom,
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
        let ActedOn { people, changed, .. } = self.chosen.act(db, country, &PeopleAct::Remove).await?;
        Ok(if self.chosen.dry_run {
            format!("{people} people would be removed\n")
        } else {
            format!("{changed} removed\n")
        })
    }
}

async fn label(db: &Db, country: Country, label: &Label, chosen: &Chosen, remove: bool) -> Result<String> {
    let labelling = if remove { Labelling::Remove } else { Labelling::Add };
    let act = PeopleAct::Label(label.clone(), labelling);
    let ActedOn { people, changed, .. } = chosen.act(db, country, &act).await?;
    let (kind, word) = (label.kind(), label.word());
    Ok(if chosen.dry_run {
        format!("it would be {people} people\n")
    } else {
        format!("{changed} of {people} people changed: {kind} {word}\n")
    })
}

impl Chosen {
    async fn act(&self, db: &Db, country: Country, act: &PeopleAct) -> Result<ActedOn> {
        let whom = match (self.numbers.is_empty(), self.whom.is_anybody()) {
            (true, true) => bail!("whom? Name numbers, or say --segment or --filter"),
            (false, false) => bail!("numbers and a filter do not go together: give one of them"),
            (false, true) => Whom::Numbers(optouts::numbers(&self.numbers, country)?),
            (true, false) => Whom::Members(self.whom.filter(db).await?),
        };
        let (actor, now) = (self.actor.actor()?, Clock::system().now());
        Ok(people::act(db, &whom, act, self.dry_run, None, &actor, now).await?)
    }
}
