//! One page of a replay: looked for, enqueued, and the replay moved forward.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_platform::crash_point;
use trunkline_platform::job::{Context, Done, Failure, Job, OrFail, Queue};

use super::runs::{self, Run, Turned};
use crate::events::intake::again;
use crate::events::scan::{STRETCH, Stretch, Way, gather};
use crate::events::store::FoundEvent;
use crate::{MEDIA, Services};

/// Replays the next events: as many as its pace takes in a second, or a stretch. One page a task, so that each has tries of its own.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReplayEvents {
    pub replay: i64,
}

impl Job for ReplayEvents {
    type Services = Services;
    const NAME: &'static str = "events.replay";
    const QUEUE: Queue = MEDIA;

    fn unique_key(&self) -> Option<String> {
        Some(self.replay.to_string())
    }

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        let db = &cx.services().db;
        let Some(run) = runs::find(&mut db.read().await?, self.replay).await? else {
            return Err(Failure::discard("the replay has ended"));
        };
        if run.next_at > cx.now() && !cx.wait_shortly(run.next_at).await {
            return Err(Failure::snooze_until(run.next_at, "its pace lets it go on then"));
        }
        match self.turn(cx, &run).await {
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

impl ReplayEvents {
    async fn turn(&self, cx: &Context<Services>, run: &Run) -> Result<Done, Failure> {
        let (events, mut turned) = look(cx, run).await?;
        let now = cx.now();
        let next_at = now + run.takes(events.len());
        let mut tx = cx.services().upkeep.tasks.begin().await?;
        turned.replayed = again(&mut tx, &events).await?;
        turned.jobless = events.len() - turned.replayed;
        if !runs::turn(tx.session(), run, turned, next_at).await? {
            return Ok(Done::new());
        }
        let is_over = turned.seen_to >= run.last_event;
        if is_over {
            runs::complete(tx.session(), run, now).await?;
        }
        crash_point!("events.replay.before_commit");
        tx.commit().await?;
        crash_point!("events.replay.after_commit");
        if is_over {
            tracing::info!(replay = run.id, "every event was replayed");
            return Ok(Done::new());
        }
        // At once: it waits there for its pace.
        Ok(Done::new().then(cx.follow_up(self)?))
    }
}

/// The events of the next page, and how far they were looked for.
async fn look(cx: &Context<Services>, run: &Run) -> Result<(Vec<FoundEvent>, Turned), Failure> {
    let filter = run.filter().permanent()?;
    let room = usize::try_from(run.pace).unwrap_or(1).clamp(1, STRETCH);
    let Stretch { found: mut events, looked, rest } =
        gather(&cx.services().db, &filter, run.rest(), Way::OldestFirst, (room, true)).await?;
    let mut seen_to = rest.map_or(run.last_event, |rest| rest.after);
    if events.len() > room {
        events.truncate(room);
        seen_to = events.last().map_or(seen_to, |found| found.event.id.0);
    }
    Ok((events, Turned { seen_to, looked, ..Turned::default() }))
}
