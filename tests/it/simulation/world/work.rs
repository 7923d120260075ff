//! Steps of the work itself: enqueue, claim, verdict.

use super::*;

impl World<'_> {
    // --- enqueue ---

    pub(super) fn new_task(&mut self) -> NewTask {
        self.made += 1;
        let now = self.clock.now();
        let random = &mut self.random;
        let mut task = NewTask {
            queue: *QUEUES.choose(random).unwrap(),
            payload: format!("{{\"n\":{}}}", self.made),
            max_attempts: random.random_range(1..5),
            ..NewTask::of(&Play::default()).unwrap()
        }
        .priority(*PRIORITIES.choose(random).unwrap());
        if random.random_bool(0.3) {
            task = task.at(now + TimeDelta::seconds(random.random_range(-60..120)));
        }
        if random.random_bool(0.3) {
            task.ordering_key = Some((*LINES.choose(random).unwrap()).to_owned());
        }
        if random.random_bool(0.4) {
            task.unique_key = Some((*KEYS.choose(random).unwrap()).to_owned());
            task.unique_for =
                random.random_bool(0.4).then(|| Duration::from_secs(random.random_range(1..90)));
            let conflicts = [OnConflict::Keep, OnConflict::ReplacePayload, OnConflict::PushTime];
            task = task.on_conflict(*conflicts.choose(random).unwrap());
        }
        task
    }

    pub(super) fn new_tasks(&mut self, most: usize) -> Vec<NewTask> {
        let count = self.random.random_range(0..=most);
        (0..count).map(|_| self.new_task()).collect()
    }

    pub(super) async fn enqueue(&mut self) -> Outcome {
        let new = self.new_tasks(3);
        let now = self.clock.now();
        let answers = self.tasks.enqueue(&new).await.map_err(failed)?;
        self.story.push(format!("enqueue {} -> {answers:?}", brief(&new)));
        same("answers", answers.len(), new.len())?;
        for (new, answer) in new.iter().zip(answers) {
            let last = self.model.last_id();
            let coming = match answer {
                Enqueued::New(_) => Coming::New,
                Enqueued::Existing(id) => Coming::Existing(id.0),
                Enqueued::Replaced(id) => Coming::Replaced(id.0),
                Enqueued::Pushed(id) => Coming::Pushed(id.0),
            };
            same("what became of a new task", coming, self.model.enqueue(new, now))?;
            if answer.is_new() {
                same("an id was used before", answer.id().0 > last, true)?;
                self.model.insert(answer.id().0, new, now);
            }
        }
        Ok(())
    }

    /// What follows from an attempt is enqueued with its verdict, and gets its ids in order.
    pub(super) async fn follow(&mut self, follow_ups: Vec<NewTask>) -> Outcome {
        let last = self.model.last_id();
        let mut session = self.tasks.db().read().await.map_err(failed)?;
        let made: Vec<NewId> = NEW_IDS.bind(last).all(&mut session).await.map_err(failed)?;
        let mut made = made.into_iter();
        let now = self.clock.now();
        for new in follow_ups {
            if self.model.enqueue(&new, now) == Coming::New {
                let id = made.next().ok_or("a task that should follow is not there")?;
                self.model.insert(id.id, &new, now);
            }
        }
        same("tasks that follow from nothing", made.count(), 0)
    }

    // --- claim ---

    pub(super) fn any_worker(&mut self) -> WorkerId {
        self.workers.choose(&mut self.random).unwrap().clone()
    }

    pub(super) fn took(
        &mut self,
        what: &str,
        worker: &WorkerId,
        rows: Vec<ClaimedRow>,
        must_be: Vec<(i64, i32)>,
    ) -> Result<Vec<Claim>, String> {
        let got: Vec<(i64, i32)> = rows.iter().map(|row| (row.id.0, row.attempt)).collect();
        self.story.push(format!("{} {what} -> {got:?}", worker.as_str()));
        same("claimed", got, must_be)?;
        let claims: Vec<Claim> = rows
            .iter()
            .map(|row| Claim { id: row.id, attempt: row.attempt, worker: worker.clone() })
            .collect();
        self.claims.extend(claims.iter().cloned());
        Ok(claims)
    }

    pub(super) async fn claim_due(&mut self) -> Outcome {
        let worker = self.any_worker();
        let queue = *QUEUES.choose(&mut self.random).unwrap();
        let limit = self.random.random_range(1..5);
        self.claim_due_as(&worker, queue, limit).await.map(drop)
    }

    pub(super) async fn claim_due_as(
        &mut self,
        worker: &WorkerId,
        queue: Queue,
        limit: usize,
    ) -> Result<Vec<Claim>, String> {
        let rows = self.tasks.claim_due(worker, queue, limit).await.map_err(failed)?;
        let must_be = self.model.claim_due(worker.as_str(), queue.name(), limit, self.clock.now());
        self.took(&format!("claims {limit} of {}", queue.name()), worker, rows, must_be)
    }

    pub(super) async fn claim_ids(&mut self) -> Outcome {
        let worker = self.any_worker();
        let queue = *QUEUES.choose(&mut self.random).unwrap();
        let mut known = self.model.ids();
        known.push(self.model.last_id() + 1_000);
        let count = self.random.random_range(1..5);
        // The ring may tell of a task twice, of one that has ended, and of one that never was.
        let ids: Vec<i64> = (0..count).map(|_| *known.choose(&mut self.random).unwrap()).collect();
        let rows = self.tasks.claim(&worker, queue, ids.clone()).await.map_err(failed)?;
        let must_be = self.model.claim_ids(worker.as_str(), queue.name(), &ids, self.clock.now());
        self.took(&format!("claims {ids:?} of {}", queue.name()), &worker, rows, must_be).map(drop)
    }

    pub(super) async fn claim_suspect(&mut self) -> Outcome {
        let worker = self.any_worker();
        let queue = *QUEUES.choose(&mut self.random).unwrap();
        self.claim_suspect_as(&worker, queue).await.map(drop)
    }

    pub(super) async fn claim_suspect_as(
        &mut self,
        worker: &WorkerId,
        queue: Queue,
    ) -> Result<Vec<Claim>, String> {
        let row = self.tasks.claim_suspect(worker, queue).await.map_err(failed)?;
        let must_be = self.model.claim_suspect(worker.as_str(), queue.name(), self.clock.now());
        self.took(
            &format!("claims a suspect of {}", queue.name()),
            worker,
            row.into_iter().collect(),
            must_be,
        )
    }

    // --- finish ---

    pub(super) fn verdict(&mut self, claim: &Claim) -> Finish {
        let at = self.clock.now() + TimeDelta::seconds(self.random.random_range(-5..300));
        let verdict = match self.random.random_range(0..10) {
            0..4 => Verdict::Done,
            4..6 => Verdict::Retry { at },
            6 => Verdict::Snooze { at },
            7 => Verdict::GiveBack,
            8 => Verdict::Dead,
            _ => Verdict::Discarded,
        };
        let follow_ups = if verdict == Verdict::Done { self.new_tasks(2) } else { Vec::new() };
        Finish { follow_ups, ..self.finish_as(claim, verdict) }
    }

    pub(super) fn finish_as(&self, claim: &Claim, verdict: Verdict) -> Finish {
        Finish {
            id: claim.id,
            attempt: claim.attempt,
            verdict,
            error: None,
            label: "simulated",
            worker: claim.worker.as_str().to_owned(),
            started_at: self.clock.now(),
            duration_ms: 1,
            follow_ups: Vec::new(),
        }
    }

    /// Holders write verdicts, those whose lease is long gone as well; some write one a second time.
    pub(super) async fn finish(&mut self) -> Outcome {
        let mut batch: Vec<Finish> = Vec::new();
        for _ in 0..self.random.random_range(1..5) {
            let Some(index) =
                (!self.claims.is_empty()).then(|| self.random.random_range(0..self.claims.len()))
            else {
                break;
            };
            let claim = self.claims[index].clone();
            if batch.iter().any(|finish| (finish.id, finish.attempt) == (claim.id, claim.attempt)) {
                continue;
            }
            batch.push(self.verdict(&claim));
            if self.random.random_bool(0.8) {
                self.claims.swap_remove(index);
            }
        }
        if batch.is_empty() { Ok(()) } else { self.write(batch).await }
    }

    pub(super) async fn write(&mut self, batch: Vec<Finish>) -> Outcome {
        if batch.is_empty() {
            return Ok(());
        }
        let finished = self.tasks.finish(&batch).await.map_err(failed)?;
        let counts = self.model.finish(&batch, self.clock.now());
        let told: Vec<_> =
            batch.iter().map(|f| (f.id.0, f.attempt, &f.verdict, brief(&f.follow_ups))).collect();
        self.story.push(format!("verdicts {told:?} -> lost {:?}", finished.lost));
        let lost = batch.iter().zip(&counts).filter(|(_, counts)| !**counts).map(|(finish, _)| finish.id);
        same("lost verdicts", finished.lost, lost.collect())?;
        let counted = batch.into_iter().zip(counts).filter(|(_, counts)| *counts);
        self.follow(counted.flat_map(|(finish, _)| finish.follow_ups).collect()).await
    }
}
