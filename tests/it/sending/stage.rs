//! The real program, its provider, and the time that both go by, for one seed.
//!
//! Time goes on by itself and leaps when there is nothing to do before: the program is stopped in its tracks, looked at
//! once more, and goes on hours later. So no text is ever between its gate and the provider while time leaps.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rand::RngExt;
use rand::rngs::StdRng;
use trunkline_jobs::campaigns::{self, Move, Plan, State, add_recipients, create, make_move};
use trunkline_jobs::sends::SweepSends;
use trunkline_openphone::event::Generation;
use trunkline_openphone::factory::Factory;
use trunkline_openphone::simulator::{Simulator, SimulatorHandle};
use trunkline_platform::clock::Clock;
use trunkline_platform::task::{NewTask, TaskFilter, TaskRow, TaskState, Tasks};

use crate::campaigns::ana;
use crate::harness::{Env, Program, end_leases, provider};

/// A task that is due so soon keeps time from leaping.
const SOON: TimeDelta = TimeDelta::seconds(1);
/// Nobody waits for less than this at a time, and while nothing is sent for more and more.
const FIRST_STRIDE: TimeDelta = TimeDelta::seconds(60);
const LAST_STRIDE: TimeDelta = TimeDelta::minutes(20);

/// What the program's and the provider's clocks show.
#[derive(Clone)]
struct Time {
    ahead: Arc<AtomicI64>,
    file: PathBuf,
}

impl Time {
    fn from(start: DateTime<Utc>, file: PathBuf) -> Self {
        let time = Self { ahead: Arc::default(), file };
        time.leap(start - time.now());
        time
    }

    fn now(&self) -> DateTime<Utc> {
        Clock::system().now() + TimeDelta::microseconds(self.ahead.load(Ordering::SeqCst))
    }

    fn leap(&self, by: TimeDelta) {
        let by = by.num_microseconds().unwrap();
        let ahead = self.ahead.fetch_add(by, Ordering::SeqCst) + by;
        let new = self.file.with_extension("new");
        std::fs::write(&new, ahead.to_string()).unwrap();
        std::fs::rename(new, &self.file).unwrap();
    }
}

pub(super) struct Stage {
    pub(super) env: Env,
    pub(super) simulator: Arc<SimulatorHandle>,
    pub(super) campaigns: Vec<i64>,
    /// What happened, for who has to find out why a seed failed.
    pub(super) story: Vec<String>,
    program: Program,
    time: Time,
    /// How far time leaps at least, and how many texts had been accepted when it last did.
    stride: (TimeDelta, usize),
    emitting: Vec<tokio::task::JoinHandle<()>>,
}

impl Stage {
    pub(super) async fn new(env: Env, start: DateTime<Utc>, faults: &str, people: &str, seed: u64) -> Self {
        let time = Time::from(start, env.folder().join("clock"));
        let clock = time.clone();
        let mut config = provider();
        config.clock = Arc::new(move || clock.now());
        config.calls_per_second = 1_000_000;
        config.seed = seed;
        // Whoever waits for a retry keeps time from leaping.
        config.retry_scale = 0.000_1;
        config.faults = faults.parse().unwrap();
        config.manners = people.parse().unwrap();
        let program = Program::new(&env, &["serve"]);
        config.target = Some(program.url("/webhooks/openphone").parse().unwrap());
        let simulator = Arc::new(Simulator::start(config).await.unwrap());
        let program = program
            .set("CLOCK_AHEAD", time.file.display().to_string())
            .set("TRUNKLINE_OPENPHONE_API_URL", simulator.url().as_str())
            .set("TRUNKLINE_OPENPHONE_API_KEY", "simulated-api-key")
            .set("TRUNKLINE_OPENPHONE_RATE", "200")
            .set("TRUNKLINE_OPENPHONE_TIMEOUT", "1s")
            .set("TRUNKLINE_WORKERS_POLL_INTERVAL", "20ms");
        let story = vec![format!("{start} faults {faults}, people {people}")];
        let stride = (FIRST_STRIDE, 0);
        Self { env, simulator, campaigns: Vec::new(), story, program, time, stride, emitting: Vec::new() }
    }

    pub(super) fn tell(&mut self, what: impl std::fmt::Display) {
        self.story.push(format!("{} {what}", self.time.now()));
    }

    fn tasks(&self) -> Tasks {
        self.env.clock.advance(self.time.now() - self.env.clock.now());
        self.env.tasks()
    }

    pub(super) async fn start_campaign(&mut self, name: &str, plan: &Plan, people: &[String]) {
        let (tasks, now) = (self.tasks(), self.time.now());
        let mut tx = tasks.begin().await.unwrap();
        let campaign = create(tx.session(), name, plan, &ana(), now).await.unwrap();
        add_recipients(tx.session(), &campaign, people, now).await.unwrap();
        make_move(&mut tx, campaign.id, Move::Start, None, &ana(), now).await.unwrap();
        tx.commit().await.unwrap();
        self.campaigns.push(campaign.id);
        self.tell(format!("campaign {} {name}", campaign.id));
    }

