//! A server, and clients that say exactly what a test wants.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use common::schema::{Field, FieldType, Schema};
use common::{Collection, Database, row};
use futures_util::{SinkExt as _, StreamExt as _};
use server::client::{LiveEvent, LiveReplica, LiveReplicaOptions, WebSocketTransport};
use server::{LiveOptions, ServeOptions};
use syncdb::{Policy, Strategy, SyncDb, SyncServer, SyncServerOptions};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::listening::Listening;

pub(crate) struct Running {
    listening: Listening,
    pub(crate) server: Arc<SyncServer>,
    pub(crate) notes: Collection,
}

impl std::ops::Deref for Running {
    type Target = Listening;

    fn deref(&self) -> &Listening {
        &self.listening
    }
}

/// Options with which what takes seconds takes less.
pub(crate) fn quick() -> ServeOptions {
    ServeOptions {
        stall_timeout: Duration::from_millis(300),
        live: LiveOptions {
            ping_after: Duration::from_millis(200),
            silent_after: Duration::from_millis(600),
            ..LiveOptions::default()
        },
        ..ServeOptions::default()
    }
}

pub(crate) fn run(options: ServeOptions) -> Running {
    let db = Database::new();
    let notes = Schema::build("notes", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("text", FieldType::Text))
        .field(Field::new("likes", FieldType::Int))
        .finish()
        .unwrap();
    let notes = db.create_collection(notes).unwrap();
    notes
        .insert(row! { "id": 0, "text": "first", "likes": 0 })
        .unwrap();
    let policy = Policy::default().column("likes", Strategy::Counter);
    let server = SyncServerOptions::default().policy("notes", policy);
    let server = Arc::new(SyncServer::with(db, server).unwrap());
    Running {
        listening: Listening::start(Arc::clone(&server), options),
        server,
        notes,
    }
}

pub(crate) type Socket = WebSocketStream<TcpStream>;

/// A socket that has been through the handshake.
pub(crate) async fn connect(address: SocketAddr) -> Socket {
    let stream = TcpStream::connect(address).await.unwrap();
    let url = format!("ws://{address}/v1/live");
    client_async(url, stream).await.unwrap().0
}

/// The next message that is no ping or pong.
pub(crate) async fn next(socket: &mut Socket) -> Message {
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Ping(_) | Message::Pong(_) => {}
            message => return message,
        }
    }
}

/// Syncs over a socket; what the server says in between is returned.
pub(crate) async fn sync(socket: &mut Socket, db: &SyncDb) -> Vec<Message> {
    let mut told = Vec::new();
    let mut session = db.session().unwrap();
    while let Some(request) = session.next_message().unwrap() {
        socket.send(Message::binary(request)).await.unwrap();
        loop {
            match next(socket).await {
                Message::Binary(answer) => break session.receive(&answer).unwrap(),
                message => told.push(message),
            }
        }
    }
    assert!(session.report().converged);
    told
}

/// The code with which the server closes, past whatever else it says.
pub(crate) async fn closing_code(socket: &mut Socket) -> Option<u16> {
    loop {
        match socket.next().await? {
            Ok(Message::Close(frame)) => return Some(frame.unwrap().code.into()),
            Ok(_) => {}
            Err(_) => return None,
        }
    }
}

/// Keeps a replica in sync, and says what happens to it.
pub(crate) fn keep(db: &Arc<SyncDb>, url: &str) -> (LiveReplica, Receiver<LiveEvent>) {
    let (events, happened) = channel();
    let transport = WebSocketTransport::new(url).unwrap();
    let live = LiveReplica::start(
        Arc::clone(db),
        transport,
        LiveReplicaOptions::default(),
        move |event| {
            let _ = events.send(event);
        },
    );
    (live.unwrap(), happened)
}

/// Waits for what is awaited, looking after each event.
pub(crate) fn until(happened: &Receiver<LiveEvent>, mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        happened.recv().unwrap();
    }
}

/// Whether a replica has the notes: their table comes a moment before its rows do.
pub(crate) fn has_rows(db: &SyncDb) -> bool {
    db.collection("notes")
        .is_ok_and(|notes| notes.get(0).is_some())
}

impl Running {
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn write(&self, id: i64, text: &str) {
        let row = row! { "id": id, "text": text, "likes": 0 };
        self.notes.upsert(row).unwrap();
    }

    /// Lets the server come to its end.
    pub(crate) fn end(self) {
        drop(self.listening);
    }
}
