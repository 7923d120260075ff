//! Counting: every doing of the simulator is written down here once.

use std::collections::{BTreeMap, VecDeque};

use super::{Delivery, Tally, recent::Recent};
use crate::factory::{FactoryEvent, MediaFile};

/// How many events and deliveries are remembered one by one.
const REMEMBERED: usize = 250_000;
/// How many files are listed.
const REMEMBERED_MEDIA: usize = 50_000;

pub(super) struct Book {
    sum: Tally,
    by_type: BTreeMap<String, u64>,
    made: Recent<()>,
    acknowledged: Recent<()>,
    deliveries: VecDeque<Delivery>,
    media: Recent<MediaFile>,
    /// How often each page was asked for, by path and query.
    asked: BTreeMap<String, u64>,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            sum: Tally::default(),
            by_type: BTreeMap::new(),
            made: Recent::new(REMEMBERED),
            acknowledged: Recent::new(REMEMBERED),
            deliveries: VecDeque::new(),
            media: Recent::new(REMEMBERED_MEDIA),
            asked: BTreeMap::new(),
        }
    }
}

impl Book {
    pub(super) fn made(&mut self, event: &FactoryEvent) {
        self.made_named(&event.event_id, &event.event_type);
    }

    fn made_named(&mut self, event_id: &str, event_type: &str) {
        if self.made.insert(event_id, ()) {
            self.sum.events_made += 1;
            *self.by_type.entry(event_type.to_owned()).or_default() += 1;
        }
    }

    /// Whether the delivery had not been acknowledged before.
    pub(super) fn acknowledged(&mut self, delivery: &Delivery) -> bool {
        if !self.acknowledged.insert(&delivery.delivery_id, ()) {
            return false;
        }
        self.sum.deliveries_acknowledged += 1;
        for file in &delivery.media {
            self.sum.media_files += u64::from(self.media.insert(&file.name, file.clone()));
        }
        if self.deliveries.len() == REMEMBERED {
            self.deliveries.pop_front();
        }
        self.deliveries.push_back(delivery.clone());
        true
    }

    /// A delivery of an earlier run.
    pub(super) fn restore(&mut self, delivery: &Delivery) {
        self.made_named(&delivery.event_id, &delivery.event_type);
        self.acknowledged(delivery);
    }

    pub(super) fn attempted(&mut self) {
        self.sum.attempts += 1;
    }

    pub(super) fn exhausted(&mut self) {
        self.sum.deliveries_exhausted += 1;
    }

    pub(super) fn duplicated(&mut self) {
        self.sum.duplicates_sent += 1;
    }

    pub(super) fn forged(&mut self, accepted: bool) {
        self.sum.forgeries_sent += 1;
        self.sum.forgeries_accepted += u64::from(accepted);
    }

    pub(super) fn dropped(&mut self) {
        self.sum.deliveries_dropped += 1;
    }

    pub(super) fn untold(&mut self) {
        self.sum.deliveries_untold += 1;
    }

    /// A call of the API, and how many there were in the second that ends with it.
    pub(super) fn called(&mut self, in_second: usize) {
        self.sum.api_calls += 1;
        self.sum.api_calls_peak = self.sum.api_calls_peak.max(in_second as u64);
    }

    pub(super) fn limited(&mut self) {
        self.sum.api_calls_limited += 1;
    }

    /// A page was asked for.
    pub(super) fn asked(&mut self, page: &str) {
        if let Some(count) = self.asked.get_mut(page) {
            *count += 1;
        } else if self.asked.len() < REMEMBERED {
            self.asked.insert(page.to_owned(), 1);
        }
    }

    pub(super) fn pages_asked(&self) -> BTreeMap<String, u64> {
        self.asked.clone()
    }

    pub(super) fn deliveries(&self) -> Vec<Delivery> {
        self.deliveries.iter().cloned().collect()
    }

    /// The sum, without what others count.
    pub(super) fn tally(&self) -> Tally {
        Tally {
            events_by_type: self.by_type.clone(),
            media: self.media.iter().cloned().collect(),
            ..self.sum.clone()
        }
    }
}
