//! Contacts and texts on their pages: found, told of, closed and opened again.

use reqwest::StatusCode;
use trunkline::access::Scope;
use trunkline_jobs::contacts::optout;
use trunkline_jobs::contacts::people::{self, Label, NewPerson, OnDuplicate};
use trunkline_jobs::sends::{self, SendState};

use crate::admin::{Site, entries};
use crate::campaigns::{Stage, numbers};
use crate::dashboard::{page, send};
use crate::harness::browser::{Browser, Colours, Width, every_screen};
use crate::harness::{Env, both_engines};

trunkline_platform::statements! {
    pub(crate) LOSE_TRACK = same { "UPDATE sends SET state = 'unresolved' WHERE id = $1" }
}

/// So many on record, every third of them tagged.
async fn on_record(env: &Env, count: usize, first_name: &str) -> Vec<String> {
    let numbers = numbers(count);
    let people: Vec<NewPerson> = (numbers.iter().enumerate())
        .map(|(n, number)| NewPerson {
            number: number.clone(),
            first_name: Some(first_name.to_owned()),
            labels: (n % 3 == 0).then(|| Label::tag("vip").unwrap()).into_iter().collect(),
            ..NewPerson::default()
        })
        .collect();
    let mut tx = env.db.write().await.unwrap();
    people::put(&mut tx, &people, OnDuplicate::Fail, "test", None, env.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    numbers
}

fn rows(page: &str) -> usize {
    page.matches("<tr>").count() - page.matches("<thead>").count()
}

both_engines! {
    async fn contacts_are_found_by_filters_and_their_numbers_shown_to_whoever_may_see_them(env: Env) {
        let site = Site::start(&env).await;
        let people = on_record(&env, 120, "Annabel").await;
        let (read, pii) = (site.key(&[Scope::Read]).await, site.key(&[Scope::Read, Scope::Pii]).await);
        let found = page(&site, "/contacts?filter=tag:vip&count=yes", &read).await;
        assert!(found.contains("<strong>40</strong> people") && rows(&found) == 40, "{found}");
        let (mut path, mut seen) = ("/contacts".to_owned(), 0);
        loop {
            let shown = page(&site, &path, &read).await;
            assert!(!shown.contains("Annabel") && !shown.contains(&people[0][5..]), "{shown}");
            seen += rows(&shown);
            let Some(next) = shown.split("rel=\"next\" href=\"").nth(1) else { break };
            path = next.split('"').next().unwrap().replace("&amp;", "&");
        }
        assert_eq!(seen, 120);
        for (query, says) in [("filter=colour:red", "colour"), ("filter=name~anna", "scope pii"), ("segment=none", "no segment none"),
            ("segment=none&filter=tag:vip", "either a segment or a filter")] {
            assert!(page(&site, &format!("/contacts?{query}"), &read).await.contains(says), "{query}");
        }
        assert_eq!(site.get("/contacts?unmask=true", &read).await.status(), StatusCode::FORBIDDEN);
        let shown = page(&site, "/contacts?filter=name~anna+tag:vip&unmask=true", &pii).await;
        assert!(shown.contains(&format!("href=\"/contacts/{}\"", people[0])) && shown.contains("Annabel"), "{shown}");
        assert_eq!(entries(&env).await.iter().filter(|row| row.action == "unmask").count(), 1);
        let find = site.get("/contacts/find?number=(212)+555-1000", &read).await;
        assert_eq!(find.headers()["location"], "/contacts/+12125551000");
        assert_eq!(site.get("/contacts/find?number=ana", &read).await.status(), StatusCode::BAD_REQUEST);
        for missing in ["/contacts/ana", "/contacts/+12125559999", "/sends/1", "/sends/x"] {
            assert_eq!(site.get(missing, &read).await.status(), StatusCode::NOT_FOUND, "{missing}");
        }
    }

    async fn a_number_is_closed_and_opened_again_and_its_page_tells_why_it_got_nothing(env: Env) {
        let (stage, site) = (Stage::new(&env, "").await, Site::start(&env).await);
        let people = on_record(&env, 3, "Annabel").await;
        let (read, operate) = (site.key(&[Scope::Read]).await, site.key(&[Scope::Operate]).await);
        let pii = site.key(&[Scope::Read, Scope::Pii]).await;
        let place = format!("/contacts/{}", people[0]);
        let close = format!("{place}/opt-out");
        let said = [("channel", "phone"), ("wording", "leave me alone"), ("reason", "she rang")];
        assert!(send(&site, &close, &operate, &[("channel", "phone")]).await.unwrap_err().contains("Say why"));
        assert!(send(&site, &close, &operate, &[("channel", "provider"), ("reason", "x")]).await.unwrap_err().contains("which way"));
        assert!(send(&site, &close, &read, &said).await.unwrap_err().contains("does not allow"));
        assert!(optout::show(&env.db, &people[0]).await.unwrap().is_none());
        assert_eq!(send(&site, &close, &operate, &said).await, Ok(format!("{place}?did=opt-out")));
        assert!(optout::show(&env.db, &people[0]).await.unwrap().unwrap().closed);

        let id = stage.started(&stage.plan(), &people).await;
        stage.pass(chrono::TimeDelta::minutes(2)).await;
        let shown = page(&site, &place, &read).await;
        for part in ["It must not be texted", "opt_out", "phone", "opted_out", "[14 chars]", "It got none.", "vip"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(!shown.contains("Annabel") && !shown.contains("leave me") && !shown.contains("action=\"/contacts"), "{shown}");
        assert!(shown.contains(&format!("/campaigns/{id}")), "{shown}");
        let unmasked = page(&site, &format!("{place}?unmask=true"), &pii).await;
        assert!(unmasked.contains("Annabel") && unmasked.contains("leave me alone"), "{unmasked}");

        let open = format!("{place}/opt-in");
        send(&site, &open, &operate, &[("channel", "email"), ("reason", "she wrote")]).await.unwrap();
        assert!(page(&site, &place, &read).await.contains("It may be texted: it was opened again"));
        assert_eq!(site.get(&format!("{place}/dance"), &operate).await.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert!(send(&site, &format!("{place}/dance"), &operate, &said).await.unwrap_err().contains("no such act"));

        let text = stage.texts().await.remove(0);
        let mut tx = env.db.write().await.unwrap();
        LOSE_TRACK.bind(text.id).execute(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        let place = format!("/sends/{}", text.id);
        let shown = page(&site, &place, &read).await;
        assert!(shown.contains("unresolved") && !shown.contains("Sale today") && !shown.contains("action=\"/sends"), "{shown}");
        assert!(page(&site, &place, &operate).await.contains("Nobody can tell whether it was sent"));
        assert!(page(&site, &format!("{place}?unmask=true"), &pii).await.contains("Sale today"));
        assert!(send(&site, &format!("{place}/sent"), &read, &said).await.unwrap_err().contains("does not allow"));
        assert_eq!(send(&site, &format!("{place}/sent"), &operate, &said).await, Ok(place.clone()));
        assert_eq!(sends::show(&env.db, text.id).await.unwrap().unwrap().state, SendState::Sent);
        assert!(send(&site, &format!("{place}/give-up"), &operate, &said).await.unwrap_err().contains("waits for nobody"));
    }

    async fn nothing_that_is_known_of_people_is_taken_for_a_page(env: Env) {
        let site = Site::start(&env).await;
        let key = site.key(&[Scope::Admin, Scope::Pii]).await;
        let bad = "</pre></title><script>alert(1)</script><img src=x onerror=alert(1)>\"'";
        let people = on_record(&env, 1, bad).await;
        let place = format!("/contacts/{}", people[0]);
        let said = [("channel", "phone"), ("wording", bad), ("reason", bad)];
        send(&site, &format!("{place}/opt-out"), &key, &said).await.unwrap();
        let escaped: String = url::form_urlencoded::byte_serialize(bad.as_bytes()).collect();
        for path in ["/contacts?unmask=true".to_owned(), format!("{place}?unmask=true"), place.clone(), format!("/contacts?filter={escaped}"),
            format!("/contacts?segment={escaped}"), format!("/contacts/find?number={escaped}"), format!("/sends/{escaped}")] {
            let told = site.get(&path, &key).await.text().await.unwrap();
            for tag in ["<script>alert", "<img", " style="] {
                assert!(!told.contains(tag), "{path}: {told}");
            }
        }
    }
}

/// Somebody rings and wants to get no more texts.
async fn leave_alone(width: Width, colours: Colours) {
    let env = Env::sqlite().await;
    let (stage, site) = (Stage::new(&env, "").await, Site::start(&env).await);
    let people = on_record(&env, 60, "Annabel").await;
    stage.started(&stage.plan(), &people[..5]).await;
    stage.pass(chrono::TimeDelta::minutes(2)).await;
    let key = site.key(&[Scope::Operate, Scope::Pii]).await;
    let browser = Browser::start(width, colours).await;
    browser.enter(&site.url, &key, "/contacts").await;
    browser.look("contacts").await;
    browser.type_into("#filter", "tag:vip").await;
    browser.click("form.filter button").await;
    browser.until("the filter is in the address", "return location.search.includes('vip')").await;
    browser.look("contacts-found").await;
    browser.type_into("#number", "(212) 555-1000").await;
    browser.click("form[action='/contacts/find'] button").await;
    browser.on("/contacts/+12125551000").await;
    browser.look("contact").await;
    browser.click("summary").await;
    browser.type_into("#wording", "no more of this").await;
    browser.type_into("#reason", "she rang").await;
    browser.look("contact-form").await;
    browser.click("main form button").await;
    browser.until("it is closed", "return document.body.innerText.includes('It is closed')").await;
    browser.look("contact-closed").await;
    browser.click("td a[href^='/sends/']").await;
    browser.until("the text is shown", "return location.pathname.startsWith('/sends/')").await;
    assert!(browser.text().await.contains("The number has opted out"), "{}", browser.text().await);
    browser.look("text").await;
    browser.close().await;
}

every_screen! { somebody_who_rings_is_left_alone: leave_alone }
