//! One page of a run: asked for, compared, and what is missing told.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_openphone::event::Envelope;
use trunkline_platform::crash_point;
use trunkline_platform::job::{Context, Done, Failure, Job, OrFail, Queue};

use super::look::{Looked, Told, look};
use super::pages::{self, Page};
use super::runs::{self, Run};
use crate::events::{Accepted, Delivery, Source, accept};
use crate::{MEDIA, Services};

/// Asks for the next page of a run. One page a task, so that each has tries of its own.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReconcilePage {
    pub run: i64,
}

impl Job for ReconcilePage {
    type Services = Services;
    const NAME: &'static str = "reconcile.page";
    const QUEUE: Queue = MEDIA;
    const TIMEOUT: Duration = Duration::from_secs(120);

    fn unique_key(&self) -> Option<String> {
        Some(self.run.to_string())
    }

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        let db = &cx.services().db;
        let mut session = db.read().await?;
        let Some(run) = runs::find(&mut session, self.run).await? else {
            return Err(Failure::discard("the run has ended"));
        };
        let page = pages::next(&mut session, run.id).await?;
        drop(session);
        let Some(page) = page else { return end(cx, &run).await };
        match self.turn(cx, &run, &page).await {
            Err(failure) if failure.is_final(cx.task()) => {
                let error = format!("{:#}", failure.error);
                let mut tx = db.write().await?;
                runs::fail(&mut tx, &run, &error, cx.now()).await?;
                tx.commit().await?;
                Err(failure)
            }
            other => other,
        }
    }
}

impl ReconcilePage {
    async fn turn(&self, cx: &Context<Services>, run: &Run, page: &Page) -> Result<Done, Failure> {
        let looked = look(cx, run, page).await?;
        if !keep(cx, run, page, looked).await? {
            return Ok(Done::new());
        }
        Ok(Done::new().then(cx.follow_up(self)?))
    }
}

/// Tells what is missing and turns the page, all or nothing. False: somebody else has.
async fn keep(cx: &Context<Services>, run: &Run, page: &Page, mut looked: Looked) -> Result<bool, Failure> {
    let deliveries = if run.dry_run {
        Vec::new()
    } else {
        looked.tell.iter().map(|told| delivery(cx, told)).collect::<Result<Vec<_>, _>>()?
    };
    let mut tx = cx.services().upkeep.tasks.begin().await?;
    if !pages::turn(tx.session(), page, &looked.follows).await? {
        return Ok(false);
    }
    let accepted = accept(&mut tx, &deliveries).await?;
    let told = accepted.iter().filter(|accepted| matches!(accepted, Accepted::New { .. })).count();
    looked.tally(page.kind).repaired += told;
    pages::add(tx.session(), run.id, &looked.pages).await?;
    runs::marks(tx.session(), run, &looked.marked).await?;
    runs::count(tx.session(), run, &looked.tallies).await?;
    crash_point!("reconcile.before_commit");
    tx.commit().await?;
    crash_point!("reconcile.after_commit");
    Ok(true)
}

fn delivery(cx: &Context<Services>, told: &Told) -> Result<Delivery, Failure> {
    Ok(Delivery {
        envelope: Envelope::parse(told.body.as_bytes()).permanent()?,
        source: Source::Reconciled,
        delivery_id: told.delivery_id.clone(),
        received_at: cx.now(),
        headers: "{}".to_owned(),
        body: told.body.clone(),
        correlation_id: cx.task().correlation_id.clone(),
        trace_context: None,
    })
}

async fn end(cx: &Context<Services>, run: &Run) -> Result<Done, Failure> {
    let now = cx.now();
    let mut tx = cx.services().db.write().await?;
    runs::complete(&mut tx, run, now).await?;
    tx.commit().await?;
    tracing::info!(run = run.id, took_ms = run.took(now).num_milliseconds(), "reconciliation complete");
    Ok(Done::new())
}
