//! [`Course`]: the columns that a table has in several versions, side by side, and how they follow from each other.
//!
//! Who writes a row under one version leaves out what the others know. From what they wrote, a course makes the rest: the
//! columns of later versions by the ways forward, those of earlier ones by the ways back, each once, and never one that was
//! written.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use common::schema::{Field, FieldId, Schema};
use common::storage::Fill;
use common::{Error, Result, Text, Value};

use super::edge::{Changed, Source, TableEdge};
use super::lens::{Converted, Lens};
use super::lineage::Lineage;

/// How columns follow from others over one step of a migration.
enum Move {
    /// A column that came with this value.
    Came(usize, Value),
    /// A column that went, and holds this in rows that were written without it.
    Went(usize, Value),
    Lens {
        lens: Arc<Lens>,
        from: Vec<usize>,
        to: Vec<usize>,
        /// What the columns before hold when there is no way back.
        instead: Vec<Value>,
    },
}

/// The columns of a table in several versions, and how they follow from each other.
pub(crate) struct Course {
    /// Every column that some version has; those of the first version begin.
    columns: Vec<Field>,
    /// In order of time, each with the version that it leads to.
    moves: Vec<(u32, Move)>,
}

/// A value that a way could not make.
pub(crate) struct Refused {
    pub(crate) column: Text,
    pub(crate) before: Value,
    pub(crate) why: String,
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::invalid(format!(
            "column `{}` of another version of the table cannot take {:?}: {}",
            refused.column, refused.before, refused.why
        ))
    }
}

impl Course {
    /// The course of a table over the versions `first` to `last` of a lineage.
    ///
    /// # Errors
    /// [`common::ErrorKind::Unsupported`] when the table has another key in some of them.
    pub(crate) fn of(lineage: &Lineage, table: &str, first: u32, last: u32) -> Result<Self> {
        let mut course = Self {
            columns: Vec::new(),
            moves: Vec::new(),
        };
        let mut key: Option<Vec<FieldId>> = None;
        for number in first..=last {
            let Some(schema) = lineage.version(number)?.schemas.get(table) else {
                continue;
            };
            let own: Vec<FieldId> = schema.key_fields().iter().map(|field| field.id).collect();
            if key.as_ref().is_some_and(|key| *key != own) {
                return Err(Error::unsupported(format!(
                    "version {number} has another key of table `{table}` than the version before, so the two cannot be served \
                     side by side; serve from version {number} on"
                )));
            }
            key = Some(own);
            for field in &schema.fields {
                course.place(field);
            }
        }
        for (edge, version) in lineage.edges(first, last).iter().zip(first + 1..) {
            if let Some(TableEdge::Changed(changed)) = edge.tables.get(table) {
                course.follow(version, changed);
            }
        }
        Ok(course)
    }

    fn find(&self, id: FieldId) -> Option<usize> {
        self.columns.iter().position(|known| known.id == id)
    }

    /// The place of a column, which may be one that comes and goes within one migration.
    fn place(&mut self, field: &Field) -> usize {
        self.find(field.id).unwrap_or_else(|| {
            self.columns.push(field.clone());
            self.columns.len() - 1
        })
    }

    fn follow(&mut self, version: u32, changed: &Changed) {
        let instead = |id: FieldId| changed.instead.get(&id).cloned().unwrap_or_default();
        let mut seen = BTreeSet::new();
        for (field, source) in &changed.added {
            match source {
                Source::Value(value) => {
                    let at = self.place(field);
                    self.moves.push((version, Move::Came(at, value.clone())));
                }
                Source::Lens { lens, .. } => {
                    let Some(lens) = changed.lenses.get(*lens).filter(|_| seen.insert(*lens))
                    else {
                        continue;
                    };
                    let step = Move::Lens {
                        lens: Arc::clone(lens),
                        from: lens.from.iter().map(|field| self.place(field)).collect(),
                        to: lens.to.iter().map(|field| self.place(field)).collect(),
                        instead: lens.from.iter().map(|field| instead(field.id)).collect(),
                    };
                    self.moves.push((version, step));
                }
            }
        }
        let stays = |id: FieldId| changed.after.fields.iter().any(|field| field.id == id);
        let by_lens = |id: FieldId| {
            let mut lenses = changed.lenses.iter();
            lenses.any(|lens| lens.from.iter().any(|field| field.id == id))
        };
        for field in &changed.before.fields {
            if !stays(field.id) && !by_lens(field.id) {
                let at = self.place(field);
                self.moves
                    .push((version, Move::Went(at, instead(field.id))));
            }
        }
    }

