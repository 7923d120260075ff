//! What can be done to dead letters: retry, edit and retry, discard, replay with a canary. `dry_run` tells what it would
//! be. A request does so much and says when there is more.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::types::Any;
use poem_openapi::{Object, OpenApi};
use serde_json::Value;
use trunkline_platform::task::TaskId;
use trunkline_platform::task::dead::{Batch, DeadAct, DeadFilter, Edit, Stopped, Target};

use super::granted::{Granted, Operate, Read};
use super::problem::Problem;
use super::{Answer, Desk, Tag};
use crate::mask;
use crate::replays::ReplayNow;

/// Letters that one request acts on.
const MOST: usize = 10_000;
/// Of those, the ones told one by one.
const MOST_TOLD: usize = 1_000;

pub(super) struct DeadActsApi(pub(super) Desk);

/// Which dead letters: by number, or by all that they have in common, or every one
#[derive(Debug, Default, Object)]
#[oai(deny_unknown_fields)]
struct Selection {
    #[oai(validator(max_items = 1000))]
    ids: Option<Vec<i64>>,
    /// The name of the job
    kind: Option<String>,
    queue: Option<String>,
    /// What they died of, as the groups tell it
    fingerprint: Option<String>,
    /// Part of the error, capitals or not
    error: Option<String>,
    /// Died at this time or later
    since: Option<DateTime<Utc>>,
    /// Died before this time
    until: Option<DateTime<Utc>>,
    /// Every dead letter there is
    #[oai(default)]
    all: bool,
}

/// An act on dead letters
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
struct DeadLetterAct {
    which: Selection,
    /// Only tell what would be done
    #[oai(default)]
    dry_run: bool,
    /// Why, for the audit
    #[oai(validator(max_length = 1000))]
    reason: Option<String>,
}

/// A change of the payloads of dead letters, which are then retried
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
struct DeadLetterEdit {
    which: Selection,
    /// The whole payload; or else `set`
    payload: Option<Any<Value>>,
    /// Places to change
    #[oai(validator(max_items = 100))]
    set: Option<Vec<PlaceToSet>>,
    /// Only tell what would change
    #[oai(default)]
    dry_run: bool,
    /// Why, for the audit
    #[oai(validator(max_length = 1000))]
    reason: Option<String>,
}

/// A place of a payload and what shall stand there
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
struct PlaceToSet {
    /// A JSON pointer: `/event`
    pointer: String,
    value: Any<Value>,
}

/// What was done, or would be
#[derive(Debug, Default, Object)]
#[oai(rename = "DeadLettersActedOn")]
struct Told {
    dry_run: bool,
    done: u64,
    refused: u64,
    /// The first thousand that it was done to
    ids: Vec<i64>,
    /// The first thousand refusals
    refusals: Vec<Refusal>,
    /// What changes in payloads. Numbers and texts are masked
    edited: Vec<Changes>,
    /// There are more than one request takes: ask again
    more: bool,
}

/// A dead letter that was left as it is
#[derive(Debug, Object)]
#[oai(rename = "DeadLetterRefusal")]
struct Refusal {
    id: i64,
    why: String,
}

/// Each place of a payload that changes: `pointer`, `before`, `after`
#[derive(Debug, Object)]
#[oai(rename = "PayloadChanges")]
struct Changes {
    id: i64,
    changes: Any<Value>,
}

/// A replay. It goes on by itself in the process that was asked
#[derive(Debug, Object)]
struct Replay {
    id: u64,
    by: String,
    began_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    retried: u64,
    done: u64,
    /// Failed of something else than before
    failed_otherwise: u64,
    ended_otherwise: u64,
    /// Retried, and not seen to end yet
    open: u64,
    refused: u64,
    /// Why it ended early
    stopped: Option<String>,
}

#[OpenApi(tag = "Tag::DeadLetters")]
impl DeadActsApi {
    /// Retry dead letters
    #[oai(path = "/dead-letters/retry", method = "post", operation_id = "retry_dead_letters")]
    async fn retry(&self, by: Granted<Operate>, body: Json<DeadLetterAct>) -> Answer<Told> {
        let Json(DeadLetterAct { which, dry_run, reason }) = body;
        self.act(&by, DeadAct::Retry, which, dry_run, reason).await
    }

    /// Discard dead letters
    ///
    /// They end without effect. That cannot be undone.
    #[oai(path = "/dead-letters/discard", method = "post", operation_id = "discard_dead_letters")]
    async fn discard(&self, by: Granted<Operate>, body: Json<DeadLetterAct>) -> Answer<Told> {
        let Json(DeadLetterAct { which, dry_run, reason }) = body;
        self.act(&by, DeadAct::Discard, which, dry_run, reason).await
    }

    /// Change payloads of dead letters and retry them
    ///
    /// Each payload is checked against the schema of its job; one that does not fit is refused with what is expected
    /// where.
    #[oai(path = "/dead-letters/edit", method = "post", operation_id = "edit_dead_letters")]
    async fn edit(&self, by: Granted<Operate>, body: Json<DeadLetterEdit>) -> Answer<Told> {
        let Json(DeadLetterEdit { which, payload, set, dry_run, reason }) = body;
        let edit = match (payload, set) {
            (Some(Any(payload)), None) => Edit::Replace(payload),
            (None, Some(places)) => {
                Edit::Set(places.into_iter().map(|place| (place.pointer, place.value.0)).collect())
            }
            _ => return Err(Problem::invalid("say either payload or set")),
        };
        self.act(&by, DeadAct::Edit(edit, Arc::clone(&self.0.jobs)), which, dry_run, reason).await
    }

