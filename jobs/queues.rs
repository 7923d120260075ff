//! The queues, so that slow work never stands before quick work.

use trunkline_platform::job::Queue;

/// Webhook events: short, database only.
pub const EVENTS: Queue = Queue::new("events");
/// Deliveries passed on to development machines: bound by those, and nobody in production waits for them.
pub const FORWARD: Queue = Queue::new("forward");
/// Downloads: long, bound by somebody else's network.
pub const MEDIA: Queue = Queue::new("media");
/// Texts of ours: bound by the provider's rate, not by ours.
pub const SENDS: Queue = Queue::new("sends");
/// What keeps the database small: nobody waits for it.
pub const UPKEEP: Queue = Queue::new("upkeep");
