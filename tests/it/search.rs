//! Search: the same rows for the same query on both engines, whatever came in whatever order.

use chrono::{DateTime, TimeDelta, Utc};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, SqliteConnection};
use trunkline_jobs::search::{By, Hit, Kind, Order, Query, Side, WINDOW, search};
use trunkline_platform::db::{Engine, Rows};

use crate::harness::{Env, both_engines, start_time};
use crate::kept::Keeper;

const US: &str = "+12125550199";
const HER: &str = "+12125550101";
const HIM: &str = "+12125550102";

trunkline_platform::statements! {
    FORGET_INDEX = same { "DELETE FROM search_documents" }
    FORGET_MESSAGE = same { "DELETE FROM messages WHERE id = $1" }
    /// Many messages at once, as they stood before there was an index.
    PUT_MESSAGES = parts {
        "INSERT INTO messages (id, direction, text, created_at, status, status_final, status_at, status_rank)
         SELECT r.id, 'incoming', r.text, r.at, 'received', TRUE, r.at, 15
         FROM " (rows "$1" as r (id TEXT, text TEXT, at TIMESTAMPTZ)) " WHERE true ORDER BY r.id"
    }
}

fn event(kind: &str, minute: i64, resource: serde_json::Value, external: &str) -> String {
    let at = (start_time() + TimeDelta::minutes(minute)).to_rfc3339();
    let id = resource["id"].as_str().or(resource["callId"].as_str()).unwrap().to_owned();
    json!({"id": format!("EV{kind}{id}{minute}"), "apiVersion": "2026-03-30", "type": kind, "createdAt": at,
        "data": {"resource": resource, "context": {"phoneNumberId": "PN1", "conversationId": format!("CN{external}"),
            "userId": "US1", "participants": {"workspace": [US], "external": [external]}}}})
    .to_string()
}

fn at(minute: i64) -> String {
    (start_time() + TimeDelta::minutes(minute)).to_rfc3339()
}

fn message(id: &str, minute: i64, direction: &str, external: &str, text: &str) -> String {
    let (from, to) = if direction == "incoming" { (external, US) } else { (US, external) };
    let kind = if direction == "incoming" { "message.received" } else { "message.delivered" };
    event(
        kind,
        minute,
        json!({"id": id, "direction": direction, "from": from, "to": [to], "text": text, "status": "received",
            "createdAt": at(minute), "updatedAt": at(minute)}),
        external,
    )
}

fn transcript(call: &str, minute: i64, external: &str, said: &[(&str, &str)]) -> String {
    let dialogue: Vec<_> = said
        .iter()
        .zip(0..)
        .map(|((who, content), turn)| {
            let ours = *who == "us";
            json!({"userId": if ours { Some("US1") } else { None },
                "identifier": if ours { None } else { Some(external) },
                "content": content, "start": f64::from(turn) * 3.0, "end": f64::from(turn) * 3.0 + 2.0})
        })
        .collect();
    event(
        "call.transcript.completed",
        minute,
        json!({"callId": call, "processingStatus": "completed", "duration": 42, "dialogue": dialogue}),
        external,
    )
}

fn summary(call: &str, minute: i64, external: &str, text: &str, next: &str) -> String {
    event(
        "call.summary.completed",
        minute,
        json!({"callId": call, "processingStatus": "completed", "summary": [text], "nextSteps": [next], "jobs": []}),
        external,
    )
}

fn voicemail(id: &str, call: Option<&str>, minute: i64, external: &str, text: &str) -> String {
    event(
        "call.voicemail.completed",
        minute,
        json!({"id": id, "voicemailId": "VM1", "callId": call, "direction": "incoming", "duration": 7,
            "from": external, "to": US, "transcript": text, "createdAt": at(minute)}),
        external,
    )
}

/// The call whose transcript can come first.
fn ringing(call: &str, minute: i64, external: &str) -> String {
    event(
        "call.ringing",
        minute,
        json!({"id": call, "direction": "incoming", "from": external, "to": US, "createdAt": at(minute)}),
        external,
    )
}

