//! Builds everything once from the configuration, and is the only place that knows it all. Receiver, command
//! line and the rest never import one another.

mod acceptor;
mod http;
mod lock;
mod probes;
mod queue_metrics;
mod roles;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use prometheus::Registry as MetricsRegistry;
use rand::Rng;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use trunkline_jobs::Services;
use trunkline_jobs::campaigns::{CampaignMetrics, CampaignServices};
use trunkline_jobs::forward::{ForwardMetrics, ForwardServices, Forwarder};
use trunkline_jobs::media::thumbnail::Thumbnails;
use trunkline_jobs::media::{Fetcher, MediaMetrics, MediaServices};
use trunkline_jobs::provider::Lines;
use trunkline_jobs::secrets::{ApiKeys, Keyring};
use trunkline_jobs::subscriptions::SubscriptionServices;
use trunkline_jobs::upkeep::{Upkeep, UpkeepMetrics};
use trunkline_platform::clock::Clock;
use trunkline_platform::commit::Committer;
use trunkline_platform::db::{Db, DbOptions, Engine};
use trunkline_platform::job::{Jobs, Queue, Registry};
use trunkline_platform::metrics::Metrics;
use trunkline_platform::schedule::{ScheduleMetrics, Scheduler, Schedules};
use trunkline_platform::task::Tasks;
use trunkline_platform::testkit::Kit;
use trunkline_platform::worker::{Readiness, Workers};

use crate::access::gate::Gate;
use crate::access::{Access, AccessMetrics, Keys};
use crate::admin::media::Listeners;
use crate::admin::tunnels::Followers;
use crate::admin::{self, Desk};
use crate::campaign_rules::CampaignRules;
use crate::config::Config;
use crate::correlation::CorrelationIds;
use crate::dashboard::{self, Pace, Pages, Viewers};
use crate::health::Probes;
use crate::receiver::{self, ReceiverMetrics, ReceiverSettings, WebhookEndpoint};
use crate::replays::Replays;
use crate::source::Sources;
use crate::{schedules, schema};
pub use lock::{FileLock, LockError};
pub use roles::{Role, Roles, RolesError};

/// Temporary files older than any download belong to none.
const LEFT_OVER: Duration = Duration::from_secs(3_600);
/// How long the database may take to say good-bye.
const CLOSING: Duration = Duration::from_secs(5);

/// The parts of a running program, built and not yet started.
pub struct App {
    config: Config,
    clock: Clock,
    db: Db,
    tasks: Tasks,
    jobs: Arc<Registry<Services>>,
    schedules: Arc<Schedules>,
    services: Arc<Services>,
    api_keys: Arc<ApiKeys>,
    access: Access,
    metrics_registry: MetricsRegistry,
    metrics: Metrics,
    seed: u64,
    /// Held as long as this process may write to an embedded database.
    _lock: Option<FileLock>,
}

/// What [`App::start`] started.
pub struct Running {
    address: SocketAddr,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
    committer: Option<Committer>,
    keyring: Option<Arc<Keyring>>,
    api_keys: Arc<ApiKeys>,
    workers: Option<Workers>,
    notes: Option<tokio::task::JoinHandle<()>>,
    stop: CancellationToken,
    db: Db,
    grace: Duration,
    _lock: Option<FileLock>,
}

impl App {
    /// Opens the database, brings its schema up to date and builds the parts.
    ///
    /// # Errors
    /// When the database cannot be opened or migrated, when another process runs on the same embedded
    /// database, or when a part cannot be built from the configuration.
    pub async fn build(config: Config, clock: Clock) -> Result<Self> {
        Self::build_with(config, clock, trunkline_jobs::registry()?).await
    }

