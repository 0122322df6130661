//! Automerge: a document with a map of rows for each table, and its sync protocol.

use automerge::sync::{Message, State, SyncDoc as _};
use automerge::transaction::Transactable as _;
use automerge::{AutoCommit, ObjId, ObjType, ROOT, ReadDoc as _, ScalarValue, Value as Found};
use bench::Result;
use bench::mobile::{Mobile, MobileTable};
use common::Value;

use crate::subject::{Cell, Change, Subject, Traffic, cell, key_text};

pub(crate) struct Automerge {
    server: AutoCommit,
    client: AutoCommit,
    /// What each side knows of the other.
    of_client: State,
    of_server: State,
}

impl Automerge {
    pub(crate) fn open() -> Box<dyn Subject> {
        Box::new(Self {
            server: AutoCommit::new(),
            client: AutoCommit::new(),
            of_client: State::new(),
            of_server: State::new(),
        })
    }

    fn table(&self, name: &str) -> Result<ObjId> {
        match self.server.get(ROOT, name)? {
            Some((_, id)) => Ok(id),
            None => Err(format!("there is no table {name}").into()),
        }
    }

    fn insert(&mut self, table: &MobileTable, id: &ObjId, row: &[Value]) -> Result<()> {
        let key = key_text(&row[..table.schema.key_columns]);
        let map = self.server.put_object(id, key.as_str(), ObjType::Map)?;
        for (field, value) in table.schema.fields.iter().zip(row) {
            self.server.put(&map, field.name.as_str(), scalar(value))?;
        }
        Ok(())
    }
}

fn scalar(value: &Value) -> ScalarValue {
    match cell(value) {
        Cell::Null => ScalarValue::Null,
        Cell::Bool(value) => ScalarValue::Boolean(value),
        Cell::Int(value) => ScalarValue::Int(value),
        Cell::Float(value) => ScalarValue::F64(value),
        Cell::Text(value) => ScalarValue::Str(value.into()),
        Cell::Bytes(value) => ScalarValue::Bytes(value),
    }
}

impl Subject for Automerge {
    fn publish(&mut self, data: &Mobile) -> Result<()> {
        for table in &data.tables {
            let name = table.schema.name.as_str();
            let id = self.server.put_object(ROOT, name, ObjType::Map)?;
            // In commits of 100 rows, because a change that is a large part of all commits is sent as the whole document.
            for rows in table.rows.chunks(100) {
                for row in rows {
                    self.insert(table, &id, row)?;
                }
                self.server.commit();
            }
        }
        Ok(())
    }

    fn change(&mut self, before: &Mobile, change: &Change) -> Result<()> {
        match change {
            Change::Edits(edits) => {
                for edit in edits {
                    let table = &before.tables[edit.table];
                    let rows = self.table(&table.schema.name)?;
                    let key = key_text(&table.rows[edit.row][..table.schema.key_columns]);
                    let (_, row) = self.server.get(&rows, key.as_str())?.ok_or("no such row")?;
                    for (at, value) in &edit.columns {
                        let name = table.schema.fields[*at].name.as_str();
                        self.server.put(&row, name, scalar(value))?;
                    }
                }
            }
            Change::Inserts(rows) => {
                for (at, row) in rows {
                    let table = &before.tables[*at];
                    let id = self.table(&table.schema.name)?;
                    self.insert(table, &id, row)?;
                }
            }
            Change::Deletes(keys) => {
                for (at, key) in keys {
                    let id = self.table(&before.tables[*at].schema.name)?;
                    self.server.delete(&id, key_text(key).as_str())?;
                }
            }
        }
        self.server.commit();
        Ok(())
    }

    fn sync(&mut self) -> Result<Traffic> {
        let mut traffic = Traffic::default();
        loop {
            let up = self
                .client
                .sync()
                .generate_sync_message(&mut self.of_server);
            let up = up.map(Message::encode);
            if let Some(bytes) = &up {
                traffic.up += bytes.len() as u64;
                self.server
                    .sync()
                    .receive_sync_message(&mut self.of_client, Message::decode(bytes)?)?;
            }
            let down = self
                .server
                .sync()
                .generate_sync_message(&mut self.of_client);
            let down = down.map(Message::encode);
            if let Some(bytes) = &down {
                traffic.down += bytes.len() as u64;
                self.client
                    .sync()
                    .receive_sync_message(&mut self.of_server, Message::decode(bytes)?)?;
            }
            if up.is_none() && down.is_none() {
                return Ok(traffic);
            }
            traffic.round_trips += 1;
        }
    }

    fn rows(&self, data: &Mobile) -> Result<Vec<Vec<Vec<Cell>>>> {
        let read = |table: &MobileTable| -> Result<Vec<Vec<Cell>>> {
            let name = table.schema.name.as_str();
            let (_, id) = self.client.get(ROOT, name)?.ok_or("no such table")?;
            let keys = self.client.keys(&id);
            keys.map(|key| {
                let (_, row) = self.client.get(&id, key.as_str())?.ok_or("no such row")?;
                let fields = table.schema.fields.iter();
                fields
                    .map(|field| {
                        let found = self.client.get(&row, field.name.as_str())?;
                        Ok(match found.ok_or("no such column")?.0 {
                            Found::Scalar(value) => match value.into_owned() {
                                ScalarValue::Null => Cell::Null,
                                ScalarValue::Boolean(value) => Cell::Bool(value),
                                ScalarValue::Int(value) => Cell::Int(value),
                                ScalarValue::F64(value) => Cell::Float(value),
                                ScalarValue::Str(value) => Cell::Text(value.to_string()),
                                ScalarValue::Bytes(value) => Cell::Bytes(value),
                                other => return Err(format!("unexpected {other:?}").into()),
                            },
                            Found::Object(_) => return Err("a cell is no object".into()),
                        })
                    })
                    .collect()
            })
            .collect()
        };
        data.tables.iter().map(read).collect()
    }
}
