//! [`Token`]: where a replica stands in what it is being sent, in bytes that mean something to the server alone.
//!
//! A token that cannot be read, is of another epoch or belongs to other scopes is as good as none: the server begins
//! again, which costs bytes and nothing else.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use common::serialization::Format;
use common::{Limits, RecordId, Result, Seq, Value};

use super::protocol::{Bound, Epoch, TOKEN_BYTES_MAX};
use super::system::number;

/// What is being sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// The rows of the scope that joins, as of a commit, in order, of which the first `next` were sent. The last of
    /// them is `after`, unless its key is too long for a token.
    Rows {
        seq: Seq,
        next: u64,
        after: Option<Bound>,
    },
    /// Its rows are compared with the replica's.
    Ranges { seq: Seq },
    /// Changes up to a commit, of which the first `next` were sent.
    Changes { to: Seq, next: u64 },
}

/// Where a replica stands in what it is being sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) epoch: Epoch,
    /// Which scopes, in which states, it is about.
    pub(crate) scopes: [u8; 16],
    /// Whether the server chose to send everything anew although the replica's position holds.
    pub(crate) anew: bool,
    /// Changes after this commit are still to come.
    pub(crate) from: Seq,
    pub(crate) step: Step,
}

const ROWS: i64 = 0;
const RANGES: i64 = 1;
const CHANGES: i64 = 2;

impl Token {
    /// # Errors
    /// Never: the key of a row is below the limits of a value.
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let (kind, seq, next, after) = match &self.step {
            Step::Rows { seq, next, after } => (ROWS, *seq, *next, after.as_ref()),
            Step::Ranges { seq } => (RANGES, *seq, 0, None),
            Step::Changes { to, next } => (CHANGES, *to, *next, None),
        };
        let short = |after: &&Bound| after.key.heap_bytes() < TOKEN_BYTES_MAX / 2;
        let after = after.filter(short).map_or(Value::Null, |after| {
            Value::from(vec![
                Value::Text(after.table.clone()),
                Value::List(after.key.values().into()),
            ])
        });
        let value = Value::from(vec![
            number(self.epoch.0),
            Value::from(&self.scopes[..]),
            Value::from(self.anew),
            number(self.from.0),
            Value::Int(kind),
            number(seq.0),
            number(next),
            after,
        ]);
        let mut bytes = Vec::new();
        Format::MsgPack.encode_value(&value, &mut bytes)?;
        Ok(bytes)
    }

    /// The token that the bytes are, if they are one.
    pub(crate) fn decode(bytes: &[u8], limits: &Limits) -> Option<Self> {
        if bytes.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let value = Format::MsgPack.decode_value(bytes, limits).ok()?;
        let [epoch, scopes, anew, from, kind, seq, next, after] = value.as_list()? else {
            return None;
        };
        let count = |value: &Value| value.as_int().map(i64::cast_unsigned);
        let after = match after {
            Value::Null => None,
            after => {
                let [table, key] = after.as_list()? else {
                    return None;
                };
                Some(Bound {
                    table: table.as_text()?.into(),
                    key: RecordId::from(key.as_list()?),
                })
            }
        };
        let seq = Seq(count(seq)?);
        Some(Self {
            epoch: Epoch(count(epoch)?),
            scopes: scopes.as_bytes()?.try_into().ok()?,
            anew: anew.as_bool()?,
            from: Seq(count(from)?),
            step: match kind.as_int()? {
                ROWS => Step::Rows {
                    seq,
                    next: count(next)?,
                    after,
                },
                RANGES => Step::Ranges { seq },
                CHANGES => Step::Changes {
                    to: seq,
                    next: count(next)?,
                },
                _ => return None,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_anything_else_is_none() {
        let bound = Bound {
            table: "notes".into(),
            key: RecordId::composite([Value::from(7), Value::from("x")]),
        };
        for step in [
            Step::Rows {
                seq: Seq(9),
                next: 12,
                after: Some(bound),
            },
            Step::Ranges { seq: Seq(u64::MAX) },
            Step::Changes {
                to: Seq(5),
                next: 3,
            },
        ] {
            let token = Token {
                epoch: Epoch(u64::MAX),
                scopes: [7; 16],
                anew: true,
                from: Seq(4),
                step,
            };
            let mut bytes = token.encode().unwrap_or_default();
            assert_eq!(Token::decode(&bytes, &Limits::default()), Some(token));
            while bytes.pop().is_some() {
                assert_eq!(Token::decode(&bytes, &Limits::default()), None);
            }
        }
        assert_eq!(Token::decode(b"", &Limits::default()), None);
    }
}
