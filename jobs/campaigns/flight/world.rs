//! What campaigns share: the provider's rate, our numbers' caps, and which numbers are held. And the zones people may be in,
//! each set of them once.

use std::collections::{BTreeMap, HashMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use trunkline_platform::db::{Db, DbError};

use crate::campaigns::breaker::{self, Held};
use crate::campaigns::plan::Plan;
use crate::campaigns::round::{DAY, Limits, Room, own_rate};
use crate::provider::{Grant, RateLimit, Share, Window};

trunkline_platform::statements! {
    TIMES_OF_SENDER = same {
        "SELECT intended_at AS at FROM sends WHERE sender = $1 AND intended_at > $2 AND state NOT IN ('waiting', 'refused')
         ORDER BY intended_at DESC LIMIT $3"
    }
    TIMES_OF_CAMPAIGN = same {
        "SELECT intended_at AS at FROM sends WHERE campaign_id = $1 AND intended_at > $2
         ORDER BY intended_at DESC LIMIT $3"
    }
}

#[derive(sqlx::FromRow)]
struct Time {
    at: DateTime<Utc>,
}

/// When texts left, the oldest first.
pub(super) type Times = VecDeque<DateTime<Utc>>;

pub(super) struct World {
    limit: RateLimit,
    window: Window,
    sent: BTreeMap<String, Times>,
    held: Held,
    zones: Vec<Vec<Tz>>,
    known_zones: HashMap<Vec<Tz>, u16>,
}

impl World {
    /// As the ledger has it.
    pub(super) async fn read(
        db: &Db,
        limit: RateLimit,
        plans: &[Plan],
        start: DateTime<Utc>,
    ) -> Result<Self, DbError> {
        let mut session = db.read().await?;
        let held = breaker::held(&mut session).await?;
        let most = plans.iter().map(|plan| plan.daily_cap).max().unwrap_or_default();
        let mut sent = BTreeMap::new();
        for sender in plans.iter().flat_map(|plan| &plan.senders) {
            if !sent.contains_key(sender) {
                let times = TIMES_OF_SENDER.bind(sender).bind(start - DAY).bind(most);
                sent.insert(sender.clone(), oldest_first(times.all(&mut session).await?));
            }
        }
        let (zones, known_zones) = (Vec::new(), HashMap::new());
        Ok(Self { limit, window: Window::default(), sent, held, zones, known_zones })
    }

    /// What the limits leave a campaign. The error: none of its numbers may send, for this reason.
    pub(super) fn limits(
        &mut self,
        plan: &Plan,
        segments: i64,
        own: &mut Times,
        now: DateTime<Utc>,
    ) -> Result<Limits, String> {
        let free = self.held.free(&plan.senders)?;
        let mut rooms = Vec::with_capacity(free.len());
        for sender in free {
            let (taken, oldest) = match self.sent.get_mut(sender) {
                Some(times) => taken(times, plan.daily_cap, DAY, now),
                None => (0, None),
            };
            rooms.push(Room::of(sender, plan.daily_cap, taken, oldest, now));
        }
        let rate = own_rate(plan).map(|(count, period)| {
            let (taken, oldest) = taken(own, count, period, now);
            crate::campaigns::gate::room(count, period, taken, oldest, now)
        });
        Ok(Limits::new(plan, segments, rooms, rate))
    }

    pub(super) fn grant(&mut self, wanted: u32, now: DateTime<Utc>) -> Grant {
        self.window.take(self.limit, Share::Campaign, wanted, now)
    }

    pub(super) fn sent(&mut self, sender: &str, now: DateTime<Utc>) {
        if let Some(times) = self.sent.get_mut(sender) {
            times.push_back(now);
        }
    }

    /// The number that stands for these zones.
    pub(super) fn zones_of(&mut self, zones: Vec<Tz>) -> u16 {
        if let Some(known) = self.known_zones.get(&zones) {
            return *known;
        }
        let next = u16::try_from(self.zones.len()).unwrap_or(u16::MAX);
        self.zones.push(zones.clone());
        self.known_zones.insert(zones, next);
        next
    }

    pub(super) fn zones(&self, of: u16) -> &[Tz] {
        self.zones.get(usize::from(of)).map_or(&[], Vec::as_slice)
    }
}

/// The texts of a campaign that its own rate still counts.
pub(super) async fn times_of_campaign(
    db: &Db,
    campaign: i64,
    plan: &Plan,
    start: DateTime<Utc>,
) -> Result<Times, DbError> {
    let Some((count, period)) = own_rate(plan) else { return Ok(Times::new()) };
    let times = TIMES_OF_CAMPAIGN.bind(campaign).bind(start - period).bind(count);
    Ok(oldest_first(times.all(&mut db.read().await?).await?))
}

fn oldest_first(times: Vec<Time>) -> Times {
    times.into_iter().rev().map(|time| time.at).collect()
}

/// How many of the newest `most` left in the period that ends now, and the oldest of them.
fn taken(
    times: &mut Times,
    most: u32,
    period: TimeDelta,
    now: DateTime<Utc>,
) -> (u32, Option<DateTime<Utc>>) {
    while times.front().is_some_and(|at| *at <= now - period) {
        times.pop_front();
    }
    let taken = times.len().min(most as usize);
    (u32::try_from(taken).unwrap_or(u32::MAX), times.get(times.len() - taken).copied())
}
