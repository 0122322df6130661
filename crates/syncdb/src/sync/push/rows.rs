//! One operation of a mutation on one row: what the table's policy makes of it.

use std::collections::BTreeSet;

use common::schema::{FieldId, Schema};
use common::versioning::Hlc;
use common::{
    Collection, Error, ErrorKind, Map, Record, RecordId, Result, Seq, Text, Transaction, Value,
    Violation,
};

use super::versions::underived;
use super::{Actor, Push, revert};
use crate::migration::Flow;
use crate::names::is_apart;
use crate::sync::authority::Authority;
use crate::sync::catalogue::Ages;
use crate::sync::columns::{RowWrites, forget, is_nobody};
use crate::sync::conflict::{
    DeletionPolicy, Meeting, Policy, Rule, SetBias, Strategy, Verdict, Written, choose, resolve,
};
use crate::sync::delta::{Delta, elements};
use crate::sync::gone;
use crate::sync::graves::Grave;
use crate::sync::ledger::{LedgerEntry, Side};
use crate::sync::protocol::{Action, Op, ROW_GONE, is_system};
use crate::sync::system::read_text;

/// The row that an operation is about.
pub(super) struct Target<'a> {
    pub(super) collection: &'a Collection,
    pub(super) schema: &'a Schema,
    pub(super) policy: &'a Policy,
    pub(super) op: &'a Op,
    /// How the columns of other versions follow.
    pub(super) flow: Option<&'a Flow>,
    /// Since when the table has them.
    pub(super) ages: Option<&'a Ages>,
}

/// What an operation says about one column.
enum Said {
    Value(Value),
    Delta(Delta),
}

/// One column on its way to be written.
struct Write<'a> {
    field: FieldId,
    position: usize,
    name: &'a Text,
    current: Value,
    /// What the replica saw before, when it says so or it is known here.
    base: Option<Value>,
    /// Another replica has written the column since.
    concurrent: bool,
}

/// The writes to a row that an operation comes to.
pub(super) struct Row {
    pub(super) writes: RowWrites,
    pub(super) changes: Vec<(usize, Value)>,
}

impl Row {
    /// Sets a column.
    fn set(&mut self, push: &Push<'_>, seq: Seq, write: &Write<'_>, value: Value) {
        let current = write.current.clone();
        self.writes
            .note(write.field, seq, push.written.clone(), current);
        self.changes.push((write.position, value));
    }
}

