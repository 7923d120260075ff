//! How long a search takes over many transcripts, on both engines: words that are rare, common and in between,
//! alone and together, phrases, beginnings, and filters. The texts have the word frequencies of real talk (Zipf).
//!
//! `cargo bench --bench search -- [TRANSCRIPTS] [ENGINE]` (default: 100000, both engines)

mod bench;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bench::{Place, machine, millis, percentile};
use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use serde_json::json;
use trunkline::config::{Config, Flags};
use trunkline_jobs::media::MediaStore;
use trunkline_jobs::search::{By, Order, Query, Side, search};
use trunkline_jobs::upkeep::{Chore, IndexLeftOut, Upkeep, UpkeepMetrics, run_now};
use trunkline_platform::audit::Actor;
use trunkline_platform::db::{Rows, sql_time};

/// Distinct words.
const VOCABULARY: usize = 30_000;
/// People who called.
const PEOPLE: usize = 5_000;
/// Queries of each kind.
const ROUNDS: usize = 60;
const BATCH: usize = 500;

trunkline_platform::statements! {
    PUT_CALLS = parts {
        "INSERT INTO calls (id, direction, caller, callee, created_at, has_voicemail, status, status_final, status_rank,
             status_at)
         SELECT r.id, 'incoming', r.caller, '+12125550199', r.at, FALSE, 'answered', TRUE, 18, r.at
         FROM " (rows "$1" as r (id TEXT, caller TEXT, at TIMESTAMPTZ, dialogue TEXT)) " WHERE true"
    }
    PUT_TRANSCRIPTS = parts {
        "INSERT INTO call_transcripts (call_id, status, status_rank, told_at, dialogue)
         SELECT r.id, 'completed', 4, r.at, r.dialogue
         FROM " (rows "$1" as r (id TEXT, caller TEXT, at TIMESTAMPTZ, dialogue TEXT)) " WHERE true"
    }
    ANALYZE = split { postgres: "ANALYZE", sqlite: "ANALYZE" }
    SIZE = split {
        postgres:
        "SELECT CAST(pg_total_relation_size('search_terms') + pg_total_relation_size('search_documents') AS BIGINT) AS bytes",
        sqlite: "SELECT CAST(SUM(LENGTH(block)) AS BIGINT) AS bytes FROM search_terms_data",
    }
}

/// Makes up a query.
type Make = fn(&Language, &mut StdRng, usize) -> Query;

/// Words by rank, and how often each is said.
struct Language {
    words: Vec<String>,
    /// The sum of the frequencies up to each rank.
    sums: Vec<f64>,
}

#[derive(Serialize)]
struct Line {
    id: String,
    caller: String,
    at: String,
    dialogue: String,
}

impl Language {
    fn new() -> Self {
        let syllables = [
            "ba", "con", "de", "far", "gi", "hel", "in", "ka", "lor", "me", "nu", "pro", "re", "sti", "ta",
            "ver",
        ];
        let spell = |mut rank: usize| {
            let mut word = String::new();
            loop {
                word.push_str(syllables[rank % syllables.len()]);
                rank /= syllables.len();
                if rank == 0 {
                    return word;
                }
                rank -= 1;
            }
        };
        let mut sum = 0.0;
        let sums = (1..=VOCABULARY)
            .map(|rank| {
                sum += 1.0 / (rank as f64 + 2.7).powf(1.05);
                sum
            })
            .collect();
        Self { words: (0..VOCABULARY).map(spell).collect(), sums }
    }

    /// A word as often as it is said.
    fn say(&self, rng: &mut StdRng) -> &str {
        let total = self.sums.last().copied().unwrap_or(1.0);
        let at = self.sums.partition_point(|sum| *sum < rng.random_range(0.0..total));
        &self.words[at.min(VOCABULARY - 1)]
    }

    fn between(&self, rng: &mut StdRng, ranks: std::ops::Range<usize>) -> String {
        self.words[rng.random_range(ranks)].clone()
    }

    fn transcript(&self, number: usize) -> (String, Vec<String>) {
        let mut rng = StdRng::seed_from_u64(number as u64);
        let turns: Vec<String> = (0..rng.random_range(6..=24))
            .map(|_| (0..rng.random_range(3..=30)).map(|_| self.say(&mut rng)).collect::<Vec<_>>().join(" "))
            .collect();
        let said = turns.iter().enumerate().map(|(turn, content)| {
            let ours = turn % 2 == 0;
            json!({"user_id": ours.then(|| format!("US{}", number % 20)), "identifier": (!ours).then(|| person(number)),
                "content": content, "start": turn as f64 * 4.0, "end": turn as f64 * 4.0 + 3.5})
        });
        (serde_json::Value::from_iter(said).to_string(), turns)
    }
}

fn person(number: usize) -> String {
    format!("+1646555{:04}", number % PEOPLE)
}

fn began(number: usize) -> DateTime<Utc> {
    // A call every five minutes.
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::seconds(number as i64 * 300)
}

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let count = words.iter().find_map(|word| word.parse().ok()).unwrap_or(100_000);
    let asked = |engine: &&str| words.iter().any(|word| word == engine);
    let engines = ["sqlite", "postgres"];
    let none = !engines.iter().any(asked);
    let language = Language::new();
    println!("{}; {count} transcripts of 15 turns, {ROUNDS} queries of each kind", machine());
    for name in engines.into_iter().filter(|engine| none || asked(engine)) {
        let place = Place::open(name).await?;
        fill(&place, &language, count).await?;
        measure(&place, &language, count).await?;
    }
    Ok(())
}

