//! Judging settings that can each be read: whether they lie in range, whether they fit together, and whether they
//! are safe anywhere but on a desk.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use trunkline_jobs::campaigns::sms;
use trunkline_jobs::media::DownloadMedia;
use trunkline_jobs::upkeep::{KEEP_EVENTS_AT_LEAST, KEEP_ORPHANS_AT_LEAST};
use trunkline_platform::db::Engine;
use trunkline_platform::duration::write as write_duration;
use trunkline_platform::job::Queue;

use super::layers::{QUEUES, Setting};
use super::{AllowedHost, Config, EncryptionKind, LogFormat, Problem, Profile, ScanMode, Source, StoreKind};

/// A worker that missed two looks at the table must still hold its lease.
const POLLS_PER_LEASE: u32 = 3;
/// The most rows that one transaction may remove.
const MOST_ROWS: u32 = 10_000;
/// Requests a second to the provider, all of which one row keeps.
const MOST_REQUESTS: u32 = 1_000;
/// Requests a second of one key.
const MOST_KEY_REQUESTS: u32 = 100_000;
const HOUR: Duration = Duration::from_secs(3600);
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Settings that cannot both be meant.
pub(super) fn contradictions(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut contradiction = |first, second, reason: String| {
        problems.push(Problem::Contradiction { first, second, reason });
    };
    let (workers, receiver) = (&config.workers, &config.receiver);
    if workers.lease < workers.poll_interval * POLLS_PER_LEASE {
        let (lease, poll) = (write_duration(workers.lease), write_duration(workers.poll_interval));
        contradiction(
            "workers.lease",
            "workers.poll_interval",
            format!("a lease of {lease} is shorter than {POLLS_PER_LEASE} looks at the table, {poll} apart"),
        );
    }
    if receiver.batch > receiver.queue {
        contradiction(
            "receiver.batch",
            "receiver.queue",
            format!("{} webhooks can never wait in a queue of {}", receiver.batch, receiver.queue),
        );
    }
    if config.openphone.reserved >= config.openphone.rate.get() {
        contradiction(
            "openphone.reserved",
            "openphone.rate",
            format!(
                "{} of {} requests a second leave campaigns none",
                config.openphone.reserved, config.openphone.rate
            ),
        );
    }
    let secrets = &config.secrets;
    if secrets.overdue <= secrets.quiet {
        let (overdue, quiet) = (write_duration(secrets.overdue), write_duration(secrets.quiet));
        contradiction(
            "secrets.overdue",
            "secrets.quiet",
            format!("every change of a secret takes {quiet} at least, and would be overdue after {overdue}"),
        );
    }
    let database = &config.database;
    if database.lock_timeout >= database.statement_timeout {
        let (lock, statement) =
            (write_duration(database.lock_timeout), write_duration(database.statement_timeout));
        contradiction(
            "database.lock_timeout",
            "database.statement_timeout",
            format!("a statement that is ended after {statement} never waits {lock} for a lock"),
        );
    }
    if config.redis.url.is_some() && config.database.url.engine() == Engine::Sqlite {
        contradiction(
            "redis.url",
            "database.url",
            "with SQLite everything runs in one process, which needs no Redis; \
             remove redis.url, or give database.url a postgres:// URL"
                .to_owned(),
        );
    }
    let media = &config.media;
    if media.scan == ScanMode::Required && media.clamd.is_none() {
        let reason = "files are to be scanned, and there is no scanner: say where clamd listens".to_owned();
        contradiction("media.scan", "media.clamd", reason);
    }
    if media.scan == ScanMode::Required && media.clamd_max_bytes < media.max_bytes {
        let (takes, largest) = (media.clamd_max_bytes, media.max_bytes);
        contradiction(
            "media.clamd_max_bytes",
            "media.max_bytes",
            format!(
                "a file of {largest} bytes would be kept that clamd, which takes {takes}, cannot be shown"
            ),
        );
    }
    if !media.send_api_key.is_empty() && config.has_no_api_key() {
        let reason = "media hosts are to be sent the API key, and there is none".to_owned();
        contradiction("media.send_api_key", "openphone.api_key", reason);
    }
    problems.extend(bucket(config));
    problems
}

fn bucket(config: &Config) -> Vec<Problem> {
    let (media, s3) = (&config.media, &config.media.s3);
    let found = [
        (
            media.store == StoreKind::S3 && s3.bucket.is_empty(),
            ("media.store", "media.s3.bucket"),
            "files cannot be kept in a bucket that has no name",
        ),
        (
            s3.access_key.is_some() != s3.secret_key.is_some(),
            ("media.s3.access_key", "media.s3.secret_key"),
            "one is of no use without the other; set both, or neither to use the environment's",
        ),
        (
            !s3.kms_key.is_empty() && s3.encryption != EncryptionKind::Kms,
            ("media.s3.kms_key", "media.s3.encryption"),
            "the key is only used with encryption aws:kms",
        ),
    ];
    let found = found.into_iter().filter(|(is_wrong, ..)| *is_wrong);
    found
        .map(|(_, (first, second), reason)| Problem::Contradiction {
            first,
            second,
            reason: reason.to_owned(),
        })
        .collect()
}

