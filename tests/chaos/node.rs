//! One process of the platform: the whole program, with the test jobs beside its own, by a clock that can be set.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use chrono::TimeDelta;
use tokio::signal::unix::{SignalKind, signal};
use trunkline::app::{App, Roles};
use trunkline::config::{Config, Flags};
use trunkline_platform::clock::Clock;

use crate::harness::log::{Echo, Logged};

/// The file that says how many seconds the clocks of all nodes are off.
pub(crate) const CLOCK_FILE: &str = "CHAOS_CLOCK";
/// What this node's clock is off besides.
pub(crate) const OWN_CLOCK_FILE: &str = "CHAOS_OWN_CLOCK";

pub(crate) async fn run(roles: &Roles) -> Result<()> {
    let config = Config::load(&Flags::default(), std::env::vars_os())?;
    trunkline::telemetry::init(&config.log);
    let jobs = trunkline_jobs::registry()?.register::<Logged>()?.register::<Echo>()?;
    let mut running = App::build_with(config, clock(), jobs).await?.start(roles, None).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = running.ended() => ended?,
        _ = terminate.recv() => {}
    }
    running.stop().await
}

fn seconds_in(variable: &str) -> i64 {
    let file = std::env::var_os(variable).map(PathBuf::from);
    let text = file.and_then(|file| std::fs::read_to_string(file).ok());
    text.and_then(|text| text.trim().parse().ok()).unwrap_or_default()
}

/// Goes like the machine's clock, and is set when the files say so.
fn clock() -> Clock {
    let off = || TimeDelta::seconds(seconds_in(CLOCK_FILE) + seconds_in(OWN_CLOCK_FILE));
    let mut set = off();
    let clock = Clock::manual(Clock::system().now() + set);
    let hands = clock.clone();
    std::thread::spawn(move || {
        let mut last = Instant::now();
        for tick in 0_u64.. {
            std::thread::sleep(Duration::from_millis(2));
            let now = Instant::now();
            hands.advance(TimeDelta::from_std(now - last).unwrap_or_default());
            last = now;
            if tick % 25 == 0 {
                let off = off();
                hands.advance(off - set);
                set = off;
            }
        }
    });
    clock
}
