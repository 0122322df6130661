//! The clustered index against a full scan.

use std::cmp::Ordering;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering as Atomic};

use common::ErrorKind;

use super::*;
use crate::core::{Precision, SlotSet, VectorTable};
use crate::indexing::progress::{Progress, unwatched};
use crate::indexing::quantize::Random;
use crate::indexing::{Neighbour, Scan};

const METRICS: [Metric; 4] = [
    Metric::Euclidean,
    Metric::SquaredEuclidean,
    Metric::Cosine,
    Metric::Dot,
];

fn by_slot(a: Slot, b: Slot) -> Ordering {
    a.cmp(&b)
}

/// Vectors in groups, as data is; the groups' places follow from the dimension.
fn grouped(random: &mut Random, dimension: usize) -> Vec<f32> {
    let group = random.below(20) as u64;
    let mut place = Random::new(group * 1_000 + dimension as u64);
    (0..dimension)
        .map(|_| place.normal() + 0.5 * random.normal())
        .collect()
}

fn table(
    metric: Metric,
    dimension: usize,
    count: usize,
    change: impl Fn(f32) -> f32,
) -> VectorTable {
    let mut random = Random::new(1);
    let mut table = VectorTable::new(dimension);
    for _ in 0..count {
        let vector: Vec<f32> = grouped(&mut random, dimension)
            .into_iter()
            .map(&change)
            .collect();
        let vector = metric.prepare(&vector, dimension).expect("a good vector");
        table.push(&vector).expect("a free slot");
    }
    table
}

fn search(
    index: &ClusteredIndex,
    rows: &VectorRows,
    metric: Metric,
    query: &[f32],
    k: usize,
    probes: usize,
    filter: Option<&SlotSet>,
) -> ClusteredFound {
    let query = metric
        .prepare_query(query, rows.dimension())
        .expect("a good query");
    index.search(rows, metric, &query, k, probes, filter, &by_slot)
}

/// The share of the nearest rows that searches of all lists find; checks what they return on the way.
#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn recall(
    index: &ClusteredIndex,
    rows: &VectorRows,
    metric: Metric,
    filter: Option<&SlotSet>,
    change: impl Fn(f32) -> f32,
) -> f64 {
    let mut random = Random::new(99);
    let (mut found, mut wanted) = (0, 0);
    for _ in 0..12 {
        let query = grouped(&mut random, rows.dimension());
        let query: Vec<f32> = query.into_iter().map(&change).collect();
        let prepared = metric
            .prepare(&query, rows.dimension())
            .expect("a good query");
        let mut truth = Vec::new();
        for slot in rows.slots() {
            if filter.is_none_or(|filter| filter.contains(slot)) {
                let distance = metric.distance(&prepared, rows.row(slot).expect("a row"));
                truth.push(Neighbour { slot, distance });
            }
        }
        truth.sort_by(|a, b| a.distance.total_cmp(&b.distance).then(a.slot.cmp(&b.slot)));
        truth.truncate(10);
        let answer = search(index, rows, metric, &query, 10, index.clusters(), filter);
        assert_eq!(answer.estimated, index.len());
        assert!(answer.compared <= index.len());
        let nearest = answer.nearest;
        assert_eq!(nearest.len(), truth.len());
        assert!(nearest.is_sorted_by(|a, b| (a.distance, a.slot) < (b.distance, b.slot)));
        for neighbour in &nearest {
            let row = rows.row(neighbour.slot).expect("a vector that is there");
            let distance = metric.distance(&prepared, row);
            assert_eq!(neighbour.distance.to_bits(), distance.to_bits());
            assert!(filter.is_none_or(|filter| filter.contains(neighbour.slot)));
        }
        wanted += truth.len();
        found += truth.iter().filter(|row| nearest.contains(row)).count();
    }
    found as f64 / wanted.max(1) as f64
}

