//! What a simulator tells of its doings.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{event::MessageStatus, factory::MediaFile};

/// The sum of a simulator's doings, those before a restart included where there is a journal.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Different events made. After a restart, those made before and never acknowledged are
    /// no longer counted.
    pub events_made: u64,
    /// The same, by type as spelled in the body.
    pub events_by_type: BTreeMap<String, u64>,
    /// Different deliveries answered by a 2xx.
    pub deliveries_acknowledged: u64,
    /// Deliveries made or waiting and not yet at an end.
    pub deliveries_pending: u64,
    /// Deliveries given up after the last attempt.
    pub deliveries_exhausted: u64,
    /// Deliveries that got lost: nobody was told.
    #[serde(default)]
    pub deliveries_dropped: u64,
    /// Events that happened while the subscription was disabled: nobody is ever told.
    #[serde(default)]
    pub deliveries_untold: u64,
    /// Posts of genuine deliveries, repeats included.
    pub attempts: u64,
    /// Deliveries sent again although they had been acknowledged.
    pub duplicates_sent: u64,
    /// Posts that no receiver should accept: tampered, or signed long ago.
    pub forgeries_sent: u64,
    /// Those that were accepted all the same.
    pub forgeries_accepted: u64,
    /// Different files that acknowledged deliveries lead to.
    pub media_files: u64,
    /// Those files, the newest where there are very many.
    pub media: Vec<MediaFile>,
    pub api_calls: u64,
    /// Those answered 429 because there were too many in their second.
    #[serde(default)]
    pub api_calls_limited: u64,
    /// The most calls of any second, wherever it begins.
    #[serde(default)]
    pub api_calls_peak: u64,
    /// Texts accepted for sending.
    pub messages_accepted: u64,
}

/// An acknowledged delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    pub delivery_id: String,
    pub event_id: String,
    pub event_type: String,
    pub generation: String,
    /// The status it was acknowledged by.
    pub status: u16,
    pub attempts: u32,
    pub acknowledged_at: DateTime<Utc>,
    pub media: Vec<MediaFile>,
}

/// A text accepted for sending, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedMessage {
    pub id: String,
    pub from: String,
    pub to: Vec<String>,
    pub content: String,
    pub accepted_at: DateTime<Utc>,
    pub status: MessageStatus,
    pub error_code: Option<String>,
}
