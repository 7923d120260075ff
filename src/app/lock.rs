//! One process at a time on an embedded database: a lock the operating system frees even after a SIGKILL.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use thiserror::Error;

#[derive(Debug, Error)]
pub enum LockError {
    #[error(
        "another process runs on {database}: SQLite serves one process. \
         Stop it, or set TRUNKLINE_DATABASE_URL to a PostgreSQL database, which serves many"
    )]
    Taken { database: PathBuf },
    #[error("the lock file {path} cannot be used")]
    Io { path: PathBuf, source: std::io::Error },
}

/// Held as long as it lives.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

impl FileLock {
    /// Takes the lock of a database file.
    ///
    /// # Errors
    /// When another process holds it, or the file beside the database cannot be made.
    pub fn take(database: &Path) -> Result<Self, LockError> {
        let mut path = database.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        let io = |source| LockError::Io { path: path.clone(), source };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(io)?;
        }
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Taken { database: database.to_owned() }),
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_on_the_same_database_is_refused_until_the_first_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("new/trunkline.db");
        let first = FileLock::take(&database).unwrap();
        assert!(matches!(FileLock::take(&database), Err(LockError::Taken { .. })));
        drop(first);
        assert!(FileLock::take(&database).is_ok());
    }
}