    /// Whether all versions have the same columns.
    pub(crate) fn is_constant(&self) -> bool {
        self.moves.is_empty()
    }

    /// Whether some column follows from others.
    pub(crate) fn has_lenses(&self) -> bool {
        let mut moves = self.moves.iter();
        moves.any(|(_, step)| matches!(step, Move::Lens { .. }))
    }

    /// Every column that some version has.
    pub(crate) fn columns(&self) -> &[Field] {
        &self.columns
    }

    /// The columns that a column follows from or leads to, over any number of steps, itself included.
    pub(crate) fn relatives(&self, id: FieldId) -> BTreeSet<FieldId> {
        let mut found: BTreeSet<usize> = self.find(id).into_iter().collect();
        loop {
            let before = found.len();
            for (_, step) in &self.moves {
                if let Move::Lens { from, to, .. } = step
                    && from.iter().chain(to).any(|at| found.contains(at))
                {
                    found.extend(from.iter().chain(to));
                }
            }
            if found.len() == before {
                let columns = found.iter().filter_map(|at| self.columns.get(*at));
                return columns.map(|field| field.id).collect();
            }
        }
    }

    /// What was written to columns of which some are no more (`is_here` says which are), as writes to those that follow from them.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for a column that leads to none, or only together with others that were not written, or
    /// whose value does not fit.
    pub(crate) fn lifted(
        &self,
        written: &[(FieldId, Value)],
        is_here: &dyn Fn(FieldId) -> bool,
    ) -> Result<Vec<(FieldId, Value)>> {
        let mut values: Vec<Option<Value>> = vec![None; self.columns.len()];
        for (id, value) in written {
            if let Some(place) = self.find(*id).and_then(|at| values.get_mut(at)) {
                *place = Some(value.clone());
            }
        }
        let id_of = |at: usize| self.columns.get(at).map(|field| field.id);
        let is_gone = |at: usize| id_of(at).is_some_and(|id| !is_here(id));
        let mut led_on = BTreeSet::new();
        for (_, step) in &self.moves {
            let Move::Lens { lens, from, to, .. } = step else {
                continue;
            };
            if !from.iter().any(|at| is_gone(*at)) {
                continue;
            }
            let inputs = from.iter().map(|at| values.get(*at)?.clone());
            let Some(inputs) = inputs.collect::<Option<Vec<Value>>>() else {
                continue;
            };
            let inputs: Vec<&Value> = inputs.iter().collect();
            for (part, at) in to.iter().enumerate() {
                let made = self.made(
                    *at,
                    inputs.first().copied(),
                    lens.forward(part, &inputs),
                    Misfit::Refuse,
                )?;
                if let Some(place) = values.get_mut(*at).filter(|place| place.is_none()) {
                    *place = Some(made);
                }
            }
            led_on.extend(from.iter().copied());
        }
        let mut lifted: Vec<(FieldId, Value)> = written
            .iter()
            .filter(|(id, _)| self.find(*id).is_none())
            .cloned()
            .collect();
        let was_removed = |at: usize| {
            let mut moves = self.moves.iter();
            moves.any(|(_, step)| matches!(step, Move::Went(column, _) if *column == at))
        };
        let mut nowhere = None;
        for (at, value) in values.into_iter().enumerate() {
            let (Some(value), Some(id)) = (value, id_of(at)) else {
                continue;
            };
            if is_here(id) {
                lifted.push((id, value));
            } else if !led_on.contains(&at) {
                let name = self.columns.get(at).map(|field| field.name.clone());
                let error = Error::invalid(format!(
                    "column `{}` is in no version of the table that is still accepted, and what was written to it, {value:?}, does \
                     not say by itself what others hold; look at the row and write it again",
                    name.unwrap_or_default()
                ));
                if !was_removed(at) {
                    return Err(error);
                }
                nowhere = Some(error);
            }
        }
        match nowhere {
            // Of a column that was removed nothing is kept in rows either; but an edit of nothing else is told.
            Some(error) if lifted.is_empty() => return Err(error),
            _ => {}
        }
        Ok(lifted)
    }

