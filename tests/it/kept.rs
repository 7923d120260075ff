//! Telling the jobs of events, in any order, and reading what they kept.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use tokio::io::AsyncReadExt;
use trunkline_jobs::Services;
use trunkline_jobs::campaigns::{CampaignMetrics, CampaignServices, Holidays};
use trunkline_jobs::contacts::ContactServices;
use trunkline_jobs::events::{Delivery, Source, accept};
use trunkline_jobs::forward::{AllowList, ForwardMetrics, ForwardServices, ForwardSettings, Forwarder};
use trunkline_jobs::media::guard::AddressPolicy;
use trunkline_jobs::media::thumbnail::Thumbnails;
use trunkline_jobs::media::{FetchConfig, Fetcher, MediaMetrics, MediaServices, MediaStore, Sha256Hash};
use trunkline_jobs::provider::{Provider, ProviderMetrics, RateLimit};
use trunkline_jobs::secrets::{RotationRules, Vault};
use trunkline_jobs::subscriptions::SubscriptionServices;
use trunkline_jobs::upkeep::{Upkeep, UpkeepMetrics};
use trunkline_openphone::event::Envelope;
use trunkline_openphone::signature::Scheme;
use trunkline_platform::db::{Db, Stmt, Text};
use trunkline_platform::task::Tasks;
use trunkline_platform::testkit::Kit;

use crate::harness::Env;

/// What is compared: every column that events decide. Row numbers, and times of our own, they do not.
const TABLES: &[(&str, &str)] = &[
    ("call_participants", "call_id number"),
    ("call_recordings", "call_id recording started_at duration_ms"),
    ("call_summaries", "call_id status told_at summary next_steps insights"),
    ("call_transcripts", "call_id status told_at duration_ms dialogue"),
    (
        "calls",
        "id conversation_id phone_number_id user_id direction caller callee created_at answered_at answered_by \
         completed_at duration_ms has_voicemail forwarded_from forwarded_to menu menu_at status status_final \
         status_at",
    ),
    ("consents", "entry number act at channel wording message_id review"),
    ("contact_numbers", "contact_id number"),
    (
        "contacts",
        "id deleted told_at fingerprint first_name last_name company role location emails custom_fields source \
         external_id created_at updated_at",
    ),
    ("conversation_participants", "conversation_id number"),
    ("conversations", "id phone_number_id first_activity_at last_activity_at"),
    ("media", "owner_type owner_id position url told_at declared_type state sha256 media_type"),
    ("message_recipients", "message_id number"),
    (
        "messages",
        "id conversation_id phone_number_id user_id direction sender text created_at status status_final \
         status_at error_code",
    ),
    ("numbers", "number first_seen_at last_seen_at"),
    ("opt_outs", "number closed at entry channel"),
    ("provider_tasks", "id event_type told_at resource"),
    (
        "voicemails",
        "id call_id activity_id voicemail_id sender recipient duration_ms transcript transcript_at created_at",
    ),
    ("workspace_numbers", "number"),
    ("search_documents", "id message_id transcript_id summary_id voicemail_id fingerprint"),
];

/// The jobs on one test's database.
pub(crate) struct Keeper<'e> {
    env: &'e Env,
    pub(crate) services: Arc<Services>,
    pub(crate) tasks: Tasks,
}

#[derive(sqlx::FromRow)]
struct Line {
    line: String,
}

impl<'e> Keeper<'e> {
    pub(crate) async fn new(env: &'e Env) -> Self {
        Self::on(env, store(env.folder()).await)
    }

    /// With its media in this store.
    pub(crate) fn on(env: &'e Env, store: MediaStore) -> Self {
        Self::with(env, media(fetcher(), store), no_provider(env))
    }

    pub(crate) async fn with_provider(env: &'e Env, provider: Provider) -> Self {
        Self::with(env, media(fetcher(), store(env.folder()).await), provider)
    }

    /// With files fetched and judged some other way, or a provider to ask.
    pub(crate) fn with(env: &'e Env, media: MediaServices, provider: Provider) -> Self {
        Self { env, services: Arc::new(services(env, media, provider)), tasks: env.tasks() }
    }

    /// The same anew, for whoever wants one of them otherwise.
    pub(crate) fn services_anew(&self) -> Services {
        services(self.env, self.services.media.clone(), self.services.provider.clone())
    }