#[test]
fn all_lists_together_find_what_a_scan_finds() {
    for metric in METRICS {
        for (dimension, bits) in [(3, 1), (20, 2), (100, 1), (130, 4)] {
            let table = table(metric, dimension, 500, |v| v);
            let rows = table.rows();
            let options = ClusteredOptions::default().bits(bits);
            let index = ClusteredIndex::build(&options, metric, rows, &unwatched).unwrap();
            assert_eq!((index.len(), index.clusters()), (500, 44));
            let found = recall(&index, rows, metric, None, |v| v);
            assert!(found > 0.97, "{metric} {dimension} {bits}: {found}");
            for every in [2, 150] {
                let filter: SlotSet = (0..500).step_by(every).map(Slot).collect();
                let found = recall(&index, rows, metric, Some(&filter), |v| v);
                assert!(found > 0.97, "{metric} {dimension} {bits}: {found}");
            }
        }
    }
}

/// Few lists and few comparisons suffice: the point of it all.
#[test]
fn codes_exclude_most_rows() {
    let metric = Metric::SquaredEuclidean;
    let table = table(metric, 200, 1_500, |v| v);
    let rows = table.rows();
    let query = grouped(&mut Random::new(5), 200);
    let mut compared = Vec::new();
    for bits in [1, 4] {
        let options = ClusteredOptions::default().clusters(20).bits(bits);
        let index = ClusteredIndex::build(&options, metric, rows, &unwatched).unwrap();
        let all = search(&index, rows, metric, &query, 10, 20, None);
        let one = search(&index, rows, metric, &query, 10, 1, None);
        let none = search(&index, rows, metric, &query, 10, 0, None);
        assert_eq!((one.lists, none.lists, all.lists), (1, 1, 20));
        assert!(one.estimated < 500 && one.compared <= all.compared);
        compared.push(all.compared);
        assert_eq!(all.refined > 0, bits > 1);
    }
    assert!(
        compared[0] < 300 && compared[1] < compared[0] / 2,
        "{compared:?}"
    );
}

#[test]
fn vectors_may_be_large_small_or_far_from_the_origin() {
    let changes: [fn(f32) -> f32; 4] = [
        |v| v * 1e16,
        |v| v * 1e-25,
        |v| v + 100.0,
        |v| v * 1e-11 + 1e-9,
    ];
    for change in changes {
        for metric in [Metric::Euclidean, Metric::Dot, Metric::Cosine] {
            let table = table(metric, 50, 500, change);
            let rows = table.rows();
            let options = ClusteredOptions::default().bits(2);
            let index = ClusteredIndex::build(&options, metric, rows, &unwatched).unwrap();
            let found = recall(&index, rows, metric, None, change);
            assert!(found > 0.95, "{metric} {}: {found}", change(1.0));
        }
    }
}

#[test]
fn inserts_and_removals_are_as_a_build() {
    for bits in [1, 3] {
        let metric = Metric::Euclidean;
        let mut random = Random::new(bits.into());
        let mut table = table(metric, 40, 600, |v| v);
        let options = ClusteredOptions::default().bits(bits);
        let mut index = ClusteredIndex::build(&options, metric, table.rows(), &unwatched).unwrap();
        let held = (index.clone(), table.rows().clone());
        for step in 0..1_500 {
            let slot = Slot(u32::try_from(random.below(600)).unwrap());
            match step % 3 {
                0 => {
                    let slot = table.push(&grouped(&mut random, 40)).unwrap();
                    index.insert(table.rows(), slot);
                }
                1 => assert_eq!(table.remove(slot), index.remove(slot)),
                _ if table.rows().row(slot).is_some() => {
                    table.replace(slot, &grouped(&mut random, 40));
                    index.insert(table.rows(), slot);
                }
                _ => index.insert(table.rows(), slot),
            }
            assert_eq!(index.len(), table.rows().len());
        }
        assert!(recall(&index, table.rows(), metric, None, |v| v) > 0.97);
        assert!(recall(&held.0, &held.1, metric, None, |v| v) > 0.97);
    }
}

#[test]
fn threads_do_not_change_the_index() {
    let metric = Metric::Cosine;
    let table = table(metric, 30, 1_000, |v| v);
    let rows = table.rows();
    let found = [1, 2, 5].map(|threads| {
        let threads = NonZeroUsize::new(threads).unwrap();
        let options = ClusteredOptions::default().seed(3).bits(3).threads(threads);
        let index = ClusteredIndex::build(&options, metric, rows, &unwatched).unwrap();
        let mut random = Random::new(8);
        let answers: Vec<ClusteredFound> = (0..50)
            .map(|_| search(&index, rows, metric, &grouped(&mut random, 30), 5, 3, None))
            .collect();
        (answers, index.bytes())
    });
    assert!(found[0] == found[1] && found[0] == found[2]);
}

