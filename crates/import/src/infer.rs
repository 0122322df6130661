//! Finds out what a column holds from its cells.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use common::schema::FieldType;
use common::utils::types::{CellKind, KindGuess, parse_cell};
use serde_json::Value as Json;

use super::Cell;
use super::cell::{is_null, kind_of, type_of};

/// Most odd cells of a column that are looked at again.
const ODD_CELLS_KEPT: usize = 1_000;

/// What a column holds.
#[derive(Debug, PartialEq)]
pub(crate) struct Guessed {
    pub(crate) ty: FieldType,
    pub(crate) nullable: bool,
    /// How many cells are of that type, and how many there are, when a few are not: then those are more
    /// likely mistakes than a reason to take the whole column for text.
    pub(crate) majority: Option<(usize, usize)>,
}

/// Sees the cells of one column, one after another.
#[derive(Debug, Default)]
pub(crate) struct Guess {
    text: KindGuess,
    /// Text cells by the kind that each would have alone, in the order of [`CellKind::ALL`].
    counts: [usize; CellKind::ALL.len()],
    odd: Vec<String>,
    typed: Shape,
    has_text: bool,
    has_nulls: bool,
}

/// What JSON values have in common.
#[derive(Debug, Clone, Default, PartialEq)]
enum Shape {
    #[default]
    Unknown,
    One(FieldType),
    List(Box<Shape>),
    Map(Box<Shape>),
    Mixed,
}

impl Shape {
    fn of(json: &Json) -> Self {
        let inner = |values: &mut dyn Iterator<Item = &Json>| {
            let shapes = values.map(|value| match value {
                // Types of elements are not nullable, so a null makes them any type.
                Json::Null => Self::Mixed,
                value => Self::of(value),
            });
            Box::new(shapes.fold(Self::Unknown, Self::merge))
        };
        match json {
            Json::Null => Self::Unknown,
            Json::Bool(_) => Self::One(FieldType::Bool),
            Json::Number(number) if number.is_i64() => Self::One(FieldType::Int),
            Json::Number(_) => Self::One(FieldType::Float),
            Json::String(text) => {
                let mut guess = KindGuess::default();
                guess.see(text);
                // Numbers in quotes are text that somebody meant to be text.
                Self::One(match guess.kind() {
                    Some(kind @ (CellKind::Date | CellKind::Timestamp | CellKind::Uuid)) => {
                        type_of(kind)
                    }
                    _ => FieldType::Text,
                })
            }
            Json::Array(items) => Self::List(inner(&mut items.iter())),
            Json::Object(map) => Self::Map(inner(&mut map.values())),
        }
    }

    fn merge(self, other: Self) -> Self {
        use FieldType::{Date, Float, Int, Text, Timestamp, Uuid};
        match (self, other) {
            (Self::Unknown, shape) | (shape, Self::Unknown) => shape,
            (Self::One(a), Self::One(b)) if a == b => Self::One(a),
            (Self::One(Int | Float), Self::One(Int | Float)) => Self::One(Float),
            (
                Self::One(Text | Date | Timestamp | Uuid),
                Self::One(Text | Date | Timestamp | Uuid),
            ) => Self::One(Text),
            (Self::List(a), Self::List(b)) => Self::List(Box::new(a.merge(*b))),
            (Self::Map(a), Self::Map(b)) => Self::Map(Box::new(a.merge(*b))),
            _ => Self::Mixed,
        }
    }

    fn ty(self) -> FieldType {
        match self {
            Self::Unknown | Self::Mixed => FieldType::Any,
            Self::One(ty) => ty,
            Self::List(inner) => FieldType::List(Box::new(inner.ty())),
            Self::Map(inner) => FieldType::Map(Box::new(inner.ty())),
        }
    }
}

impl Guess {
    pub(crate) fn see(&mut self, cell: Cell<'_>, nulls: &[String]) {
        match cell {
            Cell::Missing | Cell::Quoted | Cell::Json(Json::Null) => self.has_nulls = true,
            Cell::Text(text) if is_null(text, nulls) => self.has_nulls = true,
            Cell::Json(Json::String(text)) if nulls.iter().any(|null| null == text) => {
                self.has_nulls = true;
            }
            Cell::Text(text) => self.see_text(text.trim(), text),
            Cell::Typed(value) => self.has_nulls |= value.is_null(),
            Cell::Json(json) => {
                self.typed = std::mem::take(&mut self.typed).merge(Shape::of(json));
            }
        }
    }

    fn see_text(&mut self, trimmed: &str, text: &str) {
        self.has_text = true;
        // A cell of white space only is text, whatever the others are.
        let text = if trimmed.is_empty() { text } else { trimmed };
        self.text.see(text);
        let mut alone = KindGuess::default();
        alone.see(text);
        let kind = alone.kind().unwrap_or(CellKind::Text);
        for (known, count) in CellKind::ALL.iter().zip(&mut self.counts) {
            *count += usize::from(*known == kind);
        }
        if kind == CellKind::Text && self.odd.len() < ODD_CELLS_KEPT {
            self.odd.push(text.to_owned());
        }
    }

