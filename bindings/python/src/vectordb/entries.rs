//! What both indexes hold: vectors with metadata by id, in order, and their floats in a table of the core.

use std::sync::Arc;

use ::vectordb::core::SlotSet;
use ::vectordb::core::distance::DoubleMetric;
use ::vectordb::{DoubleVectors, Neighbour};
use common::Slot;
use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyList, PyString, PyTuple};

use super::distance::{check, metric_of, zero};
use super::object;
use super::vector::{Kept, Vector, floats_of};
use crate::interchange::watch;

/// Work in elements from which a search lets other threads run.
const LONG: usize = 20_000;

/// Work in elements from which a search takes longer than a signal may wait.
const UNCHECKED: usize = 1 << 23;

/// Vectors by id.
pub(super) struct Entries {
    /// Id to vector.
    pub(super) vectors: Py<PyDict>,
    /// Id to slot.
    slots: Py<PyDict>,
    state: Mutex<State>,
    metric: Mutex<Option<Chosen>>,
}

/// The metric of an index.
struct Chosen {
    name: Py<PyAny>,
    function: Py<PyAny>,
    /// Which of the library's own it is; none is a function of the caller's.
    own: Option<DoubleMetric>,
}

/// Entries by slot, those that have no slot yet, and the floats that searches compare.
struct State {
    entries: Vec<Option<Entry>>,
    /// What was added since somebody last asked for more than vectors.
    added: Vec<Entry>,
    /// The floats of all entries at the slots of the same numbers, but for those of `stale` slots.
    table: Arc<DoubleVectors>,
    stale: Vec<usize>,
    /// How many entries are of each dimension.
    dimensions: Vec<(usize, usize)>,
    last_modified: f64,
    /// How many times a slot got another vector, or none.
    changes: u64,
}

struct Entry {
    id: Py<PyAny>,
    vector: Py<PyAny>,
    floats: Arc<[f64]>,
    /// None is a dict that nobody asked for yet; of an entry just added, also what was there before.
    metadata: Option<Py<PyAny>>,
}

/// An entry as a search sees it.
pub(super) struct Seen<'py> {
    slot: Slot,
    pub(super) id: Bound<'py, PyAny>,
    vector: Bound<'py, PyAny>,
    floats: Arc<[f64]>,
    metadata: Bound<'py, PyAny>,
}

/// Which entries a search may find.
#[derive(Clone, Copy)]
pub(super) enum Filter<'a, 'py> {
    /// By a function of id and metadata.
    OfBoth(&'a Bound<'py, PyAny>),
    /// By a function of the metadata.
    OfMetadata(&'a Bound<'py, PyAny>),
}

impl<'py> Filter<'_, 'py> {
    fn function(&self) -> &Bound<'py, PyAny> {
        match self {
            Self::OfBoth(function) | Self::OfMetadata(function) => function,
        }
    }

    fn accepts(&self, entry: &Seen<'py>) -> PyResult<bool> {
        let answer = match self {
            Self::OfBoth(function) => function.call1((&entry.id, &entry.metadata)),
            Self::OfMetadata(function) => function.call1((&entry.metadata,)),
        };
        answer?.is_truthy()
    }
}

/// What is near, in order.
pub(super) type Found<'py> = Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>)>;

impl Entries {
    pub(super) fn new(py: Python<'_>) -> Self {
        Self {
            vectors: PyDict::new(py).unbind(),
            slots: PyDict::new(py).unbind(),
            state: Mutex::new(State {
                entries: Vec::new(),
                added: Vec::new(),
                table: Arc::new(DoubleVectors::new(0)),
                stale: Vec::new(),
                dimensions: Vec::new(),
                last_modified: object::now(),
                changes: 0,
            }),
            metric: Mutex::new(None),
        }
    }

    /// Looks the metric up; raises `ValueError` for one that there is not.
    pub(super) fn set_metric(&self, name: &Bound<'_, PyAny>) -> PyResult<()> {
        let (function, own) = metric_of(name)?;
        let chosen = Chosen {
            name: name.clone().unbind(),
            function: function.unbind(),
            own,
        };
        let old = self.metric.lock().replace(chosen);
        drop(old);
        Ok(())
    }

