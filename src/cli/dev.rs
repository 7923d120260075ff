//! `trunkline dev`: the whole product on one machine with nothing to set up. The embedded engine, every role,
//! and the simulator in the provider's place, which makes a stream of realistic webhooks.

mod sample;
mod trouble;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use chrono::TimeDelta;
use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use trunkline_jobs::calls::CallTextsWanted;
use trunkline_jobs::{events, media};
use trunkline_openphone::event::Generation;
use trunkline_openphone::simulator::{Simulator, SimulatorConfig, SimulatorHandle, Tally};
use trunkline_platform::audit::Actor;
use trunkline_platform::clock::Clock;
use trunkline_platform::db::Db;
use trunkline_platform::job::Job;
use trunkline_platform::task::{TaskState, Tasks};

use self::sample::Sample;
use super::simulate::wall_clock;
use super::{load, shutdown};
use crate::access::{Keys, NewKey, Scope};
use crate::app::{App, Roles};
use crate::config::{Config, Flags};
use crate::telemetry;

const DATA: &str = "trunkline-data";
const FAULTS: &str = "duplicate=0.1,reorder=0.2,delay=0.1,delay_max=3";
const STATUS_EVERY: Duration = Duration::from_secs(3);
/// How often the end is looked for when the number of events is limited.
const SETTLED_EVERY: Duration = Duration::from_millis(100);

#[derive(Args, Debug)]
pub(super) struct DevCommand {
    /// Events a second
    #[arg(long, default_value_t = 5.0)]
    rate: f64,
    /// Stop by itself after this many events, once all their work is done
    #[arg(long)]
    events: Option<u64>,
    /// What goes wrong; see `trunkline simulate --help`
    #[arg(long, default_value = FAULTS, value_name = "NAME=RATE,…")]
    faults: trunkline_openphone::simulator::Faults,
    /// What the events are drawn from [default: different on every start]
    #[arg(long)]
    seed: Option<u64>,
    /// Made-up people who get a sample campaign, at the first start; 0 for none, as with --events
    #[arg(long, default_value_t = sample::PEOPLE, value_parser = sample::people)]
    people: usize,
    /// Break something on purpose, to find and mend: what is wrong is on the first page, and in `trunkline doctor`
    #[arg(long, conflicts_with = "events")]
    with_trouble: bool,
}

/// How far the work has come.
struct Progress {
    tally: Tally,
    stored: i64,
    done: i64,
    waiting: i64,
    /// Of those, the ones that are only to look, minutes from now, whether something is missing.
    put_off: i64,
    dead: i64,
    files: i64,
    bytes: i64,
}

impl DevCommand {
    pub(super) async fn run(self, flags: Flags) -> Result<()> {
        let clock = Clock::system();
        let simulator = self.simulator(&clock).await?;
        let mut config = load(&settings(flags, &simulator))?;
        if config.http.listen.port() != 0 {
            let ours = format!("http://{}/webhooks/openphone", config.http.listen).parse()?;
            config.webhooks.public_url.get_or_insert(ours);
        }
        telemetry::init(&config.log);

        let with_sample = self.people > 0 && self.events.is_none() && asks_simulator(&config, &simulator);
        let on_loopback = config.http.listen.ip().is_loopback();
        let app = App::build(config, clock).await?;
        let key = if on_loopback { Some(key_for_today(app.access().keys()).await?) } else { None };
        let (db, tasks) = (app.db().clone(), app.tasks().clone());
        let stop = shutdown::listen()?;
        let mut running = app.start(&Roles::all(), None).await?;
        let receiver = format!("http://{}", running.address());
        simulator.set_target(Some(format!("{receiver}/webhooks/openphone").parse()?));

        println!(
            "trunkline dev: a simulated provider texts and calls; the work is done as it comes. Ctrl-C stops."
        );
        println!("  receiver   {receiver}/webhooks/openphone   (also /healthz, /readyz, /metrics)");
        println!("  provider   {}   (its tally: _simulator/tally)", simulator.url());
        println!("  database   {DATA}/trunkline.db   (see: trunkline stats, tasks list, events list)");
        println!("  files      {DATA}/media");
        match key {
            Some(key) => println!("  pages, API {receiver}/ with the key {}", key.expose_secret()),
            None => {
                println!("  pages, API {receiver}/ with a key of yours: see `trunkline keys create --help`")
            }
        }

        if self.with_trouble {
            trouble::make(&tasks, &simulator).await.context("making trouble")?;
            println!(
                "  trouble    two things are broken on purpose: see the first page, or `trunkline doctor`"
            );
        }
        let campaign = if with_sample { Sample::start(&tasks, self.people).await? } else { None };
        if let Some(campaign) = &campaign {
            println!(
                "  campaign   {} made-up people are texted   (see: trunkline campaigns show {})",
                self.people,
                campaign.id()
            );
        }
        let watch = Watch { simulator: &simulator, db: &db, tasks: &tasks };
        tokio::select! {
            ended = running.ended() => ended?,
            () = stop.cancelled() => {}
            settled = watch.until_settled(), if self.events.is_some() => settled?,
            status = watch.status_lines(campaign.as_ref()) => status?,
        }
        simulator.set_target(None);
        println!("{}", watch.progress().await?);
        simulator.stop().await;
        running.stop().await
    }

