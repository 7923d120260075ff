//! Looking at dead letters.

use std::collections::HashMap;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};
use trunkline_platform::task::dead::{Cursor, DeadFilter, DeadGroup, DeadRow, Order};
use trunkline_platform::task::{AttemptRow, TaskId, Tasks};

use super::select::FilterArgs;
use crate::cli::{output, payload};
use crate::mask;

#[derive(Args, Debug)]
pub(super) struct Groups {
    /// The name of the job
    #[arg(long)]
    kind: Option<String>,
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(super) struct List {
    #[command(flatten)]
    filter: FilterArgs,
    /// Go on from here: `next` of the page before
    #[arg(long, value_name = "PLACE")]
    after: Option<Cursor>,
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Show phone numbers, names and texts
    #[arg(long)]
    unmask: bool,
    /// Print a JSON object: `dead`, and `next` when there are more
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(super) struct Show {
    id: TaskId,
    /// Show phone numbers, names and texts
    #[arg(long)]
    unmask: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

impl Groups {
    pub(super) async fn text(self, tasks: &Tasks) -> Result<String> {
        tasks.mark_old_deaths().await?;
        let filter = DeadFilter { kind: self.kind, ..DeadFilter::default() };
        let groups = tasks.dead_groups(&filter, self.limit).await?;
        let groups: Vec<DeadGroup> = groups
            .into_iter()
            .map(|group| DeadGroup { error: mask::phones_in(&group.error), ..group })
            .collect();
        if self.json {
            return output::json(&groups);
        }
        let now = tasks.clock().now();
        let mut table =
            output::Table::new(&["FINGERPRINT", ">COUNT", "KIND", "FIRST", "LAST", ">SAMPLE", "ERROR"]);
        for group in groups {
            table.row([
                group.fingerprint.unwrap_or_default(),
                group.count.to_string(),
                group.kind,
                output::relative(group.first_died_at, now),
                output::relative(group.last_died_at, now),
                group.sample.to_string(),
                output::shortened(&group.error, 80),
            ]);
        }
        Ok(table.text("no dead letters"))
    }
}

impl List {
    pub(super) async fn text(self, tasks: &Tasks) -> Result<String> {
        let now = tasks.clock().now();
        let filter = self.filter.filter(now)?;
        let rows = tasks.list_dead(&filter, Order::Newest, self.after, self.limit).await?;
        let full = rows.len() == self.limit as usize;
        let next =
            rows.last().filter(|_| full).map(|row| Cursor { died_at: row.died_at, id: row.id }.to_string());
        let behind = tasks.waiting_behind(&rows).await?;
        if self.json {
            let rows = rows.into_iter().map(|row| as_json(row, &behind, self.unmask));
            let rows: Vec<Value> = rows.collect::<Result<_>>()?;
            return output::json(&json!({"dead": rows, "next": next}));
        }
        let view = |text: &str| if self.unmask { text.to_owned() } else { mask::phones_in(text) };
        let mut table = output::Table::new(&[
            ">ID",
            "KIND",
            "QUEUE",
            ">TRIES",
            "DIED",
            "FINGERPRINT",
            ">HOLDS UP",
            "ERROR",
        ]);
        for row in rows {
            table.row([
                row.id.to_string(),
                row.kind.clone(),
                row.queue.clone(),
                tries(&row),
                output::relative(row.died_at, now),
                row.fingerprint.unwrap_or_default(),
                behind.get(&row.id).map(ToString::to_string).unwrap_or_default(),
                output::shortened(&row.last_error.as_deref().map(view).unwrap_or_default(), 60),
            ]);
        }
        let more = next.map(|next| format!("more: --after {next}\n")).unwrap_or_default();
        Ok(table.text("no dead letters") + &more)
    }
}

impl Show {
    pub(super) async fn text(self, tasks: &Tasks) -> Result<String> {
        let row = tasks.read_dead(&[self.id]).await?.pop();
        let row = match row {
            Some(row) => row,
            None => {
                let task =
                    tasks.show(self.id).await?.with_context(|| format!("there is no task {}", self.id))?;
                anyhow::bail!(
                    "task {0} is {1} and no dead letter: see `trunkline tasks show {0}`",
                    self.id,
                    task.state
                );
            }
        };
        let behind = tasks.waiting_behind(std::slice::from_ref(&row)).await?;
        let group = match &row.fingerprint {
            Some(fingerprint) => {
                let filter = DeadFilter { fingerprint: Some(fingerprint.clone()), ..DeadFilter::default() };
                tasks.dead_groups(&filter, 1).await?.pop()
            }
            None => None,
        };
        let view = |text: &str| if self.unmask { text.to_owned() } else { mask::phones_in(text) };
        let attempts: Vec<AttemptRow> = tasks
            .attempts(self.id)
            .await?
            .into_iter()
            .map(|attempt| AttemptRow { error: attempt.error.as_deref().map(view), ..attempt })
            .collect();
        if self.json {
            let mut document = as_json(row, &behind, self.unmask)?;
            document["attempts"] = json!(attempts);
            document["group"] = json!(group.map(|group| DeadGroup { error: view(&group.error), ..group }));
            return output::json(&document);
        }
        let now = tasks.clock().now();
        let mut text = format!("dead letter {}  {}\n", row.id, row.kind);
        text += &output::fields(&[
            ("died", Some(output::time(row.died_at, now))),
            ("created", Some(output::time(row.created_at, now))),
            ("cause", Some(row.cause.clone())),
            ("correlation", row.correlation_id.clone()),
            ("queue", Some(row.queue.clone())),
            ("tries", Some(format!("{} (crashes {})", tries(&row), row.crashes))),
            ("unique key", row.unique_key.as_deref().map(view)),
            ("ordering key", row.ordering_key.as_deref().map(view)),
            ("rate key", row.rate_key.as_deref().map(view)),
            ("holds up", behind.get(&row.id).map(|count| told_behind(row.id, *count))),
            ("fingerprint", row.fingerprint.clone()),
            (
                "of the same",
                group.as_ref().map(|group| {
                    format!("{}, first {}", group.count, output::relative(group.first_died_at, now))
                }),
            ),
        ]);
        text += &format!(
            "\nerror\n{}",
            output::indented(&row.last_error.as_deref().map(view).unwrap_or_default())
        );
        text += &format!(
            "\npayload (version {})\n{}",
            row.version,
            output::indented(&output::json(&payload::shown(&row.payload, self.unmask))?)
        );
        text += "\nattempts\n";
        for attempt in attempts {
            let seconds = attempt.duration_ms as f64 / 1_000.0;
            text += &format!(
                "  {}  {} after {seconds:.3}s by {}\n",
                attempt.attempt, attempt.verdict, attempt.worker
            );
            text += &attempt.error.as_deref().map(output::indented).unwrap_or_default();
        }
        Ok(text)
    }
}

fn told_behind(id: TaskId, count: i64) -> String {
    format!("its line, {count} tasks behind it: retry it, or `trunkline dead skip {id}` lets them pass")
}

fn as_json(row: DeadRow, behind: &HashMap<TaskId, i64>, unmask: bool) -> Result<Value> {
    let view = |text: &str| if unmask { text.to_owned() } else { mask::phones_in(text) };
    let (unique_key, last_error) = (row.unique_key.as_deref().map(view), row.last_error.as_deref().map(view));
    let (ordering_key, rate_key) = (row.ordering_key.as_deref().map(view), row.rate_key.as_deref().map(view));
    let holds_up = behind.get(&row.id).copied();
    let payload = payload::shown(&row.payload, unmask);
    let mut document =
        serde_json::to_value(DeadRow { unique_key, last_error, ordering_key, rate_key, ..row })?;
    document["holds_up"] = holds_up.into();
    document["payload"] = payload;
    Ok(document)
}

fn tries(row: &DeadRow) -> String {
    format!("{}/{}", row.attempt - row.refunds, row.max_attempts)
}
