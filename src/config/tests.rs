//! What a configuration promises, tested through [`Config::load`].

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use serde_json::json;
use tempfile::NamedTempFile;
use trunkline_platform::db::Engine;

use super::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The place of a configuration under test.
#[derive(Default)]
struct Given {
    flags: Flags,
    file: Option<NamedTempFile>,
    variables: Vec<(OsString, OsString)>,
}

impl Given {
    fn file(mut self, text: &str) -> Self {
        let file = file_with(text);
        self.flags.config = Some(file.path().to_owned());
        self.file = Some(file);
        self
    }

    fn variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    fn flag(mut self, key: &str, value: &str) -> Self {
        self.flags.assign(key, value);
        self
    }

    fn load(&self) -> Result<Config, ConfigError> {
        Config::load(&self.flags, self.variables.clone())
    }

    /// The problems, one to a line.
    fn problems(&self) -> String {
        let error = self.load().expect_err("the configuration was accepted");
        error.problems.iter().fold(String::new(), |mut text, problem| {
            writeln!(text, "{problem}").unwrap();
            text
        })
    }
}

fn file_with(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn given() -> Given {
    Given::default()
}

fn production() -> Given {
    given().file(&format!("profile = 'production'\nopenphone.webhook_secrets = ['{SECRET}']"))
}

#[test]
fn the_database_s_time_limits_are_what_the_settings_say_and_fit_together() {
    let text = "[database]\nstatement_timeout = '20s'\nlock_timeout = '2s'\nslow_query = '250ms'\nacquire_timeout = '3s'\n\
                idle_in_transaction_timeout = '9s'";
    let options = given().file(text).load().unwrap().database.options();
    let told = [options.statement_timeout, options.lock_timeout, options.acquire_timeout];
    assert_eq!(told, [20, 2, 3].map(Duration::from_secs));
    assert_eq!(options.idle_in_transaction_timeout, Duration::from_secs(9));
    assert_eq!(options.slow_query, Some(Duration::from_millis(250)));
    assert_eq!(
        given().flag("database.slow_query", "off").load().unwrap().database.options().slow_query,
        None
    );

    let problems = given().flag("database.lock_timeout", "30s").problems();
    assert!(
        problems.contains("database.lock_timeout") && problems.contains("database.statement_timeout"),
        "{problems}"
    );
    let problems =
        given().flag("database.statement_timeout", "1h").flag("database.slow_query", "0ms").problems();
    assert!(problems.contains("from 100ms to 10m") && problems.contains("from 1ms to 1h"), "{problems}");
}

#[test]
fn the_business_s_time_zone_is_one_there_is() {
    assert_eq!(given().load().unwrap().business.timezone, chrono_tz::UTC);
    let zone = given().flag("business.timezone", "America/New_York").load().unwrap().business.timezone;
    assert_eq!(zone, chrono_tz::America::New_York);
    let problems = given().flag("business.timezone", "New York").problems();
    assert!(problems.contains("\"New York\" is no time zone"), "{problems}");
}

#[test]
fn the_embedded_defaults_are_a_valid_configuration() {
    let config = given().load().unwrap();
    assert_eq!(config.profile, Profile::Development);
    assert_eq!(config.database.url.engine(), Engine::Sqlite);
    assert_eq!(config.media.max_bytes, 100 << 20);
    assert_eq!(config.workers.worker_config(7).concurrency["media"], 8);
    assert!(config.redis.url.is_none() && config.openphone.api_key.is_none());
    assert!(config.warnings().is_empty());
    assert!(config.origins().iter().all(|origin| origin.source == "default"));
}

#[test]
fn a_file_is_above_the_defaults_the_environment_above_the_file_and_a_flag_above_all() {
    let given = given()
        .file("[workers]\nlease = '1m'\ngrace = '1s'\nconcurrency = 2\n[workers.queues]\nevents = 3")
        .variable("TRUNKLINE_WORKERS_GRACE", "2s")
        .variable("TRUNKLINE_WORKERS_CONCURRENCY", "4")
        .variable("TRUNKLINE_WORKERS_QUEUES_MEDIA", "5")
        .flag("workers.concurrency", "6");
    let config = given.load().unwrap();
    let workers = config.workers.worker_config(0);
    assert_eq!(workers.poll_interval, Duration::from_secs(1));
    assert_eq!(workers.lease, Duration::from_secs(60));
    assert_eq!(workers.grace, Duration::from_secs(2));
    assert_eq!(workers.default_concurrency, 6);
    assert_eq!((workers.concurrency["events"], workers.concurrency["media"]), (3, 5));

    let source = |key: &str| config.origins().iter().find(|origin| origin.key == key).unwrap().source.clone();
    assert_eq!(source("workers.poll_interval"), "default");
    assert_eq!(source("workers.lease"), given.flags.config.as_ref().unwrap().display().to_string());
    assert_eq!(source("workers.grace"), "TRUNKLINE_WORKERS_GRACE");
    assert_eq!(source("workers.concurrency"), "--set");
}

#[test]
fn a_variable_can_name_the_file_and_the_flag_has_precedence_over_it() {
    let (named, other) = (file_with("profile = 'staging'"), file_with("http.listen = '127.0.0.1:1'"));
    let by_variable = given().variable("TRUNKLINE_CONFIG", named.path());
    assert_eq!(by_variable.load().unwrap().profile, Profile::Staging);
    let mut by_flag = by_variable;
    by_flag.flags.config = Some(other.path().to_owned());
    assert_eq!(by_flag.load().unwrap().profile, Profile::Development);
}

#[test]
fn lists_and_switches_can_come_from_the_environment() {
    let config = given()
        .variable("TRUNKLINE_OPENPHONE_WEBHOOK_SECRETS", format!("{SECRET}, c2VjcmV0"))
        .variable("TRUNKLINE_MEDIA_ALLOW_HTTP", "true")
        .variable("TRUNKLINE_RECEIVER_TRUSTED_PROXIES", "10.0.0.0/8,::1")
        .load()
        .unwrap();
    assert_eq!(config.openphone.webhook_secrets.len(), 2);
    assert!(config.media.allow_http);
    assert_eq!(config.receiver.trusted_proxies.len(), 2);
}

#[test]
fn a_secret_can_be_read_from_a_file_without_its_last_line_end() {
    let (key, list) = (file_with("abc\n"), file_with(&format!("{SECRET}\nc2VjcmV0\n")));
    let config = given()
        .variable("TRUNKLINE_OPENPHONE_API_KEY_FILE", key.path())
        .variable("TRUNKLINE_OPENPHONE_WEBHOOK_SECRETS_FILE", list.path())
        .load()
        .unwrap();
    use secrecy::ExposeSecret;
    assert_eq!(config.openphone.api_key.as_ref().unwrap().expose_secret(), "abc");
    let secrets = config.openphone.webhook_secrets.iter().map(ExposeSecret::expose_secret);
    let secrets = trunkline_openphone::signature::Secrets::parse(secrets).unwrap();
    assert_eq!(secrets.standard.len(), 1);
    assert_eq!(secrets.legacy.len(), 1);
}

#[test]
fn a_secret_set_directly_and_by_a_file_is_refused_with_both_names() {
    let problems = given()
        .variable("TRUNKLINE_OPENPHONE_API_KEY", "abc")
        .variable("TRUNKLINE_OPENPHONE_API_KEY_FILE", "/run/secrets/key")
        .problems();
    assert!(
        problems.contains("TRUNKLINE_OPENPHONE_API_KEY and TRUNKLINE_OPENPHONE_API_KEY_FILE"),
        "{problems}"
    );
}

#[test]
fn a_missing_secret_file_is_named_with_its_variable() {
    let problems = given().variable("TRUNKLINE_REDIS_URL_FILE", "/nowhere/redis").problems();
    assert_eq!(problems, "TRUNKLINE_REDIS_URL_FILE: cannot read /nowhere/redis: entity not found\n");
}

#[test]
fn an_unknown_key_is_refused_with_the_place_it_stands() {
    let given = given()
        .file("[databse]\nurl = 'sqlite://x'\n[http]\nlisten.port = 1")
        .variable("TRUNKLINE_HTTP_LISTN", "x")
        .variable("TRUNKLINE_HTTP_LISTEN_FILE", "x")
        .flag("log.lvl", "info");
    let (problems, file) = (given.problems(), given.flags.config.clone().unwrap().display().to_string());
    for line in [
        format!("databse.url ({file}): there is no such setting"),
        format!("http.listen.port ({file}): there is no such setting"),
        "TRUNKLINE_HTTP_LISTN: there is no such setting".to_owned(),
        "TRUNKLINE_HTTP_LISTEN_FILE: there is no such setting".to_owned(),
        "log.lvl (--set): there is no such setting".to_owned(),
    ] {
        assert!(problems.contains(&line), "{line} is not in\n{problems}");
    }
}

#[test]
fn variables_that_a_cluster_makes_for_a_service_of_our_name_are_no_settings() {
    let given = given()
        .variable("TRUNKLINE_SERVICE_HOST", "10.0.0.1")
        .variable("TRUNKLINE_PORT", "tcp://10.0.0.1:80")
        .variable("TRUNKLINE_PORT_80_TCP_ADDR", "10.0.0.1");
    assert!(given.load().is_ok());
}

#[test]
fn every_value_that_cannot_be_read_is_told_at_once() {
    let problems = given()
        .file("workers.lease = 30\nmedia.max_bytes = '5MB'\ndatabase.connections = 0")
        .variable("TRUNKLINE_PROFILE", "prod")
        .variable("TRUNKLINE_DATABASE_URL", "mysql://x")
        .flag("workers.concurrency", "many")
        .problems();
    for part in [
        "workers.lease (",
        "media.max_bytes (",
        "\"5MB\" is not a size",
        "database.connections (",
        "nonzero",
        "profile (TRUNKLINE_PROFILE): unknown variant `prod`",
        "database.url (TRUNKLINE_DATABASE_URL): a database URL starts with sqlite:// or postgres://",
        "workers.concurrency (--set): invalid type: string \"many\"",
    ] {
        assert!(problems.contains(part), "{part} is not in\n{problems}");
    }
    assert_eq!(problems.lines().count(), 6, "{problems}");
}

#[test]
fn a_file_that_is_not_toml_is_refused_by_line_without_its_text() {
    let problems = given().file("\n[openphone]\napi_key = \"hunter2\n").problems();
    assert!(problems.contains(":3: "), "{problems}");
    assert!(!problems.contains("hunter2"), "{problems}");
}

#[test]
fn no_secret_is_shown_by_debug_by_problems_or_by_origins() {
    let config = given()
        .variable("TRUNKLINE_DATABASE_URL", "postgres://me:hunter2@db/app")
        .variable("TRUNKLINE_REDIS_URL", "redis://:hunter2@cache:6379")
        .variable("TRUNKLINE_OPENPHONE_API_KEY", "hunter2")
        .variable("TRUNKLINE_OPENPHONE_WEBHOOK_SECRETS", "aHVudGVyMg==")
        .load()
        .unwrap();
    let shown = format!("{config:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("aHVudGVyMg"), "{shown}");

    let problems = given()
        .file("openphone.webhook_secrets = 'hunter2'\nopenphone.api_key = ['hunter2']")
        .variable("TRUNKLINE_REDIS_URL", "hunter2")
        .variable("TRUNKLINE_DATABASE_URL", "hunter2")
        .flag("openphone.webhook_secrets", "hunter2!")
        .problems();
    assert_eq!(problems.lines().count(), 5, "{problems}");
    assert!(!problems.contains("hunter2"), "{problems}");
}

#[test]
fn settings_that_contradict_each_other_are_refused_with_both_names() {
    for (first, second, file) in [
        ("workers.lease", "workers.poll_interval", "workers.lease = '3s'\nworkers.poll_interval = '2s'"),
        ("receiver.batch", "receiver.queue", "receiver.batch = 10\nreceiver.queue = 9"),
        ("openphone.reserved", "openphone.rate", "openphone.rate = 4\nopenphone.reserved = 4"),
        ("redis.url", "database.url", "redis.url = 'redis://cache:6379'"),
        ("media.store", "media.s3.bucket", "media.store = 's3'"),
        ("media.s3.access_key", "media.s3.secret_key", "media.s3.secret_key = 'x'"),
        ("media.s3.kms_key", "media.s3.encryption", "media.s3.kms_key = 'x'\nmedia.s3.encryption = 'AES256'"),
    ] {
        let problems = given().file(file).problems();
        assert!(problems.starts_with(&format!("{first} and {second} contradict each other")), "{problems}");
    }
}

#[test]
fn redis_goes_with_postgres() {
    let given = given()
        .variable("TRUNKLINE_DATABASE_URL", "postgres://db/app")
        .variable("TRUNKLINE_REDIS_URL", "redis://cache:6379");
    assert!(given.load().unwrap().redis.url.is_some());
}

#[test]
fn a_value_out_of_range_is_refused_with_the_range_and_its_place() {
    let problems = given()
        .flag("openphone.freshness", "0s")
        .flag("openphone.legacy_freshness", "2h")
        .flag("media.timeout", "5m")
        .flag("receiver.max_body", "1GiB")
        .flag("openphone.rate", "1001")
        .problems();
    assert_eq!(
        problems,
        "openphone.freshness (--set): this must be from 1s to 1h\n\
         openphone.legacy_freshness (--set): this must be from 1s to 1h\n\
         media.timeout (--set): this must be from 1s to 270s\n\
         receiver.max_body (--set): this must be from 1KiB to 16MiB\n\
         openphone.rate (--set): this must be from 2 to 1000\n"
    );
}

#[test]
fn a_queue_that_no_job_has_is_refused_with_the_queues_there_are() {
    let problems = given().variable("TRUNKLINE_WORKERS_QUEUES_MEDAI", "4").problems();
    let expected = "workers.queues.medai (TRUNKLINE_WORKERS_QUEUES_MEDAI): no job has this queue; \
                    the queues are events, forward, media, sends, upkeep\n";
    assert_eq!(problems, expected);
}

#[test]
fn retention_has_its_limits_and_times_for_single_kinds() {
    let config = given().flag("retention.kinds", "call.ringing=1d, media.download=36h").load().unwrap();
    let kinds = config.retention.retention().kinds;
    assert_eq!(kinds["media.download"], Duration::from_secs(36 * 3_600));
    assert_eq!(given().flag("retention.done", "off").load().unwrap().retention.done, None);
    for (key, value, message) in [
        ("retention.events", "6d", "this must be at least 7d"),
        ("retention.orphans", "23h", "this must be at least 1d"),
        ("retention.batch", "10001", "this must be from 1 to 10000"),
        ("retention.kinds", "call.rings=1d", "there is no job \"call.rings\""),
        ("retention.kinds", "call.ringing", "write name=duration"),
    ] {
        let problems = given().flag(key, value).problems();
        assert!(problems.contains(message), "{problems}");
    }
}

#[test]
fn media_can_be_kept_in_a_bucket_with_keys_from_files() {
    let (access, secret) = (file_with("AK\n"), file_with("hunter2\n"));
    let config = given()
        .file("media.store = 's3'\n[media.s3]\nbucket = 'b'\nprefix = '/in/a/'\nendpoint = 'http://s3:9000'\nencryption = 'aws:kms'")
        .variable("TRUNKLINE_MEDIA_S3_ACCESS_KEY_FILE", access.path())
        .variable("TRUNKLINE_MEDIA_S3_SECRET_KEY_FILE", secret.path())
        .flag("media.s3.presign", "5m")
        .flag("profile", "staging")
        .load()
        .unwrap();
    use secrecy::ExposeSecret;
    let settings = config.media.s3.settings();
    assert_eq!((settings.bucket.as_str(), settings.prefix.as_str()), ("b", "in/a/"));
    assert_eq!(settings.encryption, trunkline_jobs::media::Encryption::Kms(None));
    assert_eq!(settings.presign, Some(Duration::from_secs(300)));
    let keys = settings.keys.as_ref().unwrap();
    assert_eq!((keys.access_key.expose_secret(), keys.secret_key.expose_secret()), ("AK", "hunter2"));
    assert!(config.warnings().iter().any(|warning| warning.to_string().contains("media.s3.endpoint")));
    assert!(!format!("{config:?} {settings:?} {:?}", config.origins()).contains("hunter2"));
}

#[test]
fn an_endpoint_holds_no_keys_and_is_a_url() {
    for (endpoint, message) in
        [("minio:9000", "write https://"), ("https://k:s@minio", "the keys belong into")]
    {
        let problems = given().flag("media.s3.endpoint", endpoint).problems();
        assert!(problems.contains(message) && !problems.contains("k:s"), "{problems}");
    }
    let problems = given().flag("media.s3.presign", "2h").problems();
    assert!(problems.contains("media.s3.presign (--set): this must be from 10s to 1h"), "{problems}");
}

#[test]
fn every_setting_is_explained_above_its_default() {
    let mut explained = false;
    for line in include_str!("default.toml").lines() {
        if line.contains(" = ") && !line.starts_with('#') {
            assert!(explained, "nothing explains {line}");
        }
        explained = line.starts_with('#') || (explained && line.starts_with('['));
    }
}

#[test]
fn the_check_of_older_webhooks_times_can_be_switched_off() {
    let config = given().flag("openphone.legacy_freshness", "off").load().unwrap();
    assert_eq!(config.openphone.tolerance().legacy, None);
}

#[test]
fn production_starts_with_a_secret_and_no_other_change() {
    assert!(production().load().unwrap().warnings().is_empty());
}

#[test]
fn production_refuses_what_is_only_safe_on_a_desk_and_staging_warns_of_it() {
    for (key, value) in [
        ("openphone.api_url", "http://127.0.0.1:9400"),
        ("http.listen", "0.0.0.0:8080"),
        ("media.allow_http", "true"),
        ("media.allow_hosts", "media.internal,127.0.0.1:9400"),
        ("media.allow_hosts", "[::1]"),
        ("media.allow_hosts", "localhost"),
    ] {
        let given = production().flag(key, value);
        assert!(given.problems().starts_with(&format!("{key}: ")), "{}", given.problems());

        let staging = given.flag("profile", "staging").load().unwrap();
        assert_eq!(staging.warnings().len(), 1);
        let development = production().flag(key, value).flag("profile", "development").load().unwrap();
        assert!(development.warnings().is_empty());
    }
}

#[test]
fn production_takes_no_webhooks_without_a_secret_but_its_workers_need_none() {
    let config = production().flag("openphone.webhook_secrets", "").load().unwrap();
    assert!(config.warnings()[0].to_string().starts_with("openphone.webhook_secrets: "));
    assert!(config.ready_to_receive().is_err());
    assert!(production().load().unwrap().ready_to_receive().is_ok());
    assert!(given().load().unwrap().ready_to_receive().is_ok());
}

#[test]
fn production_may_listen_to_a_named_proxy_and_download_from_a_named_neighbour() {
    let given = production()
        .flag("http.listen", "0.0.0.0:8080")
        .flag("receiver.trusted_proxies", "172.16.0.0/12")
        .flag("media.allow_hosts", "media.internal,10.0.0.5:9000");
    assert!(given.load().is_ok());
}

#[test]
fn pretty_logs_in_production_are_a_warning() {
    let config = production().flag("log.format", "pretty").load().unwrap();
    assert!(config.warnings()[0].to_string().starts_with("log.format: "));
}

#[test]
fn the_origin_of_a_url_shows_it_without_its_password() {
    let config = given().variable("TRUNKLINE_DATABASE_URL", "postgres://me:hunter2@db/app").load().unwrap();
    let origin = config.origins().iter().find(|origin| origin.key == "database.url").unwrap();
    assert_eq!(origin.value, json!("postgres://me:hidden@db/app"));
    assert_eq!(origin.source, "TRUNKLINE_DATABASE_URL");
}
