//! [`Program`]: how a row of one version becomes a row of another, over any number of migrations, in one pass.

use std::sync::Arc;

use common::schema::{Field, FieldId, Schema};
use common::{Error, Result, Text, Value, ValueInput};
use smallvec::SmallVec;

use super::edge::{Changed, Source};
use super::lens::{Converted, Lens};

/// A place in the row in the making.
struct Cell {
    column: Text,
    make: Make,
}

enum Make {
    Value(Value),
    Lens {
        lens: Arc<Lens>,
        part: usize,
        /// Places that it reads.
        inputs: Vec<usize>,
        is_back: bool,
        /// What it is when there is no way back.
        instead: Value,
    },
}

/// A value of the row in the making.
enum Place<'r, 'p> {
    /// It is of the row before.
    Row(&'r Value),
    /// It is the same in every row.
    Constant(&'p Value),
    /// A lens made it.
    Made(Value),
}

impl Place<'_, '_> {
    const fn value(&self) -> &Value {
        match self {
            Self::Row(value) => value,
            Self::Constant(value) => value,
            Self::Made(value) => value,
        }
    }
}

/// A value that was changed or refused on the way.
pub(super) struct Lost<'a> {
    pub(super) column: &'a Text,
    pub(super) before: &'a Value,
    /// What stands in its place; `None` when it was refused.
    pub(super) after: Option<&'a Value>,
    pub(super) why: String,
}

/// How a row of one version becomes a row of another.
pub(super) struct Program {
    /// Places behind those of the row it starts from.
    cells: Vec<Cell>,
    /// Places of the columns of the row that it makes.
    output: Vec<usize>,
    start: usize,
    /// Whether some row may lose something, as far as the definitions tell.
    pub(super) may_lose: bool,
}

/// Which column is at which place.
struct Layout(Vec<FieldId>);

impl Layout {
    fn of(schema: &Schema) -> Self {
        Self(schema.fields.iter().map(|field| field.id).collect())
    }

    fn find(&self, id: FieldId) -> Option<usize> {
        self.0.iter().position(|known| *known == id)
    }

    fn place(&self, field: &Field) -> Result<usize> {
        self.find(field.id).ok_or_else(|| {
            Error::invalid(format!(
                "column `{}` with number {} is not there",
                field.name, field.id.0
            ))
        })
    }

    fn places(&self, fields: &[Field]) -> Result<Vec<usize>> {
        fields.iter().map(|field| self.place(field)).collect()
    }
}

impl Program {
    /// From `start` over changes to `end`, all in the direction of time.
    pub(super) fn forward(start: &Schema, changes: &[&Changed], end: &Schema) -> Result<Self> {
        let mut layout = Layout::of(start);
        let mut cells = Vec::new();
        let mut may_lose = false;
        for change in changes {
            for (field, source) in &change.added {
                let make = match source {
                    Source::Value(value) => Make::Value(value.clone()),
                    Source::Lens { lens, part } => {
                        let lens = change.lenses.get(*lens).map(Arc::clone);
                        let lens = lens.ok_or_else(|| Error::invalid("a step lacks its lens"))?;
                        may_lose |= lens.may_lose();
                        Make::Lens {
                            inputs: layout.places(&lens.from)?,
                            lens,
                            part: *part,
                            is_back: false,
                            instead: Value::Null,
                        }
                    }
                };
                layout.0.push(field.id);
                cells.push(Cell {
                    column: field.name.clone(),
                    make,
                });
            }
        }
        Ok(Self {
            cells,
            output: layout.places(&end.fields)?,
            start: start.fields.len(),
            may_lose,
        })
    }

