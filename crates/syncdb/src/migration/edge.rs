//! [`Edge`]: a migration worked out against the schemas that it starts from.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::schema::{Field, FieldId, FieldType, ReferenceAction, Schema, SchemaVersion};
use common::{Date, Error, Result, Text, Timestamp, Value};

use super::lens::{Lens, Mapping, Parts, Target};
use super::script::Scripts;
use super::step::{Migration, OnLoss, Step};
use crate::names::is_system;

/// The schemas of one version, by name.
pub(super) type Schemas = BTreeMap<Text, Schema>;

/// What a migration does to each table that it touches.
#[derive(Debug, Default)]
pub(super) struct Edge {
    pub(super) tables: BTreeMap<Text, TableEdge>,
}

#[derive(Debug)]
pub(super) enum TableEdge {
    Added,
    Removed,
    Changed(Box<Changed>),
}

/// A table before and after.
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) before: Schema,
    pub(super) after: Schema,
    /// Columns that came, in the order in which they can be filled.
    pub(super) added: Vec<(Field, Source)>,
    pub(super) lenses: Vec<Arc<Lens>>,
    /// What columns that went hold in rows which were written without them.
    pub(super) instead: BTreeMap<FieldId, Value>,
    /// The highest number that a column has had.
    highest: u32,
}

/// Where a new column's values come from.
#[derive(Debug)]
pub(super) enum Source {
    Value(Value),
    Lens { lens: usize, part: usize },
}

impl Edge {
    /// Works out a migration. `highest` has the highest number that a column of each table ever had.
    pub(super) fn compile(
        before: &Schemas,
        migration: &Migration,
        version: SchemaVersion,
        highest: &BTreeMap<Text, u32>,
        scripts: &Scripts,
    ) -> Result<(Self, Schemas)> {
        migration.check()?;
        let mut edge = Self::default();
        let mut after = before.clone();
        for (number, step) in migration.steps.iter().enumerate() {
            edge.step(&mut after, step, version, highest, scripts)
                .map_err(|error| error.at(format!("step {} ({step})", number + 1)))?;
        }
        for table in edge.tables.values_mut() {
            if let TableEdge::Changed(changed) = table {
                changed.after.version = version;
                changed.after.check()?;
                after.insert(changed.after.name.clone(), changed.after.clone());
            }
        }
        check_references(&after)?;
        Ok((edge, after))
    }

    fn step(
        &mut self,
        after: &mut Schemas,
        step: &Step,
        version: SchemaVersion,
        highest: &BTreeMap<Text, u32>,
        scripts: &Scripts,
    ) -> Result<()> {
        let name = step.table();
        if is_system(name) {
            return Err(Error::invalid(format!(
                "names that begin with `sync_` belong to sync: `{name}`"
            )));
        }
        match (step, self.tables.get(name)) {
            (_, Some(TableEdge::Removed)) => Err(Error::conflict(format!(
                "table `{name}` was removed by a step before"
            ))),
            (Step::AddTable { schema }, None) => {
                if after.contains_key(name) || highest.contains_key(name) {
                    return Err(Error::conflict(format!(
                        "there is a table `{name}` already, or was in an earlier version; choose another name"
                    )));
                }
                let mut schema = schema.clone();
                schema.version = version;
                schema.check()?;
                after.insert(name.clone(), schema);
                self.tables.insert(name.clone(), TableEdge::Added);
                Ok(())
            }
            (_, Some(TableEdge::Added)) => Err(Error::invalid(format!(
                "table `{name}` is new in this migration; declare it as it is to be"
            ))),
            (Step::RemoveTable { .. }, changed) => {
                if changed.is_some() {
                    return Err(Error::invalid(format!(
                        "table `{name}` was changed by a step before; leave those steps out"
                    )));
                }
                if after.remove(name).is_none() {
                    return Err(no_table(after, name));
                }
                self.tables.insert(name.clone(), TableEdge::Removed);
                Ok(())
            }
            (_, None) => {
                let Some(schema) = after.get(name) else {
                    return Err(no_table(after, name));
                };
                let highest = highest.get(name).copied().unwrap_or_default();
                let mut changed = Changed::new(schema.clone(), highest);
                changed.step(step, scripts)?;
                let changed = TableEdge::Changed(Box::new(changed));
                self.tables.insert(name.clone(), changed);
                Ok(())
            }
            (_, Some(TableEdge::Changed(_))) => match self.tables.get_mut(name) {
                Some(TableEdge::Changed(changed)) => changed.step(step, scripts),
                _ => Ok(()),
            },
        }
    }
}

fn no_table(schemas: &Schemas, name: &str) -> Error {
    let known: Vec<&str> = schemas.keys().map(Text::as_str).collect();
    Error::not_found(format!(
        "there is no table `{name}`; the tables are [{}]",
        known.join(", ")
    ))
}

