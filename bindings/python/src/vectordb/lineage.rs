//! `LineageNode` and `LineageTracker`: what came from what.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyList, PyString, PyTuple, PyType};

use super::object::{self, Field, new_id};

/// Something that came from its parents, and from which its children came.
///
/// Id and time are made when they are `None`. Equal to itself only.
#[pyclass(
    frozen,
    subclass,
    dict,
    weakref,
    name = "LineageNode",
    module = "vectordb.feature_store.lineage"
)]
pub(crate) struct LineageNode {
    node_id: Field,
    node_type: Field,
    name: Field,
    timestamp: Field,
    created_by: Field,
    metadata: Field,
    parents: Field,
    children: Field,
    /// Greater than that of any node made before.
    number: u64,
}

static NODES: AtomicU64 = AtomicU64::new(0);

/// What a node is made of, beside its type.
#[derive(Default)]
pub(super) struct NodeParts<'py> {
    pub(super) node_id: Option<Bound<'py, PyAny>>,
    pub(super) name: Option<Bound<'py, PyAny>>,
    pub(super) timestamp: Option<Bound<'py, PyAny>>,
    pub(super) created_by: Option<Bound<'py, PyAny>>,
    pub(super) metadata: Option<Bound<'py, PyAny>>,
}

impl LineageNode {
    fn empty() -> Self {
        let field = || Field::new(None);
        Self {
            node_id: field(),
            node_type: field(),
            name: field(),
            timestamp: field(),
            created_by: field(),
            metadata: field(),
            parents: field(),
            children: field(),
            number: NODES.fetch_add(1, Ordering::Relaxed),
        }
    }

    fn fill<'py>(&self, node_type: Bound<'py, PyAny>, parts: NodeParts<'py>) -> PyResult<()> {
        let py = node_type.py();
        let id = parts.node_id.unwrap_or_else(|| new_id(py));
        self.node_id.set(Some(id.unbind()));
        self.node_type.set(Some(node_type.unbind()));
        self.name.set(parts.name.map(Bound::unbind));
        let now = || PyFloat::new(py, object::now()).into_any();
        let timestamp = parts.timestamp.unwrap_or_else(now);
        self.timestamp.set(Some(timestamp.unbind()));
        self.created_by.set(parts.created_by.map(Bound::unbind));
        self.metadata.set(match parts.metadata {
            Some(metadata) if metadata.is_truthy()? => Some(metadata.unbind()),
            _ => None,
        });
        self.parents
            .set(Some(PyList::empty(py).into_any().unbind()));
        self.children
            .set(Some(PyList::empty(py).into_any().unbind()));
        Ok(())
    }

    /// The ids on one side.
    fn ids<'py>(&self, py: Python<'py>, side: Side) -> Bound<'py, PyAny> {
        let field = match side {
            Side::Parents => &self.parents,
            Side::Children => &self.children,
        };
        field.or_none(py).into_bound(py)
    }

    fn link(&self, side: Side, id: &Bound<'_, PyAny>) -> PyResult<()> {
        let ids = self.ids(id.py(), side);
        if !ids.contains(id)? {
            ids.call_method1(intern!(id.py(), "append"), (id,))?;
        }
        Ok(())
    }

    /// Takes an id out, however often it is there.
    fn unlink(&self, side: Side, id: &Bound<'_, PyAny>) -> PyResult<()> {
        let ids = self.ids(id.py(), side);
        while ids.contains(id)? {
            ids.call_method1(intern!(id.py(), "remove"), (id,))?;
        }
        Ok(())
    }
}

/// Which neighbours are meant.
#[derive(Clone, Copy)]
enum Side {
    Parents,
    Children,
}

