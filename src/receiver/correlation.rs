//! Correlation ids, made at the door and carried by everything a webhook causes.

use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Makes ids that people can search for: `wh_` and 24 hexadecimal digits.
#[derive(Clone, Debug)]
pub struct CorrelationIds(Arc<Mutex<StdRng>>);

impl CorrelationIds {
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    pub fn next(&self) -> String {
        let mut random = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        format!("wh_{:016x}{:08x}", random.next_u64(), random.next_u32())
    }
}