    pub(super) fn metric_name(&self, py: Python<'_>) -> Py<PyAny> {
        let metric = self.metric.lock();
        metric
            .as_ref()
            .map_or_else(|| py.None(), |metric| metric.name.clone_ref(py))
    }

    pub(super) fn function(&self, py: Python<'_>) -> Py<PyAny> {
        let metric = self.metric.lock();
        metric
            .as_ref()
            .map_or_else(|| py.None(), |metric| metric.function.clone_ref(py))
    }

    fn own_metric(&self) -> Option<DoubleMetric> {
        self.metric.lock().as_ref().and_then(|metric| metric.own)
    }

    pub(super) fn last_modified(&self) -> f64 {
        self.state.lock().last_modified
    }

    pub(super) fn touch(&self, time: f64) {
        self.state.lock().last_modified = time;
    }

    pub(super) fn len(&self, py: Python<'_>) -> usize {
        self.vectors.bind(py).len()
    }

    pub(super) fn ids<'py>(&self, py: Python<'py>) -> Bound<'py, PyList> {
        self.vectors.bind(py).keys()
    }

    pub(super) fn contains(&self, id: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.vectors.bind(id.py()).contains(id)
    }

    pub(super) fn get<'py>(&self, id: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.vectors.bind(id.py()).get_item(id)
    }

    fn slot(&self, id: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
        self.settle(id.py())?;
        match self.slots.bind(id.py()).get_item(id)? {
            Some(slot) => Ok(Some(slot.extract()?)),
            None => Ok(None),
        }
    }

    pub(super) fn metadata<'py>(
        &self,
        id: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = id.py();
        let Some(slot) = self.slot(id)? else {
            return Ok(None);
        };
        let new = PyDict::new(py).into_any();
        let mut state = self.state.lock();
        let Some(Some(entry)) = state.entries.get_mut(slot) else {
            return Ok(None);
        };
        let metadata = entry.metadata.get_or_insert_with(|| new.unbind());
        Ok(Some(metadata.bind(py).clone()))
    }

    pub(super) fn set_metadata(
        &self,
        id: &Bound<'_, PyAny>,
        metadata: Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let Some(slot) = self.slot(id)? else {
            return Ok(false);
        };
        let mut state = self.state.lock();
        state.last_modified = object::now();
        let Some(Some(entry)) = state.entries.get_mut(slot) else {
            return Ok(false);
        };
        let old = entry.metadata.replace(metadata.unbind());
        drop(state);
        drop(old);
        Ok(true)
    }

    /// Keeps a vector under its id, or a copy under a new id when it has none; with `dimension`, none of another one.
    pub(super) fn add<'py>(
        &self,
        vector: &Bound<'py, PyAny>,
        metadata: Option<Bound<'py, PyAny>>,
        dimension: Option<usize>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let id = self.put(vector, metadata, dimension)?;
        self.touch(object::now());
        Ok(id)
    }

    /// As [`Entries::add`], of one of many, after which somebody else notes the time.
    pub(super) fn put<'py>(
        &self,
        vector: &Bound<'py, PyAny>,
        metadata: Option<Bound<'py, PyAny>>,
        dimension: Option<usize>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = vector.py();
        let Kept {
            id,
            floats,
            metadata: carried,
            is_as_made,
        } = match vector.cast_exact::<Vector>() {
            Ok(own) => own.get().entry(py),
            Err(_) => {
                let id = vector.getattr(intern!(py, "id"))?;
                Kept {
                    id: (!id.is_none()).then(|| id.unbind()),
                    floats: floats_of(vector)?,
                    metadata: carried_metadata(vector)?,
                    is_as_made: false,
                }
            }
        };
        if metadata.is_none()
            && is_as_made
            && let Some(id) = &id
            && let Some(known) = self.vectors.bind(py).get_item(id)?
            && known.is(vector)
        {
            // It is there already, with the same floats, and keeps its metadata.
            return Ok(id.bind(py).clone());
        }
        if let Some(dimension) = dimension
            && floats.len() != dimension
        {
            return Err(wrong_dimension(floats.len(), dimension));
        }
        let (id, stored) = match id {
            Some(id) => (id.into_bound(py), vector.clone()),
            None => {
                let id = object::new_id(py);
                let new = Vector::of(Arc::clone(&floats), Some(id.clone().unbind()));
                new.carry(filled(py, carried.as_ref())?);
                (id, Bound::new(py, new)?.into_any())
            }
        };
        let metadata = match metadata {
            Some(metadata) => Some(metadata.unbind()),
            // Of a new entry only; an old one keeps its own.
            None => match filled(py, carried.as_ref())? {
                Some(carried) if !self.contains(&id)? => Some(carried),
                _ => None,
            },
        };
        self.vectors.bind(py).set_item(&id, &stored)?;
        let mut state = self.state.lock();
        state.added.push(Entry {
            id: id.clone().unbind(),
            vector: stored.unbind(),
            floats,
            metadata,
        });
        // Vectors that are added again and again are not to pile up.
        let is_full = state.added.len() > 1024 + 2 * self.len(py);
        drop(state);
        if is_full {
            self.settle(py)?;
        }
        Ok(id)
    }

    /// Gives what was added its slots.
    fn settle(&self, py: Python<'_>) -> PyResult<()> {
        let added = {
            let mut state = self.state.lock();
            if state.added.is_empty() {
                return Ok(());
            }
            std::mem::take(&mut state.added)
        };
        let slots = self.slots.bind(py);
        for mut entry in added {
            let known: Option<usize> = match slots.get_item(&entry.id)? {
                Some(slot) => Some(slot.extract()?),
                None => None,
            };
            let id = entry.id.clone_ref(py);
            let (slot, old) = {
                let mut state = self.state.lock();
                let slot = known.unwrap_or(state.entries.len());
                state.count(entry.floats.len(), true);
                state.stale.push(slot);
                let old = if slot < state.entries.len() {
                    state.changes += 1;
                    let place = state.entries.get_mut(slot);
                    place.and_then(|place| {
                        if let (None, Some(old)) = (&entry.metadata, &*place) {
                            let kept = old.metadata.as_ref();
                            entry.metadata = kept.map(|metadata| metadata.clone_ref(py));
                        }
                        place.replace(entry)
                    })
                } else {
                    state.entries.push(Some(entry));
                    None
                };
                if let Some(old) = &old {
                    state.count(old.floats.len(), false);
                }
                (slot, old)
            };
            drop(old);
            if known.is_none() {
                slots.set_item(id, slot)?;
            }
        }
        let mut state = self.state.lock();
        if state.stale.len() > 1024 + 2 * state.entries.len() {
            state.forget_table();
        }
        Ok(())
    }

    pub(super) fn remove(&self, id: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = id.py();
        let Some(slot) = self.slot(id)? else {
            return Ok(false);
        };
        self.slots.bind(py).del_item(id)?;
        self.vectors.bind(py).del_item(id)?;
        let len = self.len(py);
        let (old, ids) = {
            let mut state = self.state.lock();
            state.last_modified = object::now();
            state.changes += 1;
            let old = state.entries.get_mut(slot).and_then(Option::take);
            if let Some(old) = &old {
                state.count(old.floats.len(), false);
            }
            state.stale.push(slot);
            let mut ids: Vec<Py<PyAny>> = Vec::new();
            if state.entries.len() > 64 && state.entries.len() / 2 > len {
                // Slots of vectors that are gone go to those behind them.
                state.entries.retain(Option::is_some);
                state.forget_table();
                let kept = state.entries.iter().flatten();
                ids.extend(kept.map(|entry| entry.id.clone_ref(py)));
            }
            (old, ids)
        };
        drop(old);
        let slots = self.slots.bind(py);
        for (slot, id) in ids.into_iter().enumerate() {
            slots.set_item(id, slot)?;
        }
        Ok(true)
    }

    pub(super) fn clear(&self, py: Python<'_>) {
        self.slots.bind(py).clear();
        self.vectors.bind(py).clear();
        let mut state = self.state.lock();
        let old = (
            std::mem::take(&mut state.entries),
            std::mem::take(&mut state.added),
        );
        state.forget_table();
        state.dimensions.clear();
        state.changes += 1;
        state.last_modified = object::now();
        drop(state);
        drop(old);
    }

    /// The vector that an id or a vector stands for, and its id when it was one.
    pub(super) fn resolve<'py>(
        &self,
        query: &Bound<'py, PyAny>,
    ) -> PyResult<(Bound<'py, PyAny>, Option<Bound<'py, PyAny>>)> {
        if !query.is_instance_of::<PyString>() {
            return Ok((query.clone(), None));
        }
        match self.get(query)? {
            Some(vector) => Ok((vector, Some(query.clone()))),
            None => Err(PyValueError::new_err(format!(
                "Vector with ID '{}' not found in the index",
                query.str()?
            ))),
        }
    }

    /// By the index's metric, whatever number it is.
    pub(super) fn distance<'py>(
        &self,
        v1: &Bound<'py, PyAny>,
        v2: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let ((v1, _), (v2, _)) = (self.resolve(v1)?, self.resolve(v2)?);
        self.function(v1.py()).into_bound(v1.py()).call1((v1, v2))
    }

    /// All entries, with the table when all are of one dimension.
    fn seen<'py>(
        &self,
        py: Python<'py>,
        chosen_by: Option<DoubleMetric>,
    ) -> PyResult<(Vec<Seen<'py>>, Option<Arc<DoubleVectors>>)> {
        self.settle(py)?;
        let without = {
            let state = self.state.lock();
            let entries = state.entries.iter().flatten();
            entries.filter(|entry| entry.metadata.is_none()).count()
        };
        let mut dicts: Vec<_> = (0..without).map(|_| PyDict::new(py).into_any()).collect();
        let mut state = self.state.lock();
        let table = state.table(chosen_by);
        let mut seen = Vec::with_capacity(state.entries.len());
        for (slot, entry) in (0..).zip(&mut state.entries) {
            let Some(entry) = entry else {
                continue;
            };
            if entry.metadata.is_none() {
                entry.metadata = dicts.pop().map(Bound::unbind);
            }
            let metadata = entry
                .metadata
                .as_ref()
                .map(|metadata| metadata.bind(py).clone());
            seen.push(Seen {
                slot: Slot(slot),
                id: entry.id.bind(py).clone(),
                vector: entry.vector.bind(py).clone(),
                floats: Arc::clone(&entry.floats),
                metadata: metadata.unwrap_or_else(|| py.None().into_bound(py)),
            });
        }
        Ok((seen, table))
    }

    /// The `k` nearest to a query, with their distances and metadata: ascending, equals in the order of adding. The entry
    /// of the query's own id is left out.
    pub(super) fn nearest<'py>(
        &self,
        query: &Bound<'py, PyAny>,
        k: &Bound<'py, PyAny>,
        filter: Option<Filter<'_, 'py>>,
        limits: Limits,
    ) -> PyResult<Found<'py>> {
        let py = query.py();
        let Some(k) = object::integer(k)?
            .checked_sub(1)
            .and_then(|k| usize::try_from(k).ok())
        else {
            return Err(PyValueError::new_err("k must be at least 1"));
        };
        let k = k.saturating_add(1);
        if self.len(py) == 0 {
            return Ok(Vec::new());
        }
        let (vector, own_id) = self.resolve(query)?;
        let floats = floats_of(&vector)?;
        if let Some(dimension) = limits.dimension
            && floats.len() != dimension
        {
            return Err(wrong_dimension(floats.len(), dimension));
        }
        let filter = match filter {
            Some(filter) if filter.function().is_truthy()? => Some(filter),
            _ => None,
        };
        let metric = self.own_metric();
        if let (None, Some(metric)) = (filter, metric)
            && let Some(found) =
                self.nearest_of_all(py, &floats, k, own_id.as_ref(), metric, limits.effort)?
        {
            return Ok(found);
        }

        let (mut seen, table) = self.seen(py, metric.filter(|_| limits.effort.is_some()))?;
        if let Some(filter) = filter {
            let mut kept = Vec::new();
            for entry in seen {
                if filter.accepts(&entry)? {
                    kept.push(entry);
                }
            }
            seen = kept;
        }
        if let Some(own_id) = own_id {
            let mut kept = Vec::new();
            for entry in seen {
                if !(entry.id.is(&own_id) || entry.id.eq(&own_id)?) {
                    kept.push(entry);
                }
            }
            seen = kept;
        }
        let Some(metric) = metric else {
            return self.nearest_by_function(&vector, seen, k);
        };
        let Some(table) = table.filter(|table| table.dimension() == floats.len()) else {
            return nearest_one_by_one(&floats, seen, k, metric);
        };
        let among: SlotSet = seen.iter().map(|entry| entry.slot).collect();
        let wanted = Wanted {
            metric,
            k,
            effort: limits.effort,
            among: Some(among),
        };
        let nearest = near(py, &table, &floats, wanted)?.map_err(|_| zero())?;
        let mut found = Vec::with_capacity(nearest.len());
        for neighbour in nearest {
            let at = seen.binary_search_by(|entry| entry.slot.cmp(&neighbour.slot));
            if let Some(entry) = at.ok().and_then(|at| seen.get(at)) {
                found.push(entry.at(py, neighbour.distance)?);
            }
        }
        Ok(found)
    }

    /// Without a filter, by a metric of the core's; `None` when vectors are of several dimensions.
    fn nearest_of_all<'py>(
        &self,
        py: Python<'py>,
        floats: &[f64],
        k: usize,
        own_id: Option<&Bound<'py, PyAny>>,
        metric: DoubleMetric,
        effort: Option<usize>,
    ) -> PyResult<Option<Found<'py>>> {
        let own_slot = match own_id {
            Some(id) => self.slot(id)?,
            None => None,
        };
        self.settle(py)?;
        let (table, changes) = {
            let mut state = self.state.lock();
            match state
                .table(effort.map(|_| metric))
                .filter(|table| table.dimension() == floats.len())
            {
                Some(table) => (table, state.changes),
                None => return Ok(None),
            }
        };
        if own_slot.is_some() && table.len() == 1 {
            return Ok(Some(Vec::new()));
        }
        let wanted = k.saturating_add(usize::from(own_slot.is_some()));
        let wanted = Wanted {
            metric,
            k: wanted,
            effort,
            among: None,
        };
        let nearest = near(py, &table, floats, wanted)?;
        drop(table);
        let mut nearest = nearest.map_err(|_| zero())?;
        if let Some(own_slot) = own_slot {
            nearest.retain(|neighbour| neighbour.slot.0 as usize != own_slot);
            nearest.truncate(k);
        }
        let mut dicts: Vec<_> = nearest.iter().map(|_| PyDict::new(py).into_any()).collect();
        let found: Vec<_> = {
            let mut state = self.state.lock();
            // While the search ran, a slot may have come to hold another vector.
            if state.changes != changes {
                return Ok(None);
            }
            let entries = nearest.iter().filter_map(|neighbour| {
                let place = state.entries.get_mut(neighbour.slot.0 as usize)?;
                let entry = place.as_mut()?;
                if entry.metadata.is_none() {
                    entry.metadata = dicts.pop().map(Bound::unbind);
                }
                let metadata = entry.metadata.as_ref()?.clone_ref(py);
                Some((neighbour.distance, entry.id.clone_ref(py), metadata))
            });
            entries.collect()
        };
        let found = found.into_iter().map(|(distance, id, metadata)| {
            let distance = PyFloat::new(py, distance).into_any();
            (id.into_bound(py), distance, metadata.into_bound(py))
        });
        Ok(Some(found.collect()))
    }

    /// By a function of the caller's own, called in the order of adding.
    fn nearest_by_function<'py>(
        &self,
        query: &Bound<'py, PyAny>,
        seen: Vec<Seen<'py>>,
        k: usize,
    ) -> PyResult<Found<'py>> {
        let py = query.py();
        let function = self.function(py).into_bound(py);
        let mut all = Vec::with_capacity(seen.len());
        for entry in seen {
            let distance = function.call1((query, &entry.vector))?;
            all.push((distance.extract::<f64>()?, distance, entry));
        }
        all.sort_by(|(a, ..), (b, ..)| order(*a, *b));
        let nearest = all.into_iter().take(k);
        Ok(nearest
            .map(|(_, distance, entry)| (entry.id, distance, entry.metadata))
            .collect())
    }

    /// What a copy or a pickle of it holds.
    pub(super) fn state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let (seen, _) = self.seen(py, None)?;
        let entries = PyList::empty(py);
        for entry in seen {
            entries.append((entry.id, entry.vector, entry.metadata))?;
        }
        let state = (self.metric_name(py), self.last_modified(), entries);
        state.into_pyobject(py)
    }

    /// Inverse of [`Entries::state`].
    pub(super) fn restore(&self, state: &Bound<'_, PyTuple>) -> PyResult<()> {
        let py = state.py();
        self.clear(py);
        self.set_metric(&state.get_item(0)?)?;
        for entry in state.get_item(2)?.try_iter()? {
            let (id, vector, metadata): (Bound<'_, PyAny>, Bound<'_, PyAny>, Bound<'_, PyAny>) =
                entry?.extract()?;
            // Its id may have been assigned since it was added.
            let now = vector.getattr(intern!(py, "id"))?;
            if now.eq(&id)? {
                self.add(&vector, Some(metadata), None)?;
            } else {
                vector.setattr(intern!(py, "id"), &id)?;
                self.add(&vector, Some(metadata), None)?;
                vector.setattr(intern!(py, "id"), now)?;
            }
        }
        self.touch(state.get_item(1)?.extract()?);
        Ok(())
    }

    /// Lets go of what it holds itself, for the garbage collector; dicts are cleared by it.
    pub(super) fn release(&self) {
        let taken = self.state.try_lock().map(|mut state| {
            (
                std::mem::take(&mut state.entries),
                std::mem::take(&mut state.added),
            )
        });
        drop(taken);
        let metric = self.metric.try_lock().and_then(|mut metric| metric.take());
        drop(metric);
    }

    pub(super) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.vectors)?;
        visit.call(&self.slots)?;
        if let Some(metric) = self.metric.try_lock()
            && let Some(metric) = &*metric
        {
            visit.call(&metric.name)?;
            visit.call(&metric.function)?;
        }
        if let Some(state) = self.state.try_lock() {
            for entry in state.entries.iter().flatten().chain(&state.added) {
                visit.call(&entry.id)?;
                visit.call(&entry.vector)?;
                visit.call(&entry.metadata)?;
            }
        }
        Ok(())
    }
}

