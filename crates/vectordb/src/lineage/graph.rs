//! [`Lineage`]: nodes and edges in tables of a database.

use std::collections::VecDeque;

use common::query::{Filter, Query};
use common::schema::{Field, FieldType, IndexSpec, Schema};
use common::utils::validation::check_name;
use common::{
    Collection, Database, Error, Record, Result, Seq, Text, Timestamp, Transaction, Value, View,
    row,
};
use foldhash::HashSet;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Table of nodes: `id` (the key), `kind`, `name`, `version`, `parameters` as JSON, `code`, `created_at`, `seq`.
pub(crate) const NODES: &str = "lineage_nodes";
/// Table of edges: `parent` and `child` (the key).
pub(crate) const EDGES: &str = "lineage_edges";

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NodeKind {
    /// Data from elsewhere: a file, a table, a stream.
    Source,
    /// A version of a feature view's definition.
    View,
    /// Something that was done: an import, a transformation of a batch.
    Run,
    /// Fitted transformations.
    Transform,
    /// Rows for training.
    TrainingSet,
    /// A trained model.
    Model,
    /// Whatever else an application wants to know the origin of.
    Artifact,
}

impl NodeKind {
    /// Its name, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::View => "view",
            Self::Run => "run",
            Self::Transform => "transform",
            Self::TrainingSet => "training_set",
            Self::Model => "model",
            Self::Artifact => "artifact",
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        let all = [
            Self::Source,
            Self::View,
            Self::Run,
            Self::Transform,
            Self::TrainingSet,
            Self::Model,
            Self::Artifact,
        ];
        all.into_iter().find(|kind| kind.name() == name)
    }
}

/// One thing in one version. Its id follows from kind, name and version: the same again is the same node.
///
/// ```
/// use vectordb::lineage::{LineageNode, NodeKind};
/// let file = LineageNode::new(NodeKind::Source, "rides.parquet", "sha256:9f2c");
/// assert_eq!(file.id(), LineageNode::new(NodeKind::Source, "rides.parquet", "sha256:9f2c").id());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LineageNode {
    /// What it is.
    pub kind: NodeKind,
    /// What it is called.
    pub name: Text,
    /// Which one of that name: a number, a content hash, a commit.
    pub version: Text,
    /// What it was made with.
    #[serde(default)]
    pub parameters: serde_json::Value,
    /// Version of the program that made it.
    #[serde(default)]
    pub code: Text,
    /// When it was written down.
    #[serde(default)]
    pub created: Timestamp,
    /// The commit whose rows a run wrote; zero for all else.
    #[serde(default)]
    pub seq: Seq,
}

impl LineageNode {
    /// A node without parameters, made by this version of the library.
    pub fn new(kind: NodeKind, name: impl Into<Text>, version: impl Into<Text>) -> Self {
        Self {
            kind,
            name: name.into(),
            version: version.into(),
            parameters: serde_json::Value::Null,
            code: concat!("tandemdb ", env!("CARGO_PKG_VERSION")).into(),
            created: Timestamp::default(),
            seq: Seq::ZERO,
        }
    }

    /// Sets what it was made with.
    #[must_use]
    pub fn parameters(mut self, parameters: serde_json::Value) -> Self {
        self.parameters = parameters;
        self
    }

    /// Sets the version of the program that made it.
    #[must_use]
    pub fn code(mut self, code: impl Into<Text>) -> Self {
        self.code = code.into();
        self
    }

    /// Its id: 32 hexadecimal digits.
    pub fn id(&self) -> Text {
        let mut hash = Sha256::new();
        for part in [self.kind.name(), &self.name, &self.version] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let mut digits = hex::encode(hash.finalize());
        digits.truncate(32);
        digits.into()
    }
}

/// A node that another came from, or that came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Related {
    /// The node.
    pub node: LineageNode,
    /// Fewest edges in between: 1 for parents and children.
    pub distance: usize,
}

/// Nodes and edges of a database. A handle; clones share everything.
///
/// ```
/// use common::Database;
/// use vectordb::lineage::{Lineage, LineageNode, NodeKind};
/// let lineage = Lineage::open(&Database::new())?;
/// let file = lineage.record(&LineageNode::new(NodeKind::Source, "rides.csv", "v1"), &[])?;
/// let model = lineage.record(&LineageNode::new(NodeKind::Model, "fares", "7"), &[file.clone()])?;
/// assert_eq!(lineage.ancestors(&model)?[0].node.name, "rides.csv");
/// assert!(lineage.link(&model, &file).is_err(), "a cycle");
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Clone)]
pub struct Lineage {
    database: Database,
    nodes: Collection,
    edges: Collection,
}

