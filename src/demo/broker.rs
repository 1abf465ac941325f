//! An MQTT 5 broker inside this process, on loopback, that keeps nothing on disk.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use mqtt5::broker::{BrokerConfig, MqttBroker, StorageConfig, config::StorageBackend, server::BrokerShutdownHandle};
use tokio::task::JoinHandle;

/// A running broker; it stops when it is dropped.
pub struct Broker {
    port: u16,
    shutdown: BrokerShutdownHandle,
    task: JoinHandle<()>,
}

impl Broker {
    /// Listens on loopback; port 0 takes a free one.
    ///
    /// # Errors
    /// The port is taken, or may not be had.
    pub async fn start(port: u16) -> io::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let storage =
            StorageConfig { backend: StorageBackend::Memory, enable_persistence: false, ..StorageConfig::default() };
        let config = BrokerConfig { storage_config: storage, ..BrokerConfig::default() }.with_bind_address(address);
        let mut broker = MqttBroker::with_config(config).await.map_err(io::Error::other)?;
        let bound = broker.local_addr().ok_or_else(|| io::Error::other("the broker has no address"))?;
        let shutdown = broker.shutdown_handle();
        let task = tokio::spawn(async move {
            if let Err(error) = broker.run().await {
                tracing::error!("the embedded broker stopped: {error}");
            }
        });
        Ok(Self { port: bound.port(), shutdown, task })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops it, and waits until it has let go of its port.
    pub async fn stop(mut self) {
        self.shutdown.shutdown();
        // It is a demo's broker: a fault while stopping has nobody to go to.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.shutdown.shutdown();
    }
}
