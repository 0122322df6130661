//! The replica's side of comparing ranges: what it asks, and what it makes of the answers.
//!
//! The server tells what parts of a range add up to; parts that add up to the same here are done. Of a part with few
//! rows the replica sends the hashes it has, and gets the rows that are in none of them. Every answer halves the unequal
//! ranges many times over, so k differing rows among n cost in the order of k log n sums.

use common::{RecordId, Result, Text, Value};

use super::pinned::Own;
use super::protocol::{Block, BlockKind, Bound, QUESTIONS_MAX, Range, RangeQuestion, RangeReply};

/// Of a range with at most so many rows at the server, they are fetched rather than split further.
const FETCH_ROWS_MAX: u64 = 16;
/// The same where the replica has none, so that every one is missing.
const FETCH_ABSENT_MAX: u64 = 256;
/// Where the server has few rows, more hashes than this cost more than the rows do.
const HASHES_WORTH_MAX: usize = 256;
/// Most bytes of hashes in one request, about.
const HASH_BYTES_MAX: usize = 64 << 10;

/// A range that is still to be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Open {
    range: Range,
    /// Whether its rows are to be fetched.
    fetch: bool,
}

/// The ranges that are still to be compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Work(Vec<Open>);

impl Work {
    /// The whole, as it is compared at first.
    pub(crate) fn all() -> Self {
        Self(vec![Open {
            range: Range::default(),
            fetch: false,
        }])
    }

    /// The questions of one request, from the end of the list.
    pub(crate) fn questions(&self, own: &Own) -> Vec<RangeQuestion> {
        let mut bytes = 0;
        let mut questions = Vec::new();
        for open in self.0.iter().rev() {
            if questions.len() >= QUESTIONS_MAX || bytes >= HASH_BYTES_MAX {
                break;
            }
            let rows = open.fetch.then(|| {
                let rows = own.rows(&open.range);
                // With many rows here and few there, the hashes cost more than the rows.
                let worth = rows.len() <= HASHES_WORTH_MAX;
                let hashes = rows.iter().filter(|_| worth).map(|(_, hash)| *hash);
                hashes.collect::<Vec<u64>>()
            });
            bytes += 32 + 8 * rows.as_ref().map_or(0, Vec::len);
            questions.push(RangeQuestion {
                range: open.range.clone(),
                rows,
            });
        }
        questions
    }

    /// Takes in the answers to the first of the questions. Gives the keys of rows that the server does not have.
    ///
    /// # Errors
    /// When they are answers to something else.
    pub(crate) fn answered(
        &mut self,
        own: &Own,
        asked: &[RangeQuestion],
        answers: &[RangeReply],
    ) -> Result<Vec<Bound>> {
        let misfit = || common::Error::corrupt("the server answered other questions about ranges");
        if answers.len() > asked.len() || (answers.is_empty() && !asked.is_empty()) {
            return Err(misfit());
        }
        let mut unknown = Vec::new();
        let mut more = Vec::new();
        for (question, answer) in asked.iter().zip(answers) {
            let open = self.0.pop().ok_or_else(misfit)?;
            if open.range != question.range {
                return Err(misfit());
            }
            match (answer, &question.rows) {
                (RangeReply::Parts(parts), None) => {
                    let mut after = question.range.after.clone();
                    for part in parts {
                        if part.upto.is_some() && part.upto <= after {
                            return Err(misfit());
                        }
                        let range = Range {
                            after: after.clone(),
                            upto: part.upto.clone(),
                        };
                        after.clone_from(&part.upto);
                        let (rows, sum) = own.sum(&range);
                        if (rows, sum) == (part.rows, part.sum) {
                            continue;
                        }
                        let few = part.rows <= FETCH_ROWS_MAX
                            || (rows == 0 && part.rows <= FETCH_ABSENT_MAX);
                        // A range that cannot be split is fetched, whatever its size.
                        let fetch = few || parts.len() == 1;
                        more.push(Open { range, fetch });
                    }
                }
                (RangeReply::Unknown(positions), Some(hashes)) => {
                    let rows = own.rows(&question.range);
                    if hashes.len() == rows.len() {
                        for position in positions {
                            let row = rows.get(*position as usize).ok_or_else(misfit)?;
                            unknown.push(row.0.clone());
                        }
                    } else {
                        // None were sent: whatever the server did not send now, it does not have.
                        unknown.extend(rows.iter().map(|(bound, _)| bound.clone()));
                    }
                }
                _ => return Err(misfit()),
            }
        }
        more.reverse();
        self.0.append(&mut more);
        Ok(unknown)
    }

    /// The list as a value, to be kept.
    pub(crate) fn to_value(&self) -> Value {
        let bound = |bound: &Option<Bound>| {
            bound.as_ref().map_or(Value::Null, |bound| {
                Value::from(vec![
                    Value::Text(bound.table.clone()),
                    Value::List(bound.key.values().into()),
                ])
            })
        };
        let open = self.0.iter().map(|open| {
            Value::from(vec![
                bound(&open.range.after),
                bound(&open.range.upto),
                Value::from(open.fetch),
            ])
        });
        Value::List(open.collect())
    }

    pub(crate) fn from_value(value: &Value) -> Option<Self> {
        let bound = |value: &Value| match value {
            Value::Null => Some(None),
            value => {
                let [table, key] = value.as_list()? else {
                    return None;
                };
                Some(Some(Bound {
                    table: Text::new(table.as_text()?),
                    key: RecordId::from(key.as_list()?),
                }))
            }
        };
        let open = |value: &Value| {
            let [after, upto, fetch] = value.as_list()? else {
                return None;
            };
            Some(Open {
                range: Range {
                    after: bound(after)?,
                    upto: bound(upto)?,
                },
                fetch: fetch.as_bool()?,
            })
        };
        Some(Self(
            value.as_list()?.iter().map(open).collect::<Option<_>>()?,
        ))
    }
}

/// Blocks that say that rows are gone.
pub(crate) fn gone(rows: Vec<Bound>) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for Bound { table, key } in rows {
        let fits = blocks
            .last()
            .is_some_and(|block| block.table == table && block.columns.len() == key.values().len());
        if !fits {
            blocks.push(Block {
                table,
                kind: BlockKind::Gone,
                scopes: 0,
                fields: Vec::new(),
                columns: vec![Vec::new(); key.values().len()],
            });
        }
        if let Some(block) = blocks.last_mut() {
            for (column, value) in block.columns.iter_mut().zip(key.values()) {
                column.push(value.clone());
            }
        }
    }
    blocks
}
