//! How the engines reach the rows of every statement of the jobs, on tables that are full: by an index, or by the
//! primary key. What reads a whole table is excused here, with the reason, or it is a mistake.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, SqliteConnection};
use trunkline_platform::db::{Engine, Stmt};

use crate::harness::Env;

/// Statements that a person or a page waits for, and the index each must read by: one of these on each engine.
const BY_INDEX: &[(&str, &[&str])] = &[
    ("ATTRIBUTE", &["sends_number"]),
    ("COUNT_ARMS", &["sends_campaign"]),
    ("COUNT_HOURS", &["calls_created"]),
    ("DELETE_KEYS", &["unique_periods_until"]),
    ("DIALLED", &["calls_line", "calls_created"]),
    ("DOWNWARDS_UNKNOWN", &["events_unknown"]),
    ("FIND_RUNNING", &["campaigns_under_way"]),
    ("FIND_UNKNOWN", &["sends_open"]),
    ("LINE_OF", &["call_participants_number"]),
    ("LIST_CONSENTS", &["consents_number"]),
    ("LIST_CORRELATED", &["tasks_correlation"]),
    ("LIST_DEAD", &["tasks_dead_by_id"]),
    ("LIST_REVIEWS", &["consents_review"]),
    ("MIDDLE_TALKS", &["calls_created"]),
    ("OTHER_RUNNING", &["campaigns_under_way"]),
    ("PAGE_OF_LABEL", &["person_labels_label"]),
    ("REPORT_BY_AREA", &["sends_campaign"]),
    ("REPORT_BY_TIME", &["sends_campaign"]),
    ("REPORT_SPAN", &["sends_campaign"]),
    ("REPORT_TEXTS", &["sends_campaign"]),
    ("SIZE_AUDIT", &["audit_at"]),
    ("SIZE_KEYS", &["unique_periods_until"]),
    ("SIZE_TICKS", &["schedule_ticks_tick_at"]),
    ("TASKS_OF_EVENTS", &["tasks_correlation"]),
    ("UNDECIDED_CAMPAIGNS", &["campaigns_under_way"]),
    ("UPWARDS_UNKNOWN", &["events_unknown"]),
    ("WAITING", &["media_waiting", "media_owner", "media_state"]),
];

const BY_KEY: &str = "in the order of the key, up to a limit";
const NIGHTLY: &str =
    "once a night, in batches; without its values the plan does not know how few rows it will take";

/// Statements that read whole tables on one engine, or seem to, and why that is well.
const WHOLE_TABLES: &[(&str, &str)] = &[
    ("COMPARE_TOLD", "compares days of webhooks for whoever moves to the new ones, once, while they wait"),
    ("COUNT_EVENTS", "counts all, once an hour or while there are few"),
    ("COUNT_MEDIA", "counts all, once an hour or while there are few"),
    ("DELETE_AUDIT", NIGHTLY),
    ("DELETE_RUNS", NIGHTLY),
    ("DELETE_TICKS", NIGHTLY),
    ("FORGET_HOURS", "forgets all, when the business's clock strikes at another minute"),
    ("KEEP_CALL", "the row of its key; what is told beside it are two rows of values"),
    ("LAST_COUNT", BY_KEY),
    ("LIST_MEDIA", BY_KEY),
    ("LIST_RUNS", BY_KEY),
    ("MARK_ALL", "reads all, when the business's clock strikes at another minute"),
    ("READ_FAILED", NIGHTLY),
    ("READ_MARKS", BY_KEY),
    ("SIZE_RUNS", NIGHTLY),
];

