//! One run of an import, from where it stands to its end.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use csv::ByteRecord;
use serde_json::json;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::task::{JoinError, spawn_blocking};
use trunkline_platform::audit::{self, Act, Actor};
use trunkline_platform::clock::Clock;
use trunkline_platform::crash_point;
use trunkline_platform::db::{Db, DbError, Session};

use super::columns::{ColumnsError, Mapping, Target, targets};
use super::reader::{Place, ReadError, Reader};
use super::report::Report;
use super::row::{Fault, Row, Shape};
use super::table::{self, ImportRow};
use crate::contacts::number::Country;
use crate::contacts::optout::{self, Channel, Said};
use crate::contacts::people::{self, Label, NewPerson, OnDuplicate, Put, put};
use crate::media::Sha256Hash;

/// Records of one transaction.
const BATCH: usize = 500;

/// What to import, and how.
#[derive(Clone, Debug)]
pub struct Options {
    pub file: PathBuf,
    /// Where the bad rows go.
    pub report: PathBuf,
    pub mappings: Vec<Mapping>,
    pub on_duplicate: OnDuplicate,
    pub country: Country,
    /// What everybody of the file gets.
    pub labels: Vec<Label>,
    /// Only look.
    pub dry_run: bool,
    /// From the beginning, although a run stopped in the middle.
    pub restart: bool,
}

/// How far a run is.
#[derive(Clone, Debug)]
pub struct Progress {
    pub row: ImportRow,
    /// It went on where an earlier run stopped, in this line.
    pub resumed_at: Option<i64>,
}

