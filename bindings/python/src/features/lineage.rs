//! Lineage: what came from what.

use common::{Seq, Text, Timestamp};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use vectordb::feature;
use vectordb::lineage::{self, NodeKind};

use crate::interchange::{change, raise, read, time_to_python, value_to_python, watch, write};

/// One thing in one version, of which its id follows: a source, view, run, transform, `training_set`, model or artifact.
#[pyclass(frozen, eq, module = "vectordb.lineage", from_py_object)]
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LineageNode(pub(crate) lineage::LineageNode);

pub(super) fn kind_of(name: &str) -> PyResult<NodeKind> {
    serde_json::from_value(name.into()).map_err(|_| {
        PyValueError::new_err(format!(
            "there is no kind {name:?} of nodes; it is one of source, view, run, transform, training_set, model, artifact"
        ))
    })
}

#[pymethods]
impl LineageNode {
    #[new]
    #[pyo3(signature = (kind, name, version, *, parameters = None, code = None),
        text_signature = "(kind, name, version, *, parameters=None, code=None)")]
    fn new(
        kind: &str,
        name: &str,
        version: &str,
        parameters: Option<&Bound<'_, PyAny>>,
        code: Option<&str>,
    ) -> PyResult<Self> {
        let mut node = lineage::LineageNode::new(kind_of(kind)?, name, version);
        if let Some(parameters) = parameters {
            node = node.parameters(read("parameters of a node", parameters)?);
        }
        if let Some(code) = code {
            node = node.code(code);
        }
        Ok(Self(node))
    }

    /// What it is.
    #[getter]
    fn kind(&self) -> &'static str {
        self.0.kind.name()
    }

    /// What it is called.
    #[getter]
    fn name(&self) -> &str {
        &self.0.name
    }

    /// Which one of that name.
    #[getter]
    fn version(&self) -> &str {
        &self.0.version
    }

    /// What it was made with.
    #[getter]
    fn parameters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        write(py, &self.0.parameters)
    }

    /// Version of the program that made it.
    #[getter]
    fn code(&self) -> &str {
        &self.0.code
    }

    /// When it was written down; None before it was.
    #[getter]
    fn created<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let created = self.0.created;
        (created != Timestamp::default())
            .then(|| time_to_python(py, created))
            .transpose()
    }

    /// The commit whose rows a run wrote; 0 for all else.
    #[getter]
    fn seq(&self) -> u64 {
        self.0.seq.0
    }

    /// Its id: 32 hexadecimal digits.
    #[getter]
    fn id(&self) -> String {
        self.0.id().to_string()
    }

    fn __hash__(&self) -> u64 {
        u64::from_str_radix(self.0.id().get(..16).unwrap_or_default(), 16).unwrap_or_default()
    }

    fn __repr__(&self) -> String {
        format!(
            "LineageNode({:?}, {:?}, {:?})",
            self.0.kind.name(),
            &*self.0.name,
            &*self.0.version
        )
    }
}

/// A node that another came from, or that came of it.
#[pyclass(frozen, get_all, module = "vectordb.lineage")]
#[derive(Clone)]
pub(crate) struct Related {
    /// The node.
    node: LineageNode,
    /// Fewest edges in between: 1 for parents and children.
    distance: usize,
}

#[pymethods]
impl Related {
    fn __repr__(&self) -> String {
        format!(
            "Related({}, distance={})",
            self.node.__repr__(),
            self.distance
        )
    }
}

fn related(found: Vec<lineage::Related>) -> Vec<Related> {
    let one = |found: lineage::Related| Related {
        node: LineageNode(found.node),
        distance: found.distance,
    };
    found.into_iter().map(one).collect()
}

/// What came from what, in the tables of a store's database: take it from `FeatureStore.lineage`.
#[pyclass(frozen, module = "vectordb.lineage")]
pub(crate) struct Lineage(pub(super) lineage::Lineage);

impl Lineage {
    /// Reads what may be the whole graph; Ctrl-C does not wait for it.
    fn read<T: Send + 'static>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&lineage::Lineage) -> common::Result<T> + Send + 'static,
    ) -> PyResult<T> {
        let all = self.0.clone();
        watch::run(py, None, move |_| work(&all))
    }
}

#[pymethods]
impl Lineage {
    /// Writes a node with edges from its parents, given by id, and returns its id.
    #[pyo3(signature = (node, parents = Vec::new()), text_signature = "($self, node, parents=())")]
    fn record(&self, py: Python<'_>, node: &LineageNode, parents: Vec<String>) -> PyResult<String> {
        let parents: Vec<Text> = parents.into_iter().map(Text::from).collect();
        Ok(change(py, || self.0.record(&node.0, &parents))?.to_string())
    }