impl Lineage {
    /// The lineage in a database, whose tables are made if they are not there.
    ///
    /// # Errors
    /// [`common::ErrorKind::Conflict`] when a table of one of the names has other columns.
    pub fn open(database: &Database) -> Result<Self> {
        let text = |name| Field::new(name, FieldType::Text);
        let nodes = Schema::build(NODES, ["id"])
            .field(text("id"))
            .field(text("kind"))
            .field(text("name"))
            .field(text("version"))
            .field(text("parameters"))
            .field(text("code"))
            .field(Field::new("created_at", FieldType::Timestamp))
            .field(Field::new("seq", FieldType::Int))
            .index(IndexSpec::hash(["seq"]));
        let edges = Schema::build(EDGES, ["parent", "child"])
            .field(text("parent"))
            .field(text("child"))
            .index(IndexSpec::hash(["parent"]))
            .index(IndexSpec::hash(["child"]));
        Ok(Self {
            nodes: database.open_collection(nodes.finish()?)?,
            edges: database.open_collection(edges.finish()?)?,
            database: database.clone(),
        })
    }

    /// Writes a node with edges from its parents, and returns its id. A node that is there gets the edges that are new.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`] for a parent that is not there, [`common::ErrorKind::Invalid`] for a name that is
    /// none and for an edge that would close a cycle. Nothing is written then.
    pub fn record(&self, node: &LineageNode, parents: &[Text]) -> Result<Text> {
        let mut transaction = self.database.begin();
        let id = self.record_in(&mut transaction, node, parents)?;
        transaction.commit()?;
        Ok(id)
    }

    /// As [`Lineage::record`], as part of a transaction.
    ///
    /// # Errors
    /// As [`Lineage::record`].
    pub fn record_in(
        &self,
        transaction: &mut Transaction<'_>,
        node: &LineageNode,
        parents: &[Text],
    ) -> Result<Text> {
        check_name("name of a lineage node", &node.name)?;
        let id = node.id();
        if transaction.get(&self.nodes, id.as_str())?.is_none() {
            let created = match node.created {
                Timestamp(0) => self.database.clock().now(),
                created => created,
            };
            let seq = i64::try_from(node.seq.0).unwrap_or(i64::MAX);
            transaction.insert(
                &self.nodes,
                row! {
                    "id": id.clone(), "kind": node.kind.name(), "name": node.name.clone(),
                    "version": node.version.clone(), "parameters": node.parameters.to_string(),
                    "code": node.code.clone(), "created_at": created, "seq": seq,
                },
            )?;
        }
        for parent in parents {
            self.link_in(transaction, parent, &id)?;
        }
        Ok(id)
    }

    /// Writes that a node was made of another.
    ///
    /// # Errors
    /// As [`Lineage::record`].
    pub fn link(&self, parent: &str, child: &str) -> Result<()> {
        let mut transaction = self.database.begin();
        self.link_in(&mut transaction, parent, child)?;
        transaction.commit().map(drop)
    }

    fn link_in(&self, transaction: &mut Transaction<'_>, parent: &str, child: &str) -> Result<()> {
        for id in [parent, child] {
            if transaction.get(&self.nodes, id)?.is_none() {
                return Err(absent(id));
            }
        }
        let above = |id: &str| neighbours(&transaction.view(), id, Side::Parents);
        if parent == child || reach(parent, above)?.iter().any(|(id, _)| id == child) {
            return Err(Error::invalid(format!(
                "node {parent} came from node {child}, which cannot have come from it: lineage has no cycles"
            )));
        }
        transaction.upsert(&self.edges, row! { "parent": parent, "child": child })?;
        Ok(())
    }

    /// The node of this id.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`].
    pub fn node(&self, id: &str) -> Result<LineageNode> {
        let record = self.nodes.try_get(id)?.ok_or_else(|| absent(id))?;
        node_of(&record)
    }

    /// All nodes of a kind, or of any, in the order in which they were written.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] when one makes no sense.
    pub fn nodes(&self, kind: Option<NodeKind>) -> Result<Vec<LineageNode>> {
        let mut query = Query::from(NODES);
        if let Some(kind) = kind {
            query = query.filter(Filter::eq("kind", kind.name()));
        }
        self.read(&query)
    }

