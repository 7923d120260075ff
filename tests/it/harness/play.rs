//! A job that does what its payload says, and a book of what was done.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::anyhow;
use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, Semaphore};
use trunkline_platform::job::{Context, Done, Failure, Job, Queue, Registry, Retry};
use trunkline_platform::task::{NewTask, TaskId};

/// What the job does this time.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Act {
    #[default]
    Succeed,
    /// Fails this many times, then succeeds.
    FailTimes(u32),
    FailForGood,
    /// Fails for good until the test repairs the far end.
    FailWhileBroken,
    Panic,
    SnoozeOnce,
    Discard,
    /// Waits until the test lets it go on.
    WaitForGate,
    /// Says that it is half-way, then waits until it is told to stop, and fails.
    WaitForStop,
    /// Succeeds and enqueues two more.
    Spawn,
    /// Succeeds and wants to enqueue what PostgreSQL cannot hold.
    SpawnUnholdable,
}

/// The test job.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Play {
    pub(crate) act: Act,
    #[serde(default)]
    pub(crate) key: Option<String>,
}

/// What the test jobs did.
pub(crate) struct Acts {
    runs: Mutex<Vec<(TaskId, u32)>>,
    live: Mutex<HashMap<TaskId, u32>>,
    /// Tasks that were seen running in two places at once.
    pub(crate) overlaps: Mutex<Vec<TaskId>>,
    pub(crate) gate: Semaphore,
    pub(crate) broken: AtomicBool,
    pub(crate) started: Notify,
}

impl Acts {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            runs: Mutex::default(),
            live: Mutex::default(),
            overlaps: Mutex::default(),
            gate: Semaphore::new(0),
            broken: AtomicBool::new(true),
            started: Notify::new(),
        })
    }

    /// Every run begun, as task and try.
    pub(crate) fn runs(&self) -> Vec<(TaskId, u32)> {
        self.runs.lock().unwrap().clone()
    }

    fn begin(&self, id: TaskId, attempt: u32) {
        self.runs.lock().unwrap().push((id, attempt));
        let mut live = self.live.lock().unwrap();
        let count = live.entry(id).or_default();
        *count += 1;
        if *count > 1 {
            self.overlaps.lock().unwrap().push(id);
        }
        self.started.notify_waiters();
    }

    fn end(&self, id: TaskId) {
        if let Some(count) = self.live.lock().unwrap().get_mut(&id) {
            *count -= 1;
        }
    }
}

/// Ends the run in the book however the job's future ends.
struct Entry<'a>(&'a Acts, TaskId);

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.0.end(self.1);
    }
}

impl Job for Play {
    type Services = Acts;
    const NAME: &'static str = "test.play";
    const QUEUE: Queue = Queue::new("test");
    const RETRY: Retry = Retry::exponential(Duration::from_secs(10), Duration::from_secs(60)).attempts(3);

    fn unique_key(&self) -> Option<String> {
        self.key.clone()
    }

    async fn run(&self, cx: &Context<Acts>) -> Result<Done, Failure> {
        let (acts, task) = (cx.services(), cx.task());
        acts.begin(task.id, task.attempt);
        let _entry = Entry(acts, task.id);
        match self.act {
            Act::Succeed => {}
            Act::FailTimes(times) if task.attempt <= times => {
                return Err(anyhow!("the far end is down").context("calling out").into());
            }
            Act::FailTimes(_) => {}
            Act::FailForGood => return Err(Failure::permanent(anyhow!("no such number"))),
            Act::FailWhileBroken if acts.broken.load(Ordering::Relaxed) => {
                let error = anyhow!("the far end refused request {}", task.id);
                return Err(Failure::permanent(error));
            }
            Act::FailWhileBroken => {}
            Act::Panic => panic!("the job lost its footing"),
            Act::SnoozeOnce if acts.runs().len() == 1 => {
                return Err(Failure::snooze_until(cx.now() + TimeDelta::hours(1), "not yet"));
            }
            Act::SnoozeOnce => {}
            Act::Discard => return Err(Failure::discard("no longer wanted")),
            Act::WaitForGate => acts.gate.acquire().await?.forget(),
            Act::WaitForStop => {
                cx.progress(1, Some(2), Some("half-way".to_owned()));
                cx.cancelled().cancelled().await;
                return Err(anyhow!("told to stop").into());
            }
            Act::Spawn => {
                let next = cx.follow_up(&Play::default())?;
                return Ok(Done::new().then(next.clone()).then(next));
            }
            Act::SpawnUnholdable => {
                let next = cx.follow_up(&Play::default())?;
                return Ok(Done::new().then(NewTask { payload: "\0".to_owned(), ..next }));
            }
        }
        Ok(Done::new())
    }
}

/// Never ends.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Hang {}

impl Job for Hang {
    type Services = Acts;
    const NAME: &'static str = "test.hang";
    const QUEUE: Queue = Play::QUEUE;
    const TIMEOUT: Duration = Duration::from_millis(50);

    async fn run(&self, _: &Context<Acts>) -> Result<Done, Failure> {
        std::future::pending().await
    }
}

/// Makes a line and a rate of its payload.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Keyed {
    pub(crate) fail: bool,
    pub(crate) line: String,
    pub(crate) account: String,
}

impl Job for Keyed {
    type Services = Acts;
    const NAME: &'static str = "test.keyed";
    const QUEUE: Queue = Play::QUEUE;

    fn ordering_key(&self) -> Option<String> {
        Some(self.line.clone())
    }

    fn rate_key(&self) -> Option<String> {
        Some(self.account.clone())
    }

    async fn run(&self, _: &Context<Acts>) -> Result<Done, Failure> {
        if self.fail { Err(Failure::permanent(anyhow!("no such account"))) } else { Ok(Done::new()) }
    }
}

pub(crate) fn registry() -> Arc<Registry<Acts>> {
    let registry = Registry::new().register::<Play>().and_then(Registry::register::<Hang>);
    Arc::new(registry.and_then(Registry::register::<Keyed>).unwrap())
}
