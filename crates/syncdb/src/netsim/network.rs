//! [`Network`]: nodes, the links between them, and the events that are still to come.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use common::utils::id_generator::SeededRng;
use common::{Result, Text};
use parking_lot::Mutex;

use super::clock::NodeClock;
use super::link::LinkOptions;
use super::statistics::Statistics;
use super::trace::{Trace, TraceEntry, TraceKind};

/// A node of one network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

impl NodeId {
    /// Number of the node, in the order in which they were added, from 0.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A message that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who sent it.
    pub from: NodeId,
    /// What the sender marked it with, to tell which answer belongs to which request. It is never harmed.
    pub tag: u64,
    /// What arrived of it.
    pub bytes: Vec<u8>,
    /// Whether it was cut or damaged on the way. For tests: a real receiver is not told.
    pub altered: bool,
}

/// What happens to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A message arrives.
    Message(Message),
    /// The time that [`Network::wake`] was asked for has come; its number.
    Wake(u64),
}

/// Something that happens to a node at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, since the beginning.
    pub at: Duration,
    /// To whom.
    pub node: NodeId,
    /// What.
    pub what: What,
}

/// What is certainly done to one message, whatever the link's options say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: it passes as the link's options say. Put before another, it spares a message.
    Pass,
    /// It does not arrive.
    Lose,
    /// It arrives twice.
    Duplicate,
    /// It ends after this many bytes.
    Cut(usize),
    /// The bit with this number, counted from the first byte's lowest one, is another one.
    Flip(usize),
    /// It takes this much longer, and later ones may pass it.
    Delay(Duration),
}

#[derive(Debug, Default)]
struct Link {
    options: LinkOptions,
    is_cut: bool,
    faults: VecDeque<Fault>,
    statistics: Statistics,
    /// The link is carrying earlier messages until then.
    busy_until: i64,
    /// When the last message that kept its order arrives.
    last_arrival: i64,
}

#[derive(Debug)]
struct Node {
    name: Text,
    clock: Arc<NodeClock>,
}

/// When, and as the how-manieth: two events at the same time keep the order in which they were made.
type Place = (i64, u64);

struct State {
    rng: SeededRng,
    nodes: Vec<Node>,
    links: BTreeMap<(NodeId, NodeId), Link>,
    events: BTreeMap<Place, Event>,
    made: u64,
    trace: Trace,
}

struct Inner {
    state: Mutex<State>,
    /// Microseconds since the beginning.
    elapsed: Arc<AtomicI64>,
}

/// A simulated network, and its time. A handle: clones share the network.
///
/// Two networks with the same seed that are used in the same way do the same; [`Network::fingerprint`] tells. See
/// [the module](super) for the two ways to use it.
///
/// ```
/// use std::time::Duration;
/// use syncdb::netsim::{LinkOptions, Network, What};
/// let network = Network::new(42);
/// let (a, b) = (network.add_node("a"), network.add_node("b"));
/// network.set_link(a, b, LinkOptions::default().latency_ms(20).bandwidth_kbit(8))?;
/// network.send(a, b, 1, vec![0; 1_000]);
/// network.wake(b, Duration::from_millis(500), 7);
/// let (first, second) = (network.next_event().unwrap(), network.next_event().unwrap());
/// assert_eq!((first.at.as_millis(), first.what), (500, What::Wake(7)));
/// assert_eq!(second.at.as_millis(), 1_020, "8,000 bits at 8 kbit/s, and 20 ms");
/// assert_eq!(network.next_event(), None);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Clone)]
pub struct Network(Arc<Inner>);

