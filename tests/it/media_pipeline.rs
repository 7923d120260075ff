//! From what customers send to files that can be opened. The simulator tells of pictures, voice, documents, cards and a
//! virus; the real program fetches, scans and keeps them, in a folder and in a bucket; and both come to the same.

use std::collections::{BTreeMap, BTreeSet};

use image::imageops::FilterType;
use reqwest::StatusCode;
use serde_json::Value;
use trunkline_openphone::event::Generation;
use trunkline_openphone::factory::{Factory, FactoryEvent, MediaKind, render};
use trunkline_openphone::simulator::{Simulator, SimulatorHandle};
use trunkline_platform::task::TaskState;

use crate::harness::s3::S3Server;
use crate::harness::{Env, Program, both_engines, provider, start_time, until};
use crate::kept::Keeper;
use crate::media_checks::left_in_temp;
use crate::servers::clamd::SIGNATURE;
use crate::servers::{self, Clamd};

/// Of each kind of happening, by each generation that tells of files.
const EACH: usize = 6;
/// How far the colours of a thumbnail may lie from those of its picture, both looked at from afar. Of 255.
const ALIKE: f64 = 10.0;

fn happenings(simulator: &SimulatorHandle) -> Vec<FactoryEvent> {
    let mut factory = Factory::new(8).with_media_base(simulator.url().join("media/").unwrap());
    let mut events = Vec::new();
    for generation in [Generation::Dated, Generation::App] {
        for _ in 0..EACH {
            events.extend(factory.picture_message(generation, start_time()));
            events.extend(factory.document_message(generation, start_time()));
            events.extend(factory.answered_call(generation, start_time()));
            events.extend(factory.missed_call(generation, start_time()));
            events.extend(factory.infected_message(generation, start_time()));
        }
    }
    let kinds: BTreeSet<&str> =
        events.iter().flat_map(|event| &event.media).map(|file| file.content_type.as_str()).collect();
    assert_eq!(kinds, MediaKind::ALL.map(MediaKind::content_type).into(), "every kind is sent");
    events
}

fn program(env: &Env, clamd: &Clamd, simulator: &SimulatorHandle) -> Program {
    Program::new(env, &["serve"])
        .allow_host(simulator.addr())
        .set("TRUNKLINE_MEDIA_SCAN", "required")
        .set("TRUNKLINE_MEDIA_CLAMD", clamd.address())
        .set("TRUNKLINE_MEDIA_CLAMD_MAX_BYTES", "8MiB")
        .set("TRUNKLINE_MEDIA_MAX_BYTES", "8MiB")
}

/// A row of the table of media, and the file it is of.
struct Row {
    id: i64,
    name: String,
    state: String,
    sha256: String,
    media_type: String,
    thumbnail: String,
    signature: String,
}

async fn rows(keeper: &Keeper<'_>) -> Vec<Row> {
    let lines = keeper.rows("media", "id url state sha256 media_type thumbnail_sha256 signature").await;
    let row = |line: String| {
        let [_, id, url, state, sha256, media_type, thumbnail, signature]: [String; 8] =
            line.split(' ').map(str::to_owned).collect::<Vec<_>>().try_into().unwrap();
        let name = url.rsplit('/').next().unwrap().to_owned();
        Row { id: id.parse().unwrap(), name, state, sha256, media_type, thumbnail, signature }
    };
    lines.into_iter().map(row).collect()
}

/// Asks for every file as an operator does: what is kept comes byte for byte, and nothing of what is in quarantine.
async fn assert_served(program: &Program, rows: &[Row]) {
    let made =
        program.run(&["keys", "create", "ana", "--scope", "read,pii", "--by", "ana", "--json"]).unwrap();
    let made: Value = serde_json::from_str(&made).unwrap();
    let key = made["token"].as_str().unwrap();
    let get = async |row: &Row, part: &str| {
        let url = program.url(&format!("/api/v1/media/{}/{part}", row.id));
        reqwest::Client::new().get(url).bearer_auth(key).send().await.unwrap()
    };
    for row in rows {
        let answer = get(row, "content").await;
        if row.state == "stored" {
            assert_eq!(answer.headers()["content-type"], row.media_type.as_str());
            assert!(answer.bytes().await.unwrap() == render(&row.name).unwrap().bytes, "{}", row.name);
        } else {
            assert_eq!(answer.status(), StatusCode::NOT_FOUND);
            assert_eq!(answer.json::<Value>().await.unwrap()["code"], "not_stored");
            assert_eq!(get(row, "thumbnail").await.status(), StatusCode::NOT_FOUND);
        }
    }
}