    /// [`build`](Self::build) with other jobs, for the tests that add theirs.
    pub async fn build_with(config: Config, clock: Clock, jobs: Registry<Services>) -> Result<Self> {
        let jobs = Arc::new(jobs);
        let schedules = Arc::new(schedules::load(&config.schedules, &jobs)?);
        let lock = match config.database.url.file() {
            Some(file) => Some(FileLock::take(file)?),
            None => None,
        };
        let metrics_registry = MetricsRegistry::new();
        let metrics = Metrics::new(&metrics_registry)?;
        let options =
            DbOptions { slow_statements: Some(metrics.slow_statements.clone()), ..config.database.options() };
        let db = Db::open(&config.database.url, &options)
            .await
            .with_context(|| format!("opening the database {:?}", config.database.url))?;
        schema::migrate(&db).await.context("migrating the database")?;

        let ring = config.redis.ring(&db, metrics.clone()).context("setting up Redis (redis.url)")?;
        let tasks = Tasks::new(db.clone(), ring, clock.clone());
        if db.engine() == Engine::Sqlite {
            // The lock says that nobody else is there: what a process before us held is free at once.
            tasks.expire_all_leases().await?;
        }
        let store = config
            .media
            .open_store()
            .await
            .with_context(|| format!("opening the media folder {}", config.media.dir.display()))?;
        let left_over =
            store.sweep_temp(LEFT_OVER, clock.now()).await.context("sweeping the media folder")?;
        if left_over > 0 {
            tracing::info!(files = left_over, "removed what cut-off downloads left");
        }
        let provider = config.openphone.provider(&db, &metrics_registry)?;
        let secrets = config.secrets.vault(&db)?;
        let configured = config.openphone.api_key.clone();
        let api_keys = ApiKeys::open(configured, secrets.clone(), provider.api_key(), clock.clone())
            .await
            .context("reading the API key")?;
        let fetcher =
            Fetcher::new(config.media.fetch_config(&provider.api_key())).context("setting up downloads")?;
        let upkeep = Upkeep {
            tasks: tasks.clone(),
            store: store.clone(),
            retention: config.retention.retention(),
            metrics: UpkeepMetrics::new(&metrics_registry)?,
        };
        let access = Access::new(
            Keys::open(db.clone(), clock.clone()),
            config.admin.access_settings(),
            AccessMetrics::new(&metrics_registry)?,
        );
        let subscriptions = SubscriptionServices {
            expected: config.webhooks.expected(),
            configured: config.openphone.webhook_secrets.clone(),
        };
        let contacts = config.contacts.services().context("reading the words of opt-outs (contacts)")?;
        let media = MediaServices {
            fetcher,
            store,
            rules: config.media.rules(),
            scanner: config.media.scanner(),
            thumbnails: Thumbnails::default(),
            metrics: MediaMetrics::new(&metrics_registry)?,
        };
        let forward = ForwardServices {
            forwarder: Forwarder::new(config.forward.settings()).context("setting up forwarding")?,
            metrics: ForwardMetrics::new(&metrics_registry)?,
        };
        let campaigns = CampaignServices {
            holidays: config.campaigns.holidays()?,
            breaker: config.campaigns.breaker.settings(),
            metrics: CampaignMetrics::new(&metrics_registry)?,
        };
        let services = Arc::new(Services {
            db: db.clone(),
            contacts,
            media,
            provider,
            forward,
            secrets,
            subscriptions,
            campaigns,
            upkeep,
            zone: config.business.timezone,
        });
        Ok(Self {
            config,
            clock,
            db,
            tasks,
            jobs,
            schedules,
            services,
            api_keys: Arc::new(api_keys),
            access,
            metrics_registry,
            metrics,
            seed: random_seed(),
            _lock: lock,
        })
    }

