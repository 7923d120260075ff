//! What becomes of a text after it was accepted.
//!
//! It is queued, then sent, then delivered, unless its recipient has a number with a meaning or
//! has opted out. The last four digits decide, so that a test can ask for any ending; for every other number
//! [people](super::people) do:
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
//! | …0197 | refused: 400, opted out at the carrier (21610) |
//! | opted out | `undelivered`, code 21610 |

use std::{sync::Arc, time::Duration};

use rand::RngExt;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    courier::Stopped,
    journal::Entry,
    lock,
    people::{Arrival, Taken},
    provider::Provider,
    store,
};
use crate::{
    event::{EventType, Generation, MessageStatus},
    factory::Text,
};

/// How a text ends.
struct Ending {
    status: MessageStatus,
    error_code: Option<&'static str>,
    told_by: Option<EventType>,
}

impl Ending {
    fn of(number: &str, opted_out: bool, arrival: Arrival) -> Self {
        let failed = |error_code| Self {
            status: MessageStatus::Failed,
            error_code,
            told_by: Some(EventType::MessageFailed),
        };
        let unheard_of = Self { status: MessageStatus::Sent, error_code: None, told_by: None };
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
            Some("0193") => unheard_of,
            _ => match arrival {
                Arrival::Delivered => Self {
                    status: MessageStatus::Delivered,
                    error_code: None,
                    told_by: Some(EventType::MessageDelivered),
                },
                Arrival::Filtered => undelivered("30007"),
                Arrival::Failed => failed(Some("30003")),
                Arrival::Silent => unheard_of,
            },
        }
    }
}

impl Provider {
    /// Plays out the life of an accepted text. `permit` is room for the webhook at its end.
    pub(super) fn play(self: &Arc<Self>, text: &Text, permit: OwnedSemaphorePermit) {
        let opted_out = text.to.iter().any(|number| lock(&self.store).has_opted_out(number));
        let number = text.to.first().map_or("", String::as_str);
        let Taken { arrival, answer } = self.taken(number, &text.text);
        let ending = Ending::of(number, opted_out, arrival);
        let answer = answer.filter(|_| ending.status == MessageStatus::Delivered);
        let (provider, id, mark) = (Arc::clone(self), text.id.clone(), self.begin());
        self.tasks.spawn(async move {
            let _mark = mark;
            let played = provider.play_out(&id, ending, permit).await;
            if let (Ok(Some(text)), Some((words, after))) = (played, answer) {
                let _ = provider.answer(&text, words, after).await;
            }
        });
    }

    /// The recipient answers, once there is room for one more webhook.
    async fn answer(self: &Arc<Self>, text: &Text, words: &str, after: Duration) -> Result<(), Stopped> {
        self.pause(after).await?;
        let generation = self.any_generation();
        let event = lock(&self.factory).answer(text, words, generation, self.now());
        self.submit(event).await.map(drop)
    }

    async fn play_out(
        self: &Arc<Self>,
        id: &str,
        ending: Ending,
        permit: OwnedSemaphorePermit,
    ) -> Result<Option<Text>, Stopped> {
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
        let (Some(text), Some(kind)) = (text, ending.told_by) else { return Ok(None) };
        let generation = self.any_generation();
        // The older webhooks never tell of a failure.
        if kind == EventType::MessageDelivered || generation == Generation::Dated {
            let event = lock(&self.factory).tell_text(&text, kind, generation);
            self.dispatch(event, permit);
        }
        Ok(Some(text))
    }

    fn moment(&self) -> Duration {
        Duration::from_millis(lock(&self.whims).random_range(10..60))
    }
}
