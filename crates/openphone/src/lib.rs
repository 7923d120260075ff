//! The provider: OpenPhone, now called Quo.
//!
//! What the platform knows of the outside world ends here. Three directions of traffic:
//!
//! - in: [`signature`] says whether a webhook is genuine, [`event`] says what it tells;
//! - out: [`client`] sends texts and reads what the provider keeps;
//! - instead of the provider: [`factory`] makes events, [`simulator`] plays the whole service, with
//!   its faults, on a port of its own.
//!
//! Nothing here knows of tables, tasks or configuration. Time and randomness are handed in.

pub mod client;
pub mod event;
pub mod factory;
pub mod signature;
pub mod simulator;
