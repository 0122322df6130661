//! [`Day`]: a phone lives through a script, in virtual time, over a simulated network, with the real sync.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bench::Result;
use common::database::DatabaseOptions;
use common::schema::{Field, FieldType, Schema};
use common::{Database, Timestamp, Value, row};
use syncdb::netsim::{Network, NodeId};
use syncdb::power::{
    Decision, DeviceState, Measured, NetworkType, PowerTotals, Priority, Scheduler, SyncBudget,
};
use syncdb::{SyncDb, SyncServer, Transport};

use crate::script::{DAY, Event, Link, Script, TASKS};

/// How long a request waits for its answer.
const TIMEOUT: Duration = Duration::from_secs(6);

/// The battery over the day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Battery {
    pub(crate) morning: f64,
    pub(crate) night: f64,
}

/// What a day came to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) totals: PowerTotals,
    /// Writes and deferred operations whose deadline passed although, by the script, a link carried something at some time
    /// between writing and deadline.
    pub(crate) missed: u32,
    /// What is known of the first of them.
    pub(crate) missed_first: Option<String>,
    /// Those for which none did, so that nobody could have met the deadline.
    pub(crate) without_network: u32,
    /// Longest time from an urgent write to the request that took it, while there was a network.
    pub(crate) urgent_longest: Duration,
    pub(crate) urgent: u32,
    /// Longest time from an urgent write to its acknowledgement, while there was a network.
    pub(crate) urgent_arrived: Duration,
    pub(crate) writes: u32,
    /// Longest time from any write to its acknowledgement.
    pub(crate) longest: Duration,
    /// What the server holds in the end.
    pub(crate) digest: String,
    /// Processor time of asking the scheduler, which is part of the total.
    pub(crate) deciding: Duration,
    /// Processor time of the server, which no battery pays for.
    pub(crate) server_cpu: Duration,
}

/// A write that is not acknowledged yet.
struct Written {
    made: Duration,
    priority: Priority,
    /// When the device last had no network.
    offline: Option<Duration>,
    began: Option<Duration>,
}

/// One life of a phone through a day.
pub(crate) struct Day<'a> {
    script: &'a Script,
    cpu: &'a dyn Fn() -> Duration,
    network: Network,
    cloud: NodeId,
    node: NodeId,
    server: SyncServer,
    phone: SyncDb,
    scheduler: Scheduler,
    device: DeviceState,
    battery: Battery,
    /// Processor time since the last sync that belongs to the next one.
    deciding: Duration,
    server_cpu: Duration,
    written: Vec<Written>,
    deferred: BTreeMap<String, Written>,
    ran: BTreeSet<String>,
    /// What the phone wrote last of each task, and the readings.
    tasks: BTreeMap<i64, String>,
    readings: i64,
    operations: u32,
    elsewhere: i64,
    random: u64,
    outcome: Outcome,
}

fn db(network: &Network, node: NodeId) -> Database {
    Database::with(DatabaseOptions {
        clock: network.clock(node) as Arc<dyn common::utils::time::Clock>,
        ..DatabaseOptions::default()
    })
}

fn served(network: &Network, node: NodeId) -> Result<SyncServer> {
    let db = db(network, node);
    let tasks = db.create_collection(
        Schema::build("tasks", ["id"])
            .field(Field::new("id", FieldType::Int))
            .field(Field::new("title", FieldType::Text))
            .field(Field::new("state", FieldType::Text))
            .field(Field::new("note", FieldType::Text).nullable())
            .field(Field::new("stars", FieldType::Int).default_value(0))
            .finish()?,
    )?;
    db.create_collection(
        Schema::build("readings", ["id"])
            .field(Field::new("id", FieldType::Int))
            .field(Field::new("kind", FieldType::Text))
            .field(Field::new("value", FieldType::Float))
            .finish()?,
    )?;
    db.transaction(|tx| {
        for id in 0..TASKS {
            let title = format!("task {id} of project {}", id % 23);
            tx.insert(&tasks, row! { "id": id, "title": title, "state": "open" })?;
        }
        Ok(())
    })?;
    Ok(SyncServer::new(db)?)
}