fn corpus() -> Vec<String> {
    vec![
        message("MS1", 1, "incoming", HER, "My heater is out. Can you send a technician?"),
        message("MS2", 2, "outgoing", HER, "A technician comes tomorrow: don’t touch the heater!"),
        message("MS3", 3, "incoming", HIM, "The café on 5th wants <b>two</b> heaters & a boiler 🎉"),
        message("MS4", 4, "incoming", HIM, "暖气坏了"),
        ringing("AC1", 10, HER),
        transcript(
            "AC1",
            12,
            HER,
            &[
                ("us", "Good morning, how can I help?"),
                ("them", "My heater is out of order."),
                ("us", "We will book a technician."),
            ],
        ),
        summary("AC1", 13, HER, "The heater stopped this morning.", "Book a technician."),
        voicemail("AC2", None, 20, HIM, "Call me back about the boiler."),
        voicemail("AC3", Some("AC4"), 21, HER, "Is the technician on the way?"),
    ]
}

fn query(text: &str) -> Query {
    Query { text: text.to_owned(), limit: 100, ..Query::default() }
}

/// What was found, in the order of their ids.
async fn found(env: &Env, query: &Query) -> Vec<String> {
    let page = search(&env.db, query).await.unwrap();
    let mut ids: Vec<String> =
        page.hits.iter().map(|hit| format!("{}:{}", hit.kind.as_str(), hit.id)).collect();
    ids.sort();
    ids
}

fn marked(hit: &Hit) -> String {
    hit.snippet.marked("[", "]", str::to_owned)
}

/// Every page of an answer.
async fn all_pages(env: &Env, mut query: Query) -> Vec<Hit> {
    let mut hits = Vec::new();
    loop {
        let page = search(&env.db, &query).await.unwrap();
        hits.extend(page.hits);
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => return hits,
        }
    }
}

#[derive(serde::Serialize)]
struct Line {
    id: String,
    text: String,
    at: String,
}

async fn put_messages(env: &Env, count: usize, text: impl Fn(usize) -> String) {
    let line = |n: usize| Line {
        id: format!("MS{n:05}"),
        text: text(n),
        at: trunkline_platform::db::sql_time(start_time() + TimeDelta::seconds(n as i64)),
    };
    let lines: Vec<Line> = (0..count).map(line).collect();
    for lines in lines.chunks(500) {
        let rows = Rows::of(lines).unwrap();
        PUT_MESSAGES.bind(rows).execute(&mut env.db.write_one().await.unwrap()).await.unwrap();
    }
}

