//! Files on their pages, as HTTP and in a real browser: what is in quarantine, and what people do to files.

use reqwest::StatusCode;
use serde_json::json;
use trunkline::access::Scope;
use trunkline_openphone::factory::render;

use crate::admin::{Site, entries};
use crate::dashboard::{page, send};
use crate::harness::browser::{Browser, Colours, Width, every_screen};
use crate::harness::host::{Host, message};
use crate::harness::{Env, both_engines};
use crate::kept::{Keeper, fetcher, media, no_provider, store};
use crate::listening::{CALL, with_recordings};
use crate::media_scan::scanner;
use crate::servers;
use crate::servers::clamd::{SIGNATURE, eicar};

const BAD: &str = "text/<script>alert(1)</script><img src=x>\"'";

/// A site with a picture, a text, one file in quarantine and one that is not there. Their numbers are 1 to 4.
async fn site<'e>(env: &'e Env) -> (Site, Keeper<'e>) {
    let clamd = tokio::task::block_in_place(servers::clamd).unwrap();
    let store = store(env.folder()).await;
    let mut services = media(fetcher(), store.clone());
    services.scanner = Some(scanner(clamd));
    let keeper = Keeper::with(env, services, no_provider(env));
    let host = Host::start().await;
    let picture = render("f-0000000000000001.png").unwrap();
    let links = [
        (host.put("picture", "image/png", picture.bytes), None),
        (host.put("note", "text/plain", "see you at 5"), Some(BAD)),
        (host.put("bad", "text/plain", eicar()), None),
        (host.put("gone", "text/plain", "gone"), None),
    ];
    host.remove("gone");
    let links: Vec<(&str, Option<&str>)> = links.iter().map(|(link, kind)| (link.as_str(), *kind)).collect();
    keeper.tell_and_work(&[message("1", &links)]).await;
    // Until the last try of the one that is gone.
    keeper.kit().advance(chrono::TimeDelta::days(2)).await.unwrap();
    (Site::on(env, store).await, keeper)
}

/// The number of the first file in a state.
async fn in_state(site: &Site, key: &str, state: &str) -> i64 {
    let files = site.read(&format!("/api/v1/media?state={state}"), key).await;
    files["items"][0]["id"].as_i64().unwrap_or_else(|| panic!("{state}: {files}"))
}

fn acts(told: &str) -> Vec<&str> {
    told.split("<form method=\"post\" action=\"/media/")
        .skip(1)
        .map(|form| form.split('"').next().unwrap().split('/').nth(1).unwrap())
        .collect()
}