impl<'a> Day<'a> {
    /// Lives through a day; `cpu` is a clock of processor time.
    ///
    /// # Errors
    /// When a sync breaks a promise: rows that are lost, an operation that ran twice or never.
    pub(crate) fn live(
        script: &'a Script,
        battery: Battery,
        seed: u64,
        cpu: &'a dyn Fn() -> Duration,
    ) -> Result<Outcome> {
        let network = Network::new(seed);
        let (cloud, node) = (network.add_node("cloud"), network.add_node("phone"));
        let server = served(&network, cloud)?;
        let phone = SyncDb::open(db(&network, node), "phone")?;
        // The first sync of all rows is no part of the day.
        phone.sync(&mut |request: &[u8]| server.handle(request))?;
        let mut day = Self {
            script,
            cpu,
            network,
            cloud,
            node,
            server,
            phone,
            scheduler: Scheduler::default(),
            device: DeviceState::default().charging(false).foreground(false),
            battery,
            deciding: Duration::ZERO,
            server_cpu: Duration::ZERO,
            written: Vec::new(),
            deferred: BTreeMap::new(),
            ran: BTreeSet::new(),
            tasks: BTreeMap::new(),
            readings: 0,
            operations: 0,
            elsewhere: 0,
            random: seed,
            outcome: Outcome {
                totals: PowerTotals::default(),
                missed: 0,
                missed_first: None,
                without_network: 0,
                urgent_longest: Duration::ZERO,
                urgent: 0,
                urgent_arrived: Duration::ZERO,
                writes: 0,
                longest: Duration::ZERO,
                digest: String::new(),
                deciding: Duration::ZERO,
                server_cpu: Duration::ZERO,
            },
        };
        for (at, event) in &script.0 {
            day.pass(*at)?;
            day.happen(*event)?;
        }
        day.pass(DAY)?;
        day.end()
    }

    fn now(&self) -> Timestamp {
        self.phone.database().clock().now()
    }

