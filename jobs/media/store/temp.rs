//! The folder downloads are written to until they are whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};

use super::{StoreError, blocking};

#[derive(Debug, Clone)]
pub(super) struct TempFolder(PathBuf);

impl TempFolder {
    /// The folder `tmp` in `root`, made when it is missing.
    pub(super) async fn open(root: &Path) -> Result<Self, StoreError> {
        let path = root.join("tmp");
        tokio::fs::create_dir_all(&path).await.map_err(StoreError::io("create", &path))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Whether files can be written here.
    pub(super) async fn check(&self) -> Result<(), StoreError> {
        let path = self.0.clone();
        blocking("write to", &self.0, move || tempfile::tempfile_in(path).map(drop)).await
    }

    pub(super) async fn sweep(&self, older_than: Duration, now: DateTime<Utc>) -> Result<usize, StoreError> {
        let path = self.0.clone();
        blocking("sweep", &self.0, move || sweep(&path, older_than, now.into())).await
    }
}

fn sweep(folder: &Path, older_than: Duration, now: SystemTime) -> io::Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(folder)? {
        match remove_if_stale(&entry?, older_than, now) {
            Ok(stale) => removed += usize::from(stale),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(removed)
}

fn remove_if_stale(entry: &fs::DirEntry, older_than: Duration, now: SystemTime) -> io::Result<bool> {
    let metadata = entry.metadata()?;
    let stale =
        metadata.is_file() && now.duration_since(metadata.modified()?).is_ok_and(|age| age > older_than);
    if stale {
        fs::remove_file(entry.path())?;
    }
    Ok(stale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_old_temporary_files_are_swept() {
        let root = tempfile::tempdir().unwrap();
        let temp = TempFolder::open(root.path()).await.unwrap();
        let left_over = temp.path().join("half");
        fs::write(&left_over, "half").unwrap();
        let written: DateTime<Utc> = fs::metadata(&left_over).unwrap().modified().unwrap().into();
        let hour = Duration::from_secs(3600);

        assert_eq!(temp.sweep(hour, written - hour).await.unwrap(), 0);
        assert_eq!(temp.sweep(hour, written + hour).await.unwrap(), 0);
        assert!(left_over.exists());
        assert_eq!(temp.sweep(hour, written + hour * 2).await.unwrap(), 1);
        assert!(!left_over.exists());
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_to_is_told() {
        let root = tempfile::tempdir().unwrap();
        let temp = TempFolder::open(root.path()).await.unwrap();
        temp.check().await.unwrap();
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
        fs::remove_dir(temp.path()).unwrap();
        let error = temp.check().await.unwrap_err();
        assert_eq!(error.to_string(), format!("cannot write to {}", temp.path().display()));
    }
}
