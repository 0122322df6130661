//! PostgreSQL with its defaults, which sync every commit, in a cluster of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio_postgres::{Config, NoTls};

use crate::Result;
use crate::arguments::Options;
use crate::client::Client;
use crate::process::{Process, free_port};
use crate::server::{Kind, Server};

pub(crate) const NAME: &str = "PostgreSQL";

/// Who the cluster belongs to when this process is root, which it must not.
const USER: &str = "postgres";

/// The user and the group that programs run as; `None` for this process's own.
fn user() -> Result<Option<(u32, u32)>> {
    let id = |arguments: &[&str]| -> Result<u32> {
        let found = Command::new("id").args(arguments).output()?;
        Ok(String::from_utf8(found.stdout)?.trim().parse()?)
    };
    if id(&["-u"])? != 0 {
        return Ok(None);
    }
    Ok(Some((id(&["-u", USER])?, id(&["-g", USER])?)))
}

/// The folder of the programs.
fn programs(options: &Options) -> Result<PathBuf> {
    if let Some(folder) = &options.postgres {
        return Ok(folder.clone());
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .map_err(|error| format!("PostgreSQL is not found ({error}); name it with --postgres"))?;
    let mut versions: Vec<PathBuf> = versions
        .map(|version| Ok(version?.path()))
        .collect::<Result<_>>()?;
    versions.sort();
    let newest = versions
        .pop()
        .ok_or("PostgreSQL is not found; name it with --postgres")?;
    Ok(newest.join("bin"))
}

pub(crate) fn start(options: &Options, place: &Path) -> Result<Server> {
    let (programs, user) = (programs(options)?, user()?);
    let folder = place.join("cluster");
    std::fs::create_dir(&folder)?;
    if let Some((id, group)) = user {
        chown(place, Some(id), Some(group))?;
        chown(&folder, Some(id), Some(group))?;
    }
    let program = move |name: &str| {
        let mut command = Command::new(programs.join(name));
        if let Some((id, group)) = user {
            command.uid(id).gid(group);
        }
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let made = program("initdb")
        .args([
            "--auth=trust",
            "--encoding=UTF8",
            "--no-locale",
            "--username=bench",
            "-D",
        ])
        .arg(&folder)
        .current_dir(place)
        .status()?;
    if !made.success() {
        return Err(format!("initdb: {made}").into());
    }
    let place = place.to_owned();
    Server::begin(Kind::Postgres, move || {
        // A postmaster that was killed leaves its file, and its memory until its children have noticed.
        let left = folder.join("postmaster.pid");
        if left.exists() {
            std::thread::sleep(Duration::from_secs(1));
            std::fs::remove_file(&left)?;
        }
        let port = free_port()?;
        let process = Process::start(
            program("postgres")
                .arg("-D")
                .arg(&folder)
                .args([
                    "-c",
                    "listen_addresses=127.0.0.1",
                    "-c",
                    "unix_socket_directories=",
                ])
                .args(["-c", "fsync=on", "-c", "synchronous_commit=on"])
                .args(["-c", &format!("port={port}"), "-c", "max_connections=200"])
                .current_dir(&place),
        )?;
        Ok((process, SocketAddr::from(([127, 0, 0, 1], port))))
    })
}

/// A connection, once the server takes any.
async fn open(server: &Server) -> Result<tokio_postgres::Client> {
    let mut config = Config::new();
    config.host("127.0.0.1").port(server.address.port());
    config.user("bench").dbname("postgres");
    let mut tries = 0;
    loop {
        match config.connect(NoTls).await {
            Ok((client, connection)) => {
                tokio::spawn(connection);
                return Ok(client);
            }
            Err(error) if tries == 300 => return Err(error.into()),
            Err(_) => tries += 1,
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub(crate) async fn connect(server: &Server, clients: u64) -> Result<Vec<Client>> {
    let first = open(server).await?;
    let table = "CREATE TABLE rows (id bigint PRIMARY KEY, text text NOT NULL)";
    first.batch_execute(table).await?;
    let mut all = Vec::new();
    for _ in 0..clients {
        let client = open(server).await?;
        let upsert =
            "INSERT INTO rows VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET text = EXCLUDED.text";
        let upsert = client.prepare(upsert).await?;
        all.push(Client::Postgres(client, upsert));
    }
    Ok(all)
}

/// All rows.
pub(crate) async fn rows(server: &Server) -> Result<BTreeMap<u64, String>> {
    let client = open(server).await?;
    let rows = client.query("SELECT id, text FROM rows", &[]).await?;
    let row = |row: tokio_postgres::Row| {
        let key: i64 = row.try_get(0)?;
        Ok((key.cast_unsigned(), row.try_get(1)?))
    };
    rows.into_iter().map(row).collect()
}
