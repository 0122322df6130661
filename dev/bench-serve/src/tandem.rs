//! Our server, and clients of HTTP/2.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::Result;
use crate::arguments::Options;
use crate::client::Client;
use crate::http1::Connection;
use crate::process::Process;
use crate::server::{Kind, Server};

/// Rows in one answer.
const PAGE_ROWS: usize = 10_000;

pub(crate) fn start(options: &Options, place: &Path) -> Result<Server> {
    let (program, folder) = (options.tandem.clone(), place.join("data"));
    Server::begin(Kind::Tandem, move || {
        let mut command = Command::new(&program);
        command.args(["serve", "--open", "--until-input-ends"]);
        command
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(&folder);
        let mut process = Process::start(command.stdout(Stdio::piped()))?;
        let address = listening(&mut process)?;
        Ok((process, address))
    })
}

/// Where a server says that it listens.
fn listening(process: &mut Process) -> Result<SocketAddr> {
    let out = process.child().stdout.take().ok_or("it has no output")?;
    let mut out = BufReader::new(out);
    loop {
        let mut line = String::new();
        if out.read_line(&mut line)? == 0 {
            return Err("the server has ended before it listened".into());
        }
        if let Some(address) = line.strip_prefix("listening on http://") {
            return Ok(address.trim().parse()?);
        }
    }
}

/// Creates the table, which replicas have as well.
pub(crate) async fn create_table(server: &Server) -> Result<()> {
    let schema = json!({
        "name": "rows",
        "key_columns": 1,
        "fields": [
            { "name": "id", "type": "int" },
            { "name": "text", "type": "text" },
        ],
    });
    let mut connection = Connection::open(server.address).await?;
    let answer = connection
        .ask("POST", "/v1/tables", &schema.to_string())
        .await?;
    if answer.status == 201 {
        return Ok(());
    }
    Err(format!("no table: {}", String::from_utf8_lossy(&answer.body)).into())
}

/// One of many requests at a time over one connection.
pub(crate) struct Stream {
    sender: SendRequest<Full<Bytes>>,
    origin: String,
}

/// Clients that share one connection.
pub(crate) async fn connect(server: &Server, clients: u64) -> Result<Vec<Client>> {
    create_table(server).await?;
    let stream = TcpStream::connect(server.address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let origin = format!("http://{}", server.address);
    let stream = |_| {
        let (sender, origin) = (sender.clone(), origin.clone());
        Client::Http2(Stream { sender, origin })
    };
    Ok((0..clients).map(stream).collect())
}

impl Stream {
    /// Writes a row.
    pub(crate) async fn put(&mut self, key: u64, text: &str) -> Result<()> {
        let request = Request::builder()
            .method(Method::PUT)
            .uri(format!("{}/v1/tables/rows/rows/{key}", self.origin))
            .header("content-type", "application/json")
            .body(Full::from(format!(r#"{{"text":"{text}"}}"#)))?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if status.is_success() {
            return Ok(());
        }
        Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into())
    }
}

/// All rows, page by page.
pub(crate) async fn rows(server: &Server) -> Result<BTreeMap<u64, String>> {
    let mut connection = Connection::open(server.address).await?;
    let mut rows = BTreeMap::new();
    let mut cursor = None;
    loop {
        let question = json!({ "limit": PAGE_ROWS, "cursor": cursor });
        let path = "/v1/tables/rows/query";
        let answer = connection.ask("POST", path, &question.to_string()).await?;
        if answer.status != 200 {
            return Err(String::from_utf8_lossy(&answer.body).into());
        }
        let page: Value = serde_json::from_slice(&answer.body)?;
        for row in page["rows"].as_array().ok_or("no rows")? {
            let (key, text) = (row["id"].as_u64(), row["text"].as_str());
            let (key, text) = key.zip(text).ok_or("a row without key or text")?;
            rows.insert(key, text.to_owned());
        }
        match page["cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(rows),
        }
    }
}
