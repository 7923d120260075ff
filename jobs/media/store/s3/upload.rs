//! From a temporary file to an object, without ever holding the file in memory.
//!
//! A small file goes in one request whose checksum is the content's own hash, so the server itself refuses anything
//! else. A large one goes in parts: it is read once beforehand, which gives the checksum of every part and tells
//! whether the file still is what was hashed when it was downloaded; then the parts are streamed from the disk, a few
//! at a time. An object appears only when the last request is answered.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use aws_sdk_s3::primitives::{ByteStream, Length};
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::{StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};

use super::super::{Sha256Hash, StoreError, blocking};
use super::{S3Failure, S3Store};

/// The largest file that goes in one request, and the size of the parts of a larger one.
pub(super) const PART: u64 = 16 << 20;
/// What S3 allows.
const MOST_PARTS: u64 = 10_000;
/// Parts of one file on their way at once.
const PARTS_AT_ONCE: usize = 4;
/// How much is read from the disk at a time.
const BUFFER: usize = 64 * 1024;

#[derive(Clone, Debug, Eq, PartialEq)]
struct Part {
    number: i32,
    offset: u64,
    length: u64,
    sha256: [u8; 32],
}

pub(super) async fn upload(
    store: &S3Store,
    path: &Path,
    hash: &Sha256Hash,
    media_type: &str,
) -> Result<(), StoreError> {
    let size = tokio::fs::metadata(path).await.map_err(StoreError::io("read", path))?.len();
    if size <= PART {
        return in_one(store, path, hash, media_type, size).await;
    }
    let (file, part_size) = (path.to_owned(), part_size(size));
    let (parts, found) = blocking("read", path, move || digest(&file, part_size)).await?;
    if found != *hash {
        return Err(StoreError::Altered(*hash));
    }
    in_parts(store, path, hash, media_type, parts).await
}

async fn in_one(
    store: &S3Store,
    path: &Path,
    hash: &Sha256Hash,
    media_type: &str,
    size: u64,
) -> Result<(), StoreError> {
    let (key, settings) = (store.key(hash), store.settings());
    let failed = |failure| store.failed("store", &key, failure);
    let body = section(path, 0, size).await.map_err(failed)?;
    let _turn = store.turn().await;
    let request = store
        .client()
        .put_object()
        .bucket(&settings.bucket)
        .key(&key)
        .content_type(media_type)
        .content_length(i64::try_from(size).unwrap_or(i64::MAX))
        .checksum_sha256(BASE64.encode(hash.as_bytes()))
        .set_server_side_encryption(settings.encryption.algorithm())
        .set_ssekms_key_id(settings.encryption.kms_key())
        .body(body);
    request.send().await.map(drop).map_err(|error| failed(error.into()))
}

async fn in_parts(
    store: &S3Store,
    path: &Path,
    hash: &Sha256Hash,
    media_type: &str,
    parts: Vec<Part>,
) -> Result<(), StoreError> {
    let (key, settings) = (store.key(hash), store.settings());
    let request = store
        .client()
        .create_multipart_upload()
        .bucket(&settings.bucket)
        .key(&key)
        .content_type(media_type)
        .checksum_algorithm(ChecksumAlgorithm::Sha256)
        .set_server_side_encryption(settings.encryption.algorithm())
        .set_ssekms_key_id(settings.encryption.kms_key());
    let begun = request.send().await.map_err(|error| store.failed("begin storing", &key, error.into()))?;
    let upload = begun.upload_id().ok_or(S3Failure::Incomplete("the upload's id"));
    let upload = upload.map_err(|failure| store.failed("begin storing", &key, failure))?;

    let sent = async {
        let sent = stream::iter(parts)
            .map(|part| send_part(store, path, &key, upload, part))
            .buffer_unordered(PARTS_AT_ONCE)
            .try_collect()
            .await?;
        complete(store, &key, upload, sent).await
    };
    let sent = sent.await;
    if sent.is_err()
        && let Err(error) = store.abort(&key, upload).await
    {
        // It costs money until upkeep finds it.
        tracing::warn!(error = %anyhow::Error::from(error), "the parts of a failed upload are left behind");
    }
    sent
}

