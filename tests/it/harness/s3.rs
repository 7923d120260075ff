//! An S3 server in this process: it checks signatures and checksums, keeps objects as files, and fails on demand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput,
    DeleteObjectInput, DeleteObjectOutput, GetObjectInput, GetObjectOutput, HeadBucketInput,
    HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListMultipartUploadsInput,
    ListMultipartUploadsOutput, ListObjectsV2Input, ListObjectsV2Output, MultipartUpload, PutObjectInput,
    PutObjectOutput, StreamingBlob, Timestamp, UploadPartInput, UploadPartOutput,
};
use s3s::service::S3ServiceBuilder;
use s3s::{Body, S3, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::net::TcpListener;
use trunkline_jobs::media::{AccessKeys, Encryption, MediaStore, S3Settings};
use trunkline_platform::clock::Clock;

use super::Program;

pub(crate) const BUCKET: &str = "media";
const PREFIX: &str = "kept/";
const ACCESS_KEY: &str = "test-access-key";
const SECRET_KEY: &str = "test-secret-key";

/// A running server with one empty bucket.
pub(crate) struct S3Server {
    url: String,
    folder: TempDir,
    script: Arc<Script>,
}

/// What the server is to do, and what it has done.
#[derive(Default)]
struct Script {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Answers this part with an error, always.
    broken_part: Option<i32>,
    /// Changes a byte of what it is sent.
    corrupts: bool,
    /// Removes nothing.
    refuses_deletes: bool,
    /// Bodies of files that arrived and were kept.
    received: usize,
    /// Uploads in parts that were begun and not ended: their keys and times.
    uploads: BTreeMap<String, (String, DateTime<Utc>)>,
    content_types: BTreeMap<String, String>,
}

impl Script {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl S3Server {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let script = Arc::<Script>::default();
        let files = Arc::new(FileSystem::new(folder.path()).unwrap());
        let mut service = S3ServiceBuilder::new(Scripted { files, script: Arc::clone(&script) });
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = service.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let http = Builder::new(TokioExecutor::new());
                    let _ = http.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Self { url, folder, script }
    }

    pub(crate) fn settings(&self) -> S3Settings {
        S3Settings {
            bucket: BUCKET.to_owned(),
            prefix: PREFIX.to_owned(),
            endpoint: Some(self.url.parse().unwrap()),
            region: None,
            path_style: true,
            encryption: Encryption::BucketDefault,
            keys: Some(AccessKeys { access_key: ACCESS_KEY.into(), secret_key: SECRET_KEY.into() }),
            presign: Some(Duration::from_secs(60)),
        }
    }

    /// A store on this server that writes downloads to this folder.
    pub(crate) async fn store(&self, folder: &Path) -> MediaStore {
        MediaStore::s3(self.settings(), folder.to_owned()).await.unwrap()
    }

    /// Has a program keep its media here.
    pub(crate) fn keep_for(&self, program: Program) -> Program {
        program
            .set("TRUNKLINE_MEDIA_STORE", "s3")
            .set("TRUNKLINE_MEDIA_S3_BUCKET", BUCKET)
            .set("TRUNKLINE_MEDIA_S3_PREFIX", PREFIX)
            .set("TRUNKLINE_MEDIA_S3_ENDPOINT", &self.url)
            .set("TRUNKLINE_MEDIA_S3_PATH_STYLE", "true")
            .set("TRUNKLINE_MEDIA_S3_ACCESS_KEY", ACCESS_KEY)
            .set("TRUNKLINE_MEDIA_S3_SECRET_KEY", SECRET_KEY)
    }

    /// The files of all objects.
    pub(crate) fn objects(&self) -> Vec<PathBuf> {
        let (mut found, mut folders) = (Vec::new(), vec![self.folder.path().join(BUCKET)]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { found.push(path) }
            }
        }
        found.sort();
        found
    }

    /// Parts of files that are kept outside of the bucket.
    pub(crate) fn parts(&self) -> usize {
        let names = std::fs::read_dir(self.folder.path()).unwrap();
        names.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains(".part-")).count()
    }

    pub(crate) fn break_part(&self, part: Option<i32>) {
        self.script.with(|state| state.broken_part = part);
    }

    pub(crate) fn corrupt(&self, corrupts: bool) {
        self.script.with(|state| state.corrupts = corrupts);
    }

    pub(crate) fn refuse_deletes(&self, refuses: bool) {
        self.script.with(|state| state.refuses_deletes = refuses);
    }

    /// How many bodies were sent to it and kept.
    pub(crate) fn received(&self) -> usize {
        self.script.with(|state| state.received)
    }

    /// Uploads in parts that were begun and not ended.
    pub(crate) fn unfinished(&self) -> usize {
        self.script.with(|state| state.uploads.len())
    }

    /// Makes the unfinished uploads older.
    pub(crate) fn age_uploads(&self, by: TimeDelta) {
        self.script.with(|state| state.uploads.values_mut().for_each(|(_, begun)| *begun -= by));
    }

    /// What an object was said to be when it was put there.
    pub(crate) fn content_type(&self, object: &Path) -> String {
        let key = object.strip_prefix(self.folder.path().join(BUCKET)).unwrap().to_string_lossy();
        self.script.with(|state| state.content_types[key.as_ref()].clone())
    }
}

