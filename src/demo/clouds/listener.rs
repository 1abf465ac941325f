//! A listener whose connections can be cut while an answer is being written, as no HTTP server would do by itself.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpListener,
};

use super::{
    places::Entrance,
    tls::{Tls, Wire},
};

/// What a request knows of the connection that it came by.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) cut: Cut,
    pub(super) entrance: Entrance,
}

/// Cuts the connection that a request came by.
#[derive(Clone, Default)]
pub(super) struct Cut(Arc<Mutex<Armed>>);

#[derive(Clone, Copy, Default)]
enum Armed {
    #[default]
    No,
    /// The next head passes, then this many bytes of its body.
    InBody(usize),
    /// This many bytes pass, of whatever they are.
    After(usize),
}

impl Cut {
    /// Nothing more is written: the client sees its request accepted and the connection closed.
    pub(super) fn now(&self) {
        self.arm(Armed::After(0));
    }

    /// The next answer ends, with its connection, after `n_bytes` of its body.
    pub(super) fn in_body(&self, n_bytes: usize) {
        self.arm(Armed::InBody(n_bytes));
    }

    fn arm(&self, armed: Armed) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = armed;
    }

    /// How much of what is about to be written may pass; none of it if the connection is to end here.
    fn allowance(&self, buffer: &[u8]) -> Option<usize> {
        let mut armed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Armed::InBody(n_bytes) = *armed {
            let end_of_head = buffer.windows(4).position(|it| it == b"\r\n\r\n").map_or(0, |at| at + 4);
            *armed = Armed::After(end_of_head + n_bytes);
        }
        match *armed {
            Armed::No | Armed::InBody(_) => Some(buffer.len()),
            Armed::After(0) => None,
            Armed::After(n_bytes) => Some(n_bytes.min(buffer.len())),
        }
    }

    fn wrote(&self, n_bytes: usize) {
        let mut armed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Armed::After(left) = *armed {
            *armed = Armed::After(left.saturating_sub(n_bytes));
        }
    }
}

impl Connected<IncomingStream<'_, CuttableListener>> for Connection {
    fn connect_info(stream: IncomingStream<'_, CuttableListener>) -> Self {
        let CuttableStream { cut, entrance, .. } = stream.io();
        Self { cut: cut.clone(), entrance: *entrance }
    }
}

/// A TCP listener whose connections carry a [`Cut`], with TLS or without.
pub(super) struct CuttableListener {
    pub(super) listener: TcpListener,
    pub(super) entrance: Entrance,
    pub(super) tls: Option<Tls>,
}

impl Listener for CuttableListener {
    type Io = CuttableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (CuttableStream, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        // Without it, an answer in two writes waits 40 ms for the client's delayed acknowledgement.
        let _ = stream.set_nodelay(true);
        let wire = match &self.tls {
            None => Wire::Plain(stream),
            Some(tls) => tls.greet(stream),
        };
        (CuttableStream { wire, cut: Cut::default(), entrance: self.entrance }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends where its [`Cut`] says.
///
/// It leaves vectored writes at their default, so that the head and a small body arrive in one buffer.
pub(super) struct CuttableStream {
    wire: Wire,
    cut: Cut,
    entrance: Entrance,
}

impl AsyncRead for CuttableStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_read(cx, buffer)
    }
}

impl AsyncWrite for CuttableStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let Some(allowance) = self.cut.allowance(buffer) else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        };
        let written = Pin::new(&mut self.wire).poll_write(cx, &buffer[..allowance]);
        if let Poll::Ready(Ok(n_bytes)) = written {
            self.cut.wrote(n_bytes);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }
}