impl Network {
    /// A network without nodes, whose chance follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Inner {
            state: Mutex::new(State {
                rng: SeededRng::new(seed),
                nodes: Vec::new(),
                links: BTreeMap::new(),
                events: BTreeMap::new(),
                made: 0,
                trace: Trace::new(),
            }),
            elapsed: Arc::new(AtomicI64::new(0)),
        }))
    }

    /// Adds a node, linked to every other one by a perfect link. The name is for the trace.
    pub fn add_node(&self, name: impl Into<Text>) -> NodeId {
        let mut state = self.0.state.lock();
        let id = NodeId(u32::try_from(state.nodes.len()).unwrap_or(u32::MAX));
        let clock = Arc::new(NodeClock::new(Arc::clone(&self.0.elapsed)));
        state.nodes.push(Node {
            name: name.into(),
            clock,
        });
        id
    }

    /// The clock of a node.
    ///
    /// # Panics
    /// When the node is another network's.
    pub fn clock(&self, node: NodeId) -> Arc<NodeClock> {
        let state = self.0.state.lock();
        let found = state.nodes.get(node.index());
        Arc::clone(&found.expect("the node is of this network").clock)
    }

    /// Sets what the links between two nodes do, the same in both directions. Messages under way are not changed.
    ///
    /// # Errors
    /// As [`LinkOptions::check`].
    pub fn set_link(&self, a: NodeId, b: NodeId, options: LinkOptions) -> Result<()> {
        self.set_link_one_way(a, b, options.clone())?;
        self.set_link_one_way(b, a, options)
    }

    /// Sets what the link from one node to another does.
    ///
    /// # Errors
    /// As [`LinkOptions::check`].
    pub fn set_link_one_way(&self, from: NodeId, to: NodeId, options: LinkOptions) -> Result<()> {
        options.check()?;
        self.0.state.lock().link(from, to).options = options;
        Ok(())
    }

    /// Cuts the links between two nodes in both directions. Messages under way still arrive.
    pub fn partition(&self, a: NodeId, b: NodeId) {
        self.partition_one_way(a, b);
        self.partition_one_way(b, a);
    }

    /// Cuts the link from one node to another; the other direction stays.
    pub fn partition_one_way(&self, from: NodeId, to: NodeId) {
        self.0.state.lock().link(from, to).is_cut = true;
    }

    /// Joins two nodes again, in both directions.
    pub fn heal(&self, a: NodeId, b: NodeId) {
        let mut state = self.0.state.lock();
        state.link(a, b).is_cut = false;
        state.link(b, a).is_cut = false;
    }

    /// Lets `fault` happen to the next message from one node to another that has none planned for it yet.
    pub fn inject(&self, from: NodeId, to: NodeId, fault: Fault) {
        self.0.state.lock().link(from, to).faults.push_back(fault);
    }

    /// Sends a message. What becomes of it is decided here; when it arrives, [`Network::next_event`] tells.
    pub fn send(&self, from: NodeId, to: NodeId, tag: u64, bytes: Vec<u8>) {
        self.0
            .state
            .lock()
            .send(self.micros(), from, to, tag, bytes);
    }

    /// Wakes a node after a time, with a number that says why.
    pub fn wake(&self, node: NodeId, after: Duration, number: u64) {
        let at = self.micros().saturating_add(micros(after));
        let mut state = self.0.state.lock();
        state.schedule(at, node, What::Wake(number));
    }

    /// Takes out the earliest event and moves the time to it; `None` when nothing is to come.
    pub fn next_event(&self) -> Option<Event> {
        self.take(None)
    }

    /// As [`Network::next_event`], but not beyond `until`, counted from the beginning: when nothing happens before, the
    /// time moves there.
    pub fn next_event_until(&self, until: Duration) -> Option<Event> {
        let event = self.take(Some(micros(until)));
        if event.is_none() {
            self.0.elapsed.fetch_max(micros(until), Ordering::Relaxed);
        }
        event
    }

    fn take(&self, until: Option<i64>) -> Option<Event> {
        let mut state = self.0.state.lock();
        let entry = state.events.first_entry()?;
        let at = entry.key().0;
        if until.is_some_and(|until| at > until) {
            return None;
        }
        let event = entry.remove();
        // An event that was put back may lie in the past.
        self.0.elapsed.fetch_max(at, Ordering::Relaxed);
        state.note_event(&event);
        Some(event)
    }

    /// Puts events back that somebody else is to have, in front of later ones.
    pub(super) fn put_back(&self, events: Vec<Event>) {
        let mut state = self.0.state.lock();
        for event in events {
            state.schedule(micros(event.at), event.node, event.what);
        }
    }

    /// Time since the beginning.
    pub fn now(&self) -> Duration {
        Duration::from_micros(self.micros().unsigned_abs())
    }

    fn micros(&self) -> i64 {
        self.0.elapsed.load(Ordering::Relaxed)
    }

    /// Lets time pass. Events in that time are taken out later, and are late.
    pub fn advance(&self, time: Duration) {
        self.0.elapsed.fetch_add(micros(time), Ordering::Relaxed);
    }

    /// What was sent from one node to another.
    pub fn statistics(&self, from: NodeId, to: NodeId) -> Statistics {
        let state = self.0.state.lock();
        let link = state.links.get(&(from, to));
        link.map(|link| link.statistics).unwrap_or_default()
    }

    /// What was sent in all.
    pub fn total(&self) -> Statistics {
        let mut total = Statistics::default();
        for link in self.0.state.lock().links.values() {
            total.add(&link.statistics);
        }
        total
    }

    /// Keeps the last `entries_max` entries of the trace; none are kept at first.
    pub fn keep_trace(&self, entries_max: usize) {
        self.0.state.lock().trace.keep(entries_max);
    }

    /// Adds a line of the host to the trace and to the fingerprint.
    pub fn note(&self, node: NodeId, line: impl Into<Text>) {
        let line = line.into();
        let at = self.micros();
        let mut state = self.0.state.lock();
        state.trace.mix_bytes(line.as_bytes());
        if state.trace.keeps() {
            let from = state.name(node);
            state.trace.push(TraceEntry {
                at: duration(at),
                kind: TraceKind::Note,
                from,
                to: Text::default(),
                bytes: 0,
                tag: 0,
                note: line,
            });
        }
    }

    /// The entries of the trace that were kept.
    pub fn trace(&self) -> Vec<TraceEntry> {
        self.0.state.lock().trace.entries()
    }

    /// A number over everything that happened, kept or not, contents of messages included: two runs that have the same
    /// one did the same.
    pub fn fingerprint(&self) -> u64 {
        self.0.state.lock().trace.fingerprint()
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.state.lock();
        write!(
            f,
            "Network({} nodes, {} events to come, at {:?})",
            state.nodes.len(),
            state.events.len(),
            self.now()
        )
    }
}