impl Changed {
    fn new(schema: Schema, highest: u32) -> Self {
        Self {
            before: schema.clone(),
            after: schema,
            added: Vec::new(),
            lenses: Vec::new(),
            instead: BTreeMap::new(),
            highest,
        }
    }

    fn step(&mut self, step: &Step, scripts: &Scripts) -> Result<()> {
        match step {
            Step::AddTable { .. } => Err(Error::conflict(format!(
                "there is a table `{}` already",
                self.after.name
            ))),
            Step::RemoveTable { .. } => Ok(()),
            Step::AddColumn { field, value, .. } => self.add(field, value.as_ref()),
            Step::RemoveColumn {
                column, instead, ..
            } => self.remove(column, instead.as_ref()),
            Step::RenameColumn { column, to, .. } => self.rename(column, to),
            Step::AddIndex { index, .. } => {
                self.after.indexes.push(index.clone());
                self.after.check()
            }
            Step::RemoveIndex { index, .. } => {
                let before = self.after.indexes.len();
                self.after.indexes.retain(|known| known.name != *index);
                if self.after.indexes.len() == before {
                    return Err(Error::not_found(format!(
                        "table `{}` has no index `{index}`",
                        self.after.name
                    )));
                }
                Ok(())
            }
            Step::ChangeKey { key, .. } => self.change_key(key),
            _ => self.follow(step, scripts),
        }
    }

    /// Takes a step that makes columns of others.
    fn follow(&mut self, step: &Step, scripts: &Scripts) -> Result<()> {
        match step {
            Step::ChangeColumn {
                column,
                to,
                on_loss,
                on_loss_back,
                ..
            } => {
                let from = self.column(column)?;
                let mapping = Mapping::Convert {
                    forward: Target::new(to, on_loss)?,
                    backward: Target::new(&from, on_loss_back)?,
                };
                self.replace(
                    std::slice::from_ref(column),
                    std::slice::from_ref(to),
                    false,
                    mapping,
                )
            }
            Step::SplitColumn {
                column,
                into,
                separator,
                on_loss,
                ..
            } => {
                let from = self.column(column)?;
                let parts = parts(&from, into, separator, &OnLoss::Refuse, on_loss)?;
                self.replace(
                    std::slice::from_ref(column),
                    into,
                    false,
                    Mapping::Split(parts),
                )
            }
            Step::MergeColumns {
                columns,
                into,
                separator,
                on_loss,
                ..
            } => {
                let from = self.columns(columns)?;
                let parts = parts(into, &from, separator, on_loss, on_loss)?;
                let into = std::slice::from_ref(into);
                self.replace(columns, into, false, Mapping::Merge(parts))
            }
            Step::ComputeColumn {
                field,
                from,
                on_loss,
                ..
            } => {
                let columns: Vec<Text> = from.columns().into_iter().collect();
                let mapping = Mapping::Compute {
                    columns: columns.clone(),
                    expression: from.clone(),
                    target: Target::new(field, on_loss)?,
                };
                self.replace(&columns, std::slice::from_ref(field), true, mapping)
            }
            Step::Script {
                columns,
                into,
                keep,
                function,
                ..
            } => {
                let from = self.columns(columns)?;
                let targets = |fields: &[Field]| {
                    let targets = fields
                        .iter()
                        .map(|field| Target::new(field, &OnLoss::Refuse));
                    targets.collect::<Result<Vec<_>>>()
                };
                let mapping = Mapping::Script {
                    script: scripts.find(function)?.clone(),
                    forward: targets(into)?,
                    backward: targets(&from)?,
                };
                self.replace(columns, into, *keep, mapping)
            }
            other => Err(Error::unsupported(format!("`{other}` is not known here"))),
        }
    }

    fn column(&self, name: &str) -> Result<Field> {
        let position = self.after.position_of(name)?;
        Ok(self
            .after
            .fields
            .get(position)
            .cloned()
            .unwrap_or_else(|| Field::new(name, FieldType::Any)))
    }

    fn columns(&self, names: &[Text]) -> Result<Vec<Field>> {
        if names.is_empty() {
            return Err(Error::invalid("no column is named"));
        }
        for (position, name) in names.iter().enumerate() {
            if names.iter().take(position).any(|other| other == name) {
                return Err(Error::invalid(format!("column `{name}` is named twice")));
            }
        }
        names.iter().map(|name| self.column(name)).collect()
    }

