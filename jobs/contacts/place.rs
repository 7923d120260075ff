//! Where somebody is, as far as a number tells: what decides at which hours they may be texted.
//!
//! People keep their numbers when they move, so a place by area code is a guess, and an explicit time zone or state
//! wins. Where the plan leaves a choice (an area in two zones, a code nobody knows) every zone that is possible
//! is named, and a text may go only when the hour is right in all of them.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use chrono_tz::Tz;

/// Area codes with their state and zones; what it is made of stands at its head.
const NANP: &str = include_str!("nanp.csv");

/// Where somebody may be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    /// The two letters of a state, territory or province.
    pub state: Option<String>,
    /// Never empty. The hour must be right in all of them.
    pub zones: Vec<Tz>,
    /// False: nothing tells, and the zones are all there are in the United States.
    pub known: bool,
}

struct Area {
    country: &'static str,
    region: &'static str,
    zones: Vec<Tz>,
}

/// Where a number in E.164 is, by its area code alone.
pub fn of(number: &str) -> Place {
    match area_of(number) {
        Some(area) => Place { state: Some(area.region.to_owned()), zones: area.zones.clone(), known: true },
        None => Place { state: None, zones: everywhere(), known: false },
    }
}

/// Where a person is: what somebody wrote down of them wins over the area code.
pub fn of_person(number: &str, time_zone: Option<&str>, state: Option<&str>) -> Place {
    let mut place = of(number);
    if let Some(state) = state.filter(|state| place.state.as_deref() != Some(state)) {
        let zones = zones_of_state(state);
        if !zones.is_empty() {
            place = Place { state: Some(state.to_owned()), zones, known: true };
        }
    }
    if let Some(zone) = time_zone.and_then(|name| name.parse().ok()) {
        place.zones = vec![zone];
        place.known = true;
    }
    place
}

/// The zones of a state or province by its two letters; none when there is no such state.
pub fn zones_of_state(state: &str) -> Vec<Tz> {
    let zones = areas().iter().flatten().filter(|area| area.region == state).flat_map(|area| &area.zones);
    distinct(zones)
}

/// Whether the number has the shape of a number of the North American plan, in an area of the list.
pub(super) fn is_geographic(number: &str) -> bool {
    area_of(number).is_some()
}

pub(super) fn country_of(number: &str) -> Option<&'static str> {
    area_of(number).map(|area| area.country)
}

/// Every area code, for making up numbers.
pub(super) fn area_codes() -> impl Iterator<Item = usize> {
    areas().iter().enumerate().filter_map(|(code, area)| area.as_ref().map(|_| code))
}

/// All zones of the fifty states. The territories far out in the Pacific have one area code each, so whoever is
/// there is known to be.
fn everywhere() -> Vec<Tz> {
    let far = ["GU", "MP", "AS"];
    let at_home = areas().iter().flatten().filter(|area| area.country == "US" && !far.contains(&area.region));
    distinct(at_home.flat_map(|area| &area.zones))
}

fn distinct<'z>(zones: impl Iterator<Item = &'z Tz>) -> Vec<Tz> {
    let names: BTreeSet<&str> = zones.map(|zone| zone.name()).collect();
    names.into_iter().filter_map(|name| name.parse().ok()).collect()
}

/// `+1`, an area code, and a subscriber who can exist.
fn area_of(number: &str) -> Option<&'static Area> {
    let digits = number.strip_prefix("+1").filter(|rest| rest.len() == 10)?;
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) || !(b'2'..=b'9').contains(&digits.as_bytes()[3]) {
        return None;
    }
    areas().get(digits.get(..3)?.parse::<usize>().ok()?)?.as_ref()
}

fn areas() -> &'static [Option<Area>] {
    static AREAS: OnceLock<Vec<Option<Area>>> = OnceLock::new();
    AREAS.get_or_init(|| {
        let mut areas: Vec<Option<Area>> = (0..1_000).map(|_| None).collect();
        for (code, area) in NANP.lines().filter_map(area) {
            if let Some(place) = areas.get_mut(code) {
                *place = Some(area);
            }
        }
        areas
    })
}

/// A line of the list. A test reads every line; here one that cannot be read is an area nobody knows.
fn area(line: &'static str) -> Option<(usize, Area)> {
    let mut cells = line.split(',');
    let code = cells.next()?.parse().ok()?;
    let (country, region) = (cells.next()?, cells.next()?);
    let zones = cells.next()?.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
    Some((code, Area { country, region, zones }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(place: &Place) -> Vec<&str> {
        place.zones.iter().map(|zone| zone.name()).collect()
    }

    #[test]
    fn every_line_of_the_list_can_be_read_and_no_area_stands_there_twice() {
        let lines: Vec<&str> =
            NANP.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())).collect();
        assert!(lines.len() > 420);
        assert!(lines.is_sorted());
        let codes: BTreeSet<usize> = lines.iter().map(|line| area(line).unwrap().0).collect();
        assert_eq!(codes.len(), lines.len());
        assert!(codes.iter().all(|code| (200..1_000).contains(code) && code % 100 != 11));
        let others = NANP.lines().filter(|line| !lines.contains(line));
        assert!(others.clone().all(|line| line.starts_with('#') || line.starts_with("area_code,")));
    }

    #[test]
    fn every_state_has_an_area() {
        let states = "AL AK AZ AR CA CO CT DE DC FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ \
                      NM NY NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY PR AB BC MB NB NL NS ON QC SK YT";
        for state in states.split_whitespace() {
            assert!(!zones_of_state(state).is_empty(), "{state}");
        }
        assert!(zones_of_state("ZZ").is_empty());
    }

    #[test]
    fn an_area_in_several_zones_names_them_all() {
        assert_eq!(names(&of("+12125550101")), ["America/New_York"]);
        assert_eq!(of("+12125550101").state.as_deref(), Some("NY"));
        assert_eq!(names(&of("+18505550101")), ["America/New_York", "America/Chicago"]);
    }

    #[test]
    fn nobody_knows_where_means_everywhere() {
        for number in ["+18005550101", "+442071234567", "Anonymous", "+1212555", "+1212é550101"] {
            let place = of(number);
            assert!(!place.known && place.state.is_none(), "{number}");
            assert!(
                names(&place).contains(&"America/New_York") && names(&place).contains(&"Pacific/Honolulu")
            );
        }
    }

    #[test]
    fn what_was_written_down_wins() {
        let place = of_person("+12125550101", Some("America/Denver"), None);
        assert_eq!((names(&place), place.state.as_deref()), (vec!["America/Denver"], Some("NY")));
        let place = of_person("+12125550101", None, Some("IN"));
        assert_eq!(
            (names(&place), place.state.as_deref()),
            (vec!["America/Chicago", "America/New_York"], Some("IN"))
        );
        let place = of_person("+442071234567", Some("Europe/London"), None);
        assert_eq!((names(&place), place.known), (vec!["Europe/London"], true));
        assert_eq!(of_person("+12125550101", Some("Mars/Base"), Some("??")), of("+12125550101"));
        // Somebody who lives in her area code's state lives in her area's zones.
        assert_eq!(of_person("+13055550101", None, Some("FL")), of("+13055550101"));
    }
}
