//! Sparse vectors against naive inner products.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, and its numbers are small"
)]

use std::collections::BTreeMap;

use common::query::Filter;
use common::schema::{Field, FieldType};
use common::{ErrorKind, RecordId, Row, Slot, Vector, row};
use proptest::prelude::*;
use vectordb::core::SlotSet;
use vectordb::{
    CollectionOptions, Method, Search, SparseIndex, SparseOptions, VectorCollection, VectorDb,
    Vectors,
};

type Elements = BTreeMap<u32, f32>;

/// The product, if a position is shared.
fn product(a: &Elements, b: &Elements) -> Option<f64> {
    let shared = a
        .iter()
        .filter_map(|(p, x)| Some(f64::from(*x) * f64::from(*b.get(p)?)));
    shared.reduce(|sum, part| sum + part)
}

fn texts(positions: u32) -> VectorCollection {
    let options = CollectionOptions::new().sparse(SparseOptions::new("words").dimension(positions));
    let group = Field::new("group", FieldType::Int);
    VectorDb::new()
        .create_collection("texts", options, [group])
        .unwrap()
}

/// Few positions, and weights of both signs that are exact, so that equal products are common.
fn elements() -> impl Strategy<Value = Elements> {
    let weight = prop_oneof![4 => 1_i8..4, 1 => -3_i8..0].prop_map(|w| f32::from(w) / 2.0);
    prop::collection::btree_map(0_u32..12, weight, 0..7)
}

#[derive(Debug, Clone)]
enum Step {
    Upsert(i64, Elements),
    Regroup(i64, i64),
    Delete(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let id = 0_i64..25;
    prop_oneof![
        6 => (id.clone(), elements()).prop_map(|(id, e)| Step::Upsert(id, e)),
        1 => (id.clone(), 0_i64..3).prop_map(|(id, g)| Step::Regroup(id, g)),
        2 => id.prop_map(Step::Delete),
    ]
}

proptest! {
    #[test]
    fn a_history_agrees_with_naive_products(
        steps in prop::collection::vec(step(), 1..60),
        query in elements(),
        k in 1_usize..12,
    ) {
        let texts = texts(12);
        let mut model: BTreeMap<i64, (Elements, i64)> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Upsert(id, elements) => {
                    let vectors = Vectors::new().sparse("words", elements.clone());
                    texts.upsert(id, vectors, row! { "group": id % 3 }).unwrap();
                    model.insert(id, (elements, id % 3));
                }
                Step::Regroup(id, group) => {
                    if let Some(row) = model.get_mut(&id) {
                        texts.update(id, row! { "group": group }).unwrap();
                        row.1 = group;
                    }
                }
                Step::Delete(id) => {
                    prop_assert_eq!(texts.delete(id).is_ok(), model.remove(&id).is_some());
                }
            }
        }
        for group in [None, Some(1)] {
            let mut expect: Vec<(f64, i64)> = model
                .iter()
                .filter(|(_, (_, g))| group.is_none_or(|group| group == *g))
                .filter_map(|(id, (elements, _))| Some((0.0 - product(&query, elements)?, *id)))
                .collect();
            expect.sort_by(|a, b| a.partial_cmp(b).unwrap());
            expect.truncate(k);
            let mut search = Search::sparse(query.clone(), k);
            if let Some(group) = group {
                search = search.filter(Filter::eq("group", group));
            }
            let hits = texts.search(&search).unwrap().hits.into_iter();
            let found: Vec<(f64, RecordId)> = hits.map(|hit| (hit.distance, hit.id)).collect();
            let expect: Vec<(f64, RecordId)> = expect.into_iter().map(|(d, id)| (d, id.into())).collect();
            prop_assert_eq!(found, expect);
        }
    }
}

