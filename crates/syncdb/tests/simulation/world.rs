//! The world of one seed: a server, its clients, the network between them, and everything that goes wrong.

mod extras;

use std::cell::{Cell, OnceCell};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use common::Database;
use common::utils::id_generator::SeededRng;
use common::utils::time::Clock;
use parking_lot::Mutex;
use syncdb::netsim::{Event, LinkOptions, Message, Network, NodeId, TraceEntry, What};
use syncdb::sync::digest::Digest;
use syncdb::sync::session::Session;
use syncdb::{Policy, Principal, Rejected, Strategy, SyncDb, SyncServer, SyncServerOptions};

use super::Failure;
use super::difference;
use super::oracle::Oracle;
use super::plan::{Action, Config, Link, Plan, Random, Side};
use super::reader::Reader;
use super::scope::{self, Scope};
use super::tables;
use super::tasks;
use super::unsent::Unsent;
use super::watch::Watched;
use super::workload::{Writer, write_at_server};

/// How long a client waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How long all may take to agree once the network is well again.
const AGREE: Duration = Duration::from_mins(1);
/// Syncs of one client that this may take.
const ROUNDS_MAX: u32 = 6;

// What a node is woken for: the upper half of the number.
const STEP: u64 = 1 << 32;
const WAITED: u64 = 2 << 32;
const SYNC_AGAIN: u64 = 3 << 32;
const REVIVE: u64 = 4 << 32;

/// What a seed did.
pub(crate) struct Outcome {
    pub(crate) result: Result<(), Failure>,
    pub(crate) fingerprint: u64,
    pub(crate) events: u64,
    pub(crate) simulated: Duration,
    pub(crate) trace: Vec<TraceEntry>,
}

/// Replicas stay where they are for as long as a seed runs, because sessions borrow them.
pub(crate) struct Arena {
    places: Vec<OnceCell<SyncDb>>,
    used: Cell<usize>,
}

impl Arena {
    fn of(plan: &Plan) -> Self {
        let restarts = plan.steps.iter().filter(|step| {
            matches!(
                step.action,
                Action::KillClient(..) | Action::RestoreClient(_)
            )
        });
        let places = plan.config.clients + restarts.count();
        Self {
            places: (0..places).map(|_| OnceCell::new()).collect(),
            used: Cell::new(0),
        }
    }

    fn put(&self, db: SyncDb) -> &SyncDb {
        let at = self.used.replace(self.used.get() + 1);
        self.places[at].get_or_init(|| db)
    }
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "what it is in the middle of, each for itself"
)]
struct Client<'a> {
    node: NodeId,
    db: Option<&'a SyncDb>,
    session: Option<Session<'a>>,
    awaiting: u64,
    tries: u32,
    armed: Option<Watched>,
    /// What remains of a killed client, until it is back.
    saved: Vec<u8>,
    backup: Option<(Vec<u8>, usize, Option<Scope>)>,
    /// What it subscribes to; `None` for everything.
    scope: Option<Scope>,
    /// All the tables that it has whole have arrived: what it writes to them stays in sight.
    has_arrived: bool,
    /// What it may see has changed while it synced, or what it subscribes to while edits waited: the rows may have to be
    /// compared.
    may_compare: bool,
    reader: Reader,
    beat: i64,
    set_back: bool,
    was_set_back: bool,
    /// Syncs that ended since the network is well.
    rounds: u32,
    agrees: bool,
}

pub(crate) struct World<'a> {
    plan: &'a Plan,
    arena: &'a Arena,
    network: Network,
    server_node: NodeId,
    server: Option<SyncServer>,
    server_armed: Option<Watched>,
    server_saved: Vec<u8>,
    server_backup: Option<Vec<u8>>,
    server_reader: Reader,
    clients: Vec<Client<'a>>,
    oracle: Oracle,
    tag: u64,
    events: u64,
    extra_tables: u32,
    healed: Option<Duration>,
    /// Rejected transactions that were lost with the life of a replica that was set back, or discarded.
    rejected: Vec<Rejected>,
    /// The places of which each client may see the tasks; `None` for all.
    rights: Rights,
}

