//! The schemas of what models are served with.

use serde_json::{Value as Json, json};

use super::{asked, list, text, told, whole};
use crate::openapi::reference;

/// All of them, with their names.
pub(super) fn all() -> Vec<(&'static str, Json)> {
    [
        vectors(),
        searches(),
        features(),
        training(),
        lineage(),
        transformers(),
        experiments(),
    ]
    .concat()
}

/// A number that may be missing.
fn number_or_null() -> Json {
    json!({ "type": ["number", "null"] })
}

fn text_or_null() -> Json {
    json!({ "type": ["string", "null"] })
}

/// A key or the id of a point: a value, or an object by column where there are several.
fn id() -> Json {
    json!({ "description": "A value, or an object by column where the key has several" })
}

/// A filter as these routes take it.
fn filter() -> Json {
    json!({
        "description": "Text such as `price < 3`, or the JSON of a filter",
        "anyOf": [text(), reference("Filter")],
    })
}

fn row() -> Json {
    reference("Row")
}

#[expect(clippy::too_many_lines, reason = "a list of schemas")]
fn vectors() -> Vec<(&'static str, Json)> {
    let metric = json!({ "enum": ["euclidean", "squared_euclidean", "cosine", "dot", "manhattan", "chebyshev", "hamming", "jaccard"] });
    let index = json!({
        "type": "object",
        "required": ["kind"],
        "properties": { "kind": { "enum": ["exact", "graph", "clustered"] } },
        "additionalProperties": true,
        "description": "What finds the nearest vectors, with the options of its kind",
    });
    let precision = json!({ "type": "string", "description": "How vectors are kept for searching, as f32 or f16" });
    let dense = asked(
        &["dimension", "metric"],
        json!({
            "column": text(),
            "dimension": whole(),
            "metric": metric,
            "index": reference("VectorIndex"),
            "precision": precision,
        }),
    );
    let sparse = asked(
        &["column"],
        json!({ "column": text(), "dimension": whole() }),
    );
    let kept = told(json!({
        "column": text(),
        "key": {},
        "dimension": whole(),
        "metric": metric,
        "index": reference("VectorIndex"),
        "precision": precision,
        "threads": { "type": ["integer", "null"] },
    }));
    let tune = asked(
        &[],
        json!({ "column": text(), "index": reference("VectorIndex"), "precision": precision }),
    );
    vec![
        ("VectorIndex", index),
        (
            "VectorCollections",
            told(json!({ "collections": list(text()) })),
        ),
        (
            "CreateVectorCollection",
            asked(
                &["name"],
                json!({
                    "name": text(),
                    "key": { "description": "Type of the ids: int, text or uuid; int where nothing is said" },
                    "vectors": list(dense),
                    "sparse": list(sparse),
                    "metadata": list(reference("Field")),
                    "over_table": { "type": "boolean", "description": "Whether the vectors are those of a table that is there" },
                }),
            ),
        ),
        (
            "VectorCollection",
            told(json!({
                "name": text(),
                "key": {},
                "vectors": list(kept),
                "sparse": list(told(json!({ "column": text(), "dimension": whole() }))),
                "metadata": list(reference("Field")),
                "count": whole(),
                "unsearchable": { "type": "integer", "description": "Rows whose vector no search finds" },
                "index_bytes": { "type": "object", "additionalProperties": whole(), "description": "Bytes of the indexes by part" },
                "builds": { "type": "integer", "description": "How often an index was built since the server opened the collection" },
            })),
        ),
        (
            "RebuildVectorIndexes",
            asked(&[], json!({ "vectors": list(tune) })),
        ),
        ("Dropped", told(json!({ "dropped": text() }))),
        (
            "UpsertPoints",
            asked(&["points"], json!({ "points": list(row()) })),
        ),
        (
            "PointsWritten",
            told(json!({
                "seq": { "type": "integer", "description": "The commit; the last one where nothing changed" },
                "changed": { "type": "integer", "description": "Rows that came, changed or went" },
            })),
        ),
        (
            "GetPoints",
            asked(
                &["ids"],
                json!({ "ids": list(id()), "select": list(text()) }),
            ),
        ),
        ("Point", told(json!({ "id": id(), "row": row() }))),
        (
            "Points",
            told(
                json!({ "points": list(json!({ "oneOf": [reference("Point"), { "type": "null" }] })) }),
            ),
        ),
        (
            "DeletePoints",
            asked(&[], json!({ "ids": list(id()), "filter": filter() })),
        ),
        (
            "ScrollPoints",
            asked(
                &[],
                json!({ "limit": whole(), "filter": filter(), "select": list(text()), "after": text() }),
            ),
        ),
        (
            "PointsPage",
            told(json!({ "points": list(reference("Point")), "next": text_or_null() })),
        ),
        ("CountPoints", asked(&[], json!({ "filter": filter() }))),
        ("PointsCount", told(json!({ "count": whole() }))),
    ]
}