async fn fill(place: &Place, language: &Language, count: usize) -> Result<()> {
    let db = place.tasks.db();
    let numbers: Vec<usize> = (0..count).collect();
    for batch in numbers.chunks(BATCH) {
        let line = |number: &usize| Line {
            id: format!("AC{number:07}"),
            caller: person(*number),
            at: sql_time(began(*number)),
            dialogue: language.transcript(*number).0,
        };
        let lines: Vec<Line> = batch.iter().map(line).collect();
        let mut tx = db.write().await?;
        PUT_CALLS.bind(Rows::of(&lines)?).execute(&mut tx).await?;
        PUT_TRANSCRIPTS.bind(Rows::of(&lines)?).execute(&mut tx).await?;
        tx.commit().await?;
    }
    let config = Config::load(&Flags::default(), [])?;
    let metrics = UpkeepMetrics::new(&prometheus::Registry::new())?;
    let folder = tempfile::tempdir()?;
    let store = MediaStore::local(folder.path().join("media")).await?;
    let retention = config.retention.retention();
    let upkeep = Upkeep { tasks: place.tasks.clone(), store, retention, metrics };
    let actor = Actor { name: "operator:bench".to_owned(), reason: None };
    let begun = Instant::now();
    let freed = run_now(&upkeep, IndexLeftOut::NAME, false, &actor).await?.context("no such job")?;
    ensure!(freed.rows == count as u64, "{} of {count} were indexed", freed.rows);
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    ANALYZE.query().execute(&mut db.upkeep().await?).await?;
    let (bytes,): (i64,) = SIZE.query().one(&mut db.read().await?).await?;
    println!("\n{}: indexed {rate:.0} a second, the index has {} MB", place.name, bytes / 1_000_000);
    Ok(())
}

async fn measure(place: &Place, language: &Language, count: usize) -> Result<()> {
    let kinds: [(&str, Make); 15] = [
        ("rare word", |l, rng, _| words(l.between(rng, 5_000..20_000))),
        ("usual word", |l, rng, _| words(l.between(rng, 200..2_000))),
        ("common word", |l, rng, _| words(l.between(rng, 0..20))),
        ("two common words", |l, rng, _| {
            words(format!("{} {}", l.between(rng, 0..20), l.between(rng, 0..60)))
        }),
        ("two usual words", |l, rng, _| {
            words(format!("{} {}", l.between(rng, 200..2_000), l.between(rng, 200..2_000)))
        }),
        ("a common and a rare word", |l, rng, _| {
            words(format!("{} {}", l.between(rng, 0..20), l.between(rng, 5_000..20_000)))
        }),
        ("no such word", |l, rng, _| words(format!("{}x", l.between(rng, 0..2_000)))),
        ("phrase that was said", |l, rng, count| {
            let turns = l.transcript(rng.random_range(0..count)).1;
            let turn = &turns[rng.random_range(0..turns.len())];
            words(format!("\"{}\"", turn.split(' ').take(3).collect::<Vec<_>>().join(" ")))
        }),
        ("phrase of common words", |l, rng, _| {
            words(format!(
                "\"{} {} {}\"",
                l.between(rng, 0..20),
                l.between(rng, 0..20),
                l.between(rng, 0..20)
            ))
        }),
        ("beginning of 3 letters", |l, rng, _| {
            words(format!("{}*", l.between(rng, 0..2_000).chars().take(3).collect::<String>()))
        }),
        ("beginning of 4 letters", |l, rng, _| {
            words(format!("{}*", l.between(rng, 0..20_000).chars().take(4).collect::<String>()))
        }),
        ("beginning of 5 letters", |l, rng, _| {
            words(format!("{}*", l.between(rng, 2_000..20_000).chars().take(5).collect::<String>()))
        }),
        ("common word, one person", |l, rng, _| Query {
            number: Some(person(rng.random_range(0..PEOPLE))),
            ..words(l.between(rng, 0..20))
        }),
        ("usual word, said by them", |l, rng, _| Query {
            speaker: Some(By::Side(Side::Theirs)),
            ..words(l.between(rng, 200..2_000))
        }),
        ("common word, a month of the past", |l, rng, count| {
            let since = began(rng.random_range(0..count));
            Query {
                since: Some(since),
                until: Some(since + TimeDelta::days(30)),
                ..words(l.between(rng, 0..20))
            }
        }),
    ];
    println!("| query | found | p50 | p95 | p99 |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    let mut all = Vec::new();
    // Warm, as a program is that runs for days.
    search(place.tasks.db(), &words(language.words[3].clone())).await?;
    for (name, make) in kinds {
        let mut rng = StdRng::seed_from_u64(7);
        let mut samples = Vec::new();
        let mut found = 0;
        for _ in 0..ROUNDS {
            let query = make(language, &mut rng, count);
            let begun = Instant::now();
            let page = search(place.tasks.db(), &query).await?;
            samples.push(begun.elapsed());
            found += page.hits.len();
        }
        all.extend(samples.iter().copied());
        tell(name, found as f64 / ROUNDS as f64, &mut samples);
    }
    tell("**all**", 0.0, &mut all);
    Ok(())
}

fn words(text: String) -> Query {
    Query { text, order: Order::Best, limit: 20, ..Query::default() }
}

fn tell(name: &str, found: f64, samples: &mut [Duration]) {
    let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|share| millis(percentile(samples, share)));
    println!("| {name} | {found:.1} | {p50} | {p95} | {p99} |");
}
