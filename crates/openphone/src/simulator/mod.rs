//! The provider, played on a port of its own.
//!
//! It answers the REST API, serves files, makes things happen at a chosen rate and tells a target
//! of them by signed webhooks, with retries and, on request, with every fault a receiver and a
//! sender must survive. It keeps a tally of what it did, so that it can be the judge: what was
//! acknowledged must be found in the target, and no text may have been accepted twice.
//!
//! - `server`: the API, the files and the tally over HTTP
//! - `stream`: things happening by themselves
//! - `courier`: webhooks, signed, retried, counted; `subscriptions`: who gets them, and what they are signed with
//! - `script`: what becomes of a text that was accepted
//! - `people`: how its recipient takes it, and answers
//! - `store`, `truth`: what the API can be asked about
//! - `book`, `tally`, `journal`: what was done, in memory, for others, and on disk
//! - `provider`: the state that these share
//!
//! Everything has a bound: deliveries under way, posts at once, what is remembered. Everything it
//! starts ends with it.

mod book;
mod config;
mod courier;
mod deliveries;
mod faults;
mod handle;
mod journal;
mod people;
mod provider;
mod recent;
mod script;
mod server;
mod store;
mod stream;
mod subscriptions;
mod tally;
mod truth;

#[cfg(test)]
mod tests;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use self::{
    config::{Clock, SimulatorConfig, SimulatorError},
    faults::{Faults, FaultsError},
    handle::{EmitError, SimulatorHandle},
    people::{Manners, MannersError},
    tally::{AcceptedMessage, Delivery, Tally},
    truth::Truth,
};

/// The simulated provider.
#[derive(Debug)]
pub struct Simulator;

/// A panic elsewhere leaves counts that are still worth having.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
