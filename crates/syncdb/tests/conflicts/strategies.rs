//! Every strategy against a naive model, in many orders of arrival: where a strategy promises that the order does not
//! matter, all orders end with the same rows, and these are the model's. A failing seed is printed.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use common::schema::{Field, FieldType, Schema};
use common::utils::id_generator::SeededRng;
use common::utils::time::ManualClock;
use common::versioning::Hlc;
use common::{Record, Row, Value, row};
use syncdb::sync::protocol::{Request, frame_limits};
use syncdb::sync::wire;
use syncdb::{DeletionPolicy, Policy, SetBias, Strategy, SyncDb, SyncServer, SyncServerOptions};

use super::{START, database};

/// Rows that are there from the beginning.
const ROWS: i64 = 3;
/// A key under which several replicas make a row.
const MADE: i64 = 100;
const ELEMENTS: i64 = 4;

struct Random(SeededRng);

impl Random {
    fn below(&self, bound: i64) -> i64 {
        i64::try_from(self.0.next_u64() % bound.cast_unsigned()).unwrap()
    }
}

fn list(items: &BTreeSet<i64>) -> Value {
    Value::from(items.iter().map(|i| Value::from(*i)).collect::<Vec<_>>())
}

fn schema() -> Schema {
    let set = || FieldType::List(Box::new(FieldType::Int));
    let fields = [
        ("id", FieldType::Int),
        ("last", FieldType::Int),
        ("max", FieldType::Int),
        ("min", FieldType::Int),
        ("count", FieldType::Int),
        ("adds", set()),
        ("removes", set()),
        ("lat", FieldType::Int),
        ("lon", FieldType::Int),
        ("bits", FieldType::Int),
    ];
    let fields = fields.map(|(name, ty)| Field::new(name, ty).nullable());
    fields
        .into_iter()
        .fold(Schema::build("rows", ["id"]), |schema, field| {
            let field = if field.name == "id" {
                Field::new("id", FieldType::Int)
            } else {
                field
            };
            schema.field(field)
        })
        .finish()
        .unwrap()
}

fn policy(deletion: DeletionPolicy) -> Policy {
    Policy::default()
        .column("max", Strategy::Max)
        .column("min", Strategy::Min)
        .column("count", Strategy::Counter)
        .column("adds", Strategy::Set(SetBias::AddWins))
        .column("removes", Strategy::Set(SetBias::RemoveWins))
        .column("bits", Strategy::Custom("or".into()))
        .group(["lat", "lon"])
        .deletion(deletion)
}

fn first_row(id: i64) -> Row {
    row! {
        "id": id, "last": 0, "max": 10, "min": 10, "count": 5,
        "adds": vec![Value::from(0), Value::from(1)],
        "removes": vec![Value::from(0), Value::from(1)],
        "lat": 0, "lon": 0, "bits": 0
    }
}

/// The same server each time: the same rows, commits and log.
fn server(policy: Policy) -> SyncServer {
    let db = database(&Arc::new(ManualClock::new(START)));
    let rows = db.create_collection(schema()).unwrap();
    for id in 0..ROWS {
        rows.insert(first_row(id)).unwrap();
    }
    let options = SyncServerOptions {
        rng: Arc::new(SeededRng::new(1)),
        ..SyncServerOptions::default()
    };
    let or = |meeting: &syncdb::Meeting<'_>| {
        let bits = |value: &Value| value.as_int().unwrap_or_default();
        Ok(Value::from(bits(meeting.server) | bits(meeting.client)))
    };
    let options = options.policy("rows", policy).merge_function("or", or);
    SyncServer::with(db, options).unwrap()
}

/// What one side says about one element of a set, in order.
type Said = Vec<(usize, i64, bool)>;

/// What must come out of one row.
#[derive(Default)]
struct Model {
    last: Option<(Hlc, usize, i64)>,
    group: Option<(Hlc, usize, (i64, i64))>,
    extremes: Vec<i64>,
    lows: Vec<i64>,
    count: i64,
    adds: Said,
    removes: Said,
    bits: Option<i64>,
    deleted_by: BTreeSet<usize>,
    updated_by: BTreeSet<usize>,
}

