//! Our clients of HTTP/1.1: a plain socket, requests as bytes, and what is needed of the answers.

use std::io::Write as _;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::Client;
use crate::server::Server;
use crate::{Result, tandem};

/// A connection that stays.
pub(crate) struct Connection {
    stream: TcpStream,
    out: Vec<u8>,
    input: Vec<u8>,
}

/// An answer, as far as it matters here.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

pub(crate) async fn connect(server: &Server, clients: u64) -> Result<Vec<Client>> {
    tandem::create_table(server).await?;
    let mut all = Vec::new();
    for _ in 0..clients {
        all.push(Client::Http1(Connection::open(server.address).await?));
    }
    Ok(all)
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            out: Vec::new(),
            input: Vec::new(),
        })
    }

    /// Writes a row.
    pub(crate) async fn put(&mut self, key: u64, text: &str) -> Result<()> {
        let path = format!("/v1/tables/rows/rows/{key}");
        let answer = self
            .ask("PUT", &path, &format!(r#"{{"text":"{text}"}}"#))
            .await?;
        match answer.status {
            200 | 201 => Ok(()),
            status => Err(format!("{status}: {}", String::from_utf8_lossy(&answer.body)).into()),
        }
    }

    /// A request and its answer.
    pub(crate) async fn ask(&mut self, method: &str, path: &str, body: &str) -> Result<Answer> {
        self.out.clear();
        write!(
            self.out,
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )?;
        self.stream.write_all(&self.out).await?;
        self.input.clear();
        loop {
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err("the server has ended the connection".into());
            }
            let mut headers = [httparse::EMPTY_HEADER; 24];
            let mut head = httparse::Response::new(&mut headers);
            let httparse::Status::Complete(begin) = head.parse(&self.input)? else {
                continue;
            };
            let mut headers = head.headers.iter();
            let length = headers.find(|header| header.name.eq_ignore_ascii_case("content-length"));
            let length = length.map_or(Ok("0"), |header| std::str::from_utf8(header.value))?;
            let (status, length) = (head.code.unwrap_or(0), length.parse::<usize>()?);
            while self.input.len() < begin + length {
                if self.stream.read_buf(&mut self.input).await? == 0 {
                    return Err("the server has ended the connection within an answer".into());
                }
            }
            let body = self.input.get(begin..).unwrap_or_default().to_vec();
            return Ok(Answer { status, body });
        }
    }
}
