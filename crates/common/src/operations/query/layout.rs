//! [`Layout`]: the columns that a filter or an order sees, of one table or of several joined ones.

use std::fmt::Write as _;

use super::path::{Part, Path};
use crate::core::base::{Text, Value};
use crate::core::schema::{FieldType, Schema};
use crate::error::{Error, Result};

/// What stands for a part that is not there.
pub(super) static NULL: Value = Value::Null;

/// The columns of one row as conditions see it.
#[derive(Debug, Clone, Default)]
pub(super) struct Layout {
    /// Names of the tables (or their aliases) and how many columns each has, in order.
    tables: Vec<(Text, usize)>,
    columns: Vec<LayoutColumn>,
}

#[derive(Debug, Clone)]
pub(super) struct LayoutColumn {
    pub(super) name: Text,
    pub(super) ty: FieldType,
    /// Position in `Layout::tables`.
    table: usize,
}

/// Where a value is in a row: a column's position and steps into its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    pub(super) column: usize,
    pub(super) parts: Box<[Part]>,
}

impl Place {
    pub(super) fn column(column: usize) -> Self {
        Self {
            column,
            parts: Box::default(),
        }
    }

    /// The value here; null when a part is not there.
    #[inline]
    pub(super) fn of<'a>(&self, row: &'a [Value]) -> &'a Value {
        let value = row.get(self.column).unwrap_or(&NULL);
        if self.parts.is_empty() {
            value
        } else {
            inner(value, &self.parts)
        }
    }

    /// The column, when the place is a whole one.
    pub(super) fn whole(&self) -> Option<usize> {
        self.parts.is_empty().then_some(self.column)
    }
}

fn inner<'a>(mut value: &'a Value, parts: &[Part]) -> &'a Value {
    for part in parts {
        let next = match (part, value) {
            (Part::Key(key), Value::Map(map)) => map.get(key),
            (Part::Index(index), Value::List(items)) => items.get(*index as usize),
            _ => None,
        };
        match next {
            Some(next) => value = next,
            None => return &NULL,
        }
    }
    value
}

impl Layout {
    pub(super) fn of_schema(schema: &Schema) -> Self {
        let mut layout = Self::default();
        layout.add(schema.name.clone(), schema);
        layout
    }

    /// Adds the columns of a table behind those that are there.
    pub(super) fn add(&mut self, name: Text, schema: &Schema) {
        let columns = schema.fields.iter().map(|f| (f.name.clone(), f.ty.clone()));
        self.add_columns(name, columns);
    }

    pub(super) fn add_columns(
        &mut self,
        name: Text,
        columns: impl IntoIterator<Item = (Text, FieldType)>,
    ) {
        let table = self.tables.len();
        let before = self.columns.len();
        self.columns.extend(
            columns
                .into_iter()
                .map(|(name, ty)| LayoutColumn { name, ty, table }),
        );
        self.tables.push((name, self.columns.len() - before));
    }

    pub(super) fn columns(&self) -> &[LayoutColumn] {
        &self.columns
    }

    /// Name of a column, with its table in front when a join has the name twice.
    pub(super) fn output_name(&self, position: usize) -> Text {
        let Some(column) = self.columns.get(position) else {
            return Text::default();
        };
        let twice = self
            .columns
            .iter()
            .filter(|c| c.name == column.name)
            .count()
            > 1;
        match self.tables.get(column.table) {
            Some((table, _)) if twice => Text::from(format!("{table}.{}", column.name)),
            _ => column.name.clone(),
        }
    }

    pub(super) fn type_of(&self, place: &Place) -> FieldType {
        let Some(column) = self.columns.get(place.column) else {
            return FieldType::Any;
        };
        place
            .parts
            .iter()
            .try_fold(&column.ty, |ty, part| step(ty, part))
            .cloned()
            .unwrap_or(FieldType::Any)
    }

    /// Finds a path: `column.part..`, in joins also `table.column.part..`.
    pub(super) fn resolve(&self, path: &Path) -> Result<Place> {
        let (column, parts) = match (self.position(&path.column)?, path.parts.split_first()) {
            (Some(column), _) => (column, path.parts.as_slice()),
            (None, Some((Part::Key(name), rest))) if self.table(&path.column).is_some() => {
                (self.position_in(&path.column, name)?, rest)
            }
            (None, _) => match self.whole_text(path) {
                Some(column) => (column, [].as_slice()),
                None => return Err(self.unknown(&path.column)),
            },
        };
        let place = Place {
            column,
            parts: parts.into(),
        };
        self.check_parts(path, &place)?;
        Ok(place)
    }

    /// The column named exactly as the path is written: how results name nested parts.
    fn whole_text(&self, path: &Path) -> Option<usize> {
        let text = path.to_string();
        self.columns.iter().position(|column| column.name == text)
    }

    fn table(&self, name: &str) -> Option<usize> {
        self.tables.iter().position(|(table, _)| table == name)
    }