fn greatest<T>(known: &mut Option<(Hlc, usize, T)>, stamp: Hlc, by: usize, value: T) {
    let is_later = known
        .as_ref()
        .is_none_or(|(s, b, _)| (*s, *b) < (stamp, by));
    if is_later {
        *known = Some((stamp, by, value));
    }
}

/// An element is in a set where additions win when some addition of it was not taken back by a removal that knew of it: a
/// removal knows of what the row began with and of its own replica's additions. Where removals win, the other way
/// round.
fn set(began_with: bool, said: &Said, element: i64, adds_win: bool) -> bool {
    let side = adds_win;
    let mut standing: Vec<usize> = Vec::new();
    let mut from_the_beginning = began_with == side;
    for (by, _, added) in said.iter().filter(|(_, e, _)| *e == element) {
        if *added == side {
            standing.push(*by);
        } else {
            from_the_beginning = false;
            standing.retain(|other| other != by);
        }
    }
    let stands = from_the_beginning || !standing.is_empty();
    stands == side
}

impl Model {
    fn row(&self, id: i64, deletion: DeletionPolicy) -> Option<Vec<Value>> {
        let others = |by: &usize| self.updated_by.iter().any(|other| other != by);
        let saved = deletion == DeletionPolicy::UpdateResurrects
            && !self.deleted_by.is_empty()
            && self.deleted_by.iter().all(others);
        if !self.deleted_by.is_empty() && !saved {
            return None;
        }
        let base = id < ROWS;
        let elements = |said: &Said, adds_win| {
            let all = (0..ELEMENTS).filter(|e| set(base && *e < 2, said, *e, adds_win));
            list(&all.collect())
        };
        let (lat, lon) = self.group.map_or((0, 0), |(_, _, group)| group);
        Some(vec![
            Value::from(id),
            Value::from(self.last.map_or(0, |(_, _, value)| value)),
            Value::from(
                *self
                    .extremes
                    .iter()
                    .chain(base.then_some(&10))
                    .max()
                    .unwrap(),
            ),
            Value::from(*self.lows.iter().chain(base.then_some(&10)).min().unwrap()),
            Value::from(self.count + if base { 5 } else { 0 }),
            elements(&self.adds, true),
            elements(&self.removes, false),
            Value::from(lat),
            Value::from(lon),
            Value::from(self.bits.unwrap_or_default()),
        ])
    }
}

struct Replica {
    db: SyncDb,
    clock: Arc<ManualClock>,
    bits: BTreeSet<i64>,
}

/// One edit of a replica, also in the model.
fn edit(replica: &mut Replica, by: usize, random: &Random, model: &mut BTreeMap<i64, Model>) {
    let there = random.below(4) != 0;
    let id = if there { random.below(ROWS) } else { MADE };
    let rows = replica.db.collection("rows").unwrap();
    let Some(row) = rows.get(id) else {
        if id == MADE {
            insert(replica, by, random, model.entry(id).or_default());
        }
        return;
    };
    let value = random.below(50);
    let model = model.entry(id).or_default();
    let db = &replica.db;
    let changed = |column: &str, value: i64| {
        let done = db
            .update("rows", id, Row::new().with(column, value))
            .unwrap();
        (!done.changes.is_empty()).then_some(done.stamp)
    };
    let element = random.below(ELEMENTS);
    match random.below(11) {
        0 => {
            if let Some(stamp) = changed("last", value) {
                greatest(&mut model.last, stamp, by, value);
                model.updated_by.insert(by);
            }
        }
        1 => {
            let done = changed("max", value);
            model.extremes.extend(done.map(|_| value));
            model.updated_by.extend(done.map(|_| by));
        }
        2 => {
            let done = changed("min", value);
            model.lows.extend(done.map(|_| value));
            model.updated_by.extend(done.map(|_| by));
        }
        3 => {
            db.increment("rows", id, "count", value + 1).unwrap();
            model.count += value + 1;
            model.updated_by.insert(by);
        }
        4 => {
            // A value that is set counts as the difference.
            let before = row[4].as_int().unwrap();
            if changed("count", value).is_some() {
                model.count += value - before;
                model.updated_by.insert(by);
            }
        }
        5 | 6 => {
            let adds = random.below(2) == 0;
            let (column, said) = if random.below(2) == 0 {
                ("adds", &mut model.adds)
            } else {
                ("removes", &mut model.removes)
            };
            if adds {
                db.add_to_set("rows", id, column, element).unwrap();
            } else {
                db.remove_from_set("rows", id, column, element).unwrap();
            }
            said.push((by, element, adds));
            model.updated_by.insert(by);
        }
        7 | 8 => {
            let column = if random.below(2) == 0 { "lat" } else { "lon" };
            if let Some(stamp) = changed(column, value) {
                let row = rows.get(id).unwrap();
                let group = (row[7].as_int().unwrap(), row[8].as_int().unwrap());
                greatest(&mut model.group, stamp, by, group);
                model.updated_by.insert(by);
            }
        }
        9 => {
            // Once for each replica: what the function makes of a value and its own successor is not the model's business.
            let first = replica.bits.insert(id);
            let done = first.then(|| changed("bits", value)).flatten();
            if done.is_some() {
                *model.bits.get_or_insert(0) |= value;
            }
            model.updated_by.extend(done.map(|_| by));
        }
        _ if id < ROWS && random.below(3) == 0 => {
            db.delete("rows", id).unwrap();
            model.deleted_by.insert(by);
        }
        _ => {}
    }
}

