//! People who do not exist, to try things with: the same seed makes the same ones. Their numbers have the exchange 555,
//! where nobody can be reached, in the area codes of the plan.

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use thiserror::Error;
use trunkline_platform::clock::Clock;
use trunkline_platform::db::{Db, DbError};

use super::people::{Label, NewPerson, OnDuplicate, Put, put};
use super::place;

const BATCH: usize = 500;
/// Lines of one exchange, from 0100 on.
const LINES: usize = 9_900;
/// Directory assistance.
const INFORMATION: usize = 1_212;

const FIRST: [&str; 24] = [
    "Ada", "Ben", "Chloé", "Dana", "Emeka", "Farah", "Grace", "Hugo", "Inés", "Jonas", "Keiko", "Liam",
    "Mina", "Noor", "Oscar", "Priya", "Quinn", "Rosa", "Søren", "Tara", "Umar", "Vera", "Wen", "Yusuf",
];
const LAST: [&str; 20] = [
    "Adler", "Brooks", "Castillo", "Dubois", "Evans", "Fischer", "García", "Hughes", "Ito", "Jensen", "Kaya",
    "Lopez", "Murphy", "Nowak", "O'Brien", "Patel", "Reyes", "Smith", "Tran", "Young",
];
const TAGS: [(&str, f64); 4] = [("customer", 0.6), ("lead", 0.3), ("newsletter", 0.4), ("vip", 0.05)];
const PLANS: [&str; 3] = ["basic", "plus", "pro"];

#[derive(Debug, Error)]
pub enum SeedError {
    #[error("there are only {0} numbers that nobody has")]
    TooMany(usize),
    #[error(transparent)]
    Database(#[from] DbError),
}

/// Makes up people and stores them. Returns how many were not there before.
pub async fn seed(
    db: &Db,
    clock: &Clock,
    count: usize,
    seed: u64,
    mut told: impl FnMut(usize),
) -> Result<usize, SeedError> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut areas: Vec<usize> = place::area_codes().collect();
    areas.shuffle(&mut rng);
    let most = areas.len() * LINES;
    if count > most {
        return Err(SeedError::TooMany(most));
    }
    let (source, mut added) = (format!("seed:{seed}"), 0);
    for start in (0..count).step_by(BATCH) {
        let people: Vec<NewPerson> =
            (start..count.min(start + BATCH)).map(|n| person(&mut rng, &areas, n)).collect();
        let mut tx = db.write().await?;
        let became = put(&mut tx, &people, OnDuplicate::Skip, &source, None, clock.now()).await?;
        tx.commit().await?;
        added += became.into_iter().filter(|put| *put == Put::Added).count();
        told(start + people.len());
    }
    Ok(added)
}

fn person(rng: &mut StdRng, areas: &[usize], n: usize) -> NewPerson {
    let pick = |rng: &mut StdRng, words: &[&str]| words.choose(rng).copied().unwrap_or_default().to_owned();
    let line = 100 + n / areas.len();
    let line = if line >= INFORMATION { line + 1 } else { line };
    let labels = TAGS.iter().filter(|(_, share)| rng.random_bool(*share));
    let labels: Vec<Label> = labels.map(|(tag, _)| Label::Tag((*tag).to_owned())).collect();
    let (first_name, last_name) = (pick(rng, &FIRST), pick(rng, &LAST));
    NewPerson {
        number: format!("+1{}555{line:04}", areas[n % areas.len()]),
        email: rng.random_bool(0.7).then(|| format!("person{n}@example.com")),
        first_name: Some(first_name),
        last_name: rng.random_bool(0.9).then_some(last_name),
        fields: [("plan".to_owned(), pick(rng, &PLANS))].into(),
        labels,
        ..NewPerson::default()
    }
}
