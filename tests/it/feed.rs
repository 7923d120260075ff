//! Whoever follows the stored events passes none over, in whatever order they are committed.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::Notify;
use trunkline_jobs::events::feed::{look, reach};
use trunkline_jobs::events::{Accepted, Delivery, EventId, accept};
use trunkline_platform::task::TaskTx;

use crate::harness::{Env, both_engines};
use crate::kept;

fn delivery(env: &Env, id: &str) -> Delivery {
    let body = format!(r#"{{"id":"EV{id}","type":"fax.received","data":{{"resource":{{"id":"FX{id}"}}}}}}"#);
    Delivery {
        delivery_id: Some(format!("msg_{id}")),
        correlation_id: format!("wh_{id}"),
        ..kept::delivery(env, &body)
    }
}

async fn write(tx: &mut TaskTx, env: &Env, id: &str) -> Option<EventId> {
    match accept(tx, &[delivery(env, id)]).await.unwrap()[0] {
        Accepted::New { event, .. } => Some(event),
        Accepted::Seen => None,
    }
}

/// SQLite has one writer, so this cannot happen there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_committed_after_a_later_one_is_not_passed_over() {
    let env = Env::postgres().await;
    let tasks = env.tasks();
    let (mut slow, mut quick) = (tasks.begin().await.unwrap(), tasks.begin().await.unwrap());
    let first = write(&mut slow, &env, "1").await.unwrap();
    let second = write(&mut quick, &env, "2").await.unwrap();
    assert!(first < second);
    quick.commit().await.unwrap();
    assert_eq!(reach(&env.db).await.unwrap(), second, "the later one is there to be seen");

    let early = look(&env.db, EventId(0), 10).await.unwrap();
    assert!(early.heads.is_empty() && early.next == EventId(0), "{early:?}");
    slow.commit().await.unwrap();
    let found = look(&env.db, EventId(0), 10).await.unwrap();
    assert_eq!(found.heads.iter().map(|head| head.id).collect::<Vec<_>>(), [first, second]);
    assert_eq!(found.next, second);
}

/// Whoever took back what it wrote leaves a gap that nobody waits for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_was_never_committed_holds_nobody_up() {
    let env = Env::postgres().await;
    let tasks = env.tasks();
    let mut undone = tasks.begin().await.unwrap();
    write(&mut undone, &env, "1").await.unwrap();
    drop(undone);
    let mut kept = tasks.begin().await.unwrap();
    let second = write(&mut kept, &env, "2").await.unwrap();
    kept.commit().await.unwrap();
    let found = look(&env.db, EventId(0), 10).await.unwrap();
    assert_eq!((found.heads.len(), found.next), (1, second));
}

both_engines! {
    async fn a_follower_sees_every_event_once_while_many_write_and_repeat_themselves(env: Env) {
        const WRITERS: usize = 6;
        const EACH: usize = 60;
        let env = Arc::new(env);
        let done = Arc::new(Notify::new());
        let follower = tokio::spawn({
            let (env, done) = (Arc::clone(&env), Arc::clone(&done));
            async move {
                let (mut seen, mut after, mut ended) = (Vec::new(), EventId(0), false);
                loop {
                    let found = look(&env.db, after, 7).await.unwrap();
                    seen.extend(found.heads.iter().map(|head| head.id));
                    if found.next == after && ended {
                        return seen;
                    }
                    after = found.next;
                    if !ended {
                        tokio::select! {
                            () = done.notified() => ended = true,
                            () = tokio::task::yield_now() => {}
                        }
                    }
                }
            }
        });
        let writers = (0..WRITERS).map(|writer| {
            let env = Arc::clone(&env);
            tokio::spawn(async move {
                let tasks = env.tasks();
                let mut written = Vec::new();
                for at in 0..EACH {
                    let mut tx = tasks.begin().await.unwrap();
                    // Half of them were told by a neighbour, too, whose number is then drawn and not used.
                    let id = if at % 2 == 0 { format!("{writer}-{at}") } else { format!("shared-{at}") };
                    written.extend(write(&mut tx, &env, &id).await);
                    tokio::task::yield_now().await;
                    tx.commit().await.unwrap();
                }
                written
            })
        });
        let written: BTreeSet<EventId> = join_all(writers).await.into_iter().flat_map(Result::unwrap).collect();
        done.notify_one();
        let seen = follower.await.unwrap();
        assert_eq!(seen.len(), written.len(), "none is missing, none came twice");
        assert!(seen.is_sorted());
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), written);
    }
}
