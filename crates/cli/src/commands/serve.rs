//! `tandem serve`: a database file over HTTP.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _, stdin, stdout};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use common::{Error, ErrorKind, Result};
use durable::DatabaseFile;
use server::config::ServerSection;
use server::telemetry::write_log;
use server::{App, Auth, Config, Tenant, serve, stop_signal};
use syncdb::{Serving, SyncServer, SyncServerOptions};
use tokio::net::TcpListener;

use super::migrate::lineage;
use super::synced::policies;

/// Serve the tables of a database file over HTTP: to replicas, and to whoever asks
///
/// Prints the address once it listens. Ends on SIGTERM or ctrl-c, lets running requests finish, and then writes
/// what was changed to the file; what came in is in memory only until then.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tandem serve --db world.tdb --listen 127.0.0.1:8080\n  \
    tandem serve --listen 127.0.0.1:0    (a free port, printed)\n  \
    tandem serve --print-config > tandem.toml\n  \
    tandem serve --config tandem.toml --listen 127.0.0.1:9000    (flags go first)\n  \
    echo '{\"posts\": {\"columns\": {\"likes\": \"counter\", \"tags\": {\"set\": \"add_wins\"}}}}' > policies.json\n  \
    tandem serve --policies policies.json\n  \
    tandem serve --lineage lineage.json --served-from 2    (versions 2 and later side by side)\n\n\
    Paths: /openapi.json lists them all. There is no access control yet: listen on the loopback address only.")]
pub(crate) struct Serve {
    /// File of options, as `--print-config` prints one; flags beside it go first
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print a file of all options with their defaults, and end
    #[arg(long)]
    print_config: bool,
    /// Database file; created if it does not exist [default: tandem.tdb]
    #[arg(long)]
    db: Option<PathBuf>,
    /// How conflicts are resolved: a JSON file with a policy for each table that is not to have the default
    #[arg(long, value_name = "FILE")]
    policies: Option<PathBuf>,
    /// Serve several versions of the tables side by side: the lineage as JSON, see `tandem migrate`
    #[arg(long, value_name = "FILE")]
    lineage: Option<PathBuf>,
    /// Serve replicas of this version and later
    #[arg(long, value_name = "VERSION")]
    served_from: Option<u32>,
    /// Take what replicas of this version and later have still to send, also where they are not served any more
    #[arg(long, value_name = "VERSION")]
    accepted_from: Option<u32>,
    /// The version of replicas that carry no lineage, to roll a deployment back
    #[arg(long, value_name = "VERSION")]
    current: Option<u32>,
    /// Address and port [default: 127.0.0.1:8080]
    #[arg(long)]
    listen: Option<String>,
    /// End as well when standard input is closed: so that a server never outlives the program that started it
    #[arg(long)]
    until_input_ends: bool,
}

/// The versions that are served side by side.
fn serving(section: &ServerSection) -> Result<Option<Serving>> {
    let Some(path) = &section.lineage else {
        let versions = [
            ("served_from", section.served_from),
            ("accepted_from", section.accepted_from),
            ("current", section.current),
        ];
        let without = versions.into_iter().find(|(_, version)| version.is_some());
        return match without {
            Some((key, _)) => Err(Error::invalid(format!(
                "`{key}` is a version of a lineage; name that with --lineage"
            ))),
            None => Ok(None),
        };
    };
    let mut serving = Serving::new(lineage(path)?);
    if let Some(version) = section.served_from {
        serving = serving.served_from(version);
    }
    if let Some(version) = section.accepted_from {
        serving = serving.accepted_from(version);
    }
    if let Some(version) = section.current {
        serving = serving.current(version);
    }
    Ok(Some(serving))
}

impl Serve {
    /// The options of the file, and of the flags where there are any.
    fn config(&self) -> Result<Config> {
        let mut config = match &self.config {
            Some(path) => Config::read(path)?,
            None => Config::default(),
        };
        let section = &mut config.server;
        if let Some(listen) = &self.listen {
            section.listen.clone_from(listen);
        }
        if let Some(db) = &self.db {
            section.db.clone_from(db);
        }
        let or = |flag: &Option<PathBuf>, option: &mut Option<PathBuf>| {
            if flag.is_some() {
                option.clone_from(flag);
            }
        };
        or(&self.policies, &mut section.policies);
        or(&self.lineage, &mut section.lineage);
        section.served_from = self.served_from.or(section.served_from);
        section.accepted_from = self.accepted_from.or(section.accepted_from);
        section.current = self.current.or(section.current);
        Ok(config)
    }

    /// What is served, to whom.
    fn app(config: &Config, file: &DatabaseFile, server: &Arc<SyncServer>) -> Result<App> {
        let tenant = Tenant::new(Tenant::DEFAULT, Arc::clone(server));
        let Some(options) = &config.auth else {
            return Ok(App::new([tenant], Auth::Open));
        };
        options.check_permissions(file.database())?;
        let auth = Auth::new(options)?;
        let has_tokens = !options.keys.is_empty() || options.jwks.is_some();
        if matches!(auth, Auth::Keys(_)) && !has_tokens {
            let now = file.database().clock().now();
            if let Some(first) = tenant.api_keys().create_first(now)? {
                // It is not shown again, so it is kept before it is shown.
                file.save()?;
                writeln!(
                    stdout(),
                    "the first API key, shown this once: {}",
                    first.secret
                )?;
            }
        }
        let tenant = tenant.audit_entries_max(options.audit_entries_max);
        Ok(App::new([tenant], auth))
    }

    pub(crate) fn run(self) -> Result<()> {
        if self.print_config {
            write!(stdout(), "{}", Config::print_defaults())?;
            return Ok(());
        }
        let config = self.config()?;
        let serve_options = config.options()?;
        let section = &config.server;
        let serving = serving(section)?;
        let file = DatabaseFile::open_or_create(&section.db)?;
        let options = SyncServerOptions {
            serving,
            policies: section
                .policies
                .as_deref()
                .map_or_else(|| Ok(BTreeMap::new()), policies)?,
            permissions: match &config.auth {
                Some(auth) => auth.permissions()?,
                None => None,
            },
            ..SyncServerOptions::default()
        };
        let server = Arc::new(SyncServer::with(file.database().clone(), options)?);
        let app = Self::app(&config, &file, &server)?;
        write_log(config.log.format, config.log.level);
        let scheme = if serve_options.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let listener = TcpListener::bind(&section.listen).await.map_err(|error| {
                Error::new(
                    ErrorKind::Io,
                    format!(
                        "{}: cannot listen there ({error}); choose another address with --listen",
                        section.listen
                    ),
                )
                .caused_by(error)
            })?;
            let address = listener.local_addr()?;
            writeln!(stdout(), "listening on {scheme}://{address}")?;
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
            serve(listener, app, serve_options, stop).await
        })?;
        // A thread may still wait for input, and must not hold up the end.
        runtime.shutdown_background();
        // Opened again, the file has no log to find it in.
        server.account_for_direct_writes()?;
        let saved = file.save()?;
        writeln!(
            stdout(),
            "saved {} bytes to {}",
            saved.bytes,
            section.db.display()
        )?;
        Ok(())
    }
}

/// Returns when standard input is closed.
fn drain_input() {
    let mut chunk = [0; 1_024];
    while matches!(stdin().read(&mut chunk), Ok(1..)) {}
}