    /// The column's type. With `strict`, a text column of which at least nine in ten cells, or all but one,
    /// are of another type gets that type.
    pub(crate) fn finish(self, strict: bool) -> Guessed {
        let mut guessed = Guessed {
            ty: FieldType::Text,
            nullable: self.has_nulls,
            majority: None,
        };
        if !self.has_text {
            guessed.ty = match self.typed {
                // Nothing but nulls.
                Shape::Unknown => FieldType::Text,
                shape => shape.ty(),
            };
            return guessed;
        }
        guessed.ty = self.text.kind().map_or(FieldType::Text, type_of);
        if strict
            && guessed.ty == FieldType::Text
            && let Some((kind, count)) = self.majority()
        {
            guessed.ty = type_of(kind);
            guessed.majority = Some((count, self.counts.iter().sum()));
        }
        guessed
    }

    /// The kind of most cells of a text column, when the others look like mistakes.
    fn majority(&self) -> Option<(CellKind, usize)> {
        let count = |kind: CellKind| {
            let mut counts = CellKind::ALL.iter().zip(&self.counts);
            counts
                .find(|(known, _)| **known == kind)
                .map_or(0, |(_, count)| *count)
        };
        let numbers = count(CellKind::Int) + count(CellKind::Float);
        let number_kind = if count(CellKind::Float) > 0 {
            CellKind::Float
        } else {
            CellKind::Int
        };
        let mut candidates = vec![(number_kind, numbers)];
        for kind in [
            CellKind::Bool,
            CellKind::Date,
            CellKind::Timestamp,
            CellKind::Uuid,
        ] {
            candidates.push((kind, count(kind)));
        }
        let (kind, fitting) = candidates.into_iter().max_by_key(|(_, count)| *count)?;
        let all: usize = self.counts.iter().sum();
        let odd = all - fitting;
        // `01069` is a number too, but whoever wrote the zero meant a code: then the column is text.
        let is_code = |text: &String| parse_cell(text, kind).is_ok();
        let looks_wrong = fitting >= 2 && odd <= (all / 10).max(1) && odd == count(CellKind::Text);
        (looks_wrong && !self.odd.iter().any(is_code)).then_some((kind, fitting))
    }
}

/// Whether text cells of this type are read by kind, so that a wrong one has a cell to name.
pub(crate) fn has_kind(ty: &FieldType) -> bool {
    kind_of(ty).is_some_and(|kind| kind != CellKind::Text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(cells: &[&str], strict: bool) -> Guessed {
        let mut guess = Guess::default();
        for cell in cells {
            guess.see(Cell::Text(cell), &["n/a".to_owned()]);
        }
        guess.finish(strict)
    }

    #[test]
    fn one_odd_cell_is_a_mistake_several_are_text() {
        let found = guess(&["1", "2", "abc"], true);
        assert_eq!(found.ty, FieldType::Int);
        assert_eq!(found.majority, Some((2, 3)));
        assert_eq!(guess(&["1", "2", "abc"], false).ty, FieldType::Text);
        assert_eq!(guess(&["1", "2", "abc", "def"], true).ty, FieldType::Text);
        assert_eq!(guess(&["1", "abc"], true).ty, FieldType::Text);
        assert_eq!(guess(&["1.5", "2", "abc"], true).ty, FieldType::Float);
        assert_eq!(guess(&["true", "false", "maybe"], true).ty, FieldType::Bool);
        let found = guess(&["1", "2", "n/a", ""], true);
        assert_eq!((found.ty, found.nullable), (FieldType::Int, true));
    }

    #[test]
    fn codes_with_a_leading_zero_make_the_column_text() {
        assert_eq!(guess(&["10", "20", "30", "01"], true).ty, FieldType::Text);
        assert_eq!(guess(&["10", "20", "+1"], true).ty, FieldType::Text);
    }

    #[test]
    fn json_values_find_their_common_type() {
        let guess = |lines: &[&str]| {
            let mut guess = Guess::default();
            for line in lines {
                guess.see(Cell::Json(&serde_json::from_str(line).unwrap()), &[]);
            }
            guess.finish(true).ty
        };
        let list = |inner| FieldType::List(Box::new(inner));
        assert_eq!(guess(&["1", "2.5"]), FieldType::Float);
        assert_eq!(guess(&["\"12\""]), FieldType::Text);
        assert_eq!(
            guess(&["\"2026-11-22\"", "\"2026-11-23\""]),
            FieldType::Date
        );
        assert_eq!(guess(&["[]", "[1]", "[2.5]"]), list(FieldType::Float));
        assert_eq!(guess(&["[1, null]"]), list(FieldType::Any));
        assert_eq!(
            guess(&["{\"a\": 1}", "{\"b\": \"x\"}"]),
            FieldType::Map(Box::new(FieldType::Any))
        );
        assert_eq!(guess(&["1", "\"x\""]), FieldType::Any);
        assert_eq!(guess(&["null"]), FieldType::Text);
    }
}
