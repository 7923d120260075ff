//! Files in a bucket of Amazon S3 or of a server that speaks its protocol.
//!
//! Keys are the paths of the local folder behind a prefix, so a folder can be copied into a bucket as it is, and back.
//! Downloads are still written to a folder of this machine until they are whole.

mod failure;
mod settings;
mod upload;

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::DateTime as S3Time;
use aws_sdk_s3::types::Object;
use chrono::{DateTime, Utc};
use tempfile::NamedTempFile;
use tokio::sync::{Semaphore, SemaphorePermit};
use url::Url;

use super::temp::TempFolder;
use super::{Opened, Sha256Hash, StoreError, StoredObject, StoredPath, blocking};

pub use failure::S3Failure;
pub use settings::{AccessKeys, Encryption, S3Settings};

/// Uploads of one process on their way at once, the parts of large files among them: what bounds memory and
/// connections however many jobs run.
const UPLOADS_AT_ONCE: usize = 16;
/// What S3 lists in one answer.
const PAGE: usize = 1_000;
/// Listings of unfinished uploads in one go; what is left waits for the next.
const UPLOAD_PAGES: usize = 10;

/// A bucket of files by their hash. Cheap to clone; any number of processes may share the bucket.
#[derive(Clone)]
pub struct S3Store(Arc<Inner>);

struct Inner {
    client: Client,
    settings: S3Settings,
    temp: TempFolder,
    uploads: Semaphore,
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("S3Store").field(&self.0.settings).finish()
    }
}

impl S3Store {
    /// Sets the store up without a word to the server. Downloads are written to `tmp` in `folder`.
    pub(super) async fn open(settings: S3Settings, folder: PathBuf) -> Result<Self, StoreError> {
        let (client, temp) = (settings.client().await, TempFolder::open(&folder).await?);
        Ok(Self(Arc::new(Inner { client, settings, temp, uploads: Semaphore::new(UPLOADS_AT_ONCE) })))
    }

    fn client(&self) -> &Client {
        &self.0.client
    }

    fn settings(&self) -> &S3Settings {
        &self.0.settings
    }

    fn key(&self, hash: &Sha256Hash) -> String {
        format!("{}{}", self.0.settings.prefix, StoredPath::from(hash))
    }

