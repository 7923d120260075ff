//! From a link in an event to a file in the store.

use std::sync::Arc;

use chrono::TimeDelta;
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::web::Path;
use poem::{Response, Route, Server, get, handler};
use serde_json::json;
use trunkline_jobs::media::{DownloadMedia, Sha256Hash};
use trunkline_openphone::event::Generation;
use trunkline_openphone::factory::{Factory, FactoryEvent, render};
use trunkline_platform::task::TaskState;
use trunkline_platform::testkit::run_job;

use crate::harness::{Env, both_engines, start_time};
use crate::kept::Keeper;

#[handler]
fn serve(Path(name): Path<String>) -> Response {
    match render(&name) {
        // What the host calls a file decides nothing.
        Some(media) => Response::builder().content_type("text/html").body(media.bytes),
        None => Response::builder().status(poem::http::StatusCode::NOT_FOUND).finish(),
    }
}

/// A host of the factory's files on this machine, as the base of their links.
pub(crate) async fn host() -> String {
    let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.unwrap();
    let address = acceptor.local_addr()[0].as_socket_addr().copied().unwrap();
    tokio::spawn(Server::new_with_acceptor(acceptor).run(Route::new().at("/media/:name", get(serve))));
    format!("http://{address}/media/")
}

const PICTURE: &str = "f-00000000000000ff.png";

pub(crate) fn bodies(events: &[FactoryEvent]) -> Vec<String> {
    events.iter().map(|event| String::from_utf8(event.body.clone()).unwrap()).collect()
}

fn picture_at(url: &str, at: &str) -> String {
    json!({"id": format!("EV{at}"), "apiVersion": "2026-03-30", "type": "message.received",
        "createdAt": format!("2026-03-02T09:{at}Z"),
        "data": {"resource": {"id": "AC1", "direction": "incoming", "media": [{"url": url}]}}})
    .to_string()
}

both_engines! {
    async fn every_file_is_stored_byte_for_byte(env: Env) {
        let keeper = Keeper::new(&env).await;
        let mut factory = Factory::new(3).with_media_base(host().await.parse().unwrap());
        let events = [
            factory.picture_message(Generation::Dated, start_time()),
            factory.picture_message(Generation::App, start_time()),
            factory.answered_call(Generation::Dated, start_time()),
            factory.missed_call(Generation::App, start_time()),
            factory.missed_call(Generation::Dated, start_time()),
        ]
        .concat();
        let told = bodies(&events);
        keeper.tell_and_work(&[told.clone(), told].concat()).await;
        keeper.assert_nothing_failed().await;

        let files = || events.iter().flat_map(|event| &event.media);
        let mut expected: Vec<_> = files()
            .map(|file| format!("media stored {} {} {}", file.sha256, file.size, file.content_type))
            .collect();
        expected.sort();
        expected.dedup();
        let mut stored = keeper.rows("media", "state sha256 size media_type").await;
        stored.dedup();
        assert_eq!(stored, expected);
        for file in files() {
            let hash: Sha256Hash = file.sha256.parse().unwrap();
            assert_eq!(keeper.stored(&hash).await, render(&file.name).unwrap().bytes);
        }
    }

    async fn a_link_that_is_gone_is_given_up_until_a_newer_one_is_told(env: Env) {
        let keeper = Keeper::new(&env).await;
        let base = host().await;
        keeper.tell_and_work(&[picture_at(&format!("{base}gone.png"), "00:01")]).await;
        let failed = keeper.rows("media", "state error").await;
        assert!(failed.len() == 1 && failed[0].starts_with("media failed the link is gone"), "{failed:?}");
        let dead = keeper.kit().enqueued::<DownloadMedia>().await.unwrap();
        assert_eq!(dead[0].state, TaskState::Dead);

        let older = picture_at("not a url", "00:00");
        let newer = picture_at(&format!("{base}{PICTURE}"), "00:02");
        keeper.tell_and_work(&[older, newer]).await;
        assert_eq!(keeper.rows("media", "state media_type error").await, ["media stored image/png -"]);
    }

    async fn a_host_that_is_away_is_tried_again(env: Env) {
        let keeper = Keeper::new(&env).await;
        keeper.tell_and_work(&[picture_at("http://127.0.0.1:1/media/1.png", "00:01")]).await;
        assert_eq!(keeper.rows("media", "state").await, ["media pending"]);
        let kit = keeper.kit();
        for _ in 0..12 {
            kit.advance(TimeDelta::hours(7)).await.unwrap();
        }
        let failed = keeper.rows("media", "state error").await;
        assert!(failed[0].starts_with("media failed cannot connect to http://127.0.0.1:1"), "{failed:?}");
        assert_eq!(kit.enqueued::<DownloadMedia>().await.unwrap()[0].state, TaskState::Dead);
    }

    async fn a_stored_file_that_went_missing_is_fetched_again(env: Env) {
        let keeper = Keeper::new(&env).await;
        let url = format!("{}{PICTURE}", host().await);
        keeper.tell_and_work(&[picture_at(&url, "00:01")]).await;
        let hash: Sha256Hash = keeper.rows("media", "sha256").await[0].replace("media ", "").parse().unwrap();
        let store = &keeper.services.media.store;
        store.delete(&hash).await.unwrap();

        let tasks = keeper.kit().enqueued::<DownloadMedia>().await.unwrap();
        let download: DownloadMedia = serde_json::from_str(&tasks[0].payload).unwrap();
        run_job(&download, Arc::clone(&keeper.services), env.clock.clone()).await.unwrap();
        assert!(store.exists(&hash).await.unwrap());
    }
}
