//! Who gets a task: one worker at a time, the most urgent first, and stale ones not at all.

use std::collections::HashSet;

use chrono::TimeDelta;
use trunkline_platform::job::{Job, Priority};
use trunkline_platform::task::{ClaimedRow, Finish, NewTask, TaskState, Tasks, Verdict, WorkerId};

use crate::harness::{Acts, Env, Play, both_engines};

async fn worker(tasks: &Tasks, name: &str) -> WorkerId {
    let worker = WorkerId::new(name);
    tasks.register_worker(&worker, "test", TimeDelta::seconds(30)).await.unwrap();
    worker
}

fn tasks_of(count: usize) -> Vec<NewTask> {
    (0..count).map(|_| NewTask::of(&Play::default()).unwrap()).collect()
}

fn done(row: &ClaimedRow, verdict: Verdict) -> Finish {
    Finish {
        id: row.id,
        attempt: row.attempt,
        verdict,
        error: None,
        label: "done",
        worker: "test".to_owned(),
        started_at: row.created_at,
        duration_ms: 1,
        follow_ups: tasks_of(1),
    }
}

both_engines! {
    async fn two_workers_never_get_the_same_task(env: Env) {
        let tasks = env.tasks();
        let ids: Vec<i64> = tasks.enqueue(&tasks_of(1_000)).await.unwrap().iter().map(|e| e.id().0).collect();
        let claimers = (0..4).map(|n| {
            let (tasks, ids) = (tasks.clone(), ids.clone());
            tokio::spawn(async move {
                let me = worker(&tasks, &format!("wk_{n}")).await;
                let mut mine = Vec::new();
                for ids in ids.chunks(50) {
                    mine.extend(tasks.claim(&me, Play::QUEUE, ids.to_vec()).await.unwrap());
                    mine.extend(tasks.claim_due(&me, Play::QUEUE, 20).await.unwrap());
                }
                mine
            })
        });
        let mut all = Vec::new();
        for claimer in claimers.collect::<Vec<_>>() {
            all.extend(claimer.await.unwrap().into_iter().map(|row| row.id));
        }
        assert_eq!(all.len(), 1_000);
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), 1_000);
    }

    async fn the_most_urgent_come_first_and_the_delayed_when_they_are_due(env: Env) {
        let tasks = env.tasks();
        let me = worker(&tasks, "wk_1").await;
        let task = || NewTask::of(&Play::default()).unwrap();
        let later = env.clock.now() + TimeDelta::hours(1);
        let made = tasks
            .enqueue(&[task().priority(Priority::LOW), task(), task().priority(Priority::URGENT), task().at(later)])
            .await
            .unwrap();
        let order: Vec<_> = tasks.claim_due(&me, Play::QUEUE, 10).await.unwrap().iter().map(|row| row.id).collect();
        assert_eq!(order, [made[2].id(), made[1].id(), made[0].id()]);
        assert!(tasks.claim(&me, Play::QUEUE, vec![made[3].id().0]).await.unwrap().is_empty(), "not yet due");
        env.clock.advance(TimeDelta::hours(1));
        assert_eq!(tasks.claim_due(&me, Play::QUEUE, 10).await.unwrap()[0].id, made[3].id());
    }

    async fn a_limit_is_a_limit(env: Env) {
        let tasks = env.tasks();
        let me = worker(&tasks, "wk_1").await;
        tasks.enqueue(&tasks_of(50)).await.unwrap();
        assert_eq!(tasks.claim_due(&me, Play::QUEUE, 7).await.unwrap().len(), 7);
    }

    async fn a_worker_without_a_lease_gets_nothing(env: Env) {
        let tasks = env.tasks();
        let id = tasks.enqueue(&tasks_of(1)).await.unwrap()[0].id();
        let stranger = WorkerId::new("wk_gone");
        assert!(tasks.claim_due(&stranger, Play::QUEUE, 1).await.unwrap().is_empty());
        assert!(tasks.claim(&stranger, Play::QUEUE, vec![id.0]).await.unwrap().is_empty());
    }

    async fn a_stale_worker_can_write_no_verdict_and_its_follow_ups_are_dropped(env: Env) {
        let tasks = env.tasks();
        let (first, second) = (worker(&tasks, "wk_1").await, worker(&tasks, "wk_2").await);
        let id = tasks.enqueue(&tasks_of(1)).await.unwrap()[0].id();
        let stale = tasks.claim_due(&first, Play::QUEUE, 1).await.unwrap().remove(0);
        tasks.finish(&[Finish { follow_ups: Vec::new(), ..done(&stale, Verdict::GiveBack) }]).await.unwrap();
        let fresh = tasks.claim_due(&second, Play::QUEUE, 1).await.unwrap().remove(0);
        assert!(fresh.attempt > stale.attempt, "the fencing token rises even when the try is given back");
        assert_eq!(fresh.tries(), 1);

        let at = env.clock.now();
        let verdicts = [
            Verdict::Done,
            Verdict::Retry { at },
            Verdict::Snooze { at },
            Verdict::GiveBack,
            Verdict::Dead,
            Verdict::Discarded,
        ];
        for verdict in verdicts {
            let finished = tasks.finish(&[done(&stale, verdict.clone())]).await.unwrap();
            assert_eq!(finished.lost, [id], "{verdict:?}");
        }
        let row = tasks.show(id).await.unwrap().unwrap();
        assert_eq!((row.state, row.worker.as_deref()), (TaskState::Running, Some("wk_2")));
        assert_eq!(tasks.unfinished_due().await.unwrap(), 1, "no follow-up was made");

        assert_eq!(tasks.finish(&[done(&fresh, Verdict::Done)]).await.unwrap().lost, []);
        assert_eq!(tasks.unfinished_due().await.unwrap(), 1, "one follow-up was made");
    }

    async fn a_stale_verdict_in_the_batch_of_the_true_one_is_refused_all_the_same(env: Env) {
        let tasks = env.tasks();
        let me = worker(&tasks, "wk_1").await;
        let id = tasks.enqueue(&tasks_of(1)).await.unwrap()[0].id();
        let stale = tasks.claim_due(&me, Play::QUEUE, 1).await.unwrap().remove(0);
        tasks.finish(&[Finish { follow_ups: Vec::new(), ..done(&stale, Verdict::GiveBack) }]).await.unwrap();
        let fresh = tasks.claim_due(&me, Play::QUEUE, 1).await.unwrap().remove(0);
        let finished = tasks.finish(&[done(&stale, Verdict::Done), done(&fresh, Verdict::Done)]).await.unwrap();
        assert_eq!(finished.lost, [id]);
        assert_eq!(tasks.unfinished_due().await.unwrap(), 1, "one follow-up, not two");
    }

    async fn a_verdict_written_twice_counts_once(env: Env) {
        let tasks = env.tasks();
        let me = worker(&tasks, "wk_1").await;
        tasks.enqueue(&tasks_of(1)).await.unwrap();
        let row = tasks.claim_due(&me, Play::QUEUE, 1).await.unwrap().remove(0);
        assert_eq!(tasks.finish(&[done(&row, Verdict::Done)]).await.unwrap().written.len(), 1);
        assert_eq!(tasks.finish(&[done(&row, Verdict::Done)]).await.unwrap().lost, [row.id]);
        assert_eq!(env.kit(&Acts::new()).drain().await.unwrap(), 1, "one follow-up");
    }
}
