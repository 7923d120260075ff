//! Lines: tasks of one ordering key run in order, one at a time; a dead letter holds up only its own line.

use std::time::Duration;

use chrono::TimeDelta;
use trunkline_platform::audit::Actor;
use trunkline_platform::db::{Stmt, Text};
use trunkline_platform::job::Job;
use trunkline_platform::task::{NewTask, Outcome, TaskId, TaskState, Tasks};
use trunkline_platform::worker::{LeaseWatch, WorkerConfig, Workers};

use crate::harness::{Act, Acts, Env, Play, both_engines, registry, until};

fn in_line(key: &str, act: Act) -> NewTask {
    NewTask { ordering_key: Some(key.to_owned()), ..NewTask::of(&Play { act, key: None }).unwrap() }
}

async fn enqueue(tasks: &Tasks, batch: &[NewTask]) -> Vec<TaskId> {
    tasks.enqueue(batch).await.unwrap().into_iter().map(|enqueued| enqueued.id()).collect()
}

async fn state(tasks: &Tasks, id: TaskId) -> TaskState {
    tasks.show(id).await.unwrap().unwrap().state
}

fn ran(acts: &Acts) -> Vec<TaskId> {
    acts.runs().into_iter().map(|(id, _)| id).collect()
}

fn actor() -> Actor {
    Actor { name: "operator:ana".to_owned(), reason: None }
}