    /// From `start` back over changes to `end`; `changes` are in the direction of time.
    pub(super) fn backward(start: &Schema, changes: &[&Changed], end: &Schema) -> Result<Self> {
        let mut layout = Layout::of(start);
        let mut cells = Vec::new();
        for change in changes.iter().rev() {
            // Later steps first: what they went from is what earlier ones led to.
            for lens in change.lenses.iter().rev() {
                for (part, field) in lens.from.iter().enumerate() {
                    if layout.find(field.id).is_some() {
                        continue;
                    }
                    let instead = change.instead.get(&field.id).cloned().unwrap_or_default();
                    let inputs = layout.places(&lens.to);
                    cells.push(Cell {
                        column: field.name.clone(),
                        make: match inputs {
                            Ok(inputs) => Make::Lens {
                                lens: Arc::clone(lens),
                                part,
                                inputs,
                                is_back: true,
                                instead,
                            },
                            Err(_) => Make::Value(instead),
                        },
                    });
                    layout.0.push(field.id);
                }
            }
            for field in &change.before.fields {
                if layout.find(field.id).is_none() {
                    let instead = change.instead.get(&field.id).cloned().unwrap_or_default();
                    cells.push(Cell {
                        column: field.name.clone(),
                        make: Make::Value(instead),
                    });
                    layout.0.push(field.id);
                }
            }
        }
        Ok(Self {
            cells,
            output: layout.places(&end.fields)?,
            start: start.fields.len(),
            may_lose: true,
        })
    }

    /// The values of the new columns, when the rows keep all their columns in their places and get these behind them, the
    /// same in every row.
    pub(super) fn constants(&self) -> Option<Vec<Value>> {
        let in_place = self
            .output
            .iter()
            .copied()
            .eq(0..self.start + self.cells.len());
        let values = self.cells.iter().map(|cell| match &cell.make {
            Make::Value(value) => Some(value.clone()),
            Make::Lens { .. } => None,
        });
        if in_place { values.collect() } else { None }
    }

    /// Appends to `output` the row that becomes of a row, with the texts that stay borrowed from it. `lost` is told of
    /// every value that does not come through whole.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for a value that is refused.
    pub(super) fn run<'r>(
        &self,
        row: &'r [Value],
        output: &mut Vec<ValueInput<'r>>,
        lost: &mut dyn FnMut(&Lost<'_>),
    ) -> Result<()> {
        let before = row.iter().take(self.start);
        let mut places: SmallVec<[Place<'r, '_>; 24]> = before.map(Place::Row).collect();
        for cell in &self.cells {
            let value = match &cell.make {
                Make::Value(value) => Place::Constant(value),
                Make::Lens {
                    lens,
                    part,
                    inputs,
                    is_back,
                    instead,
                } => {
                    let inputs: SmallVec<[&Value; 4]> = inputs
                        .iter()
                        .map(|at| places.get(*at).map_or(&Value::Null, Place::value))
                        .collect();
                    let made = if *is_back {
                        lens.backward(*part, &inputs)
                    } else {
                        Some(lens.forward(*part, &inputs))
                    };
                    let before = inputs.first().copied().unwrap_or(&Value::Null);
                    match made {
                        None => Place::Constant(instead),
                        Some(Converted::Exact(value)) => Place::Made(value),
                        Some(Converted::Lossy(value, why)) => {
                            lost(&Lost {
                                column: &cell.column,
                                before,
                                after: Some(&value),
                                why,
                            });
                            Place::Made(value)
                        }
                        Some(Converted::Refused(why)) => {
                            let error = Error::invalid(format!(
                                "column `{}` cannot take {before:?}: {why}",
                                cell.column
                            ));
                            lost(&Lost {
                                column: &cell.column,
                                before,
                                after: None,
                                why,
                            });
                            return Err(error);
                        }
                    }
                }
            };
            places.push(value);
        }
        // A column has one place, so that each value is taken once.
        output.extend(self.output.iter().map(|at| match places.get_mut(*at) {
            Some(Place::Row(value)) => ValueInput::from(*value),
            Some(Place::Constant(value)) => ValueInput::Value(value.clone()),
            Some(Place::Made(value)) => ValueInput::Value(std::mem::take(value)),
            None => ValueInput::Value(Value::Null),
        }));
        Ok(())
    }
}