both_engines! {
    async fn words_phrases_and_beginnings_find_the_same_on_both_engines(env: Env) {
        let keeper = Keeper::new(&env).await;
        keeper.tell_and_work(&corpus()).await;
        keeper.assert_nothing_failed().await;
        for (text, expected) in [
            ("heater", vec!["message:MS1", "message:MS2", "summary:AC1", "transcript:AC1"]),
            ("HEATER technician", vec!["message:MS1", "message:MS2", "summary:AC1", "transcript:AC1"]),
            ("heat*", vec!["message:MS1", "message:MS2", "message:MS3", "summary:AC1", "transcript:AC1"]),
            ("\"heater is out\"", vec!["message:MS1", "transcript:AC1"]),
            ("\"out of order\"", vec!["transcript:AC1"]),
            ("\"is out of ord*\"", vec!["transcript:AC1"]),
            ("\"out can\"", vec!["message:MS1"]),
            ("\"order we\"", vec![]),
            ("\"is heater\"", vec![]),
            ("cafe", vec!["message:MS3"]),
            ("CAFÉ 5th", vec!["message:MS3"]),
            ("dont", vec!["message:MS2"]),
            ("don't", vec!["message:MS2"]),
            ("暖气", vec!["message:MS4"]),
            ("坏气", vec![]),
            ("boiler", vec!["message:MS3", "voicemail:AC2"]),
            ("book", vec!["summary:AC1", "transcript:AC1"]),
            ("way", vec!["voicemail:call:AC4"]),
            ("nothing such", vec![]),
            ("the the the", vec!["message:MS2", "message:MS3", "summary:AC1", "voicemail:AC2", "voicemail:call:AC4"]),
        ] {
            assert_eq!(found(&env, &query(text)).await, expected, "{text}");
        }
    }

    async fn filters_narrow_what_is_found(env: Env) {
        let keeper = Keeper::new(&env).await;
        keeper.tell_and_work(&corpus()).await;
        let minute = |minute| Some(start_time() + TimeDelta::minutes(minute));
        let by = |who: &str| Some(By::Somebody(who.to_owned()));
        let technician = || query("technician");
        let filtered: Vec<(Query, Vec<&str>)> = vec![
            (Query { kinds: vec![Kind::Summary, Kind::Voicemail], ..technician() }, vec!["summary:AC1", "voicemail:call:AC4"]),
            (Query { number: Some("+1 (212) 555-0102".to_owned()), ..query("boiler") }, vec!["message:MS3", "voicemail:AC2"]),
            (Query { number: Some(HER.to_owned()), ..query("boiler") }, vec![]),
            (Query { speaker: Some(By::Side(Side::Ours)), ..technician() }, vec!["message:MS2", "transcript:AC1"]),
            (Query { speaker: Some(By::Side(Side::Theirs)), ..technician() }, vec!["message:MS1", "voicemail:call:AC4"]),
            (Query { speaker: by("US1"), ..technician() }, vec!["message:MS2", "transcript:AC1"]),
            (Query { speaker: by(HER), ..query("heater") }, vec!["message:MS1", "transcript:AC1"]),
            (Query { speaker: by(HER), ..query("heater technician") }, vec!["message:MS1"]),
            (Query { conversation: Some(format!("CN{HIM}")), ..query("boiler") }, vec!["message:MS3"]),
            (Query { since: minute(2), until: minute(4), ..query("heat*") }, vec!["message:MS2", "message:MS3"]),
            (Query { since: minute(20), ..query("") }, vec!["voicemail:AC2", "voicemail:call:AC4"]),
            (Query { number: Some(HIM.to_owned()), kinds: vec![Kind::Message], ..query("") }, vec!["message:MS3", "message:MS4"]),
            (query(""), vec![]),
        ];
        for (query, expected) in filtered {
            assert_eq!(found(&env, &query).await, expected, "{query:?}");
        }
    }

    async fn a_transcript_is_found_at_the_time_of_its_call_by_who_said_it(env: Env) {
        let keeper = Keeper::new(&env).await;
        keeper.tell_and_work(&corpus()).await;
        let page = search(&env.db, &Query { kinds: vec![Kind::Transcript], ..query("\"out of order\"") }).await.unwrap();
        let hit = &page.hits[0];
        assert_eq!(hit.at, start_time() + TimeDelta::minutes(10), "not that of the telling");
        assert_eq!((hit.speaker.side, hit.speaker.number.as_deref(), hit.start), (Some(Side::Theirs), Some(HER), Some(3.0)));
        assert_eq!(marked(hit), "My heater is [out of order].");
        let page = search(&env.db, &query("cafe heaters")).await.unwrap();
        assert_eq!(marked(&page.hits[0]), "The [café] on 5th wants <b>two</b> [heaters] & a boiler 🎉");
    }

    async fn the_index_is_what_the_rows_are_in_whatever_order_they_were_told(env: Env) {
        let keeper = Keeper::new(&env).await;
        let mut told = corpus();
        told.push(transcript("AC1", 30, HER, &[("us", "A corrected transcript.")]));
        told.push(message("MS1", 5, "incoming", HER, "My heater is out. Can you send a technician?"));
        keeper.assert_order_does_not_matter(&told, 12).await;
        assert_eq!(found(&env, &query("corrected")).await, ["transcript:AC1"]);
        assert_eq!(found(&env, &query("\"out of order\"")).await, Vec::<String>::new(), "the words it had are gone");
    }

    async fn what_is_deleted_is_not_found(env: Env) {
        let keeper = Keeper::new(&env).await;
        keeper.tell_and_work(&corpus()).await;
        let mut tx = env.db.write().await.unwrap();
        FORGET_MESSAGE.bind("MS1").execute(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(found(&env, &query("can")).await, ["transcript:AC1"]);
        assert_eq!(keeper.rows("search_documents", "message_id").await.iter().filter(|row| row.contains("MS1")).count(), 0);
    }

    async fn every_page_together_is_all_that_fits_and_each_once(env: Env) {
        let keeper = Keeper::new(&env).await;
        let count = WINDOW as usize * 2 + 50;
        put_messages(&env, count, |n| if n % 2 == 0 { format!("heater {n}") } else { format!("heater heater {n}") }).await;
        index_left_out(&keeper).await;
        for order in [Order::Best, Order::Newest] {
            for (text, limit, expected) in [("heater", 7, count), ("heater", 100, count), ("\"heater heater\"", 30, count / 2)] {
                let hits = all_pages(&env, Query { order, limit, ..query(text) }).await;
                let mut ids: Vec<&str> = hits.iter().map(|hit| hit.id.as_str()).collect();
                assert_eq!(ids.len(), expected, "{text} {order:?} by {limit}");
                if order == Order::Newest {
                    assert!(hits.is_sorted_by(|a, b| a.at >= b.at));
                }
                ids.sort_unstable();
                ids.dedup();
                assert_eq!(ids.len(), expected, "{text} {order:?} by {limit}: some were told twice");
            }
        }
        let best = search(&env.db, &Query { limit: 1, ..query("heater") }).await.unwrap();
        assert_eq!(marked(&best.hits[0]), format!("[heater] [heater] {}", count - 1), "more mentions, then the newer");
        let page = search(&env.db, &Query { limit: 10, ..query("heater") }).await.unwrap();
        put_messages_after(&env, &keeper, count).await;
        let next = search(&env.db, &Query { limit: 10, cursor: page.next, ..query("heater") }).await.unwrap();
        assert!(next.hits.iter().all(|hit| page.hits.iter().all(|before| before.id != hit.id)), "what came meanwhile moves nothing");
    }

    async fn what_stood_there_before_the_index_is_brought_in_by_upkeep(env: Env) {
        let keeper = Keeper::new(&env).await;
        keeper.tell_and_work(&corpus()).await;
        let expected = keeper.kept().await;
        FORGET_INDEX.query().execute(&mut env.db.write_one().await.unwrap()).await.unwrap();
        assert!(found(&env, &query("heater")).await.is_empty());
        index_left_out(&keeper).await;
        assert_eq!(keeper.kept().await, expected);
        assert_eq!(found(&env, &query("boiler")).await, ["message:MS3", "voicemail:AC2"]);
    }

    /// Letters, signs of both engines' query languages, and whatever else there is.
    async fn no_query_is_an_error(env: Env) {
        let keeper = Keeper::new(&env).await;
        let texts = ["a b c", "ab ba", "c* (b) -a", "a:b & 'c' | !b", "\"a b\" NEAR/2 c", "é ß 暖 🎉 a\u{202e}b"];
        put_messages(&env, 60, |n| format!("{} {}", texts[n % texts.len()], n)).await;
        index_left_out(&keeper).await;
        let strategy = "([abc]{1,3}|[\"“*&|!:<>()'\\\\;%_-]|AND|NEAR|[éß暖🎉\u{202e}]|[ ]{1,2}|\\PC){0,20}";
        let config = Config { cases: 150, failure_persistence: None, ..Config::default() };
        let mut runner = TestRunner::new_with_rng(config, proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha));
        let mut queries = vec!["\0".to_owned(), "*".to_owned(), "\"".to_owned(), "a ".repeat(100_000), "𝕒 ".repeat(3_000)];
        for _ in 0..150 {
            queries.push(strategy.new_tree(&mut runner).unwrap().current());
        }
        for text in queries {
            let page = search(&env.db, &Query { limit: 100, ..query(&text) }).await;
            let page = page.unwrap_or_else(|error| panic!("{text:?}: {error:?}"));
            assert!(page.hits.iter().all(|hit| hit.snippet.pieces.iter().any(|piece| piece.hit)), "{text:?}");
        }
        // Words that both engines would read as their own.
        assert_eq!(found(&env, &query("NEAR")).await.len(), 10);
        assert_eq!(found(&env, &query("-a OR")).await.len(), 0);
        assert_eq!(found(&env, &query("\"b near\"")).await.len(), 10);
    }
}

