//! `GET /v1/live`: sync over a WebSocket, and word of what changes.
//!
//! A binary message from a client is a request of the sync protocol, and the binary message that answers it is the answer:
//! what `POST /v1/sync` takes and gives, over one socket. A text message from the server is a [`Told`]: that a request
//! failed, or that commits bring the client something, so that it may come and pull.

mod connection;
mod hub;
mod told;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::on;
use common::{ErrorKind, Text};
use hyper_util::rt::TokioIo;
use tokio::sync::{Mutex, Semaphore, watch};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use self::connection::Connection;
use self::hub::Hub;
pub(crate) use self::told::{Closing, Told};
use crate::auth::Caller;
use crate::openapi::{Group, Operation, filter};
use crate::problem::Problem;
use crate::serve::ServeOptions;
use crate::slow::Activity;
use crate::state::Server;
use crate::tenant::Tenant;

/// Bytes of each of a connection's two buffers: an idle connection costs little more.
const BUFFER_BYTES: usize = 4 << 10;
/// Most bytes that wait for a client which does not read.
const QUEUE_BYTES_MAX: usize = 1 << 20;
/// Most bytes of one frame of a message: as much is set aside when its head has come.
const FRAME_BYTES_MAX: usize = 1 << 20;
/// Exchanges for each core that run at a time; the others wait their turn, and their sockets are not read meanwhile. They compute, and wait for
/// the disk elsewhere: more threads than that would only take each other's time, and a packer's memory each.
const EXCHANGES_EACH_CORE: usize = 2;

/// How live connections are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveOptions {
    /// Most live connections at a time; the next one is answered 503. Default 16,384.
    pub connections_max: usize,
    /// A client that was not heard of for so long is pinged. Default 10 s.
    pub ping_after: Duration,
    /// A client that was not heard of for so long is let go. Default 25 s.
    pub silent_after: Duration,
}

impl Default for LiveOptions {
    fn default() -> Self {
        Self {
            connections_max: 16_384,
            ping_after: Duration::from_secs(10),
            silent_after: Duration::from_secs(25),
        }
    }
}

/// The live connections of a server.
pub(crate) struct Live {
    options: LiveOptions,
    /// How long a client may take to read some bytes.
    stall_timeout: Duration,
    message_bytes_max: usize,
    slots: Arc<Semaphore>,
    exchanges: Arc<Semaphore>,
    hubs: Mutex<HashMap<Text, Arc<Hub>>>,
    stopping: watch::Sender<bool>,
    next: AtomicU64,
}

impl Live {
    pub(crate) fn new(options: &ServeOptions) -> Self {
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            options: options.live.clone(),
            stall_timeout: options.stall_timeout,
            message_bytes_max: options.body_bytes_max,
            slots: Arc::new(Semaphore::new(options.live.connections_max)),
            exchanges: Arc::new(Semaphore::new(EXCHANGES_EACH_CORE * cores)),
            hubs: Mutex::default(),
            stopping: watch::Sender::new(false),
            next: AtomicU64::new(0),
        }
    }

    /// Tells all clients to come back later, and returns when they have left.
    pub(crate) async fn stop(&self) {
        self.stopping.send_replace(true);
        let all = u32::try_from(self.options.connections_max).unwrap_or(u32::MAX);
        // A connection gives its slot back at its end.
        let _ = self.slots.acquire_many(all).await;
    }

    async fn hub(&self, tenant: &Arc<Tenant>) -> Arc<Hub> {
        let mut hubs = self.hubs.lock().await;
        let hub = hubs.entry(tenant.name().clone());
        Arc::clone(hub.or_insert_with(|| Hub::start(tenant.sync(), self.stopping.subscribe())))
    }

    fn config(&self) -> WebSocketConfig {
        WebSocketConfig::default()
            .read_buffer_size(BUFFER_BYTES)
            .write_buffer_size(BUFFER_BYTES)
            .max_write_buffer_size(QUEUE_BYTES_MAX)
            .max_message_size(Some(self.message_bytes_max))
            .max_frame_size(Some(self.message_bytes_max.min(FRAME_BYTES_MAX)))
    }
}

/// Ready when the server stops, or has gone.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

pub(crate) fn group() -> Group {
    Group::new("sync").route_async(
        Method::GET,
        "/v1/live",
        on(filter(&Method::GET), live),
        Operation::new(
            "live",
            "A WebSocket that carries sync both ways, and word of what changes",
        )
        .gives_nothing(101, "The connection is a WebSocket from here on"),
    )
}

async fn live(
    Extension(caller): Extension<Caller>,
    State(server): State<Server>,
    mut request: Request,
) -> Response {
    let response = match create_response_with_body(&request, Body::empty) {
        Ok(response) => response,
        Err(error) => {
            let detail =
                format!("a live connection begins with the handshake of a WebSocket: {error}");
            return Problem::new(StatusCode::BAD_REQUEST, ErrorKind::Invalid.name(), detail)
                .into_response();
        }
    };
    let live = Arc::clone(server.live());
    let Ok(slot) = Arc::clone(&live.slots).try_acquire_owned() else {
        let max = live.options.connections_max;
        let detail = format!("the server has its {max} live connections; try again later");
        return Problem::overloaded(StatusCode::SERVICE_UNAVAILABLE, detail, 5).into_response();
    };
    if let Some(released) = request.extensions().get::<Arc<Activity>>() {
        // Silent peers are found by pings from here on.
        released.release();
    }
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let slot = slot;
        if let Ok(upgraded) = upgrade.await {
            let io = TokioIo::new(upgraded);
            let config = Some(live.config());
            let socket = WebSocketStream::from_raw_socket(io, Role::Server, config).await;
            let hub = live.hub(&caller.tenant).await;
            let number = live.next.fetch_add(1, Ordering::Relaxed);
            Connection::new(live, hub, caller, number).run(socket).await;
        }
        drop(slot);
    });
    response
}
