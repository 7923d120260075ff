//! Takes connections, so many at a time, and lets go of those over which nothing moves.
//!
//! Without it, half a request header holds a connection for ever, and an accept that fails (no file descriptors
//! left) is tried again without a pause.

use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use poem::http::uri::Scheme;
use poem::listener::Acceptor;
use poem::web::{LocalAddr, RemoteAddr};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// Connections at a time.
const MOST: usize = 10_000;
/// A connection that took and gave nothing for this long is closed. Longer than the beginning of any answer takes.
const SILENCE: Duration = Duration::from_secs(30);
const AFTER_FAILURE: Duration = Duration::from_millis(50);

pub(super) struct PatientAcceptor<A> {
    inner: A,
    places: Arc<Semaphore>,
}

impl<A> PatientAcceptor<A> {
    pub(super) fn new(inner: A) -> Self {
        Self { inner, places: Arc::new(Semaphore::new(MOST)) }
    }
}

impl<A: Acceptor> Acceptor for PatientAcceptor<A> {
    type Io = PatientIo<A::Io>;

    fn local_addr(&self) -> Vec<LocalAddr> {
        self.inner.local_addr()
    }

    async fn accept(&mut self) -> Result<(Self::Io, LocalAddr, RemoteAddr, Scheme)> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(Error::other)?;
        match self.inner.accept().await {
            Ok((io, local, remote, scheme)) => {
                Ok((PatientIo::new(io, place, SILENCE), local, remote, scheme))
            }
            Err(error) => {
                sleep(AFTER_FAILURE).await;
                Err(error)
            }
        }
    }
}

pub(super) struct PatientIo<I> {
    io: I,
    silence: Duration,
    patience: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl<I> PatientIo<I> {
    fn new(io: I, place: OwnedSemaphorePermit, silence: Duration) -> Self {
        Self { io, silence, patience: Box::pin(sleep(silence)), _place: place }
    }

    /// A long answer is on its way for as long as it is being taken.
    fn moved(&mut self) {
        let deadline = Instant::now() + self.silence;
        self.patience.as_mut().reset(deadline);
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for PatientIo<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        match Pin::new(&mut self.io).poll_read(cx, buf) {
            Poll::Ready(read) => {
                self.moved();
                Poll::Ready(read)
            }
            Poll::Pending => self
                .patience
                .as_mut()
                .poll(cx)
                .map(|()| Err(Error::new(ErrorKind::TimedOut, "nothing was sent"))),
        }
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for PatientIo<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        if written.is_ready() {
            self.moved();
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        if written.is_ready() {
            self.moved();
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn a_connection_that_keeps_silent_is_let_go_and_makes_room() {
        let places = Arc::new(Semaphore::new(1));
        let place = Arc::clone(&places).acquire_owned().await.unwrap();
        let (near, mut far) = tokio::io::duplex(64);
        let mut near = PatientIo::new(near, place, Duration::from_millis(20));
        tokio::io::AsyncWriteExt::write_all(&mut far, b"x").await.unwrap();
        assert_eq!(near.read_u8().await.unwrap(), b'x');
        assert_eq!(near.read_u8().await.unwrap_err().kind(), ErrorKind::TimedOut);
        drop(near);
        assert_eq!(places.available_permits(), 1);
    }
}
