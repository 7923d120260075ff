//! `trunkline top`: what works, what waits and what is wrong, looked at again and again. It only looks.

use std::io::{IsTerminal, stdout};

use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::Args;
use console::Term;
use serde::Serialize;
use trunkline_platform::db::DbError;
use trunkline_platform::task::WorkerRow;
use trunkline_platform::task::dead::DeadGroup;

use super::stats::queue_table;
use super::watch::Every;
use super::workers::worker_table;
use super::{database, output};
use crate::config::Config;
use crate::mask;
use crate::queues::QueueNow;
use crate::troubles::{self, Look, Trouble};

/// As much of an error as is shown on a line.
const SHOWN: usize = 80;

/// What works, what waits and what is wrong, looked at again and again; end it by Ctrl-C. Where the output is no terminal, one look
/// follows the other.
#[derive(Args, Debug)]
pub(super) struct TopCommand {
    #[command(flatten)]
    every: Every,
    /// End after so many looks
    #[arg(long, value_name = "LOOKS")]
    count: Option<u64>,
    /// Print JSON objects, one a line
    #[arg(long)]
    json: bool,
}

/// One look.
#[derive(Debug, Serialize)]
struct Seen {
    at: DateTime<Utc>,
    troubles: Vec<Trouble>,
    queues: Vec<QueueNow>,
    dead: i64,
    /// The largest groups of dead letters.
    groups: Vec<DeadGroup>,
    /// Those that are alive.
    workers: Vec<WorkerRow>,
}

impl TopCommand {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let every = self.every.time()?;
        let tasks = database::open_tasks(config).await?;
        let secrets = config.secrets.vault(tasks.db())?;
        let jobs = trunkline_jobs::registry()?;
        let mut left = self.count;
        while left != Some(0) {
            let now = tasks.clock().now();
            let look = Look::take(&tasks, &jobs, &secrets).await;
            self.show(now, look.map(|look| Seen::of(look, now)))?;
            left = left.map(|left| left - 1);
            if left != Some(0) {
                tokio::time::sleep(every).await;
            }
        }
        Ok(())
    }

    /// A database that is away is looked at again: whoever watches wants to see when it is back.
    fn show(&self, now: DateTime<Utc>, seen: Result<Seen, DbError>) -> Result<()> {
        let text = match seen {
            Ok(seen) if self.json => serde_json::to_string(&seen)? + "\n",
            Ok(seen) => seen.text(),
            Err(error) => format!("{}  the database cannot be read: {error}\n", output::moment(now)),
        };
        if self.json || !stdout().is_terminal() {
            return output::print(&text);
        }
        let term = Term::stdout();
        let (lines, columns) = term.size();
        term.clear_screen()?;
        output::print(&cut(&text, lines.into(), columns.into()))
    }
}

impl Seen {
    fn of(look: Look, now: DateTime<Utc>) -> Self {
        Self {
            at: now,
            troubles: troubles::ranked(look.troubles(now)),
            workers: look.alive(now).cloned().collect(),
            queues: look.queues,
            dead: look.dead,
            groups: look.groups,
        }
    }

    fn text(&self) -> String {
        let (workers, dead) = (self.workers.len(), self.dead);
        let mut text =
            format!("{}  {workers} workers alive, {dead} dead letters\n\n", output::moment(self.at));
        for trouble in &self.troubles {
            text += &format!("{:4}  {}\n", if trouble.urgent { "NOW" } else { "soon" }, trouble.what);
        }
        if self.troubles.is_empty() {
            text += "all is well\n";
        }
        text += "\n";
        text += &queue_table(&self.queues, self.at);
        if !self.groups.is_empty() {
            let mut table = output::Table::new(&[">DEAD", "JOB", "LAST", "ERROR"]);
            for group in &self.groups {
                let error: String = mask::phones_in(&group.error).chars().take(SHOWN).collect();
                let last = output::relative(group.last_died_at, self.at);
                table.row([group.count.to_string(), group.kind.clone(), last, error]);
            }
            text += "\n";
            text += &table.text("");
        }
        text += "\n";
        text + &worker_table(&self.workers, self.at)
    }
}

/// What fits a terminal: its last line stays free.
fn cut(text: &str, lines: usize, columns: usize) -> String {
    let line = |line: &str| line.chars().take(columns).chain(['\n']).collect::<String>();
    text.lines().take(lines.saturating_sub(1)).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_a_terminal_is_cut_at_its_edges() {
        assert_eq!(cut("one\ntwo three\nfour\n", 3, 5), "one\ntwo t\n");
        assert_eq!(cut("é\n", 24, 80), "é\n");
        assert_eq!(cut("one\n", 0, 0), "");
    }
}
