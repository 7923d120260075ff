//! What waits for a person's decision, each kind with a page of its own: sentences that may be opt-outs, texts of which nobody can
//! tell, and our numbers that are held.

use chrono::TimeDelta;
use reqwest::StatusCode;
use trunkline::access::Scope;
use trunkline_jobs::campaigns::breaker;
use trunkline_jobs::contacts::optout::{self, Channel, Said};
use trunkline_jobs::sends::{self, SendState};

use crate::admin::{Site, entries};
use crate::campaigns::{Stage, numbers};
use crate::contact_pages::LOSE_TRACK;
use crate::dashboard::{page, send};
use crate::harness::browser::{Browser, Colours, Width, every_screen};
use crate::harness::{Env, both_engines};

const PLEA: &str = "could you leave me alone</section><img src=x>";

/// Somebody wrote what may mean that they want no more.
async fn pleads(env: &Env, number: &str) {
    let mut tx = env.db.write().await.unwrap();
    let said = Said {
        entry: format!("test:{number}"),
        number,
        at: env.clock.now(),
        channel: Channel::Text,
        wording: Some(PLEA),
        message_id: None,
        actor: None,
        review: true,
        confirm: false,
    };
    optout::close(&mut tx, &said, env.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
}

/// A site where one text of a campaign is lost track of, two people have pleaded, and a number is held.
async fn undecided(stage: &Stage<'_>, people: &[String]) -> Site {
    let env = stage.env;
    stage.started(&stage.plan(), &people[..1]).await;
    stage.pass(TimeDelta::minutes(2)).await;
    let text = stage.texts().await.remove(0);
    LOSE_TRACK.bind(text.id).execute(&mut env.db.write_one().await.unwrap()).await.unwrap();
    for number in &people[1..] {
        pleads(env, number).await;
    }
    // The last digits of such a number tell the simulator what it is to say of it.
    stage.started(&stage.plan(), &["+12125550194".to_owned()]).await;
    stage.pass(TimeDelta::seconds(2)).await;
    Site::start(env).await
}

both_engines! {
    async fn what_waits_for_a_person_is_decided_on_its_page(env: Env) {
        let stage = Stage::new(&env, "").await;
        let people = numbers(3);
        let site = undecided(&stage, &people).await;
        let (read, operate) = (site.key(&[Scope::Read]).await, site.key(&[Scope::Operate]).await);
        let pii = site.key(&[Scope::Read, Scope::Pii]).await;
        let overview = page(&site, "/", &read).await;
        for place in ["/contacts/reviews", "/sends", "/campaigns/numbers"] {
            assert!(overview.contains(&format!("href=\"{place}\"")), "{place}: {overview}");
            let told = page(&site, place, &read).await;
            assert!(!told.contains("action=\"/c") && !told.contains(&people[1][5..]) && !told.contains("leave me"), "{place}: {told}");
        }
        let shown = page(&site, "/contacts/reviews?unmask=true", &pii).await;
        assert!(shown.contains("leave me alone&lt;/section&gt;") && !shown.contains("<img"), "{shown}");
        assert!(shown.contains(&people[1]) && entries(&env).await.iter().any(|row| row.action == "unmask"), "{shown}");

        let reviews = optout::reviews(&env.db, None, 10).await.unwrap();
        let at = |index: usize, word: &str| format!("/contacts/reviews/{}/{word}", reviews[index].id);
        let why = [("reason", "she rang")];
        assert!(send(&site, &at(0, "reopen"), &read, &why).await.unwrap_err().contains("does not allow"));
        assert!(send(&site, &at(0, "reopen"), &operate, &[]).await.unwrap_err().contains("Say why"));
        assert_eq!(send(&site, &at(0, "reopen"), &operate, &why).await, Ok("/contacts/reviews?did=reopen".to_owned()));
        assert_eq!(send(&site, &at(1, "confirm"), &operate, &why).await, Ok("/contacts/reviews?did=confirm".to_owned()));
        assert!(send(&site, &at(1, "reopen"), &operate, &why).await.unwrap_err().contains("was reviewed before"));
        for (review, closed) in reviews.iter().zip([false, true]) {
            assert_eq!(optout::show(&env.db, &review.number).await.unwrap().unwrap().closed, closed);
        }
        assert!(page(&site, "/contacts/reviews", &operate).await.contains("There are none."));
        for missing in ["/contacts/reviews/0/confirm", "/contacts/reviews/x/confirm", &at(0, "dance")] {
            assert!(send(&site, missing, &operate, &why).await.unwrap_err().contains("There is no such"), "{missing}");
        }

        let text = stage.texts().await.into_iter().find(|text| text.state == SendState::Unresolved).unwrap();
        assert!(page(&site, "/sends", &read).await.contains(&format!("href=\"/sends/{}\"", text.id)));
        send(&site, &format!("/sends/{}/sent", text.id), &operate, &why).await.unwrap();
        assert!(page(&site, "/sends", &read).await.contains("There are none."));
        assert_eq!(sends::show(&env.db, text.id).await.unwrap().unwrap().state, SendState::Sent);

        let line = &stage.line;
        let release = format!("/campaigns/numbers/{line}/release");
        assert!(page(&site, "/campaigns/numbers", &operate).await.contains("a2p_not_approved (0206400)"));
        assert!(send(&site, &release, &read, &why).await.unwrap_err().contains("does not allow"));
        assert_eq!(send(&site, &release, &operate, &why).await, Ok(format!("/campaigns/numbers?released={line}")));
        assert!(breaker::held_numbers(&env.db).await.unwrap().is_empty());
        assert!(send(&site, &release, &operate, &why).await.unwrap_err().contains("Nobody holds this number"));
        let acts: Vec<String> = entries(&env).await.into_iter().map(|row| row.action).collect();
        for act in ["optout.reopen", "optout.confirm", "number.release"] {
            assert!(acts.iter().any(|done| done == act), "{act}: {acts:?}");
        }
        assert_eq!(site.get("/sends", "").await.status(), StatusCode::SEE_OTHER);
    }
}

async fn decide(width: Width, colours: Colours) {
    let env = Env::sqlite().await;
    let stage = Stage::new(&env, "").await;
    let site = undecided(&stage, &numbers(4)).await;
    let key = site.key(&[Scope::Operate, Scope::Pii]).await;
    let browser = Browser::start(width, colours).await;
    browser.enter(&site.url, &key, "/contacts").await;
    browser.go(&format!("{}/contacts/reviews", site.url)).await;
    browser.on("/contacts/reviews").await;
    browser.look("reviews").await;
    browser.click("section.card details:last-of-type summary").await;
    browser.type_into("section.card details[open] input[name=reason]", "she rang").await;
    browser.look("reviews-form").await;
    browser.click("section.card details[open] button").await;
    browser
        .until("it is decided", "return document.body.innerText.includes('the number is open again')")
        .await;
    browser.look("reviews-decided").await;
    browser.go(&format!("{}/sends", site.url)).await;
    browser.on("/sends").await;
    browser.look("sends-unresolved").await;
    browser.go(&format!("{}/campaigns/numbers", site.url)).await;
    browser.on("/campaigns/numbers").await;
    browser.look("numbers-held").await;
    browser.close().await;
}

every_screen! { somebody_decides: decide }
