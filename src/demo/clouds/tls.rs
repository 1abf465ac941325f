//! TLS in front of a simulated cloud, for clients that insist on https.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{Accept, TlsAcceptor, server::TlsStream};

/// A certificate with its key, by which all listeners of a cloud speak.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

/// A connection, in the clear or not.
///
/// The greeting happens while the connection is first read, so that a client that dawdles over it holds up no other.
pub(super) enum Wire {
    Plain(TcpStream),
    Greeting(Box<Accept<TcpStream>>),
    Secure(Box<TlsStream<TcpStream>>),
    /// The greeting failed.
    Closed,
}

impl Tls {
    /// Takes the certificate with its chain, and its key, both as PEM.
    ///
    /// # Errors
    /// Either cannot be read, or they do not belong together.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> io::Result<Self> {
        let chain = CertificateDer::pem_slice_iter(certificates).collect::<Result<Vec<_>, pem::Error>>();
        let chain = chain.map_err(|err| invalid(format!("the certificate is not PEM: {err}")))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|err| invalid(format!("the key is not PEM: {err}")))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|it| it.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|err| invalid(format!("the certificate and its key cannot be used: {err}")))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    pub(super) fn greet(&self, stream: TcpStream) -> Wire {
        Wire::Greeting(Box::new(self.0.accept(stream)))
    }
}

impl Wire {
    fn poll_greeted(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Self::Greeting(greeting) = self {
            let greeted = ready!(Pin::new(greeting).poll(cx));
            let (wire, result) = match greeted {
                Ok(stream) => (Self::Secure(Box::new(stream)), Ok(())),
                Err(err) => (Self::Closed, Err(err)),
            };
            *self = wire;
            return Poll::Ready(result);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_greeted(cx))?;
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Secure(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Greeting(_) | Self::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_greeted(cx))?;
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buffer),
            Self::Secure(stream) => Pin::new(stream).poll_write(cx, buffer),
            Self::Greeting(_) | Self::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Secure(stream) => Pin::new(stream).poll_flush(cx),
            Self::Greeting(_) | Self::Closed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Secure(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Greeting(_) | Self::Closed => Poll::Ready(Ok(())),
        }
    }
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}