#[pymethods]
impl LineageNode {
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(node_id=None, node_type='feature', name=None, timestamp=None, created_by=None, metadata=None)"
    )]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::empty()
    }

    #[pyo3(signature = (node_id=None, node_type=None, name=None, timestamp=None, created_by=None, metadata=None))]
    #[expect(clippy::too_many_arguments, reason = "as callers know it")]
    fn __init__<'py>(
        &self,
        py: Python<'py>,
        node_id: Option<Bound<'py, PyAny>>,
        node_type: Option<Bound<'py, PyAny>>,
        name: Option<Bound<'py, PyAny>>,
        timestamp: Option<Bound<'py, PyAny>>,
        created_by: Option<Bound<'py, PyAny>>,
        metadata: Option<Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let default = || intern!(py, "feature").clone().into_any();
        let parts = NodeParts {
            node_id,
            name,
            timestamp,
            created_by,
            metadata,
        };
        self.fill(node_type.unwrap_or_else(default), parts)
    }

    /// The identifier.
    #[getter]
    fn node_id(&self, py: Python<'_>) -> Py<PyAny> {
        self.node_id.or_none(py)
    }

    #[setter]
    fn set_node_id(&self, value: Py<PyAny>) {
        self.node_id.set(Some(value));
    }

    /// `"feature"`, `"transformation"` or any other text.
    #[getter]
    fn node_type(&self, py: Python<'_>) -> Py<PyAny> {
        self.node_type.or_none(py)
    }

    #[setter]
    fn set_node_type(&self, value: Py<PyAny>) {
        self.node_type.set(Some(value));
    }

    /// What to call it, or `None`.
    #[getter]
    fn name(&self, py: Python<'_>) -> Py<PyAny> {
        self.name.or_none(py)
    }

    #[setter]
    fn set_name(&self, value: Py<PyAny>) {
        self.name.set(Some(value));
    }

    /// Since when, in seconds since the epoch.
    #[getter]
    fn timestamp(&self, py: Python<'_>) -> Py<PyAny> {
        self.timestamp.or_none(py)
    }

    #[setter]
    fn set_timestamp(&self, value: Py<PyAny>) {
        self.timestamp.set(Some(value));
    }

    /// Who made it, or `None`.
    #[getter]
    fn created_by(&self, py: Python<'_>) -> Py<PyAny> {
        self.created_by.or_none(py)
    }

    #[setter]
    fn set_created_by(&self, value: Py<PyAny>) {
        self.created_by.set(Some(value));
    }

    /// A live dict.
    #[getter]
    fn metadata(&self, py: Python<'_>) -> Py<PyAny> {
        self.metadata.dict(py)
    }

    #[setter]
    fn set_metadata(&self, value: Py<PyAny>) {
        self.metadata.set(Some(value));
    }

    /// A live list of ids.
    #[getter]
    fn parents(&self, py: Python<'_>) -> Py<PyAny> {
        self.parents.or_none(py)
    }

    #[setter]
    fn set_parents(&self, value: Py<PyAny>) {
        self.parents.set(Some(value));
    }

    /// A live list of ids.
    #[getter]
    fn children(&self, py: Python<'_>) -> Py<PyAny> {
        self.children.or_none(py)
    }

    #[setter]
    fn set_children(&self, value: Py<PyAny>) {
        self.children.set(Some(value));
    }

    /// The timestamp as a naive time in UTC, to the second.
    #[getter]
    fn created_at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        object::moment(self.timestamp.or_none(py).bind(py))
    }

    /// Adds an id to `parents`, unless it is there.
    fn add_parent(&self, parent_id: &Bound<'_, PyAny>) -> PyResult<()> {
        self.link(Side::Parents, parent_id)
    }

    /// Adds an id to `children`, unless it is there.
    fn add_child(&self, child_id: &Bound<'_, PyAny>) -> PyResult<()> {
        self.link(Side::Children, child_id)
    }

    /// The eight attributes.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item(intern!(py, "node_id"), self.node_id.or_none(py))?;
        dict.set_item(intern!(py, "node_type"), self.node_type.or_none(py))?;
        dict.set_item(intern!(py, "name"), self.name.or_none(py))?;
        dict.set_item(intern!(py, "timestamp"), self.timestamp.or_none(py))?;
        dict.set_item(intern!(py, "created_by"), self.created_by.or_none(py))?;
        dict.set_item(intern!(py, "metadata"), self.metadata.dict(py))?;
        dict.set_item(intern!(py, "parents"), self.parents.or_none(py))?;
        dict.set_item(intern!(py, "children"), self.children.or_none(py))?;
        Ok(dict)
    }

    /// Inverse of `to_dict`. Raises `KeyError` without `node_id`, `node_type` or `timestamp`.
    #[classmethod]
    fn from_dict<'py>(
        cls: &Bound<'py, PyType>,
        data: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = cls.py();
        let kwargs = PyDict::new(py);
        for name in ["node_id", "node_type", "timestamp"] {
            kwargs.set_item(name, data.get_item(name)?)?;
        }
        for name in ["name", "created_by", "metadata"] {
            if data.contains(name)? {
                kwargs.set_item(name, data.get_item(name)?)?;
            }
        }
        let node = cls.call((), Some(&kwargs))?;
        for name in ["parents", "children"] {
            let ids = PyList::empty(py);
            if data.contains(name)? {
                for id in data.get_item(name)?.try_iter()? {
                    ids.append(id?)?;
                }
            }
            node.setattr(name, ids)?;
        }
        Ok(node)
    }

    /// `to_dict` as JSON.
    fn to_json<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        object::dumps(&slf.call_method0(intern!(slf.py(), "to_dict"))?)
    }

    /// Inverse of `to_json`.
    #[classmethod]
    fn from_json<'py>(
        cls: &Bound<'py, PyType>,
        json_str: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        cls.call_method1(intern!(cls.py(), "from_dict"), (object::loads(json_str)?,))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        let attributes = PyTuple::new(py, slf.get().fields().map(|field| field.get(py)))?;
        object::reduce(slf.as_any(), attributes)
    }

    fn __setstate__<'py>(slf: &Bound<'py, Self>, state: &Bound<'py, PyTuple>) -> PyResult<()> {
        let attributes = object::restore(slf.as_any(), state)?;
        let this = slf.get();
        for (field, value) in this.fields().into_iter().zip(attributes.iter()) {
            field.set((!value.is_none()).then(|| value.unbind()));
        }
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.metadata.visit(&visit)
    }

    fn __clear__(&self) {
        self.metadata.set(None);
    }
}

