//! The queue against a model that reads all of it at each commit.

use common::schema::{Field, FieldType, Schema};
use common::{Database, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::sync::policy::{Policy, Strategy as Rule};
use crate::sync::system::{ReplicaTables, schema_row};

/// Two columns of which a later value replaces an earlier one, one where it may not, and a counter.
const COLUMNS: [&str; 4] = ["a", "b", "most", "count"];

struct Replica {
    db: Database,
    tables: ReplicaTables,
    synced: SyncedTables,
    sent: u64,
    next: u64,
}

#[derive(Debug, Clone)]
enum Step {
    /// One operation on each of some rows: what to do, and to which columns.
    Commit(Vec<(i64, u8, u8)>),
    /// All that waits is sent.
    Send,
    /// The outcome of the first mutation that was sent arrives.
    Answer,
    /// The server's changes up to a later commit arrive.
    Move,
}

impl Replica {
    fn new(deletion: DeletionPolicy) -> Result<Self> {
        let db = Database::new();
        let schema = COLUMNS.iter().fold(
            Schema::build("t", ["id"]).field(Field::new("id", FieldType::Int)),
            |schema, name| schema.field(Field::new(*name, FieldType::Int)),
        );
        let schema = schema.finish()?;
        db.create_collection(schema.clone())?;
        let tables = ReplicaTables::open(&db)?;
        let policy = Policy::default()
            .column("most", Rule::Max)
            .column("count", Rule::Counter)
            .deletion(deletion);
        let mut tx = db.begin();
        tx.insert_values(&tables.schemas, schema_row(&schema, Some(&policy))?)?;
        tx.commit()?;
        let synced = SyncedTables::load(&db, &tables.schemas)?;
        Ok(Self {
            db,
            tables,
            synced,
            sent: 0,
            next: 1,
        })
    }

    /// An operation; its values tell it from all others.
    fn op(&self, row: i64, kind: u8, columns: u8) -> (Op, Vec<Value>) {
        let fields = &self.synced.by_name["t"].schema.fields[1..];
        let said = |from: i64| {
            let chosen = fields.iter().enumerate();
            let chosen = chosen.filter(|(i, _)| columns >> i & 1 == 1);
            chosen.map(move |(_, f)| (f.id, Value::from(from + self.next.cast_signed())))
        };
        let action = match kind {
            0 => Action::Insert(said(0).collect()),
            1 => Action::Delete,
            2 => {
                let count = fields[3].id;
                Action::Deltas(vec![(count, Delta::Increment(Value::from(1)))])
            }
            _ => Action::Update(said(0).collect()),
        };
        let before = match &action {
            Action::Update(_) => said(10_000).map(|(_, value)| value).collect(),
            _ => Vec::new(),
        };
        let op = Op {
            table: "t".into(),
            key: RecordId::from(row),
            action,
        };
        (op, before)
    }

    fn queue(&self) -> Result<Vec<Queued>> {
        all(self.db.snapshot().view(), &self.tables.queue)
    }

    /// As a commit of [`SyncDb`](crate::SyncDb) does.
    fn commit(&mut self, mut ops: Vec<(Op, Vec<Value>)>, cursor: Seq) -> Result<()> {
        let queue = &self.tables.queue;
        let mut tx = self.db.begin();
        let base = base(&tx, queue, ops.iter().map(|(op, _)| op), cursor)?;
        let mut claim = claim_of(self.next);
        if let [(op, before)] = ops.as_mut_slice() {
            let (synced, sent) = (&self.synced, self.sent);
            claim = coalesce(&mut tx, queue, synced, sent, base, op, before, claim)?;
        }
        for queued in numbered(ops, self.next, base, claim) {
            queued.write(&mut tx, queue)?;
        }
        tx.commit().map(drop)
    }

    /// The same, said plainly.
    fn expected(
        &self,
        mut queue: Vec<Queued>,
        mut ops: Vec<(Op, Vec<Value>)>,
        cursor: Seq,
    ) -> Vec<Queued> {
        let of = |op: &Op, queued: &Queued| queued.op.key == op.key;
        let waiting = queue
            .iter()
            .filter(|queued| ops.iter().any(|(op, _)| of(op, queued)));
        let base = waiting.map(|queued| queued.base).fold(cursor, Seq::min);
        let policy = &self.synced.by_name["t"].policy;
        let resurrects = policy.deletion == DeletionPolicy::UpdateResurrects;
        let count = |seq| queue.iter().filter(|q| q.client_seq == seq).count();
        let mut claim = claim_of(self.next);
        let alone: Vec<bool> = queue.iter().map(|q| count(q.client_seq) == 1).collect();
        if let [(op, before)] = ops.as_mut_slice() {
            for (queued, alone) in queue.iter_mut().zip(alone) {
                let unsent = queued.client_seq > self.sent;
                let Action::Update(columns) = &queued.op.action else {
                    continue;
                };
                if !(of(op, queued) && unsent && alone && queued.base == base) {
                    continue;
                }
                let goes = |field: &FieldId| match &op.action {
                    Action::Delete => !resurrects,
                    Action::Update(later) => {
                        let fields = &self.synced.by_name["t"].schema.fields;
                        let is_replaced = fields[1..3].iter().any(|known| known.id == *field);
                        is_replaced && later.iter().any(|(known, _)| known == field)
                    }
                    _ => false,
                };
                if let Action::Update(later) = &op.action {
                    for ((field, _), before) in later.iter().zip(before.iter_mut()) {
                        if goes(field) {
                            *before = queued.before_of(*field).unwrap_or(before.clone());
                        }
                    }
                }
                let pairs = columns.iter().cloned().zip(queued.before.clone());
                if columns.iter().any(|(field, _)| goes(field)) {
                    claim = claim.merge(queued.claim);
                }
                let (columns, before) = pairs.filter(|((field, _), _)| !goes(field)).unzip();
                queued.op.action = Action::Update(columns);
                queued.before = before;
            }
            queue.retain(|queued| queued.op.action != Action::Update(Vec::new()));
        }
        queue.extend(numbered(ops, self.next, base, claim));
        queue
    }
}

/// Some are more urgent than others.
fn claim_of(client_seq: u64) -> Claim {
    let priority = u8::try_from(client_seq * 7 % 4).ok();
    let priority = priority.and_then(|number| Priority::from_number(number.into()));
    Claim {
        made: Timestamp(client_seq.cast_signed()),
        urgency: priority.unwrap_or_default().into(),
    }
}

fn numbered(ops: Vec<(Op, Vec<Value>)>, client_seq: u64, base: Seq, claim: Claim) -> Vec<Queued> {
    let ops = (0..).zip(ops).map(|(number, (op, before))| Queued {
        client_seq,
        number,
        base,
        stamp: Hlc(client_seq),
        op,
        before,
        after_rejected: None,
        claim,
    });
    ops.collect()
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Of four kinds updates are most, and of columns a few at a time.
    let op = (0..2_i64, 0..8_u8, 1..16_u8);
    let step = prop_oneof![
        12 => op.clone().prop_map(|op| Step::Commit(vec![op])),
        2 => prop::collection::vec(op, 2..4).prop_map(Step::Commit),
        1 => Just(Step::Send),
        2 => Just(Step::Answer),
        1 => Just(Step::Move),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn looking_at_the_latest_edits_gives_the_queue_that_looking_at_all_gives(
        steps in steps(),
        resurrects in any::<bool>(),
    ) {
        let deletion = if resurrects {
            DeletionPolicy::UpdateResurrects
        } else {
            DeletionPolicy::DeleteWins
        };
        let mut replica = Replica::new(deletion).unwrap();
        let mut cursor = Seq(1);
        for step in steps {
            match step {
                Step::Commit(ops) => {
                    let ops: Vec<_> = ops.iter().map(|(row, k, c)| replica.op(*row, *k, *c)).collect();
                    let expected = replica.expected(replica.queue().unwrap(), ops.clone(), cursor);
                    replica.commit(ops, cursor).unwrap();
                    prop_assert_eq!(
                        format!("{:#?}", replica.queue().unwrap()),
                        format!("{expected:#?}")
                    );
                    replica.next += 1;
                }
                Step::Send => replica.sent = replica.next - 1,
                Step::Answer => {
                    let queue = replica.queue().unwrap();
                    let first = queue.first().map(|queued| queued.client_seq);
                    let mut tx = replica.db.begin();
                    for queued in queue.iter().filter(|q| Some(q.client_seq) == first && q.client_seq <= replica.sent) {
                        remove(&mut tx, &replica.tables.queue, queued).unwrap();
                    }
                    tx.commit().unwrap();
                }
                Step::Move => cursor = Seq(cursor.0 + 1),
            }
        }
    }
}

#[test]
fn an_edit_far_back_is_left_as_it_is() {
    let mut replica = Replica::new(DeletionPolicy::DeleteWins).unwrap();
    let mut commit = |kind, columns| {
        let op = replica.op(0, kind, columns);
        replica.commit(vec![op], Seq(1)).unwrap();
        replica.next += 1;
        replica.queue().unwrap().len()
    };
    assert_eq!(commit(3, 0b11), 1);
    for _ in 1..COALESCED_MAX {
        commit(2, 0);
    }
    // The first edit is the last one that is looked at; it loses one column, and is not reached any more.
    assert_eq!(commit(3, 0b01), COALESCED_MAX + 1);
    assert_eq!(commit(3, 0b10), COALESCED_MAX + 2);
    assert_eq!(commit(3, 0b11), COALESCED_MAX + 1);
}

#[test]
fn a_queue_with_the_index_of_earlier_versions_gets_the_new_one() {
    let db = Database::new();
    let mut old = Replica::new(DeletionPolicy::DeleteWins).unwrap();
    old.commit(vec![old.op(7, 3, 1)], Seq(3)).unwrap();
    let mut schema = old.tables.queue.schema().as_ref().clone();
    schema.indexes = vec![common::schema::IndexSpec::hash(["table", "key"])];
    let queue = db.create_collection(schema).unwrap();
    let mut tx = db.begin();
    for queued in old.queue().unwrap() {
        queued.write(&mut tx, &queue).unwrap();
    }
    tx.commit().unwrap();
    let tables = ReplicaTables::open(&db).unwrap();
    let tx = db.begin();
    let op = old.op(7, 3, 1).0;
    let found = base(&tx, &tables.queue, [&op].into_iter(), Seq(9)).unwrap();
    assert_eq!(found, Seq(3));
    assert_eq!(tables.queue.len(), 1);
}