/// Values beyond what `default.toml` says they can be.
pub(super) fn out_of_range(config: &Config, settings: &BTreeMap<String, Setting>) -> Vec<Problem> {
    let problem = |key: &str, message: String| {
        let from = settings.get(key).map_or(Source::Default, |setting| setting.source.clone());
        Problem::Value { key: key.to_owned(), from, message }
    };
    let (second, openphone, workers) = (Duration::from_secs(1), &config.openphone, &config.workers);
    let (database, minute) = (&config.database, second * 60);
    let durations = [
        ("database.acquire_timeout", database.acquire_timeout, second / 100, minute * 5),
        ("database.statement_timeout", database.statement_timeout, second / 10, minute * 10),
        ("database.lock_timeout", database.lock_timeout, second / 100, minute * 5),
        ("database.idle_in_transaction_timeout", database.idle_in_transaction_timeout, second, HOUR),
        ("database.slow_query", database.slow_query.unwrap_or(second), second / 1_000, HOUR),
        ("openphone.timeout", openphone.timeout, second, second * 30),
        ("secrets.quiet", config.secrets.quiet, Duration::ZERO, HOUR * 24 * 30),
        ("secrets.overdue", config.secrets.overdue, minute, HOUR * 24 * 90),
        (
            "secrets.rotate_every",
            config.secrets.rotate_every.unwrap_or(HOUR * 24),
            HOUR * 24,
            HOUR * 24 * 3_650,
        ),
        ("openphone.freshness", openphone.freshness, second, HOUR),
        ("openphone.legacy_freshness", openphone.legacy_freshness.unwrap_or(second), second, HOUR),
        // What is left of the job's own time is for scanning and storing the file.
        ("media.timeout", config.media.timeout, second, DownloadMedia::LONGEST_FETCH),
        ("media.clamd_timeout", config.media.clamd_timeout, second, second * 300),
        ("forward.timeout", config.forward.timeout, second, second * 60),
        ("admin.session", config.admin.session, second * 60, HOUR * 24 * 30),
        ("admin.live", config.admin.live, second, HOUR),
        ("media.s3.presign", config.media.s3.presign.unwrap_or(second * 10), second * 10, HOUR),
        ("contacts.help_period", config.contacts.help_period, minute, HOUR * 24 * 30),
        ("campaigns.breaker.window", config.campaigns.breaker.window, minute, HOUR * 24),
        ("campaigns.counts_for", config.campaigns.counts_for, HOUR, HOUR * 720),
        ("workers.poll_interval", workers.poll_interval, second / 100, second * 60),
        ("workers.lease", workers.lease, second * 3, HOUR),
        ("workers.grace", workers.grace, Duration::ZERO, HOUR),
    ];
    let durations = durations.into_iter().filter(|(_, value, min, max)| value < min || value > max).map(
        |(key, _, min, max)| {
            problem(key, format!("this must be from {} to {}", write_duration(min), write_duration(max)))
        },
    );
    let max_body = Some(config.receiver.max_body)
        .filter(|size| !(KIB..=16 * MIB).contains(size))
        .map(|_| problem("receiver.max_body", "this must be from 1KiB to 16MiB".to_owned()));
    let rate = Some(openphone.rate.get())
        .filter(|rate| !(2..=MOST_REQUESTS).contains(rate))
        .map(|_| problem("openphone.rate", format!("this must be from 2 to {MOST_REQUESTS}")));
    let known = known_queues();
    let unknown = workers.queues.keys().filter(|queue| !known.is_empty() && !known.contains(queue.as_str()));
    let queues = unknown.map(|queue| {
        let names: Vec<&str> = known.iter().copied().collect();
        problem(
            &format!("{QUEUES}.{queue}"),
            format!("no job has this queue; the queues are {}", names.join(", ")),
        )
    });
    let words =
        config.contacts.services().err().map(|error| problem("contacts.stop_words", error.to_string()));
    let answers = [
        ("contacts.confirmation", &config.contacts.confirmation),
        ("contacts.help_answer", &config.contacts.help_answer),
    ];
    let long = answers.into_iter().filter_map(|(key, text)| {
        let characters = text.as_ref()?.chars().count();
        (characters > sms::MAX_CHARS).then(|| {
            problem(key, format!("the provider takes {} characters, not {characters}", sms::MAX_CHARS))
        })
    });
    let key_rate = Some(config.admin.rate_per_second.get())
        .filter(|rate| *rate > MOST_KEY_REQUESTS)
        .map(|_| problem("admin.rate_per_second", format!("this must be from 1 to {MOST_KEY_REQUESTS}")));
    durations
        .chain(max_body)
        .chain(rate)
        .chain(words)
        .chain(long)
        .chain(key_rate)
        .chain(queues)
        .chain(retention(config, &problem))
        .collect()
}