    pub fn db(&self) -> &Db {
        &self.db
    }

    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Runs jobs on the caller's own time, in place of workers: for clocks that are moved by hand.
    pub fn by_hand(&self) -> Kit<Services> {
        let (jobs, services) = (Arc::clone(&self.jobs), Arc::clone(&self.services));
        Kit::new(self.tasks.clone(), jobs, services, self.metrics.clone())
    }

    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Starts the parts the roles ask for. `queues` names the workers' queues; all of them when absent.
    ///
    /// # Errors
    /// When a queue is not known or the address cannot be listened on.
    pub async fn start(self, roles: &Roles, queues: Option<&[String]>) -> Result<Running> {
        let queues = self.queues(queues)?;
        let listener = tokio::net::TcpListener::bind(self.config.http.listen).await.with_context(|| {
            format!("listening on {}; set TRUNKLINE_HTTP_LISTEN to another address", self.config.http.listen)
        })?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();

        let (webhooks, committer, keyring) = if roles.has(Role::Receiver) {
            let (endpoint, committer, keyring) = self.start_receiver().await?;
            (Some(endpoint), Some(committer), Some(keyring))
        } else {
            (None, None, None)
        };
        let scrape = queue_metrics::Scrape::new(
            self.metrics_registry.clone(),
            self.tasks.clone(),
            self.services.secrets.clone(),
            Arc::clone(&self.jobs),
        )?;
        if roles.has(Role::Scheduler) {
            let metrics = ScheduleMetrics::new(&self.metrics_registry)?;
            let scheduler =
                Scheduler::start(self.tasks.clone(), Arc::clone(&self.schedules), metrics.clone()).await?;
            tokio::spawn(roles::fire_schedules(
                scheduler,
                (self.tasks.clone(), Arc::clone(&self.schedules), metrics),
                stop.clone(),
            ));
            tokio::spawn(roles::look_after_leases(
                self.tasks.clone(),
                self.config.workers.lease,
                self.metrics.clone(),
                stop.clone(),
            ));
        }
        // The last that can fail: what goes wrong before it leaves no task in hand.
        let workers = if roles.has(Role::Worker) { Some(self.start_workers(&queues).await?) } else { None };
        if let Some(keyring) = &keyring {
            tokio::spawn(Arc::clone(keyring).keep(stop.clone()));
        }
        tokio::spawn(Arc::clone(&self.api_keys).keep(stop.clone()));
        let probes = Probes {
            db: self.db.clone(),
            ring: self.tasks.ring().clone(),
            store: self.services.media.store.clone(),
            scanner: self.services.media.scanner.clone(),
            workers: workers.as_ref().map(Workers::readiness),
            clock: self.clock.clone(),
        };
        let (pages, notes) = if roles.has(Role::Admin) {
            let notes = tokio::spawn(self.access.clone().keep_notes(stop.clone()));
            (Some(self.admin(&probes, &stop)), Some(notes))
        } else {
            (None, None)
        };
        let server = tokio::spawn(http::serve(
            listener,
            http::routes(webhooks, pages, probes, scrape),
            stop.clone(),
            self.config.workers.grace,
        ));
        tracing::info!(%address, roles = %roles, database = ?self.config.database.url, "started");
        Ok(Running {
            address,
            server,
            committer,
            keyring,
            api_keys: self.api_keys,
            workers,
            notes,
            stop,
            db: self.db,
            grace: self.config.workers.grace,
            _lock: self._lock,
        })
    }

    /// What answers operators: the pages, and the API under them.
    fn admin(&self, probes: &Probes, stop: &CancellationToken) -> poem::Route {
        let sources = Sources::new(self.config.receiver.trusted_proxies.clone());
        let gate = Gate { access: self.access.clone(), sources };
        let jobs = Arc::clone(&self.jobs) as Arc<dyn Jobs>;
        let replays = Replays::new(self.tasks.clone(), stop.child_token());
        let campaigns = self.campaign_rules();
        let desk = Desk {
            tasks: self.tasks.clone(),
            jobs: Arc::clone(&jobs),
            replays: replays.clone(),
            schedules: Arc::clone(&self.schedules),
            store: self.services.media.store.clone(),
            gate: gate.clone(),
            listeners: Listeners::default(),
            campaigns: Arc::clone(&campaigns),
            country: self.config.contacts.country,
            forwarder: self.services.forward.forwarder.clone(),
            followers: Followers::new(stop.child_token()),
            zone: self.config.business.timezone,
        };
        let api = admin::routes(&desk, CorrelationIds::of_requests(random_seed()));
        let pages = Pages {
            gate,
            tasks: self.tasks.clone(),
            jobs,
            probes: probes.clone(),
            replays,
            schedules: Arc::clone(&self.schedules),
            secrets: self.services.secrets.clone(),
            campaigns,
            lines: Lines::new(self.services.provider.clone(), self.clock.clone()),
            country: self.config.contacts.country,
            zone: self.config.business.timezone,
            scans: self.services.media.scanner.is_some(),
            settings: self.config.origins().into(),
            viewers: Viewers::new(Pace::of(self.config.admin.live), stop.child_token()),
        };
        dashboard::routes(pages).nest("/api/v1", api)
    }

