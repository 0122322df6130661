//! [`Kind`]: how the value of a feature lies in 64 bits, and [`Texts`]: the texts that some of these stand for.

use std::hash::BuildHasher;

use common::schema::FieldType;
use common::{Date, Error, Result, Text, Timestamp, Value};
use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// What stands for a value that is missing.
pub(super) const MISSING: f64 = f64::NAN;

/// Greatest integer of which a cell holds every one below it: 2^53.
pub(super) const INTEGER_MAX: i64 = 1 << f64::MANTISSA_DIGITS;

/// What the values of a feature are. A cell is a float for each of them, so that a row of features is a row of a matrix
/// as it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Float,
    Int,
    Bool,
    Timestamp,
    Date,
    Text,
}

impl Kind {
    /// That of a column's type, if features may be of it.
    pub(super) const fn of(ty: &FieldType) -> Option<Self> {
        Some(match ty {
            FieldType::Float => Self::Float,
            FieldType::Int => Self::Int,
            FieldType::Bool => Self::Bool,
            FieldType::Timestamp => Self::Timestamp,
            FieldType::Date => Self::Date,
            FieldType::Text => Self::Text,
            _ => return None,
        })
    }

    /// The value of a cell that is no text.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the cell was made of such an integer"
    )]
    pub(super) fn value(self, cell: f64) -> Value {
        if cell.is_nan() {
            return Value::Null;
        }
        match self {
            Self::Float => Value::Float(cell),
            Self::Int => Value::Int(cell as i64),
            Self::Bool => Value::Bool(cell != 0.0),
            Self::Timestamp => Value::Timestamp(Timestamp(cell as i64)),
            Self::Date => Value::Date(Date(cell as i32)),
            Self::Text => Value::Null,
        }
    }
}

/// The cell of a value that is no text.
#[expect(
    clippy::cast_precision_loss,
    reason = "rules of the table keep integers below 2^53"
)]
pub(super) fn cell_of(value: &Value) -> f64 {
    match value {
        Value::Float(number) => *number,
        Value::Int(number) => *number as f64,
        Value::Bool(is) => f64::from(u8::from(*is)),
        Value::Timestamp(at) => at.0 as f64,
        Value::Date(day) => f64::from(day.0),
        _ => MISSING,
    }
}

/// Texts of one feature, each once, by number. A text that no row has any more goes, and its number to another.
#[derive(Default)]
pub(super) struct Texts {
    numbers: HashTable<u32>,
    by_number: Vec<Counted>,
    free: Vec<u32>,
    hasher: RandomState,
}

struct Counted {
    text: Text,
    rows: u32,
}

impl Texts {
    /// The cell of a text, which one more row has.
    pub(super) fn take(&mut self, text: &str) -> Result<f64> {
        let hash = self.hasher.hash_one(text);
        let is = |number: &u32| self.text(*number) == Some(text);
        if let Some(number) = self.numbers.find(hash, is).copied() {
            if let Some(counted) = self.by_number.get_mut(number as usize) {
                counted.rows += 1;
            }
            return Ok(f64::from(number));
        }
        let counted = Counted {
            text: Text::from(text),
            rows: 1,
        };
        let number = match self.free.pop() {
            Some(number) => {
                if let Some(place) = self.by_number.get_mut(number as usize) {
                    *place = counted;
                }
                number
            }
            None => {
                let number = u32::try_from(self.by_number.len()).map_err(|_| {
                    Error::limit_exceeded("a feature has at most 2^32 different texts")
                })?;
                self.by_number.push(counted);
                number
            }
        };
        let (texts, hasher) = (&self.by_number, &self.hasher);
        self.numbers.insert_unique(hash, number, |other| {
            hasher.hash_one(texts.get(*other as usize).map_or("", |c| c.text.as_str()))
        });
        Ok(f64::from(number))
    }

    /// Gives a cell back, which one row less has.
    pub(super) fn give_back(&mut self, cell: f64) {
        let Some(number) = number_of(cell) else {
            return;
        };
        let Some(counted) = self.by_number.get_mut(number as usize) else {
            return;
        };
        counted.rows -= 1;
        if counted.rows > 0 {
            return;
        }
        let text = std::mem::take(&mut counted.text);
        let hash = self.hasher.hash_one(text.as_str());
        if let Ok(found) = self.numbers.find_entry(hash, |other| *other == number) {
            found.remove();
        }
        self.free.push(number);
    }

    /// The text of a cell, if one is there.
    pub(super) fn of_cell(&self, cell: f64) -> Option<&str> {
        self.text(number_of(cell)?)
    }

    fn text(&self, number: u32) -> Option<&str> {
        self.by_number.get(number as usize).map(|c| c.text.as_str())
    }

    /// Bytes that the texts take, their numbers included.
    pub(super) fn heap_bytes(&self) -> usize {
        let texts: usize = self.by_number.iter().map(|c| text_bytes(&c.text)).sum();
        texts + self.by_number.capacity() * size_of::<Counted>() + self.numbers.allocation_size()
    }
}

/// The number of a text in a cell.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cell was made of such a number"
)]
fn number_of(cell: f64) -> Option<u32> {
    (!cell.is_nan()).then_some(cell as u32)
}

/// Bytes of heap behind a text.
pub(super) fn text_bytes(text: &Text) -> usize {
    if text.is_heap_allocated() {
        text.len()
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_goes_with_its_last_row_and_its_number_to_another() {
        let mut texts = Texts::default();
        let cells: Vec<f64> = ["a", "b", "a", "c"]
            .map(|text| texts.take(text).unwrap())
            .into();
        assert_eq!(cells, [0.0, 1.0, 0.0, 2.0]);
        texts.give_back(cells[0]);
        assert_eq!(texts.of_cell(0.0), Some("a"), "one row has it still");
        texts.give_back(cells[2]);
        texts.give_back(MISSING);
        assert_eq!(texts.take("d").ok(), Some(0.0));
        assert_eq!(texts.take("a").ok(), Some(3.0));
        assert_eq!(texts.take("c").ok(), Some(2.0));
        assert_eq!(
            (texts.of_cell(0.0), texts.of_cell(MISSING)),
            (Some("d"), None)
        );
    }
}
