//! What the jobs are handed.

use trunkline_platform::db::Db;

use crate::media::MediaServices;
use crate::provider::Provider;
use crate::upkeep::Upkeep;

/// The services of every job.
#[derive(Debug)]
pub struct Services {
    pub db: Db,
    pub media: MediaServices,
    pub provider: Provider,
    pub upkeep: Upkeep,
}
