//! Searches: one, many of one state, several as one ranking; and how one is answered.

use axum::http::Method;
use common::{Error, RecordId, Result, Row, Seq, Text, Value};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use vectordb::{Diversity, Found, Fusion, Hybrid, SEARCH_K_MAX, Search, Target};

use super::super::serving::{Encoder, check_count, id_of, json, key_table, parse, reading};
use super::allowed::Allowed;
use super::open;
use crate::call::{Answered, Call};
use crate::openapi::Group;
use crate::problem::Problem;

/// Most hits of a search.
const K_MAX: usize = 10_000;
/// Most searches in one request.
const SEARCHES_MAX: usize = 256;
/// Most hits of all searches in one request.
const HITS_MAX: usize = 100_000;

pub(super) fn add(group: Group) -> Group {
    group
        .route(
            Method::POST,
            "/v1/vectors/{collection}/search",
            search,
            reading(
                "searchVectors",
                "The points nearest to a vector or to another point",
                Some("VectorSearch"),
                "VectorHits",
            ),
        )
        .route(
            Method::POST,
            "/v1/vectors/{collection}/search/batch",
            batch,
            reading(
                "searchVectorsBatch",
                "Many searches of one state",
                Some("VectorSearchBatch"),
                "VectorHitsBatch",
            ),
        )
        .route(
            Method::POST,
            "/v1/vectors/{collection}/search/hybrid",
            hybrid,
            reading(
                "searchVectorsHybrid",
                "Several searches as one ranking",
                Some("HybridSearch"),
                "FusedHits",
            ),
        )
        .route(
            Method::POST,
            "/v1/vectors/{collection}/search/explain",
            explain,
            reading(
                "explainVectorSearch",
                "What a search does",
                Some("VectorSearch"),
                "SearchExplanation",
            ),
        )
}

