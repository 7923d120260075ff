use schemars::JsonSchema;

use super::*;
use crate::job::{Context, Done, Failure, Job, Queue};

#[derive(Serialize, Deserialize, JsonSchema)]
struct Report {
    days: u32,
    #[serde(default)]
    to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

impl Job for Report {
    type Services = ();
    const NAME: &'static str = "report.send";
    const QUEUE: Queue = Queue::new("reports");

    fn unique_key(&self) -> Option<String> {
        self.key.clone()
    }

    async fn run(&self, _: &Context<()>) -> Result<Done, Failure> {
        Ok(Done::new())
    }
}

const WHOLE: &str = r#"name = "report"
cron = "30 8 * * MON-FRI"
time_zone = "Europe/Berlin"
job = "report.send"
missed = { all_up_to = 3 }
overlap = "cancel_old"
jitter = "10m"
enabled = false

[payload]
days = 7
"#;

fn load(texts: &[&str]) -> Result<Schedules, Vec<String>> {
    let registry = Registry::new().register::<Report>().unwrap();
    let sources: Vec<Source> = texts
        .iter()
        .enumerate()
        .map(|(number, text)| Source { file: format!("{number}.toml"), text: (*text).to_owned() })
        .collect();
    Schedules::load(&sources, &registry)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

/// What is wrong with a file in which `old` was replaced.
fn refused(old: &str, new: &str) -> String {
    assert!(WHOLE.contains(old), "{old}");
    load(&[&WHOLE.replace(old, new)]).unwrap_err().join("\n")
}

#[test]
fn a_file_says_everything_about_a_schedule() {
    let schedules = load(&[WHOLE]).unwrap();
    let report = schedules.get("report").unwrap();
    assert_eq!(report.when.to_string(), "30 8 * * MON-FRI Europe/Berlin");
    assert_eq!((report.job, report.payload()), ("report.send", r#"{"days":7,"to":null}"#));
    assert_eq!((report.missed, report.overlap), (Missed::AllUpTo(3), Overlap::CancelOld));
    assert_eq!((report.jitter, report.enabled), (Duration::from_secs(600), false));
}

#[test]
fn what_is_not_said_has_a_default() {
    let schedules =
        load(&["name = 'r'\ncron = '@daily'\njob = 'report.send'\npayload = { days = 1 }"]).unwrap();
    let report = schedules.get("r").unwrap();
    assert_eq!(report.when.zone(), Tz::UTC);
    assert_eq!((report.missed, report.overlap), (Missed::Latest, Overlap::Skip));
    assert_eq!((report.jitter, report.enabled), (Duration::ZERO, true));
}

#[test]
fn a_mistake_is_told_with_its_line_and_column() {
    assert!(refused("30 8 * * MON-FRI", "30 8 * *").starts_with("0.toml:2:8: an expression has five fields"));
    assert!(refused("Europe/Berlin", "Europe/Bärlin").starts_with("0.toml:3:13: there is no time zone"));
    let unknown = refused("report.send", "report.sent");
    assert_eq!(unknown, r#"0.toml:4:7: there is no job "report.sent"; did you mean "report.send"?"#);
    assert!(
        refused("{ all_up_to = 3 }", "{ all_up_to = 0 }").starts_with("0.toml:5:10: all_up_to goes from 1")
    );
    assert!(refused("\"cancel_old\"", "\"cancel\"").starts_with("0.toml:6:11: "));
    assert!(refused("\"10m\"", "\"10\"").starts_with("0.toml:7:10: this is no duration"));
    assert!(
        refused("\"10m\"", "\"25h\"").starts_with("0.toml:7:10: the jitter reaches beyond the next tick")
    );
    assert!(refused("enabled", "enable").starts_with("0.toml:8:1: unknown field"));
    assert!(
        refused("days = 7", "days = -7").starts_with("0.toml:10:1: report.send cannot read this payload")
    );
    assert!(refused("days = 7", "days = 7\ndasy = 8").ends_with(r#"has no field "dasy""#));
    assert!(refused("name = \"report\"", "name = \"a report\"").starts_with("0.toml:1:8: a name is made of"));
    assert!(refused("cron = ", "cron ").starts_with("0.toml:2:"));
}

#[test]
fn to_cancel_what_holds_a_unique_key_is_refused_for_the_tick_would_be_lost() {
    let keyed = "days = 7\nkey = \"all\"";
    assert!(refused("days = 7", keyed).starts_with("0.toml:6:11: report.send holds a unique key"));
    for other in ["skip", "allow"] {
        assert!(load(&[&WHOLE.replace("days = 7", keyed).replace("cancel_old", other)]).is_ok());
    }
}

#[test]
fn every_mistake_of_every_file_is_told() {
    let other = WHOLE.replace("Berlin", "Bonn").replace("report.send", "cake.bake");
    assert_eq!(load(&[&other, "", WHOLE, WHOLE]).unwrap_err().len(), 4);
}

#[test]
fn two_schedules_cannot_have_one_name() {
    let problems = load(&[WHOLE, WHOLE]).unwrap_err();
    assert_eq!(problems, [r#"1.toml:1:8: 0.toml is called "report", too"#]);
}

#[test]
fn jitter_is_the_same_for_all_and_differs_from_tick_to_tick() {
    let (one, other) = (load(&[WHOLE]).unwrap(), load(&[WHOLE]).unwrap());
    let (one, other) = (one.get("report").unwrap(), other.get("report").unwrap());
    let ticks: Vec<_> = one.when.after(DateTime::UNIX_EPOCH).take(50).collect();
    let drawn: Vec<_> = ticks.iter().map(|tick| one.jitter_of(*tick)).collect();
    assert_eq!(drawn, ticks.iter().map(|tick| other.jitter_of(*tick)).collect::<Vec<_>>());
    assert!(drawn.iter().all(|jitter| (TimeDelta::zero()..=TimeDelta::minutes(10)).contains(jitter)));
    assert!(drawn.iter().collect::<std::collections::BTreeSet<_>>().len() > 40);
}
