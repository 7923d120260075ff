//! That nothing is forgotten: every job is registered and its payloads stay readable, every statement is
//! listed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use trunkline_platform::job::Job;

use crate::{DECODERS, Services, registry, statements};

/// A job's name, and what reads a payload of a version as that job.
pub(crate) struct Decoder {
    name: &'static str,
    read: fn(u16, &str) -> Result<(), serde_json::Error>,
}

impl Decoder {
    pub(crate) const fn of<J: Job<Services = Services>>() -> Self {
        Self { name: J::NAME, read: |version, payload| J::decode(version, payload).map(drop) }
    }
}

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .filter(|path| !path.ends_with("tests.rs"))
        .collect()
}

/// What stands between `before` and `after`, wherever in the sources.
fn quoted(source: &str, before: &str, after: &str) -> Vec<String> {
    let parts = source.split(before).skip(1);
    parts.filter_map(|rest| rest.split_once(after)).map(|(found, _)| found.to_owned()).collect()
}

#[test]
fn every_job_file_is_registered() {
    let registry = registry().unwrap();
    let mut names = BTreeSet::new();
    for path in sources(folder()) {
        let source = fs::read_to_string(&path).unwrap();
        let mut jobs = quoted(&source, "impl Job for ", " {");
        jobs.extend(quoted(&source, "impl Chore for ", " {"));
        let own = quoted(&source, "const NAME: &'static str = \"", "\";");
        assert_eq!(jobs.len(), own.len(), "{}", path.display());
        assert!(jobs.len() <= 1, "more than one job in {}", path.display());
        names.extend(own);
    }
    for name in &names {
        assert!(registry.get(name).is_some(), "{name} is not registered");
    }
    assert_eq!(names.len(), registry.jobs().count());
}

#[test]
fn every_payload_ever_written_can_still_be_read() {
    for job in registry().unwrap().jobs() {
        let decoder = DECODERS.iter().find(|decoder| decoder.name == job.name).unwrap();
        for version in 1..=job.version {
            let path = folder().join(format!("fixtures/{}.v{version}.json", job.name));
            let payload = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            (decoder.read)(version, &payload).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
    }
}

#[test]
fn every_fixture_belongs_to_a_job() {
    let registry = registry().unwrap();
    for entry in fs::read_dir(folder().join("fixtures")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let (name, version) = file.trim_end_matches(".json").rsplit_once(".v").unwrap();
        let job = registry.get(name).unwrap_or_else(|| panic!("{file} belongs to no job"));
        assert!((1..=job.version).contains(&version.parse().unwrap()), "{file}");
    }
}

#[test]
fn every_statement_is_listed() {
    let listed = statements().count();
    let written: usize = sources(folder())
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .map(|source| ["= same {", "= parts {", "= split {"].map(|kind| source.matches(kind).count()))
        .map(|kinds| kinds.iter().sum::<usize>())
        .sum();
    assert_eq!(listed, written);
}

/// What the check of payloads does not look at would be let through.
#[test]
fn every_keyword_of_a_schema_is_checked() {
    for job in registry().unwrap().jobs() {
        let unchecked = trunkline_platform::job::unchecked_keywords(job.schema().as_value());
        assert!(unchecked.is_empty(), "{}: {unchecked:?}", job.name);
    }
}

#[test]
fn every_job_says_what_it_alone_does() {
    let registry = registry().unwrap();
    let mut said = BTreeSet::new();
    for job in registry.jobs() {
        let schema = job.schema();
        let about = schema.get("description").and_then(|about| about.as_str()).unwrap_or_default();
        assert!(!about.is_empty(), "{} says nothing", job.name);
        assert!(said.insert(about.to_owned()), "{} says what another says: {about}", job.name);
    }
}