async fn send_part(
    store: &S3Store,
    path: &Path,
    key: &str,
    upload: &str,
    part: Part,
) -> Result<CompletedPart, StoreError> {
    let failed = |failure| store.failed("store a part of", key, failure);
    let _turn = store.turn().await;
    let sha256 = BASE64.encode(part.sha256);
    let request = store
        .client()
        .upload_part()
        .bucket(&store.settings().bucket)
        .key(key)
        .upload_id(upload)
        .part_number(part.number)
        .content_length(i64::try_from(part.length).unwrap_or(i64::MAX))
        .checksum_sha256(&sha256)
        .body(section(path, part.offset, part.length).await.map_err(failed)?);
    let answer = request.send().await.map_err(|error| failed(error.into()))?;
    let e_tag = answer.e_tag().ok_or(S3Failure::Incomplete("a part's ETag")).map_err(failed)?;
    Ok(CompletedPart::builder().part_number(part.number).e_tag(e_tag).checksum_sha256(sha256).build())
}

async fn complete(
    store: &S3Store,
    key: &str,
    upload: &str,
    mut parts: Vec<CompletedPart>,
) -> Result<(), StoreError> {
    parts.sort_unstable_by_key(|part| part.part_number);
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let request = store
        .client()
        .complete_multipart_upload()
        .bucket(&store.settings().bucket)
        .key(key)
        .upload_id(upload)
        .multipart_upload(parts);
    request.send().await.map(drop).map_err(|error| store.failed("finish storing", key, error.into()))
}

/// A part of the file as a body that is read while it is sent, and again when the request is.
async fn section(path: &Path, offset: u64, length: u64) -> Result<ByteStream, S3Failure> {
    ByteStream::read_from()
        .path(path)
        .offset(offset)
        .length(Length::Exact(length))
        .buffer_size(BUFFER)
        .build()
        .await
        .map_err(|error| S3Failure::Unanswered(error.into()))
}

fn part_size(size: u64) -> u64 {
    PART.max(size.div_ceil(MOST_PARTS))
}

/// Reads the file once, for the hashes of its parts and of the whole.
fn digest(path: &Path, part_size: u64) -> io::Result<(Vec<Part>, Sha256Hash)> {
    let (mut file, mut whole, mut parts) = (File::open(path)?, Sha256::new(), Vec::new());
    let (mut buffer, mut offset, mut number) = (vec![0; BUFFER], 0, 0);
    loop {
        let (mut section, mut hasher, mut length) = ((&mut file).take(part_size), Sha256::new(), 0);
        loop {
            let read = section.read(&mut buffer)?;
            let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            hasher.update(bytes);
            whole.update(bytes);
            length += read as u64;
        }
        if length == 0 {
            let whole: [u8; 32] = whole.finalize().into();
            return Ok((parts, whole.into()));
        }
        number += 1;
        parts.push(Part { number, offset, length, sha256: hasher.finalize().into() });
        offset += length;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tempfile::NamedTempFile;

    use super::*;

    #[test]
    fn parts_cover_the_file_each_with_its_own_hash() {
        let mut file = NamedTempFile::new().unwrap();
        let content: Vec<u8> = (0..250_000u32).map(|number| (number % 251) as u8).collect();
        file.write_all(&content).unwrap();
        let (parts, whole) = digest(file.path(), 100_000).unwrap();
        let sha256 = |bytes: &[u8]| -> [u8; 32] { Sha256::digest(bytes).into() };
        let expected: Vec<Part> = [(1, 0..100_000), (2, 100_000..200_000), (3, 200_000..250_000)]
            .map(|(number, range)| Part {
                number,
                offset: range.start as u64,
                length: range.len() as u64,
                sha256: sha256(&content[range]),
            })
            .to_vec();
        assert_eq!(parts, expected);
        assert_eq!(whole, sha256(&content).into());
    }

    #[test]
    fn a_file_of_any_size_has_no_more_parts_than_are_allowed() {
        for size in [PART + 1, 100 << 20, 5 << 40] {
            let part = part_size(size);
            assert!(part >= PART && size.div_ceil(part) <= MOST_PARTS, "{size} in parts of {part}");
        }
    }
}
