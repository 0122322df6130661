//! Redis with a file of commands that is synced before each answer; a row is a key and its text.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use redis::aio::MultiplexedConnection;

use crate::Result;
use crate::arguments::Options;
use crate::client::Client;
use crate::process::{Process, free_port};
use crate::server::{Kind, Server};

pub(crate) fn start(options: &Options, place: &Path) -> Result<Server> {
    let (program, folder) = (options.redis.clone(), place.to_owned());
    Server::begin(Kind::Redis, move || {
        let port = free_port()?;
        let process = Process::start(
            Command::new(&program)
                .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
                .args([
                    "--appendonly",
                    "yes",
                    "--appendfsync",
                    "always",
                    "--save",
                    "",
                ])
                .arg("--dir")
                .arg(&folder)
                .stdout(Stdio::null()),
        )?;
        Ok((process, SocketAddr::from(([127, 0, 0, 1], port))))
    })
}

/// A connection, once the server takes any and has read its file.
async fn open(server: &Server) -> Result<MultiplexedConnection> {
    let client = redis::Client::open(format!("redis://{}", server.address))?;
    let mut tries = 0;
    loop {
        let opened = async {
            let mut connection = client.get_multiplexed_async_connection().await?;
            redis::cmd("PING")
                .query_async::<()>(&mut connection)
                .await?;
            Ok::<_, redis::RedisError>(connection)
        };
        match opened.await {
            Ok(connection) => return Ok(connection),
            Err(error) if tries == 300 => return Err(error.into()),
            Err(_) => tries += 1,
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub(crate) async fn connect(server: &Server, clients: u64) -> Result<Vec<Client>> {
    let mut all = Vec::new();
    for _ in 0..clients {
        all.push(Client::Redis(open(server).await?));
    }
    Ok(all)
}

/// All rows.
pub(crate) async fn rows(server: &Server) -> Result<BTreeMap<u64, String>> {
    let mut connection = open(server).await?;
    let keys: Vec<u64> = redis::cmd("KEYS")
        .arg("*")
        .query_async(&mut connection)
        .await?;
    let mut rows = BTreeMap::new();
    for keys in keys.chunks(1_000) {
        let texts: Vec<String> = redis::cmd("MGET")
            .arg(keys)
            .query_async(&mut connection)
            .await?;
        rows.extend(keys.iter().copied().zip(texts));
    }
    Ok(rows)
}