fn insert(replica: &mut Replica, by: usize, random: &Random, model: &mut Model) {
    let v = random.below(50);
    let elements: BTreeSet<i64> = (0..2).map(|_| random.below(ELEMENTS)).collect();
    let row = row! {
        "id": MADE, "last": v, "max": v, "min": v, "count": v,
        "adds": list(&elements), "removes": list(&elements),
        "lat": v, "lon": v + 1, "bits": v
    };
    let done = replica.db.insert("rows", row).unwrap();
    greatest(&mut model.last, done.stamp, by, v);
    greatest(&mut model.group, done.stamp, by, (v, v + 1));
    model.extremes.push(v);
    model.lows.push(v);
    model.count += v;
    for element in elements {
        model.adds.push((by, element, true));
        model.removes.push((by, element, true));
    }
    *model.bits.get_or_insert(0) |= v;
    replica.bits.insert(MADE);
    model.updated_by.insert(by);
}

/// A replica's mutations, each as a request of its own.
fn requests(db: &SyncDb) -> Vec<Request> {
    let mut session = db.session().unwrap();
    let bytes = session.next_message().unwrap().unwrap();
    let request = wire::decode_request(&bytes, &frame_limits()).unwrap();
    let alone = |mutation| Request {
        mutations: vec![mutation],
        ..request.clone()
    };
    request.mutations.iter().cloned().map(alone).collect()
}

/// A random order of all requests in which those of one replica keep theirs.
fn interleaved(requests: &[Vec<Request>], random: &Random) -> Vec<Request> {
    let mut rest: Vec<&[Request]> = requests.iter().map(Vec::as_slice).collect();
    let mut order = Vec::new();
    loop {
        rest.retain(|requests| !requests.is_empty());
        if rest.is_empty() {
            return order;
        }
        let at = usize::try_from(random.below(i64::try_from(rest.len()).unwrap())).unwrap();
        let (first, after) = rest[at].split_first().unwrap();
        order.push(first.clone());
        rest[at] = after;
    }
}

fn rows(server: &SyncServer) -> BTreeMap<i64, Vec<Value>> {
    let table = server.database().collection("rows").unwrap();
    let mut found = BTreeMap::new();
    let mut note = |records: &[Record]| {
        for record in records {
            found.insert(record[0].as_int().unwrap(), record.to_vec());
        }
        std::ops::ControlFlow::Continue(())
    };
    let snapshot = server.database().snapshot();
    snapshot.view().scan(&table, &mut note).unwrap();
    found
}

