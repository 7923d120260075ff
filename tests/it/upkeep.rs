//! Upkeep on filled tables: what is old goes, what is needed stays, and each run says what it freed.

use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::{Value, json};
use sqlx::Connection;
use trunkline_jobs::Services;
use trunkline_jobs::media::DownloadMedia;
use trunkline_jobs::upkeep::{
    self, Chore, CountStored, RemoveAttempts, RemoveAudit, RemoveEvents, RemoveHistory, RemoveKeys,
    RemoveTasks, RequeueMedia, RunRow, TidyDatabase, TrimRing, Upkeep, UpkeepJob,
};
use trunkline_platform::audit::{self, Act, Actor, AuditFilter, AuditRow};
use trunkline_platform::db::Engine;
use trunkline_platform::job::{Priority, Queue};
use trunkline_platform::ring::Bell;
use trunkline_platform::task::dead::{Batch, DeadAct};
use trunkline_platform::task::{NewTask, TaskFilter, TaskId, TaskState, Tasks};
use trunkline_platform::testkit::Kit;

use crate::harness::{Env, Program, both_engines, until};
use crate::kept::Keeper;

trunkline_platform::statements! {
    FILL = split {
        postgres:
        "INSERT INTO tasks (kind, version, queue, priority, payload, state, max_attempts, run_at, cause, created_at,
             started_at, finished_at, died_at, correlation_id)
         SELECT $2, 1, 'events', 2, '{}', $3, 12, $1, 'test', $1, $1, $1, CASE WHEN $3 = 'dead' THEN $1 END, $4
         FROM generate_series(1, $5)",
        sqlite:
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $5)
         INSERT INTO tasks (kind, version, queue, priority, payload, state, max_attempts, run_at, cause, created_at,
             started_at, finished_at, died_at, correlation_id)
         SELECT $2, 1, 'events', 2, '{}', $3, 12, $1, 'test', $1, $1, $1, CASE WHEN $3 = 'dead' THEN $1 END, $4
         FROM n",
    }
    DIE = same {
        "UPDATE tasks SET state = 'dead', died_at = created_at, finished_at = created_at
         WHERE kind = 'media.download'"
    }
    FAIL = same {
        "INSERT INTO task_attempts (task_id, attempt, worker, duration_ms, verdict, error)
         SELECT id, 1, 'wk', 1, 'failed', 'no answer' FROM tasks WHERE state = $1"
    }
    COUNT_ATTEMPTS = same { "SELECT COUNT(*) AS count FROM task_attempts" }
    COUNT_EVENTS = same { "SELECT COUNT(*) AS count FROM events" }
    COUNT_KEPT_KEYS = same { "SELECT COUNT(*) AS count FROM unique_periods" }
    COUNT_TASKS = same { "SELECT COUNT(*) AS count FROM tasks" }
    GIVE_KEY = same { "UPDATE tasks SET unique_key = (SELECT CAST(id AS TEXT) FROM media)" }
    FORGET_TASKS = same { "DELETE FROM tasks" }
    COUNT_TICKS = same { "SELECT COUNT(*) AS count FROM schedule_ticks" }
    OLD_TICK = same {
        "INSERT INTO schedule_ticks (schedule, tick_at, source, outcome, ticks, fired_at)
         VALUES ('play', $1, 'cron', 'fired', 1, $1)"
    }
    DROP_RUNS = same { "DROP TABLE upkeep_runs" }
    /// Of the tables named, those PostgreSQL has vacuumed.
    COUNT_VACUUMED = split {
        postgres:
        "SELECT COUNT(*) AS count FROM pg_stat_user_tables WHERE last_vacuum IS NOT NULL AND relname IN
             ('tasks', 'task_attempts', 'task_progress', 'task_slots', 'limits', 'rates', 'task_rates',
              'task_totals', 'schedules', 'schedule_ticks', 'workers', 'events', 'media', 'unique_periods')",
        sqlite: "SELECT 14 AS count",
    }
    FAR_APART = same { "UPDATE events SET id = id + 1000000 WHERE id = (SELECT MAX(id) FROM events)" }
    IN_LINE = same { "UPDATE tasks SET ordering_key = 'a' WHERE died_at IS NOT NULL" }
}

#[derive(sqlx::FromRow)]
struct Count {
    count: i64,
}

