//! The program is killed at random while it downloads, small files and large ones, into a folder and into a bucket. When it is
//! let alone, every row has its end; after the next upkeep no content is there that no row names, no temporary file, and no
//! upload that was begun and not ended.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::TimeDelta;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use trunkline_jobs::events::accept;
use trunkline_jobs::media::MediaStore;
use trunkline_jobs::media::inspect::{self, MediaDetail, MediaFilter};
use trunkline_jobs::upkeep::run_now;
use trunkline_platform::audit::Actor;
use trunkline_platform::clock::Clock;

use crate::harness::host::{Host, message};
use crate::harness::judge::worked_off;
use crate::harness::s3::S3Server;
use crate::harness::{Env, Program, both_engines};
use crate::kept::{Keeper, delivery, fetcher_up_to, media, no_provider};

const LARGE: usize = 50 << 20;
const MOST: u64 = 60 << 20;
const SEED: u64 = 11;

/// What is downloaded, and how often the program dies over it.
struct Plan {
    files: usize,
    /// Every this many is large.
    large_every: usize,
    kills: usize,
}

/// Tells of files; one in ten is the same as the one before it, one in fifty is gone.
async fn tell(env: &Env, plan: &Plan) {
    let host = Host::start().await;
    let mut deliveries = Vec::new();
    for number in 0..plan.files {
        let content = number - usize::from(number % 10 == 9);
        let name = format!("{number}");
        let link = if number % plan.large_every == plan.large_every / 2 {
            host.put(&name, "text/plain", format!("{content:09} ").repeat(LARGE / 10))
        } else {
            host.put(&name, "text/plain", format!("file {content}"))
        };
        let link = if number % 50 == 7 { link + "-gone" } else { link };
        deliveries.push(delivery(env, &message(&number.to_string(), &[(&link, None)])));
    }
    let mut tx = env.live_tasks().begin().await.unwrap();
    accept(&mut tx, &deliveries).await.unwrap();
    tx.commit().await.unwrap();
}

/// At any moment of the first second.
async fn soon(random: &mut StdRng) {
    tokio::time::sleep(Duration::from_millis(random.random_range(50..700))).await;
}

/// While an upload in parts is under way, if one begins in good time.
async fn amid_an_upload(server: &S3Server, random: &mut StdRng) {
    let before = server.unfinished();
    let begun = async {
        while server.unfinished() <= before {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(5), begun).await;
    tokio::time::sleep(Duration::from_millis(random.random_range(0..100))).await;
}

/// Kills the program at such moments again and again, then lets it end its work.
async fn kill(env: &Env, plan: &Plan, program: Program, mut moment: impl AsyncFnMut(&mut StdRng)) {
    let mut random = StdRng::seed_from_u64(SEED);
    let mut program = program
        .set("TRUNKLINE_MEDIA_ALLOW_HOSTS", "127.0.0.1")
        .set("TRUNKLINE_MEDIA_MAX_BYTES", format!("{MOST}B"));
    for _ in 0..plan.kills {
        program.start().await.unwrap();
        moment(&mut random).await;
        program.kill();
    }
    program.start().await.unwrap();
    worked_off(&env.live_tasks()).await;
    program.stop().await.unwrap();
}

/// The hashes of all objects of a store.
async fn objects(store: &MediaStore) -> BTreeSet<String> {
    let (mut objects, mut after) = (BTreeSet::new(), None);
    loop {
        let page = store.list(after.as_ref(), 200).await.unwrap();
        let Some(last) = page.last() else { return objects };
        after = Some(last.hash);
        objects.extend(page.iter().map(|object| object.hash.to_string()));
    }
}

/// Every row of the table of media.
async fn rows(env: &Env) -> Vec<MediaDetail> {
    let (mut rows, mut before) = (Vec::new(), None);
    loop {
        let filter = MediaFilter { before, limit: 1_000, ..MediaFilter::default() };
        let page = inspect::list(&env.db, &filter).await.unwrap();
        let Some(last) = page.last() else { return rows };
        before = Some(last.id);
        rows.extend(page);
    }
}

/// What is left after the next upkeep, when everything left is old enough for it.
async fn assert_nothing_is_left(env: &Env, plan: &Plan, store: &MediaStore) {
    env.clock.advance(Clock::system().now() + TimeDelta::days(8) - env.clock.now());
    let keeper = Keeper::with(env, media(fetcher_up_to(MOST), store.clone()), no_provider(env));
    let actor = Actor { name: "operator:ana".to_owned(), reason: None };
    let mut runs = Vec::new();
    for job in ["upkeep.media", "media.orphans"] {
        runs.push(run_now(&keeper.services.upkeep, job, false, &actor).await.unwrap().unwrap());
        // The event that told of a file may have died three times before it could enqueue the download.
        keeper.kit().drain().await.unwrap();
    }
    let left = keeper.rows("tasks WHERE state <> 'done'", "kind state attempt crashes last_error").await;
    assert_eq!(runs[1].bytes, 0, "no content was ever without a row: {runs:?}");
    assert_eq!(std::fs::read_dir(store.temp_dir()).unwrap().count(), 0);

    let (mut named, mut given_up, mut gone) = (BTreeSet::new(), BTreeSet::new(), 0);
    let rows = rows(env).await;
    assert_eq!(rows.len(), plan.files);
    for row in rows {
        let why = row.error.unwrap_or_default();
        gone += usize::from(why.starts_with("the link is gone"));
        match row.state.as_str() {
            "stored" => drop(named.insert(row.sha256.unwrap())),
            // Three deaths over one file are the last that is tried with it.
            "failed" => {
                assert!(
                    ["the link is gone", "the download is a dead letter: its worker died 3 times"]
                        .iter()
                        .any(|reason| why.starts_with(reason)),
                    "{why}"
                );
                // Its row names a content from before that is stored, and goes on to: the download can be retried.
                given_up.extend(row.sha256);
            }
            other => panic!("file {} is {other}: {left:#?}", row.id),
        }
    }
    assert_eq!(gone, plan.files / 50);
    let mut there = objects(store).await;
    there.retain(|content| named.contains(content) || !given_up.contains(content));
    assert_eq!(there, named, "each content is there once, and nothing else");
}

both_engines! {
    async fn killed_at_random_during_downloads_it_leaves_no_orphan_and_every_row_its_end(env: Env) {
        let plan = Plan { files: 500, large_every: 100, kills: 12 };
        tell(&env, &plan).await;
        kill(&env, &plan, Program::new(&env, &["serve"]), soon).await;
        let store = MediaStore::local(env.folder().join("media")).await.unwrap();
        assert_nothing_is_left(&env, &plan, &store).await;
    }

    async fn killed_at_random_while_it_fills_a_bucket_it_leaves_no_upload_half_done_either(env: Env) {
        let plan = Plan { files: 200, large_every: 12, kills: 8 };
        tell(&env, &plan).await;
        let server = S3Server::start().await;
        let program = server.keep_for(Program::new(&env, &["serve"]));
        kill(&env, &plan, program, async |random: &mut StdRng| amid_an_upload(&server, random).await).await;
        let cut_off = server.unfinished();
        assert!(cut_off > 0, "no upload was cut off");
        let store = server.store(&env.folder().join("media")).await;
        assert_nothing_is_left(&env, &plan, &store).await;
        assert_eq!((server.unfinished(), server.parts()), (0, 0), "{cut_off} uploads were cut off");
    }
}
