//! [`listen`]: a socket for many clients that come at once.

use std::io;

use tokio::net::{TcpListener, TcpSocket, ToSocketAddrs, lookup_host};

/// Connections that may wait to be taken; the system has a limit of its own (`net.core.somaxconn`).
const WAITING_MAX: u32 = 4_096;

/// Listens at an address. Where it is a name of several addresses, at the first that can be had.
///
/// Beyond the usual few a connection that waits is dropped without a word, and its client finds out after seconds or
/// never; this one has room for thousands, as when all clients come back at once.
///
/// ```
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// let listener = runtime.block_on(server::listen("127.0.0.1:0"))?;
/// assert!(listener.local_addr()?.ip().is_loopback());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// For an address that is none or that is not of this machine, and where another program listens.
pub async fn listen(address: impl ToSocketAddrs) -> io::Result<TcpListener> {
    let mut failure = None;
    for address in lookup_host(address).await? {
        let listening = || {
            let socket = if address.is_ipv4() {
                TcpSocket::new_v4()?
            } else {
                TcpSocket::new_v6()?
            };
            // As listeners have it anyway: a server that was restarted need not wait for old connections. Elsewhere the option means
            // something else.
            #[cfg(unix)]
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(WAITING_MAX)
        };
        match listening() {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no address")))
}