    fn made(
        &self,
        at: usize,
        before: Option<&Value>,
        converted: Converted,
        misfit: Misfit,
    ) -> std::result::Result<Value, Refused> {
        match converted {
            Converted::Exact(value) | Converted::Lossy(value, _) => Ok(value),
            Converted::Refused(_) if misfit == Misfit::Null => Ok(Value::Null),
            Converted::Refused(why) => {
                let column = self.columns.get(at).map(|field| field.name.clone());
                Err(Refused {
                    column: column.unwrap_or_default(),
                    before: before.cloned().unwrap_or_default(),
                    why,
                })
            }
        }
    }

    /// The course for rows whose columns stand as in `schema`.
    pub(crate) fn laid_out(self: &Arc<Self>, schema: &Schema) -> Flow {
        let outer = schema.fields.iter().map(|field| self.find(field.id));
        Flow {
            course: Arc::clone(self),
            outer: outer.collect(),
            rows: Arc::new(schema.clone()),
        }
    }
}

impl fmt::Debug for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.columns.iter().map(|field| (&field.name, field.id.0));
        f.debug_map().entries(names).finish()
    }
}

/// What to do about a value that a way cannot make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// The row is refused.
    Refuse,
    /// The column is null, until somebody who knows says more.
    Null,
}

/// A course whose columns have places in rows.
#[derive(Clone)]
pub(crate) struct Flow {
    course: Arc<Course>,
    /// Place in the course of each column of the rows; `None` for a column that no version has any more.
    outer: Vec<Option<usize>>,
    rows: Arc<Schema>,
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.course.fmt(f)
    }
}

/// The values of a course's columns, and what is known of them.
struct Cells {
    values: Vec<Value>,
    known: Vec<bool>,
}

impl Cells {
    fn inputs<'a>(&'a self, places: &'a [usize]) -> Vec<&'a Value> {
        const NULL: &Value = &Value::Null;
        let values = places.iter().map(|at| self.values.get(*at));
        values.map(|value| value.unwrap_or(NULL)).collect()
    }

    fn is_known(&self, at: usize) -> bool {
        self.known.get(at).copied().unwrap_or(true)
    }

    fn unknown(&self, places: &[usize]) -> Vec<usize> {
        let places = places.iter().copied();
        places.filter(|at| !self.is_known(*at)).collect()
    }

    fn is_null(&self, at: usize) -> bool {
        self.values.get(at).is_some_and(Value::is_null)
    }

    fn any(&self, places: &[usize]) -> bool {
        places.iter().any(|at| self.is_known(*at))
    }

    /// Returns whether it is another value than before.
    fn set(&mut self, at: usize, value: Value) -> bool {
        if let Some(known) = self.known.get_mut(at) {
            *known = true;
        }
        match self.values.get_mut(at) {
            Some(place) if *place != value => {
                *place = value;
                true
            }
            _ => false,
        }
    }
}

fn mark(flags: &mut [bool], places: &[usize]) {
    for at in places {
        if let Some(flag) = flags.get_mut(*at) {
            *flag = true;
        }
    }
}

impl Flow {
    /// The place in the rows of the column of this name.
    pub(crate) fn position(&self, column: &str) -> Option<usize> {
        self.rows.position(column)
    }

    /// The columns of a row and those that rows have no place for; none is known.
    fn cells(&self, row: &[Value]) -> Cells {
        let count = self.course.columns.len();
        let mut cells = Cells {
            values: vec![Value::Null; count],
            known: vec![false; count],
        };
        for (at, value) in self.outer.iter().zip(row) {
            if let Some(place) = at.and_then(|at| cells.values.get_mut(at)) {
                place.clone_from(value);
            }
        }
        cells
    }

