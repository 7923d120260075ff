//! Keys on their pages, as HTTP and in a real browser.

use reqwest::{Method, StatusCode};
use serde_json::json;
use trunkline::access::Scope;
use trunkline_platform::clock::Clock;

use crate::admin::{Site, entries};
use crate::dashboard::{page, send};
use crate::harness::browser::{Browser, Colours, Width, every_screen};
use crate::harness::{Env, both_engines};

const MAKE: [(&str, &str); 5] = [
    ("name", "nightly export"),
    ("scope", "read"),
    ("scope", "pii"),
    ("expires", "90d"),
    ("reason", "ticket 12"),
];

/// The key that a page shows, and its id.
fn shown(page: &str) -> (String, String) {
    let token = page.split("readonly value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let id = page.rsplit("href=\"/keys/").next().unwrap().split('"').next().unwrap().to_owned();
    assert!(token.starts_with("tlk_"), "{token}");
    (token, id)
}

/// Sends a form that is answered with a page.
async fn answer(site: &Site, path: &str, key: &str, fields: &[(&str, &str)]) -> (StatusCode, String) {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = site.ask(Method::POST, path).header("content-type", "application/x-www-form-urlencoded");
    let answer = request.body(body).bearer_auth(key).send().await.unwrap();
    assert_eq!(answer.headers()["cache-control"], "no-store", "{path}");
    (answer.status(), answer.text().await.unwrap())
}

both_engines! {
    async fn a_key_is_made_and_shown_once_rotated_with_an_overlap_and_revoked(env: Env) {
        let site = Site::start(&env).await;
        let admin = site.key(&[Scope::Admin]).await;
        let (status, made) = answer(&site, "/keys", &admin, &MAKE).await;
        assert_eq!(status, StatusCode::OK, "{made}");
        let (token, id) = shown(&made);
        assert_eq!(site.get("/calls", &token).await.status(), StatusCode::OK);
        let secret = token.rsplit('_').next().unwrap();
        for path in ["/keys".to_owned(), format!("/keys/{id}"), "/audit".to_owned()] {
            let told = page(&site, &path, &admin).await;
            assert!(told.contains(&id) && !told.contains(secret), "{path}: {told}");
        }
        let told = page(&site, &format!("/keys/{id}"), &admin).await;
        for part in ["nightly export", "read pii", "active", "in 90d 0h", "Rotate it", "Revoke it"] {
            assert!(told.contains(part), "{part}: {told}");
        }

        let rotate = [("overlap", "2h"), ("reason", "half a year is over")];
        let (status, rotated) = answer(&site, &format!("/keys/{id}/rotate"), &admin, &rotate).await;
        assert_eq!(status, StatusCode::OK, "{rotated}");
        let successor = rotated.split("readonly value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        for token in [&token, &successor] {
            assert_eq!(site.get("/calls", token).await.status(), StatusCode::OK);
        }
        env.clock.advance(chrono::TimeDelta::hours(2));
        assert_eq!(site.get("/calls", &token).await.headers()["location"], "/login");
        let (_, again) = answer(&site, &format!("/keys/{id}/rotate"), &admin, &rotate).await;
        assert!(again.contains("has expired"), "{again}");

        let id = successor.split('_').nth(1).unwrap();
        assert!(page(&site, &format!("/keys/{id}"), &admin).await.contains("In the place of"));
        let revoke = format!("/keys/{id}/revoke");
        let done = send(&site, &revoke, &admin, &[("reason", "was in a ticket")]).await;
        assert_eq!(done, Ok(format!("/keys/{id}?did=revoke")));
        assert_eq!(site.get("/calls", &successor).await.headers()["location"], "/login");
        let told = page(&site, &format!("/keys/{id}?did=revoke"), &admin).await;
        assert!(told.contains("It is revoked.") && !told.contains("Revoke it") && !told.contains("Rotate it"), "{told}");
        assert!(send(&site, &revoke, &admin, &[("reason", "again")]).await.unwrap_err().contains("revoked already"));
        let acts: Vec<String> = entries(&env).await.into_iter().filter(|row| row.actor.starts_with("key:"))
            .map(|row| format!("{} {}", row.action, row.reason.unwrap_or_default())).collect();
        assert_eq!(acts, ["key.create ticket 12", "key.rotate half a year is over", "key.revoke was in a ticket"]);
    }

    async fn what_makes_no_key_is_refused_and_whoever_is_no_administrator_sees_none(env: Env) {
        let site = Site::start(&env).await;
        let admin = site.key(&[Scope::Admin]).await;
        let with = |name: &'static str, value: &'static str| {
            MAKE.iter().filter(move |(field, _)| *field != name).copied().chain([(name, value)]).collect::<Vec<_>>()
        };
        for (fields, says) in [
            (with("reason", ""), "Say why"),
            (with("name", ""), "a key needs a name"),
            (with("name", "a\u{7}b"), "a key needs a name"),
            (with("scope", ""), "at least one scope"),
            (with("scope", "everything"), "is no scope"),
            (with("expires", "soon"), "is no length of time"),
            (with("expires", ""), "is no length of time"),
            (with("expires", "0s"), "must be from a second"),
        ] {
            let (status, told) = answer(&site, "/keys", &admin, &fields).await;
            assert!(status == StatusCode::BAD_REQUEST && told.contains(says), "{fields:?}: {told}");
        }
        let (_, made) = answer(&site, "/keys", &admin, &with("expires", "never")).await;
        let (_, id) = shown(&made);
        assert!(page(&site, &format!("/keys/{id}"), &admin).await.contains("never"));
        let before = entries(&env).await.len();
        let operator = site.key(&[Scope::Operate, Scope::Pii]).await;
        assert!(!page(&site, "/", &operator).await.contains("href=\"/keys\""));
        assert!(page(&site, "/", &admin).await.contains("href=\"/keys\""));
        for path in ["/keys".to_owned(), format!("/keys/{id}")] {
            assert_eq!(site.get(&path, &operator).await.status(), StatusCode::FORBIDDEN, "{path}");
        }
        for path in ["/keys".to_owned(), format!("/keys/{id}/rotate"), format!("/keys/{id}/revoke")] {
            let (status, told) = answer(&site, &path, &operator, &MAKE).await;
            assert!(status == StatusCode::FORBIDDEN && !told.contains("tlk_"), "{path}: {told}");
            let stranger = site.ask(Method::POST, &path).body("reason=x").send().await.unwrap();
            assert_eq!(stranger.headers()["location"], "/login", "{path}");
        }
        assert_eq!(entries(&env).await.iter().filter(|row| row.action.starts_with("key.")).count(), before + 1, "the operator's own");
        for (path, fields) in [("/keys/x/revoke", vec![("reason", "x")]), ("/keys/00000000000a/revoke", vec![("reason", "x")]),
            ("/keys/00000000000a/rotate", vec![("reason", "x"), ("overlap", "1h")])] {
            assert_eq!(answer(&site, path, &admin, &fields).await.0, StatusCode::NOT_FOUND, "{path}");
        }
        for overlap in ["91d", "soon", ""] {
            let (status, _) = answer(&site, &format!("/keys/{id}/rotate"), &admin, &[("reason", "x"), ("overlap", overlap)]).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{overlap}");
        }
    }

    async fn pages_of_keys_follow_one_another_and_names_are_shown_as_text(env: Env) {
        let site = Site::start(&env).await;
        let admin = site.key(&[Scope::Admin]).await;
        let bad = "</td><script>alert(1)</script><img src=x>\"'";
        let fields: Vec<_> = MAKE.iter().map(|(name, value)| (*name, if *name == "name" { bad } else { value })).collect();
        let (_, made) = answer(&site, "/keys", &admin, &fields).await;
        let (_, id) = shown(&made);
        for told in [made, page(&site, "/keys", &admin).await, page(&site, &format!("/keys/{id}"), &admin).await] {
            assert!(!told.contains("<script>alert") && !told.contains("<img") && told.contains("&lt;script&gt;"), "{told}");
        }
        for _ in 0..55 {
            site.key(&[Scope::Read]).await;
        }
        let first = page(&site, "/keys", &admin).await;
        assert_eq!(first.matches("<td><a href=\"/keys/").count(), 50);
        let next = first.split("rel=\"next\" href=\"").nth(1).unwrap().split('"').next().unwrap().replace("&amp;", "&");
        let second = page(&site, &next, &admin).await;
        assert_eq!(second.matches("<td><a href=\"/keys/").count(), 7);
        assert_eq!([&first, &second].iter().filter(|told| told.contains(">yours<")).count(), 1);
        assert!(!second.contains("Next page"), "{second}");
    }
}

