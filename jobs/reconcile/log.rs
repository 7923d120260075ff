//! The provider's log of its deliveries: whatever it could not tell, of every kind of event, as it would have told it. What
//! the log has and our events have not enters under the delivery's own id, so that it is the same should it come after all.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use trunkline_openphone::client::DeliveryQuery;
use trunkline_openphone::event::Envelope;
use trunkline_platform::job::Failure;

use super::kind::Kind;
use super::look::{JUST_BEFORE, Look, Looked, Told};
use super::pages::NewPage;
use crate::events;

/// The log's largest page.
const PAGE_SIZE: u8 = 50;
/// Events that are about to be removed may be gone before they are compared.
const MARGIN: Duration = Duration::from_secs(24 * 3_600);

impl Look<'_> {
    /// The webhooks that are for this installation. Where it does not know its address, none is.
    pub(super) async fn webhooks(&self, looked: &mut Looked) -> Result<(), Failure> {
        let Some(expected) = &self.cx.services().subscriptions.expected else { return Ok(()) };
        let Some(all) = self.ask(looked, |client| client.list_webhooks()).await? else { return Ok(()) };
        let marks = self.marks().await?;
        for one in expected.ours(&all) {
            looked.tally(Kind::Webhooks).found += 1;
            looked.marked.push(one.id.clone());
            let since = self.since(&marks, &one.id).max(self.first_kept());
            looked.pages.push(NewPage {
                webhook_id: Some(one.id.clone()),
                since: Some(since),
                ..NewPage::of(Kind::Log)
            });
        }
        Ok(())
    }

    /// The deliveries to one webhook, whatever became of them.
    pub(super) async fn log(&self, looked: &mut Looked) -> Result<(), Failure> {
        let query = &DeliveryQuery {
            webhook_id: self.page.webhook_id().to_owned(),
            created_after: Some(self.page.since() - JUST_BEFORE),
            created_before: Some(self.run.to_at),
            max_results: PAGE_SIZE,
            page_token: self.page.token(),
        };
        let Some(listed) = self.ask(looked, |client| client.list_deliveries(query)).await? else {
            return Ok(());
        };
        let ids: Vec<String> = looked.follow(listed).into_iter().map(|delivery| delivery.id).collect();
        let came = events::came(&mut self.cx.services().db.read().await?, &ids).await?;
        for id in ids {
            if came.contains(&id) {
                looked.tally(Kind::Deliveries).found += 1;
            } else {
                looked.pages.push(NewPage {
                    webhook_id: Some(self.page.webhook_id().to_owned()),
                    delivery_id: Some(id),
                    ..NewPage::of(Kind::Deliveries)
                });
            }
        }
        Ok(())
    }

    /// What a delivery that did not come would have told. Where the log does not say, it is to be sent again.
    pub(super) async fn delivery(&self, looked: &mut Looked) -> Result<(), Failure> {
        let (webhook, delivery) = (self.page.webhook_id(), self.page.delivery_id());
        let event = self.ask(looked, |client| client.logged_event(webhook, delivery)).await?;
        let tally = looked.tally(Kind::Deliveries);
        tally.found += 1;
        tally.missing += 1;
        // Not there any more, or not for us to see.
        let Some(event) = event else { return Ok(()) };
        let body =
            event.map(|event| event.to_string()).filter(|body| Envelope::parse(body.as_bytes()).is_ok());
        match body {
            Some(body) => looked.tell.push(Told { delivery_id: Some(delivery.to_owned()), body }),
            None if self.run.dry_run => {}
            None => {
                self.ask(looked, |client| client.resend_delivery(webhook, delivery)).await?;
            }
        }
        Ok(())
    }

    /// Since when events are kept: what was told before may have been removed, and must not be told again.
    fn first_kept(&self) -> DateTime<Utc> {
        let kept = self.cx.services().upkeep.retention.events;
        let kept = kept.and_then(|kept| TimeDelta::from_std(kept.saturating_sub(MARGIN)).ok());
        kept.and_then(|kept| self.cx.now().checked_sub_signed(kept)).unwrap_or(DateTime::UNIX_EPOCH)
    }
}