    /// Writes the values back, and gives the places of those that are others than before.
    fn put_back(&self, cells: Cells, row: &mut [Value]) -> Vec<usize> {
        let mut values = cells.values;
        let mut changed = Vec::new();
        for (position, (at, place)) in self.outer.iter().zip(row).enumerate() {
            let value = at.and_then(|at| values.get_mut(at));
            if let Some(value) = value.filter(|value| *value != place) {
                *place = std::mem::take(value);
                changed.push(position);
            }
        }
        changed
    }

    /// Nobody is refused for the sake of a column that rows have no place for.
    fn misfit_at(&self, at: usize, misfit: Misfit) -> Misfit {
        if self.outer.contains(&Some(at)) {
            misfit
        } else {
            Misfit::Null
        }
    }

    /// Runs a lens in the direction of time, for those of its columns that are not known.
    fn forward(
        &self,
        cells: &mut Cells,
        lens: &Lens,
        (from, to): (&[usize], &[usize]),
        misfit: Misfit,
    ) -> std::result::Result<Vec<usize>, Refused> {
        let mut changed = Vec::new();
        for (part, at) in to
            .iter()
            .enumerate()
            .filter(|(_, at)| !cells.is_known(**at))
            .collect::<Vec<_>>()
        {
            let inputs = cells.inputs(from);
            let first = inputs.first().copied();
            let misfit = self.misfit_at(*at, misfit);
            let made = lens.forward(part, &inputs);
            let value = self.course.made(*at, first, made, misfit)?;
            if cells.set(*at, value) {
                changed.push(*at);
            }
        }
        Ok(changed)
    }

    /// Runs a lens against the direction of time, for those of its columns that are not known.
    fn backward(
        &self,
        cells: &mut Cells,
        lens: &Lens,
        (from, to): (&[usize], &[usize]),
        instead: Option<&[Value]>,
        misfit: Misfit,
    ) -> std::result::Result<Vec<usize>, Refused> {
        let mut changed = Vec::new();
        for (part, at) in from
            .iter()
            .enumerate()
            .filter(|(_, at)| !cells.is_known(**at))
            .collect::<Vec<_>>()
        {
            let inputs = cells.inputs(to);
            let first = inputs.first().copied();
            let value = match lens.backward(part, &inputs) {
                Some(converted) => {
                    let misfit = self.misfit_at(*at, misfit);
                    self.course.made(*at, first, converted, misfit)?
                }
                None => match instead.and_then(|instead| instead.get(part)) {
                    Some(value) => value.clone(),
                    None => continue,
                },
            };
            if cells.set(*at, value) {
                changed.push(*at);
            }
        }
        Ok(changed)
    }

    /// As [`Flow::complete`], of a row of which columns were given too that rows have no place for.
    pub(crate) fn complete_with(
        &self,
        row: &mut [Value],
        given: &dyn Fn(usize) -> bool,
        beside: &[(FieldId, Value)],
        version: u32,
    ) -> std::result::Result<Vec<usize>, Refused> {
        self.completed(row, given, beside, version, Misfit::Refuse)
    }

    /// Makes the columns of other versions of a row that was written whole under `version`; `given` are the places of the
    /// columns that were written. Returns the places of columns that follow from those.
    pub(crate) fn complete(
        &self,
        row: &mut [Value],
        given: &dyn Fn(usize) -> bool,
        version: u32,
        misfit: Misfit,
    ) -> std::result::Result<Vec<usize>, Refused> {
        self.completed(row, given, &[], version, misfit)
    }