/// Ended tasks of an age in days.
async fn fill(env: &Env, kind: &str, state: &str, days: i64, count: i64) {
    let at = env.tasks().clock().now() - TimeDelta::days(days);
    let correlation = format!("co_{kind}");
    let query = FILL.bind(at).bind(kind).bind(state).bind(correlation).bind(count);
    query.execute(&mut env.db.write_one().await.unwrap()).await.unwrap();
}

async fn execute(env: &Env, stmt: &'static trunkline_platform::db::Stmt) {
    stmt.query().execute(&mut env.db.write_one().await.unwrap()).await.unwrap();
}

async fn count(env: &Env, stmt: &'static trunkline_platform::db::Stmt) -> i64 {
    stmt.query().one::<Count>(&mut env.db.read().await.unwrap()).await.unwrap().count
}

/// How many tasks of a kind are left in a state.
async fn left(tasks: &Tasks, kind: &str, state: TaskState) -> i64 {
    let counts = tasks.count_by_kind().await.unwrap();
    counts.iter().filter(|row| row.kind == kind && row.state == state).map(|row| row.count).sum()
}

/// Runs an upkeep job as a task and answers what it said of its runs, in order.
async fn run<C: Chore>(kit: &Kit<Services>, tasks: &Tasks) -> Vec<RunRow> {
    tasks.enqueue(&[NewTask::of(&UpkeepJob::<C>::after(0)).unwrap()]).await.unwrap();
    kit.drain().await.unwrap();
    let mut runs = upkeep::history(tasks.db(), Some(C::NAME), None, 1_000).await.unwrap();
    runs.reverse();
    runs
}

/// The jobs with other retention times.
fn kit_with(env: &Env, keeper: &Keeper<'_>, change: impl FnOnce(&mut Upkeep)) -> Kit<Services> {
    let mut upkeep = keeper.services.upkeep.clone();
    change(&mut upkeep);
    let services = Services { upkeep, ..keeper.services_anew() };
    let registry = Arc::new(trunkline_jobs::registry().unwrap());
    Kit::new(env.tasks(), registry, Arc::new(services), env.metrics.clone())
}

/// Notes ticks of long ago.
async fn fill_ticks(env: &Env, count: i64) {
    for number in 0..count {
        let at = env.clock.now() - TimeDelta::days(400) + TimeDelta::seconds(number);
        OLD_TICK.bind(at).execute(&mut env.db.write_one().await.unwrap()).await.unwrap();
    }
}

async fn book(env: &Env) -> Vec<AuditRow> {
    audit::list(&env.db, &AuditFilter { limit: 100, ..AuditFilter::default() }).await.unwrap()
}

fn ana() -> Actor {
    Actor { name: "operator:ana".to_owned(), reason: None }
}

fn received(id: &str) -> String {
    json!({"id": id, "apiVersion": "2026-03-30", "type": "message.received", "createdAt": "2026-03-02T09:00:00Z",
        "data": {"resource": {"id": format!("AC{id}"), "direction": "incoming", "text": "hello"}}})
    .to_string()
}

