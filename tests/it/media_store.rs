//! Media in a folder and in a bucket: what a store promises, both must keep.

use std::io::Write;
use std::time::Duration;

use chrono::TimeDelta;
use sha2::{Digest, Sha256};
use tempfile::{NamedTempFile, TempDir};
use tokio::io::AsyncReadExt;
use trunkline_jobs::media::{self, MediaStore, Sha256Hash, StoreError};
use trunkline_platform::clock::Clock;
use trunkline_platform::task::TaskState;

use crate::harness::s3::S3Server;
use crate::harness::{Env, Program, both_engines, provider, provider_for, until};

/// Three parts.
const LARGE: usize = 40 << 20;

fn content(size: usize, seed: u8) -> Vec<u8> {
    (0..size).map(|place| (place / 7 % 251) as u8 ^ seed).collect()
}

fn hash_of(content: &[u8]) -> Sha256Hash {
    <[u8; 32]>::from(Sha256::digest(content)).into()
}

fn file(store: &MediaStore, content: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new_in(store.temp_dir()).unwrap();
    file.write_all(content).unwrap();
    file
}

async fn keep(store: &MediaStore, content: &[u8]) -> Result<Sha256Hash, StoreError> {
    let hash = hash_of(content);
    store.keep(file(store, content), &hash, "image/png").await.map(|_| hash)
}

async fn read(store: &MediaStore, hash: &Sha256Hash, range: Option<std::ops::Range<u64>>) -> (u64, Vec<u8>) {
    let mut opened = store.open(hash, range).await.unwrap();
    let mut content = Vec::new();
    opened.body.read_to_end(&mut content).await.unwrap();
    (opened.size, content)
}

fn told(error: StoreError) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

fn left_in_temp(store: &MediaStore) -> usize {
    std::fs::read_dir(store.temp_dir()).unwrap().count()
}

async fn bucket() -> (S3Server, TempDir, MediaStore) {
    let (server, folder) = (S3Server::start().await, tempfile::tempdir().unwrap());
    let store = server.store(folder.path()).await;
    (server, folder, store)
}

/// A store of each kind. The rest is what they stand on.
async fn stores() -> ((S3Server, TempDir), [MediaStore; 2]) {
    let (server, folder, in_bucket) = bucket().await;
    let in_folder = MediaStore::local(folder.path().join("local")).await.unwrap();
    ((server, folder), [in_folder, in_bucket])
}