    fn completed(
        &self,
        row: &mut [Value],
        given: &dyn Fn(usize) -> bool,
        beside: &[(FieldId, Value)],
        version: u32,
        misfit: Misfit,
    ) -> std::result::Result<Vec<usize>, Refused> {
        let mut cells = self.cells(row);
        let mut followed = vec![false; cells.values.len()];
        for (position, at) in self.outer.iter().enumerate() {
            if let Some(known) = at.and_then(|at| cells.known.get_mut(at)) {
                *known = given(position);
            }
        }
        for (id, value) in beside {
            if let Some(at) = self.course.find(*id) {
                cells.set(at, value.clone());
            }
        }
        for (to, step) in &self.course.moves {
            match step {
                Move::Came(at, value) if !cells.is_known(*at) && *to > version => {
                    cells.set(*at, value.clone());
                }
                Move::Lens { lens, from, to, .. } if cells.any(from) => {
                    let unknown = cells.unknown(to);
                    self.forward(&mut cells, lens, (from, to), misfit)?;
                    mark(&mut followed, &unknown);
                }
                Move::Came(..) | Move::Went(..) | Move::Lens { .. } => {}
            }
        }
        let earlier = self.course.moves.iter().rev();
        for (to, step) in earlier {
            match step {
                Move::Went(at, value) if !cells.is_known(*at) && *to <= version => {
                    cells.set(*at, value.clone());
                }
                Move::Lens {
                    lens,
                    from,
                    to,
                    instead,
                } if cells.any(to) => {
                    let unknown = cells.unknown(from);
                    self.backward(&mut cells, lens, (from, to), Some(instead), misfit)?;
                    mark(&mut followed, &unknown);
                }
                Move::Came(..) | Move::Went(..) | Move::Lens { .. } => {}
            }
        }
        for (_, step) in &self.course.moves {
            // Who had the column and left it out gave it what columns hold that are left out.
            if let Move::Came(at, value) = step
                && !cells.is_known(*at)
                && cells.is_null(*at)
            {
                cells.set(*at, value.clone());
            }
        }
        self.put_back(cells, row);
        let places = self.outer.iter().enumerate();
        let is_followed =
            |at: &Option<usize>| at.is_some_and(|at| followed.get(at).copied().unwrap_or_default());
        Ok(places
            .filter(|(_, at)| is_followed(at))
            .map(|(position, _)| position)
            .collect())
    }

    /// Makes the columns that follow from those which a write has changed; `written` are the places that it named, which
    /// stay as they are. Returns the places that are set.
    pub(crate) fn derive(
        &self,
        before: &[Value],
        row: &mut [Value],
        written: &dyn Fn(usize) -> bool,
    ) -> std::result::Result<Vec<usize>, Refused> {
        let mut cells = self.cells(row);
        let mut changed = vec![false; cells.values.len()];
        let mut any = false;
        for (position, (at, now)) in self.outer.iter().zip(row.iter()).enumerate() {
            let Some(at) = *at else { continue };
            let is_written = written(position);
            if let Some(known) = cells.known.get_mut(at) {
                *known = is_written;
            }
            if is_written && before.get(position) != Some(now) {
                any = true;
                if let Some(changed) = changed.get_mut(at) {
                    *changed = true;
                }
            }
        }
        if !any {
            return Ok(Vec::new());
        }
        self.fill_passing(&mut cells);
        let is = |flags: &[bool], places: &[usize]| {
            places
                .iter()
                .any(|at| flags.get(*at).copied().unwrap_or_default())
        };
        let mut done = vec![false; self.course.moves.len()];
        for ((_, step), done) in self.course.moves.iter().zip(&mut done) {
            if let Move::Lens { lens, from, to, .. } = step
                && is(&changed, from)
            {
                *done = true;
                for at in self.forward(&mut cells, lens, (from, to), Misfit::Refuse)? {
                    if let Some(changed) = changed.get_mut(at) {
                        *changed = true;
                    }
                }
            }
        }
        for ((_, step), done) in self.course.moves.iter().zip(&done).rev() {
            if let Move::Lens { lens, from, to, .. } = step
                && !done
                && is(&changed, to)
            {
                let made = self.backward(&mut cells, lens, (from, to), None, Misfit::Refuse)?;
                for at in made {
                    if let Some(changed) = changed.get_mut(at) {
                        *changed = true;
                    }
                }
            }
        }
        Ok(self.put_back(cells, row))
    }