fn retention(config: &Config, problem: &impl Fn(&str, String) -> Problem) -> Vec<Problem> {
    let retention = &config.retention;
    let mut problems = Vec::new();
    if retention.events.is_some_and(|kept| kept < KEEP_EVENTS_AT_LEAST) {
        let least = write_duration(KEEP_EVENTS_AT_LEAST);
        let message = format!(
            "this must be at least {least}: the provider repeats webhooks, and they must be recognised"
        );
        problems.push(problem("retention.events", message));
    }
    if retention.orphans.is_some_and(|kept| kept < KEEP_ORPHANS_AT_LEAST) {
        let least = write_duration(KEEP_ORPHANS_AT_LEAST);
        let message = format!("this must be at least {least}: younger files may still be being noted");
        problems.push(problem("retention.orphans", message));
    }
    if retention.batch.get() > MOST_ROWS {
        problems.push(problem("retention.batch", format!("this must be from 1 to {MOST_ROWS}")));
    }
    let jobs = trunkline_jobs::registry().unwrap_or_default();
    for kind in retention.kinds.keys().filter(|kind| jobs.get(kind).is_none()) {
        problems.push(problem("retention.kinds", format!("there is no job {kind:?}")));
    }
    problems
}

/// The queues of all jobs. Empty when the jobs cannot be registered, which ends every start by itself.
fn known_queues() -> BTreeSet<&'static str> {
    trunkline_jobs::registry()
        .map(|jobs| jobs.queues().into_iter().map(Queue::name).collect())
        .unwrap_or_default()
}

/// What production refuses.
pub(super) fn unsafe_settings(config: &Config) -> Vec<Problem> {
    let found = [
        (
            "openphone.api_url",
            config.openphone.api_url.scheme() != "https",
            "over plain http the API key can be read on the way; write https://",
        ),
        (
            "webhooks.public_url",
            config.webhooks.public_url.as_ref().is_some_and(|url| url.scheme() != "https"),
            "the provider's webhooks could be read on their way; write https://",
        ),
        (
            "http.listen",
            !config.http.listen.ip().is_loopback() && config.receiver.trusted_proxies.is_empty(),
            "other machines could talk to this plain HTTP port; listen on 127.0.0.1, or name the proxy that \
             speaks TLS before it in receiver.trusted_proxies",
        ),
        (
            "media.allow_http",
            config.media.allow_http,
            "what is downloaded over plain http can be changed on the way",
        ),
        (
            "media.allow_hosts",
            config.media.allow_hosts.iter().any(AllowedHost::is_local),
            "a link in a text could make the program download from this machine",
        ),
    ];
    let profile = config.profile;
    found
        .into_iter()
        .filter(|(_, is_unsafe, _)| *is_unsafe)
        .map(|(key, _, reason)| Problem::Unsafe { key, reason, profile })
        .collect()
}

/// What no process can take webhooks without.
pub(super) fn no_webhook_secret(config: &Config) -> Option<Problem> {
    let reason =
        "without a signing secret every webhook is refused; copy it from the provider's webhook settings";
    let (key, profile) = ("openphone.webhook_secrets", config.profile);
    config.has_no_webhook_secret().then_some(Problem::Unsafe { key, reason, profile })
}

/// What no profile refuses and somebody should know of.
pub(super) fn doubtful_settings(config: &Config) -> Vec<Problem> {
    if config.profile == Profile::Development {
        return Vec::new();
    }
    let s3 = &config.media.s3;
    let plain = config.media.store == StoreKind::S3
        && s3.endpoint.as_ref().is_some_and(|endpoint| endpoint.scheme() == "http");
    let plain = plain.then_some(Problem::Unsafe {
        key: "media.s3.endpoint",
        reason: "over plain http the files can be read on the way; fit only for a network of your own",
        profile: config.profile,
    });
    let (key, profile) = ("log.format", config.profile);
    let reason = "pretty logs are for people; a log collector reads json";
    let pretty = (config.log.format == LogFormat::Pretty).then_some(Problem::Unsafe { key, reason, profile });
    no_webhook_secret(config).into_iter().chain(pretty).chain(plain).collect()
}