both_engines! {
    async fn ended_tasks_go_when_their_state_and_kind_say_so(env: Env) {
        let keeper = Keeper::new(&env).await;
        let kit = kit_with(&env, &keeper, |upkeep| {
            upkeep.retention.kinds.insert("call.ringing".to_owned(), std::time::Duration::from_secs(86_400));
            upkeep.retention.batch = 100;
        });
        fill(&env, "call.missed", "dead", 200, 3).await;
        fill(&env, "call.missed", "dead", 100, 5).await;
        fill(&env, "call.missed", "cancelled", 20, 7).await;
        fill(&env, "call.missed", "done", 8, 250).await;
        fill(&env, "call.missed", "done", 6, 11).await;
        fill(&env, "call.ringing", "done", 2, 13).await;
        let tasks = env.tasks();
        let waiting = NewTask::of(&DownloadMedia { media: trunkline_jobs::media::MediaId(1) }).unwrap();
        tasks.enqueue(&[waiting.at(env.clock.now() + TimeDelta::days(1))]).await.unwrap();

        let counted = upkeep::run_now(&keeper.services.upkeep, "upkeep.tasks", true, &ana()).await.unwrap().unwrap();
        assert_eq!(counted.rows, 253, "a dry run counts, by the times it is given");
        let runs = run::<RemoveTasks>(&kit, &tasks).await;
        assert_eq!((runs.len(), runs[0].rows, runs[0].more), (1, 266, false));
        assert!(runs[0].bytes >= 266 * 2, "{runs:?}");
        assert_eq!(left(&tasks, "call.missed", TaskState::Dead).await, 5);
        assert_eq!(left(&tasks, "call.missed", TaskState::Cancelled).await, 7);
        assert_eq!(left(&tasks, "call.missed", TaskState::Done).await, 11);
        assert_eq!(left(&tasks, "call.ringing", TaskState::Done).await, 0);
        assert_eq!(left(&tasks, "media.download", TaskState::Pending).await, 1);
    }

    async fn a_run_has_its_bound_and_the_rest_follows(env: Env) {
        let keeper = Keeper::new(&env).await;
        let kit = kit_with(&env, &keeper, |upkeep| {
            (upkeep.retention.batch, upkeep.retention.rows_per_run) = (50, 100);
        });
        fill(&env, "call.missed", "done", 8, 330).await;
        let runs = run::<RemoveTasks>(&kit, &env.tasks()).await;
        let rows: Vec<i64> = runs.iter().map(|run| run.rows).collect();
        assert_eq!(rows, [100, 100, 100, 30]);
        assert_eq!(left(&env.tasks(), "call.missed", TaskState::Done).await, 0);
    }

    async fn a_dead_letter_that_holds_up_a_line_stays(env: Env) {
        let keeper = Keeper::new(&env).await;
        fill(&env, "call.missed", "dead", 400, 2).await;
        execute(&env, &IN_LINE).await;
        run::<RemoveTasks>(&keeper.kit(), &env.tasks()).await;
        assert_eq!(left(&env.tasks(), "call.missed", TaskState::Dead).await, 2);
    }

    async fn attempts_go_before_their_tasks_but_not_those_of_dead_letters(env: Env) {
        let keeper = Keeper::new(&env).await;
        let kit = kit_with(&env, &keeper, |upkeep| upkeep.retention.done = None);
        fill(&env, "call.missed", "done", 100, 4).await;
        fill(&env, "call.missed", "dead", 100, 3).await;
        fill(&env, "call.missed", "discarded", 10, 2).await;
        for state in ["done", "dead", "discarded"] {
            FAIL.bind(state).execute(&mut env.db.write_one().await.unwrap()).await.unwrap();
        }
        let runs = run::<RemoveAttempts>(&kit, &env.tasks()).await;
        assert_eq!((runs[0].rows, runs[0].bytes), (4, 4 * 9));
        assert_eq!(count(&env, &COUNT_ATTEMPTS).await, 5);
    }

    async fn webhooks_go_unless_a_task_still_needs_them(env: Env) {
        let keeper = Keeper::new(&env).await;
        let told: Vec<String> = (0..5).map(|number| received(&format!("EV{number}"))).collect();
        keeper.tell_and_work(&told[..3]).await;
        // Two whose work has not ended.
        keeper.tell(&told[3..]).await;
        let (kit, tasks) = (keeper.kit(), env.tasks());
        env.clock.advance(TimeDelta::days(91));
        tasks.enqueue(&[NewTask::of(&UpkeepJob::<RemoveEvents>::after(0)).unwrap().priority(Priority::URGENT)]).await.unwrap();
        let counted = upkeep::run_now(&keeper.services.upkeep, "upkeep.events", true, &ana()).await.unwrap().unwrap();
        assert_eq!(counted.rows, 3);
        let freed = upkeep::run_now(&keeper.services.upkeep, "upkeep.events", false, &ana()).await.unwrap().unwrap();
        assert_eq!((freed.rows, freed.bytes), (3, counted.bytes));
        assert_eq!(count(&env, &COUNT_EVENTS).await, 2);
        kit.drain().await.unwrap();
        run::<RemoveEvents>(&kit, &tasks).await;
        assert_eq!(count(&env, &COUNT_EVENTS).await, 0);
        let book = book(&env).await;
        assert_eq!((book[0].action.as_str(), book[0].subject.as_str()), ("upkeep.run", "upkeep:upkeep.events"));
    }

    async fn keys_histories_and_the_book_go_by_their_own_times(env: Env) {
        let keeper = Keeper::new(&env).await;
        let tasks = env.tasks();
        let kit = kit_with(&env, &keeper, |upkeep| {
            upkeep.retention.audit = Some(std::time::Duration::from_secs(86_400));
        });
        let media = |number| DownloadMedia { media: trunkline_jobs::media::MediaId(number) };
        let day = std::time::Duration::from_secs(86_400);
        for (number, days) in [(1, 1), (2, 30)] {
            let task = NewTask::of(&media(number)).unwrap().unique_for(format!("k{number}"), day * days);
            tasks.enqueue(&[task.at(env.clock.now() + TimeDelta::days(300))]).await.unwrap();
        }
        let mut session = env.db.write().await.unwrap();
        let act = Act { action: "note", subject: "x".to_owned(), before: None, after: None };
        audit::record(&mut session, env.clock.now(), &ana(), &[act]).await.unwrap();
        session.commit().await.unwrap();
        run::<RemoveKeys>(&kit, &tasks).await;
        assert_eq!(count(&env, &COUNT_KEPT_KEYS).await, 2);

        env.clock.advance(TimeDelta::days(2));
        assert_eq!(run::<RemoveKeys>(&kit, &tasks).await.last().unwrap().rows, 1);
        assert_eq!(run::<RemoveAudit>(&kit, &tasks).await.last().unwrap().rows, 1);
        env.clock.advance(TimeDelta::days(100));
        let runs = run::<RemoveHistory>(&kit, &tasks).await;
        assert_eq!(runs.last().unwrap().rows, 3, "the runs of upkeep before: {runs:?}");
    }

    async fn a_file_that_nobody_fetches_is_fetched(env: Env) {
        let keeper = Keeper::new(&env).await;
        let event = json!({"id": "EV1", "apiVersion": "2026-03-30", "type": "message.received",
            "createdAt": "2026-03-02T09:00:00Z", "data": {"resource": {"id": "AC1", "direction": "incoming",
            "media": [{"url": "http://127.0.0.1:1/a.png"}]}}}).to_string();
        keeper.tell_and_work(&[event]).await;
        let (kit, tasks) = (keeper.kit(), env.tasks());
        env.clock.advance(TimeDelta::hours(1));
        assert_eq!(run::<RequeueMedia>(&kit, &tasks).await.last().unwrap().rows, 0, "its task is there");
        execute(&env, &FORGET_TASKS).await;
        assert_eq!(run::<RequeueMedia>(&kit, &tasks).await.last().unwrap().rows, 1);
        kit.assert_enqueued(|_: &DownloadMedia| true).await;
        // Its tries used up by deaths of workers, it waits for a person, and its row says so.
        execute(&env, &FORGET_TASKS).await;
        fill(&env, "media.download", "dead", 1, 1).await;
        execute(&env, &GIVE_KEY).await;
        assert_eq!(run::<RequeueMedia>(&kit, &tasks).await.last().unwrap().rows, 1);
        kit.assert_not_enqueued(|_: &DownloadMedia| false).await;
        let ended = keeper.rows("media", "state error").await;
        assert!(ended[0].starts_with("media failed the download is a dead letter: "), "{ended:?}");
        assert_eq!(run::<RequeueMedia>(&kit, &tasks).await.last().unwrap().rows, 0);
    }

    async fn a_file_whose_dead_letter_a_person_discarded_is_not_fetched_again_until_it_is_told_anew(env: Env) {
        let keeper = Keeper::new(&env).await;
        let told = |at: &str, url: &str| json!({"id": format!("EV{at}"), "apiVersion": "2026-03-30",
            "type": "message.received", "createdAt": format!("2026-03-02T{at}:00Z"), "data": {"resource": {"id": "AC1",
            "direction": "incoming", "media": [{"url": url}]}}}).to_string();
        keeper.tell_and_work(&[told("09:00", "http://127.0.0.1:1/a.png")]).await;
        let (kit, tasks) = (keeper.kit(), env.tasks());
        kit.advance(TimeDelta::minutes(2)).await.unwrap();
        assert_eq!(keeper.rows("media", "state error").await, ["media pending -"], "it was tried twice, and will be again");
        // Its workers died, so that the job could not note it.
        execute(&env, &DIE).await;
        let ids: Vec<TaskId> = kit.enqueued::<DownloadMedia>().await.unwrap().iter().map(|task| task.id).collect();
        let outcome = Batch::new(&tasks, DeadAct::Discard, ana(), false).act_on(&ids).await.unwrap();
        assert_eq!(outcome.done, ids);

        env.clock.advance(TimeDelta::hours(1));
        assert_eq!(run::<RequeueMedia>(&kit, &tasks).await.last().unwrap().rows, 1);
        assert_eq!(kit.enqueued::<DownloadMedia>().await.unwrap().len(), 1, "nothing was enqueued");
        assert_eq!(keeper.rows("media", "state error").await,
            ["media failed the download was discarded by a person; trunkline media fetch takes it up again"]);
        assert_eq!(run::<RequeueMedia>(&kit, &tasks).await.last().unwrap().rows, 0);

        keeper.tell_and_work(&[told("09:01", "http://127.0.0.1:1/b.png")]).await;
        assert_eq!(keeper.rows("media", "state error").await, ["media pending -"]);
        assert_eq!(kit.enqueued::<DownloadMedia>().await.unwrap().len(), 2, "a newer link is followed");
    }

    async fn by_hand_every_job_goes_on_to_its_end_in_runs_that_keep_to_their_bound(env: Env) {
        let keeper = Keeper::new(&env).await;
        let day = std::time::Duration::from_secs(86_400);
        let mut small = keeper.services.upkeep.clone();
        (small.retention.batch, small.retention.rows_per_run, small.retention.audit) = (2, 2, Some(day));
        let rows = async |job: &str| -> Vec<i64> {
            let runs = upkeep::history(&env.db, Some(job), None, 100).await.unwrap();
            runs.iter().rev().map(|run| run.rows).collect()
        };

        fill_ticks(&env, 5).await;
        let freed = upkeep::run_now(&small, "upkeep.history", false, &ana()).await.unwrap().unwrap();
        assert_eq!((freed.rows, rows("upkeep.history").await), (5, vec![2, 2, 1]));

        let mut session = env.db.write().await.unwrap();
        let act = |_| Act { action: "note", subject: "x".to_owned(), before: None, after: Some(json!("ten bytes")) };
        let acts: Vec<Act> = (0..5).map(act).collect();
        audit::record(&mut session, env.clock.now() - TimeDelta::days(2), &ana(), &acts).await.unwrap();
        session.commit().await.unwrap();
        let counted = upkeep::run_now(&small, "upkeep.audit", true, &ana()).await.unwrap().unwrap();
        let freed = upkeep::run_now(&small, "upkeep.audit", false, &ana()).await.unwrap().unwrap();
        assert_eq!((freed.rows, freed.bytes), (5, 5 * 11));
        assert_eq!((counted.rows, counted.bytes), (freed.rows, freed.bytes));
        assert_eq!(rows("upkeep.audit").await, [2, 2, 1]);

        let urls: Vec<Value> = (0..5).map(|number| json!({"url": format!("http://127.0.0.1:1/{number}.png")})).collect();
        let event = json!({"id": "EV1", "apiVersion": "2026-03-30", "type": "message.received",
            "createdAt": "2026-03-02T09:00:00Z", "data": {"resource": {"id": "AC1", "direction": "incoming",
            "media": urls}}}).to_string();
        keeper.tell_and_work(&[event]).await;
        execute(&env, &FORGET_TASKS).await;
        env.clock.advance(TimeDelta::hours(1));
        let freed = upkeep::run_now(&small, "upkeep.media", false, &ana()).await.unwrap().unwrap();
        assert_eq!((freed.rows, count(&env, &COUNT_TASKS).await), (5, 5));
    }

    async fn a_run_by_hand_is_in_the_book_from_its_beginning_to_its_end_also_a_failed_one(env: Env) {
        let keeper = Keeper::new(&env).await;
        fill_ticks(&env, 3).await;
        execute(&env, &DROP_RUNS).await;
        upkeep::run_now(&keeper.services.upkeep, "upkeep.history", false, &ana()).await.unwrap_err();
        assert_eq!(count(&env, &COUNT_TICKS).await, 0, "it did something before it failed");
        let book = book(&env).await;
        assert_eq!(book.len(), 2);
        assert!(book.iter().all(|act| act.action == "upkeep.run" && act.subject == "upkeep:upkeep.history"));
        let after = |at: usize| -> Value { serde_json::from_str(book[at].after.as_deref().unwrap()).unwrap() };
        assert_eq!(after(1), json!({"begun": true}));
        assert_eq!((&after(0)["rows"], &after(0)["bytes"]), (&json!(3), &json!(0)));
        assert!(after(0)["error"].as_str().unwrap().contains("the database could not run"), "{}", after(0));
    }

    async fn the_database_is_tidied_and_gives_room_back(env: Env) {
        let keeper = Keeper::new(&env).await;
        fill(&env, "call.missed", "done", 8, 20_000).await;
        let (kit, tasks) = (keeper.kit(), env.tasks());
        run::<RemoveTasks>(&kit, &tasks).await;
        let runs = run::<TidyDatabase>(&kit, &tasks).await;
        let detail: Value = serde_json::from_str(&runs[0].detail).unwrap();
        let (before, after) = (detail["bytes_before"].as_i64().unwrap(), detail["bytes_after"].as_i64().unwrap());
        assert_eq!((before - after).max(0), runs[0].bytes);
        // PostgreSQL keeps the room for new rows, unless it lies at the end of the table.
        assert!(env.db.engine() == Engine::Postgres || runs[0].bytes > 1 << 20, "{detail}");
        until("all that churns is vacuumed", async || count(&env, &COUNT_VACUUMED).await == 14).await;
    }

    async fn much_that_is_stored_is_told_as_the_last_count_said(env: Env) {
        let keeper = Keeper::new(&env).await;
        keeper.tell(&[received("1"), received("2")]).await;
        let live = upkeep::stored(&env.db).await.unwrap().unwrap();
        assert_eq!((live.counted_at, live.events[0].count), (None, 2));

        // As after many events of which most are gone: the ends of the keys are far apart.
        execute(&env, &FAR_APART).await;
        assert!(upkeep::stored(&env.db).await.unwrap().is_none(), "nothing is made up");
        run::<CountStored>(&keeper.kit(), &keeper.services.upkeep.tasks).await;
        keeper.tell(&[received("3")]).await;
        let counted = upkeep::stored(&env.db).await.unwrap().unwrap();
        assert_eq!((counted.counted_at, counted.events[0].count), (Some(env.clock.now()), 2));
        assert_eq!(counted.media.pending, 0);
    }

    async fn what_is_left_in_the_ring_when_a_run_is_over_is_done_by_the_next(env: Env) {
        let keeper = Keeper::new(&env).await;
        let kit = kit_with(&env, &keeper, |upkeep| upkeep.retention.rows_per_run = 1_000);
        let queue = Queue::new("media");
        let ring = keeper.services.upkeep.tasks.ring().clone();
        let _listener = ring.listen(queue);
        let stale = (1_000..3_500).map(|id| Bell { queue: "media".to_owned(), priority: Priority::NORMAL, id: TaskId(id) });
        ring.push(stale.collect());
        until("the ring has them", async || ring.len(queue, Priority::NORMAL).await == 2_500).await;
        let runs = run::<TrimRing>(&kit, &keeper.services.upkeep.tasks).await;
        assert!(runs[0].more && runs[0].rows >= 1_000, "{runs:?}");
        assert!(!runs.last().unwrap().more, "{runs:?}");
        assert_eq!(ring.len(queue, Priority::NORMAL).await, 0);
    }

    async fn the_ring_loses_what_does_not_wait_any_more(env: Env) {
        let keeper = Keeper::new(&env).await;
        let queue = Queue::new("media");
        let services = &keeper.services;
        let ring = services.upkeep.tasks.ring().clone();
        // The ring in process keeps only what somebody listens to.
        let _listener = ring.listen(queue);
        let waiting = NewTask::of(&DownloadMedia { media: trunkline_jobs::media::MediaId(1) }).unwrap();
        services.upkeep.tasks.enqueue(&[waiting]).await.unwrap();
        let stale = (1_000..3_500).map(|id| Bell { queue: "media".to_owned(), priority: Priority::NORMAL, id: TaskId(id) });
        ring.push(stale.collect());
        until("the ring has them", async || ring.len(queue, Priority::NORMAL).await == 2_501).await;

        let dry = upkeep::run_now(&services.upkeep, "upkeep.ring", true, &ana()).await.unwrap().unwrap();
        assert_eq!(dry.rows, 2_500);
        until("they are back", async || ring.len(queue, Priority::NORMAL).await == 2_501).await;
        let runs = run::<TrimRing>(&keeper.kit(), &keeper.services.upkeep.tasks).await;
        // The one that waited was at work by then, and so was the upkeep itself.
        assert!(runs[0].rows >= 2_501, "{runs:?}");
    }

    async fn people_see_and_run_upkeep_from_the_command_line(env: Env) {
        fill(&env, "call.missed", "done", 400, 40).await;
        let program = Program::new(&env, &["serve"]);
        let json = |words: &[&str]| -> Value { serde_json::from_str(&program.run(words).unwrap()).unwrap() };
        let dry = json(&["upkeep", "run", "upkeep.tasks", "--dry-run", "--by", "ana", "--json"]);
        assert_eq!((&dry["rows"], &dry["dry_run"]), (&40.into(), &true.into()));
        assert_eq!(program.run(&["upkeep", "history"]).unwrap(), "no upkeep has run\n");
        let told = program.run(&["upkeep", "run", "upkeep.tasks", "--by", "ana"]).unwrap();
        assert!(told.starts_with("upkeep.tasks: 40 rows, "), "{told}");
        assert_eq!(count(&env, &COUNT_TASKS).await, 0);
        assert_eq!(json(&["upkeep", "history", "upkeep.tasks", "--json"])[0]["rows"], 40);
        assert!(program.run(&["upkeep", "history"]).unwrap().contains("upkeep.tasks"));
        program.run(&["upkeep", "run", "upkeep.database", "--by", "ana"]).unwrap();
        let unknown = program.run(&["upkeep", "run", "upkeep.cellar", "--by", "ana"]).unwrap_err().to_string();
        assert!(unknown.contains("upkeep.tasks"), "{unknown}");
    }
}

