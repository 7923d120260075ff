//! `trunkline audit`: who did what, and why; and the flags by which every command that changes something learns
//! the answer.

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use trunkline_platform::audit::{self, Act, Actor, AuditFilter, AuditRow};
use trunkline_platform::task::Tasks;

use super::{database, output};
use crate::config::Config;
use crate::mask;

/// Flags of every command that changes something.
#[derive(Args, Clone, Debug)]
pub(super) struct ActorArgs {
    /// Who acts; by default the user who is logged in
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Why, for whoever reads the audit later
    #[arg(long, visible_alias = "why", value_name = "TEXT")]
    reason: Option<String>,
}

impl ActorArgs {
    pub(super) fn actor(&self) -> Result<Actor> {
        let user = || std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).ok();
        match self.by.clone().or_else(user).filter(|name| !name.trim().is_empty()) {
            Some(name) => {
                Ok(Actor { name: format!("operator:{}", name.trim()), reason: self.reason.clone() })
            }
            None => bail!("nobody is logged in under a name: say who acts with --by NAME"),
        }
    }
}

#[derive(Args, Debug)]
pub(super) struct AuditCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List what was done, the newest first
    List(List),
    /// Write down what was done outside the program, for whoever looks next
    Note(Note),
}

#[derive(Args, Debug)]
struct List {
    /// To what: task:17, queue:media, …
    #[arg(long)]
    subject: Option<String>,
    /// By whom: operator:ana, …
    #[arg(long)]
    actor: Option<String>,
    /// What: task.cancel, queue.pause, …
    #[arg(long)]
    action: Option<String>,
    /// Only entries older than this one: the last of the page before
    #[arg(long, value_name = "ID")]
    before: Option<i64>,
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Note {
    /// What it is about: task:17, queue:media, …
    subject: String,
    #[command(flatten)]
    actor: ActorArgs,
}

impl AuditCommand {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let tasks = database::open_tasks(config).await?;
        match self.action {
            Action::List(list) => output::print(&list.text(&tasks).await?),
            Action::Note(note) => note.write(&tasks).await,
        }
    }
}

impl Note {
    async fn write(self, tasks: &Tasks) -> Result<()> {
        let actor = self.actor.actor()?;
        if actor.reason.is_none() {
            bail!("a note without a text: say what was done with --reason TEXT");
        }
        let act = Act { action: "note", subject: self.subject, before: None, after: None };
        let mut tx = tasks.begin().await?;
        audit::record(tx.session(), tasks.clock().now(), &actor, &[act]).await?;
        Ok(tx.commit().await?)
    }
}

impl List {
    async fn text(self, tasks: &Tasks) -> Result<String> {
        let filter = AuditFilter {
            subject: self.subject,
            actor: self.actor,
            action: self.action,
            before: self.before,
            limit: self.limit,
        };
        let rows = audit::list(tasks.db(), &filter).await?;
        if self.json {
            let rows: Vec<Value> = rows.iter().map(as_json).collect();
            return output::json(&rows);
        }
        let now = tasks.clock().now();
        let mut table = output::Table::new(&[">ID", "WHEN", "WHO", "WHAT", "TO", "BEFORE", "AFTER", "WHY"]);
        for row in rows {
            let value = |text: &Option<String>| {
                output::shortened(&text.as_deref().map(mask::phones_in).unwrap_or_default(), 40)
            };
            table.row([
                row.id.to_string(),
                output::relative(row.at, now),
                row.actor.clone(),
                row.action.clone(),
                mask::phones_in(&row.subject),
                value(&row.before),
                value(&row.after),
                value(&row.reason),
            ]);
        }
        Ok(table.text("nothing was done by anybody"))
    }
}

/// An entry with its JSON as JSON, nobody's number readable.
fn as_json(row: &AuditRow) -> Value {
    let parsed = |text: &Option<String>| text.as_deref().map(mask::json);
    json!({
        "id": row.id, "at": row.at, "actor": row.actor, "action": row.action,
        "subject": mask::phones_in(&row.subject),
        "reason": row.reason.as_deref().map(mask::phones_in),
        "before": parsed(&row.before), "after": parsed(&row.after),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::database::testing::place;

    #[tokio::test]
    async fn a_note_is_in_the_book_without_anybodys_number() {
        let place = place();
        let tasks = place.migrated().await;
        let list = |json| List { subject: None, actor: None, action: None, before: None, limit: 50, json };
        assert_eq!(list(false).text(&tasks).await.unwrap(), "nothing was done by anybody\n");

        let actor = |reason: Option<&str>| ActorArgs {
            by: Some("ana".to_owned()),
            reason: reason.map(str::to_owned),
        };
        let note = |reason| Note { subject: "task:17".to_owned(), actor: actor(reason) };
        note(Some("called +12125550101 by hand")).write(&tasks).await.unwrap();
        let told = list(false).text(&tasks).await.unwrap();
        assert!(told.contains("operator:ana  note  task:17"), "{told}");
        let rows: Value = serde_json::from_str(&list(true).text(&tasks).await.unwrap()).unwrap();
        assert_eq!(rows[0]["reason"], "called +*******0101 by hand");
        let refusal = note(None).write(&tasks).await.unwrap_err().to_string();
        assert!(refusal.contains("--reason"), "{refusal}");
    }
}
