//! The state that the parts of a simulator share.

use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use secrecy::SecretString;
use tokio::sync::{Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use url::Url;

use super::{
    AcceptedMessage, Clock, Faults, Manners, SimulatorConfig, SimulatorError, Tally,
    book::Book,
    deliveries::Deliveries,
    journal::{Entry, Journal},
    lock,
    store::{self, Store},
    subscriptions::Subscriptions,
};
use crate::{
    event::{Direction, Generation},
    factory::{Factory, Line, Text},
};

/// How many deliveries may be under way, those waiting for their next attempt included.
const MOST_PENDING: usize = 10_000;
/// How many posts are made at once.
const MOST_POSTS: usize = 64;

pub(super) struct Provider {
    pub clock: Clock,
    /// Those that open the API.
    pub api_keys: Mutex<Vec<SecretString>>,
    pub generations: Vec<Generation>,
    pub faults: Faults,
    pub(super) calls_per_second: u32,
    pub(super) limits_by_clock: bool,
    pub manners: Manners,
    /// What people do follows from this; the same after a restart.
    pub seed_of_people: u64,
    pub retry_scale: f64,
    /// Mixed into everything that is drawn; different after every restart, so that no id comes back.
    pub seed: u64,
    pub http: reqwest::Client,
    pub url: Url,

    pub target: watch::Sender<Option<Url>>,
    pub subscriptions: Mutex<Subscriptions>,
    pub book: Mutex<Book>,
    pub deliveries: Mutex<Deliveries>,
    pub store: Mutex<Store>,
    pub factory: Mutex<Factory>,
    /// Draws what goes wrong with the API.
    pub luck: Mutex<StdRng>,
    /// Draws everything else; apart from luck, so that neither disturbs the other.
    pub whims: Mutex<StdRng>,
    pub journal: Journal,

    pub pending: Arc<Semaphore>,
    pub posts: Semaphore,
    /// How many deliveries, scripts and streams have not come to their end.
    pub unfinished: watch::Sender<u64>,
    pub stopping: CancellationToken,
    pub tasks: TaskTracker,
}

impl Provider {
    pub(super) async fn new(
        config: &SimulatorConfig,
        url: Url,
        tasks: &TaskTracker,
    ) -> Result<Self, SimulatorError> {
        let mut book = Book::default();
        let mut store = Store::default();
        let mut runs = 0u64;
        let people = Factory::new(0);
        let journal = Journal::open(config.journal.as_deref(), |entry| match entry {
            Entry::Started => runs += 1,
            Entry::Acknowledged(delivery) => book.restore(&delivery),
            Entry::Accepted(message) => store.accept(restored(&people, message)),
            Entry::Settled { id, status, error_code } => {
                store.advance(&id, |text| store::settle(text, status, error_code));
            }
        })
        .await
        .map_err(|source| SimulatorError::Journal {
            path: config.journal.clone().unwrap_or_default(),
            source,
        })?;
        journal.write(Entry::Started).await;

        let seed = config.seed.wrapping_add(runs.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let media_base = url.join("media/").map_err(|_| SimulatorError::PublicUrl)?;
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(std::time::Duration::from_secs(10))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .build()
            .map_err(SimulatorError::Http)?;
        let subscriptions = Subscriptions::new(
            &config.standard_secret,
            &config.legacy_secret,
            config.rotation_overlap,
            seed,
            (config.clock)(),
        )?;
        Ok(Self {
            clock: Arc::clone(&config.clock),
            api_keys: Mutex::new(vec![config.api_key.clone()]),
            generations: config.generations.clone(),
            faults: config.faults,
            calls_per_second: config.calls_per_second,
            limits_by_clock: config.limits_by_clock,
            manners: config.manners.clone(),
            seed_of_people: config.seed,
            retry_scale: config.retry_scale,
            seed,
            http,
            url,
            target: watch::Sender::new(config.target.clone()),
            subscriptions: Mutex::new(subscriptions),
            book: Mutex::new(book),
            deliveries: Mutex::default(),
            store: Mutex::new(store),
            factory: Mutex::new(Factory::new(seed).with_media_base(media_base)),
            luck: Mutex::new(StdRng::seed_from_u64(!seed)),
            whims: Mutex::new(StdRng::seed_from_u64(seed.rotate_left(32))),
            journal,
            pending: Arc::new(Semaphore::new(MOST_PENDING)),
            posts: Semaphore::new(MOST_POSTS),
            unfinished: watch::Sender::new(0),
            stopping: CancellationToken::new(),
            tasks: tasks.clone(),
        })
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        (self.clock)()
    }

    /// Whether this time something goes wrong with the API.
    pub(super) fn strikes(&self, rate: f64) -> bool {
        Faults::strikes(&mut lock(&self.luck), rate)
    }

    pub(super) fn any_generation(&self) -> Generation {
        self.generations[lock(&self.whims).random_range(0..self.generations.len())]
    }

    /// Marks that something has begun; its end is when the mark is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Unfinished {
        self.unfinished.send_modify(|count| *count += 1);
        Unfinished(Arc::clone(self))
    }

    pub(super) fn tally(&self) -> Tally {
        Tally {
            messages_accepted: lock(&self.store).accepted_count(),
            deliveries_pending: (MOST_PENDING - self.pending.available_permits()) as u64,
            ..lock(&self.book).tally()
        }
    }
}

/// Something that has not come to its end.
pub(super) struct Unfinished(Arc<Provider>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.0.unfinished.send_modify(|count| *count -= 1);
    }
}

/// A text accepted by an earlier run.
fn restored(people: &Factory, message: AcceptedMessage) -> Text {
    let lines = &people.world().lines;
    let line: &Line = lines.iter().find(|line| line.number == message.from).unwrap_or(&lines[0]);
    let other = message.to.first().map_or("", String::as_str);
    Text {
        id: message.id,
        direction: Direction::Outgoing,
        from: message.from,
        text: message.content,
        media: Vec::new(),
        status: message.status,
        error_code: message.error_code,
        created_at: message.accepted_at,
        updated_at: message.accepted_at,
        place: people.world().place_of(line, other),
        to: message.to,
    }
}