    /// Makes the columns that come and go within one migration, which rows have no place for.
    fn fill_passing(&self, cells: &mut Cells) {
        let has_place: BTreeSet<usize> = self.outer.iter().flatten().copied().collect();
        if has_place.len() == cells.values.len() {
            return;
        }
        let known = cells.known.clone();
        for (at, known) in cells.known.iter_mut().enumerate() {
            *known = has_place.contains(&at);
        }
        for (_, step) in &self.course.moves {
            match step {
                Move::Came(at, value) if !cells.is_known(*at) => {
                    cells.set(*at, value.clone());
                }
                Move::Lens { lens, from, to, .. } => {
                    // A misfit is found again, and told, where it matters.
                    let _ = self.forward(cells, lens, (from, to), Misfit::Null);
                }
                Move::Came(..) | Move::Went(..) => {}
            }
        }
        cells.known = known;
    }

    /// Where the values of a new column come from, in rows that have the columns `before` it; and whether some row may not
    /// fit. `version` is the one that the rows are of.
    pub(crate) fn fill(&self, place: usize, before: usize, version: u32) -> (Fill, bool) {
        let Some(at) = self.outer.get(place).copied().flatten() else {
            return (Fill::Value(Value::Null), false);
        };
        for (to, step) in &self.course.moves {
            match step {
                Move::Came(column, value) if *column == at && *to > version => {
                    return (Fill::Value(value.clone()), false);
                }
                Move::Went(column, value) if *column == at && *to <= version => {
                    return (Fill::Value(value.clone()), false);
                }
                _ => {}
            }
        }
        let flow = self.clone();
        let width = self.outer.len();
        let function = move |row: &[Value]| {
            let mut whole = row.to_vec();
            whole.resize(width, Value::Null);
            let given = |position: usize| position < before;
            let made = flow.complete(&mut whole, &given, version, Misfit::Null);
            match made {
                Ok(_) => whole.into_iter().nth(place).unwrap_or_default(),
                Err(_) => Value::Null,
            }
        };
        let computed = Fill::Computed {
            from: self.sources(place, before),
            function: Arc::new(function),
        };
        (computed, true)
    }

    /// Places before `before` of the columns that a column may follow from.
    fn sources(&self, place: usize, before: usize) -> Vec<usize> {
        let Some(at) = self.outer.get(place).copied().flatten() else {
            return Vec::new();
        };
        let relatives = match self.course.columns.get(at) {
            Some(field) => self.course.relatives(field.id),
            None => BTreeSet::new(),
        };
        let is_relative = |at: usize| {
            let column = self.course.columns.get(at);
            column.is_some_and(|field| relatives.contains(&field.id))
        };
        let places = self.outer.iter().enumerate().take(before);
        places
            .filter(|(_, at)| at.is_some_and(is_relative))
            .map(|(position, _)| position)
            .collect()
    }
}

/// The schema that holds the columns of all versions: those of `now` under their names, those of others behind them, under
/// a name that nobody gives, and null where who writes under another version says nothing. Columns that are there already keep their places.
pub(crate) fn union_of(course: &Course, now: &Schema, there: Option<&Schema>) -> Schema {
    let mut schema = now.clone();
    schema.fields.clear();
    let mut wanted: BTreeMap<FieldId, Field> = BTreeMap::new();
    for field in course.columns() {
        let own = now.fields.iter().find(|own| own.id == field.id);
        let field = own.cloned().unwrap_or_else(|| beside(field));
        wanted.insert(field.id, field);
    }
    let there = there.into_iter().flat_map(|there| &there.fields);
    for field in there {
        let stays = wanted.remove(&field.id);
        // One that no version has any more keeps its place until the table is made anew.
        schema.fields.push(stays.unwrap_or_else(|| beside(field)));
    }
    let mut add = |fields: &[Field]| {
        for field in fields {
            if let Some(field) = wanted.remove(&field.id) {
                schema.fields.push(field);
            }
        }
    };
    add(&now.fields);
    add(course.columns());
    schema
}

/// A column of another version.
fn beside(field: &Field) -> Field {
    let base = field.name.split('~').next().unwrap_or_default();
    Field {
        name: Text::new(format!("{base}~{}", field.id.0)),
        nullable: true,
        default: None,
        ..field.clone()
    }
}
