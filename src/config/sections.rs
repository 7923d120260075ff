//! The sections of a configuration, and what the parts of the program make of them. What each setting means is
//! said once, in `default.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv6Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use chrono::TimeDelta;
use chrono_tz::Tz;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, de::Error};
use tracing_subscriber::filter::Targets;
use trunkline_jobs::campaigns::flight::Price;
use trunkline_jobs::campaigns::hours::read_holidays;
use trunkline_jobs::campaigns::{BreakerSettings, Holidays, Threshold};
use trunkline_jobs::contacts::ContactServices;
use trunkline_jobs::contacts::number::Country;
use trunkline_jobs::contacts::optout::{Answers, MoreWords, Words, WordsError};
use trunkline_jobs::forward::{AllowList, ForwardSettings};
use trunkline_jobs::media::check::{Kind, Rules};
use trunkline_jobs::media::fetch::Credentials;
use trunkline_jobs::media::guard::{AddressPolicy, HostRule};
use trunkline_jobs::media::scan::{ClamdAddress, Scanner};
use trunkline_jobs::media::{AccessKeys, Encryption, FetchConfig, MediaStore, S3Settings, StoreError};
use trunkline_jobs::provider::{Provider, ProviderMetrics, RateLimit};
use trunkline_jobs::secrets::{MasterKeyError, MasterKeys, RotationRules, Vault};
use trunkline_jobs::subscriptions::Expected;
use trunkline_jobs::upkeep::{MediaRetention, Retention};
use trunkline_openphone::client::{ApiKey, Client, ClientConfig, ClientError, webhook_events};
use trunkline_openphone::signature::Tolerance;
use trunkline_platform::db::{Db, DbOptions, DbUrl};
use trunkline_platform::metrics::Metrics;
use trunkline_platform::ring::{RedisRingError, Ring};
use trunkline_platform::worker::WorkerConfig;
use url::{Host, Url};

use super::{Network, read, units};
use crate::access::AccessSettings;

