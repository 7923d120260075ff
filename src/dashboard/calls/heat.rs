//! The hours of a week as a calendar shows them: the busier, the darker. A table, so that it is read out, too; the shades
//! are classes, since a page of ours may not bring styles of its own.

use maud::{Markup, html};
use trunkline_jobs::calls::stats::Hour;

const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
/// Shades beside none.
const SHADES: i64 = 5;

/// All 168 hours, Monday's first hour first.
pub(super) fn week(hours: &[Hour]) -> Markup {
    let most = hours.iter().map(|hour| hour.total).max().unwrap_or(0);
    let busiest = hours.iter().rev().filter(|hour| hour.total > 0).max_by_key(|hour| hour.total);
    html! {
        @if let Some(busiest) = busiest {
            p { "Busiest: " (day(busiest)) " from " (format!("{:02}:00", busiest.hour)) ", " (busiest.total) " calls, " (busiest.missed) " of them missed." }
            table.heat {
                thead { tr { th scope="col" { "Hour" } @for name in WEEKDAYS { th scope="col" { abbr title=(name) { (&name[..3]) } } } } }
                tbody {
                    @for at in 0..24_usize {
                        tr {
                            th scope="row" { (format!("{at:02}")) }
                            @for hour in hours.iter().skip(at).step_by(24) {
                                td class={ "h" (shade(hour.total, most)) } title={ (hour.missed) " missed" } {
                                    @if hour.total > 0 { (hour.total) }
                                }
                            }
                        }
                    }
                }
            }
        } @else { p.note { "It never rang." } }
    }
}

fn day(hour: &Hour) -> &'static str {
    WEEKDAYS.get(usize::from(hour.weekday)).copied().unwrap_or_default()
}

fn shade(count: i64, most: i64) -> i64 {
    if most == 0 { 0 } else { (count * SHADES + most - 1) / most }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_hour_is_the_darkest_and_one_without_calls_is_not_shaded() {
        assert_eq!([0, 1, 20, 21, 99, 100].map(|count| shade(count, 100)), [0, 1, 1, 2, 5, 5]);
        assert_eq!(shade(0, 0), 0);
        let place = |weekday, hour| Hour {
            weekday,
            hour,
            total: i64::from(weekday == 2 && hour == 9),
            ..Hour::default()
        };
        let hours: Vec<Hour> = (0..7).flat_map(|day| (0..24).map(move |hour| place(day, hour))).collect();
        let told = week(&hours).into_string();
        assert!(told.contains("Busiest: Wednesday from 09:00, 1 calls"), "{told}");
        assert_eq!((told.matches("class=\"h0\"").count(), told.matches("class=\"h5\"").count()), (167, 1));
        let ninth = told.split("<tr>").find(|row| row.contains(">09<")).unwrap();
        assert_eq!(ninth.split("<td").nth(3).unwrap().matches("h5").count(), 1, "{ninth}");
    }
}
