//! A connection that hangs: a proxy that can stop passing anything on without closing.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Copies one way until told to be silent: then it neither passes anything on nor closes.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    silent: watch::Receiver<bool>,
) {
    let mut buffer = [0; 8192];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if *silent.borrow() {
            std::future::pending::<()>().await;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// A proxy before a port, and its own port. Connections over which something goes while it is silent are silent
/// for ever; later ones work.
pub(crate) async fn proxy(port: u16) -> (u16, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    let (silence, silent) = watch::channel(false);
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            // Where nobody listens behind it, nobody listens.
            let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::spawn(pass(near_in, far_out, silent.clone()));
            tokio::spawn(pass(far_in, near_out, silent.clone()));
        }
    });
    (own, silence)
}
