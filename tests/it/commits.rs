//! Callers who enqueue one by one share commits, and batches of any size go in.

use std::collections::HashSet;

use trunkline_platform::audit::{self, Act, Actor, AuditFilter};
use trunkline_platform::task::{Enqueued, NewTask, TaskId};

use crate::harness::{Env, Play, both_engines};

fn play() -> NewTask {
    NewTask::of(&Play::default()).unwrap()
}

both_engines! {
    async fn many_callers_share_commits_and_each_is_answered(env: Env) {
        let tasks = env.tasks();
        let calls = (0..200).map(|n| {
            let tasks = tasks.clone();
            let count = 1 + n % 3;
            tokio::spawn(async move {
                let enqueued = tasks.enqueue(&vec![play(); count]).await.unwrap();
                assert_eq!(enqueued.len(), count);
                enqueued.into_iter().map(Enqueued::id).collect::<Vec<_>>()
            })
        });
        let mut ids: HashSet<TaskId> = HashSet::new();
        for call in calls.collect::<Vec<_>>() {
            for id in call.await.unwrap() {
                assert!(ids.insert(id), "{id} was given to two callers");
            }
        }
        for id in ids {
            assert!(tasks.show(id).await.unwrap().is_some(), "{id} was answered and is not there");
        }
    }

    async fn callers_with_one_key_get_one_task(env: Env) {
        let tasks = env.tasks();
        let calls: Vec<_> = (0..40)
            .map(|_| {
                let tasks = tasks.clone();
                let task = NewTask::of(&Play { key: Some("one".to_owned()), ..Play::default() }).unwrap();
                tokio::spawn(async move { tasks.enqueue(&[task]).await.unwrap().remove(0) })
            })
            .collect();
        let mut answers = Vec::new();
        for call in calls {
            answers.push(call.await.unwrap());
        }
        assert_eq!(answers.iter().filter(|answer| answer.is_new()).count(), 1);
        assert_eq!(answers.iter().map(|answer| answer.id()).collect::<HashSet<_>>().len(), 1);
    }

    async fn a_batch_of_an_odd_size_goes_in_as_it_is(env: Env) {
        let actor = Actor { name: "operator:ana".to_owned(), reason: None };
        let mut session = env.db.write().await.unwrap();
        let acts: Vec<Act> = (0..700)
            .map(|n| Act { action: "test.act", subject: format!("task:{n}"), before: None, after: None })
            .collect();
        audit::record(&mut session, env.clock.now(), &actor, &acts).await.unwrap();
        session.commit().await.unwrap();
        let listed = audit::list(&env.db, &AuditFilter { limit: 1_000, ..AuditFilter::default() }).await.unwrap();
        let subjects: Vec<String> = listed.into_iter().rev().map(|row| row.subject).collect();
        assert!(subjects.into_iter().eq((0..700).map(|n| format!("task:{n}"))));
    }

    async fn a_batch_larger_than_a_statement_takes_goes_in_whole_and_in_order(env: Env) {
        let tasks = env.tasks();
        let batch: Vec<_> = (0..2_500).map(|n| play().cause(format!("test:{n}"))).collect();
        let ids: Vec<TaskId> = tasks.enqueue(&batch).await.unwrap().into_iter().map(Enqueued::id).collect();
        assert_eq!(ids.len(), 2_500);
        assert!(ids.is_sorted());
        for n in [0, 1_023, 1_024, 2_499] {
            assert_eq!(tasks.show(ids[n]).await.unwrap().unwrap().cause, format!("test:{n}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_the_database_refuses_takes_no_other_with_it() {
    let env = Env::postgres().await;
    let tasks = env.tasks();
    let calls: Vec<_> = (0..50)
        .map(|n| {
            let tasks = tasks.clone();
            // PostgreSQL holds no NUL.
            let payload = if n == 20 { "\0" } else { "{}" };
            let task = NewTask { payload: payload.to_owned(), ..play() };
            tokio::spawn(async move { tasks.enqueue(&[task]).await })
        })
        .collect();
    let mut refused = Vec::new();
    for (n, call) in calls.into_iter().enumerate() {
        if call.await.unwrap().is_err() {
            refused.push(n);
        }
    }
    assert_eq!(refused, [20]);
}