impl Push<'_> {
    /// Whether the server keeps a table to itself. It is looked up once: nobody else writes while the mutation is applied.
    fn is_apart(&self, table: &Text) -> bool {
        let mut known = self.apart.borrow_mut();
        let apart = known.get(table).copied();
        apart.unwrap_or_else(|| {
            let apart = is_apart(&self.server.db, table);
            known.insert(table.clone(), apart);
            apart
        })
    }

    pub(super) fn try_op(
        &self,
        tx: &mut Transaction<'_>,
        op: &Op,
        conflicts: &mut Vec<LedgerEntry>,
    ) -> Result<()> {
        if is_system(&op.table) || self.is_apart(&op.table) {
            return Err(Error::invalid(format!(
                "table `{}` belongs to the server",
                op.table
            )));
        }
        let collection = self.server.db.collection(&op.table)?;
        let schema = collection.schema();
        if op.key.values().len() != schema.key_columns {
            return Err(Error::invalid(format!(
                "the key of table `{}` has {} columns, {} were given",
                op.table,
                schema.key_columns,
                op.key.values().len()
            )));
        }
        let row = tx.get(&collection, op.key.clone())?;
        let target = Target {
            collection: &collection,
            schema: &schema,
            policy: self.server.policy(&op.table),
            op,
            flow: self.server.catalogue.flow(&op.table),
            ages: self.server.catalogue.ages(&op.table),
        };
        let values = |columns: &[(FieldId, Value)]| {
            let columns = columns.iter();
            columns
                .map(|(field, value)| (*field, Said::Value(value.clone())))
                .collect::<Vec<_>>()
        };
        match (&op.action, row) {
            (Action::Insert(columns), None) => self.insert(tx, &target, columns),
            (Action::Insert(columns) | Action::Update(columns), Some(row)) => {
                let lifted = self.server.catalogue.lifted(op, &schema)?;
                let columns = values(lifted.as_ref().unwrap_or(columns));
                self.update(tx, &target, columns, &row, conflicts)
            }
            (Action::Update(columns), None) => {
                let lifted = self.server.catalogue.lifted(op, &schema)?;
                let columns = values(lifted.as_ref().unwrap_or(columns));
                self.update_of_nothing(tx, &target, columns, conflicts)
            }
            (Action::Deltas(columns), row) => {
                let columns = columns
                    .iter()
                    .map(|(field, delta)| (*field, Said::Delta(delta.clone())))
                    .collect();
                match row {
                    Some(row) => self.update(tx, &target, columns, &row, conflicts),
                    None => self.update_of_nothing(tx, &target, columns, conflicts),
                }
            }
            (Action::Delete, None) => Ok(()),
            (Action::Delete, Some(row)) => self.delete(tx, &target, &row, conflicts),
            (Action::Revert { entry, force }, _) => {
                let actor = Actor {
                    written: self.written.clone(),
                    principal: self.principal.map(|principal| principal.name.clone()),
                };
                let first = conflicts.len();
                let reverted = revert(self.server, tx, *entry, *force, &actor, first)?;
                conflicts.extend(reverted.accepted(*entry)?);
                Ok(())
            }
        }
    }

    /// Writes columns of a row that is there. Those of an insertion are all concurrent with the row's.
    fn update(
        &self,
        tx: &mut Transaction<'_>,
        target: &Target<'_>,
        columns: Vec<(FieldId, Said)>,
        row: &Record,
        conflicts: &mut Vec<LedgerEntry>,
    ) -> Result<()> {
        let rows = &self.server.tables.rows;
        let mut to = Row {
            writes: RowWrites::of(tx, rows, &target.schema.name, row)?,
            changes: Vec::new(),
        };
        to.writes.touch(tx.seq(), self.replica);
        let mut grouped: Vec<(Write<'_>, Value)> = Vec::new();
        for (field, said) in columns {
            let write = self.write_of(target, &to.writes, field, row)?;
            let is_grouped = target.policy.group_of(write.name).is_some();
            match (target.policy.of(write.name), said) {
                (_, Said::Value(value)) if is_grouped => {
                    let value = target.prepared(write.position, value)?;
                    grouped.push((write, value));
                }
                (strategy, Said::Delta(Delta::Replace { base, value })) if is_grouped => {
                    let value = target.prepared(write.position, value)?;
                    let write = self.replacing(target, write, strategy, &to.writes, base);
                    grouped.push((write, value));
                }
                (Strategy::Counter, said) => {
                    self.count(tx, target, &write, said, &mut to, conflicts)?;
                }
                (Strategy::Set(bias), said) => {
                    self.change_set(tx, target, *bias, &write, said, &mut to, conflicts)?;
                }
                (strategy, Said::Value(value)) => {
                    self.choose(tx, target, strategy, &write, value, &mut to, conflicts)?;
                }
                (strategy, Said::Delta(Delta::Replace { base, value })) => {
                    let write = self.replacing(target, write, strategy, &to.writes, base);
                    self.choose(tx, target, strategy, &write, value, &mut to, conflicts)?;
                }
                (_, Said::Delta(delta)) => {
                    return Err(Error::invalid(format!(
                        "column `{}` of table `{}` is neither a counter nor a set, so nothing can be \
                         added to it: {delta}",
                        write.name, target.schema.name
                    )));
                }
            }
        }
        self.choose_groups(tx, target, grouped, row, &mut to, conflicts)?;
        if !to.changes.is_empty() {
            self.derive(tx, target, row, &mut to)?;
            let key = target.op.key.clone();
            underived(tx, |tx| {
                tx.update_values(target.collection, key, to.changes)
            })?;
        }
        to.writes
            .write(tx, rows, &target.schema.name, target.op.key.values())
    }

    fn write_of<'t>(
        &self,
        target: &Target<'t>,
        writes: &RowWrites,
        field: FieldId,
        row: &Record,
    ) -> Result<Write<'t>> {
        let (position, name) = target.column(field)?;
        let inserts = matches!(target.op.action, Action::Insert(_));
        Ok(Write {
            field,
            position,
            name,
            current: row.get(position).cloned().unwrap_or_default(),
            base: writes
                .value_at(field, self.mutation.base)
                .filter(|_| !inserts),
            concurrent: self.is_concurrent(target, writes, field),
        })
    }

    /// Whether the replica did not make a write itself, or may not know that it did.
    fn is_unknown(&self, written: &Written) -> bool {
        let by_other = written.replica != *self.replica || written.client_seq < self.first;
        by_other && !is_nobody(written)
    }

    /// Whether a write that the replica may not know of is its own, of before it was set back to an old copy of itself. Between
    /// the two the replica's own clock decides, whatever the table's strategy: neither is another's.
    fn is_earlier_self(&self, written: &Written) -> bool {
        written.replica == *self.replica
    }

    fn is_concurrent(&self, target: &Target<'_>, writes: &RowWrites, field: FieldId) -> bool {
        let inserts = matches!(target.op.action, Action::Insert(_));
        let (seq, written) = writes.last_over(field, target.ages);
        (inserts || seq > self.mutation.base) && self.is_unknown(written)
    }

    /// A write that says what was there before it. Of a column that the replica does not have of this row, it says null: it
    /// has not seen what stands there, whatever commit it has come past.
    fn replacing<'t>(
        &self,
        target: &Target<'_>,
        write: Write<'t>,
        strategy: &Strategy,
        writes: &RowWrites,
        base: Value,
    ) -> Write<'t> {
        let (seq, written) = writes.last_over(write.field, target.ages);
        let differs = write.current != base;
        // Before a function, replicas say what was there of each column, also of one that was null.
        let says_unseen = base.is_null() && strategy.takes_whole_values();
        let is_unseen = (says_unseen || (base.is_null() && differs)) && self.is_unknown(written);
        // What was made of an earlier value of this replica and of somebody else's, it has not seen either.
        let is_merged = differs && !says_unseen && seq > self.mutation.base;
        Write {
            base: (!is_unseen).then_some(base),
            concurrent: write.concurrent || is_merged || is_unseen,
            ..write
        }
    }

    /// Decides between what the server has in a column and what the replica sends.
    #[expect(clippy::too_many_arguments, reason = "one decision, and where it goes")]
    fn choose(
        &self,
        tx: &Transaction<'_>,
        target: &Target<'_>,
        strategy: &Strategy,
        write: &Write<'_>,
        value: Value,
        to: &mut Row,
        conflicts: &mut Vec<LedgerEntry>,
    ) -> Result<()> {
        let value = target.prepared(write.position, value)?;
        if write.current == value {
            to.writes
                .confirm(write.field, tx.seq(), self.written.clone());
            return Ok(());
        }
        // An extreme value stands whoever has seen what.
        let always = matches!(strategy, Strategy::Max | Strategy::Min);
        if !write.concurrent && !always {
            to.set(self, tx.seq(), write, value);
            return Ok(());
        }
        let written = to.writes.last_over(write.field, target.ages).1.clone();
        let meeting = Meeting {
            table: &target.schema.name,
            key: &target.op.key,
            column: write.name,
            base: write.base.as_ref(),
            server: &write.current,
            server_written: &written,
            client: &value,
            client_written: &self.written,
        };
        let earlier = self.is_earlier_self(&written) && self.is_unknown(&written);
        let (rule, verdict) = if earlier && !always {
            choose(&Strategy::LastWriteWins, &written, &self.written)
        } else {
            resolve(strategy, &meeting, &self.server.rules.functions)?
        };
        if !write.concurrent && verdict == Verdict::Client {
            to.set(self, tx.seq(), write, value);
            return Ok(());
        }
        let (winner, result) = match verdict {
            Verdict::Server => (Side::Server, write.current.clone()),
            Verdict::Client => (Side::Client, value.clone()),
            Verdict::Merged(merged) => (Side::Merged, target.prepared(write.position, merged)?),
        };
        conflicts.push(LedgerEntry {
            column: Some(write.name.clone()),
            base: write.base.clone(),
            server: write.current.clone(),
            client: value,
            rule,
            winner,
            result: result.clone(),
            ..self.entry(tx, target.op, conflicts.len(), &written)?
        });
        if winner != Side::Server {
            to.set(self, tx.seq(), write, result);
        }
        Ok(())
    }

    /// Decides about columns that stand or fall together, one group after another.
    fn choose_groups(
        &self,
        tx: &Transaction<'_>,
        target: &Target<'_>,
        mut grouped: Vec<(Write<'_>, Value)>,
        row: &Record,
        to: &mut Row,
        conflicts: &mut Vec<LedgerEntry>,
    ) -> Result<()> {
        while let Some((first, _)) = grouped.first() {
            let group = target.policy.group_of(first.name).unwrap_or_default();
            let (members, rest): (Vec<_>, Vec<_>) = grouped
                .into_iter()
                .partition(|(write, _)| group.contains(write.name));
            grouped = rest;
            let all = group.iter().filter_map(|name| {
                let position = target.schema.position(name)?;
                Some(target.schema.fields.get(position)?.id)
            });
            let all: Vec<FieldId> = all.collect();
            let concurrent = all
                .iter()
                .filter(|field| {
                    let mut members = members.iter();
                    self.is_concurrent(target, &to.writes, **field)
                        || members.any(|(write, _)| write.field == **field && write.concurrent)
                })
                .map(|field| to.writes.last_over(*field, target.ages).1.clone())
                .max();
            let same = members.iter().all(|(write, value)| write.current == *value);
            if same {
                for (write, _) in &members {
                    to.writes
                        .confirm(write.field, tx.seq(), self.written.clone());
                }
                continue;
            }
            let verdict = match &concurrent {
                None => Verdict::Client,
                Some(written) => {
                    let strategy = if self.is_earlier_self(written) {
                        &Strategy::LastWriteWins
                    } else {
                        &target.policy.strategy
                    };
                    let (rule, verdict) = choose(strategy, written, &self.written);
                    let winner = match verdict {
                        Verdict::Client => Side::Client,
                        _ => Side::Server,
                    };
                    for (write, value) in &members {
                        if write.current == *value {
                            continue;
                        }
                        conflicts.push(LedgerEntry {
                            column: Some(write.name.clone()),
                            base: write.base.clone(),
                            server: write.current.clone(),
                            client: value.clone(),
                            rule: rule.clone(),
                            winner,
                            result: match winner {
                                Side::Client => value.clone(),
                                _ => row.get(write.position).cloned().unwrap_or_default(),
                            },
                            ..self.entry(tx, target.op, conflicts.len(), written)?
                        });
                    }
                    verdict
                }
            };
            if verdict == Verdict::Client {
                for (write, value) in members {
                    to.set(self, tx.seq(), &write, value);
                }
            }
        }
        Ok(())
    }

    /// Adds to a counter.
    fn count(
        &self,
        tx: &Transaction<'_>,
        target: &Target<'_>,
        write: &Write<'_>,
        said: Said,
        to: &mut Row,
        conflicts: &mut Vec<LedgerEntry>,
    ) -> Result<()> {
        let inserts = matches!(target.op.action, Action::Insert(_));
        let delta = match said {
            Said::Delta(delta @ Delta::Increment(_)) => delta,
            Said::Delta(Delta::Replace { base, value }) => Delta::between_numbers(&base, &value)?,
            Said::Delta(delta) => {
                return Err(Error::invalid(format!(
                    "column `{}` is a counter, not a set: {delta}",
                    write.name
                )));
            }
            // Two rows were made under one key: what each began with counts.
            Said::Value(value) if inserts => Delta::between_numbers(&Value::Null, &value)?,
            Said::Value(value) => match (&write.base, write.concurrent) {
                (Some(base), true) => Delta::between_numbers(base, &value)?,
                (_, false) => Delta::between_numbers(&write.current, &value)?,
                // A replica that does not know of the policy, and a base that is not known here.
                (None, true) => {
                    let strategy = Strategy::LastWriteWins;
                    return self.choose(tx, target, &strategy, write, value, to, conflicts);
                }
            },
        };
        let sum = delta
            .apply(&write.current)
            .map_err(|error| error.at(format!("column `{}`", write.name)))?;
        let sum = target.prepared(write.position, sum)?;
        if sum == write.current {
            to.writes
                .confirm(write.field, tx.seq(), self.written.clone());
        } else {
            to.set(self, tx.seq(), write, sum);
        }
        Ok(())
    }

    /// Adds to a set and removes from it.
    #[expect(clippy::too_many_arguments, reason = "one decision, and where it goes")]
    fn change_set(
        &self,
        tx: &Transaction<'_>,
        target: &Target<'_>,
        bias: SetBias,
        write: &Write<'_>,
        said: Said,
        to: &mut Row,
        conflicts: &mut Vec<LedgerEntry>,
    ) -> Result<()> {
        let inserts = matches!(target.op.action, Action::Insert(_));
        let delta = match said {
            Said::Delta(delta @ Delta::Elements { .. }) => delta,
            Said::Delta(Delta::Replace { base, value }) => Delta::between_sets(&base, &value)?,
            Said::Delta(delta) => {
                return Err(Error::invalid(format!(
                    "column `{}` is a set, not a counter: {delta}",
                    write.name
                )));
            }
            Said::Value(value) => match (&write.base, write.concurrent) {
                (Some(base), true) if !inserts => Delta::between_sets(base, &value)?,
                (_, false) => Delta::between_sets(&write.current, &value)?,
                // What it means to remove is not known; nothing is.
                _ => Delta::between_sets(&Value::Null, &value)?,
            },
        };
        let wanted = delta.apply(&write.current)?;
        let Delta::Elements { add, remove } = &delta else {
            return Ok(());
        };
        let (replica, base) = (self.replica, self.mutation.base);
        // An insertion has seen nothing of what is there.
        let base = if inserts { Seq::ZERO } else { base };
        let removed = |element: &&Value| {
            to.writes
                .removed_by_other(write.field, element, replica, base)
        };
        let added = |element: &&Value| {
            to.writes
                .added_by_other(write.field, element, replica, base)
        };
        let there: BTreeSet<Value> = elements(&write.current)?;
        let met_removal: BTreeSet<&Value> = add
            .iter()
            .filter(|e| !there.contains(*e))
            .filter(removed)
            .collect();
        let met_addition: BTreeSet<&Value> = remove
            .iter()
            .filter(|e| there.contains(*e))
            .filter(added)
            .collect();
        let kept = |elements: &[Value], without: &BTreeSet<&Value>| -> Vec<Value> {
            let kept = elements.iter().filter(|e| !without.contains(e));
            kept.cloned().collect()
        };
        let (effective, rule) = match bias {
            SetBias::AddWins => (
                Delta::Elements {
                    add: add.clone(),
                    remove: kept(remove, &met_addition),
                },
                Rule::AddWins,
            ),
            SetBias::RemoveWins => (
                Delta::Elements {
                    add: kept(add, &met_removal),
                    remove: remove.clone(),
                },
                Rule::RemoveWins,
            ),
        };
        let result = target.prepared(write.position, effective.apply(&write.current)?)?;
        let met = !met_removal.is_empty() || !met_addition.is_empty();
        let written = to.writes.last_over(write.field, target.ages).1.clone();
        to.writes
            .note_elements(write.field, tx.seq(), replica, &there, add, remove);
        if met {
            conflicts.push(LedgerEntry {
                column: Some(write.name.clone()),
                base: write.base.clone(),
                server: write.current.clone(),
                winner: if result == wanted {
                    Side::Client
                } else if result == write.current {
                    Side::Server
                } else {
                    Side::Merged
                },
                client: wanted,
                rule,
                result: result.clone(),
                ..self.entry(tx, target.op, conflicts.len(), &written)?
            });
        }
        if result == write.current {
            to.writes
                .confirm(write.field, tx.seq(), self.written.clone());
        } else {
            to.set(self, tx.seq(), write, result);
        }
        Ok(())
    }

    /// An update of a row that is not there.
    fn update_of_nothing(
        &self,
        tx: &mut Transaction<'_>,
        target: &Target<'_>,
        columns: Vec<(FieldId, Said)>,
        conflicts: &mut Vec<LedgerEntry>,
    ) -> Result<()> {
        let schema = target.schema;
        let said: Vec<(FieldId, Value)> = columns
            .iter()
            .map(|(field, said)| {
                let value = match said {
                    Said::Value(value) | Said::Delta(Delta::Replace { value, .. }) => value.clone(),
                    Said::Delta(delta) => Value::from(delta.to_string().as_str()),
                };
                (*field, value)
            })
            .collect();
        let client = named(schema, &said);
        let grave = Grave::of(tx, &self.server.tables, &schema.name, &target.op.key)?;
        let deleted_at = match &grave {
            Some(grave) => Some(grave.seq),
            None => gone::deleted_at(tx, &self.server.tables, schema, &target.op.key)?,
        };
        let deleted = grave.as_ref().map(|grave| grave.written.clone());
        let deleted = deleted.unwrap_or_else(|| Written {
            stamp: Hlc::default(),
            replica: "".into(),
            client_seq: 0,
        });
        let known = grave.filter(|grave| {
            target.policy.deletion == DeletionPolicy::UpdateResurrects
                && grave.seq > self.mutation.base
                && self.is_unknown(&grave.written)
        });
        let known = known.and_then(|grave| Some((grave.values?, grave.writes)));
        let Some((values, writes)) =
            known.filter(|(values, _)| values.len() == schema.fields.len())
        else {
            let (log_start, _) = self.server.db.log_extent();
            if let Some(seq) = deleted_at.filter(|seq| *seq <= log_start) {
                return Err(row_gone(schema, &target.op.key, seq));
            }
            conflicts.push(LedgerEntry {
                client,
                rule: Rule::DeleteWins,
                winner: Side::Server,
                ..self.entry(tx, target.op, conflicts.len(), &deleted)?
            });
            return Ok(());
        };
        tx.insert_values(target.collection, values)?;
        gone::clear(tx, &self.server.tables, schema, &target.op.key)?;
        let writes = writes.map_or_else(
            || RowWrites::born(tx.seq(), self.written.clone()),
            |writes| writes.revived(tx.seq()),
        );
        let rows = &self.server.tables.rows;
        writes.write(tx, rows, &schema.name, target.op.key.values())?;
        let row = tx.get(target.collection, target.op.key.clone())?;
        let entry = LedgerEntry {
            client,
            rule: Rule::UpdateResurrects,
            winner: Side::Client,
            ..self.entry(tx, target.op, conflicts.len(), &deleted)?
        };
        let place = conflicts.len();
        conflicts.push(entry);
        if let Some(row) = row {
            self.update(tx, target, columns, &row, conflicts)?;
        }
        let row = tx.get(target.collection, target.op.key.clone())?;
        if let (Some(entry), Some(row)) = (conflicts.get_mut(place), row) {
            entry.result = whole(schema, &row);
        }
        Ok(())
    }

    fn delete(
        &self,
        tx: &mut Transaction<'_>,
        target: &Target<'_>,
        row: &Record,
        conflicts: &mut Vec<LedgerEntry>,
    ) -> Result<()> {
        let schema = target.schema;
        let rows = &self.server.tables.rows;
        let writes = RowWrites::of(tx, rows, &schema.name, row)?;
        let later = |field: FieldId| {
            let (seq, written) = writes.last_over(field, target.ages);
            (seq > self.mutation.base && self.is_unknown(written)).then_some(written)
        };
        let fields = schema.fields.iter().skip(schema.key_columns);
        let last = fields.filter_map(|field| later(field.id)).max().cloned();
        let resurrects = target.policy.deletion == DeletionPolicy::UpdateResurrects;
        // An update that lost against another value was one all the same.
        let overruled = || {
            let touched = writes.touched_by_other(self.replica, self.mutation.base);
            touched.then(|| writes.latest().1.clone())
        };
        if let Some(last) = last.or_else(|| overruled().filter(|_| resurrects)) {
            let stays = resurrects;
            let server = whole(schema, row);
            conflicts.push(LedgerEntry {
                result: if stays { server.clone() } else { Value::Null },
                server,
                rule: if stays {
                    Rule::UpdateResurrects
                } else {
                    Rule::DeleteWins
                },
                winner: if stays { Side::Server } else { Side::Client },
                ..self.entry(tx, target.op, conflicts.len(), &last)?
            });
            if stays {
                return Ok(());
            }
        }
        Grave::new(tx.seq(), self.written.clone(), Some(row), Some(&writes)).write(
            tx,
            &self.server.tables,
            schema,
            &target.op.key,
        )?;
        gone::note(tx, &self.server.tables, schema, &target.op.key, tx.seq())?;
        tx.delete(target.collection, target.op.key.clone())?;
        forget(tx, rows, &schema.name, &target.op.key)
    }

    /// An entry of the ledger with what is the same for all conflicts of a mutation.
    fn entry(
        &self,
        tx: &Transaction<'_>,
        op: &Op,
        before: usize,
        server: &Written,
    ) -> Result<LedgerEntry> {
        let actor = Actor {
            written: self.written.clone(),
            principal: self.principal.map(|principal| principal.name.clone()),
        };
        entry(
            self.server,
            tx,
            (&op.table, &op.key),
            &actor,
            server,
            before,
        )
    }
}

