//! `tandem serve`: a database file that replicas sync with over HTTP.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _, stdin, stdout};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use common::{Error, ErrorKind, Result};
use durable::DatabaseFile;
use server::{ServeOptions, serve, stop_signal};
use syncdb::{Serving, SyncServer, SyncServerOptions};
use tokio::net::TcpListener;

use super::migrate::lineage;
use super::synced::policies;

/// Serve the tables of a database file to replicas over HTTP
///
/// Prints the address once it listens. Ends on SIGTERM or ctrl-c, lets running requests finish, and then writes
/// what replicas changed to the file; what came in is in memory only until then.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tandem serve --db world.tdb --listen 127.0.0.1:8080\n  \
    tandem serve --listen 127.0.0.1:0    (a free port, printed)\n  \
    echo '{\"posts\": {\"columns\": {\"likes\": \"counter\", \"tags\": {\"set\": \"add_wins\"}}}}' > policies.json\n  \
    tandem serve --policies policies.json\n  \
    tandem serve --lineage lineage.json --served-from 2    (versions 2 and later side by side)\n\n\
    Paths: POST /v1/sync, GET /v1/status, GET /healthz. There is no encryption and no access control yet: \
    listen on the loopback address only.")]
pub(crate) struct Serve {
    /// Database file; created if it does not exist
    #[arg(long, default_value = "tandem.tdb")]
    db: PathBuf,
    /// How conflicts are resolved: a JSON file with a policy for each table that is not to have the default
    #[arg(long, value_name = "FILE")]
    policies: Option<PathBuf>,
    /// Serve several versions of the tables side by side: the lineage as JSON, see `tandem migrate`
    #[arg(long, value_name = "FILE")]
    lineage: Option<PathBuf>,
    /// Serve replicas of this version and later
    #[arg(long, value_name = "VERSION", requires = "lineage")]
    served_from: Option<u32>,
    /// Take what replicas of this version and later have still to send, also where they are not served any more
    #[arg(long, value_name = "VERSION", requires = "lineage")]
    accepted_from: Option<u32>,
    /// The version of replicas that carry no lineage, to roll a deployment back
    #[arg(long, value_name = "VERSION", requires = "lineage")]
    current: Option<u32>,
    /// Address and port
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: String,
    /// End as well when standard input is closed: so that a server never outlives the program that started it
    #[arg(long)]
    until_input_ends: bool,
}

impl Serve {
    fn serving(&self) -> Result<Option<Serving>> {
        let Some(path) = &self.lineage else {
            return Ok(None);
        };
        let mut serving = Serving::new(lineage(path)?);
        if let Some(version) = self.served_from {
            serving = serving.served_from(version);
        }
        if let Some(version) = self.accepted_from {
            serving = serving.accepted_from(version);
        }
        if let Some(version) = self.current {
            serving = serving.current(version);
        }
        Ok(Some(serving))
    }

    pub(crate) fn run(self) -> Result<()> {
        let serving = self.serving()?;
        let file = DatabaseFile::open_or_create(&self.db)?;
        let options = SyncServerOptions {
            serving,
            policies: self
                .policies
                .as_deref()
                .map_or_else(|| Ok(BTreeMap::new()), policies)?,
            ..SyncServerOptions::default()
        };
        let server = Arc::new(SyncServer::with(file.database().clone(), options)?);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let listener = TcpListener::bind(&self.listen).await.map_err(|error| {
                Error::new(
                    ErrorKind::Io,
                    format!(
                        "{}: cannot listen there ({error}); choose another address with --listen",
                        self.listen
                    ),
                )
                .caused_by(error)
            })?;
            writeln!(stdout(), "listening on http://{}", listener.local_addr()?)?;
            stdout().flush()?;
            let until_input_ends = self.until_input_ends;
            let stop = async move {
                let input = async {
                    if until_input_ends {
                        let _ = tokio::task::spawn_blocking(drain_input).await;
                    } else {
                        std::future::pending::<()>().await;
                    }
                };
                tokio::select! {
                    // Without signals, nothing but the input can end it; then it runs until it is killed.
                    signal = stop_signal() => if signal.is_err() { std::future::pending().await },
                    () = input => {}
                }
            };
            serve(listener, server, ServeOptions::default(), stop).await
        })?;
        // A thread may still wait for input, and must not hold up the end.
        runtime.shutdown_background();
        let saved = file.save()?;
        writeln!(
            stdout(),
            "saved {} bytes to {}",
            saved.bytes,
            self.db.display()
        )?;
        Ok(())
    }
}

/// Returns when standard input is closed.
fn drain_input() {
    let mut chunk = [0; 1_024];
    while matches!(stdin().read(&mut chunk), Ok(1..)) {}
}