    /// Waits until this upload may be sent. The semaphore is never closed.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.0.uploads.acquire().await.ok()
    }

    fn failed(&self, action: &'static str, key: &str, failure: S3Failure) -> StoreError {
        StoreError::S3 {
            action,
            bucket: self.0.settings.bucket.clone(),
            key: key.to_owned(),
            source: failure,
        }
    }

    pub(super) fn temp_dir(&self) -> &Path {
        self.0.temp.path()
    }

    pub(super) async fn keep(
        &self,
        file: NamedTempFile,
        hash: &Sha256Hash,
        media_type: &str,
    ) -> Result<StoredPath, StoreError> {
        if !self.exists(hash).await? {
            upload::upload(self, file.path(), hash, media_type).await?;
        }
        let path = file.path().to_owned();
        blocking("remove", &path, move || file.close()).await?;
        Ok(StoredPath::from(hash))
    }

    pub(super) async fn exists(&self, hash: &Sha256Hash) -> Result<bool, StoreError> {
        let key = self.key(hash);
        let request = self.client().head_object().bucket(&self.settings().bucket).key(&key);
        match request.send().await.map_err(S3Failure::from) {
            Ok(_) => Ok(true),
            Err(failure) if failure.is_not_found() => Ok(false),
            Err(failure) => Err(self.failed("look for", &key, failure)),
        }
    }

    pub(super) async fn read(
        &self,
        hash: &Sha256Hash,
        range: Option<Range<u64>>,
    ) -> Result<Opened, StoreError> {
        let key = self.key(hash);
        let mut request = self.client().get_object().bucket(&self.settings().bucket).key(&key);
        if let Some(range) = &range {
            if range.is_empty() {
                return Err(StoreError::OutOfRange { hash: *hash, range: range.clone() });
            }
            request = request.range(format!("bytes={}-{}", range.start, range.end - 1));
        }
        match (request.send().await.map_err(S3Failure::from), range) {
            (Ok(answer), _) => {
                let size = whole_size(answer.content_range(), answer.content_length());
                let size =
                    size.ok_or_else(|| self.failed("read", &key, S3Failure::Incomplete("the size")))?;
                Ok(Opened { size, body: Box::new(answer.body.into_async_read()) })
            }
            (Err(failure), Some(range)) if failure.is("InvalidRange") => {
                Err(StoreError::OutOfRange { hash: *hash, range })
            }
            (Err(failure), _) if failure.is("NoSuchKey") => Err(StoreError::Missing(*hash)),
            (Err(failure), _) => Err(self.failed("read", &key, failure)),
        }
    }

    pub(super) async fn presigned(
        &self,
        hash: &Sha256Hash,
        content_type: &str,
        content_disposition: &str,
    ) -> Result<Option<Url>, StoreError> {
        let Some(good_for) = self.settings().presign else { return Ok(None) };
        let key = self.key(hash);
        let failed = |failure| self.failed("make a link to", &key, failure);
        let expiry = PresigningConfig::expires_in(good_for);
        let expiry = expiry.map_err(|error| failed(S3Failure::Unanswered(error.into())))?;
        let request = self
            .client()
            .get_object()
            .bucket(&self.settings().bucket)
            .key(&key)
            .response_content_type(content_type)
            .response_content_disposition(content_disposition)
            .presigned(expiry)
            .await
            .map_err(|error| failed(error.into()))?;
        let url = Url::parse(request.uri()).map_err(|error| failed(S3Failure::Unanswered(error.into())))?;
        Ok(Some(url))
    }

    pub(super) async fn delete(&self, hash: &Sha256Hash) -> Result<(), StoreError> {
        let key = self.key(hash);
        let request = self.client().delete_object().bucket(&self.settings().bucket).key(&key);
        request.send().await.map(drop).map_err(|error| self.failed("remove", &key, error.into()))
    }

    pub(super) async fn list(
        &self,
        after: Option<&Sha256Hash>,
        limit: usize,
    ) -> Result<Vec<StoredObject>, StoreError> {
        let (settings, mut found) = (self.settings(), Vec::new());
        let mut after = after.map(|hash| self.key(hash));
        while found.len() < limit {
            let most = i32::try_from(PAGE.min(limit - found.len())).unwrap_or(i32::MAX);
            let request = self
                .client()
                .list_objects_v2()
                .bucket(&settings.bucket)
                .prefix(&settings.prefix)
                .set_start_after(after.take())
                .max_keys(most);
            let page = request.send().await;
            let page = page.map_err(|error| self.failed("list", &settings.prefix, error.into()))?;
            found.extend(page.contents().iter().filter_map(|object| self.ours(object)));
            after = page.contents().last().and_then(|object| object.key.clone());
            if page.is_truncated() != Some(true) || after.is_none() {
                break;
            }
        }
        Ok(found)
    }

    /// A listed object, unless somebody else put it there.
    fn ours(&self, object: &Object) -> Option<StoredObject> {
        let key = object.key()?;
        let (_, name) = key.rsplit_once('/')?;
        let hash: Sha256Hash = name.parse().ok()?;
        let size = u64::try_from(object.size()?).ok()?;
        let modified = time(object.last_modified()?)?;
        (self.key(&hash) == key).then_some(StoredObject { hash, size, modified })
    }

    pub(super) async fn sweep_temp(
        &self,
        older_than: Duration,
        now: DateTime<Utc>,
    ) -> Result<usize, StoreError> {
        self.0.temp.sweep(older_than, now).await
    }

    /// Ends uploads in parts that were begun before `before` and never came to their end, and tells how many.
    pub(super) async fn abort_uploads(&self, before: DateTime<Utc>) -> Result<usize, StoreError> {
        let (settings, mut aborted) = (self.settings(), 0);
        let (mut after_key, mut after_upload) = (None, None);
        for _ in 0..UPLOAD_PAGES {
            let request = self
                .client()
                .list_multipart_uploads()
                .bucket(&settings.bucket)
                .prefix(&settings.prefix)
                .set_key_marker(after_key.take())
                .set_upload_id_marker(after_upload.take());
            let page = request.send().await;
            let page = page.map_err(|error| {
                self.failed("list unfinished uploads below", &settings.prefix, error.into())
            })?;
            for begun in page.uploads() {
                let (Some(key), Some(upload)) = (begun.key(), begun.upload_id()) else { continue };
                if begun.initiated().and_then(time).is_some_and(|initiated| initiated < before) {
                    self.abort(key, upload).await?;
                    aborted += 1;
                }
            }
            if page.is_truncated() != Some(true) {
                break;
            }
            after_key = page.next_key_marker().map(str::to_owned);
            after_upload = page.next_upload_id_marker().map(str::to_owned);
        }
        Ok(aborted)
    }

    async fn abort(&self, key: &str, upload: &str) -> Result<(), StoreError> {
        let request = self.client().abort_multipart_upload();
        let request = request.bucket(&self.settings().bucket).key(key).upload_id(upload);
        match request.send().await.map_err(S3Failure::from) {
            Ok(_) => Ok(()),
            Err(failure) if failure.is("NoSuchUpload") => Ok(()),
            Err(failure) => Err(self.failed("give up storing", key, failure)),
        }
    }

    pub(super) async fn check(&self) -> Result<(), StoreError> {
        self.0.temp.check().await?;
        let request = self.client().head_bucket().bucket(&self.settings().bucket);
        request.send().await.map(drop).map_err(|error| self.failed("reach", "", error.into()))
    }
}

/// The size of the whole file, from the answer to a request for a part or for all of it.
fn whole_size(range: Option<&str>, length: Option<i64>) -> Option<u64> {
    match range {
        Some(range) => range.rsplit_once('/')?.1.parse().ok(),
        None => u64::try_from(length?).ok(),
    }
}

fn time(time: &S3Time) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time.secs(), time.subsec_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_the_whole_files_also_when_a_part_was_asked_for() {
        assert_eq!(whole_size(Some("bytes 2-5/10"), Some(4)), Some(10));
        assert_eq!(whole_size(None, Some(10)), Some(10));
        for (range, length) in [(Some("bytes 2-5/*"), Some(4)), (Some("nonsense"), Some(4)), (None, None)] {
            assert_eq!(whole_size(range, length), None);
        }
    }
}