impl State {
    /// Notes an entry that came, or went.
    fn count(&mut self, dimension: usize, came: bool) {
        match self
            .dimensions
            .iter()
            .position(|(known, _)| *known == dimension)
        {
            Some(at) => {
                if let Some((_, count)) = self.dimensions.get_mut(at) {
                    *count = if came { *count + 1 } else { *count - 1 };
                    if *count == 0 {
                        self.dimensions.swap_remove(at);
                    }
                }
            }
            None => self.dimensions.push((dimension, 1)),
        }
    }

    /// Makes all of the table stale.
    fn forget_table(&mut self) {
        self.table = Arc::new(DoubleVectors::new(0));
        self.stale.clear();
        self.stale.extend(0..self.entries.len());
    }

    /// The floats of all entries, if they are of one dimension.
    ///
    /// With a metric, with what choosing neighbours by that takes.
    fn table(&mut self, chosen_by: Option<DoubleMetric>) -> Option<Arc<DoubleVectors>> {
        let [(dimension, _)] = *self.dimensions.as_slice() else {
            return None;
        };
        if self.table.dimension() != dimension {
            self.forget_table();
            self.table = Arc::new(DoubleVectors::new(dimension));
        }
        if !self.stale.is_empty() {
            let table = Arc::make_mut(&mut self.table);
            let gone = vec![0.0; dimension];
            for slot in self.stale.drain(..) {
                let number = Slot(u32::try_from(slot).ok()?);
                let entry = self.entries.get(slot).and_then(Option::as_ref);
                let floats = entry.map_or(&*gone, |entry| &*entry.floats);
                if slot == table.slots() {
                    table.push(floats);
                } else {
                    table.put(number, floats);
                }
                if entry.is_none() {
                    table.remove(number);
                }
            }
        }
        if let Some(metric) = chosen_by
            && self.table.is_due(metric)
        {
            Arc::make_mut(&mut self.table).prepare(metric);
        }
        Some(Arc::clone(&self.table))
    }
}

