//! What is done to the platform. Each fault begins, lasts, and is lifted; what it leaves is for the next to find.

use std::time::Duration;

use anyhow::Result;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use tokio::task::block_in_place;
use tokio::time::sleep;

use crate::stage::Stage;

const POINTS: [&str; 10] = [
    "accept.before_commit",
    "accept.after_commit",
    "bell.before_ring",
    "claim.before_commit",
    "claim.after_commit",
    "finish.before_follow_ups",
    "finish.before_commit",
    "finish.after_commit",
    "take_over.before_commit",
    "take_over.after_commit",
];

const HOUR: i64 = 3_600;

#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill,
    KillAll,
    CrashPoint,
    Stop,
    Freeze,
    ClockForAll,
    // SQLite
    DiskFull,
    // PostgreSQL and Redis
    ClockForOne,
    RedisFlush,
    RedisStop,
    RedisFreeze,
    PostgresRestart,
    PostgresKill,
    Terminate,
    Hang,
}

const SQLITE: [Fault; 7] = [
    Fault::Kill,
    Fault::Kill,
    Fault::CrashPoint,
    Fault::Stop,
    Fault::Freeze,
    Fault::ClockForAll,
    Fault::DiskFull,
];

const REDIS: [Fault; 3] = [Fault::RedisFlush, Fault::RedisStop, Fault::RedisFreeze];

const POSTGRES: [Fault; 12] = [
    Fault::Kill,
    Fault::Kill,
    Fault::KillAll,
    Fault::CrashPoint,
    Fault::CrashPoint,
    Fault::Stop,
    Fault::Freeze,
    Fault::ClockForAll,
    Fault::ClockForOne,
    Fault::PostgresRestart,
    Fault::Terminate,
    Fault::Hang,
];

fn seconds(random: &mut StdRng, most: u64) -> Duration {
    Duration::from_millis(random.random_range(500..most * 1_000))
}

/// Does one fault to its end, and tells what it was.
pub(crate) async fn strike(stage: &mut Stage, random: &mut StdRng) -> Result<String> {
    let faults = match (&stage.postgres, &stage.redis) {
        (None, _) => SQLITE.to_vec(),
        (Some(_), None) => POSTGRES.to_vec(),
        (Some(_), Some(_)) => [&POSTGRES[..], &REDIS].concat(),
    };
    let mut fault = *faults.choose(random).unwrap();
    if matches!(fault, Fault::PostgresRestart) && random.random_bool(0.5) {
        fault = Fault::PostgresKill;
    }
    let node = random.random_range(0..stage.nodes.len());
    match fault {
        Fault::Kill => {
            let name = stage.kill(node);
            Ok(format!("SIGKILL: {name}"))
        }
        Fault::KillAll => {
            for node in 0..stage.nodes.len() {
                stage.kill(node);
            }
            Ok("SIGKILL of every process: all".to_owned())
        }
        Fault::CrashPoint => {
            let point = *POINTS.choose(random).unwrap();
            let hit = if point.starts_with("take_over") { 1 } else { random.random_range(1..20) };
            let (name, died) = stage.die_at(node, point, hit).await?;
            let outcome = if died { "died" } else { "did not come there and was killed" };
            Ok(format!("crash point: {name} at {point}:{hit}, {outcome}"))
        }
        Fault::Stop => {
            let name = stage.stop(node).await?;
            Ok(format!("SIGTERM: {name}"))
        }
        Fault::Freeze => {
            let time = seconds(random, 10);
            let name = stage.nodes[node].name.clone();
            stage.nodes[node].program.signal("STOP")?;
            sleep(time).await;
            stage.nodes[node].program.signal("CONT")?;
            Ok(format!("process frozen: {name} for {time:?}"))
        }
        Fault::ClockForAll | Fault::ClockForOne => {
            let off = if random.random_bool(0.5) { HOUR } else { -HOUR };
            let time = seconds(random, 10);
            let node = matches!(fault, Fault::ClockForOne).then_some(node);
            stage.set_clock(node, off)?;
            sleep(time).await;
            stage.set_clock(node, 0)?;
            let whose = node.map_or("all".to_owned(), |node| stage.nodes[node].name.clone());
            Ok(format!("clock set by an hour and back: {whose} by {off} s for {time:?}"))
        }
        Fault::DiskFull => {
            let time = seconds(random, 8);
            stage.disk_full(time).await?;
            Ok(format!("disk full: for {time:?}"))
        }
        Fault::RedisFlush => {
            if let Some(redis) = &mut stage.redis {
                redis.flush_all().await?;
            }
            Ok("Redis flushed: once".to_owned())
        }
        Fault::RedisStop => {
            let time = if random.random_bool(0.1) { Duration::from_secs(60) } else { seconds(random, 10) };
            if let Some(redis) = &mut stage.redis {
                block_in_place(|| redis.stop())?;
                sleep(time).await;
                block_in_place(|| redis.start_again())?;
            }
            Ok(format!("Redis stopped, connections refused: for {time:?}"))
        }
        Fault::RedisFreeze => {
            let time = seconds(random, 10);
            if let Some(redis) = &mut stage.redis {
                redis.freeze()?;
                sleep(time).await;
                redis.thaw()?;
            }
            Ok(format!("Redis frozen: for {time:?}"))
        }
        Fault::PostgresRestart | Fault::PostgresKill => {
            let time = seconds(random, 6);
            let killed = matches!(fault, Fault::PostgresKill);
            if let Some(postgres) = &mut stage.postgres {
                block_in_place(|| if killed { postgres.kill() } else { postgres.stop() })?;
                sleep(time).await;
                block_in_place(|| postgres.start_again())?;
            }
            let how = if killed { "PostgreSQL killed" } else { "PostgreSQL restarted" };
            Ok(format!("{how}: away for {time:?}"))
        }
        Fault::Terminate => {
            let times = random.random_range(1..5);
            for _ in 0..times {
                if let Some(postgres) = &stage.postgres {
                    postgres.terminate_backends(crate::stage::DATABASE).await?;
                }
                sleep(Duration::from_millis(random.random_range(50..500))).await;
            }
            Ok(format!("every backend terminated: {times} times"))
        }
        Fault::Hang => {
            let time = seconds(random, 8);
            stage.hang(node, true);
            sleep(time).await;
            stage.hang(node, false);
            Ok(format!("connections hang: {} for {time:?}", stage.nodes[node].name))
        }
    }
}