/// An entry of the ledger that says nothing yet but who met whom.
pub(super) fn entry(
    authority: &Authority,
    tx: &Transaction<'_>,
    (table, key): (&Text, &RecordId),
    actor: &Actor,
    server: &Written,
    before: usize,
) -> Result<LedgerEntry> {
    let server_principal = if server.replica.0.is_empty() {
        None
    } else {
        let client = tx.get(&authority.tables.clients, server.replica.0.clone())?;
        client.and_then(|client| read_text(&client, 3).ok())
    };
    Ok(LedgerEntry {
        seq: tx.seq(),
        number: u32::try_from(before).unwrap_or(u32::MAX),
        replica: actor.written.replica.clone(),
        client_seq: actor.written.client_seq,
        table: table.clone(),
        key: key.clone(),
        column: None,
        base: None,
        server: Value::Null,
        client: Value::Null,
        rule: Rule::LastWriteWins,
        winner: Side::Server,
        server_stamp: server.stamp,
        server_replica: server.replica.clone(),
        client_stamp: actor.written.stamp,
        at: authority.db.clock().now(),
        result: Value::Null,
        principal: actor.principal.clone(),
        server_principal,
        reverts: None,
    })
}

impl<'a> Target<'a> {
    pub(super) fn column(&self, field: FieldId) -> Result<(usize, &'a Text)> {
        let mut fields = self.schema.fields.iter().enumerate();
        let found = fields.find(|(_, known)| known.id == field);
        let found = found.filter(|(position, _)| *position >= self.schema.key_columns);
        let found = found.map(|(position, field)| (position, &field.name));
        found.ok_or_else(|| {
            Error::invalid(format!(
                "table `{}` has no column number {} beside its key",
                self.schema.name, field.0
            ))
        })
    }

