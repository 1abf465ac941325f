//! A connection may be opened while what has to come before the first byte of its request is still being done.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{task_local, time::timeout};
use tokio_util::sync::CancellationToken;
use tower_layer::{Layer, layer_fn};
use tower_service::Service;

/// How long a connection may be kept back: a server does not wait for ever, and one that closed would look as if a reply had
/// been lost.
const LONGEST_WAIT: Duration = Duration::from_millis(250);

task_local! {
    static GATE: Gate;
}

/// Keeps back whatever is asked behind it: connections are opened, and nothing is sent by them before [`Gate::open`].
#[derive(Clone, Default)]
pub struct Gate(Arc<State>);

#[derive(Default)]
struct State {
    opened: CancellationToken,
    was_late: AtomicBool,
}

/// Why a request behind a gate failed that was not sent.
#[derive(Debug, thiserror::Error)]
#[error("it was kept back for too long")]
struct TooLate;

impl Gate {
    /// Lets everything go that waits, and all that comes.
    pub fn open(&self) {
        self.0.opened.cancel();
    }

    /// Waits until it is open.
    pub async fn opened(&self) {
        self.0.opened.cancelled().await;
    }

    /// Has `asking` happen behind this gate, as far as it is done by `Http`.
    pub async fn before<T>(&self, asking: impl Future<Output = T>) -> T {
        GATE.scope(self.clone(), asking).await
    }

    /// Whether it opened so late that a request failed, of which nothing was sent.
    pub fn was_late(&self) -> bool {
        self.0.was_late.load(Relaxed)
    }

    async fn pass(&self) -> Result<(), TooLate> {
        let passed = timeout(LONGEST_WAIT, self.opened()).await;
        passed.map_err(|_| {
            self.0.was_late.store(true, Relaxed);
            TooLate
        })
    }
}

/// What has the connector of a client mind gates.
pub(super) fn layer<S>() -> impl Layer<S, Service = Gated<S>> + Clone {
    layer_fn(Gated)
}

#[derive(Clone)]
pub(super) struct Gated<S>(S);

impl<S, To> Service<To> for Gated<S>
where
    S: Service<To, Error = Box<dyn std::error::Error + Send + Sync>>,
    S::Response: Send + 'static,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, to: To) -> Self::Future {
        let connecting = self.0.call(to);
        let gate = GATE.try_with(Gate::clone).ok();
        Box::pin(async move {
            let connection = connecting.await?;
            if let Some(gate) = gate {
                gate.pass().await?;
            }
            Ok(connection)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use reqwest::Client;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// A server, and a client that minds gates.
    async fn house() -> (TcpListener, String, Client) {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", server.local_addr().unwrap());
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().pool_max_idle_per_host(0).connector_layer(layer()).build().unwrap();
        (server, url, client)
    }

    #[tokio::test]
    async fn a_connection_is_opened_behind_a_gate_and_nothing_is_sent_before_it_opens() {
        let (server, url, client) = house().await;
        let gate = Gate::default();
        let request = tokio::spawn({
            let gate = gate.clone();
            async move { gate.before(client.get(url).send()).await.map(|it| it.status().as_u16()) }
        });
        let (mut connection, _) = server.accept().await.unwrap();
        let mut bytes = [0; 1024];
        assert_eq!(connection.try_read(&mut bytes).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        gate.open();
        assert_ne!(connection.read(&mut bytes).await.unwrap(), 0);
        connection.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        assert_eq!(request.await.unwrap().unwrap(), 204);
        assert!(!gate.was_late());
    }

    #[tokio::test]
    async fn a_gate_that_does_not_open_ends_the_request_unsent() {
        let (server, url, client) = house().await;
        let gate = Gate::default();
        let (sent, accepted) = tokio::join!(gate.before(client.get(url).send()), server.accept());
        assert!(sent.unwrap_err().is_connect());
        assert!(gate.was_late());
        assert_eq!(accepted.unwrap().0.read(&mut [0; 8]).await.unwrap(), 0);
    }
}