    /// The runs that wrote rows in a commit.
    ///
    /// # Errors
    /// As [`Lineage::nodes`].
    pub fn runs_of(&self, seq: Seq) -> Result<Vec<LineageNode>> {
        let seq = i64::try_from(seq.0).unwrap_or(i64::MAX);
        if seq == 0 {
            return Ok(Vec::new());
        }
        self.read(&Query::from(NODES).filter(Filter::eq("seq", seq)))
    }

    /// What a node was made of, by whatever way, nearest first.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`] when there is no such node.
    pub fn ancestors(&self, id: &str) -> Result<Vec<Related>> {
        self.related(id, Side::Parents)
    }

    /// What was made of a node, by whatever way, nearest first: what a change of it has an impact on.
    ///
    /// # Errors
    /// As [`Lineage::ancestors`].
    pub fn descendants(&self, id: &str) -> Result<Vec<Related>> {
        self.related(id, Side::Children)
    }

    /// Ids of what a node was made of directly.
    ///
    /// # Errors
    /// Only with a storage that can fail.
    pub fn parents(&self, id: &str) -> Result<Vec<Text>> {
        neighbours(&self.database.snapshot().view(), id, Side::Parents)
    }

    fn related(&self, id: &str, side: Side) -> Result<Vec<Related>> {
        self.node(id)?;
        let snapshot = self.database.snapshot();
        let found = reach(id, |id| neighbours(&snapshot.view(), id, side))?;
        let related = found.into_iter().map(|(id, distance)| {
            let node = self.node(&id)?;
            Ok(Related { node, distance })
        });
        related.collect()
    }

    fn read(&self, query: &Query) -> Result<Vec<LineageNode>> {
        let mut nodes = Vec::new();
        let snapshot = self.database.snapshot();
        for row in query.run(&snapshot.view())?.rows {
            let id = row.first().and_then(Value::as_text).unwrap_or_default();
            if let Some(record) = snapshot.get(&self.nodes, id)? {
                nodes.push((record.seq(), node_of(&record)?));
            }
        }
        nodes.sort_by_key(|(seq, _)| *seq);
        Ok(nodes.into_iter().map(|(_, node)| node).collect())
    }
}

#[derive(Clone, Copy)]
enum Side {
    Parents,
    Children,
}

/// All that is reached from a node, with the fewest steps to it; the node itself is not.
fn reach(
    from: &str,
    mut next: impl FnMut(&str) -> Result<Vec<Text>>,
) -> Result<Vec<(Text, usize)>> {
    let mut seen: HashSet<Text> = HashSet::default();
    let mut found = Vec::new();
    let mut queue = VecDeque::from([(Text::from(from), 0)]);
    seen.insert(from.into());
    while let Some((id, distance)) = queue.pop_front() {
        for other in next(&id)? {
            if seen.insert(other.clone()) {
                found.push((other.clone(), distance + 1));
                queue.push_back((other, distance + 1));
            }
        }
    }
    Ok(found)
}

fn neighbours(view: &View<'_>, id: &str, side: Side) -> Result<Vec<Text>> {
    let (given, wanted) = match side {
        Side::Parents => ("child", "parent"),
        Side::Children => ("parent", "child"),
    };
    let query = Query::from(EDGES)
        .filter(Filter::eq(given, id))
        .select([wanted]);
    let found = query.run(view)?;
    let mut ids: Vec<Text> = found
        .rows
        .iter()
        .filter_map(|row| row.first().and_then(Value::as_text).map(Text::from))
        .collect();
    ids.sort();
    Ok(ids)
}

fn node_of(record: &Record) -> Result<LineageNode> {
    let word = |at: usize| record.get(at).and_then(Value::as_text).unwrap_or_default();
    let senseless = |what: String| Error::corrupt(format!("lineage node {}: {what}", record.id()));
    Ok(LineageNode {
        kind: NodeKind::of_name(word(1))
            .ok_or_else(|| senseless(format!("there is no kind `{}`", word(1))))?,
        name: word(2).into(),
        version: word(3).into(),
        parameters: serde_json::from_str(word(4)).map_err(|e| senseless(e.to_string()))?,
        code: word(5).into(),
        created: match record.get(6) {
            Some(Value::Timestamp(created)) => *created,
            _ => Timestamp::default(),
        },
        seq: Seq(record
            .get(7)
            .and_then(Value::as_int)
            .map_or(0, i64::unsigned_abs)),
    })
}

fn absent(id: &str) -> Error {
    Error::not_found(format!("there is no lineage node {id}"))
}

impl std::fmt::Debug for Lineage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lineage")
            .field("nodes", &self.nodes.len())
            .finish_non_exhaustive()
    }
}