    fn position(&self, name: &str) -> Result<Option<usize>> {
        let mut found = self
            .columns
            .iter()
            .enumerate()
            .filter(|(_, c)| c.name == name);
        let Some((position, _)) = found.next() else {
            return Ok(None);
        };
        if found.next().is_some() {
            let tables: Vec<String> = self
                .columns
                .iter()
                .filter(|c| c.name == name)
                .filter_map(|c| self.tables.get(c.table))
                .map(|(table, _)| format!("`{table}.{name}`"))
                .collect();
            return Err(Error::invalid(format!(
                "column `{name}` is in several tables; write {}",
                tables.join(" or ")
            )));
        }
        Ok(Some(position))
    }

    fn position_in(&self, table: &str, name: &str) -> Result<usize> {
        let at = self.table(table);
        self.columns
            .iter()
            .position(|column| Some(column.table) == at && column.name == name)
            .ok_or_else(|| self.unknown(&format!("{table}.{name}")))
    }

    fn unknown(&self, name: &str) -> Error {
        let mut message = String::new();
        for (i, (table, _)) in self.tables.iter().enumerate() {
            let names: Vec<&str> = self
                .columns
                .iter()
                .filter(|column| column.table == i)
                .map(|column| column.name.as_str())
                .collect();
            let between = if i == 0 { "" } else { "; those of " };
            let table = format!("`{table}`");
            let _ = if i == 0 {
                write!(message, "{table} has no column `{name}`; its columns are ")
            } else {
                write!(message, "{between}{table} are ")
            };
            message.push_str(&names.join(", "));
        }
        Error::not_found(message)
    }

    fn check_parts(&self, path: &Path, place: &Place) -> Result<()> {
        let Some(column) = self.columns.get(place.column) else {
            return Ok(());
        };
        let mut ty = &column.ty;
        for part in &place.parts {
            ty = step(ty, part).ok_or_else(|| {
                Error::invalid(match part {
                    Part::Key(key) => {
                        format!(
                            "`{path}`: {ty} in column `{}` has no key `{key}`",
                            column.name
                        )
                    }
                    Part::Index(index) => format!(
                        "`{path}`: {ty} in column `{}` has no element {index}",
                        column.name
                    ),
                })
            })?;
        }
        Ok(())
    }
}

/// The type of a part of a value of type `ty`; `None` when such values have no such part.
fn step<'a>(ty: &'a FieldType, part: &Part) -> Option<&'a FieldType> {
    match (ty, part) {
        (FieldType::Any, _) => Some(&FieldType::Any),
        (FieldType::Map(inner), Part::Key(_)) | (FieldType::List(inner), Part::Index(_)) => {
            Some(inner)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::base::Map;
    use crate::core::schema::Field;

    fn layout() -> Layout {
        let ty = FieldType::Map(Box::new(FieldType::List(Box::new(FieldType::Int))));
        let cities = Schema::build("cities", ["id"])
            .field(Field::new("id", FieldType::Int))
            .field(Field::new("more", ty))
            .finish()
            .unwrap();
        let mut layout = Layout::of_schema(&cities);
        let countries = Schema::build("countries", ["id"])
            .field(Field::new("id", FieldType::Text))
            .field(Field::new("name", FieldType::Text))
            .finish()
            .unwrap();
        layout.add("c".into(), &countries);
        layout
    }

    #[test]
    fn paths_lead_to_columns_and_into_them() {
        let layout = layout();
        let place = layout.resolve(&Path::from("more.x[1]")).unwrap();
        assert_eq!(layout.type_of(&place), FieldType::Int);
        let map: Map = [("x".into(), Value::from(vec![1_i64.into(), Value::from(2)]))].into();
        let row = [Value::from(7), Value::from(map)];
        assert_eq!(*place.of(&row), Value::from(2));
        let missing = layout.resolve(&Path::from("more.y[1]")).unwrap();
        assert!(missing.of(&row).is_null());
        assert_eq!(
            layout.resolve(&Path::from("c.id")).unwrap(),
            Place::column(2)
        );
        assert_eq!(
            layout.resolve(&Path::from("name")).unwrap(),
            Place::column(3)
        );
        assert_eq!(layout.output_name(2), "c.id");
    }

    #[test]
    fn what_is_not_there_is_named_with_what_is() {
        let error = |path: &str| layout().resolve(&Path::from(path)).unwrap_err().to_string();
        assert_eq!(
            error("size"),
            "`cities` has no column `size`; its columns are id, more; those of `c` are id, name"
        );
        assert_eq!(
            error("id"),
            "column `id` is in several tables; write `cities.id` or `c.id`"
        );
        assert_eq!(
            error("more.x.y"),
            "`more.x.y`: list of int in column `more` has no key `y`"
        );
        assert_eq!(
            error("name[0]"),
            "`name[0]`: text in column `name` has no element 0"
        );
    }
}
