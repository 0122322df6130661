//! One write of a row, as one caller may make it, inside a transaction.

use common::{Record, RecordId, Row, Seq, Transaction, Value};

use crate::access::Access;
use crate::negotiate::Condition;
use crate::problem::Problem;

/// What a write did.
pub(crate) struct Written {
    pub(crate) id: RecordId,
    /// Whether there was no row under the key before.
    pub(crate) created: bool,
    /// The row afterwards; `None` when it is gone.
    pub(crate) record: Option<Record>,
    /// Commit of the row's last change.
    pub(crate) seq: Seq,
}

/// What there is under a key, if the caller may see it.
fn visible(
    tx: &Transaction<'_>,
    access: &Access,
    id: &RecordId,
) -> Result<Option<Record>, Problem> {
    let record = tx.get(&access.collection, id.clone())?;
    Ok(record.filter(|record| access.sees(record)))
}

/// What becomes of the row is for the caller to see as well, or it must not become of it.
fn written(
    tx: &Transaction<'_>,
    access: &Access,
    id: RecordId,
    before: Option<&Record>,
) -> Result<Written, Problem> {
    let record = tx.get(&access.collection, id.clone())?;
    let record = record.ok_or_else(|| access.no_row(&id))?;
    let was = before.map(Record::values);
    if !access.sees(&record) || !access.may_change(was, Some(record.values())) {
        return Err(outside(access));
    }
    let unchanged = before.filter(|before| before.values() == record.values());
    Ok(Written {
        seq: unchanged.map_or_else(|| tx.seq(), Record::seq),
        created: before.is_none(),
        record: Some(record),
        id,
    })
}

fn outside(access: &Access) -> Problem {
    Problem::forbidden(format!(
        "the row is, or would be, outside what you may write of `{}`",
        access.visible.name
    ))
}

/// Values of a new row. A rule that a column breaks which the caller may not write is not theirs to know.
fn complete(access: &Access, row: Row) -> Result<Vec<Value>, Problem> {
    let values = access.collection.validator().values(row);
    let values = values.map_err(|error| {
        let column = |path: &str| path.split(['.', '[']).next().unwrap_or_default().to_owned();
        let hidden = |path: &str| access.visible.position(&column(path)).is_none();
        if error.violations().iter().any(|found| hidden(&found.path)) {
            return Problem::forbidden(format!(
                "you may not write all columns that a row of `{}` needs",
                access.visible.name
            ));
        }
        Problem::in_body(&error)
    })?;
    if access.sees(&values) {
        Ok(values)
    } else {
        Err(outside(access))
    }
}

/// A row that is not there yet.
pub(crate) fn insert(
    tx: &mut Transaction<'_>,
    access: &Access,
    row: Row,
) -> Result<Written, Problem> {
    let values = complete(access, row)?;
    let id = tx.insert_values(&access.collection, values)?;
    written(tx, access, id, None)
}

/// A row in the place of the one under its key, if there is one; columns that the caller may not see stay as they are.
pub(crate) fn upsert(
    tx: &mut Transaction<'_>,
    access: &Access,
    row: Row,
    condition: &Condition,
) -> Result<Written, Problem> {
    let id = access.key_of(&row)?;
    let there = tx.get(&access.collection, id.clone())?;
    if there.as_ref().is_some_and(|record| !access.sees(record)) {
        return Err(access.no_row(&id));
    }
    condition.check(there.as_ref().map(Record::seq))?;
    let Some(before) = there else {
        return insert(tx, access, row);
    };
    if access.has_all_columns() {
        let values = complete(access, row)?;
        tx.upsert_values(&access.collection, values)?;
    } else {
        let changes = access.settable().map(|(_, field)| {
            let value = row.get(&field.name).cloned();
            let value = value.or_else(|| field.default.clone());
            if value.is_none() && field.is_required() {
                let name = &field.name;
                return Err(Problem::invalid(format!("column `{name}` is missing")));
            }
            Ok((field.name.clone(), value.unwrap_or_default()))
        });
        let changes = changes.collect::<Result<Row, Problem>>()?;
        let done = tx.update(&access.collection, id.clone(), changes);
        done.map_err(|error| Problem::in_body(&error))?;
    }
    written(tx, access, id, Some(&before))
}

/// Other values in some columns of a row.
pub(crate) fn update(
    tx: &mut Transaction<'_>,
    access: &Access,
    id: RecordId,
    mut changes: Row,
    condition: &Condition,
) -> Result<Written, Problem> {
    let before = visible(tx, access, &id)?.ok_or_else(|| access.no_row(&id))?;
    condition.check(Some(before.seq()))?;
    leave_key(access, &id, &mut changes);
    let done = tx.update(&access.collection, id.clone(), changes);
    done.map_err(|error| Problem::in_body(&error))?;
    written(tx, access, id, Some(&before))
}

/// Takes out the columns of the key that are named as they are anyway.
fn leave_key(access: &Access, id: &RecordId, changes: &mut Row) {
    let fields = access.visible.key_fields().iter().zip(id.values());
    for (field, value) in fields {
        if changes.get(&field.name) == Some(value) {
            changes.remove(&field.name);
        }
    }
}

/// No row under a key any more.
pub(crate) fn delete(
    tx: &mut Transaction<'_>,
    access: &Access,
    id: RecordId,
    condition: &Condition,
) -> Result<Written, Problem> {
    let before = visible(tx, access, &id)?.ok_or_else(|| access.no_row(&id))?;
    condition.check(Some(before.seq()))?;
    if !access.may_change(Some(before.values()), None) {
        return Err(outside(access));
    }
    tx.delete(&access.collection, id.clone())?;
    Ok(Written {
        id,
        created: false,
        record: None,
        seq: tx.seq(),
    })
}