/// What an index demands of searches.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limits {
    /// The only dimension there is.
    pub(super) dimension: Option<usize>,
    /// How many vectors are compared at least; all of them if not given.
    pub(super) effort: Option<usize>,
}

/// What a search of a table asks for.
struct Wanted {
    metric: DoubleMetric,
    k: usize,
    effort: Option<usize>,
    among: Option<SlotSet>,
}

impl Wanted {
    fn find(&self, table: &DoubleVectors, floats: &[f64]) -> common::Result<Vec<Neighbour>> {
        let Self {
            metric, k, among, ..
        } = self;
        match self.effort {
            Some(effort) => table.nearest_chosen(*metric, floats, *k, effort, among.as_ref()),
            None => table.nearest(*metric, floats, *k, among.as_ref()),
        }
    }
}

/// Searches a table; Ctrl-C does not wait for a large one.
fn near(
    py: Python<'_>,
    table: &Arc<DoubleVectors>,
    floats: &[f64],
    wanted: Wanted,
) -> PyResult<common::Result<Vec<Neighbour>>> {
    let elements = table.len() * table.dimension();
    if elements < LONG {
        return Ok(wanted.find(table, floats));
    }
    if elements < UNCHECKED {
        return Ok(py.detach(|| wanted.find(table, floats)));
    }
    let (table, floats) = (Arc::clone(table), floats.to_vec());
    watch::outcome(py, true, None, move |_| wanted.find(&table, &floats))
}

