//! The provider's webhooks, held against what this installation wants to be told: a disabled one tells nothing, not even
//! later, and nobody is told of that.
//!
//! * `expected`: what is wanted, what is wrong, and what would put it right.
//! * [`Care`]: looking, making, changing and deleting at the provider, and changing secrets while deliveries come.
//! * `compare`: what older and present webhooks told, side by side.
//! * [`WatchWebhooks`]: the look that a schedule takes.

mod ask;
mod care;
mod checks;
mod compare;
mod expected;
mod metrics;
mod rotate;
mod watch;

use trunkline_platform::db::Stmt;

pub use ask::CareError;
pub use care::{Care, Done, Look};
pub use checks::{CheckRow, last};
pub use compare::{ToldRow, compare};
pub use expected::{Action, Expected, Finding, Problem};
pub use metrics::WebhookMetrics;
pub use watch::WatchWebhooks;

pub(crate) static STATEMENTS: &[&[&Stmt]] = &[checks::STATEMENTS, compare::STATEMENTS];

use secrecy::SecretString;

/// What is known of the provider's webhooks before anybody asks.
#[derive(Debug, Default)]
pub struct SubscriptionServices {
    /// Absent: where the provider reaches us was not said.
    pub expected: Option<Expected>,
    /// The secrets of the configuration.
    pub configured: Vec<SecretString>,
}
