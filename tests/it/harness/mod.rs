//! What every test starts from: a fresh database of either engine, a manual clock, and jobs to run.
//!
//! `both_engines!` makes two tests of one body: SQLite with the ring in process, PostgreSQL with the ring in
//! Redis. Each test has a database of its own, cloned from a migrated template.

#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "the tests and ops/chaos include this module, and each uses a part of it"
)]

pub(crate) mod browser;
pub(crate) mod disk;
pub(crate) mod host;
pub(crate) mod judge;
pub(crate) mod log;
mod play;
mod program;
mod provider;
pub(crate) mod proxy;
pub(crate) mod relay;
pub(crate) mod s3;
pub(crate) mod sink;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeZone, Utc};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use trunkline_platform::clock::Clock;
use trunkline_platform::db::{Db, DbOptions};
use trunkline_platform::metrics::Metrics;
use trunkline_platform::ring::Ring;
use trunkline_platform::task::Tasks;
use trunkline_platform::testkit::Kit;

pub(crate) use play::{Act, Acts, Hang, Keyed, Play, registry};
pub(crate) use program::{Program, free_port};
pub(crate) use provider::{provider, provider_for, secrets};

use crate::servers;

/// One test body, two tests: `name::sqlite` and `name::postgres`.
macro_rules! both_engines {
    ($( $(#[$doc:meta])* async fn $name:ident($env:ident: $type:ty) $body:block )*) => { $(
        $(#[$doc])*
        mod $name {
            use super::*;

            async fn body($env: $type) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                body(<$type>::sqlite().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                body(<$type>::postgres().await).await;
            }
        }
    )* };
}
pub(crate) use both_engines;

/// A test's own database, ring and clock.
pub(crate) struct Env {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    pub(crate) database_url: String,
    /// Absent with the ring in process.
    pub(crate) redis_url: Option<String>,
    /// What keeps this test's keys apart on the shared Redis.
    pub(crate) redis_prefix: String,
    folder: TempDir,
}

static NEXT: AtomicU32 = AtomicU32::new(1);

/// When tests begin.
pub(crate) fn start_time() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 2, 9, 0, 0).unwrap()
}

impl Env {
    pub(crate) async fn sqlite() -> Self {
        static TEMPLATE: OnceCell<(TempDir, PathBuf)> = OnceCell::const_new();
        let (_, template) = TEMPLATE
            .get_or_init(|| async {
                let folder = tempfile::tempdir().unwrap();
                let file = folder.path().join("template.db");
                let db = open(&format!("sqlite://{}", file.display())).await;
                trunkline::schema::migrate(&db).await.unwrap();
                db.close().await;
                (folder, file)
            })
            .await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("trunkline.db");
        std::fs::copy(template, &file).unwrap();
        Self::new(format!("sqlite://{}", file.display()), None, folder).await
    }

    pub(crate) async fn postgres() -> Self {
        static TEMPLATE: OnceCell<()> = OnceCell::const_new();
        let server = servers::postgres().unwrap();
        TEMPLATE
            .get_or_init(|| async {
                server.create_database("template", None).await.unwrap();
                let db = open(&server.url("template")).await;
                trunkline::schema::migrate(&db).await.unwrap();
                db.close().await;
            })
            .await;
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        server.create_database(&name, Some("template")).await.unwrap();
        let redis = servers::redis().unwrap().url();
        Self::new(server.url(&name), Some(redis), tempfile::tempdir().unwrap()).await
    }

    pub(crate) async fn new(database_url: String, redis_url: Option<String>, folder: TempDir) -> Self {
        Self {
            db: open(&database_url).await,
            clock: Clock::manual(start_time()),
            metrics: Metrics::new(&prometheus::Registry::new()).unwrap(),
            database_url,
            redis_url,
            redis_prefix: format!("test{}", NEXT.fetch_add(1, Ordering::Relaxed)),
            folder,
        }
    }

    /// A folder that goes with the test.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// The ring of this engine.
    pub(crate) fn ring(&self) -> Ring {
        match &self.redis_url {
            Some(url) => Ring::redis(url, &self.redis_prefix, self.metrics.clone()).unwrap(),
            None => Ring::of_database(&self.db, self.metrics.clone()),
        }
    }

    /// The task table on the manual clock.
    pub(crate) fn tasks(&self) -> Tasks {
        Tasks::new(self.db.clone(), self.ring(), self.clock.clone())
    }

    /// The task table on the machine's clock, for tests with real workers.
    pub(crate) fn live_tasks(&self) -> Tasks {
        Tasks::new(self.db.clone(), self.ring(), Clock::system())
    }

    /// Runs the test jobs by hand on the manual clock.
    pub(crate) fn kit(&self, acts: &Arc<Acts>) -> Kit<Acts> {
        Kit::new(self.tasks(), registry(), Arc::clone(acts), self.metrics.clone())
    }
}

/// Ends every lease as whoever watches over them does: the holders have been silent for too long.
pub(crate) async fn end_leases(tasks: &Tasks) {
    for lease in tasks.leases().await.unwrap() {
        assert!(tasks.end_lease(&lease).await.unwrap(), "{} renewed its lease", lease.id);
    }
}

/// Waits for something that is about to hold; fails with what it was when it does not.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(60), wait).await.is_ok(), "waited in vain until {what}");
}

async fn open(url: &str) -> Db {
    // A loaded machine is slow, not broken.
    let options = DbOptions { acquire_timeout: Duration::from_secs(30), ..DbOptions::default() };
    Db::open(&url.parse().unwrap(), &options).await.unwrap()
}
