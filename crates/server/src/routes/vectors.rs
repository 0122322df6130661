//! `/v1/vectors`: collections of vectors with metadata, their points, searches.

mod allowed;
mod points;
mod search;

use axum::http::Method;
use common::limits::VECTOR_DIMENSION_MAX;
use common::schema::{Field, FieldType};
use common::{Error, Result, Text};
use serde::{Deserialize, Serialize};
use vectordb::core::Precision;
use vectordb::{
    CollectionOptions, IndexOptions, Metric, SparseOptions, VectorCollection, VectorDb,
    VectorOptions,
};

use self::allowed::Allowed;
use super::serving::{Access, created, json, making, parse, reading, require, writing};
use crate::auth::Caller;
use crate::call::{Answered, Call};
use crate::openapi::Group;

/// Most columns of vectors of a collection.
const VECTORS_MAX: usize = 16;

pub(super) fn group() -> Group {
    let group = Group::new("vectors")
        .route(
            Method::GET,
            "/v1/vectors",
            list,
            reading(
                "listVectorCollections",
                "The vector collections of which the caller may see something",
                None,
                "VectorCollections",
            ),
        )
        .route(
            Method::POST,
            "/v1/vectors",
            create,
            making(
                "createVectorCollection",
                "Make a collection, or index the vectors of a table",
                Some("CreateVectorCollection"),
                "VectorCollection",
            ),
        )
        .route(
            Method::GET,
            "/v1/vectors/{collection}",
            describe,
            reading(
                "describeVectorCollection",
                "What a collection is",
                None,
                "VectorCollection",
            ),
        )
        .route(
            Method::DELETE,
            "/v1/vectors/{collection}",
            remove,
            writing(
                "dropVectorCollection",
                "Drop a collection with its rows",
                None,
                "Dropped",
            ),
        )
        .route(
            Method::POST,
            "/v1/vectors/{collection}/rebuild",
            rebuild,
            writing(
                "rebuildVectorIndexes",
                "Build the indexes of a collection again, perhaps with other options",
                Some("RebuildVectorIndexes"),
                "VectorCollection",
            ),
        );
    search::add(points::add(group))
}

/// What is to be made.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    name: Text,
    /// Type of the ids: integers if it says nothing.
    key: Option<FieldType>,
    #[serde(default)]
    vectors: Vec<Dense>,
    #[serde(default)]
    sparse: Vec<Sparse>,
    #[serde(default)]
    metadata: Vec<Field>,
    /// Whether the vectors are those of a table that is there, which replicas may have too.
    #[serde(default)]
    over_table: bool,
}

/// A column of dense vectors. How many threads there are is for the server to say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dense {
    column: Option<Text>,
    dimension: u64,
    metric: Metric,
    #[serde(default)]
    index: IndexOptions,
    precision: Option<Precision>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sparse {
    column: Text,
    dimension: Option<u32>,
}

impl Dense {
    fn options(&self) -> Result<VectorOptions> {
        let dimension = usize::try_from(self.dimension).unwrap_or(usize::MAX);
        if !(1..=VECTOR_DIMENSION_MAX).contains(&dimension) {
            return Err(Error::invalid(format!(
                "`dimension` is 1 to {VECTOR_DIMENSION_MAX}, not {dimension}"
            )));
        }
        check_index(&self.index)?;
        let mut options = VectorOptions::new(dimension, self.metric).index(self.index.clone());
        if let Some(column) = &self.column {
            options = options.column(column.clone());
        }
        if let Some(precision) = self.precision {
            options = options.precision(precision);
        }
        Ok(options)
    }
}

fn check_index(index: &IndexOptions) -> Result<()> {
    let names_threads = match index {
        IndexOptions::Clustered(options) => options.threads.is_some(),
        IndexOptions::Graph(options) => options.threads.is_some(),
        _ => false,
    };
    if names_threads {
        return Err(Error::invalid(
            "`index.threads` is for the server to choose; leave it out",
        ));
    }
    index.check().map_err(|error| error.at("index"))
}

impl Create {
    fn options(&self) -> Result<CollectionOptions> {
        if self.vectors.len() + self.sparse.len() > VECTORS_MAX {
            return Err(Error::invalid(format!(
                "a collection has at most {VECTORS_MAX} columns of vectors"
            )));
        }
        let mut options = CollectionOptions::new();
        for (at, dense) in self.vectors.iter().enumerate() {
            let dense = dense.options();
            options = options.vectors(dense.map_err(|error| error.at(format!("vectors[{at}]")))?);
        }
        for (at, sparse) in self.sparse.iter().enumerate() {
            if sparse.dimension == Some(0) {
                return Err(Error::invalid(format!(
                    "sparse[{at}]: `dimension` is at least 1; leave it out for any position"
                )));
            }
            let mut given = SparseOptions::new(sparse.column.clone());
            if let Some(dimension) = sparse.dimension {
                given = given.dimension(dimension);
            }
            options = options.sparse(given);
        }
        if let Some(key) = &self.key {
            let fits = matches!(key, FieldType::Int | FieldType::Text | FieldType::Uuid);
            if !fits {
                return Err(Error::invalid(format!(
                    "`key` is int, text or uuid, not {key}"
                )));
            }
            options = options.key(key.clone());
        }
        Ok(options)
    }
}

