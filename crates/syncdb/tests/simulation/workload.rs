//! What clients and the server write, and what the oracle is told of it.

use common::{Collection, Committed, Database, Error, Record, Result, Row, Value, row};
use syncdb::{SyncDb, SyncTransaction};

use super::oracle::{Cell, Oracle, Tx, Write, tracked};
use super::plan::{Config, Edit, Kind};
use super::reader::Reader;
use super::tables::{self, ACCOUNTS, FREE, KEPT, NAMES, SLOTS, TALLIES, column, token, value};

/// One client's writes.
pub(crate) struct Writer<'a> {
    pub(crate) client: usize,
    pub(crate) db: &'a SyncDb,
    pub(crate) config: &'a Config,
    pub(crate) oracle: &'a mut Oracle,
    pub(crate) reader: &'a mut Reader,
    /// Last beat, also beyond a restart from an old copy: a number never comes twice.
    pub(crate) beat: &'a mut i64,
    /// The client was set back, and has not heard from the server since.
    pub(crate) set_back: bool,
    pub(crate) choice: u64,
}

/// Takes a small number out of the choice.
pub(crate) fn take(choice: &mut u64, bound: u64) -> u64 {
    let taken = *choice % bound;
    *choice = (*choice / bound) ^ choice.rotate_left(17);
    taken
}

pub(crate) fn seen(table: &'static str, record: &Record) -> Vec<(Cell, u64)> {
    let key = record[0].as_int().unwrap();
    let columns = tracked(table, record.len());
    columns
        .map(|position| ((table, key, position), token(&record[position])))
        .collect()
}

