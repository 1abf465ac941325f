//! Connections: taken within limits of number, size and time, and ended when Latchkey stops.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{net::TcpStream, sync::Semaphore, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

use super::patient::Patient;

const MOST_CONNECTIONS: usize = 128;
/// The head of a request, in bytes and in lines. hyper answers 431 to more.
const LARGEST_HEAD: usize = 16 * 1024;
const MOST_HEADERS: usize = 64;
/// For the head of a request to arrive; an idle connection ends after it, too.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// For a client to take some of an answer.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);
/// For answers to be written when Latchkey stops.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// After a connection could not be taken, because this machine has too many of them.
const BREATHER: Duration = Duration::from_millis(100);

/// A port that is ours and answers nothing yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

/// The port cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for the admin API: {reason}. {}", mend(.reason))]
pub struct PortTaken {
    pub address: SocketAddr,
    pub reason: io::Error,
}

/// Who is on the other side of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

impl Server {
    /// Takes the port, so that a start that cannot have it fails before anything else was begun.
    pub fn bind(address: SocketAddr) -> Result<Self, PortTaken> {
        let bound = TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(Self { address: listener.local_addr()?, listener })
        });
        bound.map_err(|reason| PortTaken { address, reason })
    }

    /// Where it listens, with the port that it got.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop`; then lets those finish who are being answered, for a short while after `last_words`.
    pub async fn run(self, router: Router, stop: CancellationToken, last_words: CancellationToken) {
        let listener = match tokio::net::TcpListener::from_std(self.listener) {
            Ok(listener) => listener,
            Err(error) => {
                warn!("the admin API cannot run: {error}");
                return;
            }
        };
        info!("the admin API listens on http://{}", self.address);
        let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        let connections = TaskTracker::new();
        let service = TowerToHyperService::new(router);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    debug!("a connection could not be taken: {error}");
                    tokio::time::sleep(BREATHER).await;
                    continue;
                }
            };
            let Ok(place) = room.clone().try_acquire_owned() else {
                debug!("a connection was turned away: there are {MOST_CONNECTIONS} already");
                continue;
            };
            let (service, stop) = (service.clone(), stop.clone());
            connections.spawn(async move {
                serve(stream, Peer(peer), service, stop).await;
                drop(place);
            });
        }
        drop(listener);
        connections.close();
        last_words.cancelled().await;
        if timeout(LAST_WORDS, connections.wait()).await.is_err() {
            debug!("some requests to the admin API were not answered in time");
        }
    }
}

async fn serve(stream: TcpStream, peer: Peer, service: TowerToHyperService<Router>, stop: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let answer = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        service.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(LARGEST_HEAD)
        .max_headers(MOST_HEADERS)
        .serve_connection(TokioIo::new(Patient::new(stream, TAKEN_WITHIN)), answer);
    let mut connection = std::pin::pin!(connection);
    // How a connection ends is its client's business.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

fn mend(reason: &io::Error) -> &'static str {
    match reason.kind() {
        io::ErrorKind::AddrInUse => {
            "Another program has that port, perhaps another Latchkey: stop it, set `web.listen` to another port, or \
             `web.enabled = false`."
        }
        io::ErrorKind::PermissionDenied => "Set `web.listen` to a port above 1023.",
        io::ErrorKind::AddrNotAvailable => "Set `web.listen` to an address of this machine.",
        _ => "Check `web.listen`, or set `web.enabled = false`.",
    }
}
