//! Yjs, by its port `yrs`: a document with a map of rows for each table; updates in encoding 2, packed with Zstandard.

use bench::Result;
use bench::mobile::{Mobile, MobileTable};
use common::Value;
use common::schema::FieldType;
use yrs::any::Number;
use yrs::types::ToJson as _;
use yrs::updates::decoder::Decode as _;
use yrs::updates::encoder::Encode as _;
use yrs::{
    Any, Doc, Map as _, MapPrelim, MapRef, Out, ReadTxn as _, StateVector, Transact as _,
    TransactionMut, Update,
};

use crate::subject::{Cell, Change, Subject, Traffic, cell, key_text};

pub(crate) struct Yjs {
    server: Doc,
    client: Doc,
    first: bool,
}

impl Yjs {
    pub(crate) fn open() -> Box<dyn Subject> {
        Box::new(Self {
            server: Doc::new(),
            client: Doc::new(),
            first: true,
        })
    }
}

fn insert(txn: &mut TransactionMut<'_>, rows: &MapRef, table: &MobileTable, row: &[Value]) {
    let key = key_text(&row[..table.schema.key_columns]);
    let fields = table.schema.fields.iter().zip(row);
    let columns = fields.map(|(field, value)| (field.name.to_string(), scalar(value)));
    rows.insert(txn, key, columns.collect::<MapPrelim>());
}

fn scalar(value: &Value) -> Any {
    match cell(value) {
        Cell::Null => Any::Null,
        Cell::Bool(value) => value.into(),
        Cell::Int(value) => Any::from(value),
        Cell::Float(value) => value.into(),
        Cell::Text(value) => Any::from(value),
        Cell::Bytes(value) => Any::from(value),
    }
}

impl Subject for Yjs {
    fn publish(&mut self, data: &Mobile) -> Result<()> {
        for table in &data.tables {
            let name = table.schema.name.as_str();
            self.client.get_or_insert_map(name);
            let rows = self.server.get_or_insert_map(name);
            let mut txn = self.server.transact_mut();
            for row in &table.rows {
                insert(&mut txn, &rows, table, row);
            }
        }
        Ok(())
    }

    fn change(&mut self, before: &Mobile, change: &Change) -> Result<()> {
        let maps: Vec<MapRef> = before
            .tables
            .iter()
            .map(|table| self.server.get_or_insert_map(table.schema.name.as_str()))
            .collect();
        let mut txn = self.server.transact_mut();
        match change {
            Change::Edits(edits) => {
                for edit in edits {
                    let table = &before.tables[edit.table];
                    let key = key_text(&table.rows[edit.row][..table.schema.key_columns]);
                    let Some(Out::YMap(row)) = maps[edit.table].get(&txn, &key) else {
                        return Err(format!("there is no row {key}").into());
                    };
                    for (at, value) in &edit.columns {
                        let name = table.schema.fields[*at].name.to_string();
                        row.insert(&mut txn, name, scalar(value));
                    }
                }
            }
            Change::Inserts(rows) => {
                for (at, row) in rows {
                    insert(&mut txn, &maps[*at], &before.tables[*at], row);
                }
            }
            Change::Deletes(keys) => {
                for (at, key) in keys {
                    maps[*at].remove(&mut txn, &key_text(key));
                }
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<Traffic> {
        let request = self.client.transact().state_vector().encode_v1();
        let known = StateVector::decode_v1(&request)?;
        let level = if self.first { 9 } else { 19 };
        let update = self.server.transact().encode_state_as_update_v2(&known);
        let answer = zstd::bulk::compress(&update, level)?;
        let received = zstd::stream::decode_all(answer.as_slice())?;
        let mut txn = self.client.transact_mut();
        txn.apply_update(Update::decode_v2(&received)?)?;
        self.first = false;
        Ok(Traffic {
            up: request.len() as u64,
            down: answer.len() as u64,
            round_trips: 1,
        })
    }

    fn rows(&self, data: &Mobile) -> Result<Vec<Vec<Vec<Cell>>>> {
        let read = |table: &MobileTable| -> Result<Vec<Vec<Cell>>> {
            let rows = self.client.get_or_insert_map(table.schema.name.as_str());
            let txn = self.client.transact();
            let Any::Map(rows) = rows.to_json(&txn) else {
                return Err("a table is a map".into());
            };
            let read = |row: &Any| -> Result<Vec<Cell>> {
                let Any::Map(row) = row else {
                    return Err("a row is a map".into());
                };
                let fields = table.schema.fields.iter();
                fields
                    .map(|field| {
                        let found = row.get(field.name.as_str()).ok_or("no such column")?;
                        number(&field.ty, found)
                    })
                    .collect()
            };
            rows.values().map(read).collect()
        };
        data.tables.iter().map(read).collect()
    }
}

/// Numbers have one kind in Yjs: one without a fraction comes back as a whole one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "whole numbers in columns of such, as they were put in"
)]
fn number(ty: &FieldType, found: &Any) -> Result<Cell> {
    Ok(match found {
        Any::Null => Cell::Null,
        Any::Bool(value) => Cell::Bool(*value),
        Any::Number(value) => match (ty, value) {
            (FieldType::Float, Number::Int(value)) => Cell::Float(*value as f64),
            (_, Number::Int(value)) => Cell::Int(*value),
            (FieldType::Float, Number::Float(value)) => Cell::Float(*value),
            (_, Number::Float(value)) => Cell::Int(*value as i64),
        },
        Any::String(value) => Cell::Text(value.to_string()),
        Any::Buffer(value) => Cell::Bytes(value.to_vec()),
        other => return Err(format!("unexpected {other:?}").into()),
    })
}
