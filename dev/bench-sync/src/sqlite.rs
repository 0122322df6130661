//! SQLite: changesets and patchsets of its session extension, packed with Zstandard.

use bench::Result;
use bench::mobile::{Mobile, MobileTable};
use common::Value;
use rusqlite::types::{ToSqlOutput, Value as Sql, ValueRef};
use rusqlite::{Connection, params_from_iter};

use crate::session::{self, Session};
use crate::subject::{Cell, Change, Subject, Traffic, cell};

/// Columns with an index, as TandemDB has them.
const INDEXES: &str = "
CREATE INDEX users_city ON users (city);
CREATE INDEX tasks_project ON tasks (project);
CREATE INDEX messages_channel ON messages (channel);
CREATE INDEX messages_sender ON messages (sender);
CREATE INDEX products_category ON products (category);
";

pub(crate) struct Sqlite {
    /// A patchset leaves out what rows held before.
    patches: bool,
    server: Connection,
    client: Connection,
    pending: Vec<u8>,
    first: bool,
}

impl Sqlite {
    pub(crate) fn patchset() -> Result<Box<dyn Subject>> {
        Self::open(true)
    }

    pub(crate) fn changeset() -> Result<Box<dyn Subject>> {
        Self::open(false)
    }

    fn open(patches: bool) -> Result<Box<dyn Subject>> {
        Ok(Box::new(Self {
            patches,
            server: Connection::open_in_memory()?,
            client: Connection::open_in_memory()?,
            pending: Vec::new(),
            first: true,
        }))
    }

    /// Runs `work` on the server and keeps what it changed.
    fn record(&mut self, work: impl FnOnce(&Connection) -> Result<()>) -> Result<()> {
        let session = Session::of(&self.server)?;
        self.server.execute_batch("BEGIN")?;
        work(&self.server)?;
        self.server.execute_batch("COMMIT")?;
        let changes = session.changes(self.patches)?;
        drop(session);
        self.pending = changes;
        Ok(())
    }
}

fn sql(value: &Value) -> ToSqlOutput<'_> {
    match value {
        Value::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        other => ToSqlOutput::Owned(match cell(other) {
            Cell::Null => Sql::Null,
            Cell::Bool(value) => Sql::Integer(value.into()),
            Cell::Int(value) => Sql::Integer(value),
            Cell::Float(value) => Sql::Real(value),
            Cell::Text(value) => Sql::Text(value),
            Cell::Bytes(value) => Sql::Blob(value),
        }),
    }
}

fn create(table: &MobileTable) -> String {
    let names: Vec<&str> = table
        .schema
        .fields
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    let key = names[..table.schema.key_columns].join(", ");
    format!(
        "CREATE TABLE {} ({}, PRIMARY KEY ({key})) WITHOUT ROWID;\n",
        table.schema.name,
        names.join(", ")
    )
}

fn insert(db: &Connection, table: &MobileTable, row: &[Value]) -> Result<()> {
    let marks = vec!["?"; row.len()].join(", ");
    let text = format!("INSERT INTO {} VALUES ({marks})", table.schema.name);
    let mut statement = db.prepare_cached(&text)?;
    statement.execute(params_from_iter(row.iter().map(sql)))?;
    Ok(())
}

fn key_is(table: &MobileTable) -> String {
    let fields = table.schema.fields[..table.schema.key_columns].iter();
    let parts: Vec<String> = fields.map(|field| format!("{} = ?", field.name)).collect();
    parts.join(" AND ")
}

impl Subject for Sqlite {
    fn publish(&mut self, data: &Mobile) -> Result<()> {
        let tables: String = data.tables.iter().map(create).collect();
        for db in [&self.server, &self.client] {
            db.execute_batch(&tables)?;
            db.execute_batch(INDEXES)?;
        }
        self.record(|db| {
            data.tables
                .iter()
                .try_for_each(|table| table.rows.iter().try_for_each(|row| insert(db, table, row)))
        })
    }

    fn change(&mut self, before: &Mobile, change: &Change) -> Result<()> {
        self.record(|db| {
            match change {
                Change::Edits(edits) => {
                    for edit in edits {
                        let table = &before.tables[edit.table];
                        let sets: Vec<String> = edit
                            .columns
                            .iter()
                            .map(|(at, _)| format!("{} = ?", table.schema.fields[*at].name))
                            .collect();
                        let text = format!(
                            "UPDATE {} SET {} WHERE {}",
                            table.schema.name,
                            sets.join(", "),
                            key_is(table)
                        );
                        let key = table.rows[edit.row][..table.schema.key_columns].iter();
                        let values = edit.columns.iter().map(|(_, value)| value).chain(key);
                        db.prepare_cached(&text)?
                            .execute(params_from_iter(values.map(sql)))?;
                    }
                }
                Change::Inserts(rows) => {
                    for (table, row) in rows {
                        insert(db, &before.tables[*table], row)?;
                    }
                }
                Change::Deletes(keys) => {
                    for (table, key) in keys {
                        let table = &before.tables[*table];
                        let text =
                            format!("DELETE FROM {} WHERE {}", table.schema.name, key_is(table));
                        db.prepare_cached(&text)?
                            .execute(params_from_iter(key.iter().map(sql)))?;
                    }
                }
            }
            Ok(())
        })
    }

    fn sync(&mut self) -> Result<Traffic> {
        let changes = std::mem::take(&mut self.pending);
        if changes.is_empty() {
            // What a client would have to ask is not part of the extension.
            return Ok(Traffic::default());
        }
        let level = if self.first { 9 } else { 19 };
        self.first = false;
        let packed = zstd::bulk::compress(&changes, level)?;
        let mut received = zstd::stream::decode_all(packed.as_slice())?;
        session::apply(&self.client, &mut received)?;
        Ok(Traffic {
            up: 0,
            down: packed.len() as u64,
            round_trips: 1,
        })
    }

    fn rows(&self, data: &Mobile) -> Result<Vec<Vec<Vec<Cell>>>> {
        let read = |table: &MobileTable| -> Result<Vec<Vec<Cell>>> {
            let text = format!("SELECT * FROM {}", table.schema.name);
            let mut statement = self.client.prepare(&text)?;
            let mut rows = statement.query([])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let cells = table.schema.fields.iter().enumerate().map(|(at, field)| {
                    Ok(match row.get_ref(at)? {
                        ValueRef::Null => Cell::Null,
                        ValueRef::Integer(value) if field.ty == common::schema::FieldType::Bool => {
                            Cell::Bool(value != 0)
                        }
                        ValueRef::Integer(value) => Cell::Int(value),
                        ValueRef::Real(value) => Cell::Float(value),
                        ValueRef::Text(text) => {
                            Cell::Text(String::from_utf8_lossy(text).into_owned())
                        }
                        ValueRef::Blob(bytes) => Cell::Bytes(bytes.to_vec()),
                    })
                });
                found.push(cells.collect::<Result<_>>()?);
            }
            Ok(found)
        };
        data.tables.iter().map(read).collect()
    }
}
