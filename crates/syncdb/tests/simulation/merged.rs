//! What the merged columns of tasks must hold: sequential models of a set, of a greatest and a least value and of a value
//! that only loses bits; and which drafts must be there.

use std::collections::{BTreeMap, HashSet};

use common::{Database, Value};
use syncdb::{LedgerEntry, Rule, SetBias};

use super::Failure;
use super::features::Features;
use super::oracle::{Tx, Write};
use super::tables;
use super::tasks::{BITS, Element, LOW, TAGS, TOP};

/// What became of the transactions.
pub(crate) struct Fates<'a> {
    pub(crate) txs: &'a [Tx],
    pub(crate) is_refused: &'a dyn Fn(&Tx) -> bool,
    pub(crate) is_optional: &'a dyn Fn(&Tx) -> bool,
    pub(crate) ledger: &'a [LedgerEntry],
    /// Replicas were set back to old copies.
    pub(crate) set_back: bool,
    /// Writes that met a row which was gone, or had never come to be, as the ledger says.
    pub(crate) dropped: &'a HashSet<u64>,
}

impl Fates<'_> {
    /// The transactions that were applied, each with whether that is certain.
    fn applied(&self) -> impl Iterator<Item = (&Tx, bool)> {
        let applied = self.txs.iter().filter(|tx| !(self.is_refused)(tx));
        let is_dropped = |tx: &Tx| tx.writes.iter().any(|w| self.dropped.contains(&w.token));
        applied.map(move |tx| (tx, !(self.is_optional)(tx) && !is_dropped(tx)))
    }

    /// What was done to a task, and to an element of its set.
    fn history(&self, key: i64, name: &str) -> String {
        let mut lines = String::new();
        for tx in self.txs {
            let of_task = |element: &&Element| element.task == key && element.name == name;
            let mut elements = tx.merges.elements.iter().filter(of_task).peekable();
            let of_task = |write: &&Write| write.cell.0 == "tasks" && write.cell.1 == key;
            let writes: Vec<u64> = tx.writes.iter().filter(of_task).map(|w| w.token).collect();
            if elements.peek().is_none() && writes.is_empty() {
                continue;
            }
            lines += &format!("\n    {:?} wrote {writes:?}", tx.client);
            for element in elements {
                lines += if element.is_added {
                    ", added it"
                } else {
                    ", removed it"
                };
            }
            let fate = match ((self.is_refused)(tx), (self.is_optional)(tx)) {
                (true, _) => ", which was rejected",
                (_, true) => ", perhaps",
                (false, false) => "",
            };
            lines += fate;
        }
        for entry in self
            .ledger
            .iter()
            .filter(|entry| is_of(entry, "tasks", key))
        {
            lines += &format!("\n    ledger: {entry}");
        }
        lines
    }

    /// Whether the ledger has an entry of a rule for a row.
    fn tells(&self, table: &str, key: i64, rule: &Rule) -> bool {
        self.ledger
            .iter()
            .any(|entry| entry.rule == *rule && is_of(entry, table, key))
    }
}

fn is_of(entry: &LedgerEntry, table: &str, key: i64) -> bool {
    entry.table == table && entry.key.values().first() == Some(&Value::Int(key))
}

fn wrong(task: i64, what: impl AsRef<str>) -> Failure {
    let what = what.as_ref();
    Failure::new("wrong merge", format!("task {task}: {what}"))
}

pub(crate) fn check(db: &Database, features: &Features, fates: &Fates<'_>) -> Result<(), Failure> {
    check_drafts(db, fates)?;
    for (key, task) in tables::rows(db, "tasks") {
        check_set(key, &task[TAGS], features.bias, fates)?;
        let tops = |tx: &Tx| values(&tx.merges.tops, key);
        check_extreme(key, task[TOP].as_int().unwrap(), fates, &tops)?;
        let lows = |tx: &Tx| {
            values(&tx.merges.lows, key)
                .into_iter()
                .map(|low| -low)
                .collect()
        };
        check_extreme(key, -task[LOW].as_int().unwrap(), fates, &lows)?;
        check_bits(key, task[BITS].as_int().unwrap(), fates)?;
    }
    Ok(())
}

fn values(of: &[(i64, i64)], key: i64) -> Vec<i64> {
    let of_key = of.iter().filter(|(task, _)| *task == key);
    of_key.map(|(_, value)| *value).collect()
}