impl Writer<'_> {
    /// Makes the edit, unless the tables are not here yet or there is nothing to edit.
    pub(crate) fn edit(&mut self, edit: Edit) -> Result<()> {
        if !self.has_rows() {
            return Ok(());
        }
        match edit {
            Edit::Column => self.columns(1),
            Edit::Two => self.columns(2),
            Edit::Insert => self.insert(),
            Edit::Delete => self.delete(),
            Edit::Transfer => self.transfer(),
            Edit::Beat => self.beat(),
            Edit::Name => self.name(),
            Edit::Slot => self.slot(),
            Edit::Count => self.count(),
        }
    }

    /// Whether the server has been heard: tables come before their rows, and before the number from which on this replica
    /// counts.
    pub(crate) fn has_rows(&self) -> bool {
        let accounts = self.db.collection("accounts");
        accounts.is_ok_and(|accounts| !accounts.is_empty())
    }

    pub(crate) fn take(&mut self, bound: u64) -> u64 {
        take(&mut self.choice, bound)
    }

    pub(crate) fn below(&mut self, bound: i64) -> i64 {
        self.take(bound.cast_unsigned()).cast_signed()
    }

    pub(crate) fn tx(&self) -> Tx {
        Tx {
            client: Some(self.client),
            ..Tx::default()
        }
    }

    pub(crate) fn token_value(&mut self, kind: Kind) -> (u64, Value) {
        let token = self.oracle.token();
        (token, value(kind, token, self.take(1 << 16)))
    }

    /// Changes columns of `rows` notes in one transaction.
    fn columns(&mut self, rows: i64) -> Result<()> {
        let notes = self.db.collection("notes")?;
        let first = self.below(KEPT);
        let mut known = self.tx();
        let mut tx = self.db.begin();
        let mut stamped: Vec<(i64, usize, Value)> = Vec::new();
        for row in 0..rows {
            // Now and then one of those that others may be deleting.
            let others: Vec<i64> = self.reader.notes().filter(|id| *id >= KEPT).collect();
            let key = if self.take(4) == 0 && !others.is_empty() {
                let at = self.take(others.len() as u64);
                others[usize::try_from(at).unwrap()]
            } else {
                (first + row) % KEPT
            };
            if known.writes.iter().any(|write| write.cell.1 == key) {
                continue;
            }
            // The table comes before its rows.
            let Some(before) = tx.get(&notes, key)? else {
                continue;
            };
            let mut changes = Row::new();
            for _ in 0..=self.take(2) {
                let free = self.take(self.config.columns.len() as u64 + 1);
                let mut position = usize::try_from(free).unwrap() + 1;
                if key >= KEPT || rows > 1 {
                    // What may be rejected carries a number.
                    position = position.max(FREE);
                }
                if changes.get(&column(position)).is_some() {
                    continue;
                }
                let new = if position < FREE {
                    // Few values, so that both sides sometimes write the same one.
                    Value::Int(self.below(3))
                } else {
                    let (token, new) = self.token_value(self.config.columns[position - FREE]);
                    let cell = ("notes", key, position);
                    let before = tables::token(&before[position]);
                    known.writes.push(Write {
                        cell,
                        token,
                        seen: Some(before),
                    });
                    new
                };
                if before[position] != new {
                    stamped.push((key, position, new.clone()));
                }
                changes.set(column(position), new);
            }
            tx.update(&notes, key, changes)?;
        }
        let done = tx.commit()?;
        self.oracle.txs.push(known);
        for (key, position, new) in stamped.iter().filter(|(key, ..)| *key < KEPT) {
            let by = tables::name(self.client);
            self.oracle.stamped(*key, *position, done.stamp, &by, new);
        }
        Ok(())
    }

    /// A new note with a numbered value in each free column.
    fn filled(&mut self, key: i64, mut new: Row, known: &mut Tx) -> Row {
        for position in FREE..FREE + self.config.columns.len() {
            let (token, made) = self.token_value(self.config.columns[position - FREE]);
            new.set(column(position), made);
            let cell = ("notes", key, position);
            known.writes.push(Write {
                cell,
                token,
                seen: None,
            });
        }
        new
    }

    fn insert(&mut self) -> Result<()> {
        let notes = self.db.collection("notes")?;
        let mut known = self.tx();
        let mut tx = self.db.begin();
        for _ in 0..=self.take(3) {
            let key = self.oracle.token().cast_signed();
            let new = row! { "id": key, "flag": self.below(3) };
            tx.insert(&notes, self.filled(key, new, &mut known))?;
        }
        tx.commit()?;
        self.oracle.txs.push(known);
        Ok(())
    }

    fn delete(&mut self) -> Result<()> {
        let others: Vec<i64> = self.reader.notes().filter(|id| *id >= KEPT).collect();
        if others.is_empty() {
            return Ok(());
        }
        let notes = self.db.collection("notes")?;
        let mut known = self.tx();
        let mut tx = self.db.begin();
        for _ in 0..=self.take(2) {
            let at = self.take(others.len() as u64);
            let key = others[usize::try_from(at).unwrap()];
            if let Some(before) = tx.get(&notes, key)? {
                known.deletes.push(("notes", key, seen("notes", &before)));
                tx.delete(&notes, key)?;
            }
        }
        tx.commit()?;
        self.oracle.txs.push(known);
        Ok(())
    }

    /// Moves money between the client's own accounts: nobody else writes them, so the sum is the same at all times
    /// and everywhere.
    fn transfer(&mut self) -> Result<()> {
        if self.set_back {
            // What its earlier life moved is not known here yet.
            return Ok(());
        }
        let accounts = self.db.collection("accounts")?;
        let amount = self.below(20);
        let base = i64::try_from(self.client).unwrap() * ACCOUNTS;
        let from = base + self.below(ACCOUNTS);
        let to = base + self.below(ACCOUNTS);
        if from == to || accounts.is_empty() {
            return Ok(());
        }
        self.db.transaction(|tx| {
            move_money(tx, &accounts, from, -amount)?;
            move_money(tx, &accounts, to, amount)
        })
    }

    fn beat(&mut self) -> Result<()> {
        *self.beat += 1;
        let seen: Vec<Value> = (0..self.config.clients)
            .map(|other| Value::Int(self.reader.beat(other)))
            .collect();
        let id = i64::try_from(self.client).unwrap();
        let row = row! { "id": id, "n": *self.beat, "seen": Value::from(seen) };
        self.db.upsert("beats", row)?;
        self.reader.own_beat(*self.beat);
        Ok(())
    }

    fn name(&mut self) -> Result<()> {
        let token = self.oracle.token();
        let key = self.oracle.token().cast_signed();
        let handle = format!("name {}", self.take(NAMES));
        let mut known = self.tx();
        let cell = ("names", key, 2);
        known.writes.push(Write {
            cell,
            token,
            seen: None,
        });
        let names = self.db.collection("names")?;
        let notes = self.db.collection("notes")?;
        let mut tx = self.db.begin();
        let new = row! { "id": key, "handle": handle, "token": token.cast_signed() };
        tx.insert(&names, new)?;
        if self.take(2) == 0 {
            // A second operation, which has to go with the first.
            let other = self.oracle.token().cast_signed();
            let new = row! { "id": other };
            tx.insert(&notes, self.filled(other, new, &mut known))?;
        }
        tx.commit()?;
        self.oracle.txs.push(known);
        Ok(())
    }

    /// Adds to a tally, and writes a column of a note in the same transaction, by which what became of it is known.
    fn count(&mut self) -> Result<()> {
        let [tallies, notes] = ["tallies", "notes"].map(|name| self.db.collection(name));
        let (tallies, notes) = (tallies?, notes?);
        let (tally, key) = (self.below(TALLIES), self.below(KEPT));
        let by = 1 + self.below(9);
        let by = if self.take(3) == 0 { -by } else { by };
        let (token, new) = self.token_value(self.config.columns[0]);
        let mut known = self.tx();
        let mut tx = self.db.begin();
        let (Some(before), Some(_)) = (tx.get(&notes, key)?, tx.get(&tallies, tally)?) else {
            return Ok(());
        };
        known.adds.push((tally, by));
        known.writes.push(Write {
            cell: ("notes", key, FREE),
            token,
            seen: Some(tables::token(&before[FREE])),
        });
        tx.increment(&tallies, tally, "n", by)?;
        tx.update(&notes, key, Row::new().with(column(FREE), new.clone()))?;
        let done = tx.commit()?;
        self.oracle.txs.push(known);
        let name = tables::name(self.client);
        self.oracle.stamped(key, FREE, done.stamp, &name, &new);
        Ok(())
    }

    /// Rows under few keys that come, change and go.
    fn slot(&mut self) -> Result<()> {
        let slots = self.db.collection("slots")?;
        let key = self.below(SLOTS);
        let before = slots.get(key);
        let mut known = self.tx();
        if let Some(before) = &before
            && self.take(3) == 0
        {
            self.db.delete("slots", key)?;
            known.deletes.push(("slots", key, seen("slots", before)));
        } else {
            let mut new = row! { "id": key };
            for (position, kind) in [(1, Kind::Int), (2, Kind::Text)] {
                let (token, made) = self.token_value(kind);
                new.set(if position == 1 { "token" } else { "text" }, made);
                let cell = ("slots", key, position);
                let seen = before.as_ref().map(|b| tables::token(&b[position]));
                known.writes.push(Write { cell, token, seen });
            }
            self.db.upsert("slots", new)?;
        }
        self.oracle.txs.push(known);
        Ok(())
    }
}