impl LineageNode {
    fn fields(&self) -> [&Field; 8] {
        [
            &self.node_id,
            &self.node_type,
            &self.name,
            &self.timestamp,
            &self.created_by,
            &self.metadata,
            &self.parents,
            &self.children,
        ]
    }
}

/// Nodes by id, and the links between them.
#[pyclass(
    frozen,
    subclass,
    dict,
    weakref,
    name = "LineageTracker",
    module = "vectordb.feature_store.lineage"
)]
pub(crate) struct Lineage {
    nodes: Py<PyDict>,
}

fn unknown(what: &str, id: &Bound<'_, PyAny>) -> PyErr {
    match id.str() {
        Ok(id) => PyValueError::new_err(format!("{what} {id} does not exist")),
        Err(error) => error,
    }
}

impl Lineage {
    pub(super) fn new_in(py: Python<'_>) -> PyResult<Bound<'_, Self>> {
        Bound::new(
            py,
            Self {
                nodes: PyDict::new(py).unbind(),
            },
        )
    }

    pub(super) fn node<'py>(
        &self,
        id: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, LineageNode>>> {
        match self.nodes.bind(id.py()).get_item(id)? {
            Some(node) => Ok(Some(node.cast_into()?)),
            None => Ok(None),
        }
    }

    fn known<'py>(&self, what: &str, id: &Bound<'py, PyAny>) -> PyResult<Bound<'py, LineageNode>> {
        self.node(id)?.ok_or_else(|| unknown(what, id))
    }

    /// Registers a node and links it to its parents, all of which must exist.
    pub(super) fn put<'py>(
        &self,
        node_type: Bound<'py, PyAny>,
        parts: NodeParts<'py>,
        parents: &[Bound<'py, PyAny>],
    ) -> PyResult<Bound<'py, LineageNode>> {
        let py = node_type.py();
        let node = LineageNode::empty();
        node.fill(node_type, parts)?;
        let node = Bound::new(py, node)?;
        let id = node.get().node_id.or_none(py).into_bound(py);
        let parents: Vec<_> = parents
            .iter()
            .map(|parent| {
                if parent.eq(&id)? {
                    return Ok(node.clone());
                }
                self.known("Parent node", parent)
            })
            .collect::<PyResult<_>>()?;
        self.nodes.bind(py).set_item(&id, &node)?;
        for parent in parents {
            Self::connect(&parent, &node)?;
        }
        Ok(node)
    }

    fn connect<'py>(
        parent: &Bound<'py, LineageNode>,
        child: &Bound<'py, LineageNode>,
    ) -> PyResult<()> {
        let py = parent.py();
        let (parent_id, child_id) = (parent.get().node_id(py), child.get().node_id(py));
        parent.get().link(Side::Children, child_id.bind(py))?;
        child.get().link(Side::Parents, parent_id.bind(py))
    }

    pub(super) fn connect_ids<'py>(
        &self,
        parent_id: &Bound<'py, PyAny>,
        child_id: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let parent = self.known("Parent node", parent_id)?;
        let child = self.known("Child node", child_id)?;
        Self::connect(&parent, &child)
    }

    /// Nodes that are reached from one, by the least number of steps, up to a greatest one.
    fn reached<'py>(
        &self,
        id: &Bound<'py, PyAny>,
        side: Side,
        most: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let py = id.py();
        let start = self.known("Node", id)?;
        let most = match most {
            Some(most) => usize::try_from(object::integer(&most)?).unwrap_or(0),
            None => usize::MAX,
        };
        let found = PyDict::new(py);
        let mut queue = VecDeque::from([(start, 0)]);
        while let Some((node, depth)) = queue.pop_front() {
            if depth == most {
                continue;
            }
            let mut visit = |next: Bound<'py, PyAny>| -> PyResult<()> {
                if !found.contains(&next)?
                    && let Some(node) = self.node(&next)?
                {
                    found.set_item(next, &node)?;
                    queue.push_back((node, depth + 1));
                }
                Ok(())
            };
            let ids = node.get().ids(py, side);
            match ids.cast_exact::<PyList>() {
                Ok(ids) => ids.iter().try_for_each(visit)?,
                Err(_) => ids.try_iter()?.try_for_each(|next| visit(next?))?,
            }
        }
        Ok(found)
    }

    /// A transformation between nodes, all of which must exist; its id.
    pub(super) fn transform<'py>(
        &self,
        py: Python<'py>,
        parts: NodeParts<'py>,
        inputs: &[Bound<'py, PyAny>],
        outputs: &[Bound<'py, PyAny>],
    ) -> PyResult<Bound<'py, PyAny>> {
        for input in inputs {
            self.known("Input node", input)?;
        }
        for output in outputs {
            self.known("Output node", output)?;
        }
        let kind = intern!(py, "transformation").clone().into_any();
        let node = self.put(kind, parts, inputs)?;
        for output in outputs {
            let output = self.known("Output node", output)?;
            Self::connect(&node, &output)?;
        }
        Ok(node.get().node_id(py).into_bound(py))
    }

    /// Forgets a node, with `cascade` also what came from it; how many.
    pub(super) fn forget(&self, id: &Bound<'_, PyAny>, cascade: bool) -> PyResult<usize> {
        let py = id.py();
        let node = self.known("Node", id)?;
        let doomed = if cascade {
            self.reached(id, Side::Children, None)?
        } else {
            PyDict::new(py)
        };
        doomed.set_item(id, node)?;
        let nodes = self.nodes.bind(py);
        for (id, node) in doomed.iter() {
            let node = node.cast_into::<LineageNode>()?;
            for (side, other_side) in [
                (Side::Parents, Side::Children),
                (Side::Children, Side::Parents),
            ] {
                for other in node.get().ids(py, side).try_iter()? {
                    let other = other?;
                    if !doomed.contains(&other)?
                        && let Some(other) = self.node(&other)?
                    {
                        other.get().unlink(other_side, &id)?;
                    }
                }
            }
            if nodes.contains(&id)? {
                nodes.del_item(&id)?;
            }
        }
        Ok(doomed.len())
    }

    /// Forgets a node and all that came from it, and transformations that have nothing left that came from them.
    pub(super) fn forget_branch<'py>(&self, id: &Bound<'py, PyAny>) -> PyResult<()> {
        let py = id.py();
        let Some(node) = self.node(id)? else {
            return Ok(());
        };
        let mut above: Vec<Bound<'py, PyAny>> = Vec::new();
        let branch = self.reached(id, Side::Children, None)?;
        branch.set_item(id, node)?;
        for node in branch.values() {
            let node = node.cast_into::<LineageNode>()?;
            for parent in node.get().ids(py, Side::Parents).try_iter()? {
                above.push(parent?);
            }
        }
        self.forget(id, true)?;
        while let Some(parent) = above.pop() {
            let Some(node) = self.node(&parent)? else {
                continue;
            };
            let is_transformation = node
                .get()
                .node_type(py)
                .bind(py)
                .eq(intern!(py, "transformation"))?;
            if is_transformation && node.get().ids(py, Side::Children).len()? == 0 {
                for grandparent in node.get().ids(py, Side::Parents).try_iter()? {
                    above.push(grandparent?);
                }
                self.forget(&parent, false)?;
            }
        }
        Ok(())
    }

    pub(super) fn history<'py>(&self, id: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
        let py = id.py();
        let ancestors = self.reached(id, Side::Parents, None)?;
        let kind = intern!(py, "transformation");
        let mut steps = Vec::new();
        for node in ancestors.values() {
            let node = node.cast_into::<LineageNode>()?;
            let own = node.get();
            if own.node_type(py).bind(py).eq(kind)? {
                let time: f64 = own.timestamp(py).extract(py)?;
                steps.push((time, own.number, node));
            }
        }
        steps.sort_by(|(a, i, _), (b, j, _)| a.total_cmp(b).then(i.cmp(j)));
        let history = PyList::empty(py);
        for (.., node) in steps {
            let node = node.get();
            let dict = PyDict::new(py);
            dict.set_item("node_id", node.node_id(py))?;
            dict.set_item("name", node.name(py))?;
            dict.set_item("type", node.node_type(py))?;
            dict.set_item("timestamp", node.timestamp(py))?;
            dict.set_item("created_by", node.created_by(py))?;
            dict.set_item("metadata", node.metadata(py))?;
            for (name, side) in [("inputs", Side::Parents), ("outputs", Side::Children)] {
                let ids: Vec<_> = node.ids(py, side).try_iter()?.collect::<PyResult<_>>()?;
                dict.set_item(name, PyList::new(py, ids)?)?;
            }
            history.append(dict)?;
        }
        Ok(history)
    }
}