    /// Replay dead letters with a canary
    ///
    /// One is retried first, then ten, then the rest at 20 a second; it stops when one fails of the same again. The answer
    /// comes at once: look with `show_replay`. With `dry_run` it is what `retry_dead_letters` tells.
    #[oai(path = "/dead-letters/replays", method = "post", operation_id = "begin_replay")]
    async fn replay(&self, by: Granted<Operate>, body: Json<DeadLetterAct>) -> Answer<Replay> {
        let Json(DeadLetterAct { which, dry_run, reason }) = body;
        if dry_run {
            return Err(Problem::invalid("ask retry_dead_letters what it would be"));
        }
        let Target::Filter(filter) = which.target()? else {
            return Err(Problem::invalid("a replay is of what dead letters have in common, not of numbers"));
        };
        let begun = self.0.replays.begin(filter, by.actor(reason));
        self.show(begun.map_err(|error| Problem::conflict(error.to_string()))?)
    }

    /// List replays
    ///
    /// Those of the process that is asked, the newest first, 50 at most.
    #[oai(path = "/dead-letters/replays", method = "get", operation_id = "list_replays")]
    async fn list_replays(&self, _by: Granted<Read>) -> Answer<Vec<Replay>> {
        Ok(Json(self.0.replays.list().into_iter().map(Replay::of).collect()))
    }

    /// Show a replay
    #[oai(path = "/dead-letters/replays/:id", method = "get", operation_id = "show_replay")]
    async fn show_replay(&self, _by: Granted<Read>, id: Path<u64>) -> Answer<Replay> {
        self.show(id.0)
    }

    /// Stop a replay
    ///
    /// Between two steps; what was retried goes on.
    #[oai(path = "/dead-letters/replays/:id/stop", method = "post", operation_id = "stop_replay")]
    async fn stop_replay(&self, by: Granted<Operate>, id: Path<u64>) -> Answer<Replay> {
        self.0.replays.stop(id.0, &by.actor(None)).await?;
        self.show(id.0)
    }
}

impl DeadActsApi {
    async fn act(
        &self,
        by: &Granted<Operate>,
        act: DeadAct,
        which: Selection,
        dry_run: bool,
        reason: Option<String>,
    ) -> Answer<Told> {
        let target = which.target()?;
        let mut told = Told { dry_run, ..Told::default() };
        let mut batch = Batch::new(&self.0.tasks, act, by.actor(reason), dry_run);
        batch
            .run(&target, |acted| {
                told.done += acted.done.len() as u64;
                told.refused += acted.refused.len() as u64;
                let room = |told: usize| MOST_TOLD.saturating_sub(told);
                told.ids.extend(acted.done.iter().take(room(told.ids.len())).map(|id| id.0));
                let refused = acted.refused.iter().take(room(told.refusals.len()));
                told.refusals.extend(
                    refused.map(|one| Refusal { id: one.id.0, why: mask::phones_in(&one.why.to_string()) }),
                );
                let edited = acted.edited.iter().take(room(told.edited.len()));
                told.edited.extend(
                    edited.map(|one| Changes { id: one.id.0, changes: Any(mask::changes(&one.changes)) }),
                );
                told.more = told.done + told.refused >= MOST as u64;
                !told.more
            })
            .await?;
        Ok(Json(told))
    }

    fn show(&self, id: u64) -> Answer<Replay> {
        let replay = self.0.replays.show(id);
        let missing = || Problem::not_found(format!("replay {id} in the process that was asked"));
        Ok(Json(Replay::of(replay.ok_or_else(missing)?)))
    }
}

impl Selection {
    /// Nothing is chosen by accident or twice.
    fn target(self) -> Result<Target, Problem> {
        let Self { ids, kind, queue, fingerprint, error, since, until, all } = self;
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let filter = DeadFilter {
            kind: given(kind),
            queue: given(queue),
            fingerprint: given(fingerprint),
            error: given(error),
            since,
            until,
        };
        match (ids, filter.is_empty(), all) {
            (Some(ids), true, false) if !ids.is_empty() => {
                Ok(Target::Ids(ids.into_iter().map(TaskId).collect()))
            }
            (None, false, false) | (None, true, true) => Ok(Target::Filter(filter)),
            _ => Err(Problem::invalid("say in `which` either ids, or what they have in common, or all")),
        }
    }
}

impl Replay {
    fn of(now: ReplayNow) -> Self {
        let counts = now.counts;
        let stopped = match (now.failed, now.stopped) {
            (Some(why), _) => Some(format!("failed: {}", mask::phones_in(&why))),
            (None, Some(Stopped::Repeat { task, error, .. })) => {
                Some(format!("task {task} failed of the same again: {}", mask::phones_in(&error)))
            }
            (None, Some(Stopped::NoneDone { task, error })) => Some(format!(
                "none of the first succeeded; task {task} failed of something else: {}",
                mask::phones_in(&error)
            )),
            (None, Some(Stopped::Undecided { tasks })) => {
                Some(format!("{} did not end in time", tasks.len()))
            }
            (None, Some(Stopped::Interrupted)) => Some("stopped as asked".to_owned()),
            (None, None) => None,
        };
        Self {
            id: now.id,
            by: now.by,
            began_at: now.began_at,
            ended_at: now.ended_at,
            retried: counts.retried,
            done: counts.done,
            failed_otherwise: counts.failed_otherwise,
            ended_otherwise: counts.ended_otherwise,
            open: counts.open,
            refused: counts.refused,
            stopped,
        }
    }
}
