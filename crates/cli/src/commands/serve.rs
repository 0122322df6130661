//! `tandem serve`: a database over HTTP.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _, stdin};
use std::path::PathBuf;

use clap::Args;
use common::{Error, ErrorKind, Result, Text};
use server::config::ServerSection;
use server::telemetry::Telemetry;
use server::{App, Auth, AuthOptions, Config, Tenant, listen, serve, stop_signal};
use syncdb::{Serving, SyncServerOptions};

use super::kept_tenant::KeptTenant;
use super::migrate::lineage;
use super::synced::policies;
use crate::terminal::output;

/// Serve the tables of a database over HTTP: to replicas, and to whoever asks
///
/// The database is kept in a folder: what is answered is on the disk, and a server that is killed loses nothing. With
/// `--db`, it is a file that is written at the end only. Prints the address once it listens. Ends on SIGTERM or
/// ctrl-c, and lets running requests finish.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tandem serve    (the folder tandem-data, on 127.0.0.1:8080; prints the first API key)\n  \
    tandem serve --open    (no credentials, for a first try)\n  \
    tandem serve --data /var/lib/tandem --listen 127.0.0.1:8080\n  \
    tandem serve --db world.tdb    (a file, written at the end)\n  \
    tandem serve --tenant acme --tenant globex    (a database for each, and its first API key)\n  \
    tandem serve --listen 127.0.0.1:0    (a free port, printed)\n  \
    tandem serve --print-config > tandem.toml\n  \
    tandem serve --config tandem.toml --listen 127.0.0.1:9000    (flags go first)\n  \
    echo '{\"posts\": {\"columns\": {\"likes\": \"counter\", \"tags\": {\"set\": \"add_wins\"}}}}' > policies.json\n  \
    tandem serve --policies policies.json\n  \
    tandem serve --lineage lineage.json --served-from 2    (versions 2 and later side by side)\n\n\
    Paths: /openapi.json lists them all. Callers show an API key or a token, see docs/security.md; the \
    first key is printed once.")]
pub(crate) struct Serve {
    /// File of options, as `--print-config` prints one; flags beside it go first
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print a file of all options with their defaults, and end
    #[arg(long)]
    print_config: bool,
    /// Folder that keeps the database, on the disk with every commit; created if it does not exist [default:
    /// tandem-data]
    #[arg(long, value_name = "FOLDER", conflicts_with = "db")]
    data: Option<PathBuf>,
    /// Database file in place of a folder: in memory until the end; created if it does not exist
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,
    /// Serve this tenant, with a database of its own in the folder; may be given several times [default: default]
    #[arg(long, value_name = "NAME", conflicts_with = "db")]
    tenant: Vec<Text>,
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
    /// Let everybody do everything, without credentials; only on a loopback address
    #[arg(long)]
    open: bool,
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
        if self.db.is_some() || self.data.is_some() {
            section.db.clone_from(&self.db);
            section.data.clone_from(&self.data);
        }
        if !self.tenant.is_empty() {
            section.tenants.clone_from(&self.tenant);
        }
        if self.open {
            config.auth = Some(AuthOptions {
                open: true,
                ..AuthOptions::default()
            });
        }
        let section = &mut config.server;
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
    fn app(config: &Config, all: &[KeptTenant]) -> Result<App> {
        let auth_options = config.auth.clone().unwrap_or_default();
        let section = &config.server;
        let mut tenants = Vec::new();
        for one in all {
            auth_options.check_permissions(one.kept.database())?;
            let options = SyncServerOptions {
                serving: serving(section)?,
                policies: section
                    .policies
                    .as_deref()
                    .map_or_else(|| Ok(BTreeMap::new()), policies)?,
                permissions: auth_options.permissions()?,
                ..SyncServerOptions::default()
            };
            let tenant = one.tenant(options)?;
            tenants.push(tenant.audit_entries_max(auth_options.audit_entries_max));
        }
        let auth = Auth::new(&auth_options)?;
        let has_default = || all.iter().any(|one| one.name == Tenant::DEFAULT);
        if !matches!(auth, Auth::Keys(_)) && !has_default() {
            return Err(Error::invalid(
                "without credentials everybody is of the tenant `default`, which is not among the tenants; add it, or \
                 ask for credentials",
            ));
        }
        let has_tokens = !auth_options.keys.is_empty() || auth_options.jwks.is_some();
        if matches!(auth, Auth::Keys(_)) && !has_tokens {
            for (one, tenant) in all.iter().zip(&tenants) {
                first_key(one, tenant, all.len() == 1)?;
            }
        }
        Ok(App::new(tenants, auth))
    }

    pub(crate) fn run(self) -> Result<()> {
        if self.print_config {
            write!(output(), "{}", Config::print_defaults())?;
            return Ok(());
        }
        let config = self.config()?;
        let serve_options = config.options()?;
        let section = &config.server;
        serving(section)?;
        let all = KeptTenant::open(&config)?;
        let app = Self::app(&config, &all)?;
        let telemetry = Telemetry::begin(&config)?;
        let scheme = if serve_options.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        if let Some(path) = self.config.clone() {
            runtime.spawn(telemetry.clone().follow(path));
        }
        runtime.block_on(async {
            let listener = listen(&section.listen).await.map_err(|error| {
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
            // Before anybody is told that it listens.
            app.check_address(address)?;
            writeln!(output(), "listening on {scheme}://{address}")?;
            output().flush()?;
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
            serve(listener, app.clone(), serve_options, stop).await
        })?;
        // A thread may still wait for input, and must not hold up the end.
        runtime.shutdown_background();
        telemetry.end();
        // Opened again, the file has no log to find it in.
        app.account_for_direct_writes()?;
        for one in all {
            writeln!(output(), "{}", one.kept.end()?)?;
        }
        Ok(())
    }
}

/// Makes and shows the first key of a tenant that has none yet.
fn first_key(one: &KeptTenant, tenant: &Tenant, is_alone: bool) -> Result<()> {
    let now = one.kept.database().clock().now();
    if let Some(first) = tenant.api_keys().create_first(now)? {
        // It is not shown again, so it is kept before it is shown.
        one.kept.keep()?;
        let whose = if is_alone {
            String::new()
        } else {
            format!(" of {}", one.name)
        };
        writeln!(
            output(),
            "the first API key{whose}, shown this once: {}",
            first.secret
        )?;
    }
    Ok(())
}

/// Returns when standard input is closed.
fn drain_input() {
    let mut chunk = [0; 1_024];
    while matches!(stdin().read(&mut chunk), Ok(1..)) {}
}
