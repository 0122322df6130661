//! A network that exists in memory only: bad in every way a real one is, and the same each time for the same seed.
//!
//! Nothing here sleeps. A [`Network`] has a clock of its own that moves from event to event, so half an hour of a
//! phone in a train passes in milliseconds, and a test that failed once fails again with the seed it printed.
//! There are two ways to use it:
//!
//! - **One exchange at a time.** [`Network::connect`] gives a [`Transport`](crate::Transport) for
//!   [`SyncDb::sync`](crate::SyncDb::sync): each exchange moves the network's clock by what it took.
//! - **Many nodes at once.** [`Network::send`] and [`Network::wake`] put events into the future and
//!   [`Network::next_event`] takes the earliest one out. The host decides what a node does with it.
//!
//! What a link does to messages is [`LinkOptions`]; [`Profile`] names the usual ones. On top of chance,
//! [`Network::inject`] does one certain thing to the next message, for tests that cut an answer at each of its bytes.
//! Each node has a [`NodeClock`] that can be wrong. What happened is in [`Network::statistics`] and, readable, in
//! [`Network::trace`].
//!
//! ```
//! use common::schema::{Field, FieldType, Schema};
//! use common::{Database, row};
//! use syncdb::netsim::{Network, Profile};
//! use syncdb::{SyncDb, SyncServer};
//!
//! let db = Database::new();
//! let notes = Schema::build("notes", ["id"])
//!     .field(Field::new("id", FieldType::Int))
//!     .field(Field::new("text", FieldType::Text))
//!     .finish()?;
//! db.create_collection(notes)?.insert(row! { "id": 1, "text": "milk" })?;
//! let server = SyncServer::new(db)?;
//!
//! let network = Network::new(7);
//! let (cloud, phone) = (network.add_node("cloud"), network.add_node("phone"));
//! network.set_link(phone, cloud, Profile::Edge.options())?;
//! let mut transport = network.connect(phone, cloud, |request: &[u8]| server.handle(request));
//!
//! let replica = SyncDb::client("phone")?;
//! // A lost message is a failed sync; the next one goes on where it ended.
//! while replica.sync(&mut transport).is_err() {}
//! assert_eq!(replica.collection("notes")?.len(), 1);
//! assert!(network.now().as_millis() > 400, "a slow link, and still no time has passed here");
//! # Ok::<(), common::Error>(())
//! ```

mod clock;
mod link;
mod network;
mod statistics;
mod trace;
mod transport;

pub use clock::{NodeClock, START_MICROS};
pub use link::{LinkOptions, Outage, Profile};
pub use network::{Event, Fault, Message, Network, NodeId, What};
pub use statistics::Statistics;
pub use trace::{TraceEntry, TraceKind};
pub use transport::{Connection, TIMEOUT};
