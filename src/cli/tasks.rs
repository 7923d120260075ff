//! `trunkline tasks`: which tasks there are, how one went, and where it came from.

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use trunkline_platform::job::Priority;
use trunkline_platform::task::{AttemptRow, ProgressRow, TaskFilter, TaskId, TaskRow, TaskState, Tasks};

use super::control::{Cancel, ChangeTasks};
use super::{database, output, payload, timeline};
use crate::config::Config;
use crate::mask;
use crate::timeline as life;

#[derive(Args, Debug)]
pub(super) struct TasksCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List tasks, the newest first
    List(List),
    /// Show one task: its life in order, its attempts, and what followed
    Show(Show),
    /// Cancel tasks: those that wait end at once, those that run are told to stop
    Cancel(Cancel),
    /// Change priority, time or queue of tasks that wait
    Change(ChangeTasks),
}

#[derive(Args, Debug)]
struct List {
    /// pending, running, done, dead, cancelled or discarded
    #[arg(long)]
    state: Option<TaskState>,
    /// The name of the job
    #[arg(long)]
    kind: Option<String>,
    #[arg(long)]
    queue: Option<String>,
    /// Everything that followed from one webhook
    #[arg(long, value_name = "ID")]
    correlation: Option<String>,
    /// Only tasks older than this one: the last of the page before
    #[arg(long, value_name = "ID")]
    before: Option<TaskId>,
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Show {
    id: TaskId,
    /// Show phone numbers, names and texts
    #[arg(long)]
    unmask: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

impl TasksCommand {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let text = match self.action {
            Action::List(list) => list.text(&database::open_tasks(config).await?).await?,
            Action::Show(show) => show.text(&database::open_tasks(config).await?).await?,
            Action::Cancel(cancel) => {
                return database::act(config, async |tasks| cancel.run(tasks).await).await;
            }
            Action::Change(change) => {
                return database::act(config, async |tasks| change.run(tasks).await).await;
            }
        };
        output::print(&text)
    }
}

impl List {
    async fn text(self, tasks: &Tasks) -> Result<String> {
        let filter = TaskFilter {
            state: self.state,
            kind: self.kind,
            queue: self.queue,
            correlation_id: self.correlation,
            before: self.before,
            limit: self.limit,
        };
        let rows = tasks.list(&filter).await?;
        if self.json {
            let rows = rows.into_iter().map(|row| as_json(row, false));
            return output::json(&rows.collect::<Result<Vec<_>>>()?);
        }
        let now = tasks.clock().now();
        let mut table =
            output::Table::new(&[">ID", "KIND", "STATE", "QUEUE", ">TRIES", "CREATED", "WHEN", "ERROR"]);
        for row in rows {
            let error = row.last_error.as_deref().map(mask::phones_in).unwrap_or_default();
            table.row([
                row.id.to_string(),
                row.kind.clone(),
                row.state.to_string(),
                row.queue.clone(),
                tries(&row),
                output::relative(row.created_at, now),
                when(&row, now),
                output::shortened(&error, 60),
            ]);
        }
        Ok(table.text("no tasks"))
    }
}

impl Show {
    async fn text(self, tasks: &Tasks) -> Result<String> {
        let row = tasks.show(self.id).await?.with_context(|| format!("there is no task {}", self.id))?;
        let attempts = tasks.attempts(self.id).await?;
        let acts = life::acts(tasks, self.id).await?;
        let follow_ups = life::follow_ups(tasks, &row).await?;
        let moments = life::of(&row, &attempts, &acts);
        let view = |text: &str| if self.unmask { text.to_owned() } else { mask::phones_in(text) };
        let progress = tasks.progress(self.id).await?;
        let progress = progress.map(|said| ProgressRow { note: said.note.as_deref().map(view), ..said });
        let attempts: Vec<AttemptRow> = attempts
            .into_iter()
            .map(|attempt| AttemptRow { error: attempt.error.as_deref().map(view), ..attempt })
            .collect();
        if self.json {
            let mut document = as_json(row, self.unmask)?;
            document["attempts"] = json!(attempts);
            document["progress"] = json!(progress);
            document["timeline"] = json!(life::viewed(moments, view));
            document["follow_ups"] = json!(timeline::follow_ups_json(&follow_ups));
            return output::json(&document);
        }
        let now = tasks.clock().now();
        let payload = output::json(&payload::shown(&row.payload, self.unmask))?;
        let mut text = format!("task {}  {}  {}\n", row.id, row.kind, row.state);
        text += &about(&row, now, view);
        text += &output::fields(&[("progress", progress.map(|progress| said(&progress, now)))]);
        text += &format!("\ntimeline\n{}", timeline::told(&life::viewed(moments, view), now));
        if !follow_ups.is_empty() {
            text += &format!("\nfollowed by\n{}", timeline::told_follow_ups(&follow_ups));
        }
        text += &format!("\npayload, version {}\n{}", row.version, output::indented(&payload));
        if !attempts.is_empty() {
            text += "\nattempts that did not succeed\n";
            text.extend(attempts.iter().map(|attempt| told(attempt, now)));
        }
        Ok(text)
    }
}

fn about(row: &TaskRow, now: DateTime<Utc>, view: impl Fn(&str) -> String) -> String {
    let time = |time: Option<DateTime<Utc>>| time.map(|time| output::time(time, now));
    let line = match (row.state, row.blocked) {
        (TaskState::Dead, _) => " (holds up its line: retry, discard or skip it)",
        (_, true) => " (waits behind another)",
        _ => "",
    };
    let event = ["webhook:", "reconcile:", "replay:"].iter().find_map(|door| row.cause.strip_prefix(door));
    let source = event.map(|event| format!("trunkline events show {event}"));
    output::fields(&[
        ("cause", Some(row.cause.clone())),
        ("see", source),
        ("correlation", row.correlation_id.clone()),
        ("queue", Some(format!("{}, {} priority", row.queue, Priority::from_level(row.priority).name()))),
        ("tries", Some(format!("{} (refunds {}, crashes {})", tries(row), row.refunds, row.crashes))),
        ("unique key", row.unique_key.as_deref().map(&view)),
        ("ordering key", row.ordering_key.as_deref().map(|key| view(key) + line)),
        ("rate key", row.rate_key.as_deref().map(&view)),
        ("cancelled", row.cancel_requested_at.map(|time| format!("asked for {}", output::time(time, now)))),
        ("created", time(Some(row.created_at))),
        ("run at", time(Some(row.run_at))),
        ("started", time(row.started_at)),
        ("finished", time(row.finished_at)),
        ("worker", row.worker.clone()),
        ("last error", row.last_error.as_deref().map(view)),
    ])
}

fn said(progress: &ProgressRow, now: DateTime<Utc>) -> String {
    let total = progress.total.map(|total| format!(" of {total}")).unwrap_or_default();
    let note = progress.note.as_deref().map(|note| format!(", {note}")).unwrap_or_default();
    let (done, attempt) = (progress.done, progress.attempt);
    format!("{done}{total}{note} (attempt {attempt}, {})", output::relative(progress.at, now))
}

fn told(attempt: &AttemptRow, now: DateTime<Utc>) -> String {
    let ran = TimeDelta::milliseconds(attempt.duration_ms);
    let started = attempt.started_at.map(|time| output::time(time, now)).unwrap_or_default();
    let AttemptRow { attempt: number, verdict, worker, error, .. } = attempt;
    let seconds = ran.as_seconds_f64();
    format!("  {number}  {verdict} after {seconds:.3}s by {worker}, started {started}\n")
        + &error.as_deref().map(output::indented).unwrap_or_default()
}

/// A row whose payload is JSON and not text with JSON in it.
fn as_json(row: TaskRow, unmask: bool) -> Result<Value> {
    let view = |text: &str| if unmask { text.to_owned() } else { mask::phones_in(text) };
    let (unique_key, last_error) = (row.unique_key.as_deref().map(view), row.last_error.as_deref().map(view));
    let (ordering_key, rate_key) = (row.ordering_key.as_deref().map(view), row.rate_key.as_deref().map(view));
    let payload = payload::shown(&row.payload, unmask);
    let mut document =
        serde_json::to_value(TaskRow { unique_key, last_error, ordering_key, rate_key, ..row })?;
    document["payload"] = payload;
    Ok(document)
}

fn tries(row: &TaskRow) -> String {
    format!("{}/{}", row.attempt - row.refunds, row.max_attempts)
}

/// When it is due, since when it runs, or when it ended.
fn when(row: &TaskRow, now: DateTime<Utc>) -> String {
    let (word, time) = match row.state {
        TaskState::Pending => ("due", Some(row.run_at)),
        TaskState::Running => ("started", row.started_at),
        _ => ("ended", row.finished_at),
    };
    time.map(|time| format!("{word} {}", output::relative(time, now))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use trunkline_platform::audit::{self, Act, Actor};
    use trunkline_platform::db::{Stmt, Text};
    use trunkline_platform::job::Queue;
    use trunkline_platform::task::{Finish, NewTask, OnConflict, Verdict, WorkerId};

    use super::*;
    use crate::cli::database::testing::{Place, place};

    const QUEUE: Queue = Queue::new("messages");

    fn task(kind: &'static str) -> NewTask {
        NewTask {
            kind,
            version: 1,
            queue: QUEUE,
            priority: Priority::NORMAL,
            payload: json!({"to": "+12125550101", "event": 12}).to_string(),
            max_attempts: 3,
            run_at: None,
            unique_key: Some(format!("{kind}:+12125550101")),
            unique_for: None,
            on_conflict: OnConflict::Keep,
            ordering_key: None,
            rate_key: None,
            correlation_id: Some("c-1".to_owned()),
            trace_context: None,
            cause: "webhook:12".to_owned(),
        }
    }

    /// Two tasks, of which the first is a dead letter.
    async fn two_tasks(place: &Place) -> Tasks {
        let tasks = place.migrated().await;
        tasks.enqueue(&[task("text.send")]).await.unwrap();
        let worker = WorkerId::new("wk_1");
        tasks.register_worker(&worker, QUEUE.name(), TimeDelta::days(1)).await.unwrap();
        let claimed = tasks.claim_due(&worker, QUEUE, 1).await.unwrap();
        let finish = Finish {
            id: claimed[0].id,
            attempt: claimed[0].attempt,
            verdict: Verdict::Dead,
            error: Some("cannot text +12125550101: refused".to_owned()),
            label: "permanent",
            worker: worker.as_str().to_owned(),
            started_at: tasks.clock().now(),
            duration_ms: 1_250,
            follow_ups: Vec::new(),
        };
        tasks.finish(&[finish]).await.unwrap();
        tasks.enqueue(&[task("text.look")]).await.unwrap();
        tasks
    }

    fn list() -> List {
        List { state: None, kind: None, queue: None, correlation: None, before: None, limit: 50, json: false }
    }

    fn show(id: i64) -> Show {
        Show { id: TaskId(id), unmask: false, json: false }
    }

    #[tokio::test]
    async fn tasks_are_listed_the_newest_first_without_anybodys_number() {
        let place = place();
        let tasks = two_tasks(&place).await;
        let text = list().text(&tasks).await.unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with(" 2  text.look  pending  messages    0/3"), "{text}");
        assert!(lines[2].starts_with(" 1  text.send  dead     messages    1/3"), "{text}");
        assert!(lines[2].ends_with("cannot text +*******0101: refused"), "{text}");
        let text = List { json: true, ..list() }.text(&tasks).await.unwrap();
        let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
        assert_eq!(rows[1]["payload"], json!({"to": "+*******0101", "event": 12}));
        assert!(!text.contains("1212555"), "{text}");
    }

    #[tokio::test]
    async fn a_list_can_be_narrowed() {
        let place = place();
        let tasks = two_tasks(&place).await;
        for (narrowed, kinds) in [
            (List { state: Some(TaskState::Dead), ..list() }, vec!["text.send"]),
            (List { kind: Some("text.look".to_owned()), ..list() }, vec!["text.look"]),
            (List { queue: Some("media".to_owned()), ..list() }, vec![]),
            (List { correlation: Some("c-1".to_owned()), limit: 1, ..list() }, vec!["text.look"]),
            (List { before: Some(TaskId(2)), ..list() }, vec!["text.send"]),
        ] {
            let text = List { json: true, ..narrowed }.text(&tasks).await.unwrap();
            let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
            let found: Vec<&str> = rows.iter().map(|row| row["kind"].as_str().unwrap()).collect();
            assert_eq!(found, kinds);
        }
    }

    #[tokio::test]
    async fn a_task_is_shown_with_its_source_its_payload_and_its_attempts() {
        let place = place();
        let tasks = two_tasks(&place).await;
        let text = show(1).text(&tasks).await.unwrap();
        for part in [
            "task 1  text.send  dead",
            "trunkline events show 12",
            "\"to\": \"+*******0101\"",
            "1  permanent after 1.250s by wk_1",
            "    cannot text +*******0101: refused",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(!text.contains("1212555"), "{text}");
    }

    #[tokio::test]
    async fn the_life_of_a_task_is_told_in_order_with_what_followed_from_it() {
        let place = place();
        let tasks = two_tasks(&place).await;
        let follow_up = NewTask { cause: "task:1".to_owned(), unique_key: None, ..task("text.check") };
        tasks.enqueue(&[follow_up]).await.unwrap();
        let actor =
            Actor { name: "operator:ana".to_owned(), reason: Some("asked by +12125550101".to_owned()) };
        let act = Act { action: "task.look", subject: "task:1".to_owned(), before: None, after: None };
        let mut tx = tasks.begin().await.unwrap();
        audit::record(tx.session(), tasks.clock().now(), &actor, &[act]).await.unwrap();
        tx.commit().await.unwrap();

        let text = Show { json: true, ..show(1) }.text(&tasks).await.unwrap();
        let document: Value = serde_json::from_str(&text).unwrap();
        let mut told: Vec<&str> =
            document["timeline"].as_array().unwrap().iter().map(|m| m["what"].as_str().unwrap()).collect();
        assert_eq!(told.remove(0), "enqueued by webhook:12");
        told.sort_unstable();
        let expected = [
            "attempt 1 by wk_1: permanent after 1.250s",
            "dead",
            "task.look by operator:ana (asked by +*******0101)",
        ];
        assert_eq!(told, expected);
        assert_eq!(document["follow_ups"], json!([{"id": 3, "kind": "text.check", "state": "pending"}]));
        let text = show(1).text(&tasks).await.unwrap();
        assert!(text.contains("followed by\n  task 3  text.check  pending"), "{text}");
    }

    #[tokio::test]
    async fn what_a_job_says_of_its_progress_is_masked_in_text_and_in_json() {
        let place = place();
        let tasks = two_tasks(&place).await;
        static SAY: Stmt = Stmt {
            name: "SAY",
            text: Text::Same(
                "INSERT INTO task_progress (task_id, attempt, at, done, note) VALUES (1, 1, $1, 3, $2)",
            ),
        };
        let say = SAY.bind(tasks.clock().now()).bind("texting +12125550101");
        say.execute(&mut tasks.db().write_one().await.unwrap()).await.unwrap();
        let text = show(1).text(&tasks).await.unwrap();
        assert!(text.contains("3, texting +*******0101 (attempt 1, "), "{text}");
        let text = Show { json: true, ..show(1) }.text(&tasks).await.unwrap();
        let task: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(task["progress"]["note"], "texting +*******0101");
        let text = Show { unmask: true, json: true, ..show(1) }.text(&tasks).await.unwrap();
        assert!(text.contains("texting +12125550101"), "{text}");
    }

    #[tokio::test]
    async fn a_task_is_shown_whole_to_who_asks_for_it() {
        let place = place();
        let tasks = two_tasks(&place).await;
        let text = Show { unmask: true, json: true, ..show(1) }.text(&tasks).await.unwrap();
        let task: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(task["payload"]["to"], "+12125550101");
        assert_eq!(task["attempts"][0]["error"], "cannot text +12125550101: refused");
    }

    #[tokio::test]
    async fn a_task_that_is_not_there_is_an_error() {
        let place = place();
        let tasks = place.migrated().await;
        assert_eq!(show(9).text(&tasks).await.unwrap_err().to_string(), "there is no task 9");
    }
}
