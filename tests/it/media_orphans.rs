//! What belongs to nothing leaves the media store, and nothing else does.

use std::io::Write;

use chrono::TimeDelta;
use serde_json::json;
use sha2::{Digest, Sha256};
use tempfile::{NamedTempFile, TempDir};
use trunkline_jobs::media::contents::hold;
use trunkline_jobs::media::{MediaStore, Sha256Hash};
use trunkline_jobs::upkeep::{self, ChoreError, Freed};
use trunkline_platform::audit::Actor;
use trunkline_platform::db::Engine;

use crate::harness::s3::S3Server;
use crate::harness::{Env, both_engines};
use crate::kept::Keeper;
use crate::media::host;

trunkline_platform::statements! {
    CONTENT_COLUMNS = split {
        postgres: "SELECT CAST(column_name AS TEXT) AS name FROM information_schema.columns
                   WHERE table_name = 'media' AND column_name LIKE '%sha256' AND column_name NOT LIKE 'former%'",
        sqlite: "SELECT name FROM pragma_table_info('media') WHERE name LIKE '%sha256' AND name NOT LIKE 'former%'",
    }
    COUNT_CONTENTS = same { "SELECT COUNT(*) AS count FROM media_contents" }
}

#[derive(sqlx::FromRow)]
struct Column {
    name: String,
}

#[derive(sqlx::FromRow)]
struct Count {
    count: i64,
}

async fn stores(env: &Env) -> (S3Server, TempDir, [MediaStore; 2]) {
    let (server, folder) = (S3Server::start().await, tempfile::tempdir().unwrap());
    let in_bucket = server.store(folder.path()).await;
    let in_folder = MediaStore::local(env.folder().join("media")).await.unwrap();
    (server, folder, [in_folder, in_bucket])
}

async fn keep(store: &MediaStore, content: &str) -> Sha256Hash {
    let mut file = NamedTempFile::new_in(store.temp_dir()).unwrap();
    file.write_all(content.as_bytes()).unwrap();
    let hash = <[u8; 32]>::from(Sha256::digest(content)).into();
    store.keep(file, &hash, "text/plain").await.unwrap();
    hash
}

/// Lets the clock be so much later than the newest file of the store is.
async fn age(env: &Env, store: &MediaStore, by: TimeDelta) {
    let newest = store.list(None, 100).await.unwrap().iter().map(|object| object.modified).max().unwrap();
    env.clock.advance(newest + by - env.clock.now());
}

async fn run(keeper: &Keeper<'_>, dry_run: bool) -> Result<Freed, ChoreError> {
    let actor = Actor { name: "operator:ana".to_owned(), reason: None };
    let freed = upkeep::run_now(&keeper.services.upkeep, "media.orphans", dry_run, &actor).await;
    freed.map(|freed| freed.expect("the job is known"))
}

/// Claims a content as a download does; false while it is being removed.
async fn held(env: &Env, hash: &Sha256Hash) -> bool {
    let mut tx = env.db.write().await.unwrap();
    let held = hold(&mut tx, &[*hash], env.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    held
}

async fn contents(env: &Env) -> i64 {
    COUNT_CONTENTS.query().one::<Count>(&mut env.db.read().await.unwrap()).await.unwrap().count
}

both_engines! {
    async fn a_file_that_no_row_names_goes_when_it_is_old_and_a_named_one_stays(env: Env) {
        let (_server, _folder, stores) = stores(&env).await;
        for store in stores {
            let keeper = Keeper::on(&env, store.clone());
            keeper.forget().await;
            let url = format!("{}f-00000000000000ff.png", host().await);
            let event = json!({"id": "EV1", "apiVersion": "2026-03-30", "type": "message.received",
                "createdAt": "2026-03-02T09:00:00Z", "data": {"resource": {"id": "AC1", "direction": "incoming",
                "media": [{"url": url}]}}});
            keeper.tell_and_work(&[event.to_string()]).await;
            let named: Sha256Hash =
                keeper.rows("media", "sha256").await[0].replace("media ", "").parse().unwrap();
            let before = contents(&env).await;
            let orphan = keep(&store, "nobody's").await;
            let half = store.temp_dir().join("half");
            std::fs::write(&half, "half a picture").unwrap();

            age(&env, &store, TimeDelta::days(6)).await;
            assert_eq!(run(&keeper, true).await.unwrap().rows, 0);
            let freed = run(&keeper, false).await.unwrap();
            assert_eq!((freed.rows, freed.detail), (1, json!({"temporary_files": 1, "uploads": 0})));
            assert!(store.exists(&orphan).await.unwrap() && !half.exists());

            age(&env, &store, TimeDelta::days(8)).await;
            let counted = run(&keeper, true).await.unwrap();
            assert_eq!((counted.rows, counted.bytes), (1, 8));
            assert!(store.exists(&orphan).await.unwrap(), "a dry run removes nothing");
            let freed = run(&keeper, false).await.unwrap();
            assert_eq!((freed.rows, freed.bytes), (1, 8));
            assert!(!store.exists(&orphan).await.unwrap() && store.exists(&named).await.unwrap());
            assert_eq!(contents(&env).await, before, "nothing is left of the orphan");
        }
    }

    async fn a_content_that_somebody_is_about_to_name_stays(env: Env) {
        let (_server, _folder, [store, _]) = stores(&env).await;
        let keeper = Keeper::on(&env, store.clone());
        let hash = keep(&store, "left by a crash").await;
        age(&env, &store, TimeDelta::days(8)).await;
        assert!(held(&env, &hash).await);
        assert_eq!(run(&keeper, true).await.unwrap().rows, 0);
        assert_eq!(run(&keeper, false).await.unwrap().rows, 0);
        assert!(store.exists(&hash).await.unwrap());
    }

    async fn a_removal_that_was_cut_off_holds_the_content_until_another_has_ended_it(env: Env) {
        let (server, _folder, [_, store]) = stores(&env).await;
        let keeper = Keeper::on(&env, store.clone());
        let hash = keep(&store, "stubborn").await;
        age(&env, &store, TimeDelta::days(8)).await;
        server.refuse_deletes(true);
        let error = format!("{:#}", anyhow::Error::from(run(&keeper, false).await.unwrap_err()));
        assert!(error.contains("cannot remove s3://media/kept/") && error.contains("AccessDenied"), "{error}");
        server.refuse_deletes(false);
        assert!(!held(&env, &hash).await, "it may be gone any moment");
        assert_eq!(run(&keeper, false).await.unwrap().rows, 0, "whoever removes it may still be at it");

        env.clock.advance(TimeDelta::minutes(61));
        assert_eq!(run(&keeper, false).await.unwrap().rows, 1);
        assert!(!store.exists(&hash).await.unwrap());
        assert!(held(&env, &hash).await);
    }

    async fn every_column_that_names_a_content_is_looked_at_before_one_is_removed(env: Env) {
        let columns: Vec<Column> =
            CONTENT_COLUMNS.query().all(&mut env.db.read().await.unwrap()).await.unwrap();
        assert!(!columns.is_empty());
        for name in ["SPARE_CONTENTS", "NAMED_CONTENTS"] {
            let stmt = trunkline_jobs::statements().find(|stmt| stmt.name == name).unwrap();
            for column in &columns {
                let asked = format!("m.{} = ", column.name);
                assert!(stmt.text(Engine::Sqlite).contains(&asked), "{name} does not ask for {}", column.name);
            }
        }
    }
}
