//! `tandem sync`: a folder as a replica of a server.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use common::query::Filter;
use common::{Error, Result};
use server::client::{LiveEvent, LiveReplica, LiveReplicaOptions, WebSocketTransport};
use server::stop_signal;
use syncdb::{Subscription, SyncReport, Transport as _};
use tokio::sync::mpsc;

use super::kept_replica::KeptReplica;
use super::reach::Reach;
use super::replica;
use super::synced::to_json;
use crate::terminal::{Progress, output};

/// Bring a folder in step with a server: send what was edited in it, take what others have changed
///
/// The folder is a replica: `tandem query` reads it, `tandem replica --db` edits it, both without a connection. It is begun
/// where there is none. Killed anywhere, no edit that was answered is lost, and none arrives twice; the next sync goes on
/// there. Where a file of that name is there, it is the replica, and is written after each sync and at the end only.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tandem sync http://127.0.0.1:8080 --db phone\n  \
    tandem sync https://sync.example.org --db phone --only \"cities: country = 'FI'\"\n  \
    echo '{\"do\": \"update\", \"table\": \"cities\", \"key\": [643492], \"row\": {\"name\": \"Uleåborg\"}}' | \
    tandem replica --db phone\n  \
    tandem sync http://127.0.0.1:8080 --db phone --watch    (until ctrl-c)\n\n\
    Exit codes: 0 in step; 1 the server refused the credentials or rejected an edit, which `tandem rejected` shows; \
    3 the server is not reached, or the disk cannot be written.")]
