//! Files by their content, in a local folder.
//!
//! A file lives at `ab/cd/<sha-256>`: the same picture sent to a thousand people is stored once, no name from
//! outside ever becomes a path, and a file that is there is whole, since it is moved into place only after it
//! has reached the disk. Downloads are written under `tmp` in the same folder, so that the move is a rename.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use tempfile::NamedTempFile;

/// What identifies a file's content.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256Hash([u8; 32]);

impl From<[u8; 32]> for Sha256Hash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Sha256Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 hash is 64 lower-case hexadecimal digits")]
pub struct InvalidHash;

impl FromStr for Sha256Hash {
    type Err = InvalidHash;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(InvalidHash),
        };
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return Err(InvalidHash) };
        let pairs: &[[u8; 2]; 32] = pairs.try_into().map_err(|_| InvalidHash)?;
        let mut bytes = [0; 32];
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Ok(Self(bytes))
    }
}

/// Where a file is, relative to the store's root and with forward slashes: what the database keeps.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StoredPath(String);

impl StoredPath {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&Sha256Hash> for StoredPath {
    fn from(hash: &Sha256Hash) -> Self {
        let Sha256Hash([first, second, ..]) = hash;
        Self(format!("{first:02x}/{second:02x}/{hash}"))
    }
}

impl fmt::Display for StoredPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("no file {0} in the media store")]
    Missing(Sha256Hash),
    #[error("cannot {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

impl StoreError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// A folder of files by their hash. Cheap to clone; any number of processes may share the folder.
#[derive(Debug, Clone)]
pub struct LocalStore {
    root: PathBuf,
    temp: PathBuf,
}

impl LocalStore {
    /// Opens the store at `root`, making the folders it needs.
    pub async fn open(root: PathBuf) -> Result<Self, StoreError> {
        let temp = root.join("tmp");
        tokio::fs::create_dir_all(&temp).await.map_err(StoreError::io("create", &temp))?;
        Ok(Self { root, temp })
    }

    /// Where to write what [`keep`](Self::keep) will be given.
    pub fn temp_dir(&self) -> &Path {
        &self.temp
    }

    /// Moves a complete file to its place. When it returns, the file survives a power cut.
    pub async fn keep(&self, file: NamedTempFile, hash: &Sha256Hash) -> Result<StoredPath, StoreError> {
        let stored = StoredPath::from(hash);
        let (root, target) = (self.root.clone(), self.path_of(hash));
        blocking("store", &target.clone(), move || move_into_place(file, &root, &target)).await?;
        Ok(stored)
    }

    pub fn path_of(&self, hash: &Sha256Hash) -> PathBuf {
        self.root.join(StoredPath::from(hash).as_str())
    }

    pub async fn exists(&self, hash: &Sha256Hash) -> Result<bool, StoreError> {
        let path = self.path_of(hash);
        tokio::fs::try_exists(&path).await.map_err(StoreError::io("look for", &path))
    }

    /// Opens a stored file for reading.
    pub async fn open_file(&self, hash: &Sha256Hash) -> Result<tokio::fs::File, StoreError> {
        let path = self.path_of(hash);
        tokio::fs::File::open(&path).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::Missing(*hash),
            _ => StoreError::io("open", &path)(error),
        })
    }

    /// Removes what crashed processes left under `tmp` and tells how many files that were.
    /// `older_than` must exceed the longest download, or one still running loses its file.
    pub async fn sweep_temp(&self, older_than: Duration, now: DateTime<Utc>) -> Result<usize, StoreError> {
        let temp = self.temp.clone();
        blocking("sweep", &self.temp, move || sweep(&temp, older_than, now.into())).await
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

fn move_into_place(file: NamedTempFile, root: &Path, target: &Path) -> io::Result<()> {
    share_with_group(file.as_file())?;
    file.as_file().sync_all()?;
    let folders: Vec<&Path> =
        target.ancestors().skip(1).take_while(|folder| folder.starts_with(root)).collect();
    if let Some(innermost) = folders.first() {
        fs::create_dir_all(innermost)?;
    }
    match file.persist_noclobber(target) {
        Ok(_) => {}
        Err(lost) if lost.error.kind() == io::ErrorKind::AlreadyExists => lost.file.close()?,
        Err(failed) => return Err(failed.error),
    }
    // Also when the file was there: whoever put it there may not have got this far yet.
    folders.into_iter().try_for_each(sync_folder)
}

fn sweep(temp: &Path, older_than: Duration, now: SystemTime) -> io::Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(temp)? {
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

/// Temporary files are the owner's alone; a stored one may be read by the group, for backups and scanners.
#[cfg(unix)]
fn share_with_group(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o640))
}

