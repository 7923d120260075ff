//! Campaigns on their pages: built, foreseen, started, held and brought to their end, as HTTP and in a real browser.

use chrono::TimeDelta;
use reqwest::StatusCode;
use trunkline::access::Scope;
use trunkline_jobs::campaigns::{Audience, Plan, State, Variant};
use trunkline_jobs::contacts::people::{self, Label, NewPerson, OnDuplicate};
use trunkline_jobs::contacts::segments;
use trunkline_jobs::sends::SendRow;

use crate::admin::{Site, entries};
use crate::admin_campaigns::acts;
use crate::campaigns::{LIMIT, Stage, ana, line, numbers, provider_at};
use crate::dashboard::{page, send};
use crate::experiments::{answer, outcome};
use crate::harness::browser::{Browser, Colours, Width, every_screen};
use crate::harness::{Env, both_engines};
use crate::kept::Keeper;

const WORDS: &str = "Hi {{first_name|there}}, sale today! Reply STOP to opt out";
const WHY: [(&str, &str); 1] = [("reason", "a test")];

/// People on record, every third of them tagged.
async fn on_record(env: &Env, count: usize) -> Vec<String> {
    let numbers = numbers(count);
    let people: Vec<NewPerson> = (numbers.iter().enumerate())
        .map(|(n, number)| NewPerson {
            number: number.clone(),
            first_name: Some(format!("Ann{n}")),
            labels: (n % 3 == 0).then(|| Label::tag("vip").unwrap()).into_iter().collect(),
            ..NewPerson::default()
        })
        .collect();
    let mut tx = env.db.write().await.unwrap();
    people::put(&mut tx, &people, OnDuplicate::Fail, "test", None, env.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    numbers
}

/// A form with everything that a campaign must have, and more.
fn form<'f>(line: &'f str, more: &[(&'f str, &'f str)]) -> Vec<(&'f str, &'f str)> {
    let usual = [
        ("name", "spring"),
        ("whom", "everyone"),
        ("words1", WORDS),
        ("senders", line),
        ("reason", "spring has come"),
    ];
    let kept = usual.into_iter().filter(|(name, _)| !more.iter().any(|(other, _)| other == name));
    kept.chain(more.iter().copied()).collect()
}

/// The number of the draft that an answer leads to.
fn made(place: &str) -> i64 {
    place.strip_prefix("/campaigns/").unwrap().strip_suffix("?did=make").unwrap().parse().unwrap()
}

/// Some of the texts arrive, one is taken for spam, and two people answer.
async fn heard(env: &Env, texts: &[SendRow]) {
    let now = env.clock.now();
    let mut told: Vec<String> = (texts.iter().enumerate())
        .map(|(n, text)| outcome(text, if n == 0 { "undelivered" } else { "delivered" }, now))
        .collect();
    told.push(answer("AC1", &texts[1].number, now, "How much?"));
    told.push(answer("AC2", &texts[2].number, now, "STOP"));
    Keeper::new(env).await.tell_and_work(&told).await;
}

