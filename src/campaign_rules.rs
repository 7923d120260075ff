//! What the configuration says of campaigns, for whoever tells of them and drives them: the API and the pages.

use tokio::sync::Semaphore;
use trunkline_jobs::campaigns::Holidays;
use trunkline_jobs::campaigns::flight::{Price, Tower};
use trunkline_jobs::provider::Provider;
use trunkline_platform::db::Db;

/// What the configuration says of campaigns.
#[derive(Debug)]
pub struct CampaignRules {
    pub(crate) holidays: Holidays,
    /// Of a segment.
    pub(crate) price: Price,
    /// How long answers belong to a text, where a plan does not say.
    pub(crate) counts_for_hours: u32,
    pub(crate) provider: Provider,
    /// Foreseeing takes a processor for seconds: one at a time.
    foreseeing: Semaphore,
}

impl CampaignRules {
    pub fn new(holidays: Holidays, price: Price, counts_for_hours: u32, provider: Provider) -> Self {
        Self { holidays, price, counts_for_hours, provider, foreseeing: Semaphore::new(1) }
    }

    /// What foresees.
    pub(crate) fn tower<'t>(&'t self, db: &'t Db) -> Tower<'t> {
        Tower { db, holidays: &self.holidays, limit: self.provider.limit() }
    }

    /// Foresees when nobody else does.
    pub(crate) async fn alone<T>(&self, foreseeing: impl Future<Output = T>) -> T {
        let _turn = self.foreseeing.acquire().await;
        foreseeing.await
    }
}
