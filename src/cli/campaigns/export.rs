//! `trunkline campaigns export`.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;
use trunkline_jobs::campaigns::report::{ExportedRow, Part, export, note_export};
use trunkline_jobs::export::Format;
use trunkline_platform::clock::Clock;

use super::look::found;
use crate::cli::audit::ActorArgs;
use crate::cli::{database, output};
use crate::config::Config;
use crate::mask;

/// The last line of a file lies within so many bytes of its end.
const TAIL: u64 = 64 * 1_024;

#[derive(Args, Debug)]
pub(super) struct Export {
    id: i64,
    /// Where to write [default: standard output]
    file: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "csv")]
    format: output::FormatName,
    /// Go on with a file that was cut off
    #[arg(long, requires = "file", conflicts_with = "after")]
    resume: bool,
    /// Only recipients behind this place: the last of the part before
    #[arg(long, value_name = "POSITION", default_value_t = 0)]
    after: i64,
    /// At most so many recipients
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,
    /// Write numbers in full
    #[arg(long)]
    unmask: bool,
    #[command(flatten)]
    actor: ActorArgs,
}

impl Export {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let db = database::open(config).await?;
        let campaign = found(&db, self.id).await?;
        let (format, actor) = (Format::from(self.format), self.actor.actor()?);
        let (file, after) = match &self.file {
            None => (None, self.after),
            Some(path) if self.resume => {
                let (file, after) = opened_again(path, format)?;
                (Some(file), after)
            }
            Some(path) => {
                let file = File::create_new(path);
                (Some(file.with_context(|| format!("{} cannot be made", path.display()))?), self.after)
            }
        };
        let part = Part { after, limit: self.limit };
        note_export(&db, campaign.id, part, self.unmask, &actor, Clock::system().now()).await?;
        let shown = |row: ExportedRow| match self.unmask {
            true => row,
            false => ExportedRow { number: mask::phone(&row.number), ..row },
        };
        let Some(file) = file else {
            let mut out = BufWriter::new(io::stdout());
            return match export(&db, campaign.id, part, format, shown, &mut out).await {
                Err(error) if error.is_broken_pipe() => Ok(()),
                Ok((_, Some(next))) => {
                    eprintln!("there are more: go on with --after {next}");
                    Ok(())
                }
                written => written.map(drop).context("the export stopped"),
            };
        };
        let (count, next) = export(&db, campaign.id, part, format, shown, &mut BufWriter::new(file)).await?;
        let more = next.map(|_| "; there are more: go on with --resume").unwrap_or_default();
        let path = self.file.unwrap_or_default();
        output::print(&format!("{count} recipients were written to {}{more}\n", path.display()))
    }
}

/// Opens a file behind its last whole line, and tells the place of the recipient on it. What was cut off goes.
fn opened_again(path: &Path, format: Format) -> Result<(File, i64)> {
    let opening = || format!("{} cannot be gone on with", path.display());
    let mut file = OpenOptions::new().read(true).write(true).open(path).with_context(opening)?;
    let length = file.metadata().with_context(opening)?.len();
    let begin = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(begin)).with_context(opening)?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).with_context(opening)?;
    let (whole, after) = match tail.iter().rposition(|byte| *byte == b'\n') {
        Some(end) => {
            let line = tail[..end].rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
            let after = position_on(&String::from_utf8_lossy(line), format);
            let after =
                after.with_context(|| format!("{}: its last line is of no such export", path.display()))?;
            // With nothing but the names it is written anew.
            (if after == 0 { 0 } else { begin + end as u64 + 1 }, after)
        }
        None if begin > 0 => bail!("{}: its last line is of no such export", path.display()),
        None => (0, 0),
    };
    file.set_len(whole).with_context(opening)?;
    file.seek(SeekFrom::Start(whole)).with_context(opening)?;
    Ok((file, after))
}

/// The place on a line of an export; 0 on the line with the names.
fn position_on(line: &str, format: Format) -> Option<i64> {
    match format {
        Format::Jsonl => serde_json::from_str::<Value>(line).ok()?["position"].as_i64(),
        Format::Csv => {
            let first = line.split(',').next()?;
            if first == "position" { Some(0) } else { first.parse().ok() }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gone_on(content: &str, format: Format) -> Result<(String, i64)> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("export");
        std::fs::write(&path, content)?;
        let (mut file, after) = opened_again(&path, format)?;
        file.write_all(b"on")?;
        Ok((std::fs::read_to_string(&path)?, after))
    }

    #[test]
    fn a_file_that_was_cut_off_goes_on_behind_its_last_whole_line() {
        let whole = gone_on("position,number\n1,+1\n2,+1\n3,+", Format::Csv).unwrap();
        assert_eq!(whole, ("position,number\n1,+1\n2,+1\non".to_owned(), 2));
        assert_eq!(
            gone_on("{\"position\":7}\n{\"pos", Format::Jsonl).unwrap(),
            ("{\"position\":7}\non".to_owned(), 7)
        );
        assert_eq!(gone_on("position,number\n1,", Format::Csv).unwrap(), ("on".to_owned(), 0));
        assert_eq!(gone_on("posit", Format::Csv).unwrap(), ("on".to_owned(), 0));
        assert!(gone_on("anything\nelse\n", Format::Csv).is_err());
    }
}
