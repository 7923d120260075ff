//! `trunkline campaigns report`.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::{Args, ValueEnum};
use trunkline_jobs::campaigns::experiment::sequential::Comparison;
use trunkline_jobs::campaigns::report::{Left, Line, Report, Share, report};

use super::look::found;
use crate::cli::{database, output};
use crate::config::Config;

#[derive(Args, Debug)]
pub(super) struct ShowReport {
    id: i64,
    /// Tell by the hour (or the day) or by the state of the recipients' numbers as well
    #[arg(long, value_enum)]
    by: Vec<By>,
    /// Print a JSON object, with everything
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum By {
    Time,
    State,
}

impl ShowReport {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let db = database::open(config).await?;
        let report = report(&db, &found(&db, self.id).await?).await?;
        if self.json {
            return output::print(&output::json(&report)?);
        }
        let mut text = format!("campaign {} {:?} is {}\n", report.campaign, report.name, report.state);
        text += &texts(&report);
        text += &reasons(&report.total);
        text += &comparison(&report);
        if self.by.contains(&By::Time) {
            text += &by_time(&report);
        }
        if self.by.contains(&By::State) {
            text += &by_state(&report);
        }
        output::print(&text)
    }
}

fn texts(report: &Report) -> String {
    let mut table = output::Table::new(&[
        "TEXT",
        ">PLANNED",
        ">WAITING",
        ">REFUSED",
        ">LEFT",
        ">DELIVERED",
        ">FAILED",
        ">UNKNOWN",
        ">REPLIES",
        ">OPT-OUTS",
        "DELIVERED",
        "REPLY RATE",
        "OPT-OUT RATE",
    ]);
    let sum = |counts: &BTreeMap<String, i64>| counts.values().sum::<i64>().to_string();
    for line in report.texts.iter().chain([&report.total]) {
        table.row([
            line.text.clone(),
            line.planned.to_string(),
            sum(&line.waiting),
            sum(&line.refused),
            line.left.to_string(),
            line.delivered.to_string(),
            sum(&line.failed),
            line.unknown.to_string(),
            line.replies.to_string(),
            line.opt_outs.to_string(),
            rate(line.delivered_share),
            rate(line.reply_share),
            rate(line.opt_out_share),
        ]);
    }
    let mut text = table.text("it has no texts");
    if let Some(holdout) = &report.holdout {
        text += &format!(
            "held out: {} people, of whom {} texted us and {} asked to stop all the same\n",
            holdout.people, holdout.replies, holdout.opt_outs
        );
    }
    text
}

fn reasons(total: &Line) -> String {
    let mut table = output::Table::new(&["STATE", "REASON", ">COUNT"]);
    for (state, counts) in
        [("waiting", &total.waiting), ("refused", &total.refused), ("failed", &total.failed)]
    {
        for (reason, count) in counts {
            table.row([state.to_owned(), reason.clone(), count.to_string()]);
        }
    }
    format!("\n{}", table.text("nobody waits, and nobody was refused"))
}

fn comparison(report: &Report) -> String {
    if report.arms.len() < 2 {
        return String::new();
    }
    let mut table =
        output::Table::new(&["TEXTS", "REPLIES, TIMES AS MANY", ">P", "OPT-OUTS, TIMES AS MANY", ">P"]);
    let p = |comparison: &Comparison| format!("{:.3}", comparison.p_value);
    for pair in &report.pairs {
        table.row([
            format!("{} to {}", pair.first, pair.second),
            times(&pair.replies),
            p(&pair.replies),
            times(&pair.opt_outs),
            p(&pair.opt_outs),
        ]);
    }
    let end = match &report.winner {
        Some(winner) => format!("text {winner} was promoted\n"),
        None => format!("{}\n", report.standing),
    };
    format!("\n{}{end}", table.text(""))
}

/// Cells of what became of texts.
fn left(texts: &Left) -> [String; 6] {
    let Left { left, delivered, failed, replies, opt_outs } = *texts;
    let [left_cell, delivered, failed, replies_cell, opt_outs] =
        [left, delivered, failed, replies, opt_outs].map(|count| count.to_string());
    [left_cell, delivered, failed, replies_cell, opt_outs, rate(Share::of(replies, left))]
}

fn by_time(report: &Report) -> String {
    let mut table = output::Table::new(&[
        "UTC",
        "TEXT",
        ">LEFT",
        ">DELIVERED",
        ">FAILED",
        ">REPLIES",
        ">OPT-OUTS",
        "REPLY RATE",
    ]);
    for row in &report.by_time {
        let names = [row.bucket.clone(), row.variant.clone().unwrap_or_default()];
        table.row(names.into_iter().chain(left(&row.texts)));
    }
    format!("\n{}", table.text("nothing has left"))
}

fn by_state(report: &Report) -> String {
    let mut table = output::Table::new(&[
        "STATE",
        ">LEFT",
        ">DELIVERED",
        ">FAILED",
        ">REPLIES",
        ">OPT-OUTS",
        "REPLY RATE",
    ]);
    for row in &report.by_state {
        table.row([row.state.clone()].into_iter().chain(left(&row.texts)));
    }
    format!("\n{}", table.text("nothing has left"))
}

/// A share with where it truly lies.
fn rate(share: Option<Share>) -> String {
    let percent = |share: f64| format!("{:.1}", share * 100.0);
    share.map_or_else(String::new, |Share { share, interval }| {
        format!("{}% ({} to {})", percent(share), percent(interval.low), percent(interval.high))
    })
}

fn times(comparison: &Comparison) -> String {
    let ratio = comparison.ratio;
    let high = if ratio.high.is_finite() { format!("{:.2}", ratio.high) } else { "any".to_owned() };
    format!("{:.2} to {high}", ratio.low)
}
