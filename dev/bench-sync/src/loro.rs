//! Loro: a document with a map of rows for each table; updates since a version, packed with Zstandard.

use bench::Result;
use bench::mobile::{Mobile, MobileTable};
use common::Value;
use loro::{Container, ExportMode, LoroDoc, LoroMap, LoroValue, ValueOrContainer, VersionVector};

use crate::subject::{Cell, Change, Subject, Traffic, cell, key_text};

pub(crate) struct Loro {
    server: LoroDoc,
    client: LoroDoc,
    first: bool,
}

impl Loro {
    pub(crate) fn open() -> Box<dyn Subject> {
        Box::new(Self {
            server: LoroDoc::new(),
            client: LoroDoc::new(),
            first: true,
        })
    }
}

fn insert(rows: &LoroMap, table: &MobileTable, row: &[Value]) -> Result<()> {
    let key = key_text(&row[..table.schema.key_columns]);
    let map = rows.insert_container(&key, LoroMap::new())?;
    for (field, value) in table.schema.fields.iter().zip(row) {
        map.insert(&field.name, scalar(value))?;
    }
    Ok(())
}

fn scalar(value: &Value) -> LoroValue {
    match cell(value) {
        Cell::Null => LoroValue::Null,
        Cell::Bool(value) => value.into(),
        Cell::Int(value) => value.into(),
        Cell::Float(value) => value.into(),
        Cell::Text(value) => value.into(),
        Cell::Bytes(value) => value.into(),
    }
}

impl Subject for Loro {
    fn publish(&mut self, data: &Mobile) -> Result<()> {
        for table in &data.tables {
            let rows = self.server.get_map(table.schema.name.as_str());
            for row in &table.rows {
                insert(&rows, table, row)?;
            }
        }
        self.server.commit();
        Ok(())
    }

    fn change(&mut self, before: &Mobile, change: &Change) -> Result<()> {
        let rows_of = |at: usize| self.server.get_map(before.tables[at].schema.name.as_str());
        match change {
            Change::Edits(edits) => {
                for edit in edits {
                    let table = &before.tables[edit.table];
                    let key = key_text(&table.rows[edit.row][..table.schema.key_columns]);
                    let row = rows_of(edit.table).get(&key);
                    let Some(ValueOrContainer::Container(Container::Map(row))) = row else {
                        return Err(format!("there is no row {key}").into());
                    };
                    for (at, value) in &edit.columns {
                        row.insert(&table.schema.fields[*at].name, scalar(value))?;
                    }
                }
            }
            Change::Inserts(rows) => {
                for (at, row) in rows {
                    insert(&rows_of(*at), &before.tables[*at], row)?;
                }
            }
            Change::Deletes(keys) => {
                for (at, key) in keys {
                    rows_of(*at).delete(&key_text(key))?;
                }
            }
        }
        self.server.commit();
        Ok(())
    }

    fn sync(&mut self) -> Result<Traffic> {
        let request = self.client.oplog_vv().encode();
        let known = VersionVector::decode(&request)?;
        let mode = if self.first {
            ExportMode::Snapshot
        } else {
            ExportMode::updates(&known)
        };
        let level = if self.first { 9 } else { 19 };
        let answer = zstd::bulk::compress(&self.server.export(mode)?, level)?;
        let received = zstd::stream::decode_all(answer.as_slice())?;
        self.client.import(&received)?;
        self.first = false;
        Ok(Traffic {
            up: request.len() as u64,
            down: answer.len() as u64,
            round_trips: 1,
        })
    }

    fn rows(&self, data: &Mobile) -> Result<Vec<Vec<Vec<Cell>>>> {
        let read = |table: &MobileTable| -> Result<Vec<Vec<Cell>>> {
            let rows = self.client.get_map(table.schema.name.as_str());
            let LoroValue::Map(rows) = rows.get_deep_value() else {
                return Err("a table is a map".into());
            };
            let read = |row: &LoroValue| -> Result<Vec<Cell>> {
                let LoroValue::Map(row) = row else {
                    return Err("a row is a map".into());
                };
                let fields = table.schema.fields.iter();
                fields
                    .map(|field| {
                        Ok(
                            match row.get(field.name.as_str()).ok_or("no such column")? {
                                LoroValue::Null => Cell::Null,
                                LoroValue::Bool(value) => Cell::Bool(*value),
                                LoroValue::I64(value) => Cell::Int(*value),
                                LoroValue::Double(value) => Cell::Float(*value),
                                LoroValue::String(value) => Cell::Text(value.to_string()),
                                LoroValue::Binary(value) => Cell::Bytes(value.to_vec()),
                                other => return Err(format!("unexpected {other:?}").into()),
                            },
                        )
                    })
                    .collect()
            };
            rows.values().map(read).collect()
        };
        data.tables.iter().map(read).collect()
    }
}