    /// Stores events as deliveries of their own and leaves their jobs waiting.
    pub(crate) async fn tell(&self, bodies: &[String]) {
        let deliveries: Vec<Delivery> = bodies.iter().map(|body| delivery(self.env, body)).collect();
        let mut tx = self.tasks.begin().await.unwrap();
        accept(&mut tx, &deliveries).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub(crate) fn kit(&self) -> Kit<Services> {
        let registry = Arc::new(trunkline_jobs::registry().unwrap());
        Kit::new(self.tasks.clone(), registry, Arc::clone(&self.services), self.env.metrics.clone())
    }

    /// Tells events one after another and works all their jobs off.
    pub(crate) async fn tell_and_work(&self, bodies: &[String]) {
        self.tell(bodies).await;
        self.kit().drain().await.unwrap();
    }

    /// The same by several workers at once.
    pub(crate) async fn tell_and_work_at_once(&self, bodies: &[String], workers: usize) {
        self.tell(bodies).await;
        for drained in join_all((0..workers).map(|_| async { self.kit().drain().await })).await {
            drained.unwrap();
        }
    }

    /// Every row kept, as text.
    pub(crate) async fn kept(&self) -> Vec<String> {
        let mut kept = Vec::new();
        for (table, columns) in TABLES {
            kept.extend(self.rows(table, columns).await);
        }
        kept
    }

    /// The rows of a table, view or join, as text.
    pub(crate) async fn rows(&self, table: &str, columns: &str) -> Vec<String> {
        let texts: Vec<_> = columns.split(' ').map(|c| format!("COALESCE(CAST({c} AS TEXT), '-')")).collect();
        let joined = texts.join(" || ' ' || ");
        let name = table.split(' ').next().unwrap_or_default();
        let select = statement(format!("SELECT '{name} ' || {joined} AS line FROM {table} ORDER BY 1"));
        let lines: Vec<Line> = select.query().all(&mut self.env.db.read().await.unwrap()).await.unwrap();
        lines.into_iter().map(|line| line.line).collect()
    }

    /// What the store has under this hash.
    pub(crate) async fn stored(&self, hash: &Sha256Hash) -> Vec<u8> {
        let mut opened = self.services.media.store.open(hash, None).await.unwrap();
        let mut content = Vec::new();
        opened.body.read_to_end(&mut content).await.unwrap();
        content
    }

    /// Starts over.
    pub(crate) async fn forget(&self) {
        let mut tx = self.env.db.write().await.unwrap();
        for table in TABLES.iter().map(|(table, _)| *table).chain(["task_attempts", "tasks", "events"]) {
            statement(format!("DELETE FROM {table}")).query().execute(&mut tx).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    /// Every event's job ended well, at its first attempt. Downloads are another matter.
    pub(crate) async fn assert_nothing_failed(&self) {
        let attempts = "task_attempts AS a JOIN tasks AS t ON t.id = a.task_id AND t.queue = 'events'";
        let failed = self.rows(attempts, "t.kind a.verdict a.error").await;
        assert!(failed.is_empty(), "{failed:#?}");
    }

    /// Tells the same events in many orders, some more than once, now and then to several workers at once.
    /// Each time the rows must be those of the first order.
    pub(crate) async fn assert_order_does_not_matter(&self, bodies: &[String], orders: u64) {
        self.tell_and_work(bodies).await;
        self.assert_nothing_failed().await;
        let expected = self.kept().await;
        assert!(!expected.is_empty());
        for seed in 0..orders {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut told = bodies.to_vec();
            for _ in 0..rng.random_range(0..=bodies.len()) {
                told.push(bodies[rng.random_range(0..bodies.len())].clone());
            }
            told.shuffle(&mut rng);
            self.forget().await;
            if seed % 4 == 3 {
                self.tell_and_work_at_once(&told, 4).await;
            } else {
                self.tell_and_work(&told).await;
            }
            self.assert_nothing_failed().await;
            let kept = self.kept().await;
            let (missing, extra) = differences(&expected, &kept);
            assert!(
                missing.is_empty() && extra.is_empty(),
                "order {seed}: missing {missing:#?}, instead {extra:#?}"
            );
        }
    }
}

fn differences<'r>(expected: &'r [String], kept: &'r [String]) -> (Vec<&'r String>, Vec<&'r String>) {
    let without =
        |all: &'r [String], others: &[String]| all.iter().filter(|row| !others.contains(row)).collect();
    (without(expected, kept), without(kept, expected))
}

pub(crate) fn statement(text: String) -> &'static Stmt {
    Box::leak(Box::new(Stmt { name: "TEST", text: Text::Same(text.leak()) }))
}

/// The services of the jobs on a test's database.
pub(crate) fn services(env: &Env, media: MediaServices, provider: Provider) -> Services {
    Services {
        db: env.db.clone(),
        contacts: ContactServices::builtin().unwrap(),
        upkeep: upkeep(env, media.store.clone()),
        media,
        provider,
        forward: forward(&[]),
        secrets: no_secrets(&env.db),
        subscriptions: SubscriptionServices::default(),
        campaigns: campaigns(),
        zone: chrono_tz::UTC,
    }
}

pub(crate) fn delivery(env: &Env, body: &str) -> Delivery {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    Delivery {
        envelope: Envelope::parse(body.as_bytes()).unwrap(),
        source: Source::Webhook(Scheme::Standard),
        delivery_id: Some(format!("msg_{n}")),
        received_at: env.clock.now(),
        headers: "{}".to_owned(),
        body: body.to_owned(),
        correlation_id: format!("test-{n}"),
        trace_context: None,
    }
}

pub(crate) fn fetcher() -> Fetcher {
    fetcher_up_to(1_000_000)
}

/// Of files of so many bytes.
pub(crate) fn fetcher_up_to(max_bytes: u64) -> Fetcher {
    let short = Duration::from_secs(5);
    Fetcher::new(FetchConfig {
        max_bytes,
        timeout: short,
        connect_timeout: short,
        read_timeout: short,
        max_redirects: 3,
        policy: AddressPolicy { allow_hosts: vec!["127.0.0.1".parse().unwrap()], allow_http: true },
        user_agent: "trunkline-test".to_owned(),
        credentials: None,
    })
    .unwrap()
}

pub(crate) async fn store(folder: &Path) -> MediaStore {
    MediaStore::local(folder.join("media")).await.unwrap()
}

/// No secrets but those of the configuration.
pub(crate) fn no_secrets(db: &Db) -> Vault {
    Vault::new(db.clone(), None, RotationRules::default())
}

/// No day off, and the breaker as the program comes with it.
fn campaigns() -> CampaignServices {
    let config = trunkline::config::Config::load(&trunkline::config::Flags::default(), []).unwrap();
    let metrics = CampaignMetrics::new(&prometheus::Registry::new()).unwrap();
    CampaignServices { holidays: Holidays::new(), breaker: config.campaigns.breaker.settings(), metrics }
}

/// Forwarding to what is listed.
pub(crate) fn forward(allow: &[&str]) -> ForwardServices {
    let allow = AllowList::parse(allow.iter().copied()).unwrap();
    let settings = ForwardSettings { allow, timeout: Duration::from_millis(300) };
    ForwardServices {
        forwarder: Forwarder::new(settings).unwrap(),
        metrics: ForwardMetrics::new(&prometheus::Registry::new()).unwrap(),
    }
}

/// The rate of the provider, and no key to ask with.
pub(crate) fn no_provider(env: &Env) -> Provider {
    let metrics = ProviderMetrics::new(&prometheus::Registry::new()).unwrap();
    Provider::new(env.db.clone(), None, RateLimit { per_second: 10, reserved: 2 }, metrics)
}

/// The rest of what downloads need, as the program comes with it.
pub(crate) fn media(fetcher: Fetcher, store: MediaStore) -> MediaServices {
    let config = trunkline::config::Config::load(&trunkline::config::Flags::default(), []).unwrap();
    MediaServices {
        fetcher,
        store,
        rules: config.media.rules(),
        scanner: config.media.scanner(),
        thumbnails: Thumbnails::default(),
        metrics: MediaMetrics::new(&prometheus::Registry::new()).unwrap(),
    }
}

/// Upkeep as the program comes with it.
fn upkeep(env: &Env, store: MediaStore) -> Upkeep {
    let config = trunkline::config::Config::load(&trunkline::config::Flags::default(), []).unwrap();
    let metrics = UpkeepMetrics::new(&prometheus::Registry::new()).unwrap();
    Upkeep { tasks: env.tasks(), store, retention: config.retention.retention(), metrics }
}