fn searches() -> Vec<(&'static str, Json)> {
    let numbers = || list(json!({ "type": "number" }));
    let place = json!({ "oneOf": [told(json!({ "rank": whole(), "distance": { "type": "number" } })), { "type": "null" }] });
    let search = asked(
        &["k"],
        json!({
            "vector": numbers(),
            "sparse": asked(&["indices", "values"], json!({ "indices": list(whole()), "values": numbers() })),
            "like": { "description": "The id of a row whose neighbours are looked for" },
            "k": { "type": "integer", "minimum": 1, "maximum": 10_000 },
            "on": { "type": "string", "description": "The column of vectors, where there are several" },
            "filter": filter(),
            "select": list(text()),
            "within": { "type": "number", "description": "Only rows no farther than this" },
            "effort": { "type": "integer", "description": "What the index may take" },
            "recall": { "type": "number", "description": "Share of the true neighbours that it is to find" },
            "diverse": asked(&["lambda", "candidates"], json!({ "lambda": { "type": "number" }, "candidates": whole() })),
            "weight": { "type": "number", "description": "Of a part of a hybrid search" },
        }),
    );
    let hit = told(json!({ "id": id(), "distance": { "type": "number" }, "row": row() }));
    let fused = told(
        json!({ "id": id(), "score": { "type": "number" }, "places": list(place), "row": row() }),
    );
    vec![
        ("VectorSearch", search),
        (
            "VectorHits",
            told(json!({ "seq": whole(), "hits": list(hit) })),
        ),
        (
            "VectorSearchBatch",
            asked(
                &["searches"],
                json!({ "searches": list(reference("VectorSearch")) }),
            ),
        ),
        (
            "VectorHitsBatch",
            told(json!({ "results": list(reference("VectorHits")) })),
        ),
        (
            "HybridSearch",
            asked(
                &["parts", "k"],
                json!({
                    "parts": list(reference("VectorSearch")),
                    "k": whole(),
                    "fusion": { "oneOf": [
                        asked(&["reciprocal_rank"], json!({ "reciprocal_rank": asked(&[], json!({ "k": { "type": "number" } })) })),
                        asked(&["weighted_sum"], json!({ "weighted_sum": asked(&[], json!({})) })),
                    ] },
                    "filter": filter(),
                    "select": list(text()),
                }),
            ),
        ),
        (
            "FusedHits",
            told(json!({ "seq": whole(), "hits": list(fused) })),
        ),
        (
            "SearchExplanation",
            told(json!({
                "seq": whole(),
                "column": text(),
                "method": { "type": "string", "description": "How candidates were found" },
                "rows": { "type": "integer", "description": "Rows with a vector" },
                "matched": { "type": "integer", "description": "Rows that passed the filter" },
                "compared": { "type": "integer", "description": "Rows whose distance was estimated from codes" },
                "visited": { "type": "integer", "description": "Rows whose vector was compared" },
                "beside": { "type": "integer", "description": "Of these, rows beside an index that is being built" },
                "effort": { "type": ["integer", "null"] },
                "reranked": { "type": "integer", "description": "Rows from which those that differ were chosen" },
                "selectivity": { "type": "number" },
                "filter_seconds": { "type": "number" },
                "search_seconds": { "type": "number" },
                "text": text(),
            })),
        ),
    ]
}

/// Up to when a read sees.
fn as_of() -> Json {
    asked(
        &[],
        json!({
            "event": { "description": "What had happened by then, as text after RFC 3339 or microseconds since 1970" },
            "known": { "description": "Only what had become known by then" },
            "seq": { "type": "integer", "description": "Only what was committed up to then" },
            "tag": { "type": "string", "description": "As of what a tag names" },
        }),
    )
}

