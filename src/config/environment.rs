//! Settings from environment variables: a setting's variable is `TRUNKLINE_` and its key in capitals with dots
//! as underscores, and a secret can instead be in the file that the variable with `_FILE` behind it names.
//!
//! A variable with our prefix that means nothing to us is most likely a misspelled setting, so it is refused.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::error::Problem;
use super::flags::Flags;
use super::layers::{Layers, QUEUES, Setting};
use super::origin::is_secret;
use super::source::Source;

const PREFIX: &str = "TRUNKLINE_";
const CONFIG: &str = "TRUNKLINE_CONFIG";

/// Our part of a process's environment.
pub(super) struct Environment {
    variables: BTreeMap<String, OsString>,
}

/// The variable of a setting.
pub(super) fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "_").to_ascii_uppercase())
}

impl Environment {
    pub(super) fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let ours = variables.into_iter().filter_map(|(name, value)| {
            let name = name.into_string().ok().filter(|name| name.starts_with(PREFIX))?;
            (!is_service_link(&name)).then_some((name, value))
        });
        Self { variables: ours.collect() }
    }

    /// The file of settings, and what named it.
    pub(super) fn config_file(&self, flags: &Flags) -> Option<(PathBuf, String)> {
        let by_flag = flags.config.clone().map(|path| (path, "--config".to_owned()));
        by_flag.or_else(|| {
            let path = self.variables.get(CONFIG).filter(|path| !path.is_empty())?;
            Some((PathBuf::from(path), CONFIG.to_owned()))
        })
    }

    pub(super) fn settings(&self, layers: &Layers, problems: &mut Vec<Problem>) -> Vec<Setting> {
        let mut settings = Vec::new();
        for (name, value) in self.variables.iter().filter(|(name, _)| *name != CONFIG) {
            match self.setting(layers, name, value) {
                Ok(setting) => settings.push(setting),
                Err(problem) => problems.push(problem),
            }
        }
        settings
    }

    fn setting(&self, layers: &Layers, name: &str, value: &OsString) -> Result<Setting, Problem> {
        if let Some(key) = key_of(layers, name) {
            let text = value.to_str().ok_or_else(|| Problem::NotUtf8 { name: name.to_owned() })?;
            let value = layers.read_text(&key, text);
            return Ok(Setting { key, value, source: Source::Variable(name.to_owned()) });
        }
        let secret = name.strip_suffix("_FILE").and_then(|variable| {
            let key = key_of(layers, variable).filter(|key| is_secret(key))?;
            Some((variable, key))
        });
        let Some((variable, key)) = secret else {
            return Err(Problem::UnknownVariable { name: name.to_owned() });
        };
        if self.variables.contains_key(variable) {
            return Err(Problem::SetTwice { variable: variable.to_owned() });
        }
        let path = PathBuf::from(value);
        let text = std::fs::read_to_string(&path).map_err(|error| Problem::Unreadable {
            named_by: name.to_owned(),
            path: path.clone(),
            kind: error.kind(),
        })?;
        let value = layers.read_text(&key, text.trim_end_matches(['\n', '\r']));
        Ok(Setting { key, value, source: Source::SecretFile { variable: name.to_owned(), path } })
    }
}

fn key_of(layers: &Layers, variable: &str) -> Option<String> {
    layers.keys().find(|key| variable_of(key) == variable).map(str::to_owned).or_else(|| {
        let queue = variable.strip_prefix(&variable_of(QUEUES))?.strip_prefix('_')?;
        Some(format!("{QUEUES}.{}", queue.to_ascii_lowercase()))
    })
}

/// Whether a variable is of those Kubernetes makes for a service that is called as we are, such as
/// `TRUNKLINE_SERVICE_HOST` and `TRUNKLINE_PORT_8080_TCP_ADDR`.
fn is_service_link(name: &str) -> bool {
    name.contains("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || name.contains("_PORT_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_settings_share_a_variable() {
        let (mut problems, environment) = (Vec::new(), Environment::new([]));
        let layers = Layers::gather(&Flags::default(), &environment, &mut problems);
        assert_eq!(problems, []);
        for key in layers.keys() {
            assert_eq!(key_of(&layers, &variable_of(key)).as_deref(), Some(key));
            assert!(!is_service_link(&variable_of(key)), "{key} would be taken for a service link");
        }
    }

    #[test]
    fn a_variable_is_the_key_in_capitals_behind_our_prefix() {
        assert_eq!(variable_of("openphone.webhook_secrets"), "TRUNKLINE_OPENPHONE_WEBHOOK_SECRETS");
    }
}
