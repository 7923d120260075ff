//! What a process does. By default everything; each role can run alone.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio_util::sync::CancellationToken;
use trunkline_platform::metrics::Metrics;
use trunkline_platform::schedule::{ScheduleMetrics, Scheduler, Schedules};
use trunkline_platform::task::Tasks;
use trunkline_platform::worker::LeaseWatch;

/// One of the things a process can do. Every process answers `/healthz`, `/readyz` and `/metrics`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Role {
    /// Takes webhooks.
    Receiver,
    /// Runs jobs.
    Worker,
    /// Does what must happen although nobody asks: fires schedules, puts back the tasks of dead workers.
    Scheduler,
    /// Answers operators.
    Admin,
}

#[derive(Debug, Error)]
#[error("there is no role {0:?}; the roles are receiver, worker, scheduler and admin")]
pub struct RolesError(String);

impl Role {
    const ALL: [Self; 4] = [Self::Receiver, Self::Worker, Self::Scheduler, Self::Admin];

    fn name(self) -> &'static str {
        match self {
            Self::Receiver => "receiver",
            Self::Worker => "worker",
            Self::Scheduler => "scheduler",
            Self::Admin => "admin",
        }
    }
}

/// A set of roles, written `receiver,worker`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Roles(BTreeSet<Role>);

impl Roles {
    pub fn all() -> Self {
        Self(Role::ALL.into())
    }

    pub fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }
}

impl FromStr for Roles {
    type Err = RolesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split(',')
            .map(str::trim)
            .map(|name| {
                Role::ALL
                    .into_iter()
                    .find(|role| role.name() == name)
                    .ok_or_else(|| RolesError(name.to_owned()))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(|role| role.name()).collect();
        f.write_str(&names.join(","))
    }
}

/// The scheduler's watch: workers do the same for one another, but the last one to die has nobody left.
pub(super) async fn look_after_leases(
    tasks: Tasks,
    lease: Duration,
    metrics: Metrics,
    stop: CancellationToken,
) {
    let length = chrono::TimeDelta::from_std(lease).unwrap_or(chrono::TimeDelta::MAX);
    let mut watch = LeaseWatch::new(tasks, metrics, length);
    let mut rounds = tokio::time::interval((lease / 3).max(Duration::from_secs(1)));
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = rounds.tick() => {}
        }
        if let Err(error) = watch.look().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "leases could not be looked after");
        }
    }
}

/// How long to wait before a scheduler that died is started again.
const REST: Duration = Duration::from_secs(1);

/// Fires schedules until told to stop; a scheduler that died is started again from `parts`.
pub(super) async fn fire_schedules(
    scheduler: Scheduler,
    parts: (Tasks, Arc<Schedules>, ScheduleMetrics),
    stop: CancellationToken,
) {
    let mut scheduler = Some(scheduler);
    let (tasks, schedules, metrics) = parts;
    while !stop.is_cancelled() {
        let again = || Scheduler::start(tasks.clone(), Arc::clone(&schedules), metrics.clone());
        let ended = match scheduler.take() {
            Some(scheduler) => tokio::spawn(scheduler.run(stop.clone())).await.map_err(anyhow::Error::new),
            None => match again().await {
                Ok(started) => {
                    scheduler = Some(started);
                    continue;
                }
                Err(error) => Err(error.into()),
            },
        };
        if let Err(error) = ended {
            let error = trunkline_platform::chain(error.as_ref());
            tracing::error!(error, "the scheduler died; starting it again");
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(REST) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_a_list_of_known_names() {
        let roles: Roles = "worker, receiver".parse().unwrap();
        assert!(roles.has(Role::Receiver) && roles.has(Role::Worker) && !roles.has(Role::Admin));
        assert_eq!(roles.to_string(), "receiver,worker");
        assert!("receiver,cook".parse::<Roles>().is_err());
        assert!("".parse::<Roles>().is_err());
    }
}