both_engines! {
    async fn the_program_keeps_its_media_in_a_bucket(env: Env) {
        let server = S3Server::start().await;
        let mut config = provider();
        config.rate_per_second = 100.0;
        config.max_events = Some(30);
        config.seed = 3;
        let mut program = server.keep_for(Program::new(&env, &["serve"]));
        let simulator = provider_for(&program, config).await;
        program = program.allow_host(simulator.addr());
        program.start().await.unwrap();
        simulator.idle().await;
        let tasks = env.live_tasks();
        until("all work is done", async || {
            let counts = tasks.count_by_kind().await.unwrap();
            !counts.is_empty() && counts.iter().all(|row| row.state == TaskState::Done)
        })
        .await;
        let count = media::count(&env.db).await.unwrap();
        assert!(count.stored > 0);
        assert!(server.objects().len() as i64 >= count.files, "thumbnails are there as well");
        for path in server.objects() {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert_eq!(hash_of(&std::fs::read(path).unwrap()).to_string(), name);
        }
        let ready = reqwest::get(program.url("/readyz")).await.unwrap().text().await.unwrap();
        assert!(ready.contains(r#""media_store":{"ok":true}"#), "{ready}");
        let freed = program.run(&["upkeep", "run", "media.orphans", "--json", "--by", "ana"]).unwrap();
        assert!(freed.contains(r#""rows": 0"#) || freed.contains(r#""rows":0"#), "{freed}");
        program.stop().await.unwrap();
        let log = program.output();
        assert!(!log.contains("test-secret-key") && !log.contains("test-access-key"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_hands_out_what_it_has_and_any_part_of_it_and_nothing_else() {
    let (_ground, stores) = stores().await;
    for store in stores {
        let picture = content(1_000, 1);
        let hash = keep(&store, &picture).await.unwrap();
        keep(&store, &picture).await.unwrap();
        assert_eq!(store.list(None, 10).await.unwrap().len(), 1);
        assert_eq!(left_in_temp(&store), 0);
        assert_eq!(read(&store, &hash, None).await, (1_000, picture.clone()));
        for range in [0..1, 10..20, 990..1_000, 990..5_000] {
            let part = &picture[range.start as usize..range.end.min(1_000) as usize];
            assert_eq!(read(&store, &hash, Some(range)).await, (1_000, part.to_vec()));
        }
        for range in [1_000..1_001, 5..5] {
            let error = store.open(&hash, Some(range)).await.unwrap_err();
            assert!(matches!(error, StoreError::OutOfRange { .. }), "{}", told(error));
        }
        store.check().await.unwrap();
        for _ in 0..2 {
            store.delete(&hash).await.unwrap();
            assert!(!store.exists(&hash).await.unwrap());
            assert!(
                matches!(store.open(&hash, None).await, Err(StoreError::Missing(missing)) if missing == hash)
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_listed_in_order_page_by_page_and_strangers_passed_over() {
    let ((server, _folder), stores) = stores().await;
    for store in stores {
        let mut hashes = Vec::new();
        for seed in 0..7 {
            hashes.push(keep(&store, &content(10, seed)).await.unwrap());
        }
        hashes.sort_unstable();
        let stranger = server.objects().first().map(|path| path.with_file_name("notes.txt"));
        stranger.iter().for_each(|path| std::fs::write(path, "not ours").unwrap());
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let page = store.list(after.as_ref(), 3).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.hash);
            assert!(page.len() <= 3 && page.iter().all(|object| object.size == 10));
            listed.extend(page.iter().map(|object| object.hash));
        }
        assert_eq!(listed, hashes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_goes_into_the_bucket_in_parts_and_comes_out_whole() {
    let (server, _folder, store) = bucket().await;
    let recording = content(LARGE, 2);
    let hash = keep(&store, &recording).await.unwrap();
    assert_eq!((server.received(), server.unfinished(), server.parts()), (3, 0, 0));
    assert!(read(&store, &hash, None).await == (LARGE as u64, recording.clone()), "not the same bytes");
    assert_eq!(server.content_type(&server.objects()[0]), "image/png");
    keep(&store, &recording).await.unwrap();
    assert_eq!(server.received(), 3, "what is there is not sent again");
    assert_eq!(left_in_temp(&store), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_fails_leaves_nothing_behind_and_the_error_names_the_object() {
    let (server, _folder, store) = bucket().await;
    let recording = content(LARGE, 3);
    server.break_part(Some(2));
    let error = told(keep(&store, &recording).await.unwrap_err());
    let (hash, at) = (hash_of(&recording).to_string(), "cannot store a part of s3://media/kept/");
    assert!(error.starts_with(at) && error.contains(&hash) && error.contains("InternalError"), "{error}");
    assert!(!error.contains("secret-key"), "{error}");
    assert_eq!((server.objects().len(), server.unfinished(), server.parts()), (0, 0, 0));
    assert_eq!(left_in_temp(&store), 0);
    server.break_part(None);
    keep(&store, &recording).await.unwrap();
    assert_eq!(server.objects().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_changed_is_refused_by_its_checksum() {
    let (server, _folder, store) = bucket().await;
    server.corrupt(true);
    for size in [1_000, LARGE] {
        let error = told(keep(&store, &content(size, 4)).await.unwrap_err());
        assert!(error.contains("400 BadDigest"), "{error}");
    }
    server.corrupt(false);
    // The same when the file changed on this side.
    for (size, reason) in [(1_000, "BadDigest"), (LARGE, "no longer has the content")] {
        let (changed, hash) = (content(size, 5), hash_of(&content(size, 6)));
        let error = told(store.keep(file(&store, &changed), &hash, "image/png").await.unwrap_err());
        assert!(error.contains(reason), "{error}");
    }
    assert_eq!((server.objects().len(), server.unfinished(), server.parts()), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_was_cut_off_is_ended_by_a_later_sweep_and_a_running_one_is_not() {
    let (server, _folder, store) = bucket().await;
    let recording = content(LARGE, 7);
    tokio::select! {
        _ = keep(&store, &recording) => panic!("it was not cut off"),
        () = until("the upload has begun", async || server.unfinished() == 1) => {}
    }
    let day_before = Clock::system().now() - TimeDelta::days(1);
    assert_eq!(store.abort_uploads(day_before).await.unwrap(), 0);
    server.age_uploads(TimeDelta::days(2));
    assert_eq!(store.abort_uploads(day_before).await.unwrap(), 1);
    assert_eq!((server.objects().len(), server.unfinished(), server.parts()), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_link_works_for_anybody_as_what_it_was_made_for_until_it_expires() {
    let (server, folder, store) = bucket().await;
    let picture = content(1_000, 8);
    let hash = keep(&store, &picture).await.unwrap();
    let link =
        store.presigned(&hash, "image/webp", "attachment; filename=\"a.webp\"").await.unwrap().unwrap();
    let answer = reqwest::get(link.clone()).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "image/webp");
    assert_eq!(answer.headers()["content-disposition"], "attachment; filename=\"a.webp\"");
    assert_eq!(answer.bytes().await.unwrap(), picture);
    let mut unsigned = link;
    unsigned.set_query(None);
    assert_eq!(reqwest::get(unsigned).await.unwrap().status(), 403);

    let mut settings = server.settings();
    settings.presign = Some(Duration::from_secs(1));
    let brief = MediaStore::s3(settings.clone(), folder.path().to_owned()).await.unwrap();
    let link = brief.presigned(&hash, "image/webp", "inline").await.unwrap().unwrap();
    until("the link has expired", async || reqwest::get(link.clone()).await.unwrap().status() == 403).await;

    settings.presign = None;
    let silent = MediaStore::s3(settings, folder.path().to_owned()).await.unwrap();
    let local = MediaStore::local(folder.path().join("local")).await.unwrap();
    for store in [silent, local] {
        assert_eq!(store.presigned(&hash, "image/webp", "inline").await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_cannot_be_used_is_told_with_the_reason_and_no_key() {
    let (server, folder, _) = bucket().await;
    let (mut wrong_key, mut wrong_bucket, mut nobody) =
        (server.settings(), server.settings(), server.settings());
    if let Some(keys) = &mut wrong_key.keys {
        keys.secret_key = "another-secret-key".into();
    }
    wrong_bucket.bucket = "elsewhere".to_owned();
    nobody.endpoint = Some("http://127.0.0.1:1".parse().unwrap());
    for (settings, reason) in [(wrong_key, "403"), (wrong_bucket, "404"), (nobody, "onnect")] {
        let bucket = settings.bucket.clone();
        let store = MediaStore::s3(settings, folder.path().to_owned()).await.unwrap();
        let error = told(store.check().await.unwrap_err());
        assert!(
            error.starts_with(&format!("cannot reach s3://{bucket}/")) && error.contains(reason),
            "{error}"
        );
        let error = told(keep(&store, b"picture").await.unwrap_err());
        assert!(error.contains(reason) && !error.contains("secret-key"), "{error}");
        assert_eq!(left_in_temp(&store), 0);
    }
}