    /// Gives a new column its number.
    fn numbered(&mut self, field: &Field) -> Result<Field> {
        if self.after.position(&field.name).is_some() {
            return Err(Error::conflict(format!(
                "table `{}` has a column `{}` already",
                self.after.name, field.name
            )));
        }
        let mut field = field.clone();
        if field.id == FieldId(0) {
            let next = self.highest.checked_add(1).ok_or_else(|| {
                Error::limit_exceeded(format!(
                    "the columns of table `{}` have used up all numbers",
                    self.after.name
                ))
            })?;
            field.id = FieldId(next);
        } else if field.id.0 <= self.highest {
            return Err(Error::invalid(format!(
                "the number {} of column `{}` was given before; leave it out, or take one above {}",
                field.id.0, field.name, self.highest
            )));
        }
        self.highest = field.id.0;
        Ok(field)
    }

    fn add(&mut self, field: &Field, value: Option<&Value>) -> Result<()> {
        let field = self.numbered(field)?;
        let value = value.or(field.default.as_ref()).cloned();
        if value.as_ref().is_none_or(Value::is_null) && !field.nullable {
            return Err(Error::invalid(format!(
                "column `{}` is required, so the rows that are there need a value for it: give one, or a default, or let it \
                 be null",
                field.name
            )));
        }
        let value = value.unwrap_or_default();
        // Checks the value like any other.
        let target = Target::new(&field, &OnLoss::Value(value.clone()))?;
        let value = match target.convert(&value) {
            super::lens::Converted::Exact(value) => value,
            _ => value,
        };
        self.after.fields.push(field.clone());
        self.added.push((field, Source::Value(value)));
        Ok(())
    }

    /// Checks that nothing else speaks of a column that goes.
    fn check_unused(&self, column: &str) -> Result<()> {
        let position = self.after.position_of(column)?;
        if position < self.after.key_columns {
            return Err(Error::invalid(format!(
                "column `{column}` is part of the primary key of `{}`; change the key first",
                self.after.name
            )));
        }
        let names = |columns: &[Text]| columns.iter().any(|name| *name == column);
        if let Some(index) = self
            .after
            .indexes
            .iter()
            .find(|index| names(&index.columns))
        {
            return Err(Error::invalid(format!(
                "index `{}` is over column `{column}`; remove the index first",
                index.name
            )));
        }
        let mut references = self.after.references.iter();
        if let Some(reference) = references.find(|reference| names(&reference.columns)) {
            return Err(Error::invalid(format!(
                "column `{column}` refers to table `{}`, so it cannot go",
                reference.table
            )));
        }
        Ok(())
    }

    fn remove(&mut self, column: &str, instead: Option<&Value>) -> Result<()> {
        self.check_unused(column)?;
        let field = self.column(column)?;
        let instead = match (instead, &field.default) {
            (Some(value), _) | (None, Some(value)) => value.clone(),
            (None, None) if field.nullable => Value::Null,
            (None, None) => nothing_of(&field.ty).ok_or_else(|| {
                Error::invalid(format!(
                    "say what column `{column}`, which is required, holds for those who still have it, in rows that were \
                     written without it"
                ))
            })?,
        };
        Target::new(&field, &OnLoss::Value(instead.clone()))?;
        self.instead.insert(field.id, instead);
        self.after.fields.retain(|known| known.id != field.id);
        Ok(())
    }

    fn rename(&mut self, column: &Text, to: &Text) -> Result<()> {
        let position = self.after.position_of(column)?;
        if self.after.position(to).is_some() {
            return Err(Error::conflict(format!(
                "table `{}` has a column `{to}` already",
                self.after.name
            )));
        }
        if let Some(field) = self.after.fields.get_mut(position) {
            field.name = to.clone();
        }
        let indexes = self
            .after
            .indexes
            .iter_mut()
            .map(|index| &mut index.columns);
        let references = self.after.references.iter_mut().map(|r| &mut r.columns);
        for name in indexes.chain(references).flatten() {
            if name == column {
                *name = to.clone();
            }
        }
        self.after.check()
    }

    /// Puts the columns `into` in the place of those named, or behind all when these stay.
    fn replace(
        &mut self,
        columns: &[Text],
        into: &[Field],
        keep: bool,
        mut mapping: Mapping,
    ) -> Result<()> {
        let from = if columns.is_empty() {
            Vec::new()
        } else {
            self.columns(columns)?
        };
        if into.is_empty() {
            return Err(Error::invalid("no column is named that is to come"));
        }
        let mut place = self.after.fields.len();
        if !keep {
            let one_for_one = matches!(mapping, Mapping::Convert { .. });
            for field in &from {
                let same = one_for_one && into.iter().all(|into| into.name == field.name);
                // An index or reference goes on under the same name, where one column takes the place of one.
                if !same || self.is_key(&field.name) {
                    self.check_unused(&field.name)?;
                }
                let at = self.after.position_of(&field.name)?;
                place = place.min(at);
                self.after.fields.retain(|known| known.id != field.id);
            }
        }
        let mut to = Vec::with_capacity(into.len());
        for field in into {
            let field = self.numbered(field)?;
            self.after.fields.insert(place, field.clone());
            place += 1;
            to.push(field);
        }
        if let Mapping::Script { backward, .. } = &mut mapping
            && keep
        {
            // What stays follows from nothing.
            backward.clear();
        }
        let lens = self.lenses.len();
        for (part, field) in to.iter().enumerate() {
            self.added
                .push((field.clone(), Source::Lens { lens, part }));
        }
        if !keep {
            for field in &from {
                let instead = field.default.clone().or_else(|| nothing_of(&field.ty));
                let instead = if field.nullable {
                    field.default.clone()
                } else {
                    instead
                };
                self.instead.insert(field.id, instead.unwrap_or_default());
            }
        }
        self.lenses.push(Arc::new(Lens { from, to, mapping }));
        Ok(())
    }

