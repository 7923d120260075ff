//! The plans of the hot path on PostgreSQL, after churn that the statistics know nothing of: the planner must
//! not flip to a scan, and claims must stay in place (heap-only updates).

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use trunkline_platform::db::{Engine, PINNED_SETTINGS};
use trunkline_platform::job::Job;
use trunkline_platform::task::{NewTask, WorkerId};

use crate::campaigns::{Stage, numbers};
use crate::harness::{Acts, Env, Play, until};

/// A statement of the hot path, the types of its parameters, values for them, and the index it must use.
const HOT_PATH: [(&str, &str, &str, &str); 5] = [
    (
        "CLAIM_BY_ID",
        "BIGINT[], TEXT, TIMESTAMPTZ, TEXT",
        "'{1,2,3}', 'wk_plan', '2026-03-02', 'test'",
        "tasks_pkey",
    ),
    (
        "CLAIM_DUE",
        "TEXT, TEXT, TIMESTAMPTZ, BIGINT, BIGINT",
        "'test', 'wk_plan', '2026-03-02', 2, 100",
        "tasks_ready",
    ),
    (
        "FINISH",
        "BIGINT[], TIMESTAMPTZ, INTEGER[], TEXT[], TIMESTAMPTZ[], TIMESTAMPTZ[], TIMESTAMPTZ[], INTEGER[], TEXT[]",
        "'{1}', '2026-03-02', '{1}', '{done}', '{null}', '{null}', '{null}', '{0}', '{null}'",
        "tasks_pkey",
    ),
    (
        "FIND_DUE",
        "TEXT, BIGINT, TIMESTAMPTZ, TEXT, BIGINT",
        "'test', 2, '2026-03-02', '[]', 100",
        "tasks_ready",
    ),
    ("CLAIM_ADMITTED", "BIGINT[], TEXT, TIMESTAMPTZ", "'{1,2,3}', 'wk_plan', '2026-03-02'", "tasks_pkey"),
];

async fn run(conn: &mut PgConnection, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn churn_without_analyze_flips_no_plan() {
    let env = Env::postgres().await;
    let kit = env.kit(&Acts::new());
    let mut conn = PgConnection::connect(&env.database_url).await.unwrap();
    run(&mut conn, "ALTER TABLE tasks SET (autovacuum_enabled = off); ANALYZE tasks".to_owned()).await;
    for _ in 0..20 {
        let batch: Vec<_> = (0..250).map(|_| NewTask::of(&Play::default()).unwrap()).collect();
        env.tasks().enqueue(&batch).await.unwrap();
        kit.drain().await.unwrap();
    }
    for (name, value) in PINNED_SETTINGS {
        run(&mut conn, format!("SET {name} = {value}")).await;
    }
    for (name, types, values, index) in HOT_PATH {
        let stmt = trunkline_platform::statements().find(|stmt| stmt.name == name).unwrap();
        run(&mut conn, format!("PREPARE {name}({types}) AS {}", stmt.text(Engine::Postgres))).await;
        for mode in ["force_custom_plan", "force_generic_plan"] {
            run(&mut conn, format!("SET plan_cache_mode = {mode}")).await;
            let explain = format!("EXPLAIN EXECUTE {name}({values})");
            let rows = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut conn).await.unwrap();
            let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            let plan = plan.join("\n");
            assert!(plan.contains(&format!("using {index} on tasks")), "{name}, {mode}:\n{plan}");
            assert!(!plan.contains("Seq Scan on tasks"), "{name}, {mode}:\n{plan}");
        }
    }
}

/// A campaign that was just written down, of which the statistics know nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_gate_decides_is_written_by_key_in_a_campaign_that_has_just_begun() {
    let env = Env::postgres().await;
    let stage = Stage::new(&env, "").await;
    let mut conn = PgConnection::connect(&env.database_url).await.unwrap();
    let (quiet, id) = ("ALTER TABLE campaign_recipients SET (autovacuum_enabled = off)", 1);
    run(&mut conn, quiet.to_owned()).await;
    assert_eq!(stage.draft(&stage.plan(), &numbers(1)).await.id, id);
    let fill = "INSERT INTO campaign_recipients (campaign_id, position, number, variant, state, due_at)
                SELECT 1, n, '+1' || n, 'A', 'waiting', now() FROM generate_series(2, 100000) AS n";
    run(&mut conn, fill.to_owned()).await;
    let decide = trunkline_jobs::statements().find(|stmt| stmt.name == "DECIDE_RECIPIENTS").unwrap();
    let types = "BIGINT[], BIGINT[], TEXT[], TEXT[], TIMESTAMPTZ[]";
    run(&mut conn, format!("PREPARE decide({types}) AS {}", decide.text(Engine::Postgres))).await;
    let all = |of: &dyn Fn(usize) -> String| (1..=100).map(of).collect::<Vec<_>>().join(",");
    let (same, each) = (all(&|_| id.to_string()), all(&|n| n.to_string()));
    let (taken, none) = (all(&|_| "taken".to_owned()), all(&|_| "NULL".to_owned()));
    let values = format!("'{{{same}}}', '{{{each}}}', '{{{taken}}}', '{{{none}}}', '{{{none}}}'");
    for mode in ["force_custom_plan", "force_generic_plan"] {
        run(&mut conn, format!("SET plan_cache_mode = {mode}")).await;
        let explain = format!("EXPLAIN EXECUTE decide({values})");
        let rows = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut conn).await.unwrap();
        let plan = rows.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>().join("\n");
        assert!(plan.contains("using campaign_recipients_pkey"), "{mode}:\n{plan}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_update_rows_in_place() {
    let env = Env::postgres().await;
    let tasks = env.tasks();
    let batch: Vec<_> = (0..1_000).map(|_| NewTask::of(&Play::default()).unwrap()).collect();
    tasks.enqueue(&batch).await.unwrap();
    let worker = WorkerId::new("wk_1");
    tasks.register_worker(&worker, "test", chrono::TimeDelta::seconds(30)).await.unwrap();
    assert_eq!(tasks.claim_due(&worker, Play::QUEUE, 1_000).await.unwrap().len(), 1_000);

    // The figures reach the table of statistics when the connections that made them are idle or gone.
    drop(tasks);
    env.db.close().await;
    let mut conn = PgConnection::connect(&env.database_url).await.unwrap();
    let mut in_place: i64 = 0;
    until("the updates are counted", async || {
        let query = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'tasks'";
        let row = sqlx::query(query).fetch_one(&mut conn).await.unwrap();
        in_place = row.get(1);
        row.get::<i64, _>(0) >= 1_000
    })
    .await;
    assert!(in_place >= 800, "only {in_place} of 1000 claims were heap-only updates");
}
