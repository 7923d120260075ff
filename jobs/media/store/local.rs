//! Files in a folder.
//!
//! A file lives at `ab/cd/<sha-256>` and is moved there only after it has reached the disk. Downloads are written
//! under `tmp` in the same folder, so that the move is a rename.

use std::fs::{self, File};
use std::io::{self, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::temp::TempFolder;
use super::{Opened, Sha256Hash, StoreError, StoredObject, StoredPath, blocking};

/// A folder of files by their hash. Any number of processes may share it.
#[derive(Debug, Clone)]
pub struct LocalStore {
    root: PathBuf,
    temp: TempFolder,
}

impl LocalStore {
    /// Opens the store at `root`, making the folders it needs.
    pub async fn open(root: PathBuf) -> Result<Self, StoreError> {
        let temp = TempFolder::open(&root).await?;
        Ok(Self { root, temp })
    }

    pub(super) fn temp_dir(&self) -> &Path {
        self.temp.path()
    }

    pub(super) async fn keep(
        &self,
        file: NamedTempFile,
        hash: &Sha256Hash,
    ) -> Result<StoredPath, StoreError> {
        let (root, target) = (self.root.clone(), self.path_of(hash));
        blocking("store", &target.clone(), move || move_into_place(file, &root, &target)).await?;
        Ok(StoredPath::from(hash))
    }

    fn path_of(&self, hash: &Sha256Hash) -> PathBuf {
        self.root.join(StoredPath::from(hash).as_str())
    }

    pub(super) async fn exists(&self, hash: &Sha256Hash) -> Result<bool, StoreError> {
        let path = self.path_of(hash);
        tokio::fs::try_exists(&path).await.map_err(StoreError::io("look for", &path))
    }

    pub(super) async fn read(
        &self,
        hash: &Sha256Hash,
        range: Option<Range<u64>>,
    ) -> Result<Opened, StoreError> {
        let path = self.path_of(hash);
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::Missing(*hash),
            _ => StoreError::io("open", &path)(error),
        };
        let mut file = tokio::fs::File::open(&path).await.map_err(failed)?;
        let size = file.metadata().await.map_err(failed)?.len();
        let Some(range) = range else { return Ok(Opened { size, body: Box::new(file) }) };
        if range.is_empty() || range.start >= size {
            return Err(StoreError::OutOfRange { hash: *hash, range });
        }
        file.seek(SeekFrom::Start(range.start)).await.map_err(failed)?;
        Ok(Opened { size, body: Box::new(file.take(range.end - range.start)) })
    }

    pub(super) async fn delete(&self, hash: &Sha256Hash) -> Result<(), StoreError> {
        let path = self.path_of(hash);
        blocking("remove", &path.clone(), move || match fs::remove_file(&path) {
            Ok(()) => path.parent().map_or(Ok(()), sync_folder),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        })
        .await
    }

    pub(super) async fn list(
        &self,
        after: Option<&Sha256Hash>,
        limit: usize,
    ) -> Result<Vec<StoredObject>, StoreError> {
        let (root, after) = (self.root.clone(), after.copied());
        blocking("list", &self.root, move || list(&root, after.as_ref(), limit)).await
    }

    pub(super) async fn sweep_temp(
        &self,
        older_than: Duration,
        now: DateTime<Utc>,
    ) -> Result<usize, StoreError> {
        self.temp.sweep(older_than, now).await
    }

    pub(super) async fn check(&self) -> Result<(), StoreError> {
        self.temp.check().await
    }
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

/// Goes through the two levels of folders in order. What is there and is no file of ours is passed over.
fn list(root: &Path, after: Option<&Sha256Hash>, limit: usize) -> io::Result<Vec<StoredObject>> {
    let after = after.map(|hash| StoredPath::from(hash).as_str().to_owned()).unwrap_or_default();
    let mut found = Vec::new();
    for outer in names_in(root)?.iter().filter(|name| is_fan_out(name)) {
        if outer.as_str() < after.get(..2).unwrap_or_default() {
            continue;
        }
        for inner in names_in(&root.join(outer))?.iter().filter(|name| is_fan_out(name)) {
            if format!("{outer}/{inner}").as_str() < after.get(..5).unwrap_or_default() {
                continue;
            }
            let folder = root.join(outer).join(inner);
            for name in names_in(&folder)? {
                let Ok(hash) = name.parse::<Sha256Hash>() else { continue };
                let path = StoredPath::from(&hash);
                if path.as_str() != format!("{outer}/{inner}/{name}") || path.as_str() <= after.as_str() {
                    continue;
                }
                if found.len() == limit {
                    return Ok(found);
                }
                match fs::metadata(folder.join(&name)) {
                    Ok(file) => {
                        found.push(StoredObject {
                            hash,
                            size: file.len(),
                            modified: file.modified()?.into(),
                        });
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(found)
}

fn is_fan_out(name: &str) -> bool {
    name.len() == 2 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// What is in a folder, in order; nothing if there is none.
fn names_in(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
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

    use tempfile::TempDir;

    use super::*;

    async fn store() -> (TempDir, LocalStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::open(folder.path().join("media")).await.unwrap();
        (folder, store)
    }

    fn hash() -> Sha256Hash {
        [0xab; 32].into()
    }

    fn temp_file(store: &LocalStore, content: &[u8]) -> NamedTempFile {
        let mut file = NamedTempFile::new_in(store.temp_dir()).unwrap();
        file.write_all(content).unwrap();
        file
    }

    fn left_in_temp(store: &LocalStore) -> usize {
        fs::read_dir(store.temp_dir()).unwrap().count()
    }

    async fn content(store: &LocalStore, range: Option<Range<u64>>) -> Result<(u64, Vec<u8>), StoreError> {
        let Opened { size, mut body } = store.read(&hash(), range).await?;
        let mut content = Vec::new();
        body.read_to_end(&mut content).await.unwrap();
        Ok((size, content))
    }

    #[tokio::test]
    async fn a_kept_file_is_found_by_its_hash() {
        let (_folder, store) = store().await;
        assert!(!store.exists(&hash()).await.unwrap());

        let stored = store.keep(temp_file(&store, b"picture"), &hash()).await.unwrap();

        assert_eq!(stored.as_str(), format!("ab/ab/{}", hash()));
        assert!(store.exists(&hash()).await.unwrap());
        assert_eq!(content(&store, None).await.unwrap(), (7, b"picture".to_vec()));
        assert_eq!(left_in_temp(&store), 0);
    }

    #[tokio::test]
    async fn a_part_of_a_file_can_be_read_and_no_part_it_does_not_have() {
        let (_folder, store) = store().await;
        store.keep(temp_file(&store, b"picture"), &hash()).await.unwrap();
        for (range, part) in [(0..3, "pic"), (3..7, "ture"), (5..100, "re")] {
            assert_eq!(content(&store, Some(range)).await.unwrap(), (7, part.as_bytes().to_vec()));
        }
        for range in [7..8, 2..2] {
            let error = content(&store, Some(range)).await.unwrap_err();
            assert!(matches!(error, StoreError::OutOfRange { .. }), "{error}");
        }
    }

    #[tokio::test]
    async fn the_same_content_is_stored_once_however_many_keep_it_at_once() {
        let (_folder, store) = store().await;
        let hash = hash();
        let first = store.keep(temp_file(&store, b"picture"), &hash);
        let second = store.keep(temp_file(&store, b"picture"), &hash);
        let (first, second) = tokio::join!(first, second);

        assert_eq!(first.unwrap(), second.unwrap());
        assert_eq!(store.list(None, 10).await.unwrap().len(), 1);
        assert_eq!(left_in_temp(&store), 0);
    }

    #[tokio::test]
    async fn a_stored_file_is_never_replaced() {
        let (_folder, store) = store().await;
        store.keep(temp_file(&store, b"picture"), &hash()).await.unwrap();
        store.keep(temp_file(&store, b"another"), &hash()).await.unwrap();
        assert_eq!(content(&store, None).await.unwrap().1, b"picture");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_stored_file_is_closed_to_strangers() {
        use std::os::unix::fs::PermissionsExt;
        let (_folder, store) = store().await;
        store.keep(temp_file(&store, b"picture"), &hash()).await.unwrap();
        let mode = fs::metadata(store.path_of(&hash())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
    }

    #[tokio::test]
    async fn a_missing_file_is_told_apart_from_a_broken_disk() {
        let (_folder, store) = store().await;
        assert!(
            matches!(content(&store, None).await, Err(StoreError::Missing(missing)) if missing == hash())
        );
    }

    #[tokio::test]
    async fn a_removed_file_is_gone_and_removing_it_again_is_no_error() {
        let (_folder, store) = store().await;
        store.keep(temp_file(&store, b"picture"), &hash()).await.unwrap();
        for _ in 0..2 {
            store.delete(&hash()).await.unwrap();
            assert!(!store.exists(&hash()).await.unwrap());
        }
    }

    #[tokio::test]
    async fn files_are_listed_in_order_page_by_page_and_strangers_passed_over() {
        let (_folder, store) = store().await;
        let hashes: Vec<Sha256Hash> = [[0; 32], [1; 32], [0xab; 32], [0xff; 32]].map(Into::into).to_vec();
        for hash in hashes.iter().rev() {
            store.keep(temp_file(&store, b"picture"), hash).await.unwrap();
        }
        temp_file(&store, b"half").keep().unwrap();
        fs::write(store.root.join("README"), "not ours").unwrap();
        fs::write(store.root.join("ab/ab/notes.txt"), "not ours").unwrap();
        fs::copy(store.path_of(&hash()), store.root.join("ff/ff").join(hash().to_string())).unwrap();

        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let page = store.list(after.as_ref(), 3).await.unwrap();
            assert!(page.iter().all(|object| object.size == 7));
            listed.extend(page.iter().map(|object| object.hash));
            match page.len() {
                3 => after = listed.last().copied(),
                _ => break,
            }
        }
        assert_eq!(listed, hashes);
    }
}
