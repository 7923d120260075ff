//! Deliveries as they came, passed on to those who develop: the signature still verifies at their end.
//!
//! * Push: [`endpoints`] are registered for a while, within the operator's [`AllowList`]. [`PumpForwards`] follows the stored
//!   events ([`feed`](crate::events::feed)) and makes a task of each delivery that an endpoint wants; [`ForwardDelivery`] sends it
//!   ([`Forwarder`]) and keeps what came of it. The receiver knows nothing of all this, so it costs webhooks nothing, and
//!   without endpoints nothing runs.
//! * Pull: a [tunnel](tunnels) on a machine that nobody can reach asks for the same stream.
//!
//! Only what was delivered and verified is passed on; what we asked the provider for ourselves carries no signature.

mod allow;
mod deliver;
pub mod endpoints;
mod metrics;
pub mod original;
mod pump;
mod send;
pub mod tunnels;
mod types;

use trunkline_platform::db::Stmt;

pub use allow::{AllowList, InvalidAllowed};
pub use deliver::ForwardDelivery;
pub use metrics::ForwardMetrics;
pub use pump::PumpForwards;
pub use send::{ForwardSettings, Forwarder, Unreachable};
pub use types::{EventTypes, InvalidEventTypes};

/// What the jobs of forwarding are handed.
#[derive(Clone, Debug)]
pub struct ForwardServices {
    pub forwarder: Forwarder,
    pub metrics: ForwardMetrics,
}

pub(crate) static STATEMENTS: &[&[&Stmt]] =
    &[deliver::STATEMENTS, endpoints::STATEMENTS, pump::STATEMENTS, tunnels::STATEMENTS];