/// The greatest value that was ever written stands.
fn check_extreme(
    key: i64,
    found: i64,
    fates: &Fates<'_>,
    of: &dyn Fn(&Tx) -> Vec<i64>,
) -> Result<(), Failure> {
    let (mut least, mut is_known) = (0, found == 0);
    for (tx, is_certain) in fates.applied() {
        for value in of(tx) {
            is_known |= value == found;
            if is_certain {
                least = least.max(value);
            }
        }
    }
    if found < least || !is_known {
        let what = format!("the extreme is {found}, {least} was written");
        return Err(wrong(key, what));
    }
    Ok(())
}

/// What anybody has cleared is clear, and nothing else.
fn check_bits(key: i64, found: i64, fates: &Fates<'_>) -> Result<(), Failure> {
    let unsure = |tx: &Tx| tx.unsure_bits.contains(&key);
    // Between two lives of a replica the later write counts, and what is tried again is written as it was.
    if fates.set_back || fates.txs.iter().any(unsure) {
        return Ok(());
    }
    for bit in 0..40 {
        let clears = |tx: &Tx| tx.merges.bits.contains(&(key, bit));
        // Who clears another bit of a value of his own that was rejected later clears the bits of both.
        let perhaps = fates.txs.iter().any(clears);
        let certainly = fates.applied().any(|(tx, certain)| certain && clears(tx));
        let is_clear = found & (1 << bit) == 0;
        if (is_clear && !perhaps) || (!is_clear && certainly) {
            let what =
                format!("bit {bit} of {found:b}: cleared {perhaps}, for certain {certainly}");
            return Err(wrong(key, what));
        }
    }
    Ok(())
}

/// What was said of an element, perhaps or for certain.
#[derive(Default)]
struct Said {
    perhaps_added: bool,
    added: bool,
    perhaps_removed: bool,
}

/// An element is there that was added and not removed; where a removal and an addition met, the ledger says so.
fn check_set(key: i64, tags: &Value, bias: SetBias, fates: &Fates<'_>) -> Result<(), Failure> {
    let mut said: BTreeMap<&str, Said> = BTreeMap::new();
    let mut removed: HashSet<&str> = HashSet::new();
    for (tx, is_certain) in fates.applied() {
        for element in tx.merges.elements.iter().filter(|e| e.task == key) {
            let of = said.entry(element.name.as_str()).or_default();
            let is_certain = is_certain && !element.perhaps;
            if element.is_added {
                of.perhaps_added = true;
                of.added |= is_certain;
            } else {
                of.perhaps_removed = true;
                if is_certain {
                    removed.insert(element.name.as_str());
                }
            }
        }
    }
    let found: Vec<&str> = tags
        .as_list()
        .unwrap()
        .iter()
        .filter_map(Value::as_text)
        .collect();
    if !found.is_sorted_by(|a, b| a < b) {
        return Err(wrong(key, format!("{found:?} is no set")));
    }
    let met = match bias {
        SetBias::AddWins => Rule::AddWins,
        SetBias::RemoveWins => Rule::RemoveWins,
    };
    let has_met = fates.tells("tasks", key, &met);
    for name in &found {
        let of = said.get(name);
        if of.is_none_or(|of| !of.perhaps_added) {
            return Err(wrong(key, format!("nobody added {name}")));
        }
        let is_own = name.starts_with("own");
        if is_own && removed.contains(name) && !(has_met && bias == SetBias::AddWins) {
            let what = format!("{name} was removed and is there");
            return Err(wrong(key, what + &fates.history(key, name)));
        }
    }
    for (name, of) in said {
        if of.added && !of.perhaps_removed && !found.contains(&name) {
            return Err(wrong(
                key,
                format!(
                    "{name} was added, is not there, and nobody removed it{}",
                    fates.history(key, name)
                ),
            ));
        }
    }
    Ok(())
}

/// A draft that was deleted is gone, unless the ledger says that an update weighed more.
fn check_drafts(db: &Database, fates: &Fates<'_>) -> Result<(), Failure> {
    let drafts = tables::rows(db, "drafts");
    for (tx, _) in fates.applied().filter(|(_, is_certain)| *is_certain) {
        for (_, key, _) in tx.deletes.iter().filter(|(table, ..)| *table == "drafts") {
            if drafts.contains_key(key) && !fates.tells("drafts", *key, &Rule::UpdateResurrects) {
                return Err(Failure::new(
                    "resurrection",
                    format!(
                        "draft {key} was deleted by {:?}, is there, and no conflict says why",
                        tx.client
                    ),
                ));
            }
        }
    }
    Ok(())
}
