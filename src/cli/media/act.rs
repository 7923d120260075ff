//! `trunkline media fetch|rescan|purge|hold`: what people do to files; with `--dry-run` nothing but what it would be.

use anyhow::{Context, Result, bail};
use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::json;
use trunkline_jobs::media::MediaId;
use trunkline_jobs::media::act::{self, MediaActed};
use trunkline_jobs::media::inspect::{self, MediaFilter};
use trunkline_jobs::media::purge::{self, BATCH};
use trunkline_platform::task::Tasks;

use super::super::audit::ActorArgs;
use super::super::{database, output};
use super::look::OWNERS;
use crate::config::{Config, ScanMode};

/// The most files of one command; run it again for the rest.
const MOST: usize = 10_000;
const PAGE: u32 = 1_000;

#[derive(Args, Debug)]
struct How {
    /// Only tell which files it would be
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(super) struct Fetch {
    /// Numbers of files
    #[arg(value_name = "ID")]
    ids: Vec<i64>,
    /// All that failed
    #[arg(long, conflicts_with = "ids")]
    failed: bool,
    #[command(flatten)]
    how: How,
}

#[derive(Args, Debug)]
pub(super) struct Rescan {
    /// Number of one file
    #[arg(value_name = "ID")]
    id: Option<i64>,
    /// Every stored file, a few at a time
    #[arg(long, conflicts_with = "id")]
    all: bool,
    #[command(flatten)]
    how: How,
}

#[derive(Args, Debug)]
pub(super) struct Purge {
    /// Numbers of files
    #[arg(value_name = "ID")]
    ids: Vec<i64>,
    /// All files of this message, voicemail, or call and recording
    #[arg(long, value_name = "ID", requires = "of", conflicts_with = "ids")]
    owner: Option<String>,
    /// What the owner is
    #[arg(long, value_name = "KIND", value_parser = PossibleValuesParser::new(OWNERS))]
    of: Option<String>,
    #[command(flatten)]
    how: How,
}

#[derive(Args, Debug)]
pub(super) struct Hold {
    /// Numbers of files
    #[arg(value_name = "ID")]
    ids: Vec<i64>,
    /// All files of this message, voicemail, or call and recording
    #[arg(long, value_name = "ID", requires = "of", conflicts_with = "ids")]
    owner: Option<String>,
    /// What the owner is
    #[arg(long, value_name = "KIND", value_parser = PossibleValuesParser::new(OWNERS))]
    of: Option<String>,
    /// Lift it
    #[arg(long)]
    release: bool,
    #[command(flatten)]
    how: How,
}

impl Fetch {
    pub(super) async fn run(self, tasks: &Tasks) -> Result<()> {
        let filter = MediaFilter { state: Some("failed".to_owned()), ..MediaFilter::default() };
        let ids = chosen(tasks, self.ids, self.failed.then_some(filter), "or say --failed").await?;
        if self.how.dry_run {
            return self.how.would(&ids, "be fetched");
        }
        let actor = self.how.actor.actor()?;
        let acted = act::fetch(tasks, &ids, &actor).await?;
        self.how.tell(&acted, "to be fetched")
    }
}

impl Rescan {
    pub(super) async fn run(self, config: &Config, tasks: &Tasks) -> Result<()> {
        if config.media.scan == ScanMode::Off {
            bail!("nothing is scanned here: set media.scan and media.clamd");
        }
        let filter = MediaFilter { limit: 1, ..MediaFilter::default() };
        let newest = inspect::list(tasks.db(), &filter).await?.first().map_or(0, |row| row.id);
        let (after, through) = match (self.id, self.all) {
            (Some(id), _) if inspect::show(tasks.db(), MediaId(id)).await?.is_none() => {
                bail!("there is no file {id}")
            }
            (Some(id), _) => (id - 1, id),
            (None, true) => (0, newest),
            (None, false) => bail!("which files? Name one by its number, or say --all"),
        };
        if self.how.dry_run {
            let text = format!("stored files from {} to {through} would be scanned again\n", after + 1);
            let document = json!({"dry_run": true, "after": after, "through": through});
            return self.how.print(&document, &text);
        }
        let actor = self.how.actor.actor()?;
        let task = act::rescan(tasks, after, through, &actor).await?.context("no task was made")?;
        let text = format!("task {task} scans stored files from {} to {through}\n", after + 1);
        self.how.print(&json!({"task": task, "after": after, "through": through}), &text)
    }
}

impl Purge {
    pub(super) async fn run(self, config: &Config, tasks: &Tasks) -> Result<()> {
        let ids = chosen(tasks, self.ids, of_owner(self.owner, self.of), "or say --of and --owner").await?;
        if self.how.dry_run {
            return self.how.would(&ids, "be purged, unless under legal hold");
        }
        let actor = self.how.actor.actor()?;
        let store = database::media_store(config).await?;
        let mut acted = Vec::with_capacity(ids.len());
        let (mut contents, mut bytes) = (0, 0);
        for batch in ids.chunks(BATCH) {
            let now = tasks.clock().now();
            let purged = purge::purge_chosen(tasks.db(), &store, batch, &actor, now).await?;
            (contents, bytes) = (contents + purged.contents, bytes + purged.bytes);
            acted.extend(batch.iter().map(|&id| {
                let done = purged.files.contains(&id);
                let why =
                    (!done).then_some("there is no such file, it is purged already, or under legal hold");
                MediaActed { id, done, why }
            }));
        }
        let bytes = output::size(i64::try_from(bytes).unwrap_or(i64::MAX));
        eprintln!("{contents} contents removed from the store, {bytes} in all; others still name the rest");
        self.how.tell(&acted, "purged")
    }
}

impl Hold {
    pub(super) async fn run(self, tasks: &Tasks) -> Result<()> {
        let ids = chosen(tasks, self.ids, of_owner(self.owner, self.of), "or say --of and --owner").await?;
        let word = if self.release { "released" } else { "under legal hold" };
        if self.how.dry_run {
            return self.how.would(&ids, if self.release { "be released" } else { "be held" });
        }
        let actor = self.how.actor.actor()?;
        if actor.reason.is_none() {
            bail!("a legal hold without a reason: say whose it is with --reason TEXT");
        }
        let acted = act::hold(tasks, &ids, !self.release, &actor).await?;
        self.how.tell(&acted, word)
    }
}

fn of_owner(owner: Option<String>, of: Option<String>) -> Option<MediaFilter> {
    let owner_id = Some(owner?);
    Some(MediaFilter { owner_type: of, owner_id, ..MediaFilter::default() })
}

/// The files an act is for.
async fn chosen(tasks: &Tasks, ids: Vec<i64>, filter: Option<MediaFilter>, or: &str) -> Result<Vec<MediaId>> {
    let Some(mut filter) = filter else {
        if ids.is_empty() {
            bail!("which files? Name their numbers, {or}. See `trunkline media list`");
        }
        return Ok(ids.into_iter().map(MediaId).collect());
    };
    filter.limit = PAGE;
    let mut found: Vec<MediaId> = Vec::new();
    while found.len() < MOST {
        filter.before = found.last().map(|id| id.0);
        let page = inspect::list(tasks.db(), &filter).await?;
        if page.is_empty() {
            break;
        }
        found.extend(page.iter().map(|row| MediaId(row.id)));
    }
    Ok(found)
}

impl How {
    fn print(&self, document: &serde_json::Value, text: &str) -> Result<()> {
        if self.json { output::print(&output::json(document)?) } else { output::print(text) }
    }

    fn would(&self, ids: &[MediaId], what: &str) -> Result<()> {
        let mut text: String = ids.iter().map(|id| format!("file {id} would {what}\n")).collect();
        text += &format!("{} files\n", ids.len());
        self.print(&json!({"dry_run": true, "files": ids}), &text)
    }

    fn tell(&self, acted: &[MediaActed], word: &str) -> Result<()> {
        let done = acted.iter().filter(|one| one.done).count();
        let mut text = String::new();
        for one in acted {
            text += &match one.why {
                None => format!("file {} {word}\n", one.id),
                Some(why) => format!("file {} refused: {why}\n", one.id),
            };
        }
        text += &format!("{done} {word}, {} refused\n", acted.len() - done);
        self.print(&json!({"done": done, "refused": acted.len() - done, "files": acted}), &text)?;
        if done == 0 && !acted.is_empty() {
            bail!("none of the files is {word}");
        }
        Ok(())
    }
}
