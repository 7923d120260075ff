//! People on their way in and out: every bad row is told, a killed import goes on without anybody twice, and segments
//! take whom they say.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use trunkline_jobs::contacts::export::export;
use trunkline_jobs::contacts::import::{self, ImportError, Options, Progress};
use trunkline_jobs::contacts::number::Country;
use trunkline_jobs::contacts::people::{self, Label, Labelling, OnDuplicate, Person};
use trunkline_jobs::contacts::segments::{self, Filter, SegmentError};
use trunkline_jobs::contacts::{optout, seed};
use trunkline_jobs::export::Format;
use trunkline_platform::audit::Actor;

use crate::harness::{Env, Program, both_engines};

/// Where an import can die; `an_import_that_is_killed…` does.
pub(crate) const IMPORTING: [&str; 2] = ["import.before_commit", "import.after_commit"];

fn ana() -> Actor {
    Actor { name: "operator:ana".to_owned(), reason: None }
}

fn options(file: &Path, on_duplicate: OnDuplicate) -> Options {
    Options {
        file: file.to_owned(),
        report: file.with_extension("errors.csv"),
        mappings: Vec::new(),
        on_duplicate,
        country: Country::default(),
        labels: Vec::new(),
        dry_run: false,
        restart: false,
    }
}

fn file(env: &Env, name: &str, content: &str) -> PathBuf {
    let path = env.folder().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

async fn run(env: &Env, options: &Options) -> Result<Progress, ImportError> {
    import::import(&env.db, &env.clock, options, &ana(), |_| {}).await
}

async fn count(env: &Env, filter: &str) -> u64 {
    let filter: Filter = filter.parse().unwrap();
    segments::count(&env.db, &filter, env.clock.now()).await.unwrap().people
}

async fn find(env: &Env, number: &str) -> Option<Person> {
    people::find(&mut env.db.read().await.unwrap(), [number]).await.unwrap().pop()
}

/// The n-th number that nobody has.
fn number(n: usize) -> String {
    const AREAS: [u16; 20] =
        [201, 206, 212, 213, 303, 305, 312, 404, 415, 503, 512, 602, 617, 702, 713, 718, 801, 813, 916, 919];
    format!("+1{}555{:04}", AREAS[n % 20], n / 20)
}

/// A file of so many rows, every fiftieth bad, and what is wrong with those by line.
fn large(rows: usize) -> (String, Vec<(u64, &'static str, &'static str)>) {
    let (mut text, mut bad) = ("phone,first name,email,tags,plan\n".to_owned(), Vec::new());
    for n in 0..rows {
        let line = n as u64 + 2;
        let (mut phone, mut email, mut tag) = (number(n), format!("p{n}@example.com"), "spring");
        if n % 50 == 49 {
            let (column, reason) = match n / 50 % 4 {
                0 => ("phone", "no phone number"),
                1 => ("phone", "no such number"),
                2 => ("email", "no e-mail address"),
                _ => ("tags", "no tag"),
            };
            match reason {
                "no phone number" => phone = String::new(),
                "no such number" => phone = "112-555-0101".to_owned(),
                "no e-mail address" => email = "nobody".to_owned(),
                _ => tag = "two words",
            }
            bad.push((line, column, reason));
        }
        let _ = writeln!(text, "{phone},Ann{n},{email},{tag},gold");
    }
    (text, bad)
}

fn report(path: &Path) -> Vec<(u64, String, String)> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let headers = reader.headers().unwrap().clone();
    let at = |name: &str| headers.iter().position(|header| header == name).unwrap();
    let (line, field, reason) = (at("import_line"), at("import_field"), at("import_reason"));
    let rows = reader.records().map(Result::unwrap);
    rows.map(|row| (row[line].parse().unwrap(), row[field].to_owned(), row[reason].to_owned())).collect()
}

