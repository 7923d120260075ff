//! A line that can be cut: at once, or in the middle of what the far side says next.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// No cut is due.
const NEVER: i64 = i64::MAX;

#[derive(Clone)]
pub(crate) struct Relay {
    pub(crate) port: u16,
    cut: watch::Sender<u64>,
    /// Bytes that the far side may still say.
    allowance: Arc<AtomicI64>,
    cuts: Arc<AtomicUsize>,
}

impl Relay {
    /// Before a port of this machine.
    pub(crate) async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Self {
            port: listener.local_addr().unwrap().port(),
            cut: watch::channel(0).0,
            allowance: Arc::new(AtomicI64::new(NEVER)),
            cuts: Arc::default(),
        };
        let own = relay.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                // Where nobody listens behind it, nobody listens.
                let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                tokio::spawn(own.clone().connect(near, far));
            }
        });
        relay
    }

    async fn connect(self, near: TcpStream, far: TcpStream) {
        let mut cut = self.cut.subscribe();
        let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
        tokio::select! {
            () = pass(near_in, far_out) => {}
            () = self.limited(far_in, near_out) => {}
            _ = cut.changed() => {}
        }
    }

    /// Says no more than the allowance, and then everybody is cut off.
    async fn limited(&self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
        let mut buffer = [0; 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let before = match self.allowance.load(Ordering::SeqCst) {
                NEVER => NEVER,
                _ => self.allowance.fetch_sub(count as i64, Ordering::SeqCst),
            };
            let said = usize::try_from(before).unwrap_or(0).min(count);
            if to.write_all(&buffer[..said]).await.is_err() {
                return;
            }
            if said < count {
                self.allowance.store(NEVER, Ordering::SeqCst);
                self.cut();
                return;
            }
        }
    }

    /// Cuts every connection there is.
    pub(crate) fn cut(&self) {
        self.cuts.fetch_add(1, Ordering::SeqCst);
        self.cut.send_modify(|cuts| *cuts += 1);
    }

    /// Cuts after so many more bytes from the far side.
    pub(crate) fn cut_after(&self, bytes: i64) {
        self.allowance.store(bytes, Ordering::SeqCst);
    }

    pub(crate) fn cuts(&self) -> usize {
        self.cuts.load(Ordering::SeqCst)
    }
}

async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let _ = tokio::io::copy(&mut from, &mut to).await;
}