/// Gives somebody access and takes it away.
async fn give_and_take(width: Width, colours: Colours) {
    let mut env = Env::sqlite().await;
    env.clock = Clock::manual(env.clock.now());
    let site = Site::start(&env).await;
    let admin = site.key(&[Scope::Admin]).await;
    let browser = Browser::start(width, colours).await;
    browser.enter(&site.url, &admin, "/keys").await;
    browser.look("keys").await;
    browser.click("main summary").await;
    browser.type_into("#name", "ana, on call").await;
    browser.click("input[value=operate]").await;
    browser.type_into("#reason", "she begins on Monday").await;
    browser.look("keys-form").await;
    browser.click("main form button").await;
    browser.until("the key is shown", "return !!document.querySelector('#token')").await;
    browser.look("key-shown-once").await;
    let token = browser.run("return document.querySelector('#token').value").await;
    assert_eq!(site.get("/", token.as_str().unwrap()).await.status(), StatusCode::OK);
    browser.click("p.buttons a").await;
    browser.until("its page is there", "return /^\\/keys\\/[0-9a-f]{12}$/.test(location.pathname)").await;
    browser.look("key").await;
    browser.run("document.querySelectorAll('details').forEach(one => one.open = true)").await;
    browser.type_into("#why-revoke", "she left").await;
    browser.look("key-forms").await;
    browser.click("button.grave").await;
    browser
        .until("it is revoked", "return document.querySelector('h1 .state').textContent === 'revoked'")
        .await;
    browser.look("key-revoked").await;
    assert_eq!(site.get("/", token.as_str().unwrap()).await.headers()["location"], "/login");
    assert_eq!(browser.run("return document.querySelectorAll('main form').length").await, json!(0));
    browser.close().await;
}

every_screen! { somebody_is_let_in_and_out_again: give_and_take }
