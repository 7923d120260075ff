//! Claims tasks for one queue into a bounded channel: what the ring names, and at least once a second
//! whatever is due in the table.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::attempt::Claimed;
use super::hands::Hands;
use super::keeper::Lease;
use super::pool::Pulse;
use crate::db::DbError;
use crate::job::Queue;
use crate::metrics::Metrics;
use crate::ring::{Heard, Listener};
use crate::task::{Admitted, ClaimedRow, Finish, Lane, Tasks, WorkerId};

/// The most tasks of one claim, and of the channel between fetching and running.
pub(super) const MAX_WINDOW: usize = 1_000;
const CLAIM_BATCH: usize = 500;
/// While a limit of tasks at a time is used up, the table is looked at this often at first, and then less and less.
const FIRST_FULL_WAIT: Duration = Duration::from_millis(5);
const LAST_FULL_WAIT: Duration = Duration::from_millis(250);
/// A claim that was worked off faster than this makes the next one larger.
const FAST: Duration = Duration::from_millis(30);
/// A claim that took longer than this makes the next one smaller: other processes want work too.
const SLOW: Duration = Duration::from_millis(200);
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(2);

pub(super) struct Fetcher {
    pub(super) queue: Queue,
    pub(super) concurrency: usize,
    pub(super) poll_interval: Duration,
    pub(super) tasks: Tasks,
    pub(super) lease: Lease,
    pub(super) hands: Hands,
    pub(super) listener: Listener,
    pub(super) claimed: mpsc::Sender<Claimed>,
    pub(super) finishes: mpsc::Sender<Finish>,
    pub(super) metrics: Metrics,
    pub(super) pulse: Pulse,
    /// How the last claim found the queue.
    pub(super) limits: Limits,
}

/// Whether limits concern the queue, as far as this loop knows.
#[derive(Debug)]
pub(super) struct Limits {
    concerned: bool,
    full_wait: Duration,
    /// One for each job this pool runs at a time; taken only under limits.
    places: Arc<Semaphore>,
}

impl Limits {
    pub(super) fn unknown(concurrency: usize) -> Self {
        Self { concerned: false, full_wait: Duration::ZERO, places: Arc::new(Semaphore::new(concurrency)) }
    }
}

/// How many tasks may be claimed and not begun: few when jobs are slow, many when they are fast.
struct Window {
    size: usize,
    filled_at: Instant,
}

