//! What is lost with the life of a replica: the writes that it has not got an answer for.

use std::collections::HashSet;

use common::{Database, Value};

use super::tables;

/// The numbers of such writes.
pub(crate) struct Unsent {
    lost: HashSet<u64>,
    /// What the queue says was there before: it had been answered, or is in the queue itself.
    before: HashSet<u64>,
}

impl Unsent {
    pub(crate) fn of(db: &Database) -> Self {
        let (mut lost, mut before) = (HashSet::new(), HashSet::new());
        for record in tables::all(db, "sync_queue") {
            let field = |name: &str| {
                let table = db.collection("sync_queue").unwrap();
                &record[table.schema().position(name).unwrap()]
            };
            walk(field("values"), &mut lost);
            // A deletion takes with it what was written to its row and was not sent.
            let deletes = field("values").as_list().is_some_and(<[Value]>::is_empty);
            walk(
                field("before"),
                if deletes { &mut lost } else { &mut before },
            );
        }
        Self { lost, before }
    }

    pub(crate) fn is_lost(&self, token: u64) -> bool {
        self.lost.contains(&token)
    }

    /// Notes what the writer of a lost write saw. When it is not what the queue says was there, it was a write of his own that
    /// the lost one replaced before it was sent.
    pub(crate) fn lose(&mut self, seen: impl Iterator<Item = u64>) {
        let replaced = seen.filter(|token| *token != 0 && !self.before.contains(token));
        let replaced: Vec<u64> = replaced.collect();
        self.lost.extend(replaced);
    }
}

fn walk(value: &Value, found: &mut HashSet<u64>) {
    found.insert(tables::token(value));
    match value {
        Value::List(list) => list.iter().for_each(|value| walk(value, found)),
        Value::Map(map) => map.values().for_each(|value| walk(value, found)),
        _ => {}
    }
}
