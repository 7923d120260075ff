//! Files in a bucket handed out: through the program, or by links of the bucket itself that soon expire. What is in
//! quarantine or purged is handed out in neither way.

use std::collections::HashMap;

use chrono::TimeDelta;
use image::ImageFormat;
use reqwest::StatusCode;
use serde_json::Value;
use trunkline::access::Scope;
use trunkline_jobs::media::{MediaId, RescanMedia, purge};
use trunkline_platform::audit::Actor;
use trunkline_platform::task::NewTask;

use crate::admin::Site;
use crate::harness::host::{Host, message};
use crate::harness::s3::S3Server;
use crate::harness::{Env, both_engines};
use crate::kept::{Keeper, fetcher, media, no_provider};
use crate::listening::{CALL, assert_handed_out_in_parts, long_recording, with_recordings_in};
use crate::media_checks::picture;
use crate::media_scan::scanner;
use crate::servers::{self, clamd::eicar};

both_engines! {
    async fn a_recording_in_a_bucket_is_handed_out_whole_in_part_and_not_again_to_who_has_it(env: Env) {
        let (server, folder) = (S3Server::start().await, tempfile::tempdir().unwrap());
        let site = with_recordings_in(&env, server.store(folder.path()).await).await;
        assert_handed_out_in_parts(&site, &format!("/api/v1/calls/{CALL}/recording?redirect=false")).await;
    }

    async fn a_bucket_hands_files_out_itself_by_links_that_soon_expire(env: Env) {
        let (server, folder) = (S3Server::start().await, tempfile::tempdir().unwrap());
        let site = with_recordings_in(&env, server.store(folder.path()).await).await;
        let (read, pii) = (site.key(&[Scope::Read]).await, site.key(&[Scope::Read, Scope::Pii]).await);
        let path = format!("/api/v1/calls/{CALL}/recording");
        let refused = site.get(&path, &read).await;
        assert_eq!((refused.status(), refused.headers().get("location")), (StatusCode::FORBIDDEN, None));

        let answer = site.get(&path, &pii).await;
        assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT);
        assert_eq!(answer.headers()["cache-control"], "no-store");
        let link: url::Url = answer.headers()["location"].to_str().unwrap().parse().unwrap();
        let signed: HashMap<_, _> = link.query_pairs().collect();
        assert_eq!(signed["X-Amz-Expires"], "60");
        let part = reqwest::Client::new().get(link.clone()).header("range", "bytes=1000-1999").send().await.unwrap();
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(part.headers()["content-type"], "audio/wav");
        let disposition = part.headers()["content-disposition"].to_str().unwrap().to_owned();
        assert!(disposition.starts_with("inline; filename=\"recording-"), "{disposition}");
        assert_eq!(part.bytes().await.unwrap(), long_recording()[1_000..2_000]);
        let mut unsigned = link;
        unsigned.set_query(None);
        assert_eq!(reqwest::get(unsigned).await.unwrap().status(), StatusCode::FORBIDDEN);
    }

    async fn what_is_in_quarantine_or_purged_is_not_handed_out_from_a_bucket(env: Env) {
        let clamd = tokio::task::block_in_place(servers::clamd).unwrap();
        let (server, folder, host) = (S3Server::start().await, tempfile::tempdir().unwrap(), Host::start().await);
        let store = server.store(folder.path()).await;
        let links = [
            host.put("late", "text/plain", eicar()),
            host.put("old", "image/png", picture(ImageFormat::Png)),
            host.put("new", "image/jpeg", picture(ImageFormat::Jpeg)),
        ];
        let files: Vec<(&str, Option<&str>)> = links.iter().map(|link| (link.as_str(), None)).collect();
        Keeper::on(&env, store.clone()).tell_and_work(&[message("1", &files)]).await;
        let site = Site::on(&env, store.clone()).await;
        let key = site.key(&[Scope::Read, Scope::Pii]).await;
        let get = async |id: i64, part: &str| {
            let answer = site.get(&format!("/api/v1/media/{id}/{part}"), &key).await;
            (answer.status(), answer.headers().get("location").cloned(), answer.text().await.unwrap())
        };
        assert_eq!(get(1, "content?redirect=false").await.0, StatusCode::OK, "nothing was scanned yet");
        let before = get(2, "content").await.1.unwrap();

        let mut scanning = media(fetcher(), store.clone());
        scanning.scanner = Some(scanner(clamd));
        let keeper = Keeper::with(&env, scanning, no_provider(&env));
        let rescan = RescanMedia { after: 0, through: 3, since: env.clock.now() };
        keeper.tasks.enqueue(&[NewTask::of(&rescan).unwrap()]).await.unwrap();
        keeper.kit().drain().await.unwrap();
        let ana = Actor { name: "operator:ana".to_owned(), reason: None };
        purge::purge_chosen(&env.db, &store, &[MediaId(2)], &ana, env.clock.now()).await.unwrap();
        assert_eq!(keeper.rows("media", "id state").await, ["media 1 quarantined", "media 2 purged", "media 3 stored"]);

        for id in [1, 2] {
            for part in ["content", "content?redirect=false", "thumbnail", "thumbnail?redirect=false"] {
                let (status, location, body) = get(id, part).await;
                assert_eq!((status, location), (StatusCode::NOT_FOUND, None), "{id} {part}");
                let problem: Value = serde_json::from_str(&body).unwrap();
                assert!(part.starts_with("thumbnail") || problem["code"] == "not_stored", "{body}");
            }
        }
        let gone = reqwest::get(before.to_str().unwrap()).await.unwrap();
        assert_eq!(gone.status(), StatusCode::NOT_FOUND, "a link that was given before leads to nothing");
        env.clock.advance(TimeDelta::hours(1));
        for part in ["content", "thumbnail"] {
            assert_eq!(get(3, part).await.0, StatusCode::TEMPORARY_REDIRECT, "what is stored still is");
        }
    }
}
