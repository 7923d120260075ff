//! Two engines, one SQL text, one schema.

use std::collections::BTreeMap;

use trunkline_platform::db::{Engine, Row, Stmt};

use crate::harness::{Env, both_engines};

fn every_statement() -> impl Iterator<Item = &'static Stmt> {
    trunkline_platform::statements().chain(trunkline_jobs::statements()).chain(trunkline::statements())
}

both_engines! {
    async fn every_statement_is_understood(env: Env) {
        for stmt in every_statement() {
            if let Err(error) = env.db.prepare(stmt).await {
                panic!("{}: {error:?}", stmt.name);
            }
        }
    }
}

#[test]
fn no_statement_uses_what_one_engine_misreads() {
    for stmt in every_statement() {
        for engine in [Engine::Postgres, Engine::Sqlite] {
            let text = stmt.text(engine);
            assert!(!text.contains("::"), "{}: write CAST; SQLite takes $1::text as a name", stmt.name);
            assert!(!text.to_lowercase().contains("now()"), "{}: times come in as parameters", stmt.name);
        }
    }
}

trunkline_platform::statements! {
    /// Differs by necessity: each engine has its own catalogue.
    COLUMNS = split {
        postgres:
        "SELECT CAST(table_name AS TEXT) AS place, CAST(column_name AS TEXT) AS name,
                CASE WHEN is_nullable = 'YES' THEN 'null' ELSE 'not null' END AS detail
         FROM information_schema.columns WHERE table_schema = 'public'",
        sqlite:
        "SELECT m.name AS place, c.name AS name, CASE WHEN c.\"notnull\" = 1 OR m.type = 'view' THEN 'not null' ELSE 'null' END AS detail
         FROM sqlite_master AS m JOIN pragma_table_xinfo(m.name) AS c
         WHERE m.type IN ('table', 'view') AND m.name NOT LIKE 'sqlite_%' AND c.hidden <> 1
           AND m.name NOT LIKE 'search_terms_%'",
    }
    INDEXES = split {
        postgres:
        "SELECT CAST(t.relname AS TEXT) AS place, CAST(i.relname AS TEXT) AS name,
                CASE WHEN x.indisunique THEN 'unique' ELSE 'plain' END || CASE WHEN x.indpred IS NULL THEN '' ELSE ' partial' END AS detail
         FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid JOIN pg_class AS t ON t.oid = x.indrelid
         JOIN pg_namespace AS n ON n.oid = t.relnamespace
         WHERE n.nspname = 'public' AND NOT x.indisprimary AND i.relname NOT LIKE '%_key'",
        sqlite:
        "SELECT m.name AS place, i.name AS name,
                CASE WHEN i.\"unique\" = 1 THEN 'unique' ELSE 'plain' END || CASE WHEN i.partial = 1 THEN ' partial' ELSE '' END AS detail
         FROM sqlite_master AS m JOIN pragma_index_list(m.name) AS i
         WHERE m.type = 'table' AND i.origin = 'c'",
    }
}

#[derive(sqlx::FromRow)]
struct Item {
    place: String,
    name: String,
    detail: String,
}

/// Everything in a schema by place and name. Views are compared by their columns' names only: PostgreSQL calls
/// all of them nullable.
async fn catalogue<T: Row + Into<((String, String), String)>>(
    env: &Env,
    stmt: &'static Stmt,
) -> BTreeMap<(String, String), String> {
    let rows: Vec<T> = stmt.query().all(&mut env.db.read().await.unwrap()).await.unwrap();
    let mut items: BTreeMap<_, _> = rows.into_iter().map(Into::into).collect();
    items.retain(|(place, name), _| place != "_sqlx_migrations" && !name.ends_with("_key"));
    // The index of terms is each engine's own.
    items.retain(|(place, _), _| place != "search_terms");
    for ((place, _), detail) in &mut items {
        if place == "activities" {
            detail.clear();
        }
    }
    items
}

impl From<Item> for ((String, String), String) {
    fn from(item: Item) -> Self {
        ((item.place, item.name), item.detail)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_migration_folders_end_in_the_same_schema() {
    let (sqlite, postgres) = (Env::sqlite().await, Env::postgres().await);
    for stmt in STATEMENTS {
        let (ours, theirs) =
            (catalogue::<Item>(&sqlite, stmt).await, catalogue::<Item>(&postgres, stmt).await);
        assert!(!ours.is_empty(), "{} found nothing", stmt.name);
        assert_eq!(ours, theirs, "{}: SQLite on the left, PostgreSQL on the right", stmt.name);
    }
}

#[test]
fn both_migration_folders_hold_the_same_steps() {
    let steps = |migrator: &sqlx::migrate::Migrator| -> Vec<_> {
        migrator.iter().map(|step| (step.version, step.description.to_string())).collect()
    };
    assert_eq!(steps(&trunkline::schema::SQLITE), steps(&trunkline::schema::POSTGRES));
}
