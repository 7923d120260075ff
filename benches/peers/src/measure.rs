//! What is measured, the same for everyone.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::sync::mpsc;

/// With the JSON around it, 300 bytes.
const PADDING: usize = 286;
const BATCH: usize = 1_000;
const CALLERS: usize = 16;
const SINGLES: usize = 20_000;
const PICK_UPS: usize = 300;
/// The worker is idle again by then.
const BETWEEN: Duration = Duration::from_millis(10);
/// The jobs of one worker at a time, and what it may fetch ahead, where that can be said.
pub(crate) const CONCURRENCY: usize = 200;
const PATIENCE: Duration = Duration::from_secs(180);

/// A job system with its tables made, ready to be given work.
pub(crate) trait Peer: Clone + Send + Sync + 'static {
    /// Enqueues so many no-op jobs at once.
    fn enqueue(&self, jobs: usize) -> impl Future<Output = Result<()>> + Send;
    /// Enqueues one, the way a caller with one job does.
    fn enqueue_one(&self) -> impl Future<Output = Result<()>> + Send;
    /// Starts a worker that runs until the process ends. Its jobs call [`ran`].
    fn work(&self) -> impl Future<Output = Result<()>> + Send;
    /// How many jobs are not durably completed.
    fn unfinished(&self) -> impl Future<Output = Result<i64>> + Send;
}

static RAN: AtomicU64 = AtomicU64::new(0);
static STARTS: Mutex<Option<mpsc::Sender<Instant>>> = Mutex::new(None);

/// The no-op job.
pub(crate) fn ran() {
    RAN.fetch_add(1, Ordering::Relaxed);
    // Contended by nobody: workers here start one job after the other while single jobs are measured.
    if let Ok(Some(starts)) = STARTS.try_lock().as_deref() {
        let _ = starts.try_send(Instant::now());
    }
}

pub(crate) fn padding() -> String {
    "x".repeat(PADDING)
}

pub(crate) async fn measure(peer: impl Peer, jobs: usize) -> Result<()> {
    let begun = Instant::now();
    for first in (0..jobs).step_by(BATCH) {
        peer.enqueue(BATCH.min(jobs - first)).await?;
    }
    println!("enqueue {:.0}", jobs as f64 / begun.elapsed().as_secs_f64());

    let begun = Instant::now();
    peer.work().await?;
    done(&peer, jobs as u64, begun).await?;
    println!("work {:.0}", jobs as f64 / begun.elapsed().as_secs_f64());

    let (sender, mut starts) = mpsc::channel(1_024);
    *STARTS.lock().expect("nobody panics with it") = Some(sender);
    let mut waits = Vec::new();
    for _ in 0..PICK_UPS {
        peer.enqueue_one().await?;
        let committed = Instant::now();
        let start = tokio::time::timeout(PATIENCE, starts.recv()).await?.unwrap_or(committed);
        waits.push(start.saturating_duration_since(committed));
        // Not until it is durably completed: some complete the last job only when the next one comes.
        tokio::time::sleep(BETWEEN).await;
    }
    waits.sort_unstable();
    for (name, share) in [("pickup_p50_us", 0.5), ("pickup_p99_us", 0.99)] {
        let wait = waits[((waits.len() - 1) as f64 * share).round() as usize];
        println!("{name} {}", wait.as_micros());
    }
    Ok(())
}

/// One at a time from many callers, in a run of its own: nobody works meanwhile.
pub(crate) async fn measure_singles(peer: impl Peer) -> Result<()> {
    let begun = Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let peer = peer.clone();
            tokio::spawn(async move {
                for _ in 0..SINGLES / CALLERS {
                    peer.enqueue_one().await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for caller in callers {
        caller.await??;
    }
    println!("singles {:.0}", SINGLES as f64 / begun.elapsed().as_secs_f64());
    Ok(())
}

async fn done(peer: &impl Peer, jobs: u64, begun: Instant) -> Result<()> {
    while RAN.load(Ordering::Relaxed) < jobs || peer.unfinished().await? > 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
        ensure!(
            begun.elapsed() < PATIENCE,
            "not done after {PATIENCE:?}: {} of {jobs} ran, {} are unfinished",
            RAN.load(Ordering::Relaxed),
            peer.unfinished().await?
        );
    }
    Ok(())
}
