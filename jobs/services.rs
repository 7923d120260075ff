//! What the jobs are handed.

use chrono_tz::Tz;
use trunkline_platform::db::Db;

use crate::campaigns::CampaignServices;
use crate::contacts::ContactServices;
use crate::forward::ForwardServices;
use crate::media::MediaServices;
use crate::provider::Provider;
use crate::secrets::Vault;
use crate::subscriptions::SubscriptionServices;
use crate::upkeep::Upkeep;

/// The services of every job.
#[derive(Debug)]
pub struct Services {
    pub db: Db,
    pub contacts: ContactServices,
    pub media: MediaServices,
    pub provider: Provider,
    pub forward: ForwardServices,
    pub secrets: Vault,
    pub subscriptions: SubscriptionServices,
    pub campaigns: CampaignServices,
    pub upkeep: Upkeep,
    /// By whose clock the business's days and hours are told.
    pub zone: Tz,
}
