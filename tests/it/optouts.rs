//! Who said stop is left alone: words in any order and told twice, what people decide, and the lock by which no text
//! starts after the row is committed.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use trunkline_jobs::contacts::optout::{self, Channel, ReviewError, Said, Verdict};
use trunkline_openphone::event::Generation;
use trunkline_platform::audit::{self, Actor, AuditFilter};

use crate::campaigns::Stage;
use crate::harness::{Env, both_engines};
use crate::kept::Keeper;

const US: &str = "+12125550199";
const HER: &str = "+12125550101";

/// She texts us, as a webhook of one generation tells it.
fn text(generation: Generation, id: &str, at: &str, body: &str) -> String {
    let (created, told) = (format!("2026-03-02T09:{at}.000Z"), format!("2026-03-02T09:{at}.500Z"));
    match generation {
        Generation::Dated => json!({"id": format!("EV{id}"), "apiVersion": "2026-03-30",
            "type": "message.received", "createdAt": told,
            "data": {"resource": {"id": id, "direction": "incoming", "status": "received", "text": body,
                "createdAt": created},
                "context": {"phoneNumberId": "PN1", "conversationId": "CN1", "senderIdentifier": HER,
                    "recipientIdentifiers": [US]}}}),
        _ => {
            json!({"id": format!("EV{id}"), "object": "event", "apiVersion": "v2", "type": "message.received",
            "createdAt": told,
            "data": {"object": {"id": id, "object": "message", "from": HER, "to": US, "direction": "incoming",
                "body": body, "media": [], "status": "received", "createdAt": created, "userId": "US1",
                "phoneNumberId": "PN1", "conversationId": "CN1"}}})
        }
    }
    .to_string()
}

fn dated(id: &str, at: &str, body: &str) -> String {
    text(Generation::Dated, id, at, body)
}

/// The carrier refused a text of ours to her, made at this time, because she had opted out there.
fn refused(id: &str, at: &str) -> String {
    let made = format!("2026-03-02T09:{at}.000Z");
    json!({"id": format!("EV{id}"), "apiVersion": "2026-03-30", "type": "message.undelivered",
        "createdAt": "2026-03-02T09:40:00.000Z",
        "data": {"resource": {"id": id, "direction": "outgoing", "status": "undelivered", "errorCode": "21610",
            "text": "Sale!", "createdAt": made},
            "context": {"phoneNumberId": "PN1", "conversationId": "CN1", "senderIdentifier": US,
                "recipientIdentifiers": [HER]}}})
    .to_string()
}

fn ana(reason: Option<&str>) -> Actor {
    Actor { name: "operator:ana".to_owned(), reason: reason.map(str::to_owned) }
}

fn said(entry: &str, at: DateTime<Utc>, confirm: bool) -> Said<'static> {
    Said {
        entry: entry.to_owned(),
        number: HER,
        at,
        channel: Channel::Text,
        wording: Some("revoke"),
        message_id: None,
        actor: None,
        review: false,
        confirm,
    }
}

async fn is_closed(env: &Env) -> bool {
    let mut tx = env.db.write().await.unwrap();
    optout::is_closed(&mut tx, HER).await.unwrap()
}