/// The items of an optional iterable.
fn items<'py>(given: Option<&Bound<'py, PyAny>>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    given.map_or_else(|| Ok(Vec::new()), |given| given.try_iter()?.collect())
}

#[pymethods]
impl Lineage {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "()")]
    fn new(
        py: Python<'_>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> Self {
        Self {
            nodes: PyDict::new(py).unbind(),
        }
    }

    #[expect(clippy::unused_self, reason = "refuses arguments")]
    fn __init__(&self) {}

    #[getter(_nodes)]
    fn private_nodes<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        self.nodes.bind(py).clone()
    }

    /// Registers a node, in place of one of the same id, and links it to its parents. Raises `ValueError`, changing nothing,
    /// when one of these does not exist.
    #[pyo3(signature = (
        node_type, name=None, node_id=None, timestamp=None, created_by=None, metadata=None, parents=None
    ))]
    #[expect(clippy::too_many_arguments, reason = "as callers know it")]
    fn add_node<'py>(
        &self,
        node_type: Bound<'py, PyAny>,
        name: Option<Bound<'py, PyAny>>,
        node_id: Option<Bound<'py, PyAny>>,
        timestamp: Option<Bound<'py, PyAny>>,
        created_by: Option<Bound<'py, PyAny>>,
        metadata: Option<Bound<'py, PyAny>>,
        parents: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, LineageNode>> {
        let parts = NodeParts {
            node_id,
            name,
            timestamp,
            created_by,
            metadata,
        };
        self.put(node_type, parts, &items(parents)?)
    }

    /// Links two nodes, once. Raises `ValueError` when one does not exist.
    fn add_edge<'py>(
        &self,
        parent_id: &Bound<'py, PyAny>,
        child_id: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        self.connect_ids(parent_id, child_id)
    }

    /// The node of an id, or `None`.
    fn get_node<'py>(
        &self,
        node_id: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, LineageNode>>> {
        self.node(node_id)
    }

    /// All nodes that this one came from, in at most `max_depth` steps, by id. Raises `ValueError` for an unknown node.
    #[pyo3(signature = (node_id, max_depth=None))]
    fn get_ancestors<'py>(
        &self,
        node_id: &Bound<'py, PyAny>,
        max_depth: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        self.reached(node_id, Side::Parents, max_depth)
    }

    /// All nodes that came from this one, in at most `max_depth` steps, by id. Raises `ValueError` for an unknown node.
    #[pyo3(signature = (node_id, max_depth=None))]
    fn get_descendants<'py>(
        &self,
        node_id: &Bound<'py, PyAny>,
        max_depth: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        self.reached(node_id, Side::Children, max_depth)
    }

    /// The ids on the shortest way from a node to one that came from it, both included; empty when it did not.
    ///
    /// Raises `ValueError` for an unknown node.
    fn get_lineage_path<'py>(
        &self,
        start_id: &Bound<'py, PyAny>,
        end_id: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = start_id.py();
        let start = self.known("Node", start_id)?;
        self.known("Node", end_id)?;
        if start_id.eq(end_id)? {
            return Ok(PyList::empty(py));
        }
        let came_from = PyDict::new(py);
        came_from.set_item(start_id, py.None())?;
        let mut queue = VecDeque::from([(start_id.clone(), start)]);
        while let Some((id, node)) = queue.pop_front() {
            for next in node.get().ids(py, Side::Children).try_iter()? {
                let next = next?;
                if came_from.contains(&next)? {
                    continue;
                }
                let Some(node) = self.node(&next)? else {
                    continue;
                };
                came_from.set_item(&next, &id)?;
                if next.eq(end_id)? {
                    let path = PyList::new(py, [&next])?;
                    let mut at = next;
                    while let Some(before) = came_from.get_item(&at)? {
                        if before.is_none() {
                            break;
                        }
                        path.append(&before)?;
                        at = before;
                    }
                    path.reverse()?;
                    return Ok(path);
                }
                queue.push_back((next, node));
            }
        }
        Ok(PyList::empty(py))
    }

    /// Registers a transformation from its inputs to its outputs, and returns its id. Raises `ValueError`, changing nothing,
    /// when one of these does not exist.
    #[pyo3(signature = (
        transform_name, inputs, outputs, parameters=None, created_by=None, timestamp=None, metadata=None
    ))]
    #[expect(clippy::too_many_arguments, reason = "as callers know it")]
    fn add_transformation<'py>(
        &self,
        transform_name: Bound<'py, PyAny>,
        inputs: &Bound<'py, PyAny>,
        outputs: &Bound<'py, PyAny>,
        parameters: Option<Bound<'py, PyAny>>,
        created_by: Option<Bound<'py, PyAny>>,
        timestamp: Option<Bound<'py, PyAny>>,
        metadata: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = transform_name.py();
        let own = PyDict::new(py);
        if let Some(metadata) = metadata {
            own.update(metadata.cast()?)?;
        }
        if let Some(parameters) = parameters
            && parameters.is_truthy()?
        {
            own.set_item("parameters", parameters)?;
        }
        let parts = NodeParts {
            name: Some(transform_name),
            timestamp,
            created_by,
            metadata: Some(own.into_any()),
            ..NodeParts::default()
        };
        self.transform(py, parts, &items(Some(inputs))?, &items(Some(outputs))?)
    }

    /// The transformations that a node came from, oldest first; of the same time, in the order of creation. Raises
    /// `ValueError` for an unknown node.
    fn get_node_history<'py>(&self, node_id: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
        self.history(node_id)
    }

    /// All nodes by id, or those of one type.
    #[pyo3(signature = (node_type=None))]
    fn get_all_nodes<'py>(
        &self,
        py: Python<'py>,
        node_type: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let nodes = self.nodes.bind(py);
        let Some(node_type) = node_type else {
            return nodes.copy();
        };
        let found = PyDict::new(py);
        for (id, node) in nodes.iter() {
            if node.getattr(intern!(py, "node_type"))?.eq(&node_type)? {
                found.set_item(id, node)?;
            }
        }
        Ok(found)
    }

    /// Forgets a node, with `cascade` also all that came from it; how many. Raises `ValueError` for an unknown node.
    #[pyo3(signature = (node_id, cascade=None), text_signature = "($self, node_id, cascade=False)")]
    fn delete_node<'py>(
        &self,
        node_id: &Bound<'py, PyAny>,
        cascade: Option<Bound<'py, PyAny>>,
    ) -> PyResult<usize> {
        let cascade = cascade.map_or(Ok(false), |cascade| cascade.is_truthy())?;
        self.forget(node_id, cascade)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        let state = PyTuple::new(py, [slf.get().nodes.bind(py)])?;
        object::reduce(slf.as_any(), state)
    }

    fn __setstate__<'py>(slf: &Bound<'py, Self>, state: &Bound<'py, PyTuple>) -> PyResult<()> {
        let attributes = object::restore(slf.as_any(), state)?;
        let nodes = attributes.get_item(0)?;
        let own = slf.get().nodes.bind(slf.py());
        own.update(nodes.cast()?)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.nodes)
    }
}

/// The id of a feature version's node.
pub(super) fn node_id<'py>(
    entity: &Bound<'py, PyAny>,
    feature: &Bound<'py, PyAny>,
    version: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyString>> {
    PyString::from_fmt(entity.py(), format_args!("{entity}:{feature}:{version}"))
}
