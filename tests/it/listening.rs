//! Files handed out, and a recording listened to in a real browser.

use chrono::TimeDelta;
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::web::Path;
use poem::{Response, Route, Server, get, handler};
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use trunkline::access::Scope;
use trunkline_jobs::media::MediaStore;
use trunkline_openphone::factory::render;

use crate::admin::{Site, entries};
use crate::harness::browser::{Browser, Colours, SCREENS, Width};
use crate::harness::{Env, both_engines};
use crate::kept::{Keeper, store};

pub(crate) const CALL: &str = "AC11223344556677889900aabbccddeeff";
/// As the simulator sends them.
const RECORDING: &str = "f-00000000000000aa.mp3";
const SECONDS: u32 = 60;

/// A minute of a tone, as a recording of some length is needed to seek in.
pub(crate) fn long_recording() -> Vec<u8> {
    const RATE: u32 = 8_000;
    let size = RATE * SECONDS * 2;
    let mut file = b"RIFF".to_vec();
    file.extend((36 + size).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend(RATE.to_le_bytes());
    file.extend((RATE * 2).to_le_bytes());
    file.extend(b"\x02\0\x10\0data");
    file.extend(size.to_le_bytes());
    file.extend(
        (0..RATE * SECONDS).flat_map(|at| if at % 20 < 10 { 6_000_i16 } else { -6_000 }.to_le_bytes()),
    );
    file
}

#[handler]
fn serve(Path(name): Path<String>) -> Response {
    match render(&name) {
        Some(media) => Response::builder().body(media.bytes),
        None if name == "long.wav" => Response::builder().body(long_recording()),
        None => Response::builder().status(poem::http::StatusCode::NOT_FOUND).finish(),
    }
}

async fn host() -> String {
    let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.unwrap();
    let address = acceptor.local_addr()[0].as_socket_addr().copied().unwrap();
    tokio::spawn(Server::new_with_acceptor(acceptor).run(Route::new().at("/media/:name", get(serve))));
    format!("http://{address}/media/")
}

fn recorded(call: &str, files: &[(&str, String)]) -> String {
    let recordings: Vec<Value> = files
        .iter()
        .map(|(id, url)| json!({"id": id, "duration": 5, "startTime": "2026-03-02T09:00:00Z", "url": url}))
        .collect();
    json!({"id": format!("EV{call}"), "apiVersion": "2026-03-30", "type": "call.recording.completed",
        "createdAt": "2026-03-02T09:05:00Z",
        "data": {"resource": {"id": call, "direction": "outgoing", "recordings": recordings}}})
    .to_string()
}

/// The voicemail of the call, with the long recording as its file.
pub(crate) async fn voicemail() -> String {
    json!({"id": "EVvoicemail", "apiVersion": "2026-03-30", "type": "call.voicemail.completed",
        "createdAt": "2026-03-02T09:06:00Z",
        "data": {"resource": {"id": "AC2", "voicemailId": "VM1", "callId": CALL, "direction": "incoming", "duration": 60,
            "recordingUrl": format!("{}long.wav", host().await), "transcript": "Call me back.",
            "createdAt": "2026-03-02T09:05:00Z"}}})
    .to_string()
}

/// A site with a call whose recordings are stored; the long one comes first.
pub(crate) async fn with_recordings(env: &Env) -> Site {
    with_recordings_in(env, store(env.folder()).await).await
}

pub(crate) async fn with_recordings_in(env: &Env, store: MediaStore) -> Site {
    let base = host().await;
    let keeper = Keeper::on(env, store.clone());
    let files = [("RE1", format!("{base}long.wav")), ("RE2", format!("{base}{RECORDING}"))];
    keeper.tell_and_work(&[recorded(CALL, &files)]).await;
    keeper.assert_nothing_failed().await;
    Site::on(env, store).await
}

async fn listenings(env: &Env) -> usize {
    entries(env).await.iter().filter(|row| row.action == "media.read").count()
}

/// The long recording, asked for by a path in every way that a player asks.
pub(crate) async fn assert_handed_out_in_parts(site: &Site, path: &str) {
    let key = site.key(&[Scope::Read, Scope::Pii]).await;
    let whole = site.get(path, &key).await;
    assert_eq!(whole.status(), StatusCode::OK);
    let header = |name: &str| whole.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("accept-ranges"), "bytes");
    assert!(header("content-type").starts_with("audio/"), "{}", header("content-type"));
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert!(header("content-security-policy").ends_with("sandbox"));
    assert!(header("content-disposition").starts_with("inline; filename=\"recording-"));
    assert_eq!(header("cache-control"), "private, no-cache");
    let (etag, modified) = (header("etag"), header("last-modified"));
    let expected = long_recording();
    assert_eq!(header("content-length"), expected.len().to_string());
    assert_eq!(whole.bytes().await.unwrap(), expected);

    let ask = |name: header::HeaderName, value: &str| {
        site.ask(Method::GET, path).bearer_auth(&key).header(name, value)
    };
    let part = ask(header::RANGE, "bytes=1000-1999").send().await.unwrap();
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers()["content-range"], format!("bytes 1000-1999/{}", expected.len()).as_str());
    assert_eq!(part.bytes().await.unwrap(), expected[1_000..2_000]);
    let end = ask(header::RANGE, "bytes=-7").send().await.unwrap();
    assert_eq!(end.bytes().await.unwrap(), expected[expected.len() - 7..]);
    let beyond = ask(header::RANGE, "bytes=99999999-").send().await.unwrap();
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(beyond.headers()["content-range"], format!("bytes */{}", expected.len()).as_str());
    for (name, value) in [(header::IF_NONE_MATCH, &etag), (header::IF_MODIFIED_SINCE, &modified)] {
        let had = ask(name, value).send().await.unwrap();
        assert_eq!(had.status(), StatusCode::NOT_MODIFIED);
        assert!(had.bytes().await.unwrap().is_empty());
    }
    let other = ask(header::RANGE, "bytes=0-9").header(header::IF_RANGE, "\"other\"").send().await.unwrap();
    assert_eq!(other.status(), StatusCode::OK);
    let head = site.ask(Method::HEAD, path).bearer_auth(&key).send().await.unwrap();
    assert_eq!(head.headers()["content-length"], expected.len().to_string().as_str());
}

