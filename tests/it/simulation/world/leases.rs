//! Steps of workers that come, renew their leases, go and are missed; and of people.

use super::*;

impl World<'_> {
    // --- leases ---

    pub(super) async fn register(&mut self) -> Outcome {
        let worker = WorkerId::new(format!("wk_{}_{}", self.seed, self.workers.len()));
        self.tasks.register_worker(&worker, "simulated", LEASE).await.map_err(failed)?;
        self.model.register(worker.as_str(), self.clock.now() + LEASE);
        self.story.push(format!("{} registers", worker.as_str()));
        self.workers.push(worker);
        Ok(())
    }

    pub(super) async fn heartbeat(&mut self) -> Outcome {
        let worker = self.any_worker();
        let alive = self.tasks.heartbeat(&worker, LEASE).await.map_err(failed)?;
        self.story.push(format!("{} renews its lease -> {alive}", worker.as_str()));
        same("lease", alive, self.model.heartbeat(worker.as_str(), self.clock.now() + LEASE))
    }

    /// A process is gone with what it knew; nobody is told.
    pub(super) fn die(&mut self) -> Outcome {
        let worker = self.any_worker();
        self.story.push(format!("{} dies", worker.as_str()));
        self.claims.retain(|claim| claim.worker != worker);
        Ok(())
    }

    pub(super) async fn resign(&mut self) -> Outcome {
        let worker = self.any_worker();
        self.story.push(format!("{} resigns", worker.as_str()));
        self.tasks.resign_worker(&worker).await.map_err(failed)?;
        self.model.resign(worker.as_str());
        Ok(())
    }

    /// Somebody looks at the leases, and ends some of them, perhaps much later.
    pub(super) async fn look(&mut self) -> Outcome {
        self.seen = self.tasks.leases().await.map_err(failed)?;
        self.story.push(format!("{} leases are looked at", self.seen.len()));
        Ok(())
    }

    pub(super) async fn end_leases(&mut self, odds: f64) -> Outcome {
        for lease in self.seen.clone() {
            if !self.random.random_bool(odds) {
                continue;
            }
            if self.random.random_bool(0.2) {
                self.tasks.give_notice(&lease).await.map_err(failed)?;
            }
            let ended = self.tasks.end_lease(&lease).await.map_err(failed)?;
            self.story.push(format!("the lease of {} is ended -> {ended}", lease.id));
            same("ended lease", ended, self.model.end_lease(&lease))?;
        }
        Ok(())
    }

    pub(super) async fn expire_all(&mut self) -> Outcome {
        let expired = self.tasks.expire_all_leases().await.map_err(failed)?;
        self.story.push(format!("all {expired} leases are ended"));
        same("ended leases", expired, self.model.expire_all())
    }

    pub(super) async fn take_over(&mut self) -> Outcome {
        let taken = self.tasks.take_over().await.map_err(failed)?;
        self.story.push(format!("take-over -> {taken:?}"));
        let mut dead: Vec<i64> = taken.dead.iter().map(|(id, _)| id.0).collect();
        dead.sort_unstable();
        same("taken over", (taken.requeued, taken.cancelled, dead), self.model.take_over())
    }

    // --- people ---

    pub(super) fn any_task(&mut self) -> Option<i64> {
        self.model.ids().choose(&mut self.random).copied()
    }

    pub(super) async fn cancel(&mut self) -> Outcome {
        let Some(id) = self.any_task() else { return Ok(()) };
        let acted = self.tasks.cancel(&[TaskId(id)], &actor()).await.map_err(failed)?.remove(0);
        self.story.push(format!("{id} is cancelled -> {:?}", acted.outcome));
        let kind = std::mem::discriminant::<trunkline_platform::task::Outcome>;
        same("cancelled", kind(&acted.outcome), kind(&self.model.cancel(id)))
    }

    pub(super) async fn skip(&mut self) -> Outcome {
        let Some(id) = self.any_task() else { return Ok(()) };
        self.skip_one(id).await
    }

    pub(super) async fn skip_one(&mut self, id: i64) -> Outcome {
        let acted = self.tasks.skip(&[TaskId(id)], &actor()).await.map_err(failed)?.remove(0);
        self.story.push(format!("{id} is skipped -> {:?}", acted.outcome));
        same("skipped", acted.outcome == trunkline_platform::task::Outcome::Done, self.model.skip(id))
    }

    pub(super) async fn limit(&mut self) -> Outcome {
        let queue = *QUEUES.choose(&mut self.random).unwrap();
        let paused = self.random.random_bool(0.3);
        let max_running = self.random.random_bool(0.5).then(|| self.random.random_range(1..4));
        self.set_limit(queue, Limit { paused, max_running, ..Limit::default() }).await
    }

    pub(super) async fn set_limit(&mut self, queue: Queue, limit: Limit) -> Outcome {
        let scope = Scope::Queue(queue.name().to_owned());
        self.story.push(format!("{scope} gets {limit:?}"));
        self.tasks.set_limit(&scope, None, &actor(), |_| limit).await.map_err(failed)?;
        self.model.set_limit(queue.name(), limit.paused, limit.max_running);
        Ok(())
    }
}