    fn is_key(&self, column: &str) -> bool {
        let position = self.after.position(column);
        position.is_some_and(|position| position < self.after.key_columns)
    }

    fn change_key(&mut self, key: &[Text]) -> Result<()> {
        for field in self.columns(key)? {
            if field.nullable {
                return Err(Error::invalid(format!(
                    "column `{}` may be null, so it cannot be part of a key; make it required first",
                    field.name
                )));
            }
        }
        for (position, name) in key.iter().enumerate() {
            let at = self.after.position_of(name)?;
            let field = self.after.fields.remove(at);
            self.after.fields.insert(position, field);
        }
        self.after.key_columns = key.len();
        self.after.check()
    }

    /// The highest number that a column has had, with this migration.
    pub(super) const fn highest(&self) -> u32 {
        self.highest
    }
}

fn parts(
    whole: &Field,
    parts: &[Field],
    separator: &Text,
    whole_loss: &OnLoss,
    part_loss: &OnLoss,
) -> Result<Parts> {
    if separator.is_empty() {
        return Err(Error::invalid("the separator is empty"));
    }
    if whole.ty != FieldType::Text {
        return Err(Error::invalid(format!(
            "column `{}` is {}; only text has parts",
            whole.name, whole.ty
        )));
    }
    let target = |field| Target::new(field, part_loss);
    Ok(Parts {
        separator: separator.clone(),
        whole: Target::new(whole, whole_loss)?,
        targets: parts.iter().map(target).collect::<Result<_>>()?,
    })
}

/// The value of a type that says nothing.
fn nothing_of(ty: &FieldType) -> Option<Value> {
    Some(match ty {
        FieldType::Bool => Value::from(false),
        FieldType::Int => Value::from(0),
        FieldType::Float => Value::from(0.0),
        FieldType::Text => Value::from(""),
        FieldType::Bytes => Value::from(&[][..] as &[u8]),
        FieldType::Timestamp => Value::Timestamp(Timestamp(0)),
        FieldType::Date => Value::Date(Date(0)),
        FieldType::List(_) => Value::List([].into()),
        _ => return None,
    })
}

/// References lead to keys of tables that are there, and not in a circle.
pub(super) fn check_references(schemas: &Schemas) -> Result<()> {
    for schema in schemas.values() {
        for reference in &schema.references {
            let place = format!("reference from `{}` to `{}`", schema.name, reference.table);
            let Some(to) = schemas.get(&reference.table) else {
                return Err(Error::invalid("there is no such table").at(place));
            };
            let types = |name: &Text| {
                let field = schema.position(name).and_then(|at| schema.fields.get(at));
                field.map(|field| field.ty.clone())
            };
            let from: Vec<_> = reference.columns.iter().map(types).collect();
            let key: Vec<_> = to.key_fields().iter().map(|f| Some(f.ty.clone())).collect();
            if from != key {
                return Err(Error::invalid(
                    "its columns are not as many, or not of the types, as the key's",
                )
                .at(place));
            }
        }
    }
    // A row that must exist before the other, which must exist before it, can never be written.
    let follow = |name: &Text| {
        let references = schemas.get(name).map(|schema| schema.references.as_slice());
        let references = references.unwrap_or_default().iter();
        let must =
            references.filter(|r| r.on_delete != ReferenceAction::SetNull && r.table != *name);
        must.map(|reference| reference.table.clone())
            .collect::<Vec<_>>()
    };
    for start in schemas.keys() {
        let mut path = vec![(start.clone(), follow(start))];
        let mut seen = vec![start.clone()];
        while let Some((_, next)) = path.last_mut() {
            let Some(name) = next.pop() else {
                path.pop();
                continue;
            };
            if name == *start {
                let circle: Vec<&str> = path.iter().map(|(name, _)| name.as_str()).collect();
                return Err(Error::invalid(format!(
                    "references lead in a circle: `{}` -> `{start}`",
                    circle.join("` -> `")
                )));
            }
            if !seen.contains(&name) {
                seen.push(name.clone());
                let further = follow(&name);
                path.push((name, further));
            }
        }
    }
    Ok(())
}