/// Features of a view.
fn part() -> Json {
    asked(
        &["view"],
        json!({
            "view": text(),
            "features": { "type": "array", "items": text(), "description": "All of them where none is named" },
        }),
    )
}

fn stored() -> Json {
    asked(
        &["name"],
        json!({
            "name": text(),
            "version": { "type": "string", "description": "The last where nothing is said" },
        }),
    )
}

#[expect(clippy::too_many_lines, reason = "a list of schemas")]
fn features() -> Vec<(&'static str, Json)> {
    let applied = |more: Json| {
        let mut shape = json!({ "name": text(), "change": {} });
        if let (Some(all), Some(more)) = (shape.as_object_mut(), more.as_object()) {
            all.extend(more.clone());
        }
        told(shape)
    };
    let source = asked(
        &["name", "version"],
        json!({ "name": text(), "version": text(), "run": text() }),
    );
    let row = told(json!({
        "key": id(),
        "status": text(),
        "event_time": text_or_null(),
        "known_at": text_or_null(),
        "seq": whole(),
        "features": row(),
        "statuses": { "type": "object", "additionalProperties": text() },
    }));
    let as_of_told = told(json!({ "event": {}, "known": {}, "seq": whole() }));
    vec![
        (
            "Entity",
            json!({
                "type": "object",
                "required": ["name", "keys"],
                "properties": {
                    "name": text(),
                    "keys": list(asked(&["name", "type"], json!({ "name": text(), "type": {} }))),
                    "description": text(),
                },
            }),
        ),
        (
            "FeatureViewDefinition",
            json!({
                "type": "object",
                "required": ["name", "entity", "features"],
                "properties": {
                    "name": text(),
                    "entity": { "type": "string", "description": "Name of the entity" },
                    "features": list(reference("Field")),
                    "ttl_seconds": { "type": "integer", "description": "How long after its event a value may be used" },
                    "description": text(),
                    "owner": text(),
                },
            }),
        ),
        (
            "FeatureDefinitions",
            json!({
                "type": "object",
                "properties": { "entities": list(reference("Entity")), "views": list(reference("FeatureViewDefinition")) },
            }),
        ),
        (
            "FeaturesApplied",
            told(
                json!({ "entities": list(applied(json!({}))), "views": list(applied(json!({ "version": whole() }))) }),
            ),
        ),
        (
            "FeatureView",
            told(json!({
                "version": whole(),
                "definition": reference("FeatureViewDefinition"),
                "entity": reference("Entity"),
                "lineage": { "type": "string", "description": "Its node in lineage" },
                "events": whole(),
                "entities": whole(),
            })),
        ),
        (
            "Features",
            told(
                json!({ "entities": list(reference("Entity")), "views": list(reference("FeatureView")) }),
            ),
        ),
        (
            "CreateFeatureTag",
            asked(&["name"], json!({ "name": text() })),
        ),
        (
            "FeatureTag",
            told(json!({ "name": text(), "as_of": as_of_told })),
        ),
        (
            "FeatureTags",
            told(json!({ "tags": { "type": "object", "additionalProperties": as_of_told } })),
        ),
        (
            "FeatureEvents",
            asked(
                &["events"],
                json!({
                    "events": { "type": "array", "items": reference("Row"), "description": "Each with the key columns, `event_time`, features, and perhaps `known_at`" },
                    "on_invalid": { "enum": ["refuse", "skip", "missing"] },
                    "source": source,
                }),
            ),
        ),
        (
            "FeatureEventsTaken",
            told(json!({
                "seq": whole(),
                "events": whole(),
                "unchanged": whole(),
                "skipped": list(told(json!({ "event": whole(), "reason": text() }))),
                "missing": list(told(json!({ "event": whole(), "feature": text(), "reason": text() }))),
            })),
        ),
        (
            "GetFeatures",
            asked(&["keys"], json!({ "keys": list(id()), "as_of": as_of() })),
        ),
        ("FeatureRow", row),
        (
            "FeatureRows",
            told(json!({ "rows": list(reference("FeatureRow")) })),
        ),
        ("FeatureKey", asked(&["key"], json!({ "key": id() }))),
        (
            "FeatureHistory",
            told(json!({ "events": list(reference("FeatureRow")) })),
        ),
        (
            "FeatureKeys",
            asked(&["keys"], json!({ "keys": list(id()) })),
        ),
        ("FeaturesForgotten", told(json!({ "events": whole() }))),
        (
            "RetrieveFeatures",
            asked(
                &["features", "keys"],
                json!({
                    "features": list(part()),
                    "keys": list(id()),
                    "as_of": as_of(),
                    "transformer": stored(),
                }),
            ),
        ),
        (
            "FeatureMatrix",
            told(json!({
                "columns": list(text()),
                "rows": { "type": "array", "items": list(number_or_null()), "description": "A row for each key, in their order; null where a value is missing" },
                "statuses": list(list(text())),
                "present": whole(),
                "incomplete": whole(),
            })),
        ),
    ]
}