/// Rows for every table that grows, `{at}` being a time that goes on with `i`.
const FILL: &[(u32, &str)] = &[
    (5_000, "INSERT INTO conversations (id, phone_number_id, first_activity_at, last_activity_at)
             SELECT 'CN' || i, 'PN' || (i % 9), {at}, {at} FROM n"),
    (5_000, "INSERT INTO numbers (number, first_seen_at, last_seen_at) SELECT '+1' || i, {at}, {at} FROM n"),
    (5_000, "INSERT INTO conversation_participants (conversation_id, number) SELECT 'CN' || i, '+1' || i FROM n"),
    (20_000, "INSERT INTO messages (id, conversation_id, phone_number_id, direction, sender, text, created_at, status,
                  status_final, status_at, status_rank)
              SELECT 'AM' || i, 'CN' || (i % 5000 + 1), 'PN' || (i % 9), 'incoming', '+1' || (i % 5000), 'hello', {at}, 'received',
                  {true}, {at}, 1 FROM n"),
    (20_000, "INSERT INTO message_recipients (message_id, number) SELECT 'AM' || i, '+1' || (i % 5000) FROM n"),
    (20_000, "INSERT INTO calls (id, conversation_id, phone_number_id, user_id, direction, caller, callee, created_at,
                  duration_ms, has_voicemail, status, status_final, status_rank, status_at)
              SELECT 'AC' || i, 'CN' || (i % 5000 + 1), 'PN' || (i % 9), 'US' || (i % 7), 'incoming', '+1' || (i % 5000), '+19',
                  {at}, i, {false}, 'answered', {true}, 18, {at} FROM n"),
    (20_000, "INSERT INTO call_participants (call_id, number) SELECT 'AC' || i, '+1' || (i % 5000) FROM n"),
    (20_000, "INSERT INTO call_recordings (call_id, recording) SELECT 'AC' || i, 'RE' FROM n"),
    (5_000, "INSERT INTO voicemails (id, call_id, activity_id) SELECT 'call:AC' || i, 'AC' || i, 'AV' || i FROM n"),
    (5_000, "INSERT INTO call_transcripts (call_id, status, status_rank, told_at, dialogue)
             SELECT 'AC' || i, 'completed', 4, {at}, '[]' FROM n"),
    (5_000, "INSERT INTO call_summaries (call_id, status, status_rank, told_at, summary, next_steps, insights)
             SELECT 'AC' || i, 'completed', 4, {at}, '[]', '[]', '{}' FROM n"),
    (20_000, "INSERT INTO call_hours (began_at, number, user_id, total, incoming, answered, missed, voicemail, abandoned,
                  forwarded, ai_handled, unanswered, failed, other, talks, talk_ms)
              SELECT {at}, 'PN' || (i % 9), 'US' || (i % 7), 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1 FROM n"),
    (20_000, "INSERT INTO events (dedupe_key, scheme, event_id, event_type, job, received_at, headers, body, correlation_id)
              SELECT 'k' || i, 'standard', 'EV' || i, 'call.type' || (i % 20), CASE WHEN i % 1000 = 0 THEN NULL ELSE 'job' END, {at},
                  '{}', '{}', 'co' || i FROM n"),
    (20_000, "INSERT INTO media (owner_type, owner_id, position, url, told_at, state, sha256, created_at)
              SELECT 'message', 'AM' || i, 0, 'https://x', {at}, CASE WHEN i % 500 = 0 THEN 'pending' ELSE 'stored' END,
                  CASE WHEN i % 500 = 0 THEN NULL ELSE 'hash' || i END, {at} FROM n"),
    (5_000, "INSERT INTO contacts (id, deleted, told_at, fingerprint, emails, custom_fields)
             SELECT 'CT' || i, {false}, {at}, 'f', '[]', '[]' FROM n"),
    (5_000, "INSERT INTO contact_numbers (contact_id, number) SELECT 'CT' || i, '+1' || i FROM n"),
    (20_000, "INSERT INTO people (number, fields, source, created_at, updated_at)
              SELECT '+1' || i, '{}', 'test', {at}, {at} FROM n"),
    (20_000, "INSERT INTO person_labels (number, kind, label) SELECT '+1' || i, 'tag', 'tag' || (i % 50) FROM n"),
    (20_000, "INSERT INTO opt_outs (number, closed, at, entry, channel, confirmation)
              SELECT '+1' || i, {true}, {at}, 'message:AM' || i, 'text', CASE WHEN i % 500 = 0 THEN 'due' ELSE 'none' END FROM n"),
    (20_000, "INSERT INTO consents (entry, number, act, at, channel, review, recorded_at)
              SELECT 'message:AM' || i, '+1' || i, 'opt_out', {at}, 'text', CASE WHEN i % 500 = 0 THEN 'open' END, {at} FROM n"),
    (5_000, "INSERT INTO campaigns (name, state, plan, generation, recipients, segments, created_by, created_at)
             SELECT 'sale ' || i, CASE WHEN i % 500 = 0 THEN 'running' ELSE 'completed' END, '{}', 0, 0, 0, 'test', {at} FROM n"),
    (20_000, "INSERT INTO campaign_recipients (campaign_id, position, number, variant, state, reason, due_at)
              SELECT i % 200 + 1, i, '+1' || i, 'A', CASE WHEN i % 20 = 0 THEN 'waiting' ELSE 'taken' END, NULL, {at} FROM n"),
    (20_000, "INSERT INTO sends (kind, campaign_id, variant, number, sender, body, body_hash, segments, state, provider_id, tries,
                  lookups, cause, created_at, intended_at, state_at)
              SELECT 'campaign', i % 200 + 1, 'A', '+1' || i, 'PN' || (i % 9), 'Sale', 'hash', 1,
                  CASE WHEN i % 500 = 0 THEN 'unknown' ELSE 'delivered' END, 'AM' || i, 1, 0, 'test', {at}, {at}, {at} FROM n"),
    (20_000, "INSERT INTO tasks (kind, version, queue, priority, payload, state, max_attempts, run_at, cause, created_at,
                  started_at, finished_at, died_at, correlation_id, unique_key)
              SELECT 'media.download', 1, 'media', 2, '{}', CASE WHEN i % 200 = 0 THEN 'dead' ELSE 'done' END, 12, {at}, 'test',
                  {at}, {at}, {at}, CASE WHEN i % 200 = 0 THEN {at} END, 'co' || i, 'k' || i FROM n"),
    (20_000, "INSERT INTO task_attempts (task_id, attempt, worker, duration_ms, verdict, error)
              SELECT i, 1, 'wk', 1, 'failed', 'no' FROM n"),
    (20_000, "INSERT INTO audit (at, actor, action, subject) SELECT {at}, 'operator:ana', 'task.retry', 'task:' || i FROM n"),
    (20_000, "INSERT INTO schedule_ticks (schedule, tick_at, source, outcome, ticks, fired_at)
              SELECT 'upkeep.tasks', {at}, 'cron', 'fired', 1, {at} FROM n"),
    (20_000, "INSERT INTO upkeep_runs (job, started_at, ended_at, rows, bytes, more, detail)
              SELECT 'upkeep.job' || (i % 10), {at}, {at}, 0, 0, {false}, 'null' FROM n"),
    (20_000, "INSERT INTO unique_periods (kind, unique_key, until, task_id) SELECT 'media.download', 'k' || i, {at}, i FROM n"),
];

/// How a statement reaches rows.
#[derive(Debug, Default, Eq, PartialEq)]
struct Access {
    /// Indexes that belong to no primary key.
    indexes: BTreeSet<String>,
    /// Tables read from end to end.
    whole: BTreeSet<String>,
}

fn fill(engine: Engine, rows: u32, insert: &str) -> String {
    let (at, yes, no) = match engine {
        Engine::Postgres => ("(TIMESTAMPTZ '2026-01-01' + i * INTERVAL '1 minute')", "true", "false"),
        Engine::Sqlite => ("strftime('%Y-%m-%dT%H:%M:%S+00:00', 1767225600 + i * 60, 'unixepoch')", "1", "0"),
    };
    let insert = insert.replace("{at}", at).replace("{true}", yes).replace("{false}", no);
    let (into, select) = insert.split_once("SELECT").unwrap();
    let numbers =
        format!("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})");
    format!("{into} {numbers} SELECT {select}")
}

/// Statements whose plan is asked for: those that look rows up.
fn looked_at() -> impl Iterator<Item = &'static Stmt> {
    let of_the_platform = ["LIST_CORRELATED", "LIST_DEAD"];
    let platform = trunkline_platform::statements().filter(move |stmt| of_the_platform.contains(&stmt.name));
    trunkline_jobs::statements().chain(platform).filter(|stmt| {
        let text = |engine| stmt.text(engine);
        let reads = |text: &str| ["SELECT ", "DELETE ", "UPDATE "].iter().any(|word| text.contains(word));
        let house = |text: &str| {
            ["VACUUM", "PRAGMA", "pg_database_size", "SELECT 1"].iter().any(|w| text.contains(w))
        };
        reads(text(Engine::Postgres)) && !house(text(Engine::Postgres)) && !house(text(Engine::Sqlite))
    })
}

async fn postgres_accesses() -> BTreeMap<&'static str, Access> {
    let env = Env::postgres().await;
    let mut conn = PgConnection::connect(&env.database_url).await.unwrap();
    for (rows, insert) in FILL {
        let sql = fill(Engine::Postgres, *rows, insert);
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut conn)
            .await
            .unwrap_or_else(|e| panic!("{insert}: {e}"));
    }
    sqlx::raw_sql("VACUUM ANALYZE").execute(&mut conn).await.unwrap();
    let keys = "SELECT CAST(indexrelid::regclass AS TEXT) FROM pg_index WHERE indisprimary";
    let rows = sqlx::query(keys).fetch_all(&mut conn).await.unwrap();
    let keys: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    sqlx::raw_sql("SET plan_cache_mode = force_generic_plan").execute(&mut conn).await.unwrap();
    let mut accesses: BTreeMap<&str, Access> = BTreeMap::new();
    for (at, stmt) in looked_at().enumerate() {
        let name = format!("statement_{at}");
        let prepare = format!("PREPARE {name} AS {}", stmt.text(Engine::Postgres));
        sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut conn).await.unwrap();
        let count = "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = $1";
        let row = sqlx::query(count).bind(&name).fetch_one(&mut conn).await.unwrap();
        let values = vec!["NULL"; usize::try_from(row.get::<i32, _>(0)).unwrap()].join(", ");
        let values = if values.is_empty() { values } else { format!("({values})") };
        let explain = format!("EXPLAIN EXECUTE {name}{values}");
        let plan = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut conn).await.unwrap();
        let access = accesses.entry(stmt.name).or_default();
        for line in plan.iter().map(|row| row.get::<String, _>(0)) {
            let word = |after: &str| {
                line.split_once(after).map(|(_, rest)| rest.split(' ').next().unwrap_or_default().to_owned())
            };
            let index = if line.contains("Bitmap Index Scan") {
                word("Bitmap Index Scan on ")
            } else if line.contains("Index") && line.contains(" using ") {
                word(" using ")
            } else {
                None
            };
            access.indexes.extend(index.filter(|index| !keys.contains(index)));
            access.whole.extend(word("Seq Scan on "));
        }
    }
    accesses
}

async fn sqlite_accesses() -> BTreeMap<&'static str, Access> {
    let env = Env::sqlite().await;
    let file = env.database_url.clone();
    let mut conn = SqliteConnection::connect(&file).await.unwrap();
    for (rows, insert) in FILL {
        let sql = fill(Engine::Sqlite, *rows, insert);
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut conn)
            .await
            .unwrap_or_else(|e| panic!("{insert}: {e}"));
    }
    sqlx::raw_sql("ANALYZE").execute(&mut conn).await.unwrap();
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table'";
    let rows = sqlx::query(tables).fetch_all(&mut conn).await.unwrap();
    let tables: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    let mut accesses: BTreeMap<&str, Access> = BTreeMap::new();
    for stmt in looked_at() {
        let explain = format!("EXPLAIN QUERY PLAN {}", stmt.text(Engine::Sqlite));
        let plan = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut conn).await.unwrap();
        let text = stmt.text(Engine::Sqlite);
        let access = accesses.entry(stmt.name).or_default();
        for line in plan.iter().map(|row| row.get::<String, _>("detail")) {
            let words: Vec<&str> = line.split(' ').collect();
            if let Some(at) = words.iter().position(|word| *word == "INDEX") {
                let index = words[at + 1];
                if words[at - 1] != "TABLE" && !index.starts_with("sqlite_autoindex") {
                    access.indexes.insert(index.to_owned());
                }
            }
            if words[0] == "SCAN" && !line.contains("USING") {
                let table = table_of(text, words[1], &tables);
                access.whole.extend(table);
            }
        }
    }
    accesses
}

/// The table behind an alias; none for what is no table (values, functions, queries within).
fn table_of(text: &str, alias: &str, tables: &BTreeSet<String>) -> Option<String> {
    if tables.contains(alias) {
        return Some(alias.to_owned());
    }
    let words: Vec<&str> = text.split([' ', '\n', '(', ')', ',']).filter(|word| !word.is_empty()).collect();
    let named =
        words.windows(3).find(|three| three[1] == "AS" && three[2] == alias && tables.contains(three[0]));
    named.map(|three| three[0].to_owned())
}

/// The tables that are full here. A plan for any other says nothing.
fn full() -> BTreeSet<&'static str> {
    let table = |insert: &&'static str| insert.split(' ').nth(2);
    FILL.iter().filter_map(|(_, insert)| table(insert)).collect()
}

fn wrongs(engine: Engine, accesses: &BTreeMap<&str, Access>) -> Vec<String> {
    let listed: BTreeMap<&str, &[&str]> = BY_INDEX.iter().copied().collect();
    let excused: BTreeMap<&str, &str> = WHOLE_TABLES.iter().copied().collect();
    let mut wrongs = Vec::new();
    for (name, access) in accesses {
        let expected = listed.get(name).copied().unwrap_or_default();
        let found = expected.is_empty() || expected.iter().any(|index| access.indexes.contains(*index));
        if !excused.contains_key(name) {
            if let Some(table) = access.whole.iter().find(|table| full().contains(table.as_str())) {
                wrongs.push(format!("{engine:?} {name} reads all of {table}"));
            }
            if !found {
                wrongs.push(format!("{engine:?} {name} does not read by {expected:?}"));
            }
        }
    }
    for name in listed.keys().chain(excused.keys()).filter(|name| !accesses.contains_key(*name)) {
        wrongs.push(format!("{name} is listed here, and there is no such statement"));
    }
    wrongs
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_of_the_jobs_reads_a_whole_table_without_an_excuse() {
    let mut all = wrongs(Engine::Postgres, &postgres_accesses().await);
    all.extend(wrongs(Engine::Sqlite, &sqlite_accesses().await));
    assert!(all.is_empty(), "\n{}", all.join("\n"));
}
