//! Durable single-row upserts by many clients over the network beside PostgreSQL and Redis, and what idle clients take.
//!
//! Every server is a process of its own on the loopback address; this process is the load, on one thread, so that the
//! servers have what is left of two cores. Each client has a connection of its own and sends its next write when the last one was
//! answered. In the end each server is killed and started again, and every row must be what its client was last told.

mod arguments;
mod client;
mod http1;
mod idle;
mod load;
mod postgres;
mod process;
mod redis;
mod replica;
mod server;
mod tandem;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;

use bench::report::{Better, Report, Rounds, Target};

use crate::arguments::{HELP, Options};
use crate::client::Client;
use crate::server::Server;

pub(crate) use bench::Result;

/// What we are called; other ways to write to the same server have a name of their own.
pub(crate) const OURS: &str = "tandemdb";

/// Makes the connections of a number of clients.
type Connect =
    fn(&Server, u64) -> std::pin::Pin<Box<dyn Future<Output = Result<Vec<Client>>> + '_>>;

/// Who is measured: a server, and a way to write to it.
struct Subject {
    name: &'static str,
    start: fn(&Options, &Path) -> Result<Server>,
    connect: Connect,
}

const SUBJECTS: [Subject; 5] = [
    Subject {
        name: OURS,
        start: tandem::start,
        connect: |server, clients| Box::pin(http1::connect(server, clients)),
    },
    Subject {
        name: "tandemdb, HTTP/2",
        start: tandem::start,
        connect: |server, clients| Box::pin(tandem::connect(server, clients)),
    },
    Subject {
        name: "tandemdb, replicas over WebSocket",
        start: tandem::start,
        connect: |server, clients| Box::pin(replica::connect(server, clients)),
    },
    Subject {
        name: postgres::NAME,
        start: postgres::start,
        connect: |server, clients| Box::pin(postgres::connect(server, clients)),
    },
    Subject {
        name: "Redis, AOF always",
        start: redis::start,
        connect: |server, clients| Box::pin(redis::connect(server, clients)),
    },
];

fn main() -> Result<()> {
    let Some(options) = Options::read()? else {
        println!("{HELP}");
        return Ok(());
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut rounds = Rounds::default();
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        for subject in SUBJECTS
            .iter()
            .filter(|subject| options.wants(subject.name))
        {
            let place = options.place()?;
            let write = writes(subject, place.path(), &options, &mut rounds);
            runtime
                .block_on(write)
                .map_err(|error| format!("{}: {error}", subject.name))?;
        }
        if options.idle > 0 {
            let place = options.place()?;
            runtime.block_on(idle::measure(place.path(), &options, &mut rounds))?;
        }
    }
    let target = Target {
        case: "upsert",
        metric: "writes_per_second",
        rival: Some(postgres::NAME),
        bound: 5.0,
    };
    let mut report = Report::new("serve", OURS, &[target]);
    let figures = rounds.into_figures(|metric| match metric {
        "writes_per_second" => ("1/s", Better::Higher),
        "memory_of_one" => ("bytes", Better::Lower),
        "server_time" | "client_time" => ("µs of processor time a write", Better::Lower),
        "all" => ("s", Better::Lower),
        _ => ("ms", Better::Lower),
    });
    figures.for_each(|figure| report.push(figure));
    report.publish(options.markdown, options.json, "")?;
    Ok(())
}

/// Writes from all clients for some time, then kills the server, and looks whether everything that was acknowledged is there.
async fn writes(
    subject: &Subject,
    place: &Path,
    options: &Options,
    rounds: &mut Rounds,
) -> Result<()> {
    let mut server = (subject.start)(options, place)?;
    let clients = (subject.connect)(&server, options.clients).await?;
    // What happens once at the beginning is not the question.
    let warm = load::run(clients, options.warm_up(), BTreeMap::new()).await?;
    let (of_server, of_client) = (server.process.processor_time()?, process::own_time()?);
    let run = load::run(warm.clients, options.time(), warm.written).await?;
    let of_server = server.process.processor_time()?.saturating_sub(of_server);
    let of_client = process::own_time()?.saturating_sub(of_client);
    let written = run.written;
    drop(run.clients);
    server.kill_and_start_again()?;
    let found = server.rows().await?;
    check(&written, &found)?;
    let case = format!("upsert@{}", options.clients);
    let mut push = |metric, value| rounds.push(&case, metric, subject.name, value);
    let writes = run.latencies.len();
    push("writes_per_second", writes as f64 / run.seconds);
    push("p50", load::quantile(&run.latencies, 0.50));
    push("p99", load::quantile(&run.latencies, 0.99));
    push("server_time", of_server.as_secs_f64() * 1e6 / writes as f64);
    push("client_time", of_client.as_secs_f64() * 1e6 / writes as f64);
    Ok(())
}

/// Every row is what its client was last told, and there are no others.
fn check(written: &BTreeMap<u64, u64>, found: &BTreeMap<u64, String>) -> Result<()> {
    if written.len() != found.len() {
        let (found, written) = (found.len(), written.len());
        return Err(format!("{found} rows after a kill, {written} were acknowledged").into());
    }
    for (key, number) in written {
        let text = found.get(key).ok_or(format!("row {key} is gone"))?;
        if *text != load::text(*number) {
            return Err(format!("row {key} is {text}, {number} was acknowledged").into());
        }
    }
    Ok(())
}
