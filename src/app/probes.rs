//! Health: is the process alive, and is it able to work.

use std::time::Duration;

use poem::http::StatusCode;
use poem::web::{Data, Json};
use poem::{IntoResponse, Response, handler};
use serde::Serialize;
use trunkline_jobs::media::MediaStore;
use trunkline_platform::clock::Clock;
use trunkline_platform::db::Db;
use trunkline_platform::ring::Ring;
use trunkline_platform::worker::Readiness;

/// How long a dependency may take to answer.
const DEADLINE: Duration = Duration::from_secs(2);

/// What readiness depends on.
#[derive(Clone)]
pub(super) struct Probes {
    pub(super) db: Db,
    pub(super) ring: Ring,
    pub(super) store: MediaStore,
    pub(super) workers: Option<Readiness>,
    pub(super) clock: Clock,
}

#[derive(Serialize)]
struct Report {
    ready: bool,
    checks: Checks,
}

#[derive(Serialize)]
struct Checks {
    database: Check,
    /// Tasks run without Redis, only not as soon: it does not decide readiness.
    #[serde(skip_serializing_if = "Option::is_none")]
    redis: Option<Check>,
    /// The same for the connection that listens to PostgreSQL, where there is no Redis.
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<Check>,
    /// What waits for a server of files is tried again later: it does not decide readiness either.
    #[serde(skip_serializing_if = "Option::is_none")]
    media_store: Option<Check>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workers: Option<Check>,
}

#[derive(Serialize)]
struct Check {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl Check {
    fn of(problem: Option<String>) -> Self {
        Self { ok: problem.is_none(), problem }
    }
}

/// `GET /healthz`: the process answers.
#[handler]
pub(super) fn health() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: what it needs answers too.
#[handler]
pub(super) async fn ready(Data(probes): Data<&Probes>) -> Response {
    let (database, ring, media_store) = tokio::join!(probes.database(), probes.ring(), probes.media_store());
    let (redis, listen) = match probes.ring {
        Ring::Local(_) => (None, None),
        Ring::Postgres(_) => (None, Some(ring)),
        Ring::Redis(_) => (Some(ring), None),
    };
    let workers = probes.workers.as_ref().map(|workers| {
        let silent = workers.silent(probes.clock.now());
        let names: Vec<&str> = silent.iter().map(|queue| queue.name()).collect();
        Check::of((!names.is_empty()).then(|| format!("no look at the table for: {}", names.join(", "))))
    });
    let ready = database.ok && workers.as_ref().is_none_or(|check| check.ok);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let report = Report { ready, checks: Checks { database, redis, listen, media_store, workers } };
    Json(report).with_status(status).into_response()
}

impl Probes {
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
        Some(Check::of(match tokio::time::timeout(DEADLINE, self.store.check()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("{:#}", anyhow::Error::from(error))),
            Err(_) => Some("no answer in time".to_owned()),
        }))
    }

    async fn ring(&self) -> Check {
        Check::of(match tokio::time::timeout(DEADLINE, self.ring.ping()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("no answer in time".to_owned()),
        })
    }
}