fn training() -> Vec<(&'static str, Json)> {
    vec![
        (
            "CreateTrainingSet",
            asked(
                &["name", "features", "rows"],
                json!({
                    "name": text(),
                    "features": list(part()),
                    "rows": { "type": "array", "items": reference("Row"), "description": "Each with the key columns and `event_time`" },
                    "known_at": { "description": "By when values had to be known: `event`, `ever`, or a time" },
                    "transformer": stored(),
                }),
            ),
        ),
        (
            "TrainingSetMade",
            told(json!({
                "id": text(),
                "lineage": { "type": "string", "description": "Its node in lineage" },
                "features": list(text()),
                "columns": whole(),
                "rows": whole(),
                "complete": { "type": "integer", "description": "Rows that have every number" },
                "seq": whole(),
            })),
        ),
        (
            "TrainingSet",
            told(json!({ "id": text(), "seq": whole(), "complete": whole(), "rows": list(row()) })),
        ),
    ]
}

fn lineage() -> Vec<(&'static str, Json)> {
    let node = json!({
        "type": "object",
        "required": ["id", "kind", "name", "version"],
        "properties": {
            "id": text(),
            "kind": text(),
            "name": text(),
            "version": text(),
            "parameters": {},
            "code": text(),
            "created": {},
            "seq": whole(),
            "distance": { "type": "integer", "description": "Fewest edges in between" },
        },
    });
    let nodes = || list(reference("LineageNode"));
    vec![
        ("LineageNode", node),
        ("LineageNodes", told(json!({ "nodes": nodes() }))),
        (
            "Lineage",
            told(
                json!({ "node": reference("LineageNode"), "ancestors": nodes(), "descendants": nodes() }),
            ),
        ),
        (
            "ExplainFeature",
            asked(
                &["view", "feature", "key"],
                json!({ "view": text(), "feature": text(), "key": id(), "as_of": as_of() }),
            ),
        ),
        (
            "FeatureOrigin",
            told(json!({
                "value": {},
                "status": text(),
                "event_time": text_or_null(),
                "known_at": text_or_null(),
                "seq": whole(),
                "definition": reference("LineageNode"),
                "run": { "oneOf": [reference("LineageNode"), { "type": "null" }] },
                "made_of": nodes(),
            })),
        ),
    ]
}

fn transformers() -> Vec<(&'static str, Json)> {
    let kept = told(json!({ "name": text(), "version": text(), "created_at": text() }));
    vec![
        ("Transformers", told(json!({ "transformers": list(kept) }))),
        (
            "FitTransformer",
            asked(
                &["name"],
                json!({
                    "name": text(),
                    "steps": { "type": "array", "items": { "type": ["object", "string"] }, "description": "As in {\"scale\": {\"standard\": {\"centre\": true, \"scale\": true}}}, fitted on a `training_set`, or on `features` of `keys`" },
                    "columns": { "type": "object", "description": "A plan of columns, fitted on `rows`" },
                    "training_set": { "type": "string", "description": "Id of a training set" },
                    "features": list(part()),
                    "keys": list(id()),
                    "as_of": as_of(),
                    "rows": list(row()),
                }),
            ),
        ),
        (
            "TransformerMade",
            told(json!({ "name": text(), "version": text(), "outputs": whole() })),
        ),
        (
            "Transformer",
            told(
                json!({ "name": text(), "version": text(), "outputs": whole(), "transformer": { "type": "object" } }),
            ),
        ),
        (
            "TransformRows",
            asked(
                &["rows"],
                json!({
                    "version": text(),
                    "rows": { "type": "array", "items": { "type": ["array", "object"] }, "description": "Lists of numbers for a transformer of steps, objects by column for one of columns" },
                }),
            ),
        ),
        (
            "TransformedRows",
            told(
                json!({ "version": text(), "columns": list(text()), "rows": list(list(number_or_null())) }),
            ),
        ),
    ]
}

