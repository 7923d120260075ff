//! A connection on which an answer is read even when the other side stopped listening before all was sent: it said why,
//! and then it hung up. Without this the broken connection would be all that is known. Whatever was said before that is
//! the answer, nothing at all included.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use clamav_client::tokio::TransportProtocol;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Connects as another does.
pub(super) struct Listening<T>(pub(super) T);

/// What is sent after the other side hung up counts as sent; then comes its answer.
pub(super) struct Listened<S> {
    stream: S,
    hung_up: bool,
}

impl<T: TransportProtocol> TransportProtocol for Listening<T> {
    type Stream = Listened<T::Stream>;

    async fn connect(&self) -> io::Result<Self::Stream> {
        Ok(Listened { stream: self.0.connect().await?, hung_up: false })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Listened<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.stream).poll_read(cx, buf)) {
            Err(error) if hung_up(&error) => Poll::Ready(Ok(())),
            read => Poll::Ready(read),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Listened<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if !self.hung_up {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, buf)) {
                Err(error) if hung_up(&error) => self.hung_up = true,
                written => return Poll::Ready(written),
            }
        }
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.hung_up { Poll::Ready(Ok(())) } else { Pin::new(&mut self.stream).poll_flush(cx) }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

fn hung_up(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}