/// Enough entries for many blocks, positions of all frequencies, and filters of all selectivities.
#[test]
fn long_postings_agree_with_naive_products() {
    let mut index = SparseIndex::default();
    let mut state = 1_u64;
    let mut next = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % below
    };
    let mut vector = || -> Elements {
        let mut elements = Elements::new();
        for _ in 0..12 {
            // Low positions are frequent.
            let range = next(11);
            let (position, part) = (next(1 << range) * 1_024, 1 + next(3));
            let position = u32::try_from(position / part).unwrap();
            let weight = f32::from(u16::try_from(next(64)).unwrap()) / 16.0 + 0.1;
            elements.insert(position, weight);
        }
        elements
    };
    let mut vectors: Vec<Option<Elements>> = (0..6_000).map(|_| Some(vector())).collect();
    let insert = |index: &mut SparseIndex, slot: u32, elements: &Elements| {
        let (positions, weights): (Vec<u32>, Vec<f32>) = elements.iter().unzip();
        index.insert(Slot(slot), &positions, &weights);
    };
    for (slot, elements) in (0..).zip(&vectors) {
        insert(&mut index, slot, elements.as_ref().unwrap());
    }
    let held = index.clone();
    for slot in (0..6_000_u32).filter(|slot| slot % 7 == 0) {
        let place = &mut vectors[slot as usize];
        let old: Vec<u32> = place.take().unwrap().into_keys().collect();
        index.remove(Slot(slot), &old);
        if slot % 2 == 0 {
            let new = vector();
            insert(&mut index, slot, &new);
            *place = Some(new);
        }
    }
    assert_eq!(
        (held.len(), index.len()),
        (6_000, vectors.iter().flatten().count())
    );
    let mut skipped = 0;
    for round in 0..60_u32 {
        let query = vector();
        let elements: Vec<(u32, f32)> = query.clone().into_iter().collect();
        let k = [1, 10, 100][round as usize % 3];
        let of = |step: u32| {
            (0..6_000)
                .filter(move |slot| slot % step == 0)
                .map(Slot)
                .collect()
        };
        for filter in [None, Some(of(2)), Some(of(500))] {
            let filter: Option<SlotSet> = filter;
            let mut expect: Vec<(f64, Slot)> = (0_u32..)
                .zip(&vectors)
                .filter(|(slot, _)| filter.as_ref().is_none_or(|f| f.contains(Slot(*slot))))
                .filter_map(|(slot, e)| Some((0.0 - product(&query, e.as_ref()?)?, Slot(slot))))
                .collect();
            expect.sort_by(|a, b| a.partial_cmp(b).unwrap());
            let all = expect.len();
            expect.truncate(k);
            let found = index.nearest(&elements, k, filter.as_ref()).unwrap();
            let found: Vec<(f64, Slot)> = found.iter().map(|n| (n.distance, n.slot)).collect();
            assert_eq!(found, expect, "{round} {k}");
            skipped += usize::from(all > k);
        }
    }
    assert!(skipped > 100);
    // What a search holds does not change under it.
    let all = held.nearest(&[(0, 1.0)], 6_000, None).unwrap();
    assert!(all.len() > 100 && all.iter().any(|n| n.slot.0 % 14 == 7));
}

#[test]
fn mistakes_and_explanations_of_sparse_searches() {
    let texts = texts(100);
    let put = |id: i64, elements: &[(u32, f32)]| {
        let vectors = Vectors::new().sparse("words", elements.iter().copied());
        texts.upsert(id, vectors, row! { "group": 0 })
    };
    for (elements, word) in [
        (vec![(1, 1.0), (1, 2.0)], "twice"),
        (vec![(100, 1.0)], "100"),
        (vec![(3, f32::NAN)], "NaN"),
    ] {
        let error = put(1, &elements).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(
            error.to_string().contains(word) && error.to_string().contains("`words`"),
            "{error}"
        );
        let error = texts.search(&Search::sparse(elements, 1)).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
    assert_eq!(texts.count(), 0);
    let dense = texts.search(&Search::new([1.0], 1)).unwrap_err();
    assert!(dense.to_string().contains("`words` (sparse)"), "{dense}");
    // Elements come in any order; neighbours of a row, ranges and diversity are as with dense vectors.
    for id in 0..20_u8 {
        let weight = f32::from(id);
        put(
            i64::from(id),
            &[(70, 1.0), (u32::from(id), weight), (80, 1.0)],
        )
        .unwrap();
    }
    let search = Search::like(4, 3).filter(Filter::eq("group", 0));
    let hits = texts.search(&search).unwrap().hits;
    assert!(hits.len() == 3 && hits.iter().all(|hit| hit.id != 4.into()));
    assert_eq!(
        texts.explain(&search).unwrap().method,
        Method::PostingsMatching
    );
    let near = Search::sparse([(9, 1.0), (70, 1.0)], 50).within(-5.0);
    let found = texts.search(&near).unwrap();
    assert_eq!((found.hits.len(), found.hits[0].distance), (1, -10.0));
    let unlike = texts
        .search(&Search::sparse([(70, 1.0)], 3).diverse(0.5, 20))
        .unwrap();
    assert_eq!(unlike.hits.len(), 3);
    // Written past the collection, as synced rows are.
    let nan = Vector::sparse(100, vec![5], vec![f32::INFINITY]).unwrap();
    let stored = texts
        .table()
        .upsert(row! { "id": 1, "words": nan, "group": 0 });
    assert!(stored.is_err());
    let all = texts
        .search_many(&[near, Search::sparse([(70, 1.0)], 4)])
        .unwrap();
    assert_eq!([all[0].hits.len(), all[1].hits.len()], [1, 4]);
    assert!(texts.update(3, Row::new()).is_ok() && texts.index_bytes().unwrap()[0].1 > 0);
}
