//! What happens in one seed, decided before it begins: which replicas, which tables, and every step with its time.
//! A failing plan is shrunk by leaving steps out.

use std::fmt;
use std::time::Duration;

use common::utils::id_generator::SeededRng;
use syncdb::Strategy;
use syncdb::netsim::Profile;

use super::features::{self, FEATURES_FROM, Feature, Features};

/// A day, in microseconds.
const DAY: i64 = 86_400_000_000;

/// Chance, from one seed.
pub(crate) struct Random(SeededRng);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SeededRng::new(seed))
    }

    pub(crate) fn next(&self) -> u64 {
        self.0.next_u64()
    }

    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<T: Copy>(&self, items: &[T]) -> T {
        items[self.index(items.len())]
    }

    pub(crate) fn index(&self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap()
    }
}

/// What a seed is like.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) seed: u64,
    /// 3 to 8.
    pub(crate) clients: usize,
    /// Clocks are off by less than a minute and nobody is killed: the stamps decide alone, so that each column has one
    /// right value that the oracle can name.
    pub(crate) exact: bool,
    /// Milliseconds by which each clock is off at first.
    pub(crate) clocks_off: Vec<i64>,
    /// Changes that the server's log keeps.
    pub(crate) log_changes: usize,
    pub(crate) strategy: Strategy,
    /// Kind of each free column of the table `notes`.
    pub(crate) columns: Vec<Kind>,
    pub(crate) links: Vec<Link>,
    /// The server may be set back to an old copy of itself: what it had acknowledged since is gone, and the oracle asks
    /// for nothing but that all agree in the end.
    pub(crate) server_restores: bool,
    /// Where the server's log and its numbers of mutations begin.
    pub(crate) first_seq: u64,
    /// Rows that the server has at first, beyond those that every seed has.
    pub(crate) rows: i64,
    /// What only seeds from [`FEATURES_FROM`] on have.
    pub(crate) features: Option<Features>,
}

/// What a client's link does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Perfect,
    Profile(Profile),
    /// Up to 30 % lost, 20 % doubled, reordered, cut, damaged, 30 s late. The number says how much of it.
    Bad(u64),
}

/// Kind of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Int,
    Text,
    Float,
    Bytes,
    Any,
}

const KINDS: [Kind; 5] = [Kind::Int, Kind::Text, Kind::Float, Kind::Bytes, Kind::Any];

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// A client writes; the number decides what.
    Write(usize, Edit, u64),
    /// A write at the server, past every replica.
    ServerWrite(u64),
    /// A client begins to sync, unless it is at it.
    Sync(usize),
    /// The link of a client is cut: both ways, to the server, from the server.
    Partition(usize, Side),
    Heal(usize),
    Link(usize, Link),
    /// A clock jumps, in microseconds; the server's when there is no such client.
    Clock(usize, i64),
    /// A client is killed right after its commit that is so many from now, and comes back after some seconds.
    KillClient(usize, u32, u32),
    /// The same for the server.
    KillServer(u32, u32),
    BackUpClient(usize),
    /// A client is set back to its last backup, or to nothing when there is none.
    RestoreClient(usize),
    BackUpServer,
    RestoreServer,
    /// Log entries for the same rows are merged.
    Compact,
    /// Log entries are dropped.
    Prune,
    /// The server gets one more table.
    NewTable(u64),
    /// What only seeds with features do; the number decides what exactly.
    Feature(usize, Feature, u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Both,
    Up,
    Down,
}

/// What kind of write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edit {
    /// One column of a note.
    Column,
    /// Several columns of two notes, together.
    Two,
    /// A new note.
    Insert,
    /// A note that may go, goes.
    Delete,
    /// Money from one account to another.
    Transfer,
    /// The client's own counter, with what it has seen of the others'.
    Beat,
    /// A name that only one may have.
    Name,
    /// A row under a key that was used before.
    Slot,
    /// Something added to a number that all add to, and a column of a note, together.
    Count,
}

/// One step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) at: Duration,
    pub(crate) action: Action,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10.3} s  {:?}", self.at.as_secs_f64(), self.action)
    }
}

/// A seed's steps, in order of time.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) config: Config,
    pub(crate) steps: Vec<Step>,
}

/// How large a seed may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// 200 to 500 steps; one in ten seeds to 2,000.
    Usual,
    /// Without faults, with many times the rows and steps.
    Large,
}

