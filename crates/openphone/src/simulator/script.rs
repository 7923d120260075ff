//! What becomes of a text after it was accepted.
//!
//! It is queued, then sent, then delivered, unless its recipient has a number with a meaning or
//! has opted out. The last four digits decide, so that a test can ask for any ending:
//!
//! | number | ending |
//! | --- | --- |
//! | …0190 | `failed`, without a code: the provider could try again |
//! | …0191 | `failed`, code 30008 |
//! | …0192 | `undelivered`, code 30007 |
//! | …0193 | `sent`, and never heard of again |
//! | …0194 | refused: 400, A2P registration not approved |
//! | …0195 | refused: 403, daily cap reached |
//! | …0196 | refused: 402, not enough credits |
//! | opted out | `undelivered`, code 21610 |

use std::{sync::Arc, time::Duration};

use rand::RngExt;
use tokio::sync::OwnedSemaphorePermit;

use super::{courier::Stopped, journal::Entry, lock, provider::Provider, store};
use crate::event::{EventType, Generation, MessageStatus};

/// How a text ends.
struct Ending {
    status: MessageStatus,
    error_code: Option<&'static str>,
    told_by: Option<EventType>,
}

impl Ending {
    fn of(number: &str, opted_out: bool) -> Self {
        let failed = |error_code| Self {
            status: MessageStatus::Failed,
            error_code,
            told_by: Some(EventType::MessageFailed),
        };
        let undelivered = |error_code| Self {
            status: MessageStatus::Undelivered,
            error_code: Some(error_code),
            told_by: Some(EventType::MessageUndelivered),
        };
        match number.get(number.len().saturating_sub(4)..) {
            _ if opted_out => undelivered("21610"),
            Some("0190") => failed(None),
            Some("0191") => failed(Some("30008")),
            Some("0192") => undelivered("30007"),
            Some("0193") => Self { status: MessageStatus::Sent, error_code: None, told_by: None },
            _ => Self {
                status: MessageStatus::Delivered,
                error_code: None,
                told_by: Some(EventType::MessageDelivered),
            },
        }
    }
}

impl Provider {
    /// Plays out the life of an accepted text. `permit` is room for the webhook at its end.
    pub(super) fn play(self: &Arc<Self>, id: String, to: &[String], permit: OwnedSemaphorePermit) {
        let opted_out = to.iter().any(|number| lock(&self.store).has_opted_out(number));
        let ending = Ending::of(to.first().map_or("", String::as_str), opted_out);
        let provider = Arc::clone(self);
        let mark = self.begin();
        self.tasks.spawn(async move {
            let _mark = mark;
            let _ = provider.play_out(&id, ending, permit).await;
        });
    }

    async fn play_out(
        self: &Arc<Self>,
        id: &str,
        ending: Ending,
        permit: OwnedSemaphorePermit,
    ) -> Result<(), Stopped> {
        self.pause(self.moment()).await?;
        lock(&self.store).advance(id, |text| text.status = MessageStatus::Sent);
        self.pause(self.moment()).await?;
        let error_code = ending.error_code.map(str::to_owned);
        let now = self.now();
        let text = lock(&self.store)
            .advance(id, |text| {
                store::settle(text, ending.status.clone(), error_code.clone());
                text.updated_at = now;
            })
            .cloned();
        let settled = Entry::Settled { id: id.to_owned(), status: ending.status, error_code };
        self.journal.write(settled).await;
        let (Some(text), Some(kind)) = (text, ending.told_by) else { return Ok(()) };
        let generation = self.any_generation();
        // The older webhooks never tell of a failure.
        if kind == EventType::MessageDelivered || generation == Generation::Dated {
            let event = lock(&self.factory).tell_text(&text, kind, generation);
            self.dispatch(event, permit);
        }
        Ok(())
    }

    fn moment(&self) -> Duration {
        Duration::from_millis(lock(&self.whims).random_range(10..60))
    }
}
