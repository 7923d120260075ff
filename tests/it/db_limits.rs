//! The time limits of the database, and the log of what is slow.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use prometheus::IntCounter;
use trunkline_platform::audit::Actor;
use trunkline_platform::clock::Clock;
use trunkline_platform::db::{Db, DbError, DbOptions, Stmt, Text};
use trunkline_platform::ring::Ring;
use trunkline_platform::task::Tasks;

use crate::harness::{Env, both_engines, until};

/// Short enough for a test, and long enough to be told from at once.
const SHORT: Duration = Duration::from_millis(300);
/// Far beyond any limit a test sets.
const LONG: Duration = Duration::from_secs(20);

/// Takes far longer than a test waits. SQLite goes on after it was given up, so there it has an end.
static LENGTHY: Stmt = Stmt {
    name: "LENGTHY",
    text: Text::Split {
        postgres: "SELECT CAST(1 AS BIGINT) AS n FROM pg_sleep(600)",
        sqlite: "WITH RECURSIVE t (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t LIMIT 20000000) SELECT COUNT(*) AS n FROM t",
    },
};
static LOCK: Stmt = Stmt {
    name: "LOCK",
    text: Text::Split { postgres: "LOCK TABLE limits IN ROW EXCLUSIVE MODE", sqlite: "SELECT 1" },
};
static ECHO: Stmt =
    Stmt { name: "ECHO", text: Text::Same("SELECT CAST($1 AS TEXT) AS said UNION ALL SELECT 'again'") };

async fn open(env: &Env, options: DbOptions) -> Db {
    Db::open(&env.database_url.parse().unwrap(), &options).await.unwrap()
}

both_engines! {
    async fn a_statement_is_given_up_after_its_time(env: Env) {
        let db = open(&env, DbOptions { statement_timeout: SHORT, ..DbOptions::default() }).await;
        let began = Instant::now();
        let ended = LENGTHY.query().optional::<(i64,)>(&mut db.read().await.unwrap()).await;
        assert!(matches!(ended, Err(DbError::Away { .. })), "{ended:?}");
        assert!(began.elapsed() < LONG);
    }

    async fn whoever_finds_every_connection_taken_is_told_after_the_time_for_that(env: Env) {
        let options = DbOptions { connections: 1, acquire_timeout: SHORT, ..DbOptions::default() };
        let db = open(&env, options).await;
        let taken = db.read().await.unwrap();
        let began = Instant::now();
        assert!(matches!(db.read().await, Err(DbError::Away { .. })));
        assert!(began.elapsed() < LONG);
        drop(taken);
        db.ping().await.unwrap();
    }

    /// Setting a limit locks out every claim while it waits: it must not wait for ever.
    async fn a_limit_that_somebody_holds_up_is_not_waited_for_beyond_the_lock_time_out(env: Env) {
        let options = DbOptions { lock_timeout: SHORT, ..DbOptions::default() };
        let tasks = Tasks::new(open(&env, options).await, Ring::local(), Clock::system());
        let mut holder = env.db.write().await.unwrap();
        LOCK.query().execute(&mut holder).await.unwrap();
        let actor = Actor { name: "operator:ana".to_owned(), reason: None };
        let began = Instant::now();
        let held_up = tasks.pause_queue("events", true, &actor).await;
        assert!(matches!(held_up, Err(DbError::Busy { .. })), "{held_up:?}");
        assert!(began.elapsed() < LONG);
        drop(holder);
        until("the lock is free", async || tasks.pause_queue("events", true, &actor).await.is_ok()).await;
    }

    async fn slow_statements_are_told_by_name_time_and_rows_and_never_with_values(env: Env) {
        let log = Log::default();
        let counter = IntCounter::new("slow", "slow").unwrap();
        let options =
            DbOptions { slow_query: Some(Duration::ZERO), slow_statements: Some(counter.clone()), ..DbOptions::default() };
        let db = open(&env, options).await;
        let logged = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).finish();
        let guard = tracing::subscriber::set_default(logged);
        let said: Vec<(String,)> = ECHO.bind("a secret").all(&mut db.read().await.unwrap()).await.unwrap();
        drop(guard);
        assert_eq!(said.len(), 2);
        let log = log.text();
        assert!(log.contains("statement=\"ECHO\"") && log.contains("rows=2") && log.contains("took_ms="), "{log}");
        assert!(!log.contains("secret"), "{log}");
        assert_eq!(counter.get(), 1);

        let quick = DbOptions { slow_query: Some(LONG), slow_statements: Some(counter.clone()), ..DbOptions::default() };
        open(&env, quick).await.ping().await.unwrap();
        assert_eq!(counter.get(), 1, "what is quick is not counted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_left_alone_lets_go_of_its_locks() {
    let env = Env::postgres().await;
    let idle = DbOptions { idle_in_transaction_timeout: SHORT, ..DbOptions::default() };
    let mut left = open(&env, idle).await.write().await.unwrap();
    LOCK.query().execute(&mut left).await.unwrap();
    static TAKE: Stmt = Stmt { name: "TAKE", text: Text::Same("LOCK TABLE limits IN ACCESS EXCLUSIVE MODE") };
    let mut next = env.db.write().await.unwrap();
    TAKE.query().execute(&mut next).await.unwrap();
    next.commit().await.unwrap();
    assert!(left.commit().await.is_err(), "what was left alone is undone");
}

/// What was written to a log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> tracing_subscriber::fmt::MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
