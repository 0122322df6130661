//! Several searches fused into one ranking, against the definition.

#![expect(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "a test fails by panicking, and what is computed alike is equal"
)]

use std::collections::BTreeMap;

use common::query::Filter;
use common::schema::{Field, FieldType};
use common::{ErrorKind, RecordId, row};
use proptest::prelude::*;
use vectordb::{
    CollectionOptions, Fusion, Hybrid, Metric, Search, SparseOptions, VectorCollection, VectorDb,
    VectorOptions, Vectors,
};

fn texts(rows: &[(i8, i8, u32)]) -> VectorCollection {
    let options = CollectionOptions::new()
        .vectors(VectorOptions::new(1, Metric::Euclidean).column("a"))
        .vectors(VectorOptions::new(1, Metric::Manhattan).column("b"))
        .sparse(SparseOptions::new("words"));
    let group = Field::new("group", FieldType::Int);
    let texts = VectorDb::new()
        .create_collection("texts", options, [group])
        .unwrap();
    let rows = (0_i64..).zip(rows).map(|(id, (a, b, word))| {
        let vectors = Vectors::new()
            .dense("a", [f32::from(*a)])
            .dense("b", [f32::from(*b)]);
        let vectors = vectors.sparse("words", [(*word, 1.0 + (*word % 2) as f32)]);
        (id, vectors, row! { "group": id % 2 })
    });
    texts.upsert_all(rows).unwrap();
    texts
}

/// Scores by id from the rankings of the parts, as the definitions of the fusions say.
fn naive(texts: &VectorCollection, hybrid: &Hybrid) -> Vec<(f64, RecordId)> {
    let mut scores: BTreeMap<RecordId, f64> = BTreeMap::new();
    for (search, weight) in &hybrid.parts {
        let mut search = search.clone();
        if let Some(filter) = &hybrid.filter {
            search = search.filter(filter.clone());
        }
        let hits = texts.search(&search).unwrap().hits;
        let far = hits.last().map_or(0.0, |hit| hit.distance);
        let near = hits.first().map_or(0.0, |hit| hit.distance);
        for (at, hit) in hits.into_iter().enumerate() {
            let gain = match hybrid.fusion {
                Fusion::ReciprocalRank { k } => 1.0 / (k + (at + 1) as f64),
                _ if far == near => 1.0,
                _ => (far - hit.distance) / (far - near),
            };
            *scores.entry(hit.id).or_default() += weight * gain;
        }
    }
    let mut all: Vec<(f64, RecordId)> = scores.into_iter().map(|(id, s)| (s, id)).collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    all.truncate(hybrid.k);
    all
}

proptest! {
    #[test]
    fn fused_rankings_are_those_of_the_definition(
        rows in prop::collection::vec((-5_i8..5, -5_i8..5, 0_u32..4), 1..30),
        (a, b, word) in (-5_i8..5, -5_i8..5, 0_u32..4),
        depth in 1_usize..12,
        k in 1_usize..12,
        fusion in prop::sample::select(vec![
            Fusion::default(),
            Fusion::ReciprocalRank { k: 1.0 },
            Fusion::WeightedSum,
        ]),
        filtered in any::<bool>(),
    ) {
        let texts = texts(&rows);
        let mut hybrid = Hybrid::new(k)
            .part(Search::new([f32::from(a)], depth).on("a"))
            .weighted(Search::new([f32::from(b)], depth).on("b"), 2.0)
            .weighted(Search::sparse([(word, 1.0)], depth), 0.5)
            .fusion(fusion);
        if filtered {
            hybrid = hybrid.filter(Filter::eq("group", 1));
        }
        let hits = texts.search_hybrid(&hybrid).unwrap().hits;
        for hit in &hits {
            let is_of_group = hit.row == row! { "group": 1 };
            prop_assert!(!filtered || is_of_group);
            prop_assert!(hit.places.len() == 3 && hit.places.iter().any(Option::is_some));
        }
        let found: Vec<(f64, RecordId)> = hits.into_iter().map(|hit| (hit.score, hit.id)).collect();
        prop_assert_eq!(found, naive(&texts, &hybrid));
    }
}

#[test]
fn parts_keep_their_filters_and_tell_their_plans() {
    let texts = texts(&[(0, 0, 1), (1, 1, 1), (2, 2, 1), (3, 3, 2)]);
    let own = Search::new([0.0], 4).on("a").filter(Filter::eq("group", 0));
    let hybrid = Hybrid::new(4).part(own).part(Search::like(0, 2).on("b"));
    let found = texts.search_hybrid(&hybrid.clone().select(["b"])).unwrap();
    let ids: Vec<String> = found.hits.iter().map(|hit| hit.id.to_string()).collect();
    // 2 is in both; 0 is left out of its own neighbours and first by `a`, as 1 is by `b`.
    assert_eq!(ids, ["2", "0", "1"]);
    assert!(found.hits[0].row.get("b").is_some() && found.hits[0].row.get("group").is_none());
    let plans = texts.explain_hybrid(&hybrid).unwrap();
    assert_eq!((plans[0].column.as_str(), plans[0].matched), ("a", 2));
    assert_eq!((plans[1].column.as_str(), plans[1].matched), ("b", 4));
    let part = || Search::new([0.0], 1).on("a");
    for (wrong, kind, word) in [
        (Hybrid::new(1), ErrorKind::Invalid, "at least one part"),
        (Hybrid::new(0).part(part()), ErrorKind::Invalid, "(k)"),
        (
            Hybrid::new(1).weighted(part(), -1.0),
            ErrorKind::Invalid,
            "-1",
        ),
        (
            Hybrid::new(1).weighted(part(), f64::NAN),
            ErrorKind::Invalid,
            "NaN",
        ),
        (
            Hybrid::new(1).part(part()).part(part().on("c")),
            ErrorKind::NotFound,
            "part 1",
        ),
        (
            Hybrid::new(1)
                .part(part())
                .fusion(Fusion::ReciprocalRank { k: -1.0 }),
            ErrorKind::Invalid,
            "-1",
        ),
        (
            (0..65).fold(Hybrid::new(1), |hybrid, _| hybrid.part(part())),
            ErrorKind::LimitExceeded,
            "64",
        ),
    ] {
        let error = texts.search_hybrid(&wrong).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
}
