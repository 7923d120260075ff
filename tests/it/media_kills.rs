//! The program is killed at random while it downloads, small files and large ones. When it is let alone, every row has its
//! end, no content is there that no row names, and no temporary file.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::TimeDelta;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use trunkline_jobs::events::accept;
use trunkline_jobs::media::{self, MediaStore};

use crate::harness::host::{Host, message};
use crate::harness::judge::all_ended;
use crate::harness::{Env, Program, both_engines, until};
use crate::kept::delivery;

const FILES: usize = 500;
/// Every this many is large.
const LARGE_EVERY: usize = 100;
const LARGE: usize = 50 << 20;
const KILLS: usize = 12;
const SEED: u64 = 11;

both_engines! {
    async fn killed_at_random_during_downloads_it_leaves_no_orphan_and_every_row_its_end(env: Env) {
        let mut random = StdRng::seed_from_u64(SEED);
        let host = Host::start().await;
        let mut events = Vec::new();
        for number in 0..FILES {
            // One in ten is the same as the one before it.
            let content = number - usize::from(number % 10 == 9);
            let name = format!("{number}");
            let link = if number % LARGE_EVERY == 50 {
                host.put(&name, "text/plain", format!("{content:09} ").repeat(LARGE / 10))
            } else {
                host.put(&name, "text/plain", format!("file {content}"))
            };
            let link = if number % 50 == 7 { link + "-gone" } else { link };
            events.push(message(&number.to_string(), &[(&link, None)]));
        }
        let mut tx = env.live_tasks().begin().await.unwrap();
        let deliveries: Vec<_> = events.iter().map(|body| delivery(&env, body)).collect();
        accept(&mut tx, &deliveries).await.unwrap();
        tx.commit().await.unwrap();

        let mut program = Program::new(&env, &["serve"])
            .set("TRUNKLINE_MEDIA_ALLOW_HOSTS", "127.0.0.1")
            .set("TRUNKLINE_MEDIA_MAX_BYTES", "60MiB");
        for _ in 0..KILLS {
            program.start().await.unwrap();
            tokio::time::sleep(Duration::from_millis(random.random_range(50..700))).await;
            program.kill();
        }
        program.start().await.unwrap();
        let tasks = env.live_tasks();
        until("every download has its end", async || {
            let count = media::count(&env.db).await.unwrap();
            count.pending == 0 && count.stored + count.failed == FILES as i64 && all_ended(&tasks).await
        })
        .await;
        program.stop().await.unwrap();

        let count = media::count(&env.db).await.unwrap();
        assert_eq!((count.stored, count.failed), (490, 10), "{count:?}");
        let store = MediaStore::local(env.folder().join("media")).await.unwrap();
        // The next upkeep, when what is left is old enough.
        let later = tasks.clock().now() + TimeDelta::hours(2);
        store.sweep_temp(Duration::from_secs(3_600), later).await.unwrap();
        assert_eq!(std::fs::read_dir(store.temp_dir()).unwrap().count(), 0);

        let mut objects = BTreeSet::new();
        let mut after = None;
        loop {
            let page = store.list(after.as_ref(), 200).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.hash);
            objects.extend(page.iter().map(|object| object.hash.to_string()));
        }
        let mut named = BTreeSet::new();
        let mut before = None;
        loop {
            let filter = media::inspect::MediaFilter { before, limit: 1_000, ..Default::default() };
            let page = media::inspect::list(&env.db, &filter).await.unwrap();
            let Some(last) = page.last() else { break };
            before = Some(last.id);
            for row in page {
                assert!(row.state != "failed" || row.error.is_some_and(|why| why.starts_with("the link is gone")));
                named.extend(row.sha256);
            }
        }
        assert_eq!(objects, named, "each content is there once, and nothing else");
    }
}