pub(crate) struct Sync {
    /// Address of the server, as `tandem serve` prints it
    url: String,
    /// Folder of the replica; created if it does not exist
    #[arg(long, value_name = "FOLDER", default_value = "replica")]
    db: PathBuf,
    /// Name of a replica that is begun, which tells it from all others; default: one made by chance
    #[arg(long)]
    name: Option<String>,
    /// Keep of this table only the rows that fit a filter, or all with the table alone; may be repeated
    #[arg(long, value_name = "TABLE[: FILTER]")]
    only: Vec<String>,
    /// Go on: send edits as they are made, take changes as the server tells of them, and wait where it is not reached
    #[arg(long, conflicts_with = "json")]
    watch: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// With --watch: take orders from standard input as `tandem replica` does, and end when it is closed
    #[arg(long, requires = "watch")]
    orders: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Sync {
    pub(crate) fn run(self) -> Result<()> {
        // What is wrong with the address, the credentials and the filters is found before the disk is touched.
        let mut transport = WebSocketTransport::with(&self.url, self.reach.options()?)?;
        let subscriptions = self.subscriptions()?;
        let kept = KeptReplica::open(&self.db, self.name.as_deref())?;
        transport.before_each(kept.settle());
        for subscription in &subscriptions {
            kept.replica().subscribe(subscription)?;
        }
        if self.watch {
            return self.watch(&kept, transport);
        }
        let synced = once(&kept, &mut transport);
        transport.disconnect();
        // Also what came before a failure.
        kept.keep()?;
        let report = synced?;
        let rejected = report.outcomes.get("rejected").copied().unwrap_or(0);
        let refused = report.refused.clone();
        let said = if self.json {
            to_json(&replica::Synced::from(report))?
        } else {
            sentence(&report, &kept)
        };
        writeln!(output(), "{said}")?;
        if let Some((name, why)) = refused.into_iter().next() {
            return Err(Error::invalid(format!(
                "the server does not serve --only {name}: {why}"
            )));
        }
        if rejected > 0 {
            return Err(Error::invalid(format!(
                "the server rejected {rejected} edits; see `tandem rejected --db {}`",
                kept.path().display()
            )));
        }
        Ok(())
    }

    /// What of the server's rows is kept here.
    fn subscriptions(&self) -> Result<Vec<Subscription>> {
        let subscription = |only: &String| {
            let (table, filter) = only.split_once(':').unwrap_or((only, ""));
            let table = table.trim();
            let subscription = Subscription::new(table, table);
            if filter.trim().is_empty() {
                return Ok(subscription);
            }
            let filter = Filter::parse(filter).map_err(|error| error.at("--only"))?;
            Ok(subscription.filter(filter))
        };
        self.only.iter().map(subscription).collect()
    }

    fn watch(&self, kept: &KeptReplica, transport: WebSocketTransport) -> Result<()> {
        let (events, mut happened) = mpsc::unbounded_channel();
        let replica = Arc::clone(kept.replica());
        let live = LiveReplica::start(
            replica,
            transport,
            LiveReplicaOptions::default(),
            move |event| {
                // Nobody listens any more once it is stopped.
                let _ = events.send(event);
            },
        )?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (ordered, takes_orders) = (Arc::clone(kept.replica()), self.orders);
        let settle = kept.settle();
        let ended = runtime.block_on(async {
            let orders = async {
                if !takes_orders {
                    return std::future::pending().await;
                }
                let obeyed = tokio::task::spawn_blocking(move || {
                    let by_itself = "with --watch it syncs by itself";
                    let mut sync = |_: &_| Err(Error::invalid(by_itself));
                    replica::obey_input(&ordered, &settle, &mut sync)
                });
                obeyed
                    .await
                    .unwrap_or_else(|_| Err(Error::closed("the orders ended in a panic")))
            };
            let mut orders = std::pin::pin!(orders);
            let mut stop = std::pin::pin!(stop_signal());
            let mut input_ended = false;
            loop {
                tokio::select! {
                    stopped = &mut stop => return stopped,
                    ended = &mut orders, if !input_ended => {
                        ended?;
                        input_ended = true;
                        if kept.replica().pending() == 0 {
                            return Ok(());
                        }
                    }
                    event = happened.recv() => match event {
                        // It has ended by itself; why is known when it is joined.
                        None => return Ok(()),
                        Some(event) => {
                            show(kept, event)?;
                            if input_ended && kept.replica().pending() == 0 {
                                return Ok(());
                            }
                        }
                    }
                }
            }
        });
        // A thread may still wait for input, and must not hold up the end.
        runtime.shutdown_background();
        let stopped = live.stop();
        kept.keep()?;
        ended.and(stopped)
    }
}

/// One sync, shown on the terminal.
fn once(kept: &KeptReplica, transport: &mut WebSocketTransport) -> Result<SyncReport> {
    let progress = Progress::stage("syncing");
    let mut session = kept.replica().session()?;
    while let Some(request) = session.next_message()? {
        let answer = transport.exchange(&request)?;
        session.receive(&answer)?;
        let report = session.report();
        let rows = report.rows_sent + report.rows_received;
        progress.say(&format!("syncing, {rows} rows"));
    }
    Ok(session.into_report())
}

fn show(kept: &KeptReplica, event: LiveEvent) -> Result<()> {
    let line = match event {
        LiveEvent::Synced(report) => {
            kept.keep()?;
            if report.rows_sent + report.rows_received == 0 {
                return Ok(());
            }
            sentence(&report, kept)
        }
        LiveEvent::Offline { error, wait } => {
            kept.keep()?;
            format!(
                "offline, trying again in {:.1} s ({error})",
                wait.as_secs_f64()
            )
        }
        _ => return Ok(()),
    };
    let mut out = output();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}

/// What a sync did, for people.
fn sentence(report: &SyncReport, kept: &KeptReplica) -> String {
    let SyncReport {
        rows_sent,
        rows_received,
        ..
    } = report;
    let rejected = report.outcomes.get("rejected").copied().unwrap_or(0);
    let mut line = format!("{rows_received} rows received, {rows_sent} edits sent");
    for (count, what) in [
        (report.conflicts.len() as u64, "conflicts"),
        (rejected, "rejected"),
    ] {
        if count > 0 {
            line = format!("{line}, {count} {what}");
        }
    }
    let state = if report.converged {
        "in step"
    } else {
        "edited meanwhile"
    };
    format!("{line}; {} is {state}", kept.path().display())
}
