//! Where a cloud listens: for each region a listener for each of its parts, or one for all of them.

use std::{collections::BTreeMap, io, net::SocketAddr};

use tokio::net::TcpListener;

use super::tls::Tls;

/// How the listeners of a cloud are laid out. `Places::default()`: one region, a free port for each part, in the clear.
#[derive(Clone)]
pub struct Places {
    /// 1 or more. All regions know the same accounts, but each account lives in one only: account `n` in region
    /// `n % n_regions`.
    pub n_regions: usize,
    /// Where the parts after the first listen in the first region; a free port beside the first unless named here.
    pub parts: BTreeMap<&'static str, SocketAddr>,
    /// Whether one listener does for all parts of a region.
    pub shares_one_port: bool,
    /// https everywhere, if there is a certificate.
    pub tls: Option<Tls>,
}

/// Which listener a connection came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entrance {
    pub region: usize,
    /// None for a listener that does for all parts.
    pub part: Option<&'static str>,
}

/// Where the listeners ended up.
pub(super) struct Addresses {
    scheme: &'static str,
    regions: Vec<BTreeMap<&'static str, SocketAddr>>,
}

impl Places {
    /// Opens all listeners; `first` is where the first part of the first region listens.
    pub(super) async fn open(
        &self,
        first: SocketAddr,
        parts: &'static [&'static str],
    ) -> io::Result<(Addresses, Vec<(Entrance, TcpListener)>)> {
        let mut listeners = Vec::new();
        let mut regions = Vec::new();
        for region in 0..self.n_regions.max(1) {
            let mut addresses: BTreeMap<&'static str, SocketAddr> = BTreeMap::new();
            for (number, part) in parts.iter().copied().enumerate() {
                if let (true, Some(shared)) = (self.shares_one_port, addresses.values().next().copied()) {
                    addresses.insert(part, shared);
                    continue;
                }
                let free = SocketAddr::new(first.ip(), 0);
                let wanted = match (region, number) {
                    (0, 0) => first,
                    (0, _) => self.parts.get(part).copied().unwrap_or(free),
                    _ => free,
                };
                let listener = TcpListener::bind(wanted).await?;
                addresses.insert(part, listener.local_addr()?);
                let part = if self.shares_one_port { None } else { Some(part) };
                listeners.push((Entrance { region, part }, listener));
            }
            regions.push(addresses);
        }
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        Ok((Addresses { scheme, regions }, listeners))
    }
}

impl Default for Places {
    fn default() -> Self {
        Self { n_regions: 1, parts: BTreeMap::new(), shares_one_port: false, tls: None }
    }
}

impl Addresses {
    pub(super) fn n_regions(&self) -> usize {
        self.regions.len()
    }

    /// `scheme://host:port`.
    ///
    /// # Panics
    /// There is no such region or part.
    pub(super) fn url(&self, region: usize, part: &str) -> String {
        format!("{}://{}", self.scheme, self.regions[region][part])
    }

    /// `host:port` of a part, by the host name with which the client reached its neighbour.
    pub(super) fn beside(&self, reached_by: Option<&str>, region: usize, part: &str) -> String {
        let address = self.regions[region][part];
        let named = reached_by.and_then(|it| it.rsplit_once(':')).filter(|it| it.1.parse::<u16>().is_ok());
        named.map_or_else(|| address.to_string(), |(host, _)| format!("{host}:{}", address.port()))
    }
}