    async fn simulator(&self, clock: &Clock) -> Result<SimulatorHandle> {
        let data = Path::new(DATA);
        std::fs::create_dir_all(data).with_context(|| format!("making the folder {DATA}"))?;
        let mut settings = SimulatorConfig::new(wall_clock(clock.clone()));
        settings.rate_per_second = self.rate;
        settings.max_events = self.events;
        settings.faults = self.faults;
        settings.generations = Generation::ALL.to_vec();
        settings.manners = sample::manners()?;
        settings.seed = self.seed.unwrap_or_else(|| clock.now().timestamp_micros().unsigned_abs());
        settings.retry_scale = 0.01;
        settings.journal = Some(data.join("simulator.jsonl"));
        // Where it was at the last start, if that is free: files that were not fetched then are linked to there.
        let place = data.join("simulator.address");
        let last = std::fs::read_to_string(&place).ok().and_then(|text| text.trim().parse().ok());
        let again = match last {
            Some(listen) => Simulator::start(SimulatorConfig { listen, ..settings.clone() }).await.ok(),
            None => None,
        };
        let simulator = match again {
            Some(simulator) => simulator,
            None => Simulator::start(settings).await.context("starting the simulated provider")?,
        };
        let address = simulator.addr().to_string();
        std::fs::write(&place, address).with_context(|| format!("writing {}", place.display()))?;
        Ok(simulator)
    }
}

/// Whether what is sent goes to the simulator and nowhere else, whatever was set: a campaign that starts by itself must never text
/// anybody real.
fn asks_simulator(config: &Config, simulator: &SimulatorHandle) -> bool {
    let simulated = SimulatorConfig::new(wall_clock(Clock::system())).api_key;
    let key = config.openphone.api_key.as_ref().map(ExposeSecret::expose_secret);
    config.openphone.api_url == simulator.url() && key == Some(simulated.expose_secret())
}

/// A key that allows everything until tomorrow, in the place of the last start's.
async fn key_for_today(keys: &Keys) -> Result<SecretString> {
    let new = NewKey {
        name: "dev".to_owned(),
        scopes: Scope::ALL.into_iter().collect(),
        expires_in: Some(TimeDelta::days(1)),
    };
    let actor = Actor { name: "trunkline:dev".to_owned(), reason: None };
    Ok(keys.replace(new, &actor).await?.token)
}

/// What `dev` decides, below what the user says with `--set`.
fn settings(mut flags: Flags, simulator: &SimulatorHandle) -> Flags {
    let secrets = SimulatorConfig::new(wall_clock(Clock::system()));
    let user = std::mem::take(&mut flags.set);
    flags.assign("database.url", format!("sqlite://{DATA}/trunkline.db"));
    flags.assign("redis.url", "");
    flags.assign("media.dir", format!("{DATA}/media"));
    flags.assign("media.allow_hosts", simulator.addr().to_string());
    flags.assign("openphone.api_url", simulator.url());
    flags.assign("openphone.api_key", secrets.api_key.expose_secret());
    flags.assign(
        "openphone.webhook_secrets",
        format!("{},{}", secrets.standard_secret.expose_secret(), secrets.legacy_secret.expose_secret()),
    );
    flags.assign("log.level", "warn");
    flags.set.extend(user);
    flags
}

struct Watch<'a> {
    simulator: &'a SimulatorHandle,
    db: &'a Db,
    tasks: &'a Tasks,
}

impl Watch<'_> {
    async fn status_lines(&self, mut campaign: Option<&Sample>) -> Result<()> {
        let mut rounds = tokio::time::interval(STATUS_EVERY);
        rounds.tick().await;
        loop {
            rounds.tick().await;
            println!("{}", self.progress().await?);
            if let Some(sample) = campaign {
                let (line, ended) = sample.told(self.tasks).await?;
                println!("{line}");
                if ended {
                    println!(
                        "  what became of it: trunkline campaigns show {0}, sends list --campaign {0}",
                        sample.id()
                    );
                    campaign = None;
                }
            }
        }
    }

    /// Returns when the last event is acknowledged and nothing is left to do.
    async fn until_settled(&self) -> Result<()> {
        self.simulator.idle().await;
        let mut rounds = tokio::time::interval(SETTLED_EVERY);
        loop {
            rounds.tick().await;
            let progress = self.progress().await?;
            if progress.waiting == progress.put_off {
                return Ok(());
            }
        }
    }

    async fn progress(&self) -> Result<Progress> {
        let tally = self.simulator.tally();
        let stored = events::count(self.db).await?.iter().map(|row| row.happenings).sum();
        let files = media::count(self.db).await?;
        let counts = self.tasks.count_by_kind().await?;
        let of = |states: &[TaskState]| {
            counts.iter().filter(|row| states.contains(&row.state)).map(|row| row.count).sum()
        };
        Ok(Progress {
            tally,
            stored,
            done: of(&[TaskState::Done]),
            waiting: of(&[TaskState::Pending, TaskState::Running]),
            put_off: counts
                .iter()
                .filter(|row| row.state == TaskState::Pending && row.kind == CallTextsWanted::NAME)
                .map(|row| row.count)
                .sum(),
            dead: of(&[TaskState::Dead]),
            files: files.stored,
            bytes: files.bytes,
        })
    }
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "events {} made, {} stored, {} sent twice | tasks {} done, {} waiting, {} dead | files {} ({} KiB)",
            self.tally.events_made,
            self.stored,
            self.tally.duplicates_sent,
            self.done,
            self.waiting,
            self.dead,
            self.files,
            self.bytes / 1024
        )
    }
}
