//! Files whose time is over, legal hold, and contents that several rows share.

use std::time::Duration;

use chrono::TimeDelta;
use trunkline_jobs::Services;
use trunkline_jobs::media::{DownloadMedia, MediaId, act, purge};
use trunkline_jobs::upkeep;
use trunkline_platform::audit::{self, Actor, AuditFilter};
use trunkline_platform::testkit::run_job;

use crate::harness::host::{Host, message};
use crate::harness::{Env, both_engines};
use crate::kept::Keeper;

const DAY: Duration = Duration::from_secs(86_400);

fn ana() -> Actor {
    Actor { name: "operator:ana".to_owned(), reason: Some("case 17".to_owned()) }
}

async fn objects(keeper: &Keeper<'_>) -> usize {
    keeper.services.media.store.list(None, 1_000).await.unwrap().len()
}

both_engines! {
    async fn files_go_when_their_time_is_over_and_those_under_hold_stay(env: Env) {
        let keeper = Keeper::new(&env).await;
        let host = Host::start().await;
        let (shared, own) = (host.put("a", "text/plain", "shared"), host.put("b", "text/plain", "own"));
        keeper.tell_and_work(&[message("1", &[(&shared, None), (&own, None)]), message("2", &[(&shared, None)])]).await;
        let acted = act::hold(&keeper.tasks, &[MediaId(1), MediaId(99)], true, &ana()).await.unwrap();
        assert!(acted[0].done && !acted[1].done);

        let mut upkeep = keeper.services.upkeep.clone();
        upkeep.retention.media.attachments = Some(DAY * 30);
        env.clock.advance(TimeDelta::days(29));
        let early = upkeep::run_now(&upkeep, "media.purge", false, &ana()).await.unwrap().unwrap();
        assert_eq!(early.rows, 0);
        env.clock.advance(TimeDelta::days(2));
        let counted = upkeep::run_now(&upkeep, "media.purge", true, &ana()).await.unwrap().unwrap();
        let freed = upkeep::run_now(&upkeep, "media.purge", false, &ana()).await.unwrap().unwrap();
        assert_eq!((counted.rows, counted.bytes), (2, 9));
        assert_eq!((freed.rows, freed.bytes), (2, 9), "{freed:?}");
        let rows = keeper.rows("media", "id state url").await;
        assert_eq!(rows[1..], ["media 2 purged ", "media 3 purged "]);
        assert!(rows[0].starts_with("media 1 stored http"), "{rows:?}");
        assert_eq!(objects(&keeper).await, 1, "the one under hold still names what was shared");

        let refused = purge::purge_chosen(&env.db, &upkeep.store, &[MediaId(1)], &ana(), env.clock.now()).await.unwrap();
        assert!(refused.files.is_empty());
        act::hold(&keeper.tasks, &[MediaId(1)], false, &ana()).await.unwrap();
        let purged = purge::purge_chosen(&env.db, &upkeep.store, &[MediaId(1)], &ana(), env.clock.now()).await.unwrap();
        assert_eq!((purged.files.len(), purged.contents, purged.left), (1, 1, 0));
        assert_eq!(objects(&keeper).await, 0);
        let book = audit::list(&env.db, &AuditFilter { subject: Some("media:1".to_owned()), limit: 10, ..AuditFilter::default() }).await.unwrap();
        let acts: Vec<&str> = book.iter().rev().map(|entry| entry.action.as_str()).collect();
        assert_eq!(acts, ["media.hold", "media.release", "media.purge"]);

        let again = run_job(&DownloadMedia { media: MediaId(1) }, keeper.services.clone(), env.clock.clone()).await;
        assert!(again.unwrap_err().error.to_string().contains("purged"), "what is purged is not fetched again");
    }

    /// Purging a content and downloading the same one at the same moment, in every order that comes about.
    async fn a_content_that_is_purged_while_it_is_downloaded_is_there_or_was_never_stored(env: Env) {
        let keeper = Keeper::new(&env).await;
        let host = Host::start().await;
        let link = host.put("a", "text/plain", "shared");
        for round in 0..25 {
            let (old, new) = (MediaId(2 * round + 1), MediaId(2 * round + 2));
            keeper.tell(&[message(&format!("{round}x"), &[(&link, None)])]).await;
            keeper.kit().drain().await.unwrap();
            keeper.tell(&[message(&format!("{round}y"), &[(&link, None)])]).await;
            let services: &Services = &keeper.services;
            let store = services.media.store.clone();
            let (ids, actor, now) = ([old], ana(), env.clock.now());
            let purging = purge::purge_chosen(&env.db, &store, &ids, &actor, now);
            let kit = keeper.kit();
            let (purged, drained) = tokio::join!(purging, kit.drain());
            purged.unwrap();
            drained.unwrap();
            kit.advance(TimeDelta::minutes(1)).await.unwrap();
            let rows = keeper.rows("media", "id state sha256").await;
            let stored: Vec<&String> = rows.iter().filter(|row| row.contains(" stored ")).collect();
            assert_eq!(stored.len(), 1, "{rows:?}");
            assert!(stored[0].starts_with(&format!("media {new} ")), "{rows:?}");
            let hash = stored[0].split(' ').nth(3).unwrap().parse().unwrap();
            assert_eq!(keeper.stored(&hash).await, b"shared");
            purge::purge_chosen(&env.db, &store, &[new], &ana(), env.clock.now()).await.unwrap();
            assert_eq!(objects(&keeper).await, 0, "round {round}");
        }
    }
}