/// Looks at what a store came to, and tells it: the contents by the files' names.
async fn contents(keeper: &Keeper<'_>, rows: &[Row]) -> BTreeMap<String, String> {
    let (mut named, mut contents) = (BTreeSet::new(), BTreeMap::new());
    for row in rows {
        let sent = render(&row.name).unwrap();
        if row.name.ends_with(".txt") {
            assert_eq!((row.state.as_str(), row.sha256.as_str()), ("quarantined", "-"));
            assert_eq!(row.signature, SIGNATURE);
            continue;
        }
        assert_eq!(
            (row.state.as_str(), row.media_type.as_str()),
            ("stored", sent.content_type),
            "{}",
            row.name
        );
        let kept = keeper.stored(&row.sha256.parse().unwrap()).await;
        assert!(kept == sent.bytes, "{} is not what was sent", row.name);
        assert_eq!(row.thumbnail != "-", sent.content_type.starts_with("image/"), "{}", row.name);
        if row.thumbnail != "-" {
            let small = keeper.stored(&row.thumbnail.parse().unwrap()).await;
            let apart = apart(&kept, &small);
            assert!(apart < ALIKE, "{}: the thumbnail is {apart} off", row.name);
            if let Some(folder) = std::env::var_os("THUMBNAILS") {
                std::fs::write(std::path::Path::new(&folder).join(&row.name), small).unwrap();
            }
        }
        named.extend([&row.sha256, &row.thumbnail].into_iter().filter(|hash| *hash != "-").cloned());
        contents.insert(row.name.clone(), format!("{} {}", row.sha256, row.thumbnail));
    }
    let objects = keeper.services.media.store.list(None, 1_000).await.unwrap();
    let objects: Vec<String> = objects.iter().map(|object| object.hash.to_string()).collect();
    assert_eq!(objects, named.into_iter().collect::<Vec<_>>(), "one object for each content, and no other");
    let stored = rows.iter().filter(|row| row.state == "stored").count();
    assert!(contents.len() < stored, "a picture that was sent twice is kept once");
    assert_eq!(left_in_temp(keeper), 0);
    contents
}

/// How far the colours of two pictures lie apart, looked at from afar.
fn apart(one: &[u8], other: &[u8]) -> f64 {
    let far = |picture| {
        image::load_from_memory(picture)
            .unwrap()
            .resize_exact(12, 9, FilterType::Triangle)
            .to_rgb8()
            .into_raw()
    };
    let (one, other): (Vec<u8>, Vec<u8>) = (far(one), far(other));
    let sum: u32 = one.iter().zip(&other).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
    f64::from(sum) / one.len() as f64
}

both_engines! {
    async fn whatever_customers_send_comes_to_the_same_in_a_folder_and_in_a_bucket(env: Env) {
        let clamd = tokio::task::block_in_place(servers::clamd).unwrap();
        let (server, folder) = (S3Server::start().await, tempfile::tempdir().unwrap());
        let simulator = Simulator::start(provider()).await.unwrap();
        let events = happenings(&simulator);
        let in_folder = (Keeper::new(&env).await, program(&env, clamd, &simulator));
        let in_bucket = (
            Keeper::on(&env, server.store(folder.path()).await),
            server.keep_for(program(&env, clamd, &simulator)),
        );
        let mut ends = Vec::new();
        for (keeper, mut program) in [in_folder, in_bucket] {
            keeper.forget().await;
            program.start().await.unwrap();
            simulator.set_target(Some(program.url("/webhooks/openphone").parse().unwrap()));
            for event in &events {
                simulator.emit(event.clone()).await.unwrap();
            }
            let tasks = env.live_tasks();
            until("all work is done", async || {
                let counts = tasks.count_by_kind().await.unwrap();
                !counts.is_empty() && counts.iter().all(|row| row.state == TaskState::Done)
            })
            .await;
            let rows = rows(&keeper).await;
            assert_served(&program, &rows).await;
            program.stop().await.unwrap();
            ends.push(contents(&keeper, &rows).await);
        }
        assert_eq!(ends[0], ends[1]);
    }
}
