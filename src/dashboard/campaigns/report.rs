//! What a campaign came to, by its texts, by time and by state.

use std::collections::BTreeMap;

use maud::{Markup, html};
use trunkline_jobs::campaigns::experiment::sequential::{Comparison, Difference, Interval};
use trunkline_jobs::campaigns::report::{Left, Line, Report, Share};

use super::charts::{self, Column};

/// Everything that is counted of what left.
pub(super) fn told(report: &Report) -> Markup {
    html! {
        (failures(&report.total))
        (texts(report))
        (comparison(report))
        @if report.total.left > 0 { (by_time(report)) (by_state(report)) }
    }
}

fn failures(total: &Line) -> Markup {
    html! {
        @if !total.failed.is_empty() {
            h2 { "Failed, by the carrier's code" }
            div.wide tabindex="0" {
                table {
                    thead { tr { th.n { "Texts" } th { "Code" } th { "Part of what left" } } }
                    tbody {
                        @for (code, count) in &total.failed {
                            tr { td.n { (count) } td { code { (code) } } td { (charts::bar(*count, total.left)) } }
                        }
                    }
                }
            }
        }
    }
}

fn texts(report: &Report) -> Markup {
    let sum = |counts: &BTreeMap<String, i64>| counts.values().sum::<i64>();
    // Of one text, the line of all tells the same again.
    let all = (report.texts.len() > 1).then_some(&report.total);
    html! {
        h2 { "Its texts" }
        div.wide tabindex="0" {
            table {
                thead {
                    tr {
                        th { "Text" } th.n { "Planned" } th.n { "Left" } th.n { "Delivered" } th.n { "Failed" } th.n { "Unknown" }
                        th.n { "Refused" } th.n { "Replies" } th.n { "Opt-outs" }
                        th { "Delivered" } th { "Reply rate" } th { "Opt-out rate" }
                    }
                }
                tbody {
                    @for line in report.texts.iter().chain(all) {
                        tr {
                            td {
                                (line.text)
                                @if report.winner.as_ref() == Some(&line.text) { " " span.chip { "promoted" } }
                                @if report.arms.iter().any(|arm| arm.name == line.text && arm.left_out) { " " span.chip { "left out" } }
                            }
                            td.n { (line.planned) }
                            td.n { (line.left) }
                            td.n { (line.delivered) }
                            td.n { (sum(&line.failed)) }
                            td.n { (line.unknown) }
                            td.n { (sum(&line.refused)) }
                            td.n { (line.replies) }
                            td.n { (line.opt_outs) }
                            td { (rate(line.delivered_share)) }
                            td { (rate(line.reply_share)) }
                            td { (rate(line.opt_out_share)) }
                        }
                    }
                }
            }
        }
        p.note { "Behind each rate: where it truly lies, with 95 percent of confidence at all times at once." }
        @if let Some(holdout) = &report.holdout {
            p {
                "Held out: " (holdout.people) " people, of whom " (holdout.replies) " texted us and " (holdout.opt_outs)
                " asked to stop all the same."
            }
        }
    }
}

fn comparison(report: &Report) -> Markup {
    html! {
        @if report.arms.len() > 1 {
            h2 { "Which is better" }
            p.big {
                @match &report.winner {
                    Some(winner) => { "Text " strong { (winner) } " was promoted: all who wait get it." },
                    None => { (report.standing) "." },
                }
            }
            div.wide tabindex="0" {
                table {
                    thead { tr { th { "Texts" } th { "Replies, times as many" } th.n { "p" } th { "Opt-outs, times as many" } th.n { "p" } } }
                    tbody {
                        @for pair in &report.pairs {
                            tr {
                                td { (pair.first) " to " (pair.second) }
                                td { (times(&pair.replies)) }
                                td.n { (format!("{:.3}", pair.replies.p_value)) }
                                td { (times(&pair.opt_outs)) }
                                td.n { (format!("{:.3}", pair.opt_outs.p_value)) }
                            }
                        }
                    }
                }
            }
            p.note { "The test holds however often it is looked at." }
        }
    }
}

fn by_time(report: &Report) -> Markup {
    let columns: Vec<Column> = left_by_time(report)
        .into_iter()
        .map(|(label, left)| Column { label, value: left, planned: None })
        .collect();
    html! {
        h2 { "By time" }
        (charts::columns(&format!("Texts that left in each {} (UTC)", report.bucket), &columns))
    }
}

/// Texts that left in each hour or on each day, whichever they were.
pub(super) fn left_by_time(report: &Report) -> BTreeMap<String, u64> {
    let mut left = BTreeMap::new();
    for row in &report.by_time {
        *left.entry(row.bucket.clone()).or_default() += row.texts.left.unsigned_abs();
    }
    left
}

fn by_state(report: &Report) -> Markup {
    let of =
        |state: &str| report.by_state.iter().find(|row| row.state == state).map_or(0, |row| row.texts.left);
    html! {
        h2 { "By state" }
        div.beside {
            (charts::map("Texts to each state, by the area code of the number", of))
            div.wide tabindex="0" {
                table {
                    thead { tr { th { "State" } th.n { "Left" } th { "Part" } th.n { "Delivered" } th.n { "Failed" } th.n { "Replies" } th.n { "Opt-outs" } } }
                    tbody {
                        @for row in &report.by_state {
                            @let Left { left, delivered, failed, replies, opt_outs } = row.texts;
                            tr {
                                td { (row.state) }
                                td.n { (left) }
                                td { (charts::bar(left, report.total.left)) }
                                td.n { (delivered) } td.n { (failed) } td.n { (replies) } td.n { (opt_outs) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A share with where it truly lies.
fn rate(share: Option<Share>) -> Markup {
    let percent = |share: f64| format!("{:.1}", share * 100.0);
    html! {
        @if let Some(Share { share, interval: Interval { low, high } }) = share {
            (percent(share)) "% " span.note { "(" (percent(low)) " to " (percent(high)) ")" }
        }
    }
}

fn times(comparison: &Comparison) -> Markup {
    let Interval { low, high } = comparison.ratio;
    html! {
        (format!("{low:.2}")) " to " @if high.is_finite() { (format!("{high:.2}")) } @else { "any" }
        @match comparison.difference {
            Some(Difference::More) => { " " span.chip { "more" } },
            Some(Difference::Less) => { " " span.chip { "less" } },
            None => {},
        }
    }
}