both_engines! {
    async fn tasks_of_one_key_run_in_order_and_those_of_others_do_not_wait(env: Env) {
        let (tasks, acts) = (env.tasks(), Acts::new());
        let kit = env.kit(&acts);
        let batch = [
            in_line("a", Act::FailTimes(1)), in_line("a", Act::Succeed), in_line("b", Act::Succeed), in_line("a", Act::Succeed),
        ];
        let ids = enqueue(&tasks, &batch).await;
        let depths = tasks.queue_depths().await.unwrap();
        assert_eq!((depths[0].due, depths[0].blocked), (2, 2), "one of each line can run");
        kit.drain().await.unwrap();
        let mut first = ran(&acts);
        first.sort_unstable();
        assert_eq!(first, [ids[0], ids[2]], "the failed first holds up its line while it waits for its next try");
        kit.advance(TimeDelta::minutes(1)).await.unwrap();
        assert_eq!(ran(&acts)[2..], [ids[0], ids[1], ids[3]]);
    }

    async fn who_comes_later_stands_behind_and_a_line_that_is_empty_lets_the_next_in_at_once(env: Env) {
        let (tasks, acts) = (env.tasks(), Acts::new());
        let kit = env.kit(&acts);
        let first = enqueue(&tasks, &[in_line("a", Act::Succeed)]).await[0];
        let second = enqueue(&tasks, &[in_line("a", Act::Succeed)]).await[0];
        assert!(tasks.show(second).await.unwrap().unwrap().blocked);
        kit.drain().await.unwrap();
        let third = enqueue(&tasks, &[in_line("a", Act::Succeed)]).await[0];
        assert!(!tasks.show(third).await.unwrap().unwrap().blocked);
        kit.drain().await.unwrap();
        assert_eq!(ran(&acts), [first, second, third]);
    }

    async fn a_dead_letter_holds_up_its_line_until_somebody_skips_it(env: Env) {
        let (tasks, acts) = (env.tasks(), Acts::new());
        let kit = env.kit(&acts);
        let ids = enqueue(&tasks, &[in_line("a", Act::FailForGood), in_line("a", Act::Succeed)]).await;
        let other = enqueue(&tasks, &[in_line("b", Act::Succeed)]).await[0];
        kit.drain().await.unwrap();
        assert_eq!(state(&tasks, ids[0]).await, TaskState::Dead);
        assert_eq!(state(&tasks, ids[1]).await, TaskState::Pending);
        assert_eq!(state(&tasks, other).await, TaskState::Done);

        let refused = tasks.skip(&[other], &actor()).await.unwrap();
        assert!(matches!(&refused[0].outcome, Outcome::Refused { why } if why.contains("only a dead letter")));
        assert_eq!(tasks.skip(&ids[..1], &actor()).await.unwrap()[0].outcome, Outcome::Done);
        kit.drain().await.unwrap();
        assert_eq!(state(&tasks, ids[1]).await, TaskState::Done);
    }

    async fn cancelling_the_first_moves_the_next_up(env: Env) {
        let (tasks, acts) = (env.tasks(), Acts::new());
        let kit = env.kit(&acts);
        let ids = enqueue(&tasks, &[in_line("a", Act::Succeed), in_line("a", Act::Succeed), in_line("a", Act::Succeed)]).await;
        tasks.cancel(&[ids[0], ids[1]], &actor()).await.unwrap();
        kit.drain().await.unwrap();
        assert_eq!(ran(&acts), [ids[2]]);
    }

    async fn a_task_whose_unique_key_is_held_leaves_no_gap_in_the_line(env: Env) {
        let (tasks, acts) = (env.tasks(), Acts::new());
        let kit = env.kit(&acts);
        let keyed = NewTask { unique_key: Some("k".to_owned()), ..NewTask::of(&Play::default()).unwrap() };
        enqueue(&tasks, std::slice::from_ref(&keyed)).await;
        let repeated = NewTask { ordering_key: Some("a".to_owned()), ..keyed };
        enqueue(&tasks, &[repeated, in_line("a", Act::Succeed)]).await;
        assert_eq!(kit.drain().await.unwrap(), 2, "the second of the batch is the first of its line");
    }

    async fn a_line_that_an_older_release_left_standing_is_moved_on(env: Env) {
        let (tasks, acts) = (env.tasks(), Acts::new());
        let ids = enqueue(&tasks, &[in_line("a", Act::Succeed), in_line("a", Act::Succeed)]).await;
        static END_AS_OF_OLD: Stmt = Stmt {
            name: "END_AS_OF_OLD",
            text: Text::Same("UPDATE tasks SET state = 'done', finished_at = $2 WHERE id = $1"),
        };
        let mut session = env.db.write_one().await.unwrap();
        END_AS_OF_OLD.bind(ids[0].0).bind(env.clock.now()).execute(&mut session).await.unwrap();
        drop(session);
        assert_eq!(env.kit(&acts).drain().await.unwrap(), 0);
        LeaseWatch::new(tasks.clone(), env.metrics.clone(), TimeDelta::seconds(30)).look().await.unwrap();
        env.kit(&acts).drain().await.unwrap();
        assert_eq!(ran(&acts), [ids[1]]);
    }

    /// Many workers, many lines, tasks enqueued from several sides while they run.
    async fn lines_keep_their_order_under_load(env: Env) {
        let (tasks, acts) = (env.live_tasks(), Acts::new());
        let config = WorkerConfig { poll_interval: Duration::from_millis(200), ..WorkerConfig::default() };
        let mut pools = Vec::new();
        for _ in 0..2 {
            let start = Workers::start(tasks.clone(), registry(), acts.clone(), &[Play::QUEUE], config.clone(), env.metrics.clone());
            pools.push(start.await.unwrap());
        }
        let mut lines: Vec<(String, Vec<TaskId>)> = (0..8).map(|n| (format!("line {n}"), Vec::new())).collect();
        let enqueuers = lines.drain(..).map(|(key, _)| {
            let tasks = tasks.clone();
            tokio::spawn(async move {
                let mut ids = Vec::new();
                for n in 0..20 {
                    let act = if n % 7 == 3 { Act::Spawn } else { Act::Succeed };
                    ids.extend(enqueue(&tasks, &[in_line(&key, act)]).await);
                }
                ids
            })
        });
        let lines = futures_util::future::join_all(enqueuers).await;
        until("nothing is left", async || tasks.unfinished_due().await.unwrap() == 0
            && tasks.queue_depths().await.unwrap().is_empty()).await;
        for pool in pools {
            pool.stop().await;
        }
        let order = ran(&acts);
        for line in lines {
            let line = line.unwrap();
            let ran: Vec<TaskId> = order.iter().copied().filter(|id| line.contains(id)).collect();
            assert_eq!(ran, line);
        }
        assert!(acts.overlaps.lock().unwrap().is_empty());
    }
}
