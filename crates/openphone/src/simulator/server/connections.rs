//! Connections that can be cut from inside a handler.
//!
//! An HTTP handler can only answer. To do what was asked and let nobody hear of it, the connection
//! beneath has to fail, so the listener wraps each one and keeps a switch for it.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use http::uri::Scheme;
use poem::{
    Addr,
    listener::{Acceptor, TcpAcceptor},
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::simulator::lock;

type Switches = Arc<Mutex<HashMap<SocketAddr, Arc<AtomicBool>>>>;

/// The open connections, by the address at their other end.
#[derive(Clone, Default)]
pub(in crate::simulator) struct Connections(Switches);

impl Connections {
    /// Lets everything fail that is written to this connection from now on.
    pub(super) fn sever(&self, peer: &RemoteAddr) {
        if let Addr::SocketAddr(address) = &peer.0
            && let Some(switch) = lock(&self.0).get(address)
        {
            switch.store(true, Ordering::Release);
        }
    }
}

/// A listener whose connections can be cut.
pub(in crate::simulator) struct SeverableAcceptor {
    inner: TcpAcceptor,
    connections: Connections,
}

impl SeverableAcceptor {
    pub(in crate::simulator) fn new(inner: TcpAcceptor) -> Self {
        Self { inner, connections: Connections::default() }
    }

    pub(in crate::simulator) fn connections(&self) -> Connections {
        self.connections.clone()
    }
}

impl Acceptor for SeverableAcceptor {
    type Io = Severable;

    fn local_addr(&self) -> Vec<LocalAddr> {
        self.inner.local_addr()
    }

    async fn accept(&mut self) -> io::Result<(Severable, LocalAddr, RemoteAddr, Scheme)> {
        let (stream, local, remote, scheme) = self.inner.accept().await?;
        let peer = stream.peer_addr()?;
        let cut = Arc::new(AtomicBool::new(false));
        lock(&self.connections.0).insert(peer, Arc::clone(&cut));
        let severable = Severable { stream, cut, peer, connections: self.connections.clone() };
        Ok((severable, local, remote, scheme))
    }
}

/// A connection that can be cut.
pub(in crate::simulator) struct Severable {
    stream: TcpStream,
    cut: Arc<AtomicBool>,
    peer: SocketAddr,
    connections: Connections,
}

impl Severable {
    fn intact(&self) -> io::Result<()> {
        if self.cut.load(Ordering::Acquire) { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

impl Drop for Severable {
    fn drop(&mut self) {
        lock(&self.connections.0).remove(&self.peer);
    }
}

impl AsyncRead for Severable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Severable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.intact()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.intact()?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
