//! [`Connection`]: one client on one socket.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use common::{Error, ErrorKind, Result};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use super::hub::{Bell, Hub};
use super::{BUFFER_BYTES, Closing, Live, Told, stopped};
use crate::auth::Caller;
use crate::call::Place;
use crate::problem::Problem;

/// How long a client may take to say that it has heard of the end.
const FAREWELL: Duration = Duration::from_secs(1);

/// A client that reads an answer more slowly than this is slow.
const SLOWEST_BYTES_PER_SECOND: u32 = 4 << 10;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// One client on one socket.
///
/// One request is answered after the other, and none is read before the answer to the last has gone: a client that sends
/// and does not read waits for itself. Beside an answer there is at most one notice, so nothing queues up.
pub(super) struct Connection {
    live: Arc<Live>,
    hub: Arc<Hub>,
    caller: Caller,
    number: u64,
    bell: Arc<Bell>,
}

/// Why a connection ends: for a reason of ours, or because the client has gone.
type Ended = Option<Closing>;

impl Connection {
    pub(super) fn new(live: Arc<Live>, hub: Arc<Hub>, caller: Caller, number: u64) -> Self {
        Self {
            live,
            hub,
            caller,
            number,
            bell: Arc::default(),
        }
    }

    /// Serves the client to its end.
    pub(super) async fn run(self, mut socket: Socket) {
        let ended = self.serve(&mut socket).await;
        self.hub.leave(self.number);
        let Err(Some(closing)) = ended else { return };
        let farewell = async {
            socket.close(Some(closing.frame())).await?;
            // Closed with bytes unread, the socket would take the code back.
            while socket.next().await.is_some_and(|heard| heard.is_ok()) {}
            Ok::<(), SocketError>(())
        };
        let _ = timeout(FAREWELL, farewell).await;
    }

    async fn serve(&self, socket: &mut Socket) -> std::result::Result<(), Ended> {
        let options = &self.live.options;
        let mut stopping = self.live.stopping.subscribe();
        let mut heard = Instant::now();
        let mut is_pinged = false;
        let mut expiry = std::pin::pin!(self.caller.until_invalid());
        loop {
            let patience = if is_pinged {
                options.silent_after
            } else {
                options.ping_after.min(options.silent_after)
            };
            tokio::select! {
                biased;
                () = stopped(&mut stopping) => return Err(Some(Closing::GoingAway)),
                () = &mut expiry => return Err(Some(Closing::Expired)),
                seq = self.bell.rung() => self.tell(socket, &Told::Changed { seq }).await?,
                message = socket.next() => {
                    let message = message.ok_or(None)?.map_err(|error| closing_of(&error))?;
                    // Before anything of it is looked at.
                    if !self.caller.is_good() {
                        return Err(Some(Closing::Expired));
                    }
                    if let Message::Binary(request) = message {
                        self.exchange(socket, request).await?;
                    } else if let Message::Text(_) = message {
                        return Err(Some(Closing::Invalid));
                    }
                    heard = Instant::now();
                    is_pinged = false;
                }
                () = sleep_until(heard + patience) => {
                    if is_pinged {
                        return Err(Some(Closing::Silent));
                    }
                    self.send(socket, Message::Ping(Bytes::new())).await?;
                    is_pinged = true;
                }
            }
        }
    }

    /// Answers one request.
    async fn exchange(
        &self,
        socket: &mut Socket,
        request: Bytes,
    ) -> std::result::Result<(), Ended> {
        self.hub.leave(self.number);
        // What it rang for is in this answer.
        let _ = self.bell.rung().now_or_never();
        let tenant = &self.caller.tenant;
        let answered = match Arc::clone(&self.live.exchanges).acquire_owned().await {
            Ok(turn) => {
                let (hub, caller) = (Arc::clone(&self.hub), self.caller.clone());
                let (number, bell) = (self.number, Arc::clone(&self.bell));
                let answer = move || {
                    let answered = answer(&hub, &caller, number, &bell, &request);
                    drop(turn);
                    answered
                };
                match tenant.run(Place::default(), answer).await {
                    // What is told was seen, refusals included: it must not be gone after a power cut.
                    Some((answered, seen)) => tenant.until_durable(seen).await.and(answered),
                    None => Err(Error::closed("the request ended without an answer")),
                }
            }
            Err(_) => Err(Error::closed("the server ends")),
        };
        let error = match answered {
            Ok(answer) => return self.send_answer(socket, Bytes::from(answer)).await,
            Err(error) => error,
        };
        self.tell(socket, &Told::Problem(Problem::of(&error)))
            .await?;
        match error.kind() {
            // Whoever sends that speaks something else.
            ErrorKind::Corrupt | ErrorKind::Unsupported | ErrorKind::LimitExceeded => {
                Err(Some(Closing::Invalid))
            }
            _ => Ok(()),
        }
    }

    /// In frames of the size of the buffer, which would grow to that of the answer otherwise and stay so.
    async fn send_answer(
        &self,
        socket: &mut Socket,
        answer: Bytes,
    ) -> std::result::Result<(), Ended> {
        let bytes = u32::try_from(answer.len()).unwrap_or(u32::MAX);
        let longest =
            self.live.stall_timeout + Duration::from_secs(1) * bytes / SLOWEST_BYTES_PER_SECOND;
        let frames = async {
            let mut rest = answer;
            let mut kind = OpCode::Data(Data::Binary);
            loop {
                let part = rest.split_to(rest.len().min(BUFFER_BYTES));
                let frame = Frame::message(part, kind, rest.is_empty());
                self.send(socket, Message::Frame(frame)).await?;
                if rest.is_empty() {
                    return Ok(());
                }
                kind = OpCode::Data(Data::Continue);
            }
        };
        let sent = timeout(longest, frames).await;
        sent.unwrap_or(Err(Some(Closing::Slow)))
    }

    async fn tell(&self, socket: &mut Socket, told: &Told) -> std::result::Result<(), Ended> {
        let text = serde_json::to_string(told).map_err(|_| None)?;
        self.send(socket, Message::text(text)).await
    }

    async fn send(&self, socket: &mut Socket, message: Message) -> std::result::Result<(), Ended> {
        match timeout(self.live.stall_timeout, socket.send(message)).await {
            Ok(sent) => sent.map_err(|error| closing_of(&error)),
            Err(_) => Err(Some(Closing::Slow)),
        }
    }
}

/// The answer to a request; the client waits for news from there on.
fn answer(
    hub: &Hub,
    caller: &Caller,
    client: u64,
    bell: &Arc<Bell>,
    request: &[u8],
) -> Result<Vec<u8>> {
    let principal = caller.principal.who.as_ref();
    let (answer, interest) = hub.sync().handle_live(principal, request)?;
    if let Some(interest) = interest {
        hub.wait(client, interest, bell);
    }
    Ok(answer)
}

/// What a client is told whose bytes are no messages, where there is somebody to tell.
fn closing_of(error: &SocketError) -> Ended {
    match error {
        SocketError::Protocol(error) if is_reset(error) => None,
        SocketError::Protocol(_) => Some(Closing::Protocol),
        SocketError::Utf8(_) => Some(Closing::Invalid),
        SocketError::Capacity(_) => Some(Closing::TooBig),
        SocketError::WriteBufferFull(_) => Some(Closing::Slow),
        SocketError::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => {
            Some(Closing::Slow)
        }
        _ => None,
    }
}

fn is_reset(error: &tokio_tungstenite::tungstenite::error::ProtocolError) -> bool {
    use tokio_tungstenite::tungstenite::error::ProtocolError;
    matches!(
        error,
        ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing
    )
}
