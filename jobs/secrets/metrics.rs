//! How secrets stand, as gauges. They are read from the database, so every process shows the same, but for what its own
//! master keys do not open.

use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};

use super::kind::{Purpose, State};
use super::vault::Standing;

/// The metrics of secrets. Cheap to clone; the values are shared.
#[derive(Clone, Debug)]
pub struct SecretMetrics {
    secrets: IntGaugeVec,
    overdue: IntGauge,
    unreadable: IntGauge,
}

impl SecretMetrics {
    /// # Errors
    /// When a metric of the same name is registered already.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let secrets = IntGaugeVec::new(
            Opts::new("trunkline_secrets", "Secrets of the table, by what they are for and where they stand"),
            &["purpose", "state"],
        )?;
        let overdue = IntGauge::new(
            "trunkline_secret_rotations_overdue",
            "Secrets whose change has taken too long (secrets.overdue), or of which an answer of the provider was lost",
        )?;
        let unreadable = IntGauge::new(
            "trunkline_secrets_unreadable",
            "Secrets that no master key of this process opens",
        )?;
        registry.register(Box::new(secrets.clone()))?;
        registry.register(Box::new(overdue.clone()))?;
        registry.register(Box::new(unreadable.clone()))?;
        let metrics = Self { secrets, overdue, unreadable };
        metrics.show(&[]);
        Ok(metrics)
    }

    pub fn show(&self, standing: &[Standing]) {
        for purpose in Purpose::ALL {
            for state in State::ALL.into_iter().filter(|state| *state != State::Retired) {
                let of_it = |one: &&Standing| one.row.purpose == purpose && one.row.state == state;
                let gauge = self.secrets.with_label_values(&[purpose.as_str(), state.as_str()]);
                gauge.set(count(standing, |one| of_it(&one)));
            }
        }
        self.overdue.set(count(standing, |one| one.overdue));
        self.unreadable.set(count(standing, |one| one.unreadable));
    }
}

fn count(standing: &[Standing], holds: impl Fn(&Standing) -> bool) -> i64 {
    i64::try_from(standing.iter().filter(|one| holds(one)).count()).unwrap_or(i64::MAX)
}