both_engines! {
    async fn files_are_listed_by_state_and_what_the_scanner_found_is_told(env: Env) {
        let (site, _keeper) = site(&env).await;
        let (read, pii) = (site.key(&[Scope::Read]).await, site.key(&[Scope::Read, Scope::Pii]).await);
        let all = page(&site, "/media", &read).await;
        assert_eq!(all.matches("<td><a href=\"/media/").count(), 4, "{all}");
        assert!(all.contains("image/png") && !all.contains("<img") && !all.contains("/gone"), "{all}");
        for (query, expected) in [("state=quarantined", 1), ("state=stored&of=message", 2), ("of=recording", 0), ("state=failed", 1),
            ("before=3", 2), ("state=purged", 0)] {
            let told = page(&site, &format!("/media?{query}"), &read).await;
            assert_eq!(told.matches("<td><a href=\"/media/").count(), expected, "{query}: {told}");
        }
        assert!(page(&site, "/media?state=quarantined", &read).await.contains(SIGNATURE));
        let id = in_state(&site, &read, "quarantined").await;
        let told = page(&site, &format!("/media/{id}"), &read).await;
        assert!(told.contains("The scanner found") && told.contains(SIGNATURE) && acts(&told).is_empty(), "{told}");

        let before = entries(&env).await.len();
        let offered = page(&site, "/media", &pii).await;
        assert!(offered.contains("Show pictures") && !offered.contains("<img"), "{offered}");
        let pictures = page(&site, "/media?pictures=yes", &pii).await;
        assert_eq!(pictures.matches("/thumbnail?redirect=false\"").count(), 1, "{pictures}");
        assert!(!page(&site, "/media?pictures=yes", &read).await.contains("<img"));
        assert_eq!(entries(&env).await.len(), before, "a page alone shows nobody's picture");
        for missing in ["/media/99", "/media/x", "/media/99999999999999999999"] {
            assert_eq!(site.get(missing, &read).await.status(), StatusCode::NOT_FOUND, "{missing}");
        }
    }

    async fn files_are_fetched_scanned_held_and_purged_by_those_who_may_and_that_is_in_the_audit(env: Env) {
        let (site, keeper) = site(&env).await;
        let (read, operate) = (site.key(&[Scope::Read, Scope::Pii]).await, site.key(&[Scope::Operate]).await);
        let admin = site.key(&[Scope::Admin]).await;
        let (stored, failed) = (in_state(&site, &read, "stored").await, in_state(&site, &read, "failed").await);
        let place = |id: i64| format!("/media/{id}");
        for (id, key, expected) in [(stored, &read, vec![]), (stored, &operate, vec!["rescan"]), (failed, &operate, vec!["fetch"]),
            (stored, &admin, vec!["rescan", "hold", "purge"]), (failed, &admin, vec!["fetch", "hold", "purge"])] {
            assert_eq!(acts(&page(&site, &place(id), key).await), expected, "{id}");
        }
        let why = [("reason", "ticket 12")];
        let before = entries(&env).await.len();
        for word in ["fetch", "rescan", "hold", "release", "purge"] {
            let told = send(&site, &format!("{}/{word}", place(stored)), &read, &why).await.unwrap_err();
            assert!(told.contains("does not allow this"), "{word}: {told}");
            assert!(send(&site, &format!("{}/{word}", place(stored)), &admin, &[]).await.unwrap_err().contains("Say why"), "{word}");
        }
        for word in ["hold", "release", "purge"] {
            send(&site, &format!("{}/{word}", place(stored)), &operate, &why).await.unwrap_err();
        }
        assert_eq!(entries(&env).await.iter().filter(|row| row.action.starts_with("media.")).count(), 0, "{before}");

        let fetched = send(&site, &format!("{}/fetch", place(failed)), &operate, &why).await;
        assert_eq!(fetched, Ok(format!("{}?did=fetch", place(failed))));
        assert_eq!(site.read(&format!("/api/v1/media/{failed}"), &read).await["state"], "pending");
        let task = send(&site, &format!("{}/rescan", place(stored)), &operate, &why).await.unwrap();
        assert!(task.starts_with("/tasks/") && page(&site, &task, &operate).await.contains("media.rescan"), "{task}");
        assert!(send(&site, &format!("{}/rescan", place(failed)), &operate, &why).await.unwrap_err().contains("Only what is stored"));
        let act = async |word: &str| send(&site, &format!("{}/{word}", place(stored)), &admin, &why).await;
        assert_eq!(act("hold").await, Ok(format!("{}?did=hold", place(stored))));
        assert!(page(&site, &place(stored), &admin).await.contains("held"));
        assert!(act("hold").await.unwrap_err().contains("it is so already"));
        assert!(act("purge").await.unwrap_err().contains("under legal hold"));
        act("release").await.unwrap();
        assert_eq!(act("purge").await, Ok(format!("{}?did=purge", place(stored))));
        assert!(page(&site, &format!("{}?did=purge", place(stored)), &admin).await.contains("It is purged."));
        assert_eq!(acts(&page(&site, &place(stored), &admin).await), Vec::<&str>::new());
        assert!(act("burn").await.unwrap_err().contains("There is no such act"));
        keeper.kit().drain().await.unwrap();
        let acts: Vec<String> = entries(&env).await.into_iter().filter(|row| row.actor.starts_with("key:"))
            .map(|row| format!("{} {}", row.action, row.reason.unwrap_or_default())).collect();
        let expected = ["media.fetch", "media.rescan", "media.hold", "media.release", "media.purge"];
        assert_eq!(acts, expected.map(|word| format!("{word} ticket 12")));
    }

    async fn nothing_that_a_file_was_said_to_be_is_taken_for_a_page(env: Env) {
        let (site, _keeper) = site(&env).await;
        let key = site.key(&[Scope::Admin, Scope::Pii]).await;
        let escaped: String = url::form_urlencoded::byte_serialize(BAD.as_bytes()).collect();
        for path in ["/media".to_owned(), "/media/1".to_owned(), "/media/2".to_owned(), "/media/3".to_owned(), "/media/4".to_owned(),
            format!("/media?state={escaped}&of={escaped}&before={escaped}"), format!("/media/1?did={escaped}")] {
            let told = page(&site, &path, &key).await;
            assert!(!told.contains("<script>alert") && !told.contains("<img src=x"), "{path}: {told}");
        }
        let told: Vec<String> = [page(&site, "/media/1", &key).await, page(&site, "/media/2", &key).await].into();
        assert!(told.iter().any(|told| told.contains("&lt;script&gt;")), "{told:?}");
    }
}

/// Looks at what came, and lets go of a file.
async fn look_around(width: Width, colours: Colours) {
    let env = Env::sqlite().await;
    let (site, _keeper) = site(&env).await;
    let key = site.key(&[Scope::Admin, Scope::Pii]).await;
    let browser = Browser::start(width, colours).await;
    browser.enter(&site.url, &key, "/media").await;
    browser.look("media").await;
    browser.click("main p a[href*='pictures=yes']").await;
    browser
        .until(
            "the picture is there",
            "const one = document.querySelector('img'); return !!one && one.complete && one.naturalWidth > 0",
        )
        .await;
    browser.look("media-pictures").await;
    assert_eq!(entries(&env).await.iter().filter(|row| row.action == "media.read").count(), 1);
    browser.click("a[href*='state=quarantined']").await;
    browser.until("those in quarantine", "return document.body.innerText.includes('EICAR')").await;
    browser.look("media-quarantine").await;
    browser.click("td a[href^='/media/']").await;
    browser.until("the file is there", "return /^\\/media\\/[0-9]+$/.test(location.pathname)").await;
    browser.run("document.querySelectorAll('details').forEach(one => one.open = true)").await;
    browser.look("media-file").await;
    browser.type_into("#why-purge", "nobody wants it").await;
    browser.click("button.grave").await;
    browser
        .until("it is purged", "return document.querySelector('h1 .state').textContent === 'purged'")
        .await;
    browser.look("media-purged").await;
    browser.close().await;
}

every_screen! { somebody_looks_at_files_and_purges_one: look_around }

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_leads_to_its_call_and_is_heard_only_when_somebody_plays_it() {
    let env = Env::sqlite().await;
    let site = with_recordings(&env).await;
    let key = site.key(&[Scope::Read, Scope::Pii]).await;
    let id = in_state(&site, &key, "stored").await;
    let told = page(&site, &format!("/media/{id}"), &key).await;
    assert!(told.contains(&format!("href=\"/calls/{CALL}\"")) && told.contains("preload=\"none\""), "{told}");
    let content = site.get(&format!("/api/v1/media/{id}/content?redirect=false"), &key).await;
    assert_eq!(content.status(), StatusCode::OK);
    assert_eq!(site.read(&format!("/api/v1/media/{id}"), &key).await["state"], json!("stored"));
}
