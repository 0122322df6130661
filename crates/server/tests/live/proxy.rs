//! A TCP proxy that does to connections what networks do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Fate {
    /// It is cut after so many bytes to the server.
    pub(crate) up: Option<usize>,
    /// It is cut after so many bytes to the client.
    pub(crate) down: Option<usize>,
    /// Each read of either side is held up for so long.
    pub(crate) delay: Duration,
    /// All that the client sends goes to the server on a second connection as well.
    pub(crate) is_doubled: bool,
}

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) bytes_up: Arc<AtomicU64>,
    pub(crate) bytes_down: Arc<AtomicU64>,
}

impl Proxy {
    /// Passes connections on to `server`; `fate` says by their number what becomes of each.
    pub(crate) fn start(
        runtime: &Runtime,
        server: SocketAddr,
        fate: impl Fn(u64) -> Fate + Send + 'static,
    ) -> Self {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (bytes_up, bytes_down) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (up, down) = (Arc::clone(&bytes_up), Arc::clone(&bytes_down));
        runtime.spawn(async move {
            for number in 0.. {
                let Ok((client, _)) = listener.accept().await else {
                    break;
                };
                let fate = fate(number);
                tokio::spawn(pass(
                    client,
                    server,
                    fate,
                    Arc::clone(&up),
                    Arc::clone(&down),
                ));
            }
        });
        Self {
            address,
            bytes_up,
            bytes_down,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn pass(
    client: TcpStream,
    server: SocketAddr,
    fate: Fate,
    bytes_up: Arc<AtomicU64>,
    bytes_down: Arc<AtomicU64>,
) {
    let Ok(first) = TcpStream::connect(server).await else {
        return;
    };
    let mut servers = Vec::new();
    let (from_server, to_server) = first.into_split();
    servers.push(to_server);
    let mut second = None;
    if fate.is_doubled
        && let Ok(other) = TcpStream::connect(server).await
    {
        let (mut answers, to) = other.into_split();
        servers.push(to);
        // Read, so that it is no slow client, and thrown away.
        second = Some(tokio::spawn(async move {
            let mut chunk = [0; 4_096];
            while matches!(answers.read(&mut chunk).await, Ok(1..)) {}
        }));
    }
    let (from_client, to_client) = client.into_split();
    // Whichever side is cut first takes the other with it.
    tokio::select! {
        () = copy(from_client, servers, fate.up, fate.delay, &bytes_up) => {}
        () = copy(from_server, vec![to_client], fate.down, fate.delay, &bytes_down) => {}
    }
    if let Some(second) = second {
        second.abort();
    }
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: Vec<OwnedWriteHalf>,
    cut: Option<usize>,
    delay: Duration,
    passed: &AtomicU64,
) {
    let mut left = cut.unwrap_or(usize::MAX);
    let mut chunk = vec![0; 4_096];
    while left > 0 {
        let Ok(read @ 1..) = from.read(&mut chunk).await else {
            return;
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let part = chunk.get(..read.min(left)).unwrap();
        left -= part.len();
        passed.fetch_add(part.len() as u64, Ordering::Relaxed);
        for to in &mut to {
            if to.write_all(part).await.is_err() {
                return;
            }
        }
    }
}