#[expect(clippy::too_many_lines, reason = "a list of schemas")]
fn experiments() -> Vec<(&'static str, Json)> {
    let definition = json!({
        "type": "object",
        "required": ["name", "variants"],
        "properties": {
            "name": text(),
            "salt": text(),
            "algorithm": {},
            "variants": { "type": "array", "items": text(), "description": "The first one is the control" },
            "weights": { "type": "array", "items": { "type": "number" }, "description": "The share of each variant, with sum 1; equal ones where nothing is said" },
            "coverage": { "type": "number", "description": "The share of all units that take part" },
            "ranges": list(list(json!({ "type": "number" }))),
            "slice": { "type": "object" },
            "holdouts": list(json!({ "type": "object" })),
            "target": reference("Filter"),
            "overrides": { "type": "object", "additionalProperties": text() },
        },
    });
    let unit = asked(&["unit"], json!({ "unit": text(), "attributes": row() }));
    let assignment = told(json!({
        "experiment": text(),
        "unit": text(),
        "variant": text_or_null(),
        "reason": {},
        "salt": text(),
        "algorithm": {},
    }));
    let outcome = asked(
        &["event", "unit", "metric", "value"],
        json!({
            "event": { "type": "string", "description": "What makes sending it twice do no harm" },
            "unit": text(),
            "metric": text(),
            "at": {},
            "value": { "type": "number" },
        }),
    );
    vec![
        ("ExperimentDefinition", definition),
        (
            "Experiment",
            told(
                json!({ "experiment": reference("ExperimentDefinition"), "attributes": list(reference("Field")) }),
            ),
        ),
        (
            "Experiments",
            told(json!({ "experiments": list(reference("Experiment")) })),
        ),
        (
            "PutExperiment",
            asked(
                &["experiment"],
                json!({
                    "experiment": reference("ExperimentDefinition"),
                    "attributes": { "type": "array", "items": reference("Field"), "description": "What is known of units when they are assigned, for a target" },
                }),
            ),
        ),
        (
            "AssignUnits",
            asked(
                &["units"],
                json!({
                    "units": list(unit),
                    "sticky": { "type": "boolean", "description": "Whether assignments are kept, whatever becomes of shares and targets" },
                    "at": { "description": "When exposures happened; now where nothing is said" },
                }),
            ),
        ),
        ("Assignment", assignment),
        (
            "Assignments",
            told(json!({ "assignments": list(reference("Assignment")) })),
        ),
        (
            "Exposures",
            told(json!({ "assignments": list(reference("Assignment")), "at": text() })),
        ),
        (
            "RecordOutcomes",
            asked(&["outcomes"], json!({ "outcomes": list(outcome) })),
        ),
        ("OutcomesNoted", told(json!({ "noted": whole() }))),
        (
            "ReportExperiment",
            asked(
                &["metrics"],
                json!({
                    "metrics": { "type": "array", "items": { "type": ["object", "string"] }, "description": "As in {\"mean\": \"revenue\"}" },
                    "options": { "type": "object" },
                }),
            ),
        ),
        (
            "ExperimentReport",
            told(json!({
                "experiment": text(),
                "algorithm": {},
                "seq": whole(),
                "variants": list(text()),
                "counts": { "type": "array", "items": whole(), "description": "Units that met each variant first" },
                "crossed": { "type": "integer", "description": "Units that met two variants" },
                "strangers": { "type": "integer", "description": "Units that met a variant which the definition does not have" },
                "sample_ratio": { "type": "object", "additionalProperties": true },
                "metrics": list(json!({ "type": "object" })),
            })),
        ),
    ]
}