async fn index_left_out(keeper: &Keeper<'_>) {
    use trunkline_jobs::upkeep::{Chore, IndexLeftOut, run_now};
    use trunkline_platform::audit::Actor;

    let actor = Actor { name: "operator:test".to_owned(), reason: None };
    run_now(&keeper.services.upkeep, IndexLeftOut::NAME, false, &actor).await.unwrap().unwrap();
}

async fn put_messages_after(env: &Env, keeper: &Keeper<'_>, count: usize) {
    let at: DateTime<Utc> = start_time() + TimeDelta::seconds(count as i64 + 60);
    let line = Line {
        id: "MSlate".to_owned(),
        text: "heater heater".to_owned(),
        at: trunkline_platform::db::sql_time(at),
    };
    let rows = Rows::of(&[line]).unwrap();
    PUT_MESSAGES.bind(rows).execute(&mut env.db.write_one().await.unwrap()).await.unwrap();
    index_left_out(keeper).await;
}

fn find() -> &'static trunkline_platform::db::Stmt {
    trunkline_jobs::statements().find(|stmt| stmt.name == "FIND").unwrap()
}

/// How a connection for looking is set up.
fn for_looking() -> String {
    let stmt = trunkline_platform::statements().find(|stmt| stmt.name == "FOR_LOOKING").unwrap();
    stmt.text(Engine::Postgres).replace("$1", "'5s'")
}

