//! Whether what a process depends on answers, for probes and for people.

use std::time::Duration;

use serde::Serialize;
use trunkline_jobs::media::MediaStore;
use trunkline_jobs::media::scan::Scanner;
use trunkline_platform::clock::Clock;
use trunkline_platform::db::Db;
use trunkline_platform::ring::Ring;
use trunkline_platform::worker::Readiness;

/// How long a dependency may take to answer.
const DEADLINE: Duration = Duration::from_secs(2);

/// What readiness depends on.
#[derive(Clone)]
pub struct Probes {
    pub db: Db,
    pub ring: Ring,
    pub store: MediaStore,
    /// Where files are shown to one.
    pub scanner: Option<Scanner>,
    /// Of this process, when it works.
    pub workers: Option<Readiness>,
    pub clock: Clock,
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub ready: bool,
    pub checks: Checks,
}

#[derive(Debug, Serialize)]
pub struct Checks {
    pub database: Check,
    /// Tasks run without Redis, only not as soon: it does not decide readiness.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<Check>,
    /// The same for the connection that listens to PostgreSQL, where there is no Redis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<Check>,
    /// What waits for a server of files is tried again later: it does not decide readiness either.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_store: Option<Check>,
    /// Files wait for the virus scanner: nor does this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scanner: Option<Check>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<Check>,
}

#[derive(Debug, Serialize)]
pub struct Check {
    pub ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Check {
    fn of(problem: Option<String>) -> Self {
        Self { ok: problem.is_none(), problem }
    }

    /// What somebody was told who asked.
    pub fn told<T>(answer: &Result<T, String>) -> Self {
        Self::of(answer.as_ref().err().cloned())
    }

    /// Whether something that stands elsewhere answers in time; if not, why, to the first cause.
    async fn asked<E: Into<anyhow::Error>>(answer: impl Future<Output = Result<(), E>>) -> Self {
        Self::of(match tokio::time::timeout(DEADLINE, answer).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("{:#}", error.into())),
            Err(_) => Some("no answer in time".to_owned()),
        })
    }
}

impl Probes {
    /// Asks everything at once; takes two seconds at most.
    pub async fn report(&self) -> Report {
        let (database, ring, media_store, scanner) =
            tokio::join!(self.database(), self.ring(), self.media_store(), self.scanner());
        let (redis, listen) = match self.ring {
            Ring::Local(_) => (None, None),
            Ring::Postgres(_) => (None, Some(ring)),
            Ring::Redis(_) => (Some(ring), None),
        };
        let workers = self.workers.as_ref().map(|workers| {
            let silent = workers.silent(self.clock.now());
            let names: Vec<&str> = silent.iter().map(|queue| queue.name()).collect();
            Check::of((!names.is_empty()).then(|| format!("no look at the table for: {}", names.join(", "))))
        });
        let ready = database.ok && workers.as_ref().is_none_or(|check| check.ok);
        Report { ready, checks: Checks { database, redis, listen, media_store, scanner, workers } }
    }

    async fn database(&self) -> Check {
        Check::of(match tokio::time::timeout(DEADLINE, self.db.ping()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("no answer in time".to_owned()),
        })
    }

    /// A server of files; a folder needs no asking.
    async fn media_store(&self) -> Option<Check> {
        if !self.store.is_remote() {
            return None;
        }
        Some(Check::asked(self.store.check()).await)
    }

    async fn scanner(&self) -> Option<Check> {
        Some(Check::asked(self.scanner.as_ref()?.check()).await)
    }

    async fn ring(&self) -> Check {
        Check::of(match tokio::time::timeout(DEADLINE, self.ring.ping()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("no answer in time".to_owned()),
        })
    }
}
