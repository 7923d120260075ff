//! How far a tunnel is: the number of the last event it dealt with, in a file of its own, so that a restart goes on there.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use url::Url;

/// What the file holds.
#[derive(Debug, Deserialize, Serialize)]
struct Kept {
    server: String,
    to: String,
    after: i64,
}

#[derive(Debug)]
pub(super) struct Place {
    file: PathBuf,
    server: String,
    to: String,
    after: Option<i64>,
    /// Held as long as this process may write the file.
    _lock: File,
}

impl Place {
    /// Opens the file, or the usual one for this server and local address.
    pub(super) fn open(file: Option<PathBuf>, server: &Url, to: &Url) -> Result<Self> {
        let file = match file {
            Some(file) => file,
            None => usual_folder()?.join(usual_name(server, to)),
        };
        let (folder, shown) = (folder_of(&file), file.display());
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let lock = file.with_extension("lock");
        let held = OpenOptions::new().create(true).truncate(false).write(true).open(&lock);
        let held = held.with_context(|| format!("cannot open {}", lock.display()))?;
        match held.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("another tunnel keeps its place in {shown}: end it, or give this one another --state")
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", lock.display()));
            }
        }
        let after = match fs::read(&file) {
            Ok(bytes) => Some(read(&bytes, server).with_context(|| format!("reading {shown}"))?),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("cannot read {shown}")),
        };
        Ok(Self { file, server: server.to_string(), to: to.to_string(), after, _lock: held })
    }

    /// The last event that was dealt with; none at the very first start.
    pub(super) fn after(&self) -> Option<i64> {
        self.after
    }

    /// Writes it down before anything else is done.
    pub(super) fn go(&mut self, after: i64) -> Result<()> {
        if self.after == Some(after) {
            return Ok(());
        }
        let kept = Kept { server: self.server.clone(), to: self.to.clone(), after };
        let write = || -> Result<()> {
            let mut new = NamedTempFile::new_in(folder_of(&self.file))?;
            new.write_all(&serde_json::to_vec(&kept)?)?;
            new.as_file().sync_data()?;
            new.persist(&self.file)?;
            Ok(())
        };
        write().with_context(|| format!("cannot write {}", self.file.display()))?;
        self.after = Some(after);
        Ok(())
    }
}

fn read(bytes: &[u8], server: &Url) -> Result<i64> {
    let kept: Kept = serde_json::from_slice(bytes).context("it is not a file of a tunnel")?;
    if kept.server != server.as_str() {
        bail!("it belongs to a tunnel from {}; numbers of another server mean nothing here", kept.server);
    }
    Ok(kept.after)
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn usual_folder() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
    Ok(state.context("there is no HOME to keep the place in: give --state FILE")?.join("trunkline"))
}

fn usual_name(server: &Url, to: &Url) -> String {
    let hash = Sha256::digest(format!("{server}\n{to}"));
    let hex: String = hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("tunnel-{hex}.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn a_place_is_kept_for_the_next_start_and_held_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep/place.json");
        let (server, to) = (url("https://a.example/"), url("http://127.0.0.1:1/x"));
        let mut place = Place::open(Some(file.clone()), &server, &to).unwrap();
        assert_eq!(place.after(), None);
        place.go(17).unwrap();
        let second = Place::open(Some(file.clone()), &server, &to).unwrap_err().to_string();
        assert!(second.starts_with("another tunnel"), "{second}");
        drop(place);
        assert_eq!(Place::open(Some(file.clone()), &server, &to).unwrap().after(), Some(17));
        let other = Place::open(Some(file.clone()), &url("https://b.example/"), &to).unwrap_err();
        assert!(format!("{other:#}").contains("belongs to a tunnel from https://a.example/"), "{other:#}");
        fs::write(&file, "nonsense").unwrap();
        assert!(Place::open(Some(file), &server, &to).is_err());
    }

    #[test]
    fn each_server_and_local_address_has_a_file_of_its_own() {
        let (a, b) = (url("https://a.example/"), url("https://b.example/"));
        assert_ne!(usual_name(&a, &b), usual_name(&b, &a));
        assert_eq!(usual_name(&a, &b), usual_name(&a, &b));
    }
}