impl<'py> Seen<'py> {
    fn at(
        &self,
        py: Python<'py>,
        distance: f64,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let distance = distance.into_pyobject(py)?.into_any();
        Ok((self.id.clone(), distance, self.metadata.clone()))
    }
}

/// Of vectors of several dimensions.
fn nearest_one_by_one<'py>(
    floats: &[f64],
    seen: Vec<Seen<'py>>,
    k: usize,
    metric: DoubleMetric,
) -> PyResult<Found<'py>> {
    let mut all = Vec::with_capacity(seen.len());
    for entry in seen {
        check(floats.len(), entry.floats.len())?;
        let distance = metric.distance(floats, &entry.floats).ok_or_else(zero)?;
        all.push((distance, entry));
    }
    all.sort_by(|(a, _), (b, _)| order(*a, *b));
    let nearest = all.iter().take(k);
    nearest
        .map(|(distance, entry)| entry.at(entry.id.py(), *distance))
        .collect()
}

/// Ascending, NaN last.
fn order(a: f64, b: f64) -> std::cmp::Ordering {
    a.partial_cmp(&b)
        .unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// The metadata that an object itself carries.
fn carried_metadata(vector: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyAny>>> {
    let py = vector.py();
    if let Ok(own) = vector.cast::<Vector>() {
        return own.get().metadata_given(py);
    }
    let metadata = vector.getattr_opt(intern!(py, "metadata"))?;
    Ok(metadata.map(Bound::unbind))
}

/// Metadata that has something in it.
fn filled(py: Python<'_>, metadata: Option<&Py<PyAny>>) -> PyResult<Option<Py<PyAny>>> {
    match metadata {
        Some(metadata) if metadata.bind(py).is_truthy()? => Ok(Some(metadata.clone_ref(py))),
        _ => Ok(None),
    }
}

pub(super) fn wrong_dimension(found: usize, expected: usize) -> PyErr {
    PyValueError::new_err(format!(
        "Vector dimension ({found}) does not match index dimension ({expected})"
    ))
}
