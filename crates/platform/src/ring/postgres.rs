//! The ring where PostgreSQL is all there is. Within a process it is the local ring; other processes are told by
//! `NOTIFY` to look at the table. One connection per process both listens and notifies.
//!
//! A `NOTIFY` takes a lock of the whole server at its commit. So there is never one per task nor in the
//! transaction that enqueues: after the commit the names of the queues are noted, and one `NOTIFY` carries all
//! that were noted since the last. Lost connections are made again, and then everyone looks once.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use thiserror::Error;
use tokio::sync::{Notify, watch};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::Bell;
use super::local::{Lane, LocalRing};
use crate::metrics::Metrics;

const CHANNEL: &str = "trunkline";
/// The least time between two `NOTIFY`s of a process: what others make of them is a claim each.
const GAP: Duration = Duration::from_millis(2);
/// PostgreSQL takes texts shorter than 8,000 bytes.
const MAX_TEXT: usize = 7_900;
const CALL_DEADLINE: Duration = Duration::from_secs(2);
/// A connection on which nothing was heard for so long is tried.
const SILENCE: Duration = Duration::from_secs(10);
/// How long the server is left alone after a failure.
const COOL_DOWN: Duration = Duration::from_millis(500);

/// Why the connection is given up.
#[derive(Debug, Error)]
enum Lost {
    #[error("the connection was closed")]
    Closed,
    #[error("PostgreSQL did not answer as it should")]
    Call(#[from] sqlx::Error),
    #[error("PostgreSQL did not answer in time")]
    Deadline(#[from] Elapsed),
}

#[derive(Debug)]
pub struct PostgresRing {
    shared: Arc<Shared>,
    _bellman: AbortOnDropHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The bells of this process.
    local: LocalRing,
    /// Queues of which the other processes have not been told yet.
    untold: Mutex<BTreeSet<String>>,
    rung: Notify,
    /// Queues of which the others have not been told, and those that are being told.
    unrung: watch::Sender<usize>,
    listens: AtomicBool,
}

impl PostgresRing {
    pub(super) fn new(connect: PgConnectOptions, metrics: Metrics) -> Self {
        // A lost bell is no loss: its commit need not reach the disk.
        let connect = connect.application_name("trunkline bell").options([("synchronous_commit", "off")]);
        let shared = Arc::new(Shared::default());
        let bellman = Bellman { connect, shared: Arc::clone(&shared), metrics };
        Self { shared, _bellman: AbortOnDropHandle::new(tokio::spawn(bellman.run())) }
    }

    pub(super) fn push(&self, bells: &[Bell]) {
        self.shared.local.push(bells);
        let mut untold = self.shared.untold();
        for bell in bells {
            if !untold.contains(&bell.queue) {
                untold.insert(bell.queue.clone());
            }
        }
        self.shared.unrung.send_replace(untold.len());
        drop(untold);
        self.shared.rung.notify_one();
    }

    /// How many queues the others have not been told of.
    pub(super) fn unrung(&self) -> watch::Receiver<usize> {
        self.shared.unrung.subscribe()
    }

    /// The ring of this process, into which it puts what it hears.
    pub(super) fn local(&self) -> &LocalRing {
        &self.shared.local
    }

    pub(super) fn lane(&self, queue: &str) -> Lane {
        self.shared.local.lane(queue)
    }

    pub(super) fn listens(&self) -> bool {
        self.shared.listens.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn untold(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there are queues to tell of and `not_before` has come. Cancelling it loses nothing.
    async fn to_tell(&self, not_before: Instant) -> BTreeSet<String> {
        loop {
            if !self.untold().is_empty() {
                sleep_until(not_before).await;
                return std::mem::take(&mut *self.untold());
            }
            self.rung.notified().await;
        }
    }
}

/// Keeps the connection: tells the others, and hears them.
struct Bellman {
    connect: PgConnectOptions,
    shared: Arc<Shared>,
    metrics: Metrics,
}

impl Bellman {
    async fn run(self) {
        let mut away = false;
        loop {
            let lost = match self.listen().await {
                Ok((listener, own)) => {
                    if std::mem::take(&mut away) {
                        tracing::info!("listening to PostgreSQL again");
                    }
                    self.shared.listens.store(true, Ordering::Relaxed);
                    // Whatever was said while nobody listened.
                    self.shared.local.look_everywhere();
                    let lost = self.serve(listener, own).await;
                    self.shared.listens.store(false, Ordering::Relaxed);
                    lost
                }
                Err(lost) => lost,
            };
            self.metrics.ring_errors.inc();
            if !std::mem::replace(&mut away, true) {
                tracing::warn!(
                    error = &lost as &dyn std::error::Error,
                    "not listening to PostgreSQL; tasks of other processes are found by looking at the table"
                );
            }
            sleep(COOL_DOWN).await;
        }
    }

    /// A listening connection and the number of its process on the server, by which it knows its own voice.
    async fn listen(&self) -> Result<(PgListener, i32), Lost> {
        let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(self.connect.clone());
        let mut listener = timeout(CALL_DEADLINE, PgListener::connect_with(&pool)).await??;
        listener.eager_reconnect(false);
        timeout(CALL_DEADLINE, listener.listen(CHANNEL)).await??;
        let own = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut listener);
        let own = timeout(CALL_DEADLINE, own).await??;
        Ok((listener, own))
    }

    /// Runs until the connection is lost.
    async fn serve(&self, mut listener: PgListener, own: i32) -> Lost {
        let mut not_before = Instant::now();
        loop {
            let step = tokio::select! {
                heard = timeout(SILENCE, listener.try_recv()) => match heard {
                    Ok(Ok(Some(said))) => {
                        if i64::from(said.process_id()) != i64::from(own) {
                            self.hear(said.payload());
                        }
                        Ok(())
                    }
                    Ok(Ok(None)) => Err(Lost::Closed),
                    Ok(Err(error)) => Err(error.into()),
                    Err(_) => call(sqlx::query("SELECT 1"), &mut listener).await,
                },
                queues = self.shared.to_tell(not_before) => {
                    not_before = Instant::now() + GAP;
                    let told = self.tell(&queues, &mut listener).await;
                    if told.is_err() {
                        // They are told when the connection is back.
                        self.shared.untold().extend(queues);
                    }
                    told
                }
            };
            if let Err(lost) = step {
                return lost;
            }
        }
    }

    async fn tell(&self, queues: &BTreeSet<String>, listener: &mut PgListener) -> Result<(), Lost> {
        let mut text = String::new();
        if queues.iter().map(|queue| queue.len() + 1).sum::<usize>() < MAX_TEXT {
            for queue in queues {
                text.push_str(queue);
                text.push(' ');
            }
        }
        call(sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(text), listener).await?;
        let untold = self.shared.untold();
        self.shared.unrung.send_replace(untold.len());
        Ok(())
    }

    /// The names of queues; none means any.
    fn hear(&self, said: &str) {
        let mut queues = said.split_ascii_whitespace().peekable();
        if queues.peek().is_some() {
            self.shared.local.look(queues);
        } else {
            self.shared.local.look_everywhere();
        }
    }
}

type Call<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

async fn call(query: Call<'_>, listener: &mut PgListener) -> Result<(), Lost> {
    timeout(CALL_DEADLINE, query.execute(listener)).await??;
    Ok(())
}