/// How long SQLite's log is, in bytes.
fn log_of(env: &Env) -> u64 {
    std::fs::metadata(env.folder().join("trunkline.db-wal")).unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite_the_log_is_cut_short_but_no_reader_is_waited_for() {
    let env = Env::sqlite().await;
    let keeper = Keeper::new(&env).await;
    let (upkeep, ana) = (&keeper.services.upkeep, ana());
    let tidy = async || {
        let tidied = upkeep::run_now(upkeep, "upkeep.database", false, &ana);
        tokio::time::timeout(std::time::Duration::from_secs(5), tidied).await.unwrap().unwrap();
    };
    let mut reader = sqlx::SqliteConnection::connect(&env.database_url).await.unwrap();
    let mut look =
        async |text: &'static str| sqlx::raw_sql(text).execute(&mut reader).await.map(drop).unwrap();
    fill(&env, "call.missed", "done", 8, 1_000).await;
    look("BEGIN; SELECT COUNT(*) FROM tasks").await;
    fill(&env, "call.missed", "done", 8, 1_000).await;
    tidy().await;
    assert!(log_of(&env) > 0);
    look("COMMIT").await;
    tidy().await;
    // What was written of the run itself comes after.
    assert!(log_of(&env) < 100_000, "{}", log_of(&env));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_nothing_set_a_bare_program_has_its_upkeep() {
    let env = Env::sqlite().await;
    let mut program = Program::new(&env, &["serve"]).set("TRUNKLINE_SCHEDULES_BUILTIN", "true");
    program.start().await.unwrap();
    program.run(&["schedules", "trigger", "upkeep.database", "--by", "ana"]).unwrap();
    let tasks = env.live_tasks();
    until("upkeep has run", async || !upkeep::history(&env.db, None, None, 1).await.unwrap().is_empty())
        .await;
    until("its task is done", async || {
        let kind = Some(TidyDatabase::NAME.to_owned());
        let all = tasks.list(&TaskFilter { kind, limit: 1, ..TaskFilter::default() }).await.unwrap();
        all[0].state == TaskState::Done
    })
    .await;
    let metrics = program.metrics().await;
    for series in [
        r#"trunkline_schedule_ticks_total{outcome="fired",schedule="upkeep.tasks"}"#,
        r#"trunkline_upkeep_rows_total{job="upkeep.events"} 0"#,
        "trunkline_schedule_late_seconds_count",
    ] {
        assert!(metrics.contains(series), "{series}");
    }
    program.stop().await.unwrap();
}