both_engines! {
    async fn a_campaign_is_driven_on_its_pages_from_its_form_to_its_report(env: Env) {
        let (stage, site) = (Stage::new(&env, "").await, Site::start(&env).await);
        let people = on_record(&env, 30).await;
        let key = site.key(&[Scope::Operate]).await;
        let fields = form(&stage.line, &[("rate", "20/m"), ("daily_cap", "200")]);
        assert_eq!(send(&site, "/campaigns/new", &key, &fields).await.as_deref(), Ok("/campaigns/1?did=make"));
        let draft = page(&site, "/campaigns/1?did=make", &key).await;
        for part in ["It is made", "/campaigns/1/start", "/campaigns/1/schedule", "/campaigns/1/cancel", "everybody on record", "20/m"] {
            assert!(draft.contains(part), "{part}: {draft}");
        }
        assert!(!draft.contains("/campaigns/1/pause") && !draft.contains("/campaigns/1/resume"), "{draft}");
        let plan = page(&site, "/campaigns/1/plan", &key).await;
        for part in ["<strong>30 texts</strong> would leave", "0.30 USD", "<svg", &stage.line] {
            assert!(plan.contains(part), "{part}: {plan}");
        }
        let preview = page(&site, "/campaigns/1/preview", &key).await;
        assert!(preview.contains("[42 chars]") && !preview.contains("Ann0") && !preview.contains(&people[0]), "{preview}");

        let would = page(&site, "/campaigns/1/start", &key).await;
        assert!(would.contains("<strong>30 texts</strong> would leave") && would.contains("A text cannot be taken back"), "{would}");
        assert_eq!(stage.campaign(1).await.state, State::Draft, "nothing is done yet");
        assert!(send(&site, "/campaigns/1/start", &key, &[]).await.unwrap_err().contains("Say why"));
        assert_eq!(send(&site, "/campaigns/1/start", &key, &WHY).await.as_deref(), Ok("/campaigns/1?did=start"));
        stage.pass(TimeDelta::seconds(30)).await;
        let goes = site.get("/campaigns/1", &key).await;
        let goes = goes.text().await.unwrap();
        assert!(goes.contains("http-equiv=\"refresh\" content=\"2; url=/campaigns/1\""), "without script it looks again: {goes}");
        assert!(goes.contains("Planned by now") && goes.contains("/campaigns/1/pause") && !goes.contains("name=\"reason\""), "{goes}");

        assert!(page(&site, "/campaigns/1/pause", &key).await.contains("would wait until it is resumed"));
        send(&site, "/campaigns/1/pause", &key, &[("reason", "a typo?")]).await.unwrap();
        let left = stage.accepted().len();
        assert!((1..30).contains(&left), "{left}");
        stage.pass(TimeDelta::minutes(10)).await;
        assert_eq!(stage.accepted().len(), left, "nothing leaves while it is held");
        let held = site.get("/campaigns/1", &key).await;
        let held = held.text().await.unwrap();
        assert!(!held.contains("http-equiv=\"refresh\""), "{held}");
        assert!(held.contains("Held: a typo?") && held.contains(&format!("<strong>{left}</strong> of 30 have left")), "{held}");
        let beside = page(&site, "/campaigns/1/plan", &key).await;
        assert!(beside.contains("As it was planned, and as it came") && beside.contains("class=\"planned\""), "{beside}");
        let limits = form("PN9", &[("rate", ""), ("daily_cap", "150"), ("words1", "other words, STOP")]);
        assert_eq!(send(&site, "/campaigns/1/edit", &key, &limits).await.as_deref(), Ok("/campaigns/1?did=change"));
        let changed = stage.campaign(1).await.plan.0;
        assert_eq!((changed.rate.as_ref(), changed.daily_cap), (None, 150));
        assert_eq!((changed.variants[0].template.as_str(), &changed.senders), (WORDS, &vec![stage.line.clone()]), "what is fixed stays");
        send(&site, "/campaigns/1/resume", &key, &WHY).await.unwrap();
        stage.pass(TimeDelta::minutes(2)).await;
        stage.assert_nobody_twice();
        heard(&env, &stage.texts().await).await;

        let done = page(&site, "/campaigns/1", &key).await;
        for part in ["completed", "<strong>30</strong> of 30 have left", "30007", "By state", "<title>NY: 30</title>", "96.7% "] {
            assert!(done.contains(part), "{part}: {done}");
        }
        assert!(!done.contains("/campaigns/1/cancel") && !done.contains("/campaigns/1/edit"), "{done}");
        let list = page(&site, "/campaigns?state=completed", &key).await;
        assert!(list.contains("href=\"/campaigns/1\""), "{list}");
        assert!(page(&site, "/campaigns?state=draft", &key).await.contains("There are none"));
        let filtered = page(&site, "/campaigns/1/recipients?state=undelivered&reason=30007", &key).await;
        assert_eq!(filtered.matches("<td class=\"n\">").count(), 1, "{filtered}");
        let act = |action: &str, reason: &str| (format!("campaign.{action}"), Some(reason.to_owned()));
        assert_eq!(acts(&env, "campaign:1").await, [
            act("create", "spring has come"), act("start", "a test"), act("pause", "a typo?"), act("change", "spring has come"),
            act("resume", "a test"),
        ]);
    }

    async fn what_cannot_be_is_told_at_the_form_which_keeps_what_was_typed(env: Env) {
        let site = Site::start(&env).await;
        on_record(&env, 6).await;
        let (key, pii) = (site.key(&[Scope::Operate]).await, site.key(&[Scope::Operate, Scope::Pii]).await);
        segments::create(&env.db, "best", &"tag:vip".parse().unwrap(), &ana(), env.clock.now()).await.unwrap();
        let line = line();
        for (more, says) in [
            (vec![("words1", "Sale!")], "how to stop"),
            (vec![("senders", "+12125550199")], "begins with PN"),
            (vec![("whom", "")], "To whom?"),
            (vec![("whom", "tag"), ("tag", "two words")], "is no tag"),
            (vec![("whom", "segment"), ("segment", "none")], "no segment none"),
            (vec![("whom", "filter"), ("filter", "")], "filter is empty"),
            (vec![("whom", "filter"), ("filter", "colour:red")], "colour"),
            (vec![("whom", "filter"), ("filter", "name~ann")], "scope pii"),
            (vec![("whom", "numbers"), ("numbers", "+12125550101\nana")], "ana: "),
            (vec![("whom", "numbers"), ("numbers", " ")], "no numbers"),
            (vec![("rate", "fast")], "the rate"),
            (vec![("daily_cap", "many")], "daily cap"),
            (vec![("hours", "soon")], "no hours"),
            (vec![("winner", "replies")], "nobody to win against"),
            (vec![("words2", "Other. STOP"), ("name2", "A")], "two texts have the name"),
            (vec![("name", "")], "Give it a name"),
            (vec![("reason", "")], "Say why"),
        ] {
            let mut fields = form(&line, &more);
            fields.push(("budget", "4711"));
            let told = send(&site, "/campaigns/new", &key, &fields).await.unwrap_err();
            assert!(told.contains(says) && told.contains("value=\"4711\""), "{more:?}: {told}");
        }
        assert_eq!(stage_count(&env).await, 0, "nothing was made");
        let look = form(&line, &[("whom", "segment"), ("segment", "best"), ("do", "look")]);
        let looked = send(&site, "/campaigns/new", &key, &look).await.unwrap_err();
        assert!(looked.contains("<strong>2</strong> people") && looked.contains("spring has come"), "{looked}");
        let personal = form(&line, &[("whom", "filter"), ("filter", "name~ann2")]);
        let id = made(&send(&site, "/campaigns/new", &pii, &personal).await.unwrap());
        let edit = format!("/campaigns/{id}/edit");
        let masked = page(&site, &edit, &key).await;
        assert!(!masked.contains("ann2") && masked.contains("As it is: "), "{masked}");
        let same = form(&line, &[("whom", "same"), ("words2", "Other. STOP"), ("weight2", "3")]);
        send(&site, &edit, &key, &same).await.unwrap();
        let plan = trunkline_jobs::campaigns::show(&env.db, id).await.unwrap().unwrap().plan.0;
        assert_eq!((plan.audience, plan.variants[1].weight), (Audience::Segment("name~ann2".parse().unwrap()), 3));
        let told = send(&site, "/campaigns/new", &key, &form(&line, &[])).await.unwrap_err();
        assert!(told.contains("there is a campaign") && told.contains("sale today!"), "{told}");
        let list = form(&line, &[("name", "list"), ("whom", "numbers"), ("numbers", "(212) 555-0101\r\n+12125550102, 2125550101")]);
        let id = made(&send(&site, "/campaigns/new", &key, &list).await.unwrap());
        assert_eq!(trunkline_jobs::campaigns::show(&env.db, id).await.unwrap().unwrap().recipients, 2);
    }

    async fn nobody_overwrites_what_somebody_else_has_changed_meanwhile(env: Env) {
        let (stage, site) = (Stage::new(&env, "").await, Site::start(&env).await);
        let key = site.key(&[Scope::Operate]).await;
        let id = stage.started(&stage.plan(), &numbers(3)).await;
        let edit = format!("/campaigns/{id}/edit");
        let shown = page(&site, &edit, &key).await;
        let seen = shown.split("name=\"seen\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let change = async |cap: &str| {
            let fields = [("seen", seen.as_str()), ("hours", "9:00-20:00"), ("daily_cap", cap), ("reason", "less")];
            send(&site, &edit, &key, &fields).await
        };
        assert_eq!(change("10").await, Ok(format!("/campaigns/{id}?did=change")));
        let told = change("20").await.unwrap_err();
        assert!(told.contains("was changed since it was looked at") && told.contains("value=\"20\""), "{told}");
        assert_eq!(stage.campaign(id).await.plan.0.daily_cap, 10);
    }

    async fn what_cannot_be_done_from_where_it_is_is_refused_with_the_reason(env: Env) {
        let (stage, site) = (Stage::new(&env, "").await, Site::start(&env).await);
        let key = site.key(&[Scope::Operate]).await;
        let plan = Plan { variants: vec![Variant::new("A", "Sale! STOP"), Variant::new("B", "Buy! STOP")], rate: Some("6/m".to_owned()), ..stage.plan() };
        let id = stage.draft(&plan, &numbers(30)).await.id;
        let place = format!("/campaigns/{id}");
        for (word, says) in [("pause", "it has not begun; start it first"), ("promote", "this one is draft")] {
            let path = format!("{place}/{word}");
            let shown = site.get(&path, &key).await;
            assert_eq!(shown.status(), StatusCode::BAD_REQUEST);
            assert!(shown.text().await.unwrap().contains(says), "{word}");
            assert!(send(&site, &path, &key, &WHY).await.unwrap_err().contains(says), "{word}");
        }
        let at = |at: &'static str| [("at", at), ("reason", "later")];
        let schedule = format!("{place}/schedule");
        assert!(page(&site, &format!("{schedule}?at=soon"), &key).await.contains("is no time"));
        assert!(page(&site, &format!("{schedule}?at=2h"), &key).await.contains("would leave"));
        for past in ["soon", "2020-01-01T00:00:00Z"] {
            assert!(send(&site, &schedule, &key, &at(past)).await.unwrap_err().contains("in the past"), "{past}");
        }
        send(&site, &schedule, &key, &at("2h")).await.unwrap();
        assert_eq!(stage.campaign(id).await.scheduled_for, Some(env.clock.now() + TimeDelta::hours(2)));
        send(&site, &format!("{place}/start"), &key, &WHY).await.unwrap();
        stage.pass(TimeDelta::minutes(1)).await;
        assert!(send(&site, &format!("{place}/start"), &key, &WHY).await.unwrap_err().contains("it runs already"));
        send(&site, &format!("{place}/pause"), &key, &WHY).await.unwrap();
        let resume = page(&site, &format!("{place}/resume"), &key).await;
        assert!(resume.contains("without text B"), "{resume}");
        let without = |text: &'static str| [("without", text), ("reason", "B annoys")];
        assert!(send(&site, &format!("{place}/resume"), &key, &without("Z")).await.unwrap_err().contains("no text"));
        send(&site, &format!("{place}/resume"), &key, &without("B")).await.unwrap();
        assert_eq!(stage.campaign(id).await.plan.0.without, ["B"]);
        assert!(page(&site, &place, &key).await.contains("left out"));
        let promote = format!("{place}/promote");
        assert!(page(&site, &promote, &key).await.contains("What is known by now: there is one text, or one is left"));
        assert!(send(&site, &promote, &key, &[("text", "B"), ("reason", "x")]).await.unwrap_err().contains("sends no text"));
        send(&site, &promote, &key, &[("text", "A"), ("reason", "it is better")]).await.unwrap();
        assert_eq!(stage.campaign(id).await.winner.as_deref(), Some("A"));
        assert!(page(&site, &format!("{place}/cancel"), &key).await.contains("cannot be undone"));
        send(&site, &format!("{place}/cancel"), &key, &[("reason", "enough")]).await.unwrap();
        assert!(send(&site, &format!("{place}/resume"), &key, &WHY).await.unwrap_err().contains("make a new one"));
        assert!(send(&site, &format!("{place}/edit"), &key, &WHY).await.unwrap_err().contains("cannot be changed any more"));
        for missing in ["/campaigns/99", "/campaigns/x", "/campaigns/99/start", "/campaigns/1/dance", "/campaigns/99/plan"] {
            assert_eq!(site.get(missing, &key).await.status(), StatusCode::NOT_FOUND, "{missing}");
        }
    }

    async fn whoever_may_only_look_sees_no_button_and_nobody(env: Env) {
        let (stage, site) = (Stage::new(&env, "").await, Site::start(&env).await);
        let people = on_record(&env, 12).await;
        let id = stage.started(&Plan { variants: vec![Variant::new("A", WORDS)], rate: Some("6/m".to_owned()), ..stage.plan() }, &people).await;
        stage.pass(TimeDelta::seconds(30)).await;
        let place = format!("/campaigns/{id}");
        let (read, pii) = (site.key(&[Scope::Read]).await, site.key(&[Scope::Read, Scope::Pii]).await);
        let (recipients, preview) = (format!("{place}/recipients"), format!("{place}/preview"));
        for path in ["/campaigns".to_owned(), place.clone(), format!("{place}/plan"), preview.clone(), recipients.clone()] {
            let shown = page(&site, &path, &read).await;
            assert!(!shown.contains(&people[11][5..]) && !shown.contains("Ann11"), "{path}: {shown}");
            let main = shown.split("<main").nth(1).unwrap();
            assert!(!main.contains("method=\"post\"") && !main.contains("class=\"button"), "{path}: {main}");
        }
        for path in [&recipients, &preview] {
            let unmasked = format!("{path}?unmask=true");
            assert_eq!(site.get(&unmasked, &read).await.status(), StatusCode::FORBIDDEN);
            assert!(page(&site, &unmasked, &pii).await.contains(&people[11]), "{path}");
        }
        assert!(page(&site, &format!("{preview}?unmask=true"), &pii).await.contains("Hi Ann11, sale today!"));
        assert_eq!(entries(&env).await.iter().filter(|row| row.action == "unmask").count(), 3);
        let before = stage.campaign(id).await;
        for word in ["start", "schedule", "pause", "resume", "cancel", "promote", "edit"] {
            let path = format!("{place}/{word}");
            assert_eq!(site.get(&path, &read).await.status(), StatusCode::FORBIDDEN, "{path}");
            assert!(send(&site, &path, &read, &WHY).await.unwrap_err().contains("does not allow"), "{path}");
        }
        assert_eq!(site.get("/campaigns/new", &read).await.status(), StatusCode::FORBIDDEN);
        assert!(send(&site, "/campaigns/new", &read, &form(&stage.line, &[])).await.unwrap_err().contains("does not allow"));
        let after = stage.campaign(id).await;
        assert_eq!((after.state, after.generation, stage_count(&env).await), (before.state, before.generation, 1));
    }

    async fn nothing_that_a_campaign_says_is_taken_for_a_page(env: Env) {
        let (stage, site) = (Stage::new(&env, "").await, Site::start(&env).await);
        let key = site.key(&[Scope::Admin, Scope::Pii]).await;
        let bad = "</pre></textarea></title><script>alert(1)</script><img src=x onerror=alert(1)>\"'";
        let named = |number| NewPerson { number, first_name: Some(bad[..40].to_owned()), ..NewPerson::default() };
        let people: Vec<NewPerson> = numbers(9).into_iter().map(named).collect();
        let mut tx = env.db.write().await.unwrap();
        people::put(&mut tx, &people, OnDuplicate::Fail, "test", None, env.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        let words = format!("{bad} {{{{first_name}}}} STOP");
        let mut fields = form(&stage.line, &[("name", bad), ("words1", &words), ("reason", bad), ("rate", "6/m")]);
        send(&site, "/campaigns/new", &key, &fields).await.unwrap();
        fields.push(("holdout", bad));
        let told = send(&site, "/campaigns/new", &key, &fields).await.unwrap_err();
        let reason = [("reason", bad)];
        send(&site, "/campaigns/1/start", &key, &reason).await.unwrap();
        stage.pass(TimeDelta::seconds(1)).await;
        send(&site, "/campaigns/1/pause", &key, &reason).await.unwrap();
        let escaped: String = url::form_urlencoded::byte_serialize(bad.as_bytes()).collect();
        let mut shown = vec![("form", told)];
        for path in ["/campaigns", "/campaigns/new", "/campaigns/1", "/campaigns/1/edit", "/campaigns/1/plan", "/campaigns/1/preview?unmask=true",
            "/campaigns/1/recipients", "/campaigns/1/resume", "/campaigns/1/cancel", "/campaigns/1/promote"] {
            let answer = site.get(path, &key).await;
            let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
            assert!(policy.contains("default-src 'none'"), "{policy}");
            shown.push((path, answer.text().await.unwrap()));
        }
        for path in [format!("/campaigns?state={escaped}"), format!("/campaigns/1/recipients?state={escaped}&reason={escaped}"),
            format!("/campaigns/1/plan?at={escaped}"), format!("/campaigns/1/schedule?at={escaped}"), format!("/campaigns/{escaped}")] {
            shown.push(("address", site.get(&path, &key).await.text().await.unwrap()));
        }
        for (path, told) in shown {
            for tag in ["<script>alert", "<img", " style="] {
                assert!(!told.contains(tag), "{path}: {told}");
            }
        }
    }
}

async fn stage_count(env: &Env) -> usize {
    let all = trunkline_jobs::campaigns::CampaignFilter { limit: 100, ..Default::default() };
    trunkline_jobs::campaigns::list(&env.db, &all).await.unwrap().len()
}

/// The whole way of a campaign, as somebody goes it who has two texts and wants to know which is better.
async fn drive(width: Width, colours: Colours) {
    let env = Env::sqlite().await;
    let stage = Stage::new(&env, "").await;
    let site = Site::beside(&env, provider_at(&env, &stage.simulator, LIMIT)).await;
    on_record(&env, 60).await;
    let key = site.key(&[Scope::Operate]).await;
    let browser = Browser::start(width, colours).await;
    browser.enter(&site.url, &key, "/campaigns").await;
    browser.click("a[href='/campaigns/new']").await;
    browser.on("/campaigns/new").await;
    browser.type_into("#name", "<b>spring</b>").await;
    browser.click("input[value=everyone]").await;
    browser.type_into("#words1", "Hi {{first_name|there}}, sale today!").await;
    browser.run("document.querySelectorAll('details').forEach(one => one.open = true)").await;
    browser.type_into("#words2", "10% off, {{first_name|friend}}. Reply STOP to opt out").await;
    browser.click(&format!("input[name=sender][value='{}']", stage.line)).await;
    browser.type_into("#rate", "30/m").await;
    browser.type_into("#reason", "spring has come").await;
    browser.look("campaign-form").await;
    browser.click("button[value=save]").await;
    browser.until("what is wrong is told", "return !!document.querySelector('#problem')").await;
    assert!(browser.text().await.contains("how to stop"), "{}", browser.text().await);
    browser.look("campaign-form-refused").await;
    browser.type_into("#words1", " Reply STOP to opt out").await;
    browser.click("button[value=look]").await;
    browser
        .until("they are counted", "return document.body.innerText.includes('would go to 60 people')")
        .await;
    browser.look("campaign-form-counted").await;
    browser.click("button[value=save]").await;
    browser.on("/campaigns/1").await;
    assert!(browser.text().await.contains("<b>spring</b>"), "{}", browser.text().await);
    browser.look("campaign-draft").await;
    for (link, name) in [("/campaigns/1/preview", "campaign-preview"), ("/campaigns/1/plan", "campaign-plan")]
    {
        browser.click(&format!("a[href='{link}']")).await;
        browser.on(link).await;
        browser.look(name).await;
        browser.go(&format!("{}/campaigns/1", site.url)).await;
    }
    browser.click("a[href='/campaigns/1/start']").await;
    browser.on("/campaigns/1/start").await;
    assert!(browser.text().await.contains("60 texts would leave"), "{}", browser.text().await);
    browser.look("campaign-start").await;
    browser.type_into("#reason", "all is well").await;
    browser.click("main form button").await;
    browser.on("/campaigns/1").await;
    stage.pass(TimeDelta::seconds(40)).await;
    heard(&env, &stage.texts().await).await;
    browser
        .until("it looks again by itself", "return /[1-9]\\d* of 60 have left/.test(document.body.innerText)")
        .await;
    browser.look("campaign-goes").await;
    browser.go(&format!("{}/campaigns/1/pause", site.url)).await;
    browser.type_into("#reason", "to look at it").await;
    browser.look("campaign-pause").await;
    browser.click("main form button").await;
    browser.on("/campaigns/1").await;
    assert!(browser.text().await.contains("Held: to look at it"), "{}", browser.text().await);
    browser.look("campaign-held").await;
    browser.go(&format!("{}/campaigns/1/plan", site.url)).await;
    browser.look("campaign-beside").await;
    browser.go(&format!("{}/campaigns/1/resume", site.url)).await;
    browser.type_into("#reason", "it is well").await;
    browser.look("campaign-resume").await;
    browser.click("main form button").await;
    browser.on("/campaigns/1").await;
    stage.pass(TimeDelta::minutes(5)).await;
    browser
        .until("it has ended", "return document.querySelector('h1 .state').textContent === 'completed'")
        .await;
    let told = browser.text().await;
    for part in ["60 of 60 have left", "Which is better", "too early", "30007", "By state"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    browser.look("campaign-done").await;
    browser.run("document.querySelector('svg.map').scrollIntoView()").await;
    browser.look("campaign-done-map").await;
    browser.click("a[href='/campaigns/1/recipients']").await;
    browser.on("/campaigns/1/recipients").await;
    browser.look("campaign-recipients").await;
    browser.click("nav a[href='/campaigns']").await;
    browser.on("/campaigns").await;
    browser.look("campaigns").await;
    stage.assert_nobody_twice();
    assert_eq!(stage.accepted().len(), 60);
    browser.close().await;
}

every_screen! { somebody_builds_a_campaign_and_brings_it_to_its_end: drive }
