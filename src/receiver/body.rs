//! Reading a body with a limit on its size and on its patience.

use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use poem::Body;
use poem::http::{HeaderMap, header};

use super::refusal::Refusal;

/// How long what is left of a refused body is still read.
const DRAIN_FOR: Duration = Duration::from_secs(1);

/// A body on its way in.
pub(super) struct Incoming {
    chunks: Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>,
}

impl Incoming {
    pub(super) fn new(body: Body) -> Self {
        Self { chunks: Box::pin(body.into_bytes_stream()) }
    }

    /// Reads the whole body, or refuses it as soon as it is known to be too large or too slow.
    pub(super) async fn read(
        &mut self,
        headers: &HeaderMap,
        limit: usize,
        deadline: Duration,
    ) -> Result<Bytes, Refusal> {
        let declared =
            headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if declared.is_some_and(|length| length > limit as u64) {
            return Err(Refusal::BodyTooLarge { limit });
        }
        tokio::time::timeout(deadline, self.collect(limit)).await.map_err(|_| Refusal::BodyTooSlow)?
    }

    async fn collect(&mut self, limit: usize) -> Result<Bytes, Refusal> {
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        while let Some(chunk) = self.chunks.next().await {
            let chunk = chunk.map_err(|_| Refusal::BodyIncomplete)?;
            if first.len() + rest.len() + chunk.len() > limit {
                return Err(Refusal::BodyTooLarge { limit });
            }
            if first.is_empty() && rest.is_empty() {
                first = chunk;
            } else {
                if rest.is_empty() {
                    rest.extend_from_slice(&std::mem::take(&mut first));
                }
                rest.extend_from_slice(&chunk);
            }
        }
        Ok(if rest.is_empty() { first } else { rest.freeze() })
    }

    /// Throws away up to `most` further bytes: an answer sent while the sender is still sending, followed by a
    /// closed connection, often does not arrive.
    pub(super) async fn drain(mut self, most: usize) {
        let draining = async {
            let mut left = most;
            while let Some(Ok(chunk)) = self.chunks.next().await {
                let Some(less) = left.checked_sub(chunk.len()) else { return };
                left = less;
            }
        };
        let _ = tokio::time::timeout(DRAIN_FOR, draining).await;
    }
}
