//! What the faults are done to: servers, processes, load; and the course of a run.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use trunkline_openphone::simulator::SimulatorHandle;
use trunkline_platform::audit::Actor;
use trunkline_platform::job::Job;
use trunkline_platform::task::{Limit, Scope, TaskFilter, TaskId, TaskState, Tasks};

use crate::faults;
use crate::harness::disk::SmallDisk;
use crate::harness::judge::{all_ended, every_task, wrongs};
use crate::harness::log::{Logged, PROCESS, make_log, read_log, true_time};
use crate::harness::proxy::proxy;
use crate::harness::{Env, Program, provider, provider_for};
use crate::node::{CLOCK_FILE, OWN_CLOCK_FILE};
use crate::report::Report;
use crate::servers::{Postgres, Redis};

pub(crate) const DATABASE: &str = "chaos";
/// Test jobs at a time, where they are limited.
const MOST_AT_ONCE: u32 = 16;
/// How long the platform may take to work again after a fault: a connection that hangs is given up after 30 s, at
/// both ends one after the other.
const PATIENCE: Duration = Duration::from_secs(150);

pub(crate) struct Plan {
    pub(crate) length: Duration,
    pub(crate) seed: u64,
    pub(crate) rate: u32,
    /// Tells each fault as it is done.
    pub(crate) telling: bool,
}

impl Plan {
    /// Every third seed has a limit of test jobs at a time, in all processes together.
    fn is_limited(&self) -> bool {
        self.seed.is_multiple_of(3)
    }
}

pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) program: Program,
    launches: u32,
    /// Its clock's file.
    clock: PathBuf,
    /// Makes its connections to PostgreSQL hang.
    silence: Option<watch::Sender<bool>>,
}

pub(crate) struct Stage {
    env: Env,
    simulator: SimulatorHandle,
    pub(crate) nodes: Vec<Node>,
    pub(crate) postgres: Option<Postgres>,
    pub(crate) redis: Option<Redis>,
    disk: Option<SmallDisk>,
    /// When each process died, by its name and launch.
    deaths: HashMap<String, i64>,
    starts: u32,
    /// Numbers given to test jobs; all below were enqueued, or are about to be.
    next_number: Arc<AtomicU64>,
}

impl Stage {
    pub(crate) async fn sqlite(plan: &Plan) -> Result<Self> {
        let disk = SmallDisk::new(768)?;
        let url = format!("sqlite://{}", disk.path().join("trunkline.db").display());
        let env = Env::new(url, None, tempfile::tempdir()?).await;
        Self::new(plan, env, &[("node", "receiver,worker,scheduler,admin")], None, None, Some(disk)).await
    }

    pub(crate) async fn postgres(plan: &Plan) -> Result<Self> {
        // Every other seed goes without Redis, by the bell in PostgreSQL.
        let with_redis = plan.seed % 2 == 1;
        let (postgres, redis) = tokio::task::block_in_place(|| {
            anyhow::Ok((Postgres::start()?, with_redis.then(Redis::start).transpose()?))
        })?;
        postgres.create_database(DATABASE, None).await?;
        let env =
            Env::new(postgres.url(DATABASE), redis.as_ref().map(Redis::url), tempfile::tempdir()?).await;
        let roles = [
            ("receiver", "receiver"),
            ("worker-1", "worker"),
            ("worker-2", "worker"),
            ("scheduler", "worker,scheduler"),
        ];
        Self::new(plan, env, &roles, Some(postgres), redis, None).await
    }

