//! `trunkline config`: what is in force, where it came from, and what is wrong with it.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;

use super::output;
use crate::config::{Config, ConfigError, Flags, Origin, Problem};
use crate::schedules;

#[derive(Args, Debug)]
pub(super) struct ConfigCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show every setting with its value and the place it came from; secrets are hidden
    Show {
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Tell everything that is wrong; the exit code is 1 when something is
    Check {
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
}

impl ConfigCommand {
    pub(super) async fn run(self, flags: &Flags) -> Result<ExitCode> {
        let loaded = Config::load(flags, std::env::vars_os());
        match self.action {
            Action::Show { json } => {
                let config = loaded?;
                output::print(&if json {
                    output::json(&config.origins())?
                } else {
                    table(config.origins())
                })?;
                Ok(ExitCode::SUCCESS)
            }
            Action::Check { json } => {
                let (text, code) = checked(&loaded, &problems_of_schedules(&loaded), json)?;
                output::print(&text)?;
                Ok(code)
            }
        }
    }
}

fn table(origins: &[Origin]) -> String {
    let mut table = output::Table::new(&["KEY", "VALUE", "FROM"]);
    for Origin { key, value, source } in origins {
        table.row([key.clone(), value.to_string(), source.clone()]);
    }
    table.text("no settings")
}

/// What is wrong with the schedules that the configuration names.
fn problems_of_schedules(loaded: &Result<Config, ConfigError>) -> Vec<String> {
    let (Ok(config), Ok(jobs)) = (loaded, trunkline_jobs::registry()) else { return Vec::new() };
    let problems = schedules::load(&config.schedules, &jobs).err().map(|error| error.0);
    problems.unwrap_or_default().iter().map(ToString::to_string).collect()
}

fn checked(
    loaded: &Result<Config, ConfigError>,
    of_schedules: &[String],
    as_json: bool,
) -> Result<(String, ExitCode)> {
    let (problems, warnings): (&[Problem], &[Problem]) = match loaded {
        Ok(config) => (&[], config.warnings()),
        Err(error) => (&error.problems, &[]),
    };
    let problems: Vec<String> =
        problems.iter().map(ToString::to_string).chain(of_schedules.iter().cloned()).collect();
    let code = if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if as_json {
        let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        let document = json!({"problems": problems, "warnings": warnings});
        return Ok((output::json(&document)?, code));
    }
    let mut lines: Vec<String> = problems.iter().map(|problem| format!("problem: {problem}\n")).collect();
    lines.extend(warnings.iter().map(|warning| format!("warning: {warning}\n")));
    if problems.is_empty() {
        lines.push("the configuration can be used\n".to_owned());
    }
    Ok((lines.concat(), code))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn load(settings: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let mut flags = Flags::default();
        settings.iter().for_each(|(key, value)| flags.assign(key, *value));
        Config::load(&flags, [])
    }

    #[test]
    fn every_setting_is_shown_with_its_value_and_its_place() {
        let config = load(&[("workers.lease", "1m"), ("openphone.api_key", "hunter2")]).unwrap();
        let text = table(config.origins());
        let line = |key: &str| {
            let line = text.lines().find(|line| line.starts_with(key)).unwrap();
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(line("workers.lease"), "workers.lease \"1m\" --set");
        assert_eq!(line("workers.queues.media"), "workers.queues.media 8 default");
        assert_eq!(line("openphone.api_key"), "openphone.api_key \"(hidden)\" --set");
    }

    #[test]
    fn a_check_tells_every_problem() {
        let (text, code) = checked(&load(&[("workers.lease", "1"), ("log.lvl", "x")]), &[], false).unwrap();
        assert_eq!(text.lines().filter(|line| line.starts_with("problem: ")).count(), 2, "{text}");
        assert_eq!(code, ExitCode::FAILURE);
        let (text, _) = checked(&load(&[("log.lvl", "x")]), &[], true).unwrap();
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            document,
            json!({"problems": ["log.lvl (--set): there is no such setting"], "warnings": []})
        );
    }

    #[test]
    fn a_check_tells_warnings_of_a_configuration_that_can_be_used() {
        let (text, code) = checked(&load(&[("profile", "staging")]), &[], false).unwrap();
        assert!(text.starts_with("warning: openphone.webhook_secrets: "), "{text}");
        assert!(text.ends_with("the configuration can be used\n"), "{text}");
        assert_eq!(code, ExitCode::SUCCESS);
    }
}
