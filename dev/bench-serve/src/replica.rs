//! Our clients that sync: each a replica of its own rows, over a WebSocket.

use common::query::Filter;
use common::row;
use futures_util::{SinkExt as _, StreamExt as _};
use syncdb::{Subscription, SyncDb};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::client::Client;
use crate::server::Server;
use crate::{Result, tandem};

/// Bytes of each buffer: of idle clients there are many.
const BUFFER_BYTES: usize = 4 << 10;

pub(crate) type Socket = WebSocketStream<TcpStream>;

/// A replica, and the connection that it syncs over.
pub(crate) struct Replica {
    db: SyncDb,
    socket: Socket,
}

pub(crate) async fn connect(server: &Server, clients: u64) -> Result<Vec<Client>> {
    tandem::create_table(server).await?;
    let mut all = Vec::new();
    for number in 0..clients {
        let db = SyncDb::client(format!("client {number}").as_str())?;
        // What others write is no news to it.
        let none = Subscription::new("none", "rows").filter(Filter::lt("id", 0));
        db.subscribe(&none)?;
        let socket = open(server, number).await?;
        let mut replica = Replica { db, socket };
        replica.sync().await?;
        all.push(Client::Replica(Box::new(replica)));
    }
    Ok(all)
}

/// A socket that has been through the handshake. Addresses of the client differ, because one has too few ports for many.
pub(crate) async fn open(server: &Server, number: u64) -> Result<Socket> {
    let socket = TcpSocket::new_v4()?;
    let host = u8::try_from(number / 4_000 % 200 + 2)?;
    socket.bind(([127, 0, 0, host], 0).into())?;
    let stream = socket.connect(server.address).await?;
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(0);
    let url = format!("ws://{}/v1/live", server.address);
    Ok(client_async_with_config(url, stream, Some(config)).await?.0)
}

/// Sends a request of sync, and waits for its answer past other words.
pub(crate) async fn exchange(socket: &mut Socket, request: Vec<u8>) -> Result<Vec<u8>> {
    socket.send(Message::binary(request)).await?;
    loop {
        let message = socket.next().await.ok_or("the connection is over")??;
        match message {
            Message::Binary(answer) => return Ok(answer.to_vec()),
            Message::Text(text) if text.contains("problem") => {
                return Err(text.to_string().into());
            }
            Message::Close(frame) => return Err(format!("closed: {frame:?}").into()),
            _ => {}
        }
    }
}

impl Replica {
    async fn sync(&mut self) -> Result<()> {
        let mut session = self.db.session()?;
        while let Some(request) = session.next_message()? {
            let answer = exchange(&mut self.socket, request).await?;
            session.receive(&answer)?;
        }
        if session.report().converged {
            Ok(())
        } else {
            Err("a replica does not converge".into())
        }
    }

    /// Writes a row here, and brings it to the server.
    pub(crate) async fn upsert(&mut self, key: u64, text: &str) -> Result<()> {
        let row = row! { "id": key.cast_signed(), "text": text };
        self.db.upsert("rows", row)?;
        self.sync().await?;
        match self.db.pending() {
            0 => Ok(()),
            left => Err(format!("{left} writes were not taken").into()),
        }
    }
}
