//! `trunkline audit`: who did what, and why; and the flags by which every command that changes something learns
//! the answer.

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use trunkline_platform::audit::{self, Actor, AuditFilter, AuditRow};

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
    #[arg(long, value_name = "TEXT")]
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

impl AuditCommand {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let Action::List(list) = self.action;
        let tasks = database::open_tasks(config).await?;
        let filter = AuditFilter {
            subject: list.subject,
            actor: list.actor,
            action: list.action,
            before: list.before,
            limit: list.limit,
        };
        let rows = audit::list(tasks.db(), &filter).await?;
        if list.json {
            let rows: Vec<Value> = rows.iter().map(as_json).collect();
            return output::print(&output::json(&rows)?);
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
                row.subject.clone(),
                value(&row.before),
                value(&row.after),
                value(&row.reason),
            ]);
        }
        output::print(&table.text("nothing was done by anybody"))
    }
}

/// An entry with its JSON as JSON, nobody's number readable.
fn as_json(row: &AuditRow) -> Value {
    let parsed = |text: &Option<String>| text.as_deref().map(mask::json);
    json!({
        "id": row.id, "at": row.at, "actor": row.actor, "action": row.action, "subject": row.subject,
        "reason": row.reason.as_deref().map(mask::phones_in),
        "before": parsed(&row.before), "after": parsed(&row.after),
    })
}