/// The files, and what `s3s-fs` leaves out: checksums are checked before anything is kept, and unfinished uploads
/// can be listed.
struct Scripted {
    files: Arc<FileSystem>,
    script: Arc<Script>,
}

impl Scripted {
    /// Reads a body and checks what its sender says of it. This server insists on SHA-256.
    async fn checked(&self, body: Option<StreamingBlob>, sha256: Option<&str>) -> S3Result<StreamingBlob> {
        let (mut body, mut content) = (body.ok_or_else(|| s3_error!(IncompleteBody))?, Vec::new());
        while let Some(chunk) = body.next().await {
            content.extend_from_slice(&chunk.map_err(|_| s3_error!(IncompleteBody))?);
        }
        if let (true, Some(byte)) = (self.script.with(|state| state.corrupts), content.first_mut()) {
            *byte ^= 1;
        }
        let sha256 = sha256.ok_or_else(|| s3_error!(InvalidRequest, "no SHA-256"))?;
        if BASE64.encode(Sha256::digest(&content)) != sha256 {
            return Err(s3_error!(BadDigest));
        }
        self.script.with(|state| state.received += 1);
        Ok(Body::from(content).into())
    }
}

#[async_trait]
impl S3 for Scripted {
    async fn put_object(&self, mut req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        if req.input.bucket != BUCKET {
            return Err(s3_error!(NoSuchBucket));
        }
        let body = self.checked(req.input.body.take(), req.input.checksum_sha256.as_deref()).await?;
        req.input.body = Some(body);
        let (key, kind) = (req.input.key.clone(), req.input.content_type.clone());
        self.script.with(|state| state.content_types.insert(key, kind.unwrap_or_default()));
        self.files.put_object(req).await
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let (key, kind) = (req.input.key.clone(), req.input.content_type.clone());
        let answer = self.files.create_multipart_upload(req).await?;
        let upload = answer.output.upload_id.clone().unwrap_or_default();
        self.script.with(|state| {
            state.content_types.insert(key.clone(), kind.unwrap_or_default());
            state.uploads.insert(upload, (key, Clock::system().now()));
        });
        Ok(answer)
    }

    async fn upload_part(
        &self,
        mut req: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let body = self.checked(req.input.body.take(), req.input.checksum_sha256.as_deref()).await?;
        if self.script.with(|state| state.broken_part) == Some(req.input.part_number) {
            return Err(s3_error!(InternalError));
        }
        req.input.body = Some(body);
        self.files.upload_part(req).await
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        // Answered at once, kept alive while the parts are put together, and put together even if whoever asked is gone by
        // then, as Amazon's does.
        let (files, script) = (Arc::clone(&self.files), Arc::clone(&self.script));
        let whole = async move {
            let upload = req.input.upload_id.clone();
            let mut answer = files.complete_multipart_upload(req).await?.output;
            if let Some(told) = answer.future.take() {
                answer = told.await?;
            }
            script.with(|state| state.uploads.remove(&upload));
            Ok(answer)
        };
        let whole = tokio::spawn(whole);
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            future: Some(Box::pin(async { whole.await.map_err(|died| s3_error!(died, InternalError))? })),
            ..CompleteMultipartUploadOutput::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let upload = req.input.upload_id.clone();
        let answer = self.files.abort_multipart_upload(req).await?;
        self.script.with(|state| state.uploads.remove(&upload));
        Ok(answer)
    }

    async fn list_multipart_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let prefix = req.input.prefix.unwrap_or_default();
        let uploads = self.script.with(|state| state.uploads.clone());
        let uploads = uploads.into_iter().filter(|(_, (key, _))| key.starts_with(&prefix));
        let uploads = uploads.map(|(upload, (key, begun))| MultipartUpload {
            key: Some(key),
            upload_id: Some(upload),
            initiated: Some(Timestamp::from(std::time::SystemTime::from(begun))),
            ..MultipartUpload::default()
        });
        Ok(S3Response::new(ListMultipartUploadsOutput {
            uploads: Some(uploads.collect()),
            is_truncated: Some(false),
            ..ListMultipartUploadsOutput::default()
        }))
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let asked = (req.input.response_content_type.clone(), req.input.response_content_disposition.clone());
        let mut answer = self.files.get_object(req).await?;
        answer.output.content_type = asked.0.or(answer.output.content_type);
        answer.output.content_disposition = asked.1.or(answer.output.content_disposition);
        Ok(answer)
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        self.files.head_object(req).await
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.files.head_bucket(req).await
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        self.files.list_objects_v2(req).await
    }

    async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        match self.script.with(|state| state.refuses_deletes) {
            true => Err(s3_error!(AccessDenied)),
            false => self.files.delete_object(req).await,
        }
    }
}
