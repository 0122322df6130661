//! WebSocket clients that have synced and say nothing: what they take of the server's memory, whether they hear of news, and
//! many that come back at once.

use std::path::Path;
use std::time::{Duration, Instant};

use bench::report::Rounds;
use futures_util::StreamExt as _;
use syncdb::SyncDb;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{AbortHandle, JoinSet};
use tokio_tungstenite::tungstenite::Message;

use crate::arguments::Options;
use crate::http1::Connection;
use crate::replica::{Socket, exchange, open};
use crate::server::Server;
use crate::{OURS, Result, load, tandem};

/// Clients before the first that counts: what these take is of the server.
const WARM: u64 = 50;
/// Clients that connect at the same time until all are there.
const CONNECTING: usize = 64;
/// Longest wait for news that does not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Clients, each with a task that reads what its server says.
struct Crowd<'a> {
    server: &'a Server,
    told: UnboundedSender<u64>,
    heard: UnboundedReceiver<u64>,
    clients: Vec<(u64, AbortHandle)>,
    tasks: JoinSet<()>,
}

/// Connects and syncs once; gives how long that took.
async fn sync_once(server: &Server, number: u64) -> Result<(Socket, u64)> {
    let db = SyncDb::client(format!("idle {number}").as_str())?;
    let mut session = db.session()?;
    let request = session
        .next_message()?
        .ok_or("a replica has nothing to ask")?;
    let begin = Instant::now();
    let mut socket = open(server, number).await?;
    let answer = exchange(&mut socket, request).await?;
    let took = u64::try_from(begin.elapsed().as_micros())?;
    session.receive(&answer)?;
    Ok((socket, took))
}

/// Reads what a client is told, for as long as its connection lasts.
async fn listen(number: u64, mut socket: Socket, told: UnboundedSender<u64>) {
    while let Some(Ok(message)) = socket.next().await {
        if matches!(&message, Message::Text(text) if text.contains("changed")) {
            // Whoever counts may have gone.
            let _ = told.send(number);
        }
    }
}

impl<'a> Crowd<'a> {
    fn new(server: &'a Server) -> Self {
        let (told, heard) = unbounded_channel();
        Self {
            server,
            told,
            heard,
            clients: Vec::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Connects clients, so many at a time; gives how long each took.
    async fn grow(
        &mut self,
        numbers: impl IntoIterator<Item = u64>,
        at_a_time: usize,
    ) -> Result<Vec<u64>> {
        let server = self.server;
        let mut connecting = futures_util::stream::iter(numbers)
            .map(|number| async move {
                let connected = sync_once(server, number).await;
                connected.map(|(socket, took)| (number, socket, took))
            })
            .buffer_unordered(at_a_time);
        let mut latencies = Vec::new();
        while let Some(connected) = connecting.next().await {
            let (number, socket, took) = connected?;
            latencies.push(took);
            let task = self.tasks.spawn(listen(number, socket, self.told.clone()));
            self.clients.push((number, task));
        }
        latencies.sort_unstable();
        Ok(latencies)
    }

    /// Ends the connections of some, without a word; gives their numbers.
    fn cut(&mut self, count: u64) -> Result<Vec<u64>> {
        let count = usize::try_from(count)?.min(self.clients.len());
        let cut = self.clients.drain(..count);
        Ok(cut
            .map(|(number, task)| {
                task.abort();
                number
            })
            .collect())
    }

    /// Writes a row, and waits until so many clients have heard that there is news: those that have asked since they last did.
    async fn tell(&mut self, writer: &mut Connection, turn: u64, clients: u64) -> Result<f64> {
        let begin = Instant::now();
        writer.put(0, &load::text(turn)).await?;
        for heard in 0..clients {
            let next = tokio::time::timeout(PATIENCE, self.heard.recv()).await;
            if !matches!(next, Ok(Some(_))) {
                return Err(format!("{heard} of {clients} clients heard of a change").into());
            }
        }
        Ok(begin.elapsed().as_secs_f64())
    }
}

pub(crate) async fn measure(place: &Path, options: &Options, rounds: &mut Rounds) -> Result<()> {
    let server = tandem::start(options, place)?;
    tandem::create_table(&server).await?;
    let mut writer = Connection::open(server.address).await?;
    writer.put(0, &load::text(0)).await?;
    let mut crowd = Crowd::new(&server);
    crowd.grow(0..WARM, CONNECTING).await?;
    let before = server.process.resident_bytes()?;
    let begin = Instant::now();
    let numbers = WARM..WARM + options.idle;
    crowd.grow(numbers, CONNECTING).await?;
    let connected = begin.elapsed().as_secs_f64();
    let each = server.process.resident_bytes()?.saturating_sub(before) as f64 / options.idle as f64;
    let mut writer = Connection::open(server.address).await?;
    let told = crowd.tell(&mut writer, 1, WARM + options.idle).await?;

    let back = crowd.cut(options.again)?;
    let begin = Instant::now();
    // One that is refused ends the run.
    let latencies = crowd.grow(back, usize::MAX).await?;
    let all = begin.elapsed().as_secs_f64();
    crowd.tell(&mut writer, 2, options.again).await?;

    let idle = format!("idle@{}", options.idle);
    let again = format!("reconnect@{}", options.again);
    for (case, metric, value) in [
        (&idle, "memory_of_one", each),
        (&idle, "connected", connected * 1e3),
        (&idle, "told", told * 1e3),
        (&again, "all", all),
        (&again, "p50", load::quantile(&latencies, 0.50)),
        (&again, "p99", load::quantile(&latencies, 0.99)),
    ] {
        rounds.push(case, metric, OURS, value);
    }
    Ok(())
}
