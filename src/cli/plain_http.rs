//! One request by HTTP without TLS, on this machine or to the supervisor beside it, and its answer.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpStream, ToSocketAddrs},
    time::timeout,
};

pub(super) use hyper::{Method, Request, StatusCode, header};

const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
const LONGEST_ANSWER: usize = 4 * 1024 * 1024;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// Nothing was sent.
    Nobody,
    /// It was sent, and no whole answer came.
    Cut,
}

/// Sends one request over a connection of its own, and waits at most `patience` for the head of the answer.
pub(super) async fn exchange(
    address: impl ToSocketAddrs,
    request: Request<Bytes>,
    patience: Duration,
) -> Result<(StatusCode, Bytes), Silence> {
    let connected = timeout(CONNECT_PATIENCE, TcpStream::connect(address)).await;
    let stream = connected.ok().and_then(Result::ok).ok_or(Silence::Nobody)?;
    let handshake = timeout(CONNECT_PATIENCE, http1::handshake(TokioIo::new(stream))).await;
    let (mut sender, connection) = handshake.ok().and_then(Result::ok).ok_or(Silence::Nobody)?;
    tokio::spawn(connection);
    let response = timeout(patience, sender.send_request(request.map(Full::new))).await;
    let response = response.ok().and_then(Result::ok).ok_or(Silence::Cut)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect();
    let body = timeout(patience, body).await.ok().and_then(Result::ok).ok_or(Silence::Cut)?;
    Ok((status, body.to_bytes()))
}