both_engines! {
    async fn a_recording_is_handed_out_whole_in_part_and_not_again_to_who_has_it(env: Env) {
        let site = with_recordings(&env).await;
        assert_handed_out_in_parts(&site, &format!("/api/v1/calls/{CALL}/recording")).await;
    }

    async fn a_listening_is_one_entry_however_many_requests_it_takes(env: Env) {
        let site = with_recordings(&env).await;
        let (ana, bob) = (site.key(&[Scope::Read, Scope::Pii]).await, site.key(&[Scope::Admin, Scope::Pii]).await);
        let path = format!("/api/v1/calls/{CALL}/recording");
        let listen = async |key: &str| {
            let part = site.ask(Method::GET, &path).bearer_auth(key).header("range", "bytes=0-99");
            assert_eq!(part.send().await.unwrap().status(), StatusCode::PARTIAL_CONTENT);
        };
        for _ in 0..5 {
            listen(&ana).await;
            env.clock.advance(TimeDelta::minutes(20));
        }
        assert_eq!(listenings(&env).await, 1);
        listen(&bob).await;
        assert_eq!(listenings(&env).await, 2, "each is told of");
        env.clock.advance(TimeDelta::minutes(30));
        listen(&ana).await;
        assert_eq!(listenings(&env).await, 3, "after a pause it is another listening");
        let entry = entries(&env).await.pop().unwrap();
        assert!(entry.after.unwrap().contains(&format!("recording:{CALL}/RE1")));
    }

    async fn only_what_is_stored_is_handed_out_and_only_with_pii(env: Env) {
        let site = with_recordings(&env).await;
        let keeper = Keeper::new(&env).await;
        keeper.tell(&[recorded("AC2", &[("RE9", "http://127.0.0.1:1/media/1.mp3".to_owned())])]).await;
        keeper.kit().drain().await.unwrap();
        let (read, pii) = (site.key(&[Scope::Admin]).await, site.key(&[Scope::Read, Scope::Pii]).await);
        let listed: Value = site.get("/api/v1/media?owner_type=recording", &read).await.json().await.unwrap();
        let files = listed["items"].as_array().unwrap();
        assert_eq!(files.len(), 3);
        assert!(!listed.to_string().contains("/media/"), "no link is shown: {listed}");
        for file in files {
            let content = format!("/api/v1/media/{}/content", file["id"]);
            assert_eq!(site.get(&content, &read).await.status(), StatusCode::FORBIDDEN);
            let stored = file["state"] == "stored";
            let answer = site.get(&content, &pii).await;
            assert_eq!(answer.status() == StatusCode::OK, stored, "{file}");
            if !stored {
                assert_eq!(answer.json::<Value>().await.unwrap()["code"], "not_stored");
            }
        }
        let recordings: Value =
            site.get(&format!("/api/v1/calls/{CALL}/recordings"), &read).await.json().await.unwrap();
        assert_eq!(recordings.as_array().unwrap().len(), 2);
        for other in ["AC1", "AC", &CALL[..CALL.len() - 1], "", "%00", "%25"] {
            let answer = site.get(&format!("/api/v1/calls/{other}/recording"), &pii).await;
            assert!(answer.status().is_client_error(), "{other}: {answer:?}");
        }
    }

    async fn a_browser_stays_in_with_a_cookie_and_another_site_cannot_use_it(env: Env) {
        let site = Site::start(&env).await;
        let key = site.key(&[Scope::Admin]).await;
        let home = site.ask(Method::GET, "/").send().await.unwrap();
        assert_eq!((home.status(), &home.headers()["location"]), (StatusCode::SEE_OTHER, &"/login".parse().unwrap()));
        let login = |key: &str| {
            let form = format!("key={key}");
            site.ask(Method::POST, "/login").header("content-type", "application/x-www-form-urlencoded").body(form)
        };
        let own = |request: reqwest::RequestBuilder| request.header("sec-fetch-site", "same-origin");
        assert_eq!(login(&key).send().await.unwrap().status(), StatusCode::FORBIDDEN, "another site's form");
        assert_eq!(own(login("nonsense")).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
        let entered = own(login(&key)).send().await.unwrap();
        assert_eq!(entered.status(), StatusCode::SEE_OTHER);
        let cookie = entered.headers()["set-cookie"].to_str().unwrap().to_owned();
        assert!(cookie.contains("; HttpOnly; SameSite=Strict; Max-Age=43200"), "{cookie}");
        assert!(!cookie.contains(key.rsplit('_').next().unwrap()), "the cookie is not the key");
        let pair = cookie.split(';').next().unwrap().to_owned();
        let with_cookie = |method, path: &str| site.ask(method, path).header("cookie", &pair);

        assert_eq!(with_cookie(Method::GET, "/").send().await.unwrap().status(), StatusCode::OK);
        assert_eq!(with_cookie(Method::GET, "/api/v1/keys").send().await.unwrap().status(), StatusCode::OK);
        let make = json!({"name": "x", "scopes": ["read"]});
        let post = || with_cookie(Method::POST, "/api/v1/keys").json(&make);
        for foreign in [post(), post().header("origin", "https://evil.example"),
            post().header("sec-fetch-site", "cross-site"), post().header("sec-fetch-site", "same-site")] {
            let answer = foreign.send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::FORBIDDEN);
            assert_eq!(answer.json::<Value>().await.unwrap()["code"], "cross_site");
        }
        assert_eq!(own(post()).send().await.unwrap().status(), StatusCode::OK);
        assert_eq!(with_cookie(Method::POST, "/logout").send().await.unwrap().status(), StatusCode::FORBIDDEN);
        assert_eq!(own(with_cookie(Method::POST, "/logout")).send().await.unwrap().status(), StatusCode::SEE_OTHER);
        assert_eq!(with_cookie(Method::GET, "/").send().await.unwrap().status(), StatusCode::SEE_OTHER);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_plays_and_seeks_in_a_browser_that_is_in_and_not_in_one_that_is_not() {
    let env = Env::sqlite().await;
    let site = with_recordings(&env).await;
    let key = site.key(&[Scope::Read, Scope::Pii]).await;
    let page = format!("{}/calls/{CALL}", site.url);
    let browser = Browser::start(Width::Desk, Colours::Light).await;

    browser.go(&page).await;
    assert!(browser.address().await.ends_with("/login"), "a stranger is sent to the login");
    browser.go(&format!("{}/login", site.url)).await;
    browser
        .run(&format!(
            "window.heard = null; const player = new Audio('/api/v1/calls/{CALL}/recording'); \
             player.onerror = () => window.heard = false; player.onloadedmetadata = () => window.heard = true; \
             player.load()"
        ))
        .await;
    browser.until("the stranger's player fails", "return window.heard === false").await;
    assert_eq!(listenings(&env).await, 0);

    browser.type_into("#key", &key).await;
    browser.click("button").await;
    browser.until("the stranger is known", "return location.pathname === '/'").await;
    browser.go(&page).await;
    assert!(browser.text().await.contains(CALL));
    let player = "const player = document.querySelectorAll('audio')[0]; ";
    browser.until("the length is known", &format!("{player}return player.readyState >= 1")).await;
    let length = browser.run(&format!("{player}return player.duration")).await;
    assert!((length.as_f64().unwrap() - f64::from(SECONDS)).abs() < 0.1, "{length}");
    browser.run(&format!("{player}player.muted = true; player.play()")).await;
    browser.until("it plays", &format!("{player}return player.currentTime > 0.2 && !player.paused")).await;
    browser.run(&format!("{player}player.currentTime = 45")).await;
    browser
        .until(
            "it plays on from there",
            &format!(
                "{player}return player.currentTime > 45.2 && player.currentTime < 60 && !player.seeking"
            ),
        )
        .await;
    let simulated = "const player = document.querySelectorAll('audio')[1]; ";
    browser.run(&format!("{simulated}player.muted = true; player.play()")).await;
    browser
        .until("the simulator's recording plays to its end", &format!("{simulated}return player.ended"))
        .await;
    assert_eq!(browser.run(&format!("{simulated}return player.error")).await, Value::Null);
    assert_eq!(listenings(&env).await, 2, "one entry for each recording");
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_fit_a_desk_and_a_phone_by_day_and_by_night() {
    let env = Env::sqlite().await;
    let site = with_recordings(&env).await;
    let key = site.key(&[Scope::Read, Scope::Pii]).await;
    for (width, colours) in SCREENS {
        let browser = Browser::start(width, colours).await;
        browser.go(&format!("{}/login", site.url)).await;
        assert_eq!(browser.run("return window.innerWidth").await, json!(width as u32));
        browser.look("login").await;
        browser.type_into("#key", &key).await;
        browser.click("button").await;
        browser.on("/").await;
        browser.go(&format!("{}/calls/{CALL}", site.url)).await;
        browser.look("call").await;
        browser.close().await;
    }
}
