//! Configuration: `default.toml`, which is embedded and documents every setting, under a file, under the
//! environment, under flags.
//!
//! Every value is judged on its own before the whole is, so that one start tells everything that is wrong, each
//! with the setting's key and the place the value came from. A setting nobody knows is an error wherever it
//! stands: it is most likely a misspelled one.

mod check;
mod environment;
mod error;
mod flags;
mod layers;
mod origin;
mod read;
mod sections;
mod source;
#[cfg(test)]
mod tests;
mod units;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

use serde::Deserialize;
use toml::Value;
pub use trunkline_jobs::network::Network;

pub use error::{ConfigError, Problem};
pub use flags::{Assignment, Flags, NoAssignment};
pub use origin::Origin;
pub use sections::{
    AdminConfig, AllowedHost, BreakerConfig, BusinessConfig, CampaignsConfig, ContactsConfig, DatabaseConfig,
    EncryptionKind, ForwardConfig, HttpConfig, LogConfig, LogFormat, MediaConfig, OpenphoneConfig,
    ReceiverConfig, RedisConfig, RetentionConfig, S3Config, ScanMode, SchedulesConfig, SecretsConfig,
    StoreKind, WebhooksConfig, WorkersConfig,
};
pub use source::Source;
pub(crate) use units::parse_duration;

use environment::Environment;
use layers::{Layers, Setting};

/// What the program runs by. `Debug` shows no secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub profile: Profile,
    pub business: BusinessConfig,
    pub database: DatabaseConfig,
    pub redis: RedisConfig,
    pub http: HttpConfig,
    pub openphone: OpenphoneConfig,
    pub secrets: SecretsConfig,
    pub webhooks: WebhooksConfig,
    pub receiver: ReceiverConfig,
    pub admin: AdminConfig,
    pub media: MediaConfig,
    pub forward: ForwardConfig,
    pub contacts: ContactsConfig,
    pub campaigns: CampaignsConfig,
    pub workers: WorkersConfig,
    pub schedules: SchedulesConfig,
    pub retention: RetentionConfig,
    pub log: LogConfig,
    #[serde(skip)]
    origins: Vec<Origin>,
    #[serde(skip)]
    warnings: Vec<Problem>,
}

/// How seriously the installation is meant.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    Development,
    /// Warns of what production refuses.
    Staging,
    Production,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Development => "development",
            Self::Staging => "staging",
            Self::Production => "production",
        })
    }
}

impl Config {
    /// Whether there is nothing to check webhooks by. With a master key there is a table of secrets.
    pub fn has_no_webhook_secret(&self) -> bool {
        self.openphone.webhook_secrets.is_empty() && self.secrets.master_keys.is_empty()
    }

    /// Whether there is no key to ask the provider with, and with these settings can be none in the table either.
    pub fn has_no_api_key(&self) -> bool {
        self.openphone.api_key.is_none() && self.secrets.master_keys.is_empty()
    }

    /// Reads the configuration of a process with these flags and this environment (`std::env::vars_os()`).
    ///
    /// # Errors
    /// With every problem at once: all values that cannot be read or, when there are none, all settings that
    /// contradict each other or that the profile does not allow.
    pub fn load(
        flags: &Flags,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let layers = Layers::gather(flags, &Environment::new(environment), &mut problems);
        problems.extend(layers.given.iter().filter_map(|setting| problem_with(&layers, setting)));
        let settings = layers.merged();
        let config = match Self::deserialize(Value::Table(layers::table_of(&settings))) {
            Ok(config) if problems.is_empty() => config,
            Ok(_) => return Err(ConfigError { problems }),
            Err(error) => return Err(ConfigError { problems: or_whole(problems, &error) }),
        };
        config.checked(&settings)
    }

    /// For every setting its value and where it came from, by key. Secrets are hidden.
    pub fn origins(&self) -> &[Origin] {
        &self.origins
    }

    /// What the profile does not forbid but somebody should know of.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// Whether this process may take webhooks: in production not without a secret to check them by. Processes
    /// with other roles need none, so this is no part of [`load`](Self::load).
    ///
    /// # Errors
    /// When the profile is production and there is no secret.
    pub fn ready_to_receive(&self) -> Result<(), Problem> {
        match check::no_webhook_secret(self) {
            Some(problem) if self.profile == Profile::Production => Err(problem),
            _ => Ok(()),
        }
    }

    fn checked(mut self, settings: &BTreeMap<String, Setting>) -> Result<Self, ConfigError> {
        let mut problems = check::contradictions(&self);
        problems.extend(check::out_of_range(&self, settings));
        match self.profile {
            Profile::Development => {}
            Profile::Staging => self.warnings = check::unsafe_settings(&self),
            Profile::Production => problems.extend(check::unsafe_settings(&self)),
        }
        if !problems.is_empty() {
            return Err(ConfigError { problems });
        }
        self.warnings.extend(check::doubtful_settings(&self));
        self.origins = origin::origins(settings);
        Ok(self)
    }
}

/// What is wrong with a setting, were it the only one.
fn problem_with(layers: &Layers, setting: &Setting) -> Option<Problem> {
    let (key, from) = (setting.key.clone(), setting.source.clone());
    if !layers.knows(&key) {
        return Some(Problem::UnknownKey { key, from });
    }
    // Deserialisation errors may quote the value.
    if let Some(default) = layers.default_of(&key).filter(|_| origin::is_secret(&key))
        && !default.same_type(&setting.value)
    {
        let message = format!("this must be of type {}", default.type_str());
        return Some(Problem::Value { key, from, message });
    }
    let error = Config::deserialize(Value::Table(layers.with_only(setting))).err()?;
    Some(Problem::Value { key, from, message: error.message().to_owned() })
}

/// `problems`, or when there are none what is wrong with the whole, which no single setting is to blame for.
fn or_whole(problems: Vec<Problem>, error: &toml::de::Error) -> Vec<Problem> {
    if !problems.is_empty() {
        return problems;
    }
    vec![Problem::Value {
        key: "default.toml".to_owned(),
        from: Source::Default,
        message: error.message().to_owned(),
    }]
}