#[cfg(not(unix))]
fn share_with_group(_: &File) -> io::Result<()> {
    Ok(())
}

/// A rename is durable once its folder is. Only Unix lets a folder be opened for that.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;
    use tempfile::TempDir;
    use tokio::io::AsyncReadExt;

    use super::*;

    const HASH: Sha256Hash = Sha256Hash([0xab; 32]);

    async fn store() -> (TempDir, LocalStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::open(folder.path().join("media")).await.unwrap();
        (folder, store)
    }

    fn temp_file(store: &LocalStore, content: &[u8]) -> NamedTempFile {
        let mut file = NamedTempFile::new_in(store.temp_dir()).unwrap();
        file.write_all(content).unwrap();
        file
    }

    fn left_in_temp(store: &LocalStore) -> usize {
        fs::read_dir(store.temp_dir()).unwrap().count()
    }

    #[tokio::test]
    async fn a_kept_file_is_found_by_its_hash() {
        let (_folder, store) = store().await;
        assert!(!store.exists(&HASH).await.unwrap());

        let stored = store.keep(temp_file(&store, b"picture"), &HASH).await.unwrap();

        assert_eq!(stored.as_str(), format!("ab/ab/{HASH}"));
        assert!(store.exists(&HASH).await.unwrap());
        let mut content = Vec::new();
        store.open_file(&HASH).await.unwrap().read_to_end(&mut content).await.unwrap();
        assert_eq!(content, b"picture");
        assert_eq!(left_in_temp(&store), 0);
    }

    #[tokio::test]
    async fn the_same_content_is_stored_once_however_many_keep_it_at_once() {
        let (_folder, store) = store().await;
        let first = store.keep(temp_file(&store, b"picture"), &HASH);
        let second = store.keep(temp_file(&store, b"picture"), &HASH);
        let (first, second) = tokio::join!(first, second);

        assert_eq!(first.unwrap(), second.unwrap());
        assert_eq!(fs::read_dir(store.path_of(&HASH).parent().unwrap()).unwrap().count(), 1);
        assert_eq!(left_in_temp(&store), 0);
    }

    #[tokio::test]
    async fn a_stored_file_is_never_replaced() {
        let (_folder, store) = store().await;
        store.keep(temp_file(&store, b"picture"), &HASH).await.unwrap();
        store.keep(temp_file(&store, b"another"), &HASH).await.unwrap();
        assert_eq!(fs::read(store.path_of(&HASH)).unwrap(), b"picture");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_stored_file_is_closed_to_strangers() {
        use std::os::unix::fs::PermissionsExt;
        let (_folder, store) = store().await;
        store.keep(temp_file(&store, b"picture"), &HASH).await.unwrap();
        let mode = fs::metadata(store.path_of(&HASH)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
    }

    #[tokio::test]
    async fn a_missing_file_is_told_apart_from_a_broken_disk() {
        let (_folder, store) = store().await;
        assert!(matches!(store.open_file(&HASH).await, Err(StoreError::Missing(HASH))));
    }

    #[tokio::test]
    async fn only_old_temporary_files_are_swept() {
        let (_folder, store) = store().await;
        let (_, left_over) = temp_file(&store, b"half").keep().unwrap();
        let written: DateTime<Utc> = fs::metadata(&left_over).unwrap().modified().unwrap().into();
        let hour = Duration::from_secs(3600);

        assert_eq!(store.sweep_temp(hour, written - hour).await.unwrap(), 0);
        assert_eq!(store.sweep_temp(hour, written + hour).await.unwrap(), 0);
        assert!(left_over.exists());
        assert_eq!(store.sweep_temp(hour, written + hour * 2).await.unwrap(), 1);
        assert!(!left_over.exists());
    }

    #[test]
    fn a_hash_is_read_only_in_its_one_spelling() {
        let upper = HASH.to_string().to_uppercase();
        for text in ["", "ab", "zz", &upper, &format!("{HASH}ab"), &format!("{HASH}a"), &"é".repeat(32)] {
            assert_eq!(text.parse::<Sha256Hash>(), Err(InvalidHash), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_hash_survives_being_written_and_read(bytes: [u8; 32]) {
            let hash = Sha256Hash(bytes);
            prop_assert_eq!(hash.to_string().parse(), Ok(hash));
        }
    }
}