    /// Converts as writing it would, so that what is compared is what would be stored.
    fn prepared(&self, position: usize, mut value: Value) -> Result<Value> {
        self.collection
            .validator()
            .prepare_one(position, &mut value)?;
        Ok(value)
    }
}

fn row_gone(schema: &Schema, key: &RecordId, seq: Seq) -> Error {
    let violation = Violation {
        path: key.to_string(),
        rule: ROW_GONE.to_owned(),
        message: format!(
            "was deleted in commit {}, before the log's beginning",
            seq.0
        ),
    };
    let subject = format!("an update of a row of table `{}`", schema.name);
    Error::violations_of(ErrorKind::NotFound, &subject, vec![violation])
}

/// Columns by name, for the ledger.
pub(super) fn named(schema: &Schema, columns: &[(FieldId, Value)]) -> Value {
    let entries = columns.iter().map(|(id, value)| {
        let field = schema.fields.iter().find(|field| field.id == *id);
        let name = field.map_or_else(|| Text::new(id.0.to_string()), |field| field.name.clone());
        (name, value.clone())
    });
    Value::from(entries.collect::<Map>())
}

/// All columns of a row but its key's, for the ledger.
pub(super) fn whole(schema: &Schema, row: &[Value]) -> Value {
    let columns = schema.fields.iter().zip(row).skip(schema.key_columns);
    let columns = columns.map(|(field, value)| (field.name.clone(), value.clone()));
    Value::from(columns.collect::<Map>())
}
