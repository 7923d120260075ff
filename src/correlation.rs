//! Correlation ids, made at a door and carried by everything that a request causes.

use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Makes ids that people can search for: `wh_` and 24 hexadecimal digits for a webhook, `rq_` for a request of an
/// operator.
#[derive(Clone, Debug)]
pub struct CorrelationIds {
    prefix: &'static str,
    random: Arc<Mutex<StdRng>>,
}

impl CorrelationIds {
    pub fn of_webhooks(seed: u64) -> Self {
        Self::seeded("wh_", seed)
    }

    pub fn of_requests(seed: u64) -> Self {
        Self::seeded("rq_", seed)
    }

    fn seeded(prefix: &'static str, seed: u64) -> Self {
        Self { prefix, random: Arc::new(Mutex::new(StdRng::seed_from_u64(seed))) }
    }

    pub fn next(&self) -> String {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{}{:016x}{:08x}", self.prefix, random.next_u64(), random.next_u32())
    }
}
