//! [`Digest`]: a number that two sets of rows share when they are equal.

use std::fmt;
use std::ops::ControlFlow;

use common::schema::Schema;
use common::serialization::Format;
use common::{Collection, Map, Result, Text, Value, Vector, View};
use twox_hash::XxHash3_128;

/// Number of rows, and the sum of their hashes modulo 2^128.
///
/// The hash of a row is XXH3 of 128 bits over the table's name and the values of the columns concerned, as
/// `docs/wire-format.md` has it. A sum does not depend on the order of its terms, and a changed row is one
/// subtraction and one addition. It detects accidents, with a chance of 2^-128 to miss one. It is no proof against
/// a peer who *wants* two sets to collide: such a peer may write rows anyway, and all that a collision gains is
/// that a difference which exists for another reason goes unnoticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Digest {
    /// Number of rows.
    pub rows: u64,
    /// Sum of the rows' hashes.
    pub sum: u128,
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.sum)
    }
}

impl Digest {
    /// The digest of all rows of these tables, with all columns. Costs a pass over them.
    ///
    /// # Errors
    /// Only with a storage that can fail.
    pub fn of(view: View<'_>, tables: &[Collection]) -> Result<Self> {
        let mut digest = Self::default();
        for table in tables {
            let mut hasher = RowHasher::whole(&table.schema());
            view.scan(table, &mut |records| {
                for record in records {
                    digest.add(hasher.hash(record));
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(digest)
    }

    /// Adds a row by its hash.
    pub(crate) fn add(&mut self, hash: u128) {
        self.rows = self.rows.wrapping_add(1);
        self.sum = self.sum.wrapping_add(hash);
    }

    /// Takes a row away.
    pub(crate) fn remove(&mut self, hash: u128) {
        self.rows = self.rows.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(hash);
    }

    /// The digest of two sets that have no row in common.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            rows: self.rows.wrapping_add(other.rows),
            sum: self.sum.wrapping_add(other.sum),
        }
    }
}

/// Hashes the rows of one table by some of its columns: those of the key, and the ones named.
#[derive(Debug, Clone)]
pub(crate) struct RowHasher {
    /// What every row begins with.
    prefix: Vec<u8>,
    key_columns: usize,
    /// Position and number of each other column.
    columns: Vec<(usize, [u8; 4])>,
    buffer: Vec<u8>,
}

impl RowHasher {
    /// With all columns.
    pub(crate) fn whole(schema: &Schema) -> Self {
        Self::new(schema, schema.key_columns..schema.fields.len())
    }

    /// With the key and the columns at these positions, in ascending order.
    pub(crate) fn new(schema: &Schema, positions: impl IntoIterator<Item = usize>) -> Self {
        let mut prefix = Vec::with_capacity(32);
        write(&Value::Text(schema.name.clone()), &mut prefix);
        let columns = positions.into_iter().filter_map(|position| {
            let field = schema.fields.get(position)?;
            Some((position, field.id.0.to_le_bytes()))
        });
        Self {
            prefix,
            key_columns: schema.key_columns,
            columns: columns.collect(),
            buffer: Vec::with_capacity(128),
        }
    }

    /// With the key alone.
    pub(crate) fn of_keys(table: &Text, key_columns: usize) -> Self {
        let mut prefix = Vec::with_capacity(32);
        write(&Value::Text(table.clone()), &mut prefix);
        Self {
            prefix,
            key_columns,
            columns: Vec::new(),
            buffer: Vec::with_capacity(64),
        }
    }

    pub(crate) fn hash(&mut self, row: &[Value]) -> u128 {
        self.write(row);
        XxHash3_128::oneshot(&self.buffer)
    }

    /// The hash of a row and that of its key.
    pub(crate) fn hash_with_key(&mut self, row: &[Value]) -> (u128, u128) {
        let end = self.write(row);
        let key = self.buffer.get(..end).unwrap_or_default();
        (
            XxHash3_128::oneshot(&self.buffer),
            XxHash3_128::oneshot(key),
        )
    }

    /// Writes what is hashed, and returns where the key ends in it.
    fn write(&mut self, row: &[Value]) -> usize {
        let buffer = &mut self.buffer;
        buffer.clear();
        buffer.extend_from_slice(&self.prefix);
        for value in row.iter().take(self.key_columns) {
            write(value, buffer);
        }
        let end = buffer.len();
        for (position, field) in &self.columns {
            buffer.extend_from_slice(field);
            write(row.get(*position).unwrap_or(&Value::Null), buffer);
        }
        end
    }
}

/// Appends a value as MessagePack, with `-0.0` as `0.0`.
fn write(value: &Value, buffer: &mut Vec<u8>) {
    // MessagePack holds every value below 4 GiB, and larger ones never pass a frame.
    let _ = match value {
        Value::Float(_) | Value::List(_) | Value::Map(_) | Value::Vector(_) => {
            Format::MsgPack.encode_value(&canonical(value), buffer)
        }
        value => Format::MsgPack.encode_value(value, buffer),
    };
}

/// The value with every negative zero made positive.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Float(float) if *float == 0.0 => Value::Float(0.0),
        Value::List(items) => Value::List(items.iter().map(canonical).collect()),
        Value::Map(map) => {
            let entries = map
                .iter()
                .map(|(key, value)| (key.clone(), canonical(value)));
            Value::from(entries.collect::<Map>())
        }
        Value::Vector(vector) => Value::from(without_negative_zeros(vector)),
        other => other.clone(),
    }
}

fn without_negative_zeros(vector: &Vector) -> Vector {
    // Adding zero changes nothing but the sign of a negative zero.
    match vector {
        Vector::F32(values) => Vector::F32(values.iter().map(|v| v + 0.0).collect()),
        Vector::F16(values) => Vector::F16(
            values
                .iter()
                .map(|v| {
                    if v.to_f32() == 0.0 {
                        half::f16::ZERO
                    } else {
                        *v
                    }
                })
                .collect(),
        ),
        Vector::Sparse {
            dimension,
            indices,
            values,
        } => Vector::Sparse {
            dimension: *dimension,
            indices: indices.clone(),
            values: values.iter().map(|v| v + 0.0).collect(),
        },
        other => other.clone(),
    }
}