    /// Writes that a node was made of another.
    fn link(&self, py: Python<'_>, parent: &str, child: &str) -> PyResult<()> {
        change(py, || self.0.link(parent, child))
    }

    /// The node of an id.
    fn node(&self, id: &str) -> PyResult<LineageNode> {
        self.0.node(id).map(LineageNode).map_err(raise)
    }

    /// All nodes of a kind, or of any, in the order in which they were written.
    #[pyo3(signature = (kind = None), text_signature = "($self, kind=None)")]
    fn nodes(&self, py: Python<'_>, kind: Option<&str>) -> PyResult<Vec<LineageNode>> {
        let kind = kind.map(kind_of).transpose()?;
        let nodes = self.read(py, move |all| all.nodes(kind))?;
        Ok(nodes.into_iter().map(LineageNode).collect())
    }

    /// The runs that wrote rows in a commit.
    fn runs_of(&self, py: Python<'_>, seq: u64) -> PyResult<Vec<LineageNode>> {
        let nodes = self.read(py, move |all| all.runs_of(Seq(seq)))?;
        Ok(nodes.into_iter().map(LineageNode).collect())
    }

    /// Ids of what a node was made of directly.
    fn parents(&self, id: &str) -> PyResult<Vec<String>> {
        let parents = self.0.parents(id).map_err(raise)?;
        Ok(parents.iter().map(ToString::to_string).collect())
    }

    /// What a node was made of, by whatever way, nearest first.
    fn ancestors(&self, py: Python<'_>, id: &str) -> PyResult<Vec<Related>> {
        let id = id.to_owned();
        self.read(py, move |all| all.ancestors(&id)).map(related)
    }

    /// What was made of a node, by whatever way, nearest first.
    fn descendants(&self, py: Python<'_>, id: &str) -> PyResult<Vec<Related>> {
        let id = id.to_owned();
        self.read(py, move |all| all.descendants(&id)).map(related)
    }

    /// The graph around a node in the language of Graphviz.
    fn to_dot(&self, py: Python<'_>, id: &str) -> PyResult<String> {
        let id = id.to_owned();
        self.read(py, move |all| all.to_dot(&id))
    }

    /// A node as an event of OpenLineage, a dict that `json.dumps` writes.
    #[pyo3(signature = (id, namespace = "tandemdb"), text_signature = "($self, id, namespace='tandemdb')")]
    fn to_open_lineage<'py>(
        &self,
        py: Python<'py>,
        id: &str,
        namespace: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (id, namespace) = (id.to_owned(), namespace.to_owned());
        let event = self.read(py, move |all| all.to_open_lineage(&id, &namespace))?;
        write(py, &event)
    }
}

/// Where one served value comes from: what `FeatureStore.why` answers.
#[pyclass(frozen, module = "vectordb.lineage")]
pub(crate) struct Origin(pub(super) feature::Origin);

#[pymethods]
impl Origin {
    /// The value, None unless it is present.
    #[getter]
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        value_to_python(py, &self.0.value)
    }

    /// What it is as of the time asked for.
    #[getter]
    fn status(&self) -> &'static str {
        self.0.status.name()
    }

    /// When the event happened that it is of.
    #[getter]
    fn event_time<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        time_to_python(py, self.0.event)
    }

    /// When that became known.
    #[getter]
    fn known_time<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        time_to_python(py, self.0.known)
    }

    /// The commit that wrote it.
    #[getter]
    fn seq(&self) -> u64 {
        self.0.seq.0
    }

    /// The version of the view that reads it.
    #[getter]
    fn definition(&self) -> LineageNode {
        LineageNode(self.0.definition.clone())
    }

    /// The run that brought it; None for an event that was written without a source.
    #[getter]
    fn run(&self) -> Option<LineageNode> {
        self.0.run.clone().map(LineageNode)
    }

    /// What the run read, and what that came from, nearest first.
    #[getter]
    fn made_of(&self) -> Vec<Related> {
        related(self.0.made_of.clone())
    }

    fn __repr__(&self) -> String {
        let run = self.0.run.as_ref().map(|run| run.name.to_string());
        format!(
            "Origin(value={}, status={:?}, run={run:?})",
            self.0.value,
            self.0.status.name()
        )
    }
}