/// What a collection is.
#[derive(Serialize)]
struct Described {
    name: String,
    key: FieldType,
    vectors: Vec<VectorOptions>,
    sparse: Vec<SparseOptions>,
    metadata: Vec<Field>,
    count: usize,
    /// Rows whose vector no search finds.
    unsearchable: usize,
    /// Bytes of the indexes by part.
    index_bytes: std::collections::BTreeMap<&'static str, usize>,
    /// How often an index was built since the server opened the collection.
    builds: usize,
}

fn described(allowed: &Allowed) -> Result<Described> {
    let collection = &allowed.collection;
    let options = collection.options();
    let schema = collection.schema();
    let metadata = schema.fields.iter().skip(schema.key_columns);
    let metadata = metadata.filter(|field| {
        options.columns().all(|column| *column != field.name) && allowed.shows(&field.name)
    });
    Ok(Described {
        name: collection.name().to_owned(),
        key: options.key.clone(),
        vectors: options.vectors.clone(),
        sparse: options.sparse.clone(),
        metadata: metadata.cloned().collect(),
        count: allowed.count(None)?,
        unsearchable: collection.unsearchable()?,
        index_bytes: collection.index_bytes()?.into_iter().collect(),
        builds: collection.builds(),
    })
}

/// The collection of this name, as far as the caller may see it.
fn open(caller: &Caller, name: &str) -> std::result::Result<Allowed, crate::problem::Problem> {
    let collection = caller.tenant.serving().vectors()?.collection(name)?;
    Ok(Allowed::new(caller, collection))
}

/// The same, as far as the caller may change it.
fn open_to_write(
    caller: &Caller,
    name: &str,
) -> std::result::Result<Allowed, crate::problem::Problem> {
    let collection = caller.tenant.serving().vectors()?.collection(name)?;
    Ok(Allowed::to_write(caller, collection))
}

fn list(call: &Call) -> Answered {
    let caller = &call.caller;
    let all = caller.tenant.serving().vectors()?.collections();
    let seen = |collection: &&VectorCollection| {
        let allowed = Allowed::new(caller, (*collection).clone());
        !matches!(allowed.predicate(), Ok(Some(rows)) if rows.is_never_true())
    };
    let names = all.iter().filter(seen).map(VectorCollection::name);
    let names: Vec<&str> = names.collect();
    json(&serde_json::json!({ "collections": names }))
}

fn create(call: &Call) -> Answered {
    let caller = &call.caller;
    let asked: Create = parse(&call.body)?;
    let options = asked.options()?;
    let vectors = caller.tenant.serving().vectors()?;
    require(caller, VectorDb::TABLE, Access::Write)?;
    let collection = if asked.over_table {
        require(caller, &asked.name, Access::Read)?;
        if !asked.metadata.is_empty() {
            return Err(Error::invalid(
                "`metadata` is what the table has; leave it out beside `over_table`",
            )
            .into());
        }
        if vectors.collection(&asked.name).is_ok() {
            return Err(Error::conflict(format!(
                "there is a vector collection `{}` already",
                asked.name
            ))
            .into());
        }
        vectors.open_collection(&asked.name, options)?
    } else {
        let (serving, name) = (caller.tenant.serving(), asked.name.clone());
        serving.keep_apart(&name)?;
        let made = vectors.create_collection(asked.name, options, asked.metadata);
        if made.is_err() {
            serving.let_go(&name)?;
        }
        made?
    };
    created(&described(&Allowed::new(caller, collection))?)
}

fn describe(call: &Call) -> Answered {
    let allowed = open(&call.caller, call.parameter("collection"))?;
    json(&described(&allowed)?)
}

fn remove(call: &Call) -> Answered {
    let caller = &call.caller;
    let name = call.parameter("collection");
    open_to_write(caller, name)?.require_all()?;
    let serving = caller.tenant.serving();
    serving.vectors()?.drop_collection(name)?;
    serving.let_go(name)?;
    json(&serde_json::json!({ "dropped": name }))
}

/// Other options for indexes; those of columns that are not named stay.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rebuild {
    #[serde(default)]
    vectors: Vec<Tune>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tune {
    column: Option<Text>,
    index: Option<IndexOptions>,
    precision: Option<Precision>,
}

fn rebuild(call: &Call) -> Answered {
    let caller = &call.caller;
    let name = call.parameter("collection");
    let asked: Rebuild = parse(&call.body)?;
    let allowed = open_to_write(caller, name)?;
    allowed.require_all()?;
    let mut options = allowed.collection.options().clone();
    for (at, tune) in asked.vectors.iter().enumerate() {
        let place = |error: Error| error.at(format!("vectors[{at}]"));
        let column = options.vectors_of(tune.column.as_deref()).map_err(place)?;
        let column = column.column.clone();
        let of = options.vectors.iter_mut().find(|of| of.column == column);
        let Some(of) = of else { continue };
        if let Some(index) = &tune.index {
            check_index(index).map_err(place)?;
            of.index = index.clone();
        }
        of.precision = tune.precision.unwrap_or(of.precision);
    }
    let vectors = caller.tenant.serving().vectors()?;
    let collection = vectors.open_collection(name, options)?;
    json(&described(&Allowed::new(caller, collection))?)
}
