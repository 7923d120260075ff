//! Everyone in turn, several rounds, one table.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::NAMES;

/// Our own combinations of engines, as our benchmark names them.
const OURS: [&str; 3] = ["postgres-redis", "postgres", "sqlite"];
const COLUMNS: [(&str, &str); 5] = [
    ("enqueue", "enqueue in batches/s"),
    ("singles", "enqueue one by one, 16 callers/s"),
    ("work", "end to end/s"),
    ("pickup_p50_us", "pick-up p50"),
    ("pickup_p99_us", "pick-up p99"),
];

type Figures = BTreeMap<String, Vec<f64>>;

pub(crate) fn compare(rounds: usize, ours: &str, jobs: usize) -> Result<()> {
    let own = std::env::current_exe()?;
    let mut figures: BTreeMap<&str, Figures> = BTreeMap::new();
    let mut troubles = Vec::new();
    for round in 1..=rounds {
        for name in OURS.into_iter().chain(NAMES) {
            eprintln!("round {round} of {rounds}: {name}");
            let mut command = if OURS.contains(&name) {
                let mut command = Command::new(ours);
                command.args(["--plain", name]);
                command
            } else {
                let mut command = Command::new(&own);
                command.args(["run", name]);
                command
            };
            let output = command.arg(jobs.to_string()).stderr(Stdio::piped()).output().context("run")?;
            for line in String::from_utf8(output.stdout)?.lines() {
                if let Some((figure, value)) = line.split_once(' ') {
                    let values = figures.entry(name).or_default().entry(figure.to_owned()).or_default();
                    values.push(value.parse()?);
                }
            }
            if !output.status.success() {
                let error = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                troubles.push(format!("{name}, round {round}: {error}"));
            }
        }
    }
    print(&figures);
    for trouble in troubles {
        println!("\n{trouble}");
    }
    Ok(())
}

/// Medians, and beside each of ours how many times the fastest of the others it is.
fn print(figures: &BTreeMap<&str, Figures>) {
    let value = |name: &str, figure: &str| figures.get(name)?.get(figure).map(|values| median(values));
    let fastest = |figure: &str| NAMES.iter().filter_map(|name| value(name, figure)).fold(f64::NAN, f64::max);
    let header: Vec<&str> = COLUMNS.iter().map(|(_, title)| *title).collect();
    println!("| system | {} |", header.join(" | "));
    println!("| --- |{}", " ---: |".repeat(COLUMNS.len()));
    for name in OURS.into_iter().chain(NAMES) {
        let cells: Vec<String> = COLUMNS
            .iter()
            .map(|(figure, _)| match value(name, figure) {
                None => "none".to_owned(),
                Some(micros) if figure.ends_with("_us") => format!("{:.2} ms", micros / 1e3),
                Some(rate) if OURS.contains(&name) => {
                    format!("{rate:.0} (× {:.2})", rate / fastest(figure))
                }
                Some(rate) => format!("{rate:.0}"),
            })
            .collect();
        let name = if OURS.contains(&name) { format!("**Trunkline, {name}**") } else { name.to_owned() };
        println!("| {name} | {} |", cells.join(" | "));
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.as_slice() {
        [] => f64::NAN,
        sorted if sorted.len() % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        sorted => sorted[middle],
    }
}