    /// Resumes what the program held by itself, as a person would. False: nothing was held.
    pub(super) async fn resume(&mut self) -> bool {
        let mut resumed = false;
        for id in self.campaigns.clone() {
            let row = campaigns::show(&self.env.db, id).await.unwrap().unwrap();
            if row.state == State::Paused {
                let (tasks, now) = (self.tasks(), self.time.now());
                let mut tx = tasks.begin().await.unwrap();
                make_move(&mut tx, id, Move::Resume, None, &ana(), now).await.unwrap();
                tx.commit().await.unwrap();
                self.tell(format!("campaign {id} was held ({:?}) and goes on", row.reason));
                resumed = true;
            }
        }
        resumed
    }

    /// Somebody texts us; the provider tells of it until it is heard.
    pub(super) fn says(&mut self, number: &str, words: &str, random: &mut StdRng) {
        self.tell(format!("{number} says {words:?}"));
        let mut factory = Factory::new(random.random());
        let event = factory.incoming_text(number, words, Generation::Dated, self.time.now());
        let simulator = Arc::clone(&self.simulator);
        self.emitting.push(tokio::spawn(async move {
            simulator.emit(event).await.unwrap();
        }));
    }

    pub(super) fn lives(&mut self) -> bool {
        self.program.lives()
    }

    /// Starts it, to die at a crash point if there is one. What a dead process held is free.
    pub(super) async fn start(&mut self, crash_point: Option<(&str, u32)>) {
        self.program.disarm();
        if let Some((point, hit)) = crash_point {
            self.program.arm(point, hit);
        }
        end_leases(&self.tasks()).await;
        self.program.spawn().unwrap();
        self.tell(format!("started {crash_point:?}"));
    }

    pub(super) fn kill(&mut self) {
        self.program.kill();
        self.tell("killed");
    }

    /// SIGTERM.
    pub(super) async fn stop(&mut self) {
        let ended = self.program.stop().await.map_err(|_| "died of it, or before");
        self.tell(format!("told to stop: {ended:?}"));
    }

    pub(super) fn output(&self) -> String {
        self.program.output()
    }

    /// The newest thousand, as they stand at one moment.
    pub(super) async fn all_tasks(&self) -> Vec<TaskRow> {
        let filter = TaskFilter { limit: 1_000, ..TaskFilter::default() };
        self.env.tasks().list(&filter).await.unwrap()
    }

    /// Whether no task would die for the third time with the process: that makes it a dead letter. What a dead process held has not
    /// been counted yet.
    /// One death is left over: a process that is starved of its lease counts as another.
    pub(super) async fn may_die(&self) -> bool {
        let tasks = self.all_tasks().await;
        let unfinished =
            tasks.iter().filter(|task| matches!(task.state, TaskState::Pending | TaskState::Running));
        unfinished
            .map(|task| task.crashes + i32::from(task.state == TaskState::Running))
            .all(|deaths| deaths < 1)
    }

    /// When the next task is due, if no one is at work before.
    async fn quiet_until(&self) -> Quiet {
        let tasks = self.all_tasks().await;
        if tasks.iter().any(|task| task.state == TaskState::Running) {
            return Quiet::No;
        }
        let waiting = tasks.iter().filter(|task| task.state == TaskState::Pending);
        let next = waiting.map(|task| task.run_at).min();
        match next {
            None => Quiet::ForEver,
            Some(at) if at < self.time.now() + SOON => Quiet::No,
            Some(at) => Quiet::Until(at),
        }
    }

    /// To the time of the next task, if that is far.
    fn leap_to(&mut self, next: DateTime<Utc>) {
        let accepted = self.simulator.accepted_messages().len();
        let stride = if accepted == self.stride.1 { self.stride.0 * 2 } else { FIRST_STRIDE };
        self.stride = (stride.min(LAST_STRIDE), accepted);
        let now = self.time.now();
        self.time.leap(next.max(now + self.stride.0) - now);
    }

    /// As the schedules do every few minutes.
    async fn sweep(&self) {
        let tasks = self.tasks();
        let mut tx = tasks.begin().await.unwrap();
        tx.enqueue(&[NewTask::of(&SweepSends {}).unwrap()]).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Whether nothing is left to do. Leaps to the next thing there is, if that is not soon.
    pub(super) async fn rest(&mut self) -> Rest {
        self.emitting.retain(|emitting| !emitting.is_finished());
        let heard = tokio::time::timeout(Duration::ZERO, self.simulator.idle()).await.is_ok();
        if !heard || !self.emitting.is_empty() {
            return Rest::Busy;
        }
        match self.quiet_until().await {
            Quiet::No => Rest::Busy,
            Quiet::ForEver => Rest::Over,
            Quiet::Until(_) => {
                if self.program.signal("STOP").is_err() {
                    return Rest::Busy;
                }
                let leapt = match self.quiet_until().await {
                    Quiet::Until(at) => {
                        self.leap_to(at);
                        true
                    }
                    Quiet::No | Quiet::ForEver => false,
                };
                self.program.signal("CONT").unwrap();
                if !leapt {
                    return Rest::Busy;
                }
                self.sweep().await;
                Rest::Leapt
            }
        }
    }
}

enum Quiet {
    No,
    Until(DateTime<Utc>),
    ForEver,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Rest {
    Busy,
    Leapt,
    /// Every task has ended.
    Over,
}
