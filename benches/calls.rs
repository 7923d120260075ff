//! What figures on calls cost beside a million calls: the first counting, and looks at a month and at all of it.
//!
//! `cargo bench --bench calls -- [CALLS]` (default: 1000000)

mod bench;

use std::time::{Duration, Instant};

use anyhow::Result;
use bench::{Place, machine, millis, percentile};
use chrono::NaiveDate;
use chrono_tz::America::New_York;
use trunkline_jobs::calls::stats::{Breakdown, Filter, Range, by_hour, refresh, stats};
use trunkline_platform::db::Db;

const ROUNDS: usize = 9;

trunkline_platform::statements! {
    /// A year of calls on ten numbers and twenty users, by day from 8 to 18 hours. Differs by necessity: each engine counts
    /// and reckons with times in its own way.
    FILL = split {
        postgres:
        "INSERT INTO calls (id, phone_number_id, user_id, direction, caller, callee, created_at, duration_ms, has_voicemail, status,
             status_final, status_rank, status_at)
         SELECT 'AC' || LPAD(CAST(i AS TEXT), 32, '0'), 'PN' || LPAD(CAST(i % 10 AS TEXT), 10, '0'),
                'US' || LPAD(CAST((i % 10) * 2 + i / 7 % 2 AS TEXT), 10, '0'),
                CASE WHEN i % 3 = 0 THEN 'outgoing' ELSE 'incoming' END, '+1212555' || i % 10000, '+13105550100',
                TIMESTAMPTZ '2025-01-01 13:00Z' + (i % 365) * INTERVAL '1 day' + (i * 7919 % 36000) * INTERVAL '1 second',
                CASE WHEN i % 4 > 0 THEN (i * 104729 % 600) * 1000 END, i % 8 = 0, CASE WHEN i % 4 > 0 THEN 'answered' ELSE 'unanswered' END,
                true, 18, TIMESTAMPTZ '2026-01-01'
         FROM generate_series(1, $1) AS i",
        sqlite:
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
         INSERT INTO calls (id, phone_number_id, user_id, direction, caller, callee, created_at, duration_ms, has_voicemail, status,
             status_final, status_rank, status_at)
         SELECT 'AC' || PRINTF('%032d', i), 'PN' || PRINTF('%010d', i % 10), 'US' || PRINTF('%010d', (i % 10) * 2 + i / 7 % 2),
                CASE WHEN i % 3 = 0 THEN 'outgoing' ELSE 'incoming' END, '+1212555' || i % 10000, '+13105550100',
                STRFTIME('%Y-%m-%dT%H:%M:%S+00:00', 1735736400 + (i % 365) * 86400 + i * 7919 % 36000, 'unixepoch'),
                CASE WHEN i % 4 > 0 THEN (i * 104729 % 600) * 1000 END, i % 8 = 0, CASE WHEN i % 4 > 0 THEN 'answered' ELSE 'unanswered' END,
                1, 18, '2026-01-01T00:00:00+00:00'
         FROM n",
    }
    FORGET_MARKS = same { "DELETE FROM call_hour_marks" }
    ANALYZE = split { postgres: "VACUUM ANALYZE", sqlite: "ANALYZE" }
    COUNT_HOURS = same { "SELECT COUNT(*) AS count FROM call_hours" }
}

#[tokio::main]
async fn main() -> Result<()> {
    let calls: i64 = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(1_000_000);
    println!("{}; {calls} calls in a year, medians of {ROUNDS}", machine());
    println!("| engine | look | time |\n| --- | --- | ---: |");
    for name in ["sqlite", "postgres"] {
        measure(&Place::open(name).await?, calls).await?;
    }
    Ok(())
}

async fn measure(place: &Place, calls: i64) -> Result<()> {
    let (db, now) = (place.tasks.db(), place.tasks.clock().now());
    FILL.bind(calls).execute(&mut db.upkeep().await?).await?;
    FORGET_MARKS.query().execute(&mut db.upkeep().await?).await?;
    ANALYZE.query().execute(&mut db.upkeep().await?).await?;
    let began = Instant::now();
    while refresh(db, New_York, now).await?.more {}
    let (hours,): (i64,) = COUNT_HOURS.query().one(&mut db.read().await?).await?;
    println!("| {} | first counting, into {hours} rows | {} |", place.name, millis(began.elapsed()));
    ANALYZE.query().execute(&mut db.upkeep().await?).await?;

    let day = |text: &str| text.parse::<NaiveDate>();
    let month = Range { from: day("2025-06-01")?, to: day("2025-06-30")? };
    let year = Range { from: day("2025-01-01")?, to: day("2025-12-31")? };
    for (range, name) in [(month, "a month"), (year, "all")] {
        let looks = [
            ("the whole", None),
            ("by number", Some(Breakdown::Number)),
            ("by user", Some(Breakdown::User)),
            ("by day", Some(Breakdown::Day)),
            ("by month", Some(Breakdown::Month)),
        ];
        for (what, by) in looks {
            look(
                place,
                &format!("{name}, {what}"),
                async |db, filter| stats(db, New_York, filter, by).await.map(drop),
                range,
            )
            .await?;
        }
        look(
            place,
            &format!("{name}, by weekday and hour"),
            async |db, filter| by_hour(db, New_York, filter).await.map(drop),
            range,
        )
        .await?;
    }
    Ok(())
}

async fn look<E: std::error::Error + Send + Sync + 'static>(
    place: &Place,
    name: &str,
    look: impl AsyncFn(&Db, &Filter) -> Result<(), E>,
    range: Range,
) -> Result<()> {
    let filter = Filter { range, number: None, user: None };
    let mut samples: Vec<Duration> = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        look(place.tasks.db(), &filter).await?;
        samples.push(began.elapsed());
    }
    println!("| {} | {name} | {} |", place.name, millis(percentile(&mut samples, 0.5)));
    Ok(())
}