type Rights = Arc<Mutex<Vec<Option<BTreeSet<i64>>>>>;

/// Runs a plan to its end, or to its first failure.
pub(crate) fn run(plan: &Plan, trace_lines: usize) -> Outcome {
    let arena = Arena::of(plan);
    let network = Network::new(plan.config.seed);
    network.keep_trace(trace_lines);
    let mut world = World::new(plan, &arena, network.clone());
    let result = world.run();
    Outcome {
        result,
        fingerprint: network.fingerprint(),
        events: world.events,
        simulated: network.now(),
        trace: network.trace(),
    }
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan, arena: &'a Arena, network: Network) -> Self {
        let config = &plan.config;
        let server_node = network.add_node("server");
        let mut world = Self {
            plan,
            arena,
            server_node,
            server: None,
            server_armed: None,
            server_saved: Vec::new(),
            server_backup: None,
            server_reader: Reader::new(config.clients, None),
            clients: Vec::new(),
            oracle: Oracle::default(),
            tag: 0,
            events: 0,
            extra_tables: 0,
            healed: None,
            rejected: Vec::new(),
            rights: Arc::new(Mutex::new(vec![None; config.clients])),
            network,
        };
        let clock = world.network.clock(server_node);
        clock.jump(config.clocks_off[config.clients] * 1_000);
        let server = world.serve(tables::server_database(config, clock));
        tables::advance_numbers(config, server.database());
        world.server = Some(server);
        for (number, link) in config.links.iter().enumerate() {
            let node = world.network.add_node(tables::name(number));
            let clock = world.network.clock(node);
            clock.jump(config.clocks_off[number] * 1_000);
            let db = world.replica(number, node, None);
            let scope = world.begin_scope(number, db);
            world.clients.push(Client {
                has_arrived: scope.is_none(),
                may_compare: false,
                scope,
                node,
                db: Some(db),
                session: None,
                awaiting: 0,
                tries: 0,
                armed: None,
                saved: Vec::new(),
                backup: None,
                reader: Reader::new(config.clients, Some(number)),
                beat: 0,
                set_back: false,
                was_set_back: false,
                rounds: 0,
                agrees: false,
            });
            world.set_link(number, *link);
        }
        world
    }

    fn config(&self) -> &'a Config {
        &self.plan.config
    }

    fn serve(&self, db: Database) -> SyncServer {
        let config = self.config();
        let options = SyncServerOptions {
            rng: Arc::new(SeededRng::new(config.seed)),
            // Its tables are small, and blocks packed with what they taught belong to what it is about.
            dictionary_rows_min: 8,
            // Also where it is not worth it.
            reference_bytes_min: 1,
            ..SyncServerOptions::default()
        };
        let options = options
            .strategy("notes", config.strategy.clone())
            .policy("tallies", Policy::default().column("n", Strategy::Counter));
        let options = match &config.features {
            Some(features) => self.permit(tasks::policies(options, features)),
            None => options,
        };
        SyncServer::with(db, options).unwrap()
    }

    /// A replica, new or as it was saved.
    fn replica(&self, number: usize, node: NodeId, saved: Option<&[u8]>) -> &'a SyncDb {
        let clock = self.network.clock(node) as Arc<dyn Clock>;
        let options = tables::options(clock, 1 << 12);
        let db = match saved {
            Some(saved) => tables::open(saved, options),
            None => Database::with(options),
        };
        self.arena
            .put(SyncDb::open(db, tables::name(number).as_str()).unwrap())
    }

    fn say(&self, node: NodeId, line: impl AsRef<str>) {
        self.network.note(node, line.as_ref());
    }

    fn run(&mut self) -> Result<(), Failure> {
        for (number, step) in (0..).zip(&self.plan.steps) {
            self.network.wake(self.server_node, step.at, STEP | number);
        }
        let last = self.plan.steps.last().map_or(Duration::ZERO, |s| s.at);
        let end = last.max(Duration::from_mins(30));
        while let Some(event) = self.network.next_event_until(end) {
            self.event(event)?;
        }
        self.heal()?;
        let until = end + AGREE;
        loop {
            if self.all_agree()? {
                return self.check();
            }
            match self.network.next_event_until(until) {
                Some(event) => self.event(event)?,
                None => return Err(self.disagreement()),
            }
        }
    }

    fn event(&mut self, event: Event) -> Result<(), Failure> {
        self.events += 1;
        let client = self.clients.iter().position(|c| c.node == event.node);
        match (event.what, client) {
            (What::Message(message), None) => self.request(&message),
            (What::Message(message), Some(client)) => self.answer(client, &message),
            (What::Wake(number), client) => {
                let low = number & (STEP - 1);
                match (number - low, client) {
                    (STEP, _) => self.step(self.plan.steps[usize::try_from(low).unwrap()].action),
                    (WAITED, Some(client)) => self.waited(client, low),
                    (SYNC_AGAIN, Some(client)) => {
                        let again = Duration::from_secs(2);
                        self.network.wake(event.node, again, SYNC_AGAIN);
                        if self.agrees(client)? {
                            return Ok(());
                        }
                        self.sync(client)
                    }
                    (REVIVE, Some(client)) => self.revive_client(client),
                    (REVIVE, None) if self.server.is_none() => self.revive_server(),
                    _ => Ok(()),
                }
            }
        }
    }

    /// What writes at a client, once it is up and has what it keeps whole.
    fn writer(&mut self, client: usize, choice: u64) -> Option<Writer<'_>> {
        let config = self.config();
        let of = &mut self.clients[client];
        of.has_arrived |= of.db.is_some_and(scope::has_arrived);
        Some(Writer {
            client,
            db: of.db.filter(|_| of.has_arrived)?,
            config,
            oracle: &mut self.oracle,
            reader: &mut of.reader,
            beat: &mut of.beat,
            set_back: of.set_back,
            choice,
        })
    }

    fn step(&mut self, action: Action) -> Result<(), Failure> {
        if !matches!(action, Action::Sync(_)) {
            self.say(self.server_node, format!("step: {action:?}"));
        }
        match action {
            Action::Write(client, edit, choice) => {
                let Some(mut writer) = self.writer(client, choice) else {
                    return Ok(());
                };
                let edited = writer.edit(edit);
                edited
                    .map_err(|error| Failure::new("write failed", format!("{edit:?}: {error}")))?;
                self.after_client(client)
            }
            Action::ServerWrite(choice) => {
                let config = self.config();
                if let Some(server) = &self.server {
                    let db = server.database();
                    write_at_server(db, config, &mut self.oracle, choice).unwrap();
                    // A host that may be killed does this with each of its own writes.
                    server.account_for_direct_writes().unwrap();
                }
                self.after_server()
            }
            Action::Sync(client) => self.sync(client),
            Action::Partition(client, side) => {
                let (node, server) = (self.clients[client].node, self.server_node);
                match side {
                    Side::Both => self.network.partition(node, server),
                    Side::Up => self.network.partition_one_way(node, server),
                    Side::Down => self.network.partition_one_way(server, node),
                }
                Ok(())
            }
            Action::Heal(client) => {
                self.network
                    .heal(self.clients[client].node, self.server_node);
                Ok(())
            }
            Action::Link(client, link) => {
                self.set_link(client, link);
                Ok(())
            }
            Action::Clock(who, by) => {
                let client = self.clients.get(who);
                let node = client.map_or(self.server_node, |client| client.node);
                self.network.clock(node).jump(by);
                Ok(())
            }
            Action::KillClient(client, after, down) => {
                self.kill_client(client, after, down);
                Ok(())
            }
            Action::KillServer(after, down) => {
                self.kill_server(after, down);
                Ok(())
            }
            Action::BackUpClient(client) => {
                let of = &mut self.clients[client];
                if let Some(db) = of.db {
                    let image = tables::image(db.database());
                    of.backup = Some((image, self.oracle.txs.len(), of.scope.clone()));
                }
                Ok(())
            }
            Action::RestoreClient(client) => {
                self.restore_client(client);
                Ok(())
            }
            Action::BackUpServer => {
                let server = self.server.as_ref();
                self.server_backup = server.map(|s| tables::image(s.database()));
                Ok(())
            }
            Action::RestoreServer => {
                if let (Some(_), Some(saved)) = (&self.server, self.server_backup.clone()) {
                    self.server_armed = None;
                    self.server_saved = saved;
                    self.server_reader.forget();
                    return self.revive_server();
                }
                Ok(())
            }
            Action::Compact => {
                if let Some(server) = &self.server {
                    let db = server.database();
                    db.compact_log(db.seq());
                    server.train_dictionaries().unwrap();
                }
                // It may have been the commit with which it dies: what it would do after that would be lost.
                self.after_server()
            }
            Action::Prune => {
                if let Some(server) = &self.server {
                    server.train_dictionaries().unwrap();
                    server.database().prune_log();
                }
                self.after_server()
            }
            Action::NewTable(choice) => self.new_table(choice),
            Action::Feature(client, feature, choice) => self.feature(client, feature, choice),
        }
    }

    // The network.

    fn set_link(&self, client: usize, link: Link) {
        let options = match link {
            Link::Perfect => LinkOptions::default().latency_ms(5),
            Link::Profile(profile) => profile.options(),
            Link::Bad(number) => {
                let random = Random::new(number);
                let percent = |most: u64| {
                    let percent = u8::try_from(random.below(most + 1)).unwrap();
                    f64::from(percent) / 100.0
                };
                LinkOptions::default()
                    .loss(percent(30))
                    .duplicate(percent(20))
                    .reorder(percent(30), 30_000)
                    .cut(percent(8))
                    .damage(percent(8))
                    .latency_ms(u32::try_from(random.below(800)).unwrap())
                    .jitter_ms(u32::try_from(random.below(2_000)).unwrap())
            }
        };
        let node = self.clients[client].node;
        self.network
            .set_link(node, self.server_node, options)
            .unwrap();
    }

    fn heal(&mut self) -> Result<(), Failure> {
        self.healed = Some(self.network.now());
        self.say(self.server_node, "the network is well");
        self.server_armed = None;
        if self.server.is_none() {
            self.revive_server()?;
        }
        for client in 0..self.clients.len() {
            self.clients[client].armed = None;
            let node = self.clients[client].node;
            self.network.heal(node, self.server_node);
            let good = LinkOptions::default().latency_ms(50);
            self.network.set_link(node, self.server_node, good).unwrap();
            if self.clients[client].db.is_none() {
                self.revive_client(client)?;
            }
            let soon = Duration::from_millis(10 * client as u64);
            self.network.wake(node, soon, SYNC_AGAIN);
        }
        Ok(())
    }

    // Syncs.

    fn sync(&mut self, client: usize) -> Result<(), Failure> {
        let of = &mut self.clients[client];
        let Some(db) = of.db.filter(|_| of.session.is_none()) else {
            return Ok(());
        };
        of.session = Some(db.session().map_err(Failure::error)?);
        of.tries = 0;
        self.ask(client)
    }

    fn ask(&mut self, client: usize) -> Result<(), Failure> {
        let of = &mut self.clients[client];
        let Some(session) = &mut of.session else {
            return Ok(());
        };
        let message = session.next_message().map_err(Failure::error)?;
        let Some(request) = message else {
            return self.synced(client);
        };
        self.tag += 1;
        of.awaiting = self.tag;
        let node = of.node;
        self.network.send(node, self.server_node, self.tag, request);
        self.network.wake(node, TIMEOUT, WAITED | self.tag);
        self.after_client(client)
    }

    /// A client has waited long enough for the answer to the request `tag`.
    fn waited(&mut self, client: usize, tag: u64) -> Result<(), Failure> {
        let of = &mut self.clients[client];
        if of.session.is_none() || of.awaiting != tag {
            return Ok(());
        }
        of.tries += 1;
        if of.tries > 3 {
            of.session = None;
            return Ok(());
        }
        self.ask(client)
    }

    fn request(&mut self, message: &Message) -> Result<(), Failure> {
        let Some(server) = &self.server else {
            self.say(self.server_node, "is down");
            return Ok(());
        };
        let client = self.clients.iter().position(|c| c.node == message.from);
        let principal = self
            .config()
            .features
            .as_ref()
            .and(client)
            .map(tables::name);
        match server.handle_for(
            principal.as_deref().map(Principal::new).as_ref(),
            &message.bytes,
        ) {
            Ok(answer) => {
                let dies = self.server_armed.as_ref().is_some_and(Watched::is_over);
                // A server that dies while it works answers nothing.
                if !dies {
                    self.network
                        .send(self.server_node, message.from, message.tag, answer);
                }
            }
            Err(_) if message.altered => {}
            Err(error) => {
                return Err(Failure::new(
                    "request refused",
                    format!("request {}: {error}", message.tag),
                ));
            }
        }
        self.after_server()
    }

    fn answer(&mut self, client: usize, message: &Message) -> Result<(), Failure> {
        let of = &mut self.clients[client];
        let Some(session) = &mut of.session else {
            return Ok(());
        };
        let awaited = message.tag == of.awaiting;
        let received = session.receive(&message.bytes);
        let repaired = session.report().repaired;
        match received {
            // A bit that the codec does not use may be another one: what was decoded has its checksum.
            Ok(()) if !awaited => Err(Failure::new(
                "late answer taken",
                format!("{}, answer {}", tables::name(client), message.tag),
            )),
            Ok(()) => {
                of.tries = 0;
                if repaired && !of.may_compare && !self.config().server_restores {
                    let (server, replica) = (self.server.as_ref(), self.clients[client].db);
                    let rows = server
                        .zip(replica)
                        .map_or_else(String::new, |(server, replica)| {
                            self.part_difference(client).unwrap_or_else(|| {
                                difference::rows(server.database(), replica.database())
                            })
                        });
                    return Err(Failure::new(
                        "digests differ",
                        format!("{} has to compare its rows{rows}", tables::name(client)),
                    ));
                }
                self.after_client(client)?;
                self.ask(client)
            }
            Err(error) if awaited && !message.altered => Err(Failure::new(
                "answer refused",
                format!("{}, answer {}: {error}", tables::name(client), message.tag),
            )),
            Err(_) => Ok(()),
        }
    }

    /// A client's sync is over.
    fn synced(&mut self, client: usize) -> Result<(), Failure> {
        let of = &mut self.clients[client];
        let Some(session) = of.session.take() else {
            return Ok(());
        };
        let report = session.into_report();
        let pending = of.db.map_or(0, SyncDb::pending);
        of.may_compare &= !report.converged || pending > 0;
        of.agrees = report.converged && pending == 0;
        of.set_back &= pending > 0;
        if self.healed.is_some() {
            of.rounds += 1;
        }
        if report.converged && pending == 0 {
            self.check_part(client)?;
        }
        self.after_client(client)
    }

    // Kills, backups.

    fn kill_client(&mut self, client: usize, after: u32, down: u32) {
        let of = &mut self.clients[client];
        let (Some(db), None) = (of.db, &of.armed) else {
            return;
        };
        if after == 0 {
            let saved = tables::image(db.database());
            self.client_dies(client, saved, down);
        } else {
            of.armed = Some(Watched::new(db.database(), after));
        }
    }

    fn client_dies(&mut self, client: usize, saved: Vec<u8>, down: u32) {
        let of = &mut self.clients[client];
        of.armed = None;
        of.session = None;
        of.db = None;
        of.saved = saved;
        let after = Duration::from_secs(down.into());
        self.network.wake(of.node, after, REVIVE);
        self.say(self.clients[client].node, "is killed");
    }

    fn revive_client(&mut self, client: usize) -> Result<(), Failure> {
        let of = &self.clients[client];
        if of.db.is_some() {
            return Ok(());
        }
        let db = self.replica(client, of.node, Some(&of.saved));
        self.say(of.node, "is back");
        self.clients[client].db = Some(db);
        self.after_client(client)
    }

    fn restore_client(&mut self, client: usize) {
        let of = &self.clients[client];
        let Some(db) = of.db else {
            return;
        };
        let (saved, since, scope) = match &of.backup {
            Some((saved, since, scope)) => (Some(saved.as_slice()), *since, scope.clone()),
            None => (None, 0, None),
        };
        self.rejected.extend(db.rejected().unwrap());
        let mut unsent = Unsent::of(db.database());
        let is_empty = db.pending() == 0;
        // A replica that was never backed up is installed anew under its old name.
        let restored = self.replica(client, of.node, saved);
        let scope = match saved {
            Some(_) => scope,
            None => self.begin_scope(client, restored),
        };
        // What the server had acknowledged is not to be lost.
        for tx in self.oracle.txs.iter_mut().skip(since).rev() {
            if tx.client == Some(client) && !is_empty {
                let lost = tx.writes.iter().any(|write| unsent.is_lost(write.token));
                tx.optional |= tx.writes.is_empty() || lost;
                if tx.optional {
                    unsent.lose(tx.writes.iter().filter_map(|write| write.seen));
                }
            }
        }
        let of = &mut self.clients[client];
        of.armed = None;
        of.session = None;
        of.db = Some(restored);
        of.has_arrived = scope.is_none();
        of.scope = scope;
        of.reader.forget();
        of.set_back = true;
        of.was_set_back = true;
        of.agrees = false;
        self.say(self.clients[client].node, "is set back");
    }

    fn kill_server(&mut self, after: u32, down: u32) {
        let (Some(server), None) = (&self.server, &self.server_armed) else {
            return;
        };
        if after == 0 {
            let saved = tables::image(server.database());
            self.server_dies(saved, down);
        } else {
            self.server_armed = Some(Watched::new(server.database(), after));
        }
    }

    fn server_dies(&mut self, saved: Vec<u8>, down: u32) {
        self.server_armed = None;
        self.server = None;
        self.server_saved = saved;
        let after = Duration::from_secs(down.into());
        self.network.wake(self.server_node, after, REVIVE);
        self.say(self.server_node, "is killed");
    }

    fn revive_server(&mut self) -> Result<(), Failure> {
        let clock = self.network.clock(self.server_node);
        let options = tables::options(clock, self.config().log_changes);
        let db = tables::open(&self.server_saved, options);
        self.server = Some(self.serve(db));
        self.say(self.server_node, "is back");
        self.after_server()
    }

    // What must hold after everything that happens.

    fn after_client(&mut self, client: usize) -> Result<(), Failure> {
        let of = &mut self.clients[client];
        if let Some(saved) = of.armed.as_ref().and_then(Watched::image) {
            self.client_dies(client, saved, 5);
            return Ok(());
        }
        let Some(db) = of.db else {
            return Ok(());
        };
        if self.plan.config.server_restores || self.is_skipped() {
            return Ok(());
        }
        let of = &mut self.clients[client];
        if of.was_set_back {
            of.reader.take_back(&db.rejected().map_err(Failure::error)?);
        }
        of.reader.read(db.database(), of.set_back)
    }

    /// Reading many rows after each of many events would take all the time: one event in sixteen does.
    fn is_skipped(&self) -> bool {
        self.config().rows > 0 && !self.events.is_multiple_of(16)
    }

    fn after_server(&mut self) -> Result<(), Failure> {
        if let Some(saved) = self.server_armed.as_ref().and_then(Watched::image) {
            self.server_dies(saved, 5);
            return Ok(());
        }
        let Some(server) = &self.server else {
            return Ok(());
        };
        let db = server.database();
        let (_, changes) = db.log_extent();
        // The log is cut with the next commit, and keeps whole commits.
        if changes > self.config().log_changes + 256 {
            return Err(Failure::new(
                "unbounded",
                format!("the log keeps {changes} changes"),
            ));
        }
        if self.config().server_restores || self.is_skipped() {
            return Ok(());
        }
        self.server_reader.read(db, false)
    }

    // The end.

    /// Whether a client has synced since the network is well, and holds what the server holds.
    fn agrees(&self, client: usize) -> Result<bool, Failure> {
        let of = &self.clients[client];
        let (Some(server), Some(db)) = (&self.server, of.db) else {
            return Ok(false);
        };
        if of.rounds == 0 || of.session.is_some() || db.pending() > 0 {
            return Ok(false);
        }
        if self.has_part(client) {
            return Ok(of.agrees && self.part_difference(client).is_none());
        }
        let digest = server.digest().map_err(Failure::error)?;
        Ok(of.agrees && db.digest().map_err(Failure::error)? == digest)
    }

    fn all_agree(&self) -> Result<bool, Failure> {
        for (number, client) in self.clients.iter().enumerate() {
            if client.rounds > ROUNDS_MAX {
                return Err(self.disagreement());
            }
            if !self.agrees(number)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn disagreement(&self) -> Failure {
        let server = self.server.as_ref();
        let mut what = format!("server: {:?}", server.map(SyncServer::digest));
        for (number, client) in self.clients.iter().enumerate() {
            let digest = client.db.map(SyncDb::digest);
            let part = self.part_difference(number);
            what += &format!(
                "\n{}: {digest:?}, {} pending, {} syncs{}",
                tables::name(number),
                client.db.map_or(0, SyncDb::pending),
                client.rounds,
                part.map_or_else(String::new, |part| format!(", {part}"))
            );
        }
        Failure::new("no agreement", what)
    }

    fn check(&self) -> Result<(), Failure> {
        let server = self.server.as_ref().unwrap();
        let config = self.config();
        let truth = server.digest().map_err(Failure::error)?;
        let mut rejected = self.rejected.clone();
        for (number, client) in self.clients.iter().enumerate() {
            let db = client.db.unwrap();
            let name = tables::name(number);
            rejected.extend(self.rejected_by(number, db)?);
            let tables = db.database().collections();
            let tables: Vec<_> = tables
                .into_iter()
                .filter(|table| server.database().collection(table.name()).is_ok())
                .filter(|table| !syncdb::sync::protocol::is_system(table.name()))
                .collect();
            if self.has_part(number) {
                self.check_part_in_the_end(number)?;
            }
            let counted = Digest::of(db.database().snapshot().view(), &tables).unwrap();
            if counted != truth && !self.has_part(number) {
                return Err(Failure::new(
                    "digests differ",
                    format!("{name}: the rows add up to {counted}, the digest says {truth}"),
                ));
            }
            for table in ["sync_blocks", "sync_queue"] {
                let left = tables::count(db.database(), table);
                if left > 0 {
                    return Err(Failure::new(
                        "unbounded",
                        format!("{name}: {left} in {table}"),
                    ));
                }
            }
            if config.server_restores || client.was_set_back {
                continue;
            }
            // Of others' mutations that met its own it is told too, but not in the same commit.
            let told = db.conflicts().map_err(Failure::error)?;
            let told = told.iter().filter(|e| e.replica.0 == name);
            let mut told: Vec<_> = told.map(|e| (e.seq, e.number)).collect();
            let ledger = server.conflicts().map_err(Failure::error)?;
            let of_client = ledger.iter().filter(|e| e.replica.0 == name);
            let mut ledger: Vec<_> = of_client.map(|e| (e.seq, e.number)).collect();
            told.sort_unstable();
            ledger.sort_unstable();
            if told != ledger {
                return Err(Failure::new(
                    "ledger",
                    format!("{name} was told of {told:?}, the ledger has {ledger:?}"),
                ));
            }
        }
        if config.server_restores {
            return Ok(());
        }
        let rows: usize = usize::try_from(truth.rows).unwrap();
        for (table, most) in [("sync_rows", rows), ("sync_clients", config.clients)] {
            let found = tables::count(server.database(), table);
            if found > most {
                return Err(Failure::new(
                    "unbounded",
                    format!("server: {found} in {table}, for {rows} rows"),
                ));
            }
        }
        let set_back = self.clients.iter().enumerate();
        let set_back = set_back.filter(|(_, client)| client.was_set_back);
        let set_back = set_back.map(|(number, _)| tables::name(number)).collect();
        self.oracle.check(config, server, &rejected, &set_back)
    }
}