/// Why a file was not imported to its end. What was committed before stays.
#[derive(Debug, Error)]
pub enum ImportError {
    #[error(transparent)]
    Columns(#[from] ColumnsError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the report of bad rows at {} cannot be written", path.display())]
    Report { path: PathBuf, source: io::Error },
    #[error("the report at {} is not as the earlier run left it: put it back, or begin anew with --restart", path.display())]
    ReportGone { path: PathBuf, source: io::Error },
    #[error("another process is at this import ({0}): wait for it, or stop it")]
    Elsewhere(i64),
    #[error(transparent)]
    Database(#[from] DbError),
    #[error("reading was cut off")]
    CutOff(#[from] JoinError),
}

/// A record that can be stored.
struct Told {
    line: u64,
    record: ByteRecord,
    row: Row,
}

/// Records read ahead of their transaction.
struct Batch {
    rows: Vec<Told>,
    faults: Vec<(u64, ByteRecord, Fault)>,
    next: Place,
    ended: bool,
}

/// Imports a file, or looks at what would come of it. `told` hears how far it is after every batch.
///
/// # Errors
/// When the file cannot be read to its end, or the report or the rows cannot be written.
pub async fn import(
    db: &Db,
    clock: &Clock,
    options: &Options,
    actor: &Actor,
    mut told: impl FnMut(&Progress),
) -> Result<Progress, ImportError> {
    let path = options.file.clone();
    let (opened, hash, bytes) = spawn_blocking(move || {
        let (hash, bytes) = hash_of(&path)?;
        Ok::<_, ReadError>((Reader::open(&path)?, hash, bytes))
    })
    .await??;
    let targets = targets(&opened.columns, &options.mappings)?;
    let shape = Shape {
        columns: opened.columns.clone(),
        targets,
        country: options.country,
        labels: options.labels.clone(),
    };
    let new = ImportRow {
        id: 0,
        file: options.file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
        state: "running".to_owned(),
        error: None,
        next_byte: 0,
        next_line: 0,
        report_bytes: 0,
        added: 0,
        updated: 0,
        skipped: 0,
        bad: 0,
        actor: actor.name.clone(),
        started_at: clock.now(),
        moved_at: clock.now(),
    };
    if options.dry_run {
        return look(db, opened, shape, options, new, &mut told).await;
    }
    let fingerprint = fingerprint(&hash, &shape, options);
    let mut run = Run::start(db, clock, options, actor, opened, shape, &fingerprint, new).await?;
    let outcome = run.run(&mut told).await;
    // What cannot be read now cannot be read later; what the database refused may go better next time.
    if let Err(ImportError::Read(error)) = &outcome {
        let mut tx = db.write().await?;
        table::end(&mut tx, run.progress.row.id, Some(&error.to_string()), clock.now()).await?;
        tx.commit().await?;
    }
    outcome?;
    Ok(run.progress)
}

struct Run<'o> {
    db: &'o Db,
    clock: &'o Clock,
    options: &'o Options,
    actor: &'o Actor,
    reader: Option<Reader>,
    shape: Shape,
    report: Report,
    progress: Progress,
}

impl<'o> Run<'o> {
    #[expect(clippy::too_many_arguments, reason = "called once, to gather them")]
    async fn start(
        db: &'o Db,
        clock: &'o Clock,
        options: &'o Options,
        actor: &'o Actor,
        mut reader: Reader,
        shape: Shape,
        fingerprint: &str,
        mut new: ImportRow,
    ) -> Result<Self, ImportError> {
        let failed = |source| ImportError::Report { path: options.report.clone(), source };
        let mut tx = db.write().await?;
        let mut earlier = table::find_running(&mut tx, fingerprint).await?;
        if options.restart
            && let Some(row) = earlier.take()
        {
            table::end(&mut tx, row.id, Some("begun anew"), clock.now()).await?;
        }
        let (row, report, resumed_at) = match earlier {
            Some(row) => {
                let length = u64::try_from(row.report_bytes).unwrap_or_default();
                let gone = |source| ImportError::ReportGone { path: options.report.clone(), source };
                let report = Report::go_on(&options.report, reader.delimiter, length).map_err(gone)?;
                reader.seek(row.place())?;
                let line = row.next_line;
                (row, report, Some(line))
            }
            None => {
                let report =
                    Report::begin(&options.report, &shape.columns, reader.delimiter).map_err(failed)?;
                new.moved_to(reader.place(), report.length());
                let row = table::start(&mut tx, fingerprint, &new).await?;
                let act = Act {
                    action: "contact.import",
                    subject: format!("import:{}", row.id),
                    before: None,
                    after: Some(json!({ "file": row.file, "bytes": row.bytes })),
                };
                audit::record(&mut tx, clock.now(), actor, &[act]).await?;
                (row, report, None)
            }
        };
        tx.commit().await?;
        let progress = Progress { row, resumed_at };
        Ok(Self { db, clock, options, actor, reader: Some(reader), shape, report, progress })
    }

    async fn run(&mut self, told: &mut impl FnMut(&Progress)) -> Result<(), ImportError> {
        while let Some(reader) = self.reader.take() {
            let (reader, batch) = read(reader, self.shape.clone()).await?;
            let ended = batch.ended;
            self.store(batch).await?;
            told(&self.progress);
            self.reader = (!ended).then_some(reader);
        }
        let mut tx = self.db.write().await?;
        if !table::end(&mut tx, self.progress.row.id, None, self.clock.now()).await? {
            return Err(ImportError::Elsewhere(self.progress.row.id));
        }
        self.progress.row.state = "done".to_owned();
        Ok(tx.commit().await?)
    }

    /// Commits a batch with the place after it.
    async fn store(&mut self, batch: Batch) -> Result<(), ImportError> {
        let Batch { rows, mut faults, next, .. } = batch;
        let (now, mut row) = (self.clock.now(), self.progress.row.clone());
        let mut people: Vec<Told> = Vec::with_capacity(rows.len());
        let mut place_of: HashMap<String, usize> = HashMap::new();
        for told in rows {
            // One statement takes a number once.
            match (place_of.get(&told.row.person.number), self.options.on_duplicate) {
                (None, _) => {
                    place_of.insert(told.row.person.number.clone(), people.len());
                    people.push(told);
                }
                (Some(&first), OnDuplicate::Update) => {
                    row.updated += 1;
                    people[first].row.take_on(told.row);
                }
                (Some(&first), OnDuplicate::Skip) => {
                    row.skipped += 1;
                    people[first].row.opted_out |= told.row.opted_out;
                }
                (Some(_), OnDuplicate::Fail) => {
                    faults.push((told.line, told.record, duplicate(&self.shape, true)));
                }
            }
        }
        let source = format!("import:{}", row.id);
        let mut tx = self.db.write().await?;
        let closing = people.iter().filter(|told| told.row.opted_out);
        optout::lock_alone(&mut tx, closing.map(|told| told.row.person.number.as_str())).await?;
        let new: Vec<NewPerson> = people.iter().map(|told| told.row.person.clone()).collect();
        let became = put(&mut tx, &new, self.options.on_duplicate, &source, Some(row.id), now).await?;
        for (told, put) in people.iter().zip(became) {
            // Whoever asked to stop is heard, whatever becomes of the row.
            note(&mut tx, told, &source, self.actor, row.started_at, now).await?;
            match put {
                Put::Added => row.added += 1,
                Put::Updated => row.updated += 1,
                Put::Skipped => row.skipped += 1,
                Put::Duplicate { same_import } => {
                    faults.push((told.line, told.record.clone(), duplicate(&self.shape, same_import)));
                }
            }
        }
        faults.sort_by_key(|(line, ..)| *line);
        row.bad += i64::try_from(faults.len()).unwrap_or(i64::MAX);
        self.report
            .add(&self.shape.columns, &faults)
            .map_err(|source| ImportError::Report { path: self.options.report.clone(), source })?;
        crash_point!("import.before_commit");
        let from_byte = row.next_byte;
        row.moved_to(next, self.report.length());
        row.moved_at = now;
        if !table::moved(&mut tx, &row, from_byte, now).await? {
            return Err(ImportError::Elsewhere(row.id));
        }
        tx.commit().await?;
        crash_point!("import.after_commit");
        self.progress.row = row;
        Ok(())
    }
}

/// Writes down what a row says of being texted.
async fn note(
    tx: &mut Session,
    told: &Told,
    source: &str,
    actor: &Actor,
    at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let said = |what: &str| Said {
        entry: format!("{source}:{}:{what}", told.line),
        number: &told.row.person.number,
        at,
        channel: Channel::Import,
        wording: None,
        message_id: None,
        actor: Some(&actor.name),
        review: false,
        confirm: false,
    };
    if let Some(wording) = &told.row.consent {
        let said = Said { wording: Some(wording), ..said("consent") };
        optout::note(tx, optout::Act::Consent, &said, now).await?;
    }
    if told.row.opted_out {
        optout::close(tx, &said("opt_out"), now).await?;
    }
    Ok(())
}

/// Reads the records of one batch.
async fn read(mut reader: Reader, shape: Shape) -> Result<(Reader, Batch), ImportError> {
    let read = move || {
        let mut batch = Batch { rows: Vec::new(), faults: Vec::new(), next: reader.place(), ended: false };
        while batch.rows.len() + batch.faults.len() < BATCH {
            let mut record = ByteRecord::new();
            let Some(line) = reader.next(&mut record)? else {
                batch.ended = true;
                break;
            };
            match shape.row(&record) {
                Ok(row) => batch.rows.push(Told { line, record, row }),
                Err(fault) => batch.faults.push((line, record, fault)),
            }
        }
        batch.next = reader.place();
        Ok((reader, batch))
    };
    spawn_blocking(read).await?
}

/// Tells what an import would do. Only the report is written.
async fn look(
    db: &Db,
    mut reader: Reader,
    shape: Shape,
    options: &Options,
    mut row: ImportRow,
    told: &mut impl FnMut(&Progress),
) -> Result<Progress, ImportError> {
    let failed = |source| ImportError::Report { path: options.report.clone(), source };
    let mut report = Report::begin(&options.report, &shape.columns, reader.delimiter).map_err(failed)?;
    // Eight bytes for each row of the file; two numbers of one hash would miscount one row.
    let mut seen: HashSet<u64> = HashSet::new();
    loop {
        let (next, batch) = read(reader, shape.clone()).await?;
        reader = next;
        let mut faults = batch.faults;
        let numbers = batch.rows.iter().map(|told| told.row.person.number.as_str());
        let there = people::find(&mut db.read().await?, numbers.collect::<BTreeSet<_>>()).await?;
        let there: HashSet<String> = there.into_iter().map(|person| person.number).collect();
        for told in batch.rows {
            let number = &told.row.person.number;
            let mut hasher = DefaultHasher::new();
            number.hash(&mut hasher);
            let again = !seen.insert(hasher.finish());
            match options.on_duplicate {
                _ if !again && !there.contains(number) => row.added += 1,
                OnDuplicate::Update => row.updated += 1,
                OnDuplicate::Skip => row.skipped += 1,
                OnDuplicate::Fail => {
                    faults.push((told.line, told.record, duplicate(&shape, again)));
                }
            }
        }
        faults.sort_by_key(|(line, ..)| *line);
        row.bad += i64::try_from(faults.len()).unwrap_or(i64::MAX);
        report.add(&shape.columns, &faults).map_err(failed)?;
        row.moved_to(batch.next, report.length());
        let progress = Progress { row, resumed_at: None };
        told(&progress);
        row = progress.row;
        if batch.ended {
            row.state = "done".to_owned();
            return Ok(Progress { row, resumed_at: None });
        }
    }
}

fn duplicate(shape: &Shape, same_import: bool) -> Fault {
    let reason = if same_import {
        "this number stands in the file before"
    } else {
        "there is somebody with this number already"
    };
    let phone = shape.targets.iter().position(|target| *target == Target::Phone);
    let column = phone.and_then(|at| shape.columns.get(at)).cloned().unwrap_or_default();
    Fault { column, reason: reason.to_owned() }
}

/// What makes two runs the same import: the file, and how it is read.
fn fingerprint(file: &str, shape: &Shape, options: &Options) -> String {
    let how =
        format!("{file} {:?} {:?} {} {:?}", shape.targets, options.on_duplicate, shape.country, shape.labels);
    hex(&Sha256::digest(how).into())
}

fn hash_of(path: &Path) -> io::Result<(String, u64)> {
    let mut file = File::open(path)?;
    let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 64 << 10]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((hex(&hash.finalize().into()), bytes)),
            read => {
                hash.update(&buffer[..read]);
                bytes += read as u64;
            }
        }
    }
}

fn hex(hash: &[u8; 32]) -> String {
    Sha256Hash::from(*hash).to_string()
}