    async fn new(
        plan: &Plan,
        env: Env,
        roles: &[(&str, &str)],
        postgres: Option<Postgres>,
        redis: Option<Redis>,
        disk: Option<SmallDisk>,
    ) -> Result<Self> {
        trunkline::schema::migrate(&env.db).await?;
        make_log(&env.db).await?;
        if plan.is_limited() {
            let scope = Scope::Queue(Logged::QUEUE.name().to_owned());
            let most = Limit { max_running: Some(MOST_AT_ONCE), ..Limit::default() };
            env.live_tasks().set_limit(&scope, None, &actor(), |_| most).await?;
        }
        let all_clocks = env.folder().join("clock");
        std::fs::write(&all_clocks, "0")?;
        let mut nodes = Vec::new();
        for (name, roles) in roles {
            let clock = env.folder().join(format!("clock-{name}"));
            std::fs::write(&clock, "0")?;
            let mut program = Program::new(&env, &["node", roles])
                .executable(std::env::current_exe()?)
                .set("TRUNKLINE_LOG_LEVEL", "warn")
                .set(CLOCK_FILE, all_clocks.display().to_string())
                .set(OWN_CLOCK_FILE, clock.display().to_string());
            let mut silence = None;
            if let Some(postgres) = &postgres {
                let (port, sender) = proxy(postgres.port()).await;
                let url = env.database_url.replace(&format!(":{}/", postgres.port()), &format!(":{port}/"));
                program = program.set("TRUNKLINE_DATABASE_URL", url);
                silence = Some(sender);
            }
            nodes.push(Node { name: (*name).to_owned(), program, launches: 0, clock, silence });
        }
        let mut config = provider();
        config.rate_per_second = f64::from(plan.rate);
        config.seed = plan.seed;
        config.faults = "duplicate=0.1,reorder=0.1".parse()?;
        let simulator = provider_for(&nodes[0].program, config).await;
        for node in &mut nodes {
            node.program.set_variable("TRUNKLINE_MEDIA_ALLOW_HOSTS", simulator.addr().to_string());
        }
        Ok(Self {
            env,
            simulator,
            nodes,
            postgres,
            redis,
            disk,
            deaths: HashMap::new(),
            starts: 0,
            next_number: Arc::default(),
        })
    }

    /// Does faults until the time is over, waits until everything has ended, and judges.
    pub(crate) async fn run(mut self, plan: &Plan) -> Result<Report> {
        let mut random = StdRng::seed_from_u64(plan.seed);
        self.start_all().await?;
        let stop_loading = CancellationToken::new();
        let tasks = self.env.live_tasks();
        let next_number = Arc::clone(&self.next_number);
        let loading =
            tokio::spawn(load(tasks.clone(), next_number, plan.seed, plan.rate, stop_loading.clone()));
        let began = Instant::now();
        let mut faults = Vec::new();
        let mut wrongs = Vec::new();
        while began.elapsed() < plan.length {
            sleep(Duration::from_millis(random.random_range(200..3_000))).await;
            let at = began.elapsed();
            let what = faults::strike(&mut self, &mut random).await?;
            let lifted = Instant::now();
            let recovered = match self.recover(&tasks).await {
                Ok(()) => Some(lifted.elapsed()),
                Err(error) => {
                    wrongs.push(format!("after \"{what}\" at {:.1} s: {error:#}", at.as_secs_f64()));
                    None
                }
            };
            if plan.telling {
                eprintln!("{} {:.0} s: {what}, {recovered:?}", self.engine(), at.as_secs_f64());
            }
            faults.push((at, what, recovered));
            if wrongs.len() > 2 {
                break;
            }
        }
        stop_loading.cancel();
        let acknowledged = loading.await?;
        self.simulator.set_target(None);
        let lifted = Instant::now();
        // What was put off by clocks that were an hour ahead is due now.
        self.set_clock(None, 2 * 3_600)?;
        self.end(&tasks, &mut wrongs).await?;
        let drained = lifted.elapsed();
        for node in 0..self.nodes.len() {
            self.stop(node).await?;
        }
        self.judge(
            &tasks,
            plan,
            Report {
                engine: self.engine(),
                faults,
                starts: self.starts,
                deliveries: self.simulator.deliveries().len(),
                enqueued: acknowledged,
                tasks: 0,
                dead: 0,
                runs: 0,
                overlaps_after_expiry: 0,
                most_at_once: 0,
                cancelled: 0,
                drained,
                wrongs,
            },
        )
        .await
    }

