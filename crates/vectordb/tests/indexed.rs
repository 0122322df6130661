//! A table that changes together with its index finds what a scan of the same vectors finds.

#![expect(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a test fails by panicking, and its numbers are small"
)]

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use common::{ErrorKind, Slot};
use vectordb::core::{Precision, SlotSet};
use vectordb::{
    ClusteredOptions, Diversity, Effort, GraphOptions, IndexOptions, IndexedTable, Metric, Wanted,
    evaluate, unwatched,
};

const DIMENSION: usize = 8;

fn vector(seed: u32) -> Vec<f32> {
    let mut state = u64::from(seed) * 0x9e37_79b9 + 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u64 << 24) as f32
    };
    (0..DIMENSION).map(|_| next()).collect()
}

fn grown(options: &IndexOptions, count: u32) -> IndexedTable {
    let table = IndexedTable::new(options, Metric::Euclidean, Precision::F32, DIMENSION).unwrap();
    let mut additions = table.additions();
    for seed in 0..count {
        additions.push(&vector(seed)).unwrap();
    }
    additions.finish(&unwatched).unwrap().0
}

#[test]
fn changes_one_by_one_and_many_at_once_are_found() {
    for options in [
        IndexOptions::Exact,
        IndexOptions::Clustered(ClusteredOptions::default()),
        IndexOptions::Graph(GraphOptions::default()),
    ] {
        let mut table = grown(&options, 1_990);
        let mut model: BTreeMap<Slot, Vec<f32>> =
            (0..1_990).map(|seed| (Slot(seed), vector(seed))).collect();
        // Past the number from which on there is a structure, and with a few at once.
        for seed in 5_000..5_020 {
            model.insert(table.insert(&vector(seed)).unwrap(), vector(seed));
        }
        let mut additions = table.additions();
        for seed in 6_000..6_050 {
            additions.push(&vector(seed)).unwrap();
        }
        let (with_more, slots) = additions.finish(&unwatched).unwrap();
        assert_eq!((table.rows().len(), with_more.rows().len()), (2_010, 2_060));
        table = with_more;
        model.extend(slots.into_iter().zip((6_000..).map(vector)));
        for slot in (0..300).map(Slot) {
            assert!(table.remove(slot) && !table.remove(slot));
            model.remove(&slot);
        }
        table.replace(Slot(700), &vector(9_000)).unwrap();
        model.insert(Slot(700), vector(9_000));

        for seed in 0..20 {
            let query = vector(20_000 + seed);
            let distance = |v: &Vec<f32>| evaluate::distance(Metric::Euclidean, &query, v);
            let mut all: Vec<(f64, Slot)> = model.iter().map(|(s, v)| (distance(v), *s)).collect();
            all.sort_by(|a, b| a.0.total_cmp(&b.0));
            let query = table.query(&query).unwrap();
            let wanted = Wanted::new(10).effort(Effort::Of(1_000));
            let found = table.search(&query, &wanted).unwrap();
            let right = found.iter().zip(&all).filter(|(a, b)| a.slot == b.1);
            assert!(right.count() >= 9, "{options:?}");
            let many = table
                .search_each(std::slice::from_ref(&query), &wanted, 2)
                .unwrap();
            assert_eq!(many, [found]);

            let bound = all.get(30).unwrap().0;
            let near = table
                .search(&query, &Wanted::new(1_000).within(bound))
                .unwrap();
            assert_eq!(near.len(), 31);
            let odd: SlotSet = model
                .keys()
                .copied()
                .filter(|slot| slot.0 % 2 == 1)
                .collect();
            let found = table.search(&query, &Wanted::new(5).among(&odd)).unwrap();
            assert!(found.len() == 5 && found.iter().all(|n| odd.contains(n.slot)));
        }
        let own = table.query_of(Slot(700)).unwrap();
        let mut wanted = Wanted::new(3);
        assert_eq!(table.search(&own, &wanted).unwrap()[0].slot, Slot(700));
        wanted.except = Some(Slot(700));
        wanted.diversity = Some(Diversity {
            lambda: 0.5,
            candidates: 20,
        });
        let others = table.search(&own, &wanted).unwrap();
        assert!(others.len() == 3 && others.iter().all(|n| n.slot != Slot(700)));

        let queries: Vec<_> = (0..30).map(|s| table.query(&vector(s)).unwrap()).collect();
        let recall = |effort| evaluate::indexed_recall(&table, &queries, 10, effort, 2).unwrap();
        assert!(recall(Effort::Recall(0.9)) > 0.8);
        assert!(recall(Effort::Of(2_000)) > 0.99);
        assert!(table.knows_effort(0.9, 10));
    }
}

#[test]
fn what_fails_changes_nothing() {
    let mut table = grown(&IndexOptions::Graph(GraphOptions::default()), 100);
    let short = [0.5; DIMENSION - 1];
    assert_eq!(table.insert(&short).unwrap_err().kind(), ErrorKind::Invalid);
    let missing = table.replace(Slot(100), &vector(1)).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert_eq!(
        table.query_of(Slot(100)).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let mut additions = table.additions();
    additions.push(&vector(1)).unwrap();
    let error = additions.push(&short).unwrap_err();
    assert!(error.to_string().starts_with("row 1: "), "{error}");
    let cancelled = additions
        .finish(&|_, _| ControlFlow::Break(()))
        .unwrap_err();
    assert_eq!(cancelled.kind(), ErrorKind::Closed);
    assert_eq!(table.rows().len(), 100);
    let query = table.query(&vector(1)).unwrap();
    for wanted in [
        Wanted::new(0),
        Wanted::new(1).effort(Effort::Recall(1.5)),
        Wanted::new(1).within(f64::NAN),
    ] {
        assert_eq!(
            table.search(&query, &wanted).unwrap_err().kind(),
            ErrorKind::Invalid
        );
    }
}