    fn campaign_rules(&self) -> Arc<CampaignRules> {
        let campaigns = &self.config.campaigns;
        Arc::new(CampaignRules::new(
            self.services.campaigns.holidays.clone(),
            campaigns.segment_price.clone(),
            campaigns.counts_for_hours(),
            self.services.provider.clone(),
        ))
    }

    fn queues(&self, names: Option<&[String]>) -> Result<Vec<Queue>> {
        let known = self.jobs.queues();
        let Some(names) = names else { return Ok(known.into_iter().collect()) };
        names
            .iter()
            .map(|name| {
                known.iter().copied().find(|queue| queue.name() == name).with_context(|| {
                    let known: Vec<&str> = known.iter().map(|queue| queue.name()).collect();
                    format!("there is no queue {name:?}; the queues are {}", known.join(", "))
                })
            })
            .collect()
    }

    async fn start_workers(&self, queues: &[Queue]) -> Result<Workers> {
        if queues.is_empty() {
            bail!("the worker role needs at least one queue");
        }
        Workers::start(
            self.tasks.clone(),
            Arc::clone(&self.jobs),
            Arc::clone(&self.services),
            queues,
            self.config.workers.worker_config(self.seed),
            self.metrics.clone(),
        )
        .await
        .context("starting the workers")
    }

    async fn start_receiver(&self) -> Result<(WebhookEndpoint, Committer, Arc<Keyring>)> {
        self.config.ready_to_receive()?;
        let (receiver, configured) = (&self.config.receiver, &self.config.openphone.webhook_secrets);
        let keyring = Keyring::open(configured, self.services.secrets.clone(), self.clock.clone());
        let keyring = Arc::new(keyring.await.context("reading the webhook secrets")?);
        let settings = ReceiverSettings {
            keyring: Arc::clone(&keyring),
            tolerance: self.config.openphone.tolerance(),
            max_body: usize::try_from(receiver.max_body)?,
            queue: receiver.queue.get(),
            batch: receiver.batch.get(),
            rate_per_second: receiver.rate_per_second.get(),
            rate_burst: receiver.rate_burst.get(),
            trusted_proxies: receiver.trusted_proxies.clone(),
            ..ReceiverSettings::default()
        };
        let metrics = ReceiverMetrics::new(&self.metrics_registry)?;
        let ids = CorrelationIds::of_webhooks(random_seed());
        let (endpoint, committer) =
            receiver::start(settings, self.tasks.clone(), self.clock.clone(), ids, metrics);
        Ok((endpoint, committer, keyring))
    }
}

impl Running {
    /// Where it listens, with the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn readiness(&self) -> Option<Readiness> {
        self.workers.as_ref().map(Workers::readiness)
    }

    /// Waits until the server ends, which it does only after a stop or by mishap.
    pub async fn ended(&mut self) -> Result<()> {
        (&mut self.server).await?.context("the HTTP server failed")
    }

    /// Stops: takes no more requests and no more tasks, finishes what is under way, and closes the database.
    pub async fn stop(self) -> Result<()> {
        let Self { mut server, committer, keyring, api_keys, workers, notes, stop, db, grace, .. } = self;
        stop.cancel();
        let limit = grace + Duration::from_secs(1);
        let receiving = async {
            if !server.is_finished() && timeout(limit, &mut server).await.is_err() {
                server.abort();
            }
            if let Some(committer) = committer {
                committer.finish(limit).await;
            }
        };
        let working = async {
            if let Some(workers) = workers {
                workers.stop().await;
            }
        };
        tokio::join!(receiving, working);
        if let Some(notes) = notes {
            let _ = timeout(CLOSING, notes).await;
        }
        if let Some(keyring) = keyring
            && !matches!(timeout(CLOSING, keyring.write_down()).await, Ok(Ok(())))
        {
            tracing::warn!("what came under the webhook secrets at the end could not be written down");
        }
        if !matches!(timeout(CLOSING, api_keys.write_down()).await, Ok(Ok(()))) {
            tracing::warn!("what was answered under the API key at the end could not be written down");
        }
        let _ = timeout(CLOSING, db.close()).await;
        Ok(())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that draws the seeds everything else is made from"
)]
fn random_seed() -> u64 {
    rand::rng().next_u64()
}
