//! A server, and clients that say exactly what a test wants.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use common::schema::{Field, FieldType, Schema};
use common::{Collection, Database, row};
use futures_util::{SinkExt as _, StreamExt as _};
use server::client::{LiveEvent, LiveReplica, LiveReplicaOptions, WebSocketTransport};
use server::{LiveOptions, ServeOptions, serve};
use syncdb::{Policy, Strategy, SyncDb, SyncServer, SyncServerOptions};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

pub(crate) struct Running {
    pub(crate) runtime: Runtime,
    pub(crate) server: Arc<SyncServer>,
    pub(crate) notes: Collection,
    pub(crate) address: SocketAddr,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) serving: JoinHandle<common::Result<()>>,
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
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let listener = runtime.block_on(server::listen("127.0.0.1:0"));
    let listener = listener.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = runtime.spawn(serve(listener, Arc::clone(&server), options, async {
        let _ = stopped.await;
    }));
    Running {
        runtime,
        server,
        notes,
        address,
        stop,
        serving,
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

    pub(crate) fn end(self) {
        let _ = self.stop.send(());
        self.runtime.block_on(self.serving).unwrap().unwrap();
    }
}
