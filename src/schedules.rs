//! Where schedules come from: files inside the program, so that a bare binary has its upkeep, and files of a folder.
//! One of the folder takes the place of a built-in one with its name.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use thiserror::Error;
use trunkline_jobs::Services;
use trunkline_platform::job::Registry;
use trunkline_platform::schedule::{Problem, Schedule, ScheduleState, Schedules, Source};

use crate::config::SchedulesConfig;

macro_rules! builtin {
    ($($file:literal),+ $(,)?) => {
        /// The files of `schedules/`, by name.
        const BUILTIN: &[(&str, &str)] =
            &[$(($file, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/schedules/", $file)))),+];
    };
}

builtin! {
    "calls-stats.toml",
    "campaigns-decide.toml",
    "campaigns-late-joiners.toml",
    "media-orphans.toml",
    "media-purge.toml",
    "reconcile-deep.toml",
    "reconcile.toml",
    "secrets-tend.toml",
    "sends-sweep.toml",
    "upkeep-attempts.toml",
    "upkeep-audit.toml",
    "upkeep-counts.toml",
    "upkeep-database.toml",
    "upkeep-events.toml",
    "upkeep-history.toml",
    "upkeep-keys.toml",
    "upkeep-media.toml",
    "upkeep-ring.toml",
    "upkeep-search.toml",
    "upkeep-tasks.toml",
    "webhooks-watch.toml",
}

/// Everything that is wrong with the schedules.
#[derive(Debug, Error)]
pub struct SchedulesError(pub Vec<Problem>);

impl fmt::Display for SchedulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the schedules cannot be used")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  - {problem}"))
    }
}

/// The schedules of this program: built in, and of the folder that the settings name.
pub fn load(config: &SchedulesConfig, jobs: &Registry<Services>) -> Result<Schedules, SchedulesError> {
    let mut own: BTreeMap<String, Source> = BTreeMap::new();
    if let Some(dir) = &config.dir {
        read_folder(dir, &mut own).map_err(|error| {
            let message = format!("cannot be read (schedules.dir): {error}");
            SchedulesError(vec![Problem { file: dir.display().to_string(), place: None, message }])
        })?;
    }
    // Built-in ones first: where two have one name, the other is to blame.
    let builtin = BUILTIN.iter().filter(|(file, _)| config.builtin && !own.contains_key(*file));
    let builtin =
        builtin.map(|(file, text)| Source { file: format!("built-in {file}"), text: (*text).to_owned() });
    let sources: Vec<Source> = builtin.chain(own.values().cloned()).collect();
    Schedules::load(&sources, jobs).map_err(SchedulesError)
}

/// How a schedule stands, in a word.
pub fn standing(schedule: &Schedule, state: Option<&ScheduleState>) -> &'static str {
    match state {
        _ if !schedule.enabled => "off",
        Some(state) if state.paused_at.is_some() => "paused",
        Some(_) => "on",
        None => "new",
    }
}

fn read_folder(dir: &Path, sources: &mut BTreeMap<String, Source>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let text = std::fs::read_to_string(&path)?;
            sources.insert(name, Source { file: path.display().to_string(), text });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn config(dir: Option<&Path>) -> SchedulesConfig {
        SchedulesConfig { dir: dir.map(Path::to_owned), builtin: true }
    }

    fn loaded(config: &SchedulesConfig) -> Result<Schedules, String> {
        load(config, &trunkline_jobs::registry().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn every_file_of_the_folder_is_built_in_and_can_be_used() {
        let mut files: Vec<String> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/schedules"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let builtin: Vec<&str> = BUILTIN.iter().map(|(file, _)| *file).collect();
        assert_eq!(files, builtin);
        assert_eq!(loaded(&config(None)).unwrap().iter().count(), BUILTIN.len());
    }

    #[test]
    fn every_upkeep_job_has_a_schedule() {
        let schedules = loaded(&config(None)).unwrap();
        for job in trunkline_jobs::upkeep::CHORES {
            assert!(schedules.iter().any(|schedule| schedule.job == job), "{job}");
        }
    }

    #[test]
    fn a_file_of_the_folder_takes_the_place_of_a_built_in_one() {
        let folder = tempfile::tempdir().unwrap();
        let text = "name = 'upkeep.ring'\ncron = '@daily'\njob = 'upkeep.ring'\nenabled = false";
        std::fs::write(folder.path().join("upkeep-ring.toml"), text).unwrap();
        std::fs::write(folder.path().join("notes.txt"), "no schedule").unwrap();
        let schedules = loaded(&config(Some(folder.path()))).unwrap();
        assert!(!schedules.get("upkeep.ring").unwrap().enabled);
        assert_eq!(schedules.iter().count(), BUILTIN.len());

        std::fs::rename(folder.path().join("upkeep-ring.toml"), folder.path().join("ring.toml")).unwrap();
        let error = loaded(&config(Some(folder.path()))).unwrap_err();
        assert!(error.contains("is called \"upkeep.ring\", too"), "{error}");
        assert!(error.contains(":1:8: "), "{error}");
    }

    #[test]
    fn a_folder_that_is_not_there_is_told_by_its_setting() {
        let error = loaded(&config(Some(&PathBuf::from("/nowhere/at/all")))).unwrap_err();
        assert!(error.contains("/nowhere/at/all: cannot be read (schedules.dir)"), "{error}");
    }
}