    /// Lets time pass, with all syncs that the scheduler wants.
    fn pass(&mut self, until: Duration) -> Result<()> {
        loop {
            let now = self.now();
            let part = self.network.now().as_secs_f64() / DAY.as_secs_f64();
            let Battery { morning, night } = self.battery;
            self.device.battery = Some(morning + (night - morning) * part.min(1.0));
            let before = (self.cpu)();
            let waiting = self.phone.waiting()?;
            let decision = self.scheduler.decide(now, &self.device, &waiting);
            let spent = (self.cpu)().saturating_sub(before);
            self.deciding += spent;
            self.outcome.deciding += spent;
            let elapsed = self.network.now();
            match decision {
                Decision::Sync { budget, .. } => {
                    self.scheduler.start(now, &self.device, &waiting);
                    self.sync(&budget)?;
                }
                Decision::Wait { until: next, .. } => {
                    let next = next.map_or(until, |next| {
                        let micros = u64::try_from(next.0 - now.0).unwrap_or_default();
                        elapsed + Duration::from_micros(micros)
                    });
                    self.network
                        .advance(next.min(until).saturating_sub(elapsed));
                    if self.network.now() >= until {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// One sync over the link as it is, measured.
    fn sync(&mut self, budget: &SyncBudget) -> Result<()> {
        let began = self.network.now();
        for written in self.written.iter_mut().chain(self.deferred.values_mut()) {
            written.began = written.began.or(Some(began));
        }
        let mut spent = std::mem::take(&mut self.deciding);
        let cpu = self.cpu;
        let mut measured = Measured::default();
        let server_cpu = &mut self.server_cpu;
        let server = &self.server;
        let mut handler = |request: &[u8]| {
            let before = cpu();
            let answer = server.handle(request);
            *server_cpu += cpu().saturating_sub(before);
            answer
        };
        let mut transport = self
            .network
            .connect(self.node, self.cloud, &mut handler)
            .timeout(TIMEOUT);
        let mut session = self.phone.session_with(budget)?;
        loop {
            let before = cpu();
            let message = session.next_message()?;
            spent += cpu().saturating_sub(before);
            let Some(message) = message else {
                measured.succeeded = true;
                break;
            };
            measured.bytes_up += message.len() as u64;
            let Ok(answer) = transport.exchange(&message) else {
                break;
            };
            measured.bytes_down += answer.len() as u64;
            let before = cpu();
            let taken = session.receive(&answer);
            spent += cpu().saturating_sub(before);
            if taken.is_err() {
                break;
            }
        }
        drop(session);
        drop(transport);
        measured.cpu = spent;
        let now = self.now();
        if measured.succeeded {
            self.acknowledge()?;
        }
        self.random = bench::random::mix(self.random.wrapping_add(1));
        self.scheduler.finish(now, &measured, self.random);
        Ok(())
    }

    /// What was waiting is at the server; what was deferred runs.
    fn acknowledge(&mut self) -> Result<()> {
        let mut names = Vec::new();
        self.phone.run_deferred(&mut |operation| {
            names.push(operation.name.to_string());
            Ok(())
        })?;
        let now = self.network.now();
        let mut done = std::mem::take(&mut self.written);
        for name in names {
            if !self.ran.insert(name.clone()) {
                return Err(format!("operation {name} ran twice").into());
            }
            let written = self.deferred.remove(&name);
            done.push(written.ok_or_else(|| format!("operation {name} was never deferred"))?);
        }
        for written in &done {
            self.judge(written, now);
        }
        Ok(())
    }

    fn judge(&mut self, written: &Written, acknowledged: Duration) {
        let outcome = &mut self.outcome;
        let wait = self
            .scheduler
            .profile(&self.device)
            .waits
            .of(written.priority);
        let took = acknowledged.saturating_sub(written.made);
        outcome.longest = outcome.longest.max(took);
        let was_offline = written.offline.is_some();
        if written.priority == Priority::Critical {
            outcome.urgent += 1;
            if !was_offline {
                let began = written.began.unwrap_or(acknowledged);
                let waited = began.saturating_sub(written.made);
                outcome.urgent_longest = outcome.urgent_longest.max(waited);
                outcome.urgent_arrived = outcome.urgent_arrived.max(took);
            }
            return;
        }
        if took > wait {
            let deadline = written.made + wait;
            if self.script.carries(written.made, deadline) {
                outcome.missed += 1;
                outcome.missed_first.get_or_insert_with(|| {
                    format!(
                        "{}, written after {:?}, tried {:?}, arrived {acknowledged:?}, on {:?}",
                        written.priority, written.made, written.began, self.device.network
                    )
                });
            } else {
                outcome.without_network += 1;
            }
        }
    }

    fn write(&mut self, priority: Priority) {
        self.outcome.writes += 1;
        let now = self.network.now();
        let written = self.new_written(now, priority);
        self.written.push(written);
    }

    fn new_written(&self, made: Duration, priority: Priority) -> Written {
        Written {
            made,
            priority,
            offline: (!self.device.is_online()).then_some(made),
            began: None,
        }
    }

    fn happen(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Edit { task, priority } => {
                let note = format!("note {} of the day", self.outcome.writes);
                let tasks = self.phone.collection("tasks")?;
                let mut tx = self.phone.begin();
                tx.priority(priority);
                tx.update(&tasks, task, row! { "note": note.clone() })?;
                tx.commit()?;
                self.tasks.insert(task, note);
                self.write(priority);
            }
            Event::Reading { priority } => {
                let readings = self.phone.collection("readings")?;
                self.readings += 1;
                let id = self.readings;
                #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                let value = (id % 97) as f64 / 4.0;
                let mut tx = self.phone.begin();
                tx.priority(priority);
                tx.insert(
                    &readings,
                    row! { "id": id, "kind": priority.name(), "value": value },
                )?;
                tx.commit()?;
                self.write(priority);
            }
            Event::Elsewhere { task } => {
                self.elsewhere += 1;
                let tasks = self.server.database().collection("tasks")?;
                tasks.update(task, row! { "stars": self.elsewhere })?;
            }
            Event::Defer { priority } => {
                self.operations += 1;
                let name = format!("upload {}", self.operations);
                self.phone.defer(&name, name.as_bytes(), priority)?;
                let written = self.new_written(self.network.now(), priority);
                self.deferred.insert(name, written);
            }
            Event::Foreground(is) => self.device.foreground = Some(is),
            Event::Radio(is) => self.device.radio_in_use = Some(is),
            Event::Network(link) => self.meet(link)?,
        }
        Ok(())
    }

    fn meet(&mut self, link: Link) -> Result<()> {
        let now = self.network.now();
        // Up to now there was none.
        let was_offline = !self.device.is_online();
        self.device.network = Some(link.network);
        self.device.metered = Some(!matches!(
            link.network,
            NetworkType::Wifi | NetworkType::Offline
        ));
        let is_offline = !self.device.is_online();
        if was_offline || is_offline {
            for written in self.written.iter_mut().chain(self.deferred.values_mut()) {
                written.offline = Some(now);
            }
        }
        let options = link.profile.options();
        Ok(self.network.set_link(self.node, self.cloud, options)?)
    }

    /// Brings the two together and compares all that was written with what is there.
    fn end(mut self) -> Result<Outcome> {
        self.outcome.totals = *self.scheduler.totals();
        let server = &self.server;
        let report = self
            .phone
            .sync(&mut |request: &[u8]| server.handle(request))?;
        if !report.converged || server.digest()? != self.phone.digest()? {
            return Err("the phone and the server hold other rows".into());
        }
        self.acknowledge()?;
        if self.ran.len() != usize::try_from(self.operations)? {
            return Err("a deferred operation never ran".into());
        }
        if !self.phone.rejected()?.is_empty() || self.phone.pending() > 0 {
            return Err("a write was rejected or is still waiting".into());
        }
        let db = self.server.database();
        let (tasks, readings) = (db.collection("tasks")?, db.collection("readings")?);
        if i64::try_from(readings.len())? != self.readings {
            return Err("a reading is lost".into());
        }
        for (task, note) in &self.tasks {
            let found = tasks.get(*task);
            if found.and_then(|record| record.get(3).cloned()) != Some(Value::from(note.as_str())) {
                return Err(format!("the note on task {task} is lost").into());
            }
        }
        self.outcome.digest = self.server.digest()?.to_string();
        self.outcome.server_cpu = self.server_cpu;
        Ok(self.outcome)
    }
}
