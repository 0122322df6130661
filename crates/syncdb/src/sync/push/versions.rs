//! What a write says of the columns that other versions of a table have.

use common::schema::{FieldId, Schema};
use common::{Record, Result, Transaction, Value};

use super::Push;
use super::rows::{Row, Target};
use crate::migration::Flow;
use crate::sync::columns::RowWrites;
use crate::sync::conflict::Strategy;
use crate::sync::delta::canonical_set;
use crate::sync::gone;

/// Writes a row whose columns of other versions are set already.
pub(super) fn underived<T>(
    tx: &mut Transaction<'_>,
    write: impl FnOnce(&mut Transaction<'_>) -> Result<T>,
) -> Result<T> {
    tx.set_derives(false);
    let written = write(tx);
    tx.set_derives(true);
    written
}

impl Push<'_> {
    /// Makes a new row.
    pub(super) fn insert(
        &self,
        tx: &mut Transaction<'_>,
        target: &Target<'_>,
        columns: &[(FieldId, Value)],
    ) -> Result<()> {
        let schema = target.schema;
        let mut values = target.op.key.values().to_vec();
        // A replica that does not keep a column need not give it.
        let rest = schema.fields.iter().skip(schema.key_columns);
        values.extend(rest.map(|field| field.default.clone().unwrap_or_default()));
        let past = self.server.catalogue.past(&schema.name);
        let mut beside = Vec::new();
        for (field, value) in columns {
            let is_here = schema.fields.iter().any(|known| known.id == *field);
            if !is_here && past.is_some_and(|past| past.has(*field)) {
                // Of a version that is accepted no more.
                beside.push((*field, value.clone()));
                continue;
            }
            let (position, name) = target.column(*field)?;
            let mut value = value.clone();
            if matches!(target.policy.of(name), Strategy::Set(_)) {
                value = canonical_set(&value)?;
            }
            if let Some(to) = values.get_mut(position) {
                *to = value;
            }
        }
        let mut writes = RowWrites::born(tx.seq(), self.written.clone());
        if let Some(past) = past {
            self.complete(
                &past.flow,
                schema,
                columns,
                &beside,
                &mut values,
                &mut writes,
            )?;
        }
        underived(tx, |tx| tx.insert_values(target.collection, values))?;
        gone::clear(tx, &self.server.tables, schema, &target.op.key)?;
        let rows = &self.server.tables.rows;
        writes.write(tx, rows, &schema.name, target.op.key.values())
    }

    /// Makes the columns of a new row that the replica's version does not have. Those that do not follow from what it said, it has
    /// not written: whoever knows them writes them without a conflict.
    fn complete(
        &self,
        flow: &Flow,
        schema: &Schema,
        columns: &[(FieldId, Value)],
        beside: &[(FieldId, Value)],
        values: &mut [Value],
        writes: &mut RowWrites,
    ) -> Result<()> {
        let given = |at: usize| {
            let id = schema.fields.get(at).map(|field| field.id);
            at < schema.key_columns || columns.iter().any(|(said, _)| Some(*said) == id)
        };
        let catalogue = &self.server.catalogue;
        let version = catalogue.written_under(&schema.name, columns, self.version);
        let followed = flow.complete_with(values, &given, beside, version)?;
        for (at, field) in schema.fields.iter().enumerate() {
            if !given(at) && !followed.contains(&at) {
                writes.note_nobody(field.id);
            }
        }
        Ok(())
    }

    /// Writes what follows from the columns that are written, in other versions of the table, as if the replica had.
    pub(super) fn derive(
        &self,
        tx: &Transaction<'_>,
        target: &Target<'_>,
        row: &Record,
        to: &mut Row,
    ) -> Result<()> {
        let Some(flow) = target.flow else {
            return Ok(());
        };
        let mut after = row.to_vec();
        for (position, value) in &to.changes {
            if let Some(place) = after.get_mut(*position) {
                place.clone_from(value);
            }
        }
        let written = |at: usize| to.changes.iter().any(|(position, _)| *position == at);
        for position in flow.derive(row, &mut after, &written)? {
            let (Some(field), Some(value)) =
                (target.schema.fields.get(position), after.get(position))
            else {
                continue;
            };
            let before = row.get(position).cloned().unwrap_or_default();
            to.writes
                .note(field.id, tx.seq(), self.written.clone(), before);
            to.changes.push((position, value.clone()));
        }
        Ok(())
    }
}