both_engines! {
    async fn stop_closes_a_number_and_start_opens_it_in_whatever_order_they_are_told(env: Env) {
        let keeper = Keeper::new(&env).await;
        let told = [
            dated("AC1", "10:00", "STOP"),
            dated("AC2", "11:00", "Start"),
            text(Generation::App, "AC3", "12:00", "Please don't text me again"),
            text(Generation::App, "AC1", "10:00", "STOP"),
            dated("AC4", "12:30", "HELP"),
            dated("AC5", "13:00", "I'll stop by tomorrow"),
        ];
        keeper.assert_order_does_not_matter(&told, 16).await;
        assert!(is_closed(&env).await);
        assert_eq!(keeper.rows("opt_outs", "number entry channel").await, [format!("opt_outs {HER} message:AC3 text")]);
        assert_eq!(
            keeper.rows("consents", "entry act review").await,
            [
                "consents message:AC1 opt_out -",
                "consents message:AC2 opt_in -",
                "consents message:AC3 opt_out open",
                "consents message:AC4 help -",
            ]
        );
    }

    async fn the_last_word_counts_by_the_time_it_was_said(env: Env) {
        let keeper = Keeper::new(&env).await;
        keeper.tell_and_work(&[dated("AC2", "11:00", "unstop")]).await;
        keeper.tell_and_work(&[dated("AC1", "10:00", "stop")]).await;
        assert!(!is_closed(&env).await);
        // Of two of one moment the one that closes.
        keeper.tell_and_work(&[dated("AC0", "11:00", "Quit")]).await;
        assert!(is_closed(&env).await);
    }

    async fn what_we_send_and_what_is_said_of_others_closes_nobody(env: Env) {
        let keeper = Keeper::new(&env).await;
        let mut ours = dated("AC1", "10:00", "STOP").replace("message.received", "message.delivered");
        ours = ours.replace("incoming", "outgoing").replace("\"received\"", "\"delivered\"");
        keeper.tell_and_work(&[ours, dated("AC2", "10:01", "Loved “Reply STOP to opt out”")]).await;
        keeper.assert_nothing_failed().await;
        assert!(!is_closed(&env).await);
        assert!(keeper.rows("consents", "entry").await.is_empty());
    }

    async fn who_opted_out_at_the_carrier_is_closed_by_the_text_it_refused_until_they_start_again(env: Env) {
        let keeper = Keeper::new(&env).await;
        let refusal = refused("AC1", "10:00");
        keeper.tell_and_work(std::slice::from_ref(&refusal)).await;
        assert!(is_closed(&env).await);
        let row = optout::show(&env.db, HER).await.unwrap().unwrap();
        assert_eq!((row.channel.as_str(), row.message_id.as_deref(), row.confirmation.as_str()), ("provider", Some("AC1"), "none"));
        keeper.tell_and_work(&[dated("AC2", "11:00", "START"), refusal.clone()]).await;
        assert!(!is_closed(&env).await, "what is told again closes nothing again");
        keeper.tell_and_work(&[refused("AC3", "12:00")]).await;
        assert!(is_closed(&env).await, "the block at the carrier stands");
        keeper.forget().await;
        let told = [refusal, dated("AC2", "11:00", "START"), refused("AC0", "09:00"), dated("AC4", "11:30", "Hi")];
        keeper.assert_order_does_not_matter(&told, 12).await;
        assert!(!is_closed(&env).await);
    }

    async fn a_text_that_fails_for_another_reason_or_to_several_people_closes_nobody(env: Env) {
        let keeper = Keeper::new(&env).await;
        let group = format!("[\"{HER}\",\"+12125550102\"]");
        let told = [
            refused("AC1", "10:00").replace("21610", "30007"),
            refused("AC2", "10:01").replace(&format!("[\"{HER}\"]"), &group),
        ];
        keeper.tell_and_work(&told).await;
        keeper.assert_nothing_failed().await;
        assert!(keeper.rows("consents", "entry").await.is_empty());
    }

    async fn whom_the_provider_will_not_text_because_they_opted_out_there_is_closed_by_its_answer(env: Env) {
        let stage = Stage::new(&env, "").await;
        let people = ["+12125550197".to_owned(), "+12125551000".to_owned()];
        let id = stage.started(&stage.plan(), &people).await;
        stage.pass(TimeDelta::minutes(1)).await;
        let row = optout::show(&env.db, &people[0]).await.unwrap().unwrap();
        assert!(row.closed && row.channel == "provider");
        assert!(optout::show(&env.db, &people[1]).await.unwrap().is_none());
        let text = stage.texts().await.into_iter().find(|text| text.number == people[0]).unwrap();
        assert_eq!(
            (text.reason.as_deref(), text.error_code.as_deref()),
            (Some("opted_out_at_carrier"), Some("21610"))
        );
        assert_eq!(stage.outcomes(id).await["refused 21610"], 1);
        let second = stage.started(&stage.plan(), &people[..1]).await;
        stage.pass(TimeDelta::minutes(1)).await;
        assert_eq!(stage.outcomes(second).await["refused opted_out"], 1);
    }

    async fn people_close_and_open_numbers_and_the_audit_says_who_and_why(env: Env) {
        let keeper = Keeper::new(&env).await;
        let add = async |why| {
            let (wording, actor) = (Some("asked on the phone"), ana(Some(why)));
            optout::opt_out(&env.db, &env.clock, &[HER], Channel::Phone, wording, &actor).await.unwrap()
        };
        assert!(add("called in").await[HER]);
        assert!(is_closed(&env).await);
        assert!(!add("called in again").await[HER], "it was closed before");

        let remove = async |reason| {
            optout::opt_in(&env.db, &env.clock, HER, Channel::Phone, None, &ana(reason)).await
        };
        assert!(matches!(remove(None).await, Err(ReviewError::NoReason)));
        assert!(matches!(remove(Some(" ")).await, Err(ReviewError::NoReason)), "a blank is no reason");
        assert!(is_closed(&env).await);
        assert!(remove(Some("signed the form")).await.unwrap());
        assert!(!is_closed(&env).await);
        // What she says later counts, what she said earlier and is told later does not.
        keeper.tell_and_work(&[dated("AC1", "00:00", "STOP").replace("T09:", "T08:")]).await;
        assert!(!is_closed(&env).await);
        keeper.tell_and_work(&[dated("AC2", "10:00", "STOP")]).await;
        assert!(is_closed(&env).await);
        // A word from the future does not keep people from deciding.
        assert!(remove(Some("a mistake")).await.unwrap());
        assert!(!is_closed(&env).await);

        let book = audit::list(&env.db, &AuditFilter { limit: 10, ..AuditFilter::default() }).await.unwrap();
        let acts: Vec<_> = book.iter().map(|row| (row.action.as_str(), row.reason.as_deref().unwrap())).collect();
        assert_eq!(
            acts,
            [
                ("optout.remove", "a mistake"),
                ("optout.remove", "signed the form"),
                ("optout.add", "called in again"),
                ("optout.add", "called in"),
            ]
        );
        assert_eq!(book[3].subject, format!("number:{HER}"));
        assert_eq!(optout::consents(&env.db, HER, 10).await.unwrap().len(), 6);
    }

    async fn a_sentence_waits_for_a_person_who_confirms_or_reopens(env: Env) {
        let keeper = Keeper::new(&env).await;
        let told = [dated("AC1", "10:00", "leave me alone"), dated("AC2", "11:00", "lose my number, haha")];
        keeper.tell_and_work(&told).await;
        let waiting = optout::reviews(&env.db, None, 10).await.unwrap();
        assert_eq!(waiting.len(), 2);
        assert!(waiting[0].closed && waiting[0].wording.as_deref() == Some("leave me alone"));

        let decide = async |id, verdict, reason| optout::decide(&env.db, &env.clock, id, verdict, &ana(reason)).await;
        let [first, second] = [waiting[0].id, waiting[1].id];
        assert_eq!(decide(first, Verdict::Confirm, None).await.unwrap(), HER);
        assert!(is_closed(&env).await);
        assert!(matches!(decide(first, Verdict::Reopen, Some("?")).await, Err(ReviewError::Decided(..))));
        assert!(matches!(decide(second, Verdict::Reopen, None).await, Err(ReviewError::NoReason)));
        assert!(matches!(decide(99, Verdict::Confirm, None).await, Err(ReviewError::Unknown(99))));
        decide(second, Verdict::Reopen, Some("she was joking")).await.unwrap();
        assert!(!is_closed(&env).await);
        assert!(optout::reviews(&env.db, None, 10).await.unwrap().is_empty());
        assert_eq!(keeper.rows("consents", "review").await, ["consents -", "consents confirmed", "consents reopened"]);
    }

    /// A gate that has looked holds the number open until it has committed; one that looks later finds it closed.
    async fn no_text_starts_after_the_row_is_committed(env: Env) {
        let mut gate = env.db.write().await.unwrap();
        assert!(!optout::is_closed(&mut gate, HER).await.unwrap());
        let db = env.db.clone();
        let at = env.clock.now();
        let closing = tokio::spawn(async move {
            let mut tx = db.write().await.unwrap();
            optout::close(&mut tx, &said("message:AC1", at, false), at).await.unwrap();
            tx.commit().await.unwrap();
        });
        // However often it is given a turn, it waits.
        for _ in 0..200 {
            tokio::task::yield_now().await;
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            assert!(!closing.is_finished(), "the number was closed under a gate that had found it open");
        }
        gate.commit().await.unwrap();
        closing.await.unwrap();
        assert!(is_closed(&env).await);
    }

    /// Many gates and one word at once: whoever committed a text had the number open to the end.
    async fn gates_and_words_do_not_pass_each_other(env: Env) {
        let at = env.clock.now();
        for round in 0..20 {
            let entry = format!("message:AC{round}");
            let gates = (0..8).map(|_| {
                let db = env.db.clone();
                tokio::spawn(async move {
                    let mut tx = db.write().await.unwrap();
                    let open = !optout::is_closed(&mut tx, HER).await.unwrap();
                    tokio::task::yield_now().await;
                    // Nobody can close it while this transaction lives.
                    let still = !optout::is_closed(&mut tx, HER).await.unwrap();
                    tx.commit().await.unwrap();
                    assert_eq!(open, still);
                })
            });
            let gates: Vec<_> = gates.collect();
            let later = at + TimeDelta::seconds(2 * round);
            let mut tx = env.db.write().await.unwrap();
            optout::close(&mut tx, &said(&entry, later, false), at).await.unwrap();
            tx.commit().await.unwrap();
            assert!(is_closed(&env).await);
            for gate in gates {
                gate.await.unwrap();
            }
            let mut tx = env.db.write().await.unwrap();
            let opened = said(&format!("{entry}:open"), later + TimeDelta::seconds(1), false);
            optout::open(&mut tx, &opened, at).await.unwrap();
            tx.commit().await.unwrap();
        }
    }
}