#[test]
fn small_and_degenerate_tables_are_searched() {
    let metric = Metric::SquaredEuclidean;
    let options = ClusteredOptions::default().bits(2);
    let mut table = VectorTable::new(5);
    let mut index = ClusteredIndex::build(&options, metric, table.rows(), &unwatched).unwrap();
    assert_eq!((index.len(), index.clusters()), (0, 1));
    let zeros = [0.0; 5];
    assert!(
        search(&index, table.rows(), metric, &zeros, 3, 9, None)
            .nearest
            .is_empty()
    );
    for _ in 0..100 {
        let slot = table.push(&zeros).unwrap();
        index.insert(table.rows(), slot);
    }
    let again = ClusteredIndex::build(&options, metric, table.rows(), &unwatched).unwrap();
    for index in [index, again] {
        // All are equally near; the tie decides, also among those left out.
        let found = search(&index, table.rows(), metric, &zeros, 3, 99, None);
        let slots: Vec<u32> = found.nearest.iter().map(|n| n.slot.0).collect();
        assert_eq!(slots, [0, 1, 2]);
        let found = search(&index, table.rows(), metric, &[1.0; 5], 1_000, 99, None);
        assert_eq!(found.nearest.len(), 100);
        let none = SlotSet::default();
        let found = search(&index, table.rows(), metric, &zeros, 3, 99, Some(&none));
        assert!(found.nearest.is_empty());
        let parts = index.bytes();
        assert!(parts.words > 0 && parts.total() > parts.words + parts.codes);
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let table = table(Metric::Euclidean, 4, 300, |v| v);
    let build = |options: &ClusteredOptions, metric, progress: Progress<'_>| {
        let built = ClusteredIndex::build(options, metric, table.rows(), progress);
        built.map(|index| index.len()).map_err(|error| error.kind())
    };
    let options = ClusteredOptions::default();
    for metric in [Metric::Manhattan, Metric::Chebyshev] {
        assert_eq!(
            build(&options, metric, &unwatched),
            Err(ErrorKind::Unsupported)
        );
    }
    let wrong = options.clone().bits(9);
    assert_eq!(
        build(&wrong, Metric::Dot, &unwatched),
        Err(ErrorKind::Invalid)
    );

    let calls = AtomicUsize::new(0);
    let count = |done: usize, all: usize| {
        assert!(done <= all);
        calls.fetch_add(1, Atomic::Relaxed);
        ControlFlow::Continue(())
    };
    assert_eq!(build(&options, Metric::Dot, &count), Ok(300));
    // Whenever it is cancelled, it ends there.
    for at in 0..calls.into_inner() {
        let calls = AtomicUsize::new(0);
        let cancel = |_: usize, _: usize| match calls.fetch_add(1, Atomic::Relaxed) {
            call if call == at => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        assert_eq!(
            build(&options, Metric::Dot, &cancel),
            Err(ErrorKind::Closed)
        );
    }
}

#[test]
fn every_precision_of_numbers_is_indexed() {
    let metric = Metric::Euclidean;
    let floats = table(metric, 40, 600, |v| v);
    for precision in [Precision::F32, Precision::F16, Precision::I8] {
        let mut table = VectorTable::with_precision(40, precision);
        floats.rows().for_each(|_, row| {
            table.push(&row[..40]);
        });
        let rows = table.rows();
        let index =
            ClusteredIndex::build(&ClusteredOptions::default(), metric, rows, &unwatched).unwrap();
        let query = floats.rows().row(Slot(17)).expect("a row")[..40].to_vec();
        let query = metric.prepare_query(&query, 40).unwrap();
        let tie = |a: Slot, b: Slot| a.cmp(&b);
        let found = index.search(rows, metric, &query, 10, index.clusters(), None, &tie);
        let truth = Scan::new(rows, metric).unwrap().nearest(&query, 10, &tie);
        assert_eq!(found.nearest, truth, "{precision}");
    }
}