fn run(seed: u64) {
    let random = Random(SeededRng::new(seed));
    let deletion = if seed.is_multiple_of(2) {
        DeletionPolicy::DeleteWins
    } else {
        DeletionPolicy::UpdateResurrects
    };
    let first = server(policy(deletion));
    let mut replicas: Vec<Replica> = (0..3)
        .map(|number| {
            let clock = Arc::new(ManualClock::new(START + number));
            let db = SyncDb::open(database(&clock), format!("r{number}").as_str()).unwrap();
            db.sync(&mut |request: &[u8]| first.handle(request))
                .unwrap();
            Replica {
                db,
                clock,
                bits: BTreeSet::new(),
            }
        })
        .collect();
    let mut model = BTreeMap::new();
    for id in 0..ROWS {
        model.insert(id, Model::default());
    }
    for _ in 0..24 {
        for replica in &replicas {
            replica.clock.advance(Duration::from_millis(1));
        }
        let by = usize::try_from(random.below(3)).unwrap();
        edit(&mut replicas[by], by, &random, &mut model);
    }
    let mut expected = BTreeMap::new();
    for (id, model) in &model {
        if let Some(row) = model.row(*id, deletion) {
            expected.insert(*id, row);
        }
    }
    let requests: Vec<Vec<Request>> = replicas.iter().map(|r| requests(&r.db)).collect();
    let mut servers = Vec::new();
    for _ in 0..5 {
        let server = server(policy(deletion));
        for request in interleaved(&requests, &random) {
            server.answer(None, &request).unwrap();
        }
        assert_eq!(rows(&server), expected, "seed {seed}, {deletion:?}");
        servers.push(server);
    }
    // What the replicas themselves come to over a bad network, with a server that has seen none of it or, in every other
    // run, all of it.
    let last = if seed % 4 < 2 {
        server(policy(deletion))
    } else {
        servers.pop().unwrap()
    };
    for _ in 0..6 {
        let by = usize::try_from(random.below(3)).unwrap();
        // What got through stays; what did not is sent again.
        let _ = replicas[by].db.sync(&mut |request: &[u8]| {
            let fails = || Err(common::Error::closed("lost"));
            match random.below(5) {
                0 => fails(),
                1 => last.handle(request).and_then(|_| fails()),
                2 => last.handle(request).and_then(|_| last.handle(request)),
                _ => last.handle(request),
            }
        });
    }
    for _ in 0..2 {
        for replica in &replicas {
            let report = replica
                .db
                .sync(&mut |request: &[u8]| last.handle(request))
                .unwrap();
            assert!(
                report.converged && !report.repaired,
                "seed {seed}: {report:?}"
            );
        }
    }
    assert_eq!(
        rows(&last),
        expected,
        "seed {seed}: nothing took effect twice"
    );
}

#[test]
fn the_order_of_arrival_does_not_matter() {
    for seed in 0..60 {
        run(seed);
    }
}

#[test]
fn server_wins_keeps_what_arrived_first_and_client_wins_what_arrived_last() {
    for seed in 0..20 {
        let random = Random(SeededRng::new(seed));
        for strategy in [Strategy::ServerWins, Strategy::ClientWins] {
            let policy = || Policy::default().column("last", strategy.clone());
            let first = server(policy());
            let replicas: Vec<SyncDb> = (0..3)
                .map(|number| {
                    let clock = Arc::new(ManualClock::new(START));
                    let name = format!("r{number}");
                    let db = SyncDb::open(database(&clock), name.as_str()).unwrap();
                    db.sync(&mut |request: &[u8]| first.handle(request))
                        .unwrap();
                    db.update("rows", 0, row! { "last": number + 1 }).unwrap();
                    db
                })
                .collect();
            let requests: Vec<Vec<Request>> = replicas.iter().map(requests).collect();
            let order = interleaved(&requests, &random);
            let server = server(policy());
            for request in &order {
                server.answer(None, request).unwrap();
            }
            let standing = if strategy == Strategy::ServerWins {
                order.first()
            } else {
                order.last()
            };
            let number: i64 = standing.unwrap().replica.0[1..].parse().unwrap();
            assert_eq!(
                rows(&server)[&0][1],
                Value::from(number + 1),
                "{strategy:?}"
            );
            assert_eq!(server.conflicts().unwrap().len(), 2);
        }
    }
}
