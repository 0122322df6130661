//! [`Connection`]: a [`Transport`] over a simulated network.

use std::fmt;
use std::time::Duration;

use common::{Error, Result};

use super::network::{Event, Message, Network, NodeId, What};
use crate::client::Transport;

/// How long a [`Connection`] waits for an answer unless told otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// Marks the tags that connections give to messages; the rest is the number of the exchange.
const OF_CONNECTION: u64 = 1 << 63;

/// A transport from one node to another, whose requests `handler` answers. [`Network::connect`] makes it.
///
/// An exchange moves the network's time to the arrival of its answer, or to the end of the wait. Requests of other
/// connections to the same node that are still under way, late or for the second time, are handled too as their time
/// comes, so all connections to a node should have handlers that do the same. An answer to an earlier exchange is
/// dropped, as a closed HTTP connection would drop it. All other events wait, and are late when they are taken out.
pub struct Connection<F> {
    network: Network,
    client: NodeId,
    server: NodeId,
    handler: F,
    timeout: Duration,
    exchanges: u64,
}

impl Network {
    /// A transport from the node `client` to the node `server`, where `handler` turns requests into answers.
    pub fn connect<F>(&self, client: NodeId, server: NodeId, handler: F) -> Connection<F>
    where
        F: FnMut(&[u8]) -> Result<Vec<u8>>,
    {
        Connection {
            network: self.clone(),
            client,
            server,
            handler,
            timeout: TIMEOUT,
            exchanges: 0,
        }
    }
}

impl<F> Connection<F> {
    /// Sets how long to wait for an answer. Default [`TIMEOUT`].
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl<F: FnMut(&[u8]) -> Result<Vec<u8>>> Connection<F> {
    fn wait(&mut self, tag: u64, aside: &mut Vec<Event>) -> Result<Vec<u8>> {
        let until = self.network.now().saturating_add(self.timeout);
        let mut refusal = None;
        while let Some(event) = self.network.next_event_until(until) {
            match event {
                Event {
                    node,
                    what: What::Message(message),
                    ..
                } if message.tag & OF_CONNECTION != 0 => {
                    if node == self.server {
                        let refused = self.handle(&message);
                        refusal = refused.filter(|(of, _)| *of == tag).or(refusal);
                    } else if node == self.client && message.tag == tag {
                        // Nothing is what a refusal looks like on the way.
                        return match (message.bytes.is_empty(), refusal) {
                            (true, Some((_, error))) => Err(error),
                            _ => Ok(message.bytes),
                        };
                    }
                }
                other => aside.push(other),
            }
        }
        Err(Error::closed(format!(
            "no answer arrived within {:?}",
            self.timeout
        )))
    }

    fn handle(&mut self, message: &Message) -> Option<(u64, Error)> {
        let (bytes, refusal) = match (self.handler)(&message.bytes) {
            Ok(bytes) => (bytes, None),
            Err(error) => (Vec::new(), Some((message.tag, error))),
        };
        self.network
            .send(self.server, message.from, message.tag, bytes);
        refusal
    }
}

impl<F: FnMut(&[u8]) -> Result<Vec<u8>>> Transport for Connection<F> {
    /// # Errors
    /// [`common::ErrorKind::Closed`] when no answer arrives in time; what the handler fails with.
    fn exchange(&mut self, request: &[u8]) -> Result<Vec<u8>> {
        self.exchanges += 1;
        // The client is in the tag too: several connections lead to one server.
        let tag = OF_CONNECTION | ((self.client.index() as u64) << 40) | self.exchanges;
        self.network
            .send(self.client, self.server, tag, request.to_vec());
        let mut aside = Vec::new();
        let answer = self.wait(tag, &mut aside);
        self.network.put_back(aside);
        answer
    }
}

impl<F> fmt::Debug for Connection<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("client", &self.client)
            .field("server", &self.server)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
