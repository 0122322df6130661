//! The load: clients that each send their next write when the last one was answered.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::Result;
use crate::client::Client;

/// Rows of each client, so that most writes replace one.
const KEYS: u64 = 1_500;

/// What a run gave.
pub(crate) struct Run {
    pub(crate) clients: Vec<Client>,
    /// What each row was when its last write was answered.
    pub(crate) written: BTreeMap<u64, u64>,
    /// Of all writes, in microseconds, the shortest first.
    pub(crate) latencies: Vec<u64>,
    pub(crate) seconds: f64,
}

/// The text of a row: 100 bytes.
pub(crate) fn text(number: u64) -> String {
    format!("{number:0>100}")
}

/// What one client does: no two write to the same row, so that each knows what its rows are.
struct Turn {
    client: Client,
    written: BTreeMap<u64, u64>,
    latencies: Vec<u64>,
}

/// Lets all clients write for some time, to what `written` says is there.
pub(crate) async fn run(
    clients: Vec<Client>,
    time: Duration,
    mut written: BTreeMap<u64, u64>,
) -> Result<Run> {
    let all = clients.len() as u64;
    let begin = Instant::now();
    let mut turns = JoinSet::new();
    for (number, mut client) in (0..).zip(clients) {
        let mut turn = written.values().copied().max().unwrap_or_default() * all + number;
        turns.spawn(async move {
            let (mut written, mut latencies) = (BTreeMap::new(), Vec::new());
            while begin.elapsed() < time {
                turn += all;
                let place = turn.wrapping_mul(0x9e37_79b9_7f4a_7c15) % KEYS;
                let key = place * all + number;
                let sent = Instant::now();
                client.upsert(key, &text(turn)).await?;
                latencies.push(u64::try_from(sent.elapsed().as_micros())?);
                written.insert(key, turn);
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Turn {
                client,
                written,
                latencies,
            })
        });
    }
    let (mut clients, mut latencies) = (Vec::new(), Vec::new());
    while let Some(turn) = turns.join_next().await {
        let turn = turn??;
        clients.push(turn.client);
        written.extend(turn.written);
        latencies.extend(turn.latencies);
    }
    let seconds = begin.elapsed().as_secs_f64();
    latencies.sort_unstable();
    Ok(Run {
        clients,
        written,
        latencies,
        seconds,
    })
}

/// Milliseconds within which this share of sorted microseconds is.
pub(crate) fn quantile(sorted: &[u64], share: f64) -> f64 {
    let place = sorted.len().saturating_sub(1) as f64 * share;
    sorted
        .get(place as usize)
        .map_or(0.0, |micros| *micros as f64 / 1e3)
}