/// Words that are in all, in every tenth, in one, and in none.
async fn fill(env: &Env) {
    let keeper = Keeper::new(env).await;
    let text = |n: usize| {
        let tenth = if n.is_multiple_of(10) { "tenth" } else { "" };
        let once = if n == 77 { "once" } else { "" };
        format!("common {tenth} {once} word{n} thing{}", n % 97)
    };
    put_messages(env, 3_000, text).await;
    index_left_out(&keeper).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_looks_terms_up_in_its_index_however_many_fit() {
    let env = Env::postgres().await;
    fill(&env).await;
    let mut conn = PgConnection::connect(&env.database_url).await.unwrap();
    let run = async |conn: &mut PgConnection, sql: String| {
        sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(conn).await.unwrap()
    };
    run(&mut conn, "ANALYZE search_terms".to_owned()).await;
    run(&mut conn, "BEGIN".to_owned()).await;
    run(&mut conn, for_looking()).await;
    run(
        &mut conn,
        format!("PREPARE find(TEXT, BIGINT, BIGINT, BIGINT) AS {}", find().text(Engine::Postgres)),
    )
    .await;
    for terms in ["common", "tenth", "once", "nowhere", "common & tenth & once", "wor:*", "_kmessage & once"]
    {
        let explain = format!("EXPLAIN EXECUTE find('{terms}', 0, {}, 200)", i64::MAX);
        let plan: Vec<String> = run(&mut conn, explain).await.iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        let by_index = plan.contains("on search_terms_terms") && !plan.contains("search_terms_pkey");
        assert!(by_index && !plan.contains("Seq Scan"), "{terms}:\n{plan}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_walks_its_index_from_the_newest_and_sorts_nothing() {
    let env = Env::sqlite().await;
    fill(&env).await;
    let mut conn = SqliteConnection::connect(&env.database_url).await.unwrap();
    let explain = format!("EXPLAIN QUERY PLAN {}", find().text(Engine::Sqlite));
    let query =
        sqlx::query(AssertSqlSafe(explain)).bind("\"common\"").bind(0_i64).bind(i64::MAX).bind(200_i64);
    let rows = query.fetch_all(&mut conn).await.unwrap();
    let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
    assert_eq!(plan.len(), 1, "{plan:?}");
    assert!(plan[0].contains("VIRTUAL TABLE INDEX"), "{plan:?}");
}
