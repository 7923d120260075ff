//! The files behind the links, by their content.
//!
//! A file lives under its SHA-256: the same picture sent to a thousand people is stored once, no name from outside
//! ever becomes a path, and a file that is there is whole, since it gets its name only after all of it has arrived.
//! What a file belongs to, and whether anything does, the store does not know: that is the database's part.
//!
//! * [`LocalStore`]: a folder, which any number of processes may share.
//! * [`S3Store`]: a bucket.

mod hash;
mod local;
mod s3;
mod temp;

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tempfile::NamedTempFile;
use tokio::io::AsyncRead;
use url::Url;

pub use hash::{InvalidHash, Sha256Hash, StoredPath};
pub use local::LocalStore;
pub use s3::{AccessKeys, Encryption, S3Failure, S3Settings, S3Store};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("no file {0} in the media store")]
    Missing(Sha256Hash),
    #[error("{hash} in the media store has no bytes {} to {}", range.start, range.end)]
    OutOfRange { hash: Sha256Hash, range: Range<u64> },
    #[error("cannot {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot {action} s3://{bucket}/{key}")]
    S3 { action: &'static str, bucket: String, key: String, source: S3Failure },
    #[error("the temporary file no longer has the content {0}")]
    Altered(Sha256Hash),
}

impl StoreError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// A stored file, or a part of it, being read.
pub struct Opened {
    /// Of the whole file, whatever the part.
    pub size: u64,
    /// Arrives as it is read, so that a large file costs no more memory than a small one.
    pub body: Box<dyn AsyncRead + Send + Unpin>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("size", &self.size).finish_non_exhaustive()
    }
}

/// A file that is there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredObject {
    pub hash: Sha256Hash,
    pub size: u64,
    /// When it was put there, by the store's own clock.
    pub modified: DateTime<Utc>,
}

/// Where files are kept. Cheap to clone.
#[derive(Debug, Clone)]
pub enum MediaStore {
    Local(LocalStore),
    S3(S3Store),
}

impl MediaStore {
    /// A store in a folder, made when it is missing.
    pub async fn local(root: PathBuf) -> Result<Self, StoreError> {
        LocalStore::open(root).await.map(Self::Local)
    }

    /// A store in a bucket. Downloads are written to a folder below `folder` until they are whole.
    pub async fn s3(settings: S3Settings, folder: PathBuf) -> Result<Self, StoreError> {
        S3Store::open(settings, folder).await.map(Self::S3)
    }

    /// Whether files are kept outside of this machine.
    pub fn is_remote(&self) -> bool {
        matches!(self, Self::S3(_))
    }

    /// Where to write what [`keep`](Self::keep) will be given.
    pub fn temp_dir(&self) -> &Path {
        match self {
            Self::Local(store) => store.temp_dir(),
            Self::S3(store) => store.temp_dir(),
        }
    }

    /// Gives a complete file its place. When it returns, the file survives a power cut. A content that is there
    /// already is left as it is. `media_type` is what the file is, for stores that hand it out themselves.
    pub async fn keep(
        &self,
        file: NamedTempFile,
        hash: &Sha256Hash,
        media_type: &str,
    ) -> Result<StoredPath, StoreError> {
        match self {
            Self::Local(store) => store.keep(file, hash).await,
            Self::S3(store) => store.keep(file, hash, media_type).await,
        }
    }

    pub async fn exists(&self, hash: &Sha256Hash) -> Result<bool, StoreError> {
        match self {
            Self::Local(store) => store.exists(hash).await,
            Self::S3(store) => store.exists(hash).await,
        }
    }

    /// Opens a stored file, or these bytes of it; an end beyond the file's is cut to it.
    pub async fn open(&self, hash: &Sha256Hash, range: Option<Range<u64>>) -> Result<Opened, StoreError> {
        match self {
            Self::Local(store) => store.read(hash, range).await,
            Self::S3(store) => store.read(hash, range).await,
        }
    }

    /// A link by which anybody can fetch the file for a while; none from a store that hands out no links.
    pub async fn presigned(
        &self,
        hash: &Sha256Hash,
        content_type: &str,
        content_disposition: &str,
    ) -> Result<Option<Url>, StoreError> {
        match self {
            Self::Local(_) => Ok(None),
            Self::S3(store) => store.presigned(hash, content_type, content_disposition).await,
        }
    }

    /// Removes a file; one that is not there is no error.
    pub async fn delete(&self, hash: &Sha256Hash) -> Result<(), StoreError> {
        match self {
            Self::Local(store) => store.delete(hash).await,
            Self::S3(store) => store.delete(hash).await,
        }
    }

    /// Files in the order of their hashes, from the one after `after`: at most `limit`, and fewer only at the end.
    pub async fn list(
        &self,
        after: Option<&Sha256Hash>,
        limit: usize,
    ) -> Result<Vec<StoredObject>, StoreError> {
        match self {
            Self::Local(store) => store.list(after, limit).await,
            Self::S3(store) => store.list(after, limit).await,
        }
    }

    /// Removes what crashed processes left in the temporary folder and tells how many files that were.
    /// `older_than` must exceed the longest download, or one still running loses its file.
    pub async fn sweep_temp(&self, older_than: Duration, now: DateTime<Utc>) -> Result<usize, StoreError> {
        match self {
            Self::Local(store) => store.sweep_temp(older_than, now).await,
            Self::S3(store) => store.sweep_temp(older_than, now).await,
        }
    }

    /// Ends uploads that were begun before `before` and never came to their end, and tells how many.
    pub async fn abort_uploads(&self, before: DateTime<Utc>) -> Result<usize, StoreError> {
        match self {
            Self::Local(_) => Ok(0),
            Self::S3(store) => store.abort_uploads(before).await,
        }
    }

    /// Whether files can be stored now, as far as can be told without storing one.
    pub async fn check(&self) -> Result<(), StoreError> {
        match self {
            Self::Local(store) => store.check().await,
            Self::S3(store) => store.check().await,
        }
    }
}

async fn blocking<T: Send + 'static>(
    action: &'static str,
    path: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|stopped| Err(io::Error::other(stopped)))
        .map_err(StoreError::io(action, path))
}