const USER_AGENT: &str = concat!("trunkline/", env!("CARGO_PKG_VERSION"));

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BusinessConfig {
    #[serde(deserialize_with = "read::timezone")]
    pub timezone: Tz,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseConfig {
    #[serde(deserialize_with = "read::database_url")]
    pub url: DbUrl,
    pub connections: NonZeroU32,
    pub worker_connections: NonZeroU32,
    #[serde(deserialize_with = "units::duration")]
    pub acquire_timeout: Duration,
    #[serde(deserialize_with = "units::duration")]
    pub statement_timeout: Duration,
    #[serde(deserialize_with = "units::duration")]
    pub lock_timeout: Duration,
    #[serde(deserialize_with = "units::duration")]
    pub idle_in_transaction_timeout: Duration,
    #[serde(deserialize_with = "units::duration_or_off")]
    pub slow_query: Option<Duration>,
}

impl DatabaseConfig {
    pub fn options(&self) -> DbOptions {
        DbOptions {
            connections: self.connections.get(),
            worker_connections: self.worker_connections.get(),
            acquire_timeout: self.acquire_timeout,
            statement_timeout: self.statement_timeout,
            lock_timeout: self.lock_timeout,
            idle_in_transaction_timeout: self.idle_in_transaction_timeout,
            slow_query: self.slow_query,
            slow_statements: None,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisConfig {
    #[serde(deserialize_with = "read::redis_url")]
    pub url: Option<SecretString>,
    pub prefix: String,
}

impl RedisConfig {
    /// The ring in Redis or, without one, the database's own.
    pub fn ring(&self, db: &Db, metrics: Metrics) -> Result<Ring, RedisRingError> {
        match &self.url {
            Some(url) => Ring::redis(url.expose_secret(), &self.prefix, metrics),
            None => Ok(Ring::of_database(db, metrics)),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    pub listen: SocketAddr,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenphoneConfig {
    #[serde(deserialize_with = "read::api_url")]
    pub api_url: Url,
    #[serde(deserialize_with = "read::optional_secret")]
    pub api_key: Option<SecretString>,
    pub rate: NonZeroU32,
    pub reserved: u32,
    #[serde(deserialize_with = "units::duration")]
    pub timeout: Duration,
    #[serde(deserialize_with = "read::webhook_secrets")]
    pub webhook_secrets: Vec<SecretString>,
    #[serde(deserialize_with = "units::duration")]
    pub freshness: Duration,
    #[serde(deserialize_with = "units::duration_or_off")]
    pub legacy_freshness: Option<Duration>,
}

impl OpenphoneConfig {
    pub fn tolerance(&self) -> Tolerance {
        Tolerance { standard: delta(self.freshness), legacy: self.legacy_freshness.map(delta) }
    }

    pub fn rate_limit(&self) -> RateLimit {
        RateLimit { per_second: self.rate.get(), reserved: self.reserved }
    }

    /// The provider's API, behind the rate that everybody shares. It has no key until [`ApiKeys`] gives it one.
    ///
    /// # Errors
    /// When the address cannot be used, or the metrics are registered already.
    pub fn provider(&self, db: &Db, metrics: &prometheus::Registry) -> anyhow::Result<Provider> {
        let client = self.client(ApiKey::default()).context("setting up the provider's API")?;
        Ok(Provider::new(db.clone(), Some(client), self.rate_limit(), ProviderMetrics::new(metrics)?))
    }

    /// The provider's API, to be asked under a key.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub fn client(&self, api_key: ApiKey) -> Result<Client, ClientError> {
        Client::new(ClientConfig {
            base_url: self.api_url.clone(),
            api_key,
            timeout: self.timeout,
            connect_timeout: self.timeout.min(Duration::from_secs(5)),
            user_agent: USER_AGENT.to_owned(),
        })
    }
}

/// How the secrets of the table are sealed, and when an old one goes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretsConfig {
    #[serde(deserialize_with = "read::master_keys")]
    pub master_keys: Vec<SecretString>,
    pub deliveries: NonZeroU32,
    #[serde(deserialize_with = "units::duration")]
    pub quiet: Duration,
    #[serde(deserialize_with = "units::duration")]
    pub overdue: Duration,
    #[serde(deserialize_with = "units::duration_or_off")]
    pub rotate_every: Option<Duration>,
}

impl SecretsConfig {
    /// The table of secrets in a database.
    ///
    /// # Errors
    /// When a master key is none.
    pub fn vault(&self, db: &Db) -> Result<Vault, MasterKeyError> {
        let keys = MasterKeys::parse(self.master_keys.iter().map(ExposeSecret::expose_secret))?;
        let rules = RotationRules {
            deliveries: self.deliveries.get(),
            quiet: self.quiet,
            overdue: self.overdue,
            every: self.rotate_every,
        };
        Ok(Vault::new(db.clone(), keys, rules))
    }
}

/// What the provider is to tell, and where.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhooksConfig {
    #[serde(deserialize_with = "read::public_url")]
    pub public_url: Option<Url>,
    #[serde(deserialize_with = "read::event_types")]
    pub events: Vec<String>,
    pub numbers: Vec<String>,
}

impl WebhooksConfig {
    /// What is wanted, if it was said where.
    pub fn expected(&self) -> Option<Expected> {
        let events: BTreeSet<String> = match self.events.is_empty() {
            true => webhook_events().map(str::to_owned).collect(),
            false => self.events.iter().cloned().collect(),
        };
        let url = self.public_url.clone()?;
        Some(Expected { url, events, numbers: self.numbers.iter().cloned().collect() })
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiverConfig {
    /// In bytes.
    #[serde(deserialize_with = "units::size")]
    pub max_body: u64,
    pub queue: NonZeroUsize,
    pub batch: NonZeroUsize,
    pub rate_per_second: NonZeroU32,
    pub rate_burst: NonZeroU32,
    pub trusted_proxies: Vec<Network>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminConfig {
    pub rate_per_second: NonZeroU32,
    pub rate_burst: NonZeroU32,
    #[serde(deserialize_with = "units::duration")]
    pub session: Duration,
    #[serde(deserialize_with = "units::duration")]
    pub live: Duration,
}

impl AdminConfig {
    pub fn access_settings(&self) -> AccessSettings {
        AccessSettings {
            rate_per_second: self.rate_per_second.get(),
            rate_burst: self.rate_burst.get(),
            session: delta(self.session),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MediaConfig {
    pub store: StoreKind,
    pub s3: S3Config,
    pub dir: PathBuf,
    #[serde(deserialize_with = "units::size")]
    pub max_bytes: u64,
    #[serde(deserialize_with = "units::duration")]
    pub timeout: Duration,
    pub allow_hosts: Vec<AllowedHost>,
    pub allow_http: bool,
    pub send_api_key: Vec<AllowedHost>,
    #[serde(deserialize_with = "read::kinds")]
    pub kinds: BTreeSet<Kind>,
    pub max_pixels: NonZeroU64,
    pub scan: ScanMode,
    #[serde(deserialize_with = "read::clamd")]
    pub clamd: Option<ClamdAddress>,
    #[serde(deserialize_with = "units::size")]
    pub clamd_max_bytes: u64,
    #[serde(deserialize_with = "units::duration")]
    pub clamd_timeout: Duration,
}

/// Whether files are shown to the virus scanner.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum ScanMode {
    Off,
    /// None can be opened before.
    Required,
}

impl MediaConfig {
    /// Sets the store up. The folder is made when it is missing; a server is not spoken to yet.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub async fn open_store(&self) -> Result<MediaStore, StoreError> {
        match self.store {
            StoreKind::Local => MediaStore::local(self.dir.clone()).await,
            StoreKind::S3 => MediaStore::s3(self.s3.settings(), self.dir.clone()).await,
        }
    }

    /// What is let in.
    pub fn rules(&self) -> Rules {
        Rules { kinds: self.kinds.clone(), max_pixels: self.max_pixels.get() }
    }

    /// The virus scanner, if files are to be shown to one.
    pub fn scanner(&self) -> Option<Scanner> {
        let clamd = self.clamd.clone().filter(|_| self.scan == ScanMode::Required)?;
        Some(Scanner { clamd, timeout: self.clamd_timeout, max_bytes: self.clamd_max_bytes })
    }

    /// How to fetch; `api_key` is for the hosts that are sent it.
    pub fn fetch_config(&self, api_key: &ApiKey) -> FetchConfig {
        let hosts: Vec<HostRule> = self.send_api_key.iter().map(|host| host.rule.clone()).collect();
        FetchConfig {
            credentials: (!hosts.is_empty()).then(|| Credentials { api_key: api_key.clone(), hosts }),
            max_bytes: self.max_bytes,
            timeout: self.timeout,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            max_redirects: 5,
            policy: AddressPolicy {
                allow_hosts: self.allow_hosts.iter().map(|allowed| allowed.rule.clone()).collect(),
                allow_http: self.allow_http,
            },
            user_agent: USER_AGENT.to_owned(),
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    Local,
    S3,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Config {
    pub bucket: String,
    pub prefix: String,
    #[serde(deserialize_with = "read::optional_endpoint")]
    pub endpoint: Option<Url>,
    pub region: String,
    pub path_style: bool,
    pub encryption: EncryptionKind,
    pub kms_key: String,
    #[serde(deserialize_with = "read::optional_secret")]
    pub access_key: Option<SecretString>,
    #[serde(deserialize_with = "read::optional_secret")]
    pub secret_key: Option<SecretString>,
    #[serde(deserialize_with = "units::duration_or_off")]
    pub presign: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
pub enum EncryptionKind {
    #[serde(rename = "none")]
    None,
    #[serde(rename = "AES256")]
    Aes256,
    #[serde(rename = "aws:kms")]
    Kms,
}

impl S3Config {
    pub fn settings(&self) -> S3Settings {
        let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let prefix = self.prefix.trim_matches('/');
        let keys = self.access_key.clone().zip(self.secret_key.clone());
        S3Settings {
            bucket: self.bucket.clone(),
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") },
            endpoint: self.endpoint.clone(),
            region: given(&self.region),
            path_style: self.path_style,
            encryption: match self.encryption {
                EncryptionKind::None => Encryption::BucketDefault,
                EncryptionKind::Aes256 => Encryption::Aes256,
                EncryptionKind::Kms => Encryption::Kms(given(&self.kms_key)),
            },
            keys: keys.map(|(access_key, secret_key)| AccessKeys { access_key, secret_key }),
            presign: self.presign,
        }
    }
}

/// A host that may be downloaded from although it is not public.
#[derive(Clone, Debug)]
pub struct AllowedHost {
    pub rule: HostRule,
    host: Host,
}

impl AllowedHost {
    /// Whether the host is this machine, or what only this machine can reach.
    pub fn is_local(&self) -> bool {
        match &self.host {
            Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
            Host::Ipv4(v4) => v4.is_loopback() || v4.is_unspecified() || v4.is_link_local(),
            Host::Ipv6(v6) => v6.is_loopback() || v6.is_unspecified() || v6.is_unicast_link_local(),
        }
    }
}

impl<'de> Deserialize<'de> for AllowedHost {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        let text = String::deserialize(de)?;
        let rule = text.parse().map_err(D::Error::custom)?;
        let host = match text.parse::<Ipv6Addr>() {
            Ok(address) => Some(Host::Ipv6(address)),
            Err(_) => Url::parse(&format!("http://{text}")).ok().and_then(|url| Some(url.host()?.to_owned())),
        };
        let host = host.ok_or_else(|| D::Error::custom(format!("{text:?} is not a host or host:port")))?;
        Ok(Self { rule, host })
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForwardConfig {
    #[serde(deserialize_with = "read::allow_list")]
    pub allow: AllowList,
    #[serde(deserialize_with = "units::duration")]
    pub timeout: Duration,
}

impl ForwardConfig {
    pub fn settings(&self) -> ForwardSettings {
        ForwardSettings { allow: self.allow.clone(), timeout: self.timeout }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContactsConfig {
    #[serde(deserialize_with = "read::country")]
    pub country: Country,
    pub stop_words: Vec<String>,
    pub start_words: Vec<String>,
    pub help_words: Vec<String>,
    #[serde(deserialize_with = "read::optional_text")]
    pub confirmation: Option<String>,
    #[serde(deserialize_with = "read::optional_text")]
    pub help_answer: Option<String>,
    #[serde(deserialize_with = "units::duration")]
    pub help_period: Duration,
}

impl ContactsConfig {
    pub fn services(&self) -> Result<ContactServices, WordsError> {
        let more = MoreWords {
            stop: self.stop_words.clone(),
            start: self.start_words.clone(),
            help: self.help_words.clone(),
        };
        let answers = Answers {
            confirmation: self.confirmation.clone(),
            help: self.help_answer.clone(),
            help_period: delta(self.help_period),
        };
        Ok(ContactServices { country: self.country, words: Words::new(&more)?, answers })
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CampaignsConfig {
    #[serde(deserialize_with = "read::optional_path")]
    pub holidays: Option<PathBuf>,
    #[serde(deserialize_with = "read::price")]
    pub segment_price: Price,
    #[serde(deserialize_with = "units::duration")]
    pub counts_for: Duration,
    pub breaker: BreakerConfig,
}

/// What stops a campaign or a number by itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakerConfig {
    #[serde(deserialize_with = "units::duration")]
    pub window: Duration,
    #[serde(deserialize_with = "read::threshold")]
    pub failures: Option<Threshold>,
    #[serde(deserialize_with = "read::threshold")]
    pub carrier_filter: Option<Threshold>,
    #[serde(deserialize_with = "read::threshold")]
    pub opt_outs: Option<Threshold>,
}

impl BreakerConfig {
    pub fn settings(&self) -> BreakerSettings {
        let Self { window, failures, carrier_filter, opt_outs } = *self;
        BreakerSettings { window, failures, carrier_filter, opt_outs }
    }
}

impl CampaignsConfig {
    /// Full hours.
    pub fn counts_for_hours(&self) -> u32 {
        u32::try_from(self.counts_for.as_secs() / 3_600).unwrap_or(u32::MAX)
    }

    /// Reads the file of days off.
    pub fn holidays(&self) -> anyhow::Result<Holidays> {
        let Some(file) = &self.holidays else { return Ok(Holidays::new()) };
        let named = || format!("reading the holidays of {} (campaigns.holidays)", file.display());
        let text = std::fs::read_to_string(file).with_context(named)?;
        read_holidays(&text).with_context(named)
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkersConfig {
    pub concurrency: NonZeroUsize,
    pub queues: BTreeMap<String, NonZeroUsize>,
    #[serde(deserialize_with = "units::duration")]
    pub poll_interval: Duration,
    #[serde(deserialize_with = "units::duration")]
    pub lease: Duration,
    #[serde(deserialize_with = "units::duration")]
    pub grace: Duration,
}

impl WorkersConfig {
    /// `seed` is what attempts are seeded from.
    pub fn worker_config(&self, seed: u64) -> WorkerConfig {
        WorkerConfig {
            concurrency: self.queues.iter().map(|(queue, jobs)| (queue.clone(), jobs.get())).collect(),
            default_concurrency: self.concurrency.get(),
            poll_interval: self.poll_interval,
            lease: self.lease,
            grace: self.grace,
            seed,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchedulesConfig {
    #[serde(deserialize_with = "read::optional_path")]
    pub dir: Option<PathBuf>,
    pub builtin: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionConfig {
    #[serde(deserialize_with = "units::duration_or_off")]
    pub done: Option<Duration>,
    #[serde(deserialize_with = "units::duration_or_off")]
    pub cancelled: Option<Duration>,
    #[serde(deserialize_with = "units::duration_or_off")]
    pub discarded: Option<Duration>,
    #[serde(deserialize_with = "units::duration_or_off")]
    pub dead: Option<Duration>,
    #[serde(deserialize_with = "read::durations_by_name")]
    pub kinds: BTreeMap<String, Duration>,
    #[serde(deserialize_with = "units::duration_or_off")]
    pub attempts: Option<Duration>,
    #[serde(deserialize_with = "units::duration_or_off")]
    pub events: Option<Duration>,
    #[serde(deserialize_with = "units::duration_or_off")]
    pub audit: Option<Duration>,
    #[serde(deserialize_with = "units::duration_or_off")]
    pub history: Option<Duration>,
    #[serde(deserialize_with = "units::duration_or_off")]
    pub attachments: Option<Duration>,
    #[serde(deserialize_with = "units::duration_or_off")]
    pub recordings: Option<Duration>,
    #[serde(deserialize_with = "units::duration_or_off")]
    pub voicemails: Option<Duration>,
    #[serde(deserialize_with = "units::duration_or_off")]
    pub orphans: Option<Duration>,
    pub batch: NonZeroU32,
    pub rows_per_run: NonZeroU64,
}

impl RetentionConfig {
    pub fn retention(&self) -> Retention {
        Retention {
            done: self.done,
            cancelled: self.cancelled,
            discarded: self.discarded,
            dead: self.dead,
            kinds: self.kinds.clone(),
            attempts: self.attempts,
            events: self.events,
            audit: self.audit,
            history: self.history,
            media: MediaRetention {
                attachments: self.attachments,
                recordings: self.recordings,
                voicemails: self.voicemails,
            },
            orphans: self.orphans,
            batch: self.batch.get(),
            rows_per_run: self.rows_per_run.get(),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    pub format: LogFormat,
    #[serde(deserialize_with = "read::log_level")]
    pub level: Targets,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Json,
    Pretty,
    /// Pretty on a terminal, otherwise JSON.
    Auto,
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}