impl State {
    fn link(&mut self, from: NodeId, to: NodeId) -> &mut Link {
        self.links.entry((from, to)).or_default()
    }

    fn name(&self, node: NodeId) -> Text {
        let node = self.nodes.get(node.index());
        node.map(|node| node.name.clone()).unwrap_or_default()
    }

    fn below(&self, bound: u64) -> u64 {
        // The bias of the remainder is below one in 2^32 for every bound that occurs.
        self.rng.next_u64() % bound.max(1)
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "53 bits are what a float holds exactly"
    )]
    fn chance(&self, probability: f64) -> bool {
        const STEPS: f64 = (1_u64 << 53) as f64;
        // Not drawn for what cannot happen, so that an option at its default changes nothing.
        probability > 0.0 && (((self.rng.next_u64() >> 11) as f64) / STEPS) < probability
    }

    fn schedule(&mut self, at: i64, node: NodeId, what: What) {
        self.made += 1;
        let event = Event {
            at: duration(at),
            node,
            what,
        };
        self.events.insert((at, self.made), event);
    }

    fn say(
        &mut self,
        at: i64,
        kind: TraceKind,
        (from, to): (NodeId, NodeId),
        tag: u64,
        bytes: usize,
    ) {
        self.trace.mix(&[
            at.unsigned_abs(),
            kind as u64,
            (u64::from(from.0) << 32) | u64::from(to.0),
            tag,
            bytes as u64,
        ]);
        if self.trace.keeps() {
            let (from, to) = (self.name(from), self.name(to));
            self.trace.push(TraceEntry {
                at: duration(at),
                kind,
                from,
                to,
                bytes,
                tag,
                note: Text::default(),
            });
        }
    }

    fn note_event(&mut self, event: &Event) {
        let at = micros(event.at);
        match &event.what {
            What::Wake(number) => {
                self.say(at, TraceKind::Woke, (event.node, event.node), *number, 0);
            }
            What::Message(message) => {
                let ends = (message.from, event.node);
                let bytes = message.bytes.len();
                let statistics = &mut self.link(ends.0, ends.1).statistics;
                statistics.delivered += 1;
                statistics.bytes_delivered += bytes as u64;
                self.trace.mix_bytes(&message.bytes);
                self.say(at, TraceKind::Delivered, ends, message.tag, bytes);
            }
        }
    }

    fn send(&mut self, now: i64, from: NodeId, to: NodeId, tag: u64, mut bytes: Vec<u8>) {
        let ends = (from, to);
        let len = bytes.len();
        self.say(now, TraceKind::Sent, ends, tag, len);
        let link = self.link(from, to);
        link.statistics.sent += 1;
        link.statistics.bytes_sent += len as u64;
        let fault = link.faults.pop_front().unwrap_or(Fault::Pass);
        let options = link.options.clone();
        // The bytes take their time on the link also when nobody receives them.
        let begins = now.max(link.busy_until);
        let carried = options.bandwidth_kbit.map_or(0, |kbit| {
            let bits = i64::try_from(len).unwrap_or(i64::MAX).saturating_mul(8_000);
            bits / i64::from(kbit)
        });
        link.busy_until = begins.saturating_add(carried);
        let sent = link.busy_until;
        let blocked = link.is_cut || options.is_out(begins) || options.is_out(sent);
        if blocked || fault == Fault::Lose || self.chance(options.loss) {
            self.link(from, to).statistics.lost += 1;
            let kind = if blocked {
                TraceKind::Blocked
            } else {
                TraceKind::Lost
            };
            self.say(now, kind, ends, tag, len);
            return;
        }
        let altered = self.alter(now, ends, tag, &mut bytes, fault, &options);
        let copies = if fault == Fault::Duplicate || self.chance(options.duplicate) {
            self.link(from, to).statistics.duplicated += 1;
            self.say(now, TraceKind::Duplicated, ends, tag, len);
            2
        } else {
            1
        };
        for _ in 0..copies {
            let jitter = self.below(u64::from(options.jitter_ms) * 1_000 + 1);
            let taken = i64::from(options.latency_ms) * 1_000 + jitter.cast_signed();
            let mut at = sent.saturating_add(taken);
            let held = match fault {
                Fault::Delay(time) => Some(micros(time)),
                _ if self.chance(options.reorder) => Some(
                    self.below(u64::from(options.reorder_ms) * 1_000 + 1)
                        .cast_signed(),
                ),
                _ => None,
            };
            if let Some(held) = held {
                self.link(from, to).statistics.reordered += 1;
                self.say(now, TraceKind::Reordered, ends, tag, len);
                at = at.saturating_add(held);
            } else {
                let link = self.link(from, to);
                at = at.max(link.last_arrival);
                link.last_arrival = at;
            }
            let message = Message {
                from,
                tag,
                bytes: bytes.clone(),
                altered,
            };
            self.schedule(at, to, What::Message(message));
        }
    }

    /// Cuts or damages a message, by chance or on purpose.
    fn alter(
        &mut self,
        now: i64,
        ends: (NodeId, NodeId),
        tag: u64,
        bytes: &mut Vec<u8>,
        fault: Fault,
        options: &LinkOptions,
    ) -> bool {
        let mut altered = false;
        let cut = match fault {
            Fault::Cut(at) => Some(at),
            _ if self.chance(options.cut) => usize::try_from(self.below(bytes.len() as u64)).ok(),
            _ => None,
        };
        if let Some(at) = cut
            && at < bytes.len()
        {
            altered = true;
            bytes.truncate(at);
            self.link(ends.0, ends.1).statistics.cut += 1;
            self.say(now, TraceKind::Cut, ends, tag, bytes.len());
        }
        let bits = bytes.len().saturating_mul(8);
        let flip = match fault {
            Fault::Flip(bit) => Some(bit),
            _ if self.chance(options.damage) => usize::try_from(self.below(bits as u64)).ok(),
            _ => None,
        };
        if let Some(bit) = flip
            && let Some(byte) = bytes.get_mut(bit / 8)
        {
            altered = true;
            *byte ^= 1 << (bit % 8);
            self.link(ends.0, ends.1).statistics.damaged += 1;
            self.say(now, TraceKind::Damaged, ends, tag, bytes.len());
        }
        altered
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

fn duration(micros: i64) -> Duration {
    Duration::from_micros(micros.unsigned_abs())
}
