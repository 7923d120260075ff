//! A file while it arrives: written, hashed and counted in one pass.

use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufWriter};

use super::Fetched;

/// Enough for every signature that [`sniff`](crate::media::sniff::sniff) knows, those inside zip archives included.
pub(super) const HEAD_BYTES: usize = 8 * 1024;

/// Bytes gathered per write, since each write is a trip to the blocking pool.
const WRITE_BUFFER: usize = 256 * 1024;

/// A file while it arrives.
pub(in crate::media) struct Incoming {
    file: NamedTempFile,
    writer: BufWriter<tokio::fs::File>,
    hasher: Sha256,
    size: u64,
    head: Vec<u8>,
}

impl Incoming {
    pub(in crate::media) async fn create(folder: &Path) -> io::Result<Self> {
        let folder = folder.to_owned();
        let (file, handle) = tokio::task::spawn_blocking(move || {
            let file = NamedTempFile::new_in(folder)?;
            let handle = file.reopen()?;
            io::Result::Ok((file, handle))
        })
        .await
        .map_err(io::Error::other)??;
        Ok(Self {
            file,
            writer: BufWriter::with_capacity(WRITE_BUFFER, tokio::fs::File::from_std(handle)),
            hasher: Sha256::new(),
            size: 0,
            head: Vec::new(),
        })
    }

    pub(in crate::media) async fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.size += chunk.len() as u64;
        self.hasher.update(chunk);
        let wanted = HEAD_BYTES - self.head.len();
        self.head.extend_from_slice(&chunk[..chunk.len().min(wanted)]);
        self.writer.write_all(chunk).await
    }

    /// All of a reader.
    pub(in crate::media) async fn receive(
        folder: &Path,
        mut reader: impl AsyncRead + Unpin,
    ) -> io::Result<Fetched> {
        let mut incoming = Self::create(folder).await?;
        let mut buffer = vec![0; WRITE_BUFFER];
        loop {
            match reader.read(&mut buffer).await? {
                0 => return incoming.finish(None).await,
                length => incoming.write(buffer.get(..length).unwrap_or_default()).await?,
            }
        }
    }

    pub(in crate::media) fn size(&self) -> u64 {
        self.size
    }

    pub(in crate::media) async fn finish(mut self, declared_type: Option<String>) -> io::Result<Fetched> {
        self.writer.flush().await?;
        self.writer.get_ref().sync_all().await?;
        let sha256: [u8; 32] = self.hasher.finalize().into();
        Ok(Fetched {
            file: self.file,
            sha256: sha256.into(),
            size: self.size,
            declared_type,
            head: self.head.into(),
        })
    }
}