impl Fetcher {
    /// Runs until asked to stop or until nobody wants tasks any more.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let work = async {
            let mut window = Window::new(self.concurrency);
            let mut next_poll = Instant::now();
            let mut retry = FIRST_RETRY;
            while let Some(room) = self.room(&mut window).await {
                match self.fetch(room, &mut next_poll).await {
                    Ok(()) => retry = FIRST_RETRY,
                    Err(error) => {
                        tracing::warn!(
                            queue = self.queue.name(),
                            error = &error as &dyn std::error::Error,
                            "tasks could not be claimed; trying again"
                        );
                        sleep(retry).await;
                        retry = (retry * 2).min(LAST_RETRY);
                    }
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
    }

    /// Waits until there is room for at least one task; `None` when the workers are gone.
    async fn room(&self, window: &mut Window) -> Option<usize> {
        if self.limits.concerned {
            return self.free_places().await.map(|free| free.min(CLAIM_BATCH));
        }
        let waiting = MAX_WINDOW - self.claimed.capacity();
        if waiting < window.size {
            return Some(window.room(waiting));
        }
        // Half of it must be worked off before the next claim, so that claims stay large.
        let free = MAX_WINDOW - window.size / 2;
        loop {
            tokio::select! {
                room = self.claimed.reserve_many(free) => {
                    drop(room.ok()?);
                    break;
                }
                // More work than can be begun is a sign of life.
                () = sleep(self.poll_interval) => self.pulse.beat(self.tasks.clock().now()),
            }
        }
        Some(window.room(MAX_WINDOW - self.claimed.capacity()))
    }

    /// Under a limit a task is claimed only for a place in which it can run at once: whoever is claimed counts as
    /// running in every process.
    async fn free_places(&self) -> Option<usize> {
        loop {
            if self.claimed.is_closed() {
                return None;
            }
            tokio::select! {
                place = self.limits.places.acquire() => {
                    drop(place.ok()?);
                    return Some(self.limits.places.available_permits().max(1));
                }
                () = sleep(self.poll_interval) => self.pulse.beat(self.tasks.clock().now()),
            }
        }
    }

    async fn fetch(&mut self, room: usize, next_poll: &mut Instant) -> Result<(), DbError> {
        let until_poll = next_poll.saturating_duration_since(Instant::now());
        if until_poll.is_zero() {
            let wait = self.claim(Claim::Due(room)).await?;
            self.pulse.beat(self.tasks.clock().now());
            *next_poll = Instant::now() + wait;
            return Ok(());
        }
        match self.listener.pop(room, until_poll).await {
            Heard::Tasks(ids) if ids.is_empty() => {}
            Heard::Tasks(ids) => {
                let wait = self.claim(Claim::Ids(ids)).await?;
                *next_poll = (Instant::now() + wait).min(*next_poll);
            }
            Heard::Look => *next_poll = Instant::now(),
        }
        Ok(())
    }

    /// Takes rows from the table; says when to look there again.
    async fn rows(
        &mut self,
        worker: &WorkerId,
        claim: Claim,
    ) -> Result<(Vec<ClaimedRow>, Duration), DbError> {
        let (room, looked) = match &claim {
            Claim::Due(limit) => (*limit, true),
            Claim::Ids(ids) => (ids.len(), false),
        };
        if !self.limits.concerned {
            let rows = match claim {
                Claim::Due(limit) => self.tasks.claim_unlimited(worker, self.queue, limit).await?,
                Claim::Ids(ids) => self.tasks.claim(worker, self.queue, ids).await?,
            };
            if !rows.is_empty() {
                // A full claim of whatever is due means that there is more: look again at once.
                let wait = if looked && rows.len() >= room { Duration::ZERO } else { self.poll_interval };
                return Ok((rows, wait));
            }
        }
        let free = room.min(self.limits.places.available_permits());
        let admitted = self.tasks.claim_admitted(worker, self.queue, Lane::Ordinary, free).await?;
        self.limits.concerned = !admitted.unlimited;
        let wait = self.wait_for(&admitted, free);
        Ok((admitted.rows, wait))
    }

    fn wait_for(&mut self, admitted: &Admitted, room: usize) -> Duration {
        if !admitted.rows.is_empty() {
            self.limits.full_wait = FIRST_FULL_WAIT;
            if admitted.rows.len() >= room {
                return Duration::ZERO;
            }
        }
        let mut wait = self.poll_interval;
        if let Some(time) = admitted.again_at {
            wait = wait.min((time - self.tasks.clock().now()).to_std().unwrap_or_default());
        }
        if admitted.full {
            let full_wait = self.limits.full_wait.max(FIRST_FULL_WAIT);
            self.limits.full_wait = (full_wait * 2).min(LAST_FULL_WAIT);
            wait = wait.min(full_wait);
        }
        wait
    }

    /// Claims and hands over; says when to look at the table again.
    async fn claim(&mut self, claim: Claim) -> Result<Duration, DbError> {
        let hands = self.hands.clone();
        let claiming = hands.claiming().await;
        let worker = self.lease.worker();
        let (rows, wait) = self.rows(&worker, claim).await?;
        let now = self.tasks.clock().now();
        let claimed: Vec<Claimed> = rows
            .into_iter()
            .map(|row| {
                let wire = self.hands.take(&row);
                let claimed = Claimed::new(row, worker.clone(), wire, now, self.finishes.clone());
                match Arc::clone(&self.limits.places).try_acquire_owned() {
                    Ok(place) if self.limits.concerned => claimed.in_place(place),
                    _ => claimed,
                }
            })
            .collect();
        claiming.clear();
        let count = claimed.len();
        if count > 0 {
            self.metrics.claim_size.observe(count as f64);
        }
        for claimed in claimed {
            if self.claimed.send(claimed).await.is_err() {
                break;
            }
        }
        Ok(wait)
    }
}

enum Claim {
    Due(usize),
    Ids(Vec<i64>),
}

impl Window {
    fn new(concurrency: usize) -> Self {
        Self { size: concurrency.clamp(1, MAX_WINDOW), filled_at: Instant::now() }
    }

    /// How many to claim while `waiting` are not begun: at least one, and what the last claim's speed allows.
    fn room(&mut self, waiting: usize) -> usize {
        let took = self.filled_at.elapsed();
        self.filled_at = Instant::now();
        self.adapt(waiting, took);
        self.size.saturating_sub(waiting).clamp(1, CLAIM_BATCH)
    }

    fn adapt(&mut self, waiting: usize, took: Duration) {
        if waiting <= self.size / 2 && took < FAST {
            self.size = (self.size * 2).min(MAX_WINDOW);
        } else if took > SLOW {
            self.size = (self.size / 2).max(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn there_is_always_room_for_one_and_never_for_more_than_a_batch(
            concurrency in 0usize..2_000,
            claims in prop::collection::vec((0usize..1_000, 0u64..400), 1..60),
        ) {
            let mut window = Window::new(concurrency);
            for (waiting, took) in claims {
                window.adapt(waiting, Duration::from_millis(took));
                prop_assert!((1..=MAX_WINDOW).contains(&window.size));
                prop_assert!((1..=CLAIM_BATCH).contains(&window.room(waiting)));
            }
        }
    }
}
