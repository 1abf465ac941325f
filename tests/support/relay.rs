//! A wire to a broker that can be cut, deafened and slowed.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
    time::sleep,
};

/// What the wire does with what goes over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    Open,
    /// It takes connections and bytes, and hands nothing on.
    Silent,
    /// Every piece takes so long on its way.
    Slow(Duration),
    /// Each connection is cut after a number of bytes from this range, whichever way they went.
    Brittle(Range<usize>),
}

/// Takes connections on `port` and hands everything on to the broker's own port. Ends when dropped.
pub struct Relay {
    pub port: u16,
    wire: Arc<Wire>,
    task: JoinHandle<()>,
}

struct Wire {
    to: AtomicU16,
    mode: watch::Sender<Mode>,
    /// Goes up with each cut.
    cuts: watch::Sender<usize>,
    n_connections: AtomicUsize,
}

impl Relay {
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wire = Arc::new(Wire {
            to: port.into(),
            mode: watch::channel(Mode::Open).0,
            cuts: watch::channel(0).0,
            n_connections: AtomicUsize::new(0),
        });
        let port = listener.local_addr().unwrap().port();
        let taking = wire.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                taking.n_connections.fetch_add(1, Relaxed);
                tokio::spawn(taking.clone().carry(stream));
            }
        });
        Self { port, wire, task }
    }

    /// Ends all connections, and goes on taking new ones.
    pub fn cut(&self) {
        self.wire.cuts.send_modify(|it| *it += 1);
    }

    /// Where connections lead from now on.
    pub fn lead_to(&self, port: u16) {
        self.wire.to.store(port, Relaxed);
    }

    pub fn set(&self, mode: Mode) {
        self.wire.mode.send_replace(mode);
    }

    /// How many connections there were.
    pub fn n_connections(&self) -> usize {
        self.wire.n_connections.load(Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

impl Wire {
    async fn carry(self: Arc<Self>, near: TcpStream) {
        let mut cuts = self.cuts.subscribe();
        let Ok(far) = TcpStream::connect(("127.0.0.1", self.to.load(Relaxed))).await else { return };
        for stream in [&near, &far] {
            let _ = stream.set_nodelay(true);
        }
        let left = match &*self.mode.borrow() {
            Mode::Brittle(range) => fastrand::usize(range.clone()),
            _ => usize::MAX,
        };
        let left = AtomicUsize::new(left);
        let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
        tokio::select! {
            _ = self.pump(near_in, far_out, &left) => {}
            _ = self.pump(far_in, near_out, &left) => {}
            _ = cuts.changed() => {}
        }
    }

    async fn pump(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, left: &AtomicUsize) -> Option<()> {
        let mut mode = self.mode.subscribe();
        let mut piece = vec![0; 16 * 1024];
        loop {
            let length = from.read(&mut piece).await.ok().filter(|it| 0 < *it)?;
            let pace = mode.wait_for(|it| *it != Mode::Silent).await.ok()?.clone();
            if let Mode::Slow(delay) = pace {
                sleep(delay).await;
            }
            let room = left.load(Relaxed);
            to.write_all(&piece[..length.min(room)]).await.ok()?;
            left.store(room.saturating_sub(length), Relaxed);
            if room <= length {
                return None;
            }
        }
    }
}
