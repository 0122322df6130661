//! [`Digest`]: a number that two sets of rows share when they are equal.

use std::collections::HashMap;
use std::fmt;
use std::ops::ControlFlow;

use common::serialization::Format;
use common::versioning::{Change, ChangeKind, TableId};
use common::{Collection, Map, Result, Seq, Text, Value, Vector, View};
use sha2::{Digest as _, Sha256};

/// Number of rows, and the sum of their hashes modulo 2^128.
///
/// The hash of a row is the first 16 bytes, little-endian, of SHA-256 over the MessagePack array
/// `[table name, value, value, ..]` in storage order, with `-0.0` written as `0.0` because the two are equal. A sum does
/// not depend on the order of its terms, and a changed row is one subtraction and one addition. It detects
/// accidents; it is no proof against a peer who *wants* two sets to collide.
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
    /// Adds a row.
    pub fn add(&mut self, table: &str, values: &[Value]) {
        self.rows = self.rows.wrapping_add(1);
        self.sum = self.sum.wrapping_add(hash(table, values));
    }

    /// Takes a row away.
    pub fn remove(&mut self, table: &str, values: &[Value]) {
        self.rows = self.rows.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(hash(table, values));
    }

    /// The digest of all rows of these tables. Costs a pass over them.
    ///
    /// # Errors
    /// Only with a storage that can fail.
    pub fn of(view: View<'_>, tables: &[Collection]) -> Result<Self> {
        let mut digest = Self::default();
        for table in tables {
            view.scan(table, &mut |records| {
                for record in records {
                    digest.add(table.name(), record);
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(digest)
    }
}

fn hash(table: &str, values: &[Value]) -> u128 {
    let mut bytes = Vec::with_capacity(256);
    // The head of an array; what follows is written value by value, because a list of them would be a copy of the row.
    match values.len() + 1 {
        len @ ..16 => bytes.push(0x90 | u8::try_from(len).unwrap_or_default()),
        len => {
            bytes.push(0xdc);
            // A table has at most 4,096 columns.
            bytes.extend_from_slice(&u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    let mut write = |value: &Value| {
        // MessagePack holds every value below 4 GiB, and larger ones never pass a frame.
        let _ = Format::MsgPack.encode_value(value, &mut bytes);
    };
    write(&Value::from(table));
    for value in values {
        match value {
            Value::Float(_) | Value::List(_) | Value::Map(_) | Value::Vector(_) => {
                write(&canonical(value));
            }
            other => write(other),
        }
    }
    let hash = Sha256::digest(&bytes);
    let first = hash.first_chunk::<16>().copied().unwrap_or_default();
    u128::from_le_bytes(first)
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

/// A digest that follows the commits of one database, so that the rows need not be read again.
#[derive(Debug, Default)]
pub(crate) struct TrackedDigest {
    at: Option<Seq>,
    digest: Digest,
}

impl TrackedDigest {
    /// The digest at the commit `seq`, when it is known.
    pub(crate) fn at(&self, seq: Seq) -> Option<Digest> {
        (self.at == Some(seq)).then_some(self.digest)
    }

    /// Notes what the digest is at a commit.
    pub(crate) fn set(&mut self, seq: Seq, digest: Digest) {
        if self.at.is_none_or(|at| at < seq) {
            self.at = Some(seq);
            self.digest = digest;
        }
    }

    /// Forgets the digest: the set of tables is another one.
    pub(crate) fn reset(&mut self) {
        self.at = None;
    }

    /// Follows one commit, whose changes carry the records before them. A commit that is not the next one
    /// leaves the digest where it was: it is computed anew when it is asked for.
    pub(crate) fn advance(&mut self, seq: Seq, changes: &[Change], names: &HashMap<TableId, Text>) {
        if self.at.is_none_or(|at| at.next() != seq) {
            return;
        }
        for change in changes {
            let Some(table) = names.get(&change.table) else {
                continue;
            };
            if let Some(before) = &change.before {
                self.digest.remove(table, before);
            } else if change.kind != ChangeKind::Insert {
                self.at = None;
                return;
            }
            if let Some(after) = change.after() {
                self.digest.add(table, after);
            }
        }
        self.at = Some(seq);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition: SHA-256 over one MessagePack array.
    fn defined(table: &str, values: &[Value]) -> u128 {
        let list = std::iter::once(Value::from(table)).chain(values.iter().map(canonical));
        let mut bytes = Vec::new();
        let list = Value::List(list.collect());
        Format::MsgPack.encode_value(&list, &mut bytes).unwrap();
        let hash = Sha256::digest(&bytes);
        u128::from_le_bytes(*hash.first_chunk().unwrap())
    }

    #[test]
    fn a_row_is_hashed_as_one_array() {
        let nested = Value::from(vec![Value::from(-0.0), Value::Null]);
        for columns in [1, 14, 15, 16, 300] {
            let mut values = vec![Value::from("text"); columns];
            assert_eq!(hash("t", &values), defined("t", &values), "{columns}");
            *values.last_mut().unwrap() = nested.clone();
            assert_eq!(hash("t", &values), defined("t", &values), "{columns}");
        }
        assert_eq!(
            hash("t", &[Value::from(-0.0)]),
            hash("t", &[Value::from(0.0)])
        );
    }
}