impl Plan {
    pub(crate) fn new(seed: u64, size: Size) -> Self {
        let random = Random::new(seed ^ 0x5EED_0F51_u64);
        let large = size == Size::Large;
        let clients = 3 + random.index(6);
        let calm = random.chance(35);
        let equal_clocks = calm && random.chance(50);
        let kills = !calm && random.chance(70);
        let restores = kills && random.chance(40);
        let prunes = random.chance(40);
        let server_restores = kills && random.chance(8);
        // What a log that does not reach back leaves unknown counts for whole rows.
        let server_writes = random.chance(50) && !(calm && prunes);
        let config = Config {
            seed,
            clients,
            exact: calm,
            clocks_off: (0..=clients)
                .map(|_| match random.below(4) {
                    _ if equal_clocks => 0,
                    0 if !calm => random.below(2 * 86_400_000).cast_signed() - 86_400_000,
                    _ => random.below(100_000).cast_signed() - 50_000,
                })
                .collect(),
            log_changes: if prunes && !large {
                20 + random.index(200)
            } else {
                1 << 20
            },
            strategy: match random.below(5) {
                0 => Strategy::ServerWins,
                1 => Strategy::ClientWins,
                _ => Strategy::LastWriteWins,
            },
            columns: (0..2 + random.below(4))
                .map(|_| random.pick(&KINDS))
                .collect(),
            links: (0..clients).map(|_| link(&random, large)).collect(),
            server_restores,
            first_seq: random.pick(&[0, 0, 0, (1 << 32) - 100, (1 << 53) - 100, 1 << 62]),
            rows: if large { 3_000 } else { 0 },
            features: None,
        };
        let count = match (size, random.below(10)) {
            (Size::Large, _) => 3_000 + random.below(3_000),
            (_, 0) => 200 + random.below(1_800),
            _ => 200 + random.below(300),
        };
        // Half an hour of simulated time at least.
        let pace = (30 * 60 * 1_000_000 / count).max(100_000);
        let mut at = 0;
        let mut steps = Vec::new();
        for _ in 0..count {
            // Bursts: some steps at the very same time.
            if random.chance(85) {
                at += random.below(2 * pace + pace / 4);
            }
            let step = |action| Step {
                at: Duration::from_micros(at),
                action,
            };
            if random.chance(2) {
                // All write the same column of the same note at once.
                let choice = random.next();
                let all = 0..clients;
                steps.extend(all.map(|client| step(Action::Write(client, Edit::Column, choice))));
                continue;
            }
            let client = random.index(clients);
            let chance = random.below(1_000);
            let action = match chance {
                _ if large => usual(&random, client, server_writes),
                0..=819 => usual(&random, client, server_writes),
                820..=849 => {
                    Action::Partition(client, random.pick(&[Side::Both, Side::Up, Side::Down]))
                }
                850..=889 => Action::Heal(client),
                890..=909 => Action::Link(client, link(&random, false)),
                910..=929 if !calm => {
                    let who = random.index(clients + 1);
                    let by = random.below(2 * DAY.unsigned_abs()).cast_signed() - DAY;
                    Action::Clock(who, if random.chance(30) { by } else { by / 2_000 })
                }
                930..=954 if kills => Action::KillClient(client, small(&random), down(&random)),
                955..=969 if kills => Action::KillServer(small(&random), down(&random)),
                970..=977 if restores => Action::BackUpClient(client),
                978..=983 if restores => Action::RestoreClient(client),
                984..=985 if server_restores => Action::BackUpServer,
                986 if server_restores => Action::RestoreServer,
                987..=989 if prunes => Action::Compact,
                990..=993 if prunes => Action::Prune,
                994 => Action::NewTable(random.next()),
                _ => usual(&random, client, server_writes),
            };
            steps.push(step(action));
        }
        let mut plan = Self { config, steps };
        if seed >= FEATURES_FROM {
            features::add(&mut plan, restores || server_restores);
        }
        plan
    }
}

fn small(random: &Random) -> u32 {
    u32::try_from(random.below(4)).unwrap()
}

fn down(random: &Random) -> u32 {
    u32::try_from(1 + random.below(60)).unwrap()
}

fn link(random: &Random, large: bool) -> Link {
    if large {
        return Link::Perfect;
    }
    match random.below(10) {
        0 => Link::Perfect,
        1..=3 => Link::Profile(random.pick(&Profile::ALL[..5])),
        _ => Link::Bad(random.below(100)),
    }
}

fn usual(random: &Random, client: usize, server_writes: bool) -> Action {
    match random.below(100) {
        0..=27 => Action::Sync(client),
        28..=33 if server_writes => Action::ServerWrite(random.next()),
        _ => {
            let edit = match random.below(100) {
                0..=29 => Edit::Column,
                30..=41 => Edit::Two,
                42..=53 => Edit::Insert,
                54..=65 => Edit::Delete,
                66..=75 => Edit::Transfer,
                76..=85 => Edit::Beat,
                86..=90 => Edit::Name,
                91..=94 => Edit::Count,
                _ => Edit::Slot,
            };
            Action::Write(client, edit, random.next())
        }
    }
}