both_engines! {
    async fn of_a_hundred_thousand_rows_each_bad_one_is_told_and_the_others_are_in(env: Env) {
        const ROWS: usize = 100_000;
        let (text, bad) = large(ROWS);
        let options = options(&file(&env, "people.csv", &text), OnDuplicate::Fail);
        let done = run(&env, &options).await.unwrap().row;
        assert_eq!((done.added, done.bad, done.state.as_str()), (98_000, 2_000, "done"));
        assert_eq!(count(&env, "").await, 98_000);
        let told = report(&options.report);
        assert_eq!(told.len(), bad.len());
        for ((line, column, reason), told) in bad.iter().zip(&told) {
            assert_eq!((line, *column), (&told.0, told.1.as_str()));
            assert!(told.2.contains(reason), "{told:?} instead of {reason}");
        }
    }

    async fn the_report_mended_is_a_file_to_import(env: Env) {
        let text = "phone;name of dog;email\n212-555-0101;=Rex;ann.example.com\n212-555-0102;Rolf;ok@example.com\n";
        let first = options(&file(&env, "people.csv", text), OnDuplicate::Skip);
        let done = run(&env, &first).await.unwrap().row;
        assert_eq!((done.added, done.bad), (1, 1));
        let told = std::fs::read_to_string(&first.report).unwrap();
        assert!(told.contains("212-555-0101;'=Rex;ann.example.com;2;email;"), "{told}");
        let mended = file(&env, "mended.csv", &told.replace("ann.example.com", "ann@example.com"));
        let again = run(&env, &options(&mended, OnDuplicate::Skip)).await.unwrap().row;
        assert_eq!((again.added, again.bad), (1, 0));
        let ann = find(&env, "+12125550101").await.unwrap();
        assert_eq!(ann.fields.into_iter().collect::<Vec<_>>(), [("name_of_dog".to_owned(), "=Rex".to_owned())]);
    }

    async fn who_is_there_already_stays_changes_or_is_a_mistake(env: Env) {
        let old = "phone,first_name,company,tags,plan\n2125550101,Ann,Acme,a,gold\n";
        run(&env, &options(&file(&env, "old.csv", old), OnDuplicate::Skip)).await.unwrap();
        let text = "phone,first_name,company,tags,seat\n2125550101,Anna,,b,1A\n(212) 555-0101,,,c,\n2125550102,Bo,,,\n";
        let new = file(&env, "new.csv", text);
        let done = run(&env, &options(&new, OnDuplicate::Skip)).await.unwrap().row;
        assert_eq!((done.added, done.skipped, done.updated, done.bad), (1, 2, 0, 0));
        assert_eq!(find(&env, "+12125550101").await.unwrap().first_name.as_deref(), Some("Ann"));

        let strict = options(&new, OnDuplicate::Fail);
        let done = run(&env, &strict).await.unwrap().row;
        assert_eq!((done.added, done.bad), (0, 3));
        let reasons: Vec<_> = report(&strict.report).into_iter().map(|(line, _, reason)| (line, reason)).collect();
        assert!(reasons[0].1.contains("somebody with this number") && reasons[1].1.contains("before"), "{reasons:?}");

        let done = run(&env, &options(&new, OnDuplicate::Update)).await.unwrap().row;
        assert_eq!((done.updated, done.bad), (3, 0));
        let ann = find(&env, "+12125550101").await.unwrap();
        assert_eq!((ann.first_name.as_deref(), ann.company.as_deref()), (Some("Anna"), Some("Acme")));
        assert_eq!(ann.tags.into_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!((ann.fields["plan"].as_str(), ann.fields["seat"].as_str()), ("gold", "1A"));
    }

    async fn an_opt_out_in_a_file_closes_the_number_whatever_becomes_of_the_row(env: Env) {
        let text = "phone,opted_out,consent\n2125550101,yes,\n2125550101,no,\n2125550102,no,web form\n";
        let path = file(&env, "people.csv", text);
        for on_duplicate in [OnDuplicate::Skip, OnDuplicate::Fail] {
            run(&env, &options(&path, on_duplicate)).await.unwrap();
            assert_eq!(count(&env, "is:opted_out").await, 1);
        }
        assert!(optout::show(&env.db, "+12125550101").await.unwrap().unwrap().closed);
        let said = optout::consents(&env.db, "+12125550102", 10).await.unwrap();
        assert!(said.iter().all(|row| row.act == "consent" && row.wording.as_deref() == Some("web form")));
    }

    async fn a_look_tells_what_would_come_of_it_and_does_nothing(env: Env) {
        let text = "phone\n2125550101\n2125550101\nnobody\n2125550102\n";
        let path = file(&env, "people.csv", text);
        let look = Options { dry_run: true, ..options(&path, OnDuplicate::Fail) };
        let told = run(&env, &look).await.unwrap().row;
        assert_eq!((told.added, told.bad), (2, 2));
        assert_eq!(count(&env, "").await, 0);
        assert!(import::list(&env.db, None, 10).await.unwrap().is_empty());
    }

    async fn a_file_that_cannot_be_read_on_keeps_what_came_before(env: Env) {
        let mut text = "phone,note\n".to_owned();
        for n in 0..600 {
            let _ = writeln!(text, "{},x", number(n));
        }
        let hostile = text + "2125550101,\"" + &"never closed\n".repeat(100_000);
        let refused = run(&env, &options(&file(&env, "people.csv", &hostile), OnDuplicate::Skip)).await;
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("begins in line 602") && error.contains("quote"), "{error}");
        assert_eq!(count(&env, "").await, 500, "whole batches");
        let row = &import::list(&env.db, None, 10).await.unwrap()[0];
        assert_eq!((row.state.as_str(), row.added), ("failed", 500));
    }

    async fn an_import_that_is_killed_goes_on_and_has_nobody_twice(env: Env) {
        let (text, bad) = large(3_000);
        let path = file(&env, "people.csv", &text);
        let path = path.to_str().unwrap();
        let words = ["contacts", "import", path, "--duplicates", "fail", "--by", "ana", "--json"];
        let mut program = Program::new(&env, &["serve"]);
        for (point, hit) in [(IMPORTING[0], 3), (IMPORTING[1], 2), (IMPORTING[0], 1)] {
            program.arm(point, hit);
            assert!(program.run(&words).is_err(), "it did not die at {point}");
        }
        program.disarm();
        let told: Value = serde_json::from_str(&program.run(&words).unwrap()).unwrap();
        assert!(told["resumed_at_line"].as_i64().unwrap() > 1_000, "{told}");
        assert_eq!((&told["import"]["added"], &told["import"]["bad"]), (&2_940.into(), &60.into()));
        assert_eq!(count(&env, "").await, 2_940);
        let report = report(Path::new(told["errors"].as_str().unwrap()));
        assert_eq!(report.iter().map(|row| row.0).collect::<Vec<_>>(), bad.iter().map(|row| row.0).collect::<Vec<_>>());
    }

    async fn what_comes_out_can_come_in_again(env: Env) {
        seed::seed(&env.db, &env.clock, 1_200, 7, |_| {}).await.unwrap();
        assert_eq!(seed::seed(&env.db, &env.clock, 1_200, 7, |_| {}).await.unwrap(), 0, "the same seed, the same people");
        let mut csv = Vec::new();
        let everybody: Filter = "".parse().unwrap();
        let now = env.clock.now();
        let written = export(&env.db, &everybody, Format::Csv, now, |person| person, &mut csv).await.unwrap();
        assert_eq!(written, 1_200);
        let before = find(&env, &first(&env).await).await.unwrap();
        let numbers = all(&env).await;
        for batch in numbers.chunks(people::LABEL_BATCH) {
            let batch: Vec<&str> = batch.iter().map(String::as_str).collect();
            people::remove(&env.db, &batch, &ana(), now).await.unwrap();
        }
        assert_eq!(count(&env, "").await, 0);
        let path = file(&env, "back.csv", std::str::from_utf8(&csv).unwrap());
        let done = run(&env, &options(&path, OnDuplicate::Fail)).await.unwrap().row;
        assert_eq!((done.added, done.bad), (1_200, 0));
        let after = find(&env, &before.number).await.unwrap();
        assert_eq!(Person { source: before.source.clone(), ..after }, before);

        let mut lines = Vec::new();
        export(&env.db, &everybody, Format::Jsonl, now, |person| person, &mut lines).await.unwrap();
        let text = String::from_utf8(lines).unwrap();
        assert_eq!(text.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count(), 1_200);
    }

    async fn a_segment_takes_whom_it_says(env: Env) {
        let text = "phone,first_name,tags,flags,state,time_zone,plan\n\
                    2125550101,Ann,vip,,,,gold\n3055550102,Bo,vip,blocked,,,\n7135550103,Cy,new,,,,gold\n\
                    2125550104,Di,vip new,,TX,America/Denver,silver\n";
        let text = text.replace("vip new", "vip;new");
        run(&env, &options(&file(&env, "people.csv", &text), OnDuplicate::Fail)).await.unwrap();
        let keeper = crate::kept::Keeper::new(&env).await;
        let reply = r#"{"id":"EV1","apiVersion":"2026-03-30","type":"message.received","createdAt":"2026-03-02T08:00:01Z",
            "data":{"resource":{"id":"AC1","direction":"incoming","status":"received","text":"ok",
            "createdAt":"2026-03-02T08:00:00Z"},"context":{"phoneNumberId":"PN1","conversationId":"CN1",
            "senderIdentifier":"+12125550101","recipientIdentifiers":["+12125550199"]}}}"#;
        keeper.tell_and_work(&[reply.to_owned()]).await;
        for (filter, expected) in [
            ("", 4),
            ("tag:vip", 3),
            ("tag:vip -flag:blocked", 2),
            ("is:textable", 3),
            ("state:NY", 1),
            ("state:tx", 2),
            ("zone:America/Denver or area:305", 2),
            ("field.plan:GOLD", 2),
            ("name~n or first_name:bo", 2),
            ("last_reply<2h", 1),
            ("last_reply>2h", 0),
            ("-has:reply", 3),
            ("added<1h -tag:new", 2),
            ("(tag:new or tag:vip) -(state:TX)", 2),
        ] {
            assert_eq!(count(&env, filter).await, expected, "{filter}");
        }
        let vip = "tag:VIP  -flag:blocked".parse().unwrap();
        let now = env.clock.now();
        segments::create(&env.db, "vips", &vip, &ana(), now).await.unwrap();
        assert!(matches!(segments::create(&env.db, "vips", &vip, &ana(), now).await, Err(SegmentError::There(_))));
        assert!(matches!(segments::create(&env.db, "V ips", &vip, &ana(), now).await, Err(SegmentError::Name(_))));
        let row = segments::show(&env.db, "vips").await.unwrap();
        assert_eq!((row.filter.as_str(), row.filter().unwrap()), ("tag:vip -flag:blocked", vip));
        segments::delete(&env.db, "vips", &ana(), now).await.unwrap();
        assert!(segments::list(&env.db, None, 10).await.unwrap().is_empty());
    }

    async fn labels_are_put_on_and_taken_off_and_pages_miss_nobody(env: Env) {
        seed::seed(&env.db, &env.clock, 2_500, 1, |_| {}).await.unwrap();
        let numbers = all(&env).await;
        assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), 2_500);
        let some: Vec<&str> = numbers.iter().step_by(3).map(String::as_str).chain(["+12125559999"]).collect();
        let tag = Label::tag("third").unwrap();
        let put = async |labelling| {
            let mut changed = 0;
            for batch in some.chunks(people::LABEL_BATCH) {
                changed += people::label(&env.db, batch, &tag, labelling, &ana(), env.clock.now()).await.unwrap();
            }
            changed
        };
        assert_eq!(put(Labelling::Add).await, 834, "the number that nobody has is passed over");
        assert_eq!(put(Labelling::Add).await, 0);
        assert_eq!(count(&env, "tag:third").await, 834);
        assert_eq!(count(&env, "-tag:third").await, 2_500 - 834);
        assert_eq!(put(Labelling::Remove).await, 834);
        assert_eq!(count(&env, "tag:third").await, 0);
    }
}

async fn all(env: &Env) -> Vec<String> {
    let (mut numbers, mut after) = (Vec::new(), None);
    loop {
        let filter = Filter::All(Vec::new());
        let members = segments::members(&env.db, &filter, after.as_deref(), env.clock.now()).await.unwrap();
        numbers.extend(members.people.into_iter().map(|person| person.number));
        after = match members.next {
            Some(next) => Some(next),
            None => return numbers,
        };
    }
}

async fn first(env: &Env) -> String {
    all(env).await.remove(0)
}