fn move_money(tx: &mut SyncTransaction<'_>, accounts: &Collection, id: i64, by: i64) -> Result<()> {
    let account = tx.get(accounts, id)?;
    let account = account.ok_or_else(|| Error::not_found("an account is gone"))?;
    let amount = account[2].as_int().unwrap();
    tx.update(accounts, id, row! { "amount": amount + by })
}

/// A write at the server, past every replica.
pub(crate) fn write_at_server(
    db: &Database,
    config: &Config,
    oracle: &mut Oracle,
    mut choice: u64,
) -> Result<()> {
    let notes = db.collection("notes")?;
    let key = take(&mut choice, KEPT.cast_unsigned()).cast_signed();
    let position = 1 + usize::try_from(take(&mut choice, config.columns.len() as u64 + 1)).unwrap();
    let before = notes.get(key).unwrap();
    let mut known = Tx::default();
    let new = if position < FREE {
        Value::Int(take(&mut choice, 3).cast_signed())
    } else {
        let token = oracle.token();
        known.writes.push(Write {
            cell: ("notes", key, position),
            token,
            seen: Some(tables::token(&before[position])),
        });
        value(config.columns[position - FREE], token, choice % 1_000)
    };
    let row = Row::new().with(column(position), new.clone());
    let done: Committed = notes.update(key, row)?;
    oracle.txs.push(known);
    if before[position] != new {
        oracle.stamped(key, position, done.stamp, "", &new);
    }
    Ok(())
}
