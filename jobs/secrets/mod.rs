//! The secrets that the provider and we share, in versions: what signs webhooks, and what opens the API to us.
//!
//! A version is `incoming`, `active`, `retiring`, `retired`, in this order (`rules`). All but the last are accepted, so that
//! one can be changed for another while deliveries come. They are sealed under a master key that is not in the database
//! (`master`); a retired one is forgotten. [`Vault`] is what is done to them, [`Keyring`] is what the receiver believes by,
//! [`ApiKeys`] is what the provider is asked under, [`TendSecrets`] moves them on.

mod api_keys;
mod keyring;
mod kind;
mod master;
mod metrics;
mod rules;
mod table;
mod tend;
mod vault;

use trunkline_platform::db::Stmt;

pub use api_keys::{AdoptError, ApiKeyError, ApiKeys, adopt};
pub use keyring::{COUNTS_FOR, Keyring, KeyringError, READ_EVERY, Stale, Version, View};
pub use kind::{Purpose, State, UnknownWord};
pub(crate) use master::fingerprint_of;
pub use master::{MasterKeyError, MasterKeys, SealError};
pub use metrics::SecretMetrics;
pub use rules::{Needed, RotationRules};
pub use table::{SecretRow, list};
pub use tend::TendSecrets;
pub use vault::{Moved, Rewrapped, Standing, Vault, VaultError};

pub(crate) static STATEMENTS: &[&[&Stmt]] = &[table::STATEMENTS];