    fn engine(&self) -> &'static str {
        match (&self.postgres, &self.redis) {
            (None, _) => "SQLite",
            (Some(_), None) => "PostgreSQL alone",
            (Some(_), Some(_)) => "PostgreSQL and Redis",
        }
    }

    async fn end(&mut self, tasks: &Tasks, wrongs: &mut Vec<String>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !all_ended(tasks).await {
            self.start_all().await?;
            skip_the_dead(tasks).await?;
            if Instant::now() > deadline {
                wrongs.push(format!("not all had ended after {PATIENCE:?}"));
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    async fn judge(&self, tasks: &Tasks, plan: &Plan, mut report: Report) -> Result<Report> {
        report.wrongs.extend(wrongs(&self.env, &self.simulator.deliveries()).await?);
        let rows = every_task(tasks).await?;
        let findings =
            read_log(&self.env.db, &rows, &self.deaths, self.next_number.load(Ordering::Relaxed)).await?;
        report.tasks = rows.len();
        report.dead = rows.iter().filter(|row| row.state == TaskState::Dead).count();
        report.runs = findings.runs;
        report.overlaps_after_expiry = findings.overlaps_after_expiry;
        report.most_at_once = findings.most_at_once;
        if plan.is_limited() && findings.most_at_once > MOST_AT_ONCE as usize {
            report.wrongs.push(format!("{} ran at once, and {MOST_AT_ONCE} may", findings.most_at_once));
        }
        report.cancelled = rows.iter().filter(|row| row.state == TaskState::Cancelled).count();
        report.wrongs.extend(findings.wrongs);
        if !report.is_clean() {
            let kept = std::env::temp_dir().join(format!("chaos-{}-{}", report.engine, true_time()));
            let copied =
                std::process::Command::new("cp").arg("-r").arg(self.env.folder()).arg(&kept).status()?;
            eprintln!("chaos: logs of the processes: {} ({copied})", kept.display());
            if let Some(disk) = &self.disk {
                std::process::Command::new("cp").arg("-r").arg(disk.path()).arg(&kept).status()?;
            }
        }
        Ok(report)
    }

    // --- processes ---

    /// Starts what does not run, as a supervisor would: again and again until it stays up.
    async fn start_all(&mut self) -> Result<()> {
        for n in 0..self.nodes.len() {
            let deadline = Instant::now() + PATIENCE;
            while !self.nodes[n].program.lives() {
                self.buried(n);
                self.launch(n);
                match self.nodes[n].program.start().await {
                    Ok(()) => break,
                    Err(error) if Instant::now() > deadline => return Err(error),
                    Err(_) => {
                        self.nodes[n].program.kill();
                        sleep(Duration::from_millis(300)).await;
                    }
                }
            }
        }
        Ok(())
    }

    /// A process has its own name in every life.
    fn life(&self, n: usize) -> String {
        format!("{}#{}", self.nodes[n].name, self.nodes[n].launches)
    }

    fn launch(&mut self, n: usize) {
        self.starts += 1;
        self.nodes[n].launches += 1;
        let life = self.life(n);
        self.nodes[n].program.set_variable(PROCESS, life);
    }

    fn buried(&mut self, n: usize) {
        let life = self.life(n);
        self.deaths.entry(life).or_insert_with(true_time);
    }

    pub(crate) fn kill(&mut self, n: usize) -> String {
        self.nodes[n].program.kill();
        self.buried(n);
        self.nodes[n].name.clone()
    }

    pub(crate) async fn stop(&mut self, n: usize) -> Result<String> {
        let stopped = self.nodes[n].program.stop().await;
        self.buried(n);
        // One whose database was away might have ended on its own.
        stopped.or_else(|error| if self.nodes[n].program.pid().is_none() { Ok(()) } else { Err(error) })?;
        Ok(self.nodes[n].name.clone())
    }

    /// Restarts a process to die at a crash point; it is killed when it does not come there.
    pub(crate) async fn die_at(&mut self, n: usize, point: &str, hit: u32) -> Result<(String, bool)> {
        self.stop(n).await?;
        self.launch(n);
        self.nodes[n].program.arm(point, hit);
        self.nodes[n].program.spawn()?;
        let died = self.nodes[n].program.died(Duration::from_secs(15)).await;
        self.nodes[n].program.disarm();
        Ok((self.kill(n), died))
    }

    pub(crate) fn set_clock(&self, node: Option<usize>, seconds: i64) -> Result<()> {
        let file = node.map_or_else(|| self.env.folder().join("clock"), |n| self.nodes[n].clock.clone());
        let new = file.with_extension("new");
        std::fs::write(&new, seconds.to_string())?;
        Ok(std::fs::rename(new, file)?)
    }

    pub(crate) fn hang(&self, n: usize, silent: bool) {
        if let Some(silence) = &self.nodes[n].silence {
            silence.send_replace(silent);
        }
    }

    pub(crate) async fn disk_full(&self, time: Duration) -> Result<()> {
        let (Some(disk), Some(pid)) = (&self.disk, self.nodes[0].program.pid()) else { return Ok(()) };
        disk.fill(pid)?;
        sleep(time).await;
        disk.free(pid)
    }

    // --- recovery ---

    /// Everything runs and is ready, and a task enqueued now is done.
    async fn recover(&mut self, tasks: &Tasks) -> Result<()> {
        self.start_all().await?;
        let deadline = Instant::now() + PATIENCE;
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let probe = Logged { number, millis: 1, failures: 0, deaf: false, line: None };
        let id = loop {
            match tasks.enqueue(&[probe.task()]).await {
                Ok(made) => break made[0].id(),
                Err(error) if Instant::now() > deadline => {
                    return Err(error).context("a task cannot be enqueued");
                }
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        };
        while !self.is_done(tasks, id).await {
            self.start_all().await?;
            if Instant::now() > deadline {
                bail!("the task enqueued after it was not done within {PATIENCE:?}");
            }
            sleep(Duration::from_millis(20)).await;
        }
        for n in 0..self.nodes.len() {
            while !self.nodes[n].program.is_ready().await {
                self.start_all().await?;
                if Instant::now() > deadline {
                    bail!("{} was not ready within {PATIENCE:?}", self.nodes[n].name);
                }
                sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    async fn is_done(&self, tasks: &Tasks, id: TaskId) -> bool {
        matches!(tasks.show(id).await, Ok(Some(row)) if !matches!(row.state, TaskState::Pending | TaskState::Running))
    }
}

fn actor() -> Actor {
    Actor { name: "operator:chaos".to_owned(), reason: None }
}

/// A dead letter holds up its line until a person has decided.
async fn skip_the_dead(tasks: &Tasks) -> Result<()> {
    let filter = TaskFilter {
        state: Some(TaskState::Dead),
        kind: Some(Logged::NAME.to_owned()),
        limit: 500,
        ..TaskFilter::default()
    };
    let dead: Vec<TaskId> = tasks.list(&filter).await?.iter().map(|row| row.id).collect();
    tasks.skip(&dead, &actor()).await?;
    Ok(())
}

/// Enqueues test jobs, each until it is acknowledged. Returns how many were.
async fn load(tasks: Tasks, next: Arc<AtomicU64>, seed: u64, rate: u32, stop: CancellationToken) -> u64 {
    let mut random = StdRng::seed_from_u64(seed ^ 0x10ad);
    let mut acknowledged = 0;
    let mut ticks = tokio::time::interval(Duration::from_secs(2) / rate.max(1));
    while !stop.is_cancelled() {
        ticks.tick().await;
        let number = next.fetch_add(1, Ordering::Relaxed);
        let millis = if random.random_bool(0.05) {
            random.random_range(2_000..8_000)
        } else {
            random.random_range(0..200)
        };
        let failures = if random.random_bool(0.1) { random.random_range(1..3) } else { 0 };
        let line = random.random_bool(0.2).then(|| random.random_range(0..8).to_string());
        let job = Logged { number, millis, failures, deaf: random.random_bool(0.3), line };
        let id = loop {
            match tasks.enqueue(&[job.task()]).await {
                Ok(made) => break made[0].id(),
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        };
        if random.random_bool(0.03) {
            // It may be anywhere by now; should this fail, it is not cancelled.
            let _ = tasks.cancel(&[id], &actor()).await;
        }
        acknowledged += 1;
    }
    acknowledged
}
