//! Files and the virus scanner: a real clamd that knows the EICAR test file.

use chrono::TimeDelta;
use trunkline_jobs::media::scan::Scanner;
use trunkline_jobs::media::{DownloadMedia, RescanMedia};
use trunkline_platform::task::{NewTask, TaskState};

use crate::harness::host::{Host, message};
use crate::harness::{Env, Program, both_engines};
use crate::kept::{Keeper, fetcher, fetcher_up_to, media, no_provider, store};
use crate::media_checks::left_in_temp;
use crate::servers::clamd::{SIGNATURE, STREAM_MAX, eicar};
use crate::servers::{self, Clamd};

pub(crate) fn scanner(clamd: &Clamd) -> Scanner {
    let clamd = clamd.address().parse().unwrap();
    Scanner { clamd, timeout: std::time::Duration::from_secs(30), max_bytes: STREAM_MAX }
}

async fn scanning<'e>(env: &'e Env, clamd: &Clamd) -> Keeper<'e> {
    let mut media = media(fetcher(), store(env.folder()).await);
    media.scanner = Some(scanner(clamd));
    Keeper::with(env, media, no_provider(env))
}

async fn contents(keeper: &Keeper<'_>) -> Vec<Vec<u8>> {
    let mut contents = Vec::new();
    for object in keeper.services.media.store.list(None, 100).await.unwrap() {
        contents.push(keeper.stored(&object.hash).await);
    }
    contents
}

both_engines! {
    async fn what_the_scanner_finds_is_in_quarantine_and_nothing_of_it_is_kept(env: Env) {
        let keeper = scanning(&env, tokio::task::block_in_place(servers::clamd).unwrap()).await;
        let host = Host::start().await;
        let (bad, good) = (host.put("bad", "text/plain", eicar()), host.put("good", "text/plain", "see you at 5"));
        keeper.tell_and_work(&[message("1", &[(&bad, None), (&good, None)]), message("2", &[(&bad, None)])]).await;
        let rows = keeper.rows("media", "state owner_id position signature path").await;
        assert_eq!(rows[0], format!("media quarantined AC1 0 {SIGNATURE} -"));
        assert_eq!(rows[1], format!("media quarantined AC2 0 {SIGNATURE} -"));
        assert!(rows[2].starts_with("media stored AC1 1 - "), "{rows:?}");
        assert_eq!(contents(&keeper).await, [b"see you at 5"]);
        assert_eq!(left_in_temp(&keeper), 0);
        let scanned = keeper.rows("media", "scanned_at").await;
        assert!(scanned.iter().all(|row| !row.ends_with('-')), "{scanned:?}");
        for task in keeper.kit().enqueued::<DownloadMedia>().await.unwrap() {
            assert_eq!((task.state, task.attempt), (TaskState::Done, 1), "never tried again");
        }
    }

    async fn while_the_scanner_is_away_a_file_waits_unopened_and_survives_its_link(env: Env) {
        let mut clamd = tokio::task::block_in_place(Clamd::start).unwrap();
        let keeper = scanning(&env, &clamd).await;
        let host = Host::start().await;
        let link = host.put("note", "text/plain", "see you at 5");
        let program = Program::new(&env, &["serve"])
            .set("TRUNKLINE_MEDIA_SCAN", "required")
            .set("TRUNKLINE_MEDIA_CLAMD", clamd.address());
        let doctor = || tokio::task::block_in_place(|| program.run_to_code(&["doctor"])).unwrap().1;
        let away = "The virus scanner: cannot reach the virus scanner";
        assert!(!doctor().contains(away));
        clamd.stop().unwrap();
        assert!(doctor().contains(away), "{}", doctor());
        keeper.tell_and_work(&[message("1", &[(&link, None)])]).await;
        host.remove("note");
        let kit = keeper.kit();
        for _ in 0..50 {
            kit.advance(TimeDelta::minutes(2)).await.unwrap();
        }
        let rows = keeper.rows("media", "state path").await;
        assert_eq!(rows, ["media pending -"], "not stored, so that nobody can open it");
        let task = &kit.enqueued::<DownloadMedia>().await.unwrap()[0];
        assert_eq!(task.state, TaskState::Pending);
        assert_eq!(task.attempt, task.refunds, "waiting is no try");
        assert_eq!(host.requests(), 1, "it is fetched once");

        tokio::task::block_in_place(|| clamd.start_again()).unwrap();
        assert!(!doctor().contains(away));
        kit.advance(TimeDelta::minutes(5)).await.unwrap();
        let rows = keeper.rows("media", "state error").await;
        assert_eq!(rows, ["media stored -"]);
        assert_eq!(contents(&keeper).await, [b"see you at 5"]);
        assert_eq!(left_in_temp(&keeper), 0);
    }

    async fn a_file_that_clamd_refuses_for_its_size_ends_with_the_reason_and_is_no_wait(env: Env) {
        let clamd = tokio::task::block_in_place(servers::clamd).unwrap();
        let mut media = media(fetcher_up_to(64 << 20), store(env.folder()).await);
        // As if the operator had said that clamd takes more than it does.
        media.scanner = Some(Scanner { max_bytes: 64 << 20, ..scanner(clamd) });
        let keeper = Keeper::with(&env, media, no_provider(&env));
        let host = Host::start().await;
        let large = host.put("large", "text/plain", "far too large ".repeat(STREAM_MAX as usize / 4));
        let small = host.put("small", "text/plain", "see you at 5");
        keeper.tell_and_work(&[message("1", &[(&large, None), (&small, None)])]).await;
        let rows = keeper.rows("media", "position state error").await;
        assert!(rows[0].starts_with("media 0 failed the virus scanner tcp://127.0.0.1:"), "{rows:?}");
        assert!(rows[0].contains("its StreamMaxLength is below media.clamd_max_bytes"), "{rows:?}");
        assert_eq!(rows[1], "media 1 stored -");
        assert_eq!(contents(&keeper).await, [b"see you at 5"]);
        assert_eq!(left_in_temp(&keeper), 0);
    }

    async fn a_later_scan_finds_what_was_not_known_and_every_row_of_it(env: Env) {
        let clamd = tokio::task::block_in_place(servers::clamd).unwrap();
        let before = Keeper::new(&env).await;
        let host = Host::start().await;
        let (bad, good) = (host.put("bad", "text/plain", eicar()), host.put("good", "text/plain", "see you at 5"));
        before.tell_and_work(&[message("1", &[(&bad, None), (&good, None)]), message("2", &[(&bad, None)])]).await;
        assert_eq!(contents(&before).await.len(), 2);

        let keeper = scanning(&env, clamd).await;
        let rescan = RescanMedia { after: 0, through: 3, since: env.clock.now() };
        keeper.tasks.enqueue(&[NewTask::of(&rescan).unwrap()]).await.unwrap();
        keeper.kit().drain().await.unwrap();
        let rows = keeper.rows("media", "state owner_id signature").await;
        let found = [1, 2].map(|n| format!("media quarantined AC{n} {SIGNATURE}"));
        assert_eq!(rows[..2], found);
        assert_eq!(rows[2], "media stored AC1 -");
        assert_eq!(contents(&keeper).await, [b"see you at 5"]);
        assert_eq!(left_in_temp(&keeper), 0);
    }
}