/// A search as callers describe it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    vector: Option<Vec<f32>>,
    sparse: Option<SparseVector>,
    /// The id of a row whose neighbours are looked for.
    like: Option<Box<RawValue>>,
    k: u64,
    on: Option<Text>,
    filter: Option<Box<RawValue>>,
    select: Option<Vec<Text>>,
    within: Option<f64>,
    effort: Option<u64>,
    recall: Option<f64>,
    diverse: Option<Diverse>,
    /// Of a part of a hybrid search.
    weight: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SparseVector {
    indices: Vec<u32>,
    values: Vec<f32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Diverse {
    lambda: f64,
    candidates: usize,
}

fn number(field: &str, given: u64, most: usize) -> Result<usize> {
    match usize::try_from(given) {
        Ok(number) if (1..=most).contains(&number) => Ok(number),
        _ => Err(Error::invalid(format!(
            "`{field}` is 1 to {most}, not {given}"
        ))),
    }
}

impl Asked {
    fn target(&self, allowed: &Allowed) -> Result<Target> {
        match (&self.vector, &self.sparse, &self.like) {
            (Some(vector), None, None) => Ok(Target::Vector(vector.clone())),
            (None, Some(sparse), None) => {
                if sparse.indices.len() != sparse.values.len() {
                    return Err(Error::invalid(format!(
                        "`sparse` has {} indices and {} values",
                        sparse.indices.len(),
                        sparse.values.len()
                    )));
                }
                let elements = sparse.indices.iter().copied();
                let elements = elements.zip(sparse.values.iter().copied());
                Ok(Target::Sparse(elements.collect()))
            }
            (None, None, Some(id)) => {
                let keys = key_table(allowed.key_fields());
                let id = id_of(&keys, id).map_err(|error| error.at("like"))?;
                Ok(Target::Row(id))
            }
            _ => Err(Error::invalid(
                "a search is for one of `vector`, `sparse` and `like` (the id of a row)",
            )),
        }
    }

    /// The search, and the columns that its hits carry.
    fn search(&self, allowed: &Allowed) -> std::result::Result<(Search, Vec<Text>), Problem> {
        let select = allowed.select(self.select.as_ref())?;
        let mut search = Search::new(Vec::new(), number("k", self.k, K_MAX)?);
        search.target = self.target(allowed)?;
        search.on.clone_from(&self.on);
        let options = allowed.collection.options();
        let on = self.on.as_deref();
        let column = match search.target {
            Target::Sparse(_) => options.sparse_of(on).map(|of| &of.column),
            Target::Vector(_) => options.vectors_of(on).map(|of| &of.column),
            _ => match (on, options.columns().next()) {
                (None, Some(only)) if options.columns().count() == 1 => Ok(only),
                _ => options
                    .vectors_of(on)
                    .map(|of| &of.column)
                    .or_else(|_| options.sparse_of(on).map(|of| &of.column)),
            },
        };
        let column = column.map_err(|error| Problem::in_body(&error).at("on"))?;
        allowed.check_column(column)?;
        if let Target::Row(id) = &search.target {
            check_seen(allowed, id, column)?;
        }
        search.filter = allowed.filter(self.filter.as_deref())?;
        search.within = self.within;
        search.recall = self.recall;
        let effort = self
            .effort
            .map(|effort| number("effort", effort, SEARCH_K_MAX));
        search.effort = effort.transpose()?;
        search.diversity = match &self.diverse {
            Some(diverse) => Some(Diversity {
                lambda: diverse.lambda,
                candidates: number("diverse.candidates", diverse.candidates as u64, K_MAX)?,
            }),
            None => None,
        };
        search.select = Some(select.clone());
        Ok((search, select))
    }

    fn alone(&self) -> Result<()> {
        match self.weight {
            Some(_) => Err(Error::invalid(
                "`weight` is for the parts of a hybrid search",
            )),
            None => Ok(()),
        }
    }
}

/// A row that the caller may not see is none: the words are those of the search for one that is not there.
fn check_seen(allowed: &Allowed, id: &RecordId, column: &str) -> Result<()> {
    if let (Some(predicate), Some(row)) = (allowed.predicate()?, allowed.collection.get(id.clone()))
        && !predicate.matches(row.values())
    {
        return Err(Error::not_found(format!(
            "search in `{}`: no row {id} with a vector in `{column}`, of which neighbours could be found",
            allowed.collection.name()
        )));
    }
    Ok(())
}

#[derive(Serialize)]
struct HitJson {
    id: Box<RawValue>,
    distance: f64,
    row: Box<RawValue>,
}

#[derive(Serialize)]
struct FoundJson {
    seq: Seq,
    hits: Vec<HitJson>,
}

/// Writes hits of one request.
struct Writer {
    ids: Encoder,
}

impl Writer {
    fn new(allowed: &Allowed) -> Self {
        Self {
            ids: allowed.id_encoder(),
        }
    }

    fn found(&mut self, found: &Found, select: &[Text], rows: &mut Encoder) -> Result<FoundJson> {
        let hits = found.hits.iter().map(|hit| {
            Ok(HitJson {
                id: self.ids.id(&hit.id)?,
                distance: hit.distance,
                row: rows.row(values(&hit.row, select))?,
            })
        });
        Ok(FoundJson {
            seq: found.seq,
            hits: hits.collect::<Result<_>>()?,
        })
    }
}

fn values(row: &Row, select: &[Text]) -> Vec<Value> {
    let values = select.iter().map(|name| row.get(name).cloned());
    values.map(Option::unwrap_or_default).collect()
}

fn search(call: &Call) -> Answered {
    let caller = &call.caller;
    let name = call.parameter("collection");
    let asked: Asked = parse(&call.body)?;
    asked.alone()?;
    let allowed = open(caller, name)?;
    let (search, select) = asked.search(&allowed)?;
    let found = allowed.collection.search(&search)?;
    let mut rows = allowed.encoder(&select);
    json(&Writer::new(&allowed).found(&found, &select, &mut rows)?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    searches: Vec<Asked>,
}

fn batch(call: &Call) -> Answered {
    let caller = &call.caller;
    let name = call.parameter("collection");
    let asked: Batch = parse(&call.body)?;
    check_count("searches", asked.searches.len(), SEARCHES_MAX)?;
    let allowed = open(caller, name)?;
    let (mut searches, mut selects) = (Vec::new(), Vec::new());
    for (at, asked) in asked.searches.iter().enumerate() {
        let (search, select) = asked
            .alone()
            .map_err(Problem::from)
            .and_then(|()| asked.search(&allowed))
            .map_err(|problem| problem.at(format!("searches[{at}]")))?;
        searches.push(search);
        selects.push(select);
    }
    let hits: usize = searches.iter().map(|search| search.k).sum();
    if hits > HITS_MAX {
        return Err(Error::invalid(format!(
            "the searches ask for {hits} hits together; one request takes at most {HITS_MAX}"
        ))
        .into());
    }
    let found = allowed.collection.search_many(&searches)?;
    let mut writer = Writer::new(&allowed);
    let mut bytes = 0;
    let mut results = Vec::with_capacity(found.len());
    for (found, select) in found.iter().zip(&selects) {
        let mut rows = allowed.encoder(select);
        rows.continue_from(bytes);
        results.push(writer.found(found, select, &mut rows)?);
        bytes = rows.bytes();
    }
    json(&serde_json::json!({ "results": results }))
}

/// How rankings become one.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum FusionAsked {
    ReciprocalRank { k: Option<f64> },
    WeightedSum {},
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HybridAsked {
    parts: Vec<Asked>,
    k: u64,
    fusion: Option<FusionAsked>,
    filter: Option<Box<RawValue>>,
    select: Option<Vec<Text>>,
}

#[derive(Serialize)]
struct PlaceJson {
    rank: usize,
    distance: f64,
}

#[derive(Serialize)]
struct FusedJson {
    id: Box<RawValue>,
    score: f64,
    /// For each part where it has the row, if it does.
    places: Vec<Option<PlaceJson>>,
    row: Box<RawValue>,
}

fn hybrid(call: &Call) -> Answered {
    let caller = &call.caller;
    let name = call.parameter("collection");
    let asked: HybridAsked = parse(&call.body)?;
    let allowed = open(caller, name)?;
    let select = allowed.select(asked.select.as_ref())?;
    let mut hybrid = Hybrid::new(number("k", asked.k, K_MAX)?);
    for (at, part) in asked.parts.iter().enumerate() {
        let search = part.search(&allowed);
        let (search, _) = search.map_err(|problem| problem.at(format!("parts[{at}]")))?;
        hybrid = hybrid.weighted(search, part.weight.unwrap_or(1.0));
    }
    match asked.fusion {
        Some(FusionAsked::ReciprocalRank { k: Some(k) }) => {
            hybrid = hybrid.fusion(Fusion::ReciprocalRank { k });
        }
        Some(FusionAsked::WeightedSum {}) => hybrid = hybrid.fusion(Fusion::WeightedSum),
        _ => {}
    }
    hybrid.filter = allowed.filter(asked.filter.as_deref())?;
    hybrid.select = Some(select.clone());
    let fused = allowed.collection.search_hybrid(&hybrid)?;
    let (mut ids, mut rows) = (allowed.id_encoder(), allowed.encoder(&select));
    let hits = fused.hits.iter().map(|hit| {
        let places = hit.places.iter().map(|place| {
            place.map(|place| PlaceJson {
                rank: place.rank,
                distance: place.distance,
            })
        });
        Ok(FusedJson {
            id: ids.id(&hit.id)?,
            score: hit.score,
            places: places.collect(),
            row: rows.row(values(&hit.row, &select))?,
        })
    });
    let hits = hits.collect::<Result<Vec<_>>>()?;
    json(&serde_json::json!({ "seq": fused.seq, "hits": hits }))
}

fn explain(call: &Call) -> Answered {
    let caller = &call.caller;
    let name = call.parameter("collection");
    let asked: Asked = parse(&call.body)?;
    asked.alone()?;
    let allowed = open(caller, name)?;
    // It tells of rows that the caller may not see, if only how many.
    allowed.require_all()?;
    let (search, _) = asked.search(&allowed)?;
    json(&allowed.collection.explain(&search)?)
}
