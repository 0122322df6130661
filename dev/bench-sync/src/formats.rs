//! Formats and compressors with no protocol around them: everything at first, then the rows that changed.
//!
//! They are given more than a sync has: the server knows by itself what changed since when, and the client is done
//! when it holds rows, without a store or an index. Changed rows are sent with all their columns, because the
//! formats have no place for some of them; deletions as the keys in one JSON list.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};

use bench::Result;
use bench::mobile::{Mobile, MobileTable};
use common::serialization::{Format, decode_schema, encode_schema};
use common::{Limits, Metadata, Record, RecordId, Value};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use crate::subject::{Cell, Change, Subject, Traffic, cells};

/// How bytes are packed after a format wrote them.
#[derive(Clone, Copy)]
pub(crate) enum Packing {
    Gzip,
    /// The level for everything; changes are packed at 19.
    Zstd(i32),
    /// The format does it.
    Own,
}

pub(crate) struct Formatted {
    format: Format,
    packing: Packing,
    /// What the server sends next: parts by table, then the keys that went.
    parcels: Vec<(usize, Vec<Record>)>,
    gone: Vec<(usize, Vec<Value>)>,
    tables: Vec<MobileTable>,
    first: bool,
    client: Vec<BTreeMap<RecordId, Vec<Value>>>,
}

impl Formatted {
    pub(crate) fn open(format: Format, packing: Packing) -> Box<dyn Subject> {
        Box::new(Self {
            format,
            packing,
            parcels: Vec::new(),
            gone: Vec::new(),
            tables: Vec::new(),
            first: true,
            client: Vec::new(),
        })
    }

    fn pack(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        Ok(match self.packing {
            Packing::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(bytes)?;
                encoder.finish()?
            }
            Packing::Zstd(level) => {
                zstd::bulk::compress(bytes, if self.first { level } else { 19 })?
            }
            Packing::Own => bytes.to_vec(),
        })
    }

    fn unpack(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        Ok(match self.packing {
            Packing::Gzip => {
                let mut out = Vec::new();
                GzDecoder::new(bytes).read_to_end(&mut out)?;
                out
            }
            Packing::Zstd(_) => zstd::stream::decode_all(bytes)?,
            Packing::Own => bytes.to_vec(),
        })
    }
}

fn record(table: &MobileTable, row: &[Value]) -> Record {
    Record::new(
        Metadata::default(),
        table.schema.key_columns,
        row.iter().cloned(),
    )
}

impl Subject for Formatted {
    fn publish(&mut self, data: &Mobile) -> Result<()> {
        self.tables = data
            .tables
            .iter()
            .map(|table| MobileTable {
                schema: table.schema.clone(),
                rows: Vec::new(),
            })
            .collect();
        self.client = vec![BTreeMap::new(); data.tables.len()];
        self.parcels = data
            .tables
            .iter()
            .map(MobileTable::records)
            .enumerate()
            .collect();
        Ok(())
    }

    fn change(&mut self, before: &Mobile, change: &Change) -> Result<()> {
        let mut rows: BTreeMap<usize, Vec<Record>> = BTreeMap::new();
        match change {
            Change::Edits(edits) => {
                for edit in edits {
                    let table = &before.tables[edit.table];
                    let mut row = table.rows[edit.row].clone();
                    for (column, value) in &edit.columns {
                        row[*column] = value.clone();
                    }
                    rows.entry(edit.table)
                        .or_default()
                        .push(record(table, &row));
                }
            }
            Change::Inserts(inserts) => {
                for (table, row) in inserts {
                    let record = record(&before.tables[*table], row);
                    rows.entry(*table).or_default().push(record);
                }
            }
            Change::Deletes(keys) => self.gone.clone_from(keys),
        }
        self.parcels = rows.into_iter().collect();
        Ok(())
    }

    fn sync(&mut self) -> Result<Traffic> {
        let mut wire = Vec::new();
        let parcels = std::mem::take(&mut self.parcels);
        let mut sizes = Vec::new();
        for (table, records) in &parcels {
            let before = wire.len();
            let schema = &self.tables[*table].schema;
            if self.first {
                // A new client is told what the columns are.
                wire.extend_from_slice(&encode_schema(schema)?);
            }
            let head = wire.len();
            self.format.encode_rows(schema, records, &mut wire)?;
            sizes.push((*table, head - before, wire.len() - before));
        }
        let gone = std::mem::take(&mut self.gone);
        if !gone.is_empty() {
            let keys: Vec<(usize, Value)> = gone
                .iter()
                .map(|(table, key)| (*table, Value::from(key.clone())))
                .collect();
            wire.extend_from_slice(&serde_json::to_vec(&keys)?);
        }
        let packed = self.pack(&wire)?;
        let received = self.unpack(&packed)?;
        let limits = Limits::default().total_bytes_max(4 << 30);
        let mut rest = received.as_slice();
        for (table, head, size) in sizes {
            let (part, after) = rest.split_at(size);
            rest = after;
            let (head, body) = part.split_at(head);
            let mut schema = self.tables[table].schema.clone();
            if self.first {
                schema = decode_schema(head, &limits)?;
            }
            let rows = self.format.decode_rows(&schema, body, &limits)?;
            let client = &mut self.client[table];
            for row in rows {
                client.insert(RecordId::from(&row[..schema.key_columns]), row);
            }
        }
        if !rest.is_empty() {
            let keys: Vec<(usize, Value)> = serde_json::from_slice(rest)?;
            for (table, key) in keys {
                let key = key.as_list().ok_or("a key is a list")?;
                self.client[table].remove(&RecordId::from(key));
            }
        }
        self.first = false;
        Ok(Traffic {
            up: 0,
            down: packed.len() as u64,
            round_trips: 1,
        })
    }

    fn rows(&self, _data: &Mobile) -> Result<Vec<Vec<Vec<Cell>>>> {
        let rows =
            |table: &BTreeMap<RecordId, Vec<Value>>| table.values().map(|row| cells(row)).collect();
        Ok(self.client.iter().map(rows).collect())
    }
}
