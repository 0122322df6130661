//! Numbers that break others, in every metric, precision and index; and vectors of ten thousand dimensions.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking, and its numbers are small"
)]

use std::num::NonZeroUsize;

use common::limits::VECTOR_DIMENSION_MAX;
use common::{ErrorKind, Row, Slot};
use vectordb::core::{Precision, VectorTable};
use vectordb::{
    ClusteredOptions, GraphOptions, Index, IndexOptions, Layout, Metric, Scan, Search, VectorDb,
    VectorOptions, unwatched,
};

const VALUES: [f32; 16] = [
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    0.0,
    -0.0,
    1.0,
    f32::from_bits(1),
    -f32::MIN_POSITIVE,
    1e-38,
    1e-30,
    70_000.0,
    -1e18,
    1e19,
    1e38,
    f32::MAX,
    f32::MIN,
];

/// Indexes that are built with little effort, for they are many.
fn kinds() -> [IndexOptions; 5] {
    let graph = |layout| {
        IndexOptions::Graph(GraphOptions {
            build_candidates: 40,
            ..GraphOptions::new(layout)
        })
    };
    let clustered = ClusteredOptions::default().clusters(24);
    [
        IndexOptions::Exact,
        IndexOptions::Clustered(clustered.clone()),
        IndexOptions::Clustered(clustered.bits(4)),
        graph(Layout::Compact),
        graph(Layout::Fast),
    ]
}

/// Pseudorandom vectors around zero.
fn vectors(count: usize, dimension: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    (0..count)
        .map(|_| (0..dimension).map(|_| next()).collect())
        .collect()
}

fn table(rows: &[Vec<f32>], metric: Metric, precision: Precision) -> VectorTable {
    let mut table = VectorTable::with_precision(rows[0].len(), precision);
    for row in rows {
        table
            .push(&metric.prepare(row, row.len()).unwrap())
            .unwrap();
    }
    table
}

fn pairs() -> Vec<(Metric, Precision)> {
    Metric::ALL
        .into_iter()
        .flat_map(|metric| Precision::ALL.map(|precision| (metric, precision)))
        .filter(|(metric, precision)| metric.check(*precision).is_ok())
        .collect()
}

fn tie(a: Slot, b: Slot) -> std::cmp::Ordering {
    a.cmp(&b)
}

/// T28: each pair of hostile values, in every index: refused with the reason, or stored, found and ranked as
/// a scan ranks it.
#[test]
fn t28_hostile_values_in_every_metric_precision_and_index() {
    let base = vectors(2_050, 4, 1);
    let (mut cases, mut stored) = (0, 0);
    for (metric, precision) in pairs() {
        let mut table = table(&base, metric, precision);
        for options in kinds() {
            let Ok(mut index) = Index::build(&options, metric, table.rows(), &unwatched) else {
                continue;
            };
            for (at, a) in VALUES.into_iter().enumerate() {
                for b in VALUES.into_iter().skip(at) {
                    cases += 1;
                    let vector = [a, b, 0.5, a];
                    let place = format!("{metric} {precision} {options:?} {vector:?}");
                    let is_finite = a.is_finite() && b.is_finite();
                    let (prepared, query) =
                        (metric.prepare(&vector, 4), metric.prepare_query(&vector, 4));
                    let (prepared, query) = match (prepared, query) {
                        (Ok(prepared), Ok(query)) => (prepared, query),
                        (Err(error), Err(_)) => {
                            assert_eq!(error.kind(), ErrorKind::Invalid, "{place}");
                            let is_large = [a, b].iter().any(|v| v.abs() > 1e18);
                            assert!(is_large || !is_finite, "{place}");
                            continue;
                        }
                        _ => panic!("{place}"),
                    };
                    assert!(is_finite, "{place}");
                    if let Err(error) = precision.check(&prepared) {
                        assert_eq!(
                            (precision, error.kind()),
                            (Precision::F16, ErrorKind::Invalid)
                        );
                        continue;
                    }
                    stored += 1;
                    let slot = table.push(&prepared).unwrap();
                    index.insert(table.rows(), slot);
                    let scan = Scan::new(table.rows(), metric).unwrap();
                    let truth = scan.nearest(&query, 3, &tie);
                    let found = index
                        .nearest(table.rows(), &query, 3, Some(2_100), None)
                        .unwrap();
                    assert_eq!(found.len(), 3, "{place}");
                    for (found, truth) in found.iter().zip(&truth) {
                        assert!(found.distance.is_finite(), "{place}");
                        // Codes of one step for all numbers cannot tell those apart that are small beside the
                        // largest there is; what is returned is never nearer than the truth.
                        assert!(found.distance >= truth.distance, "{place}");
                    }
                    if options == IndexOptions::Exact {
                        assert_eq!(found, truth, "{place}");
                    }
                    if metric != Metric::Dot {
                        let own = table.rows().distance_to(metric, &query, slot).unwrap();
                        assert!(truth[0].distance <= own, "{place}");
                    }
                    index.remove(table.rows(), slot);
                    table.remove(slot);
                    let after = index.nearest(table.rows(), &query, 3, None, None).unwrap();
                    assert!(after.iter().all(|hit| hit.slot != slot), "{place}");
                }
            }
            assert_eq!(table.rows().len(), base.len());
        }
    }
    assert!(cases >= 2_000 && stored >= 1_000, "{cases} {stored}");
}

/// T28: a precision changes no order but by the error that it states, for vectors of any size.
#[test]
fn t28_every_precision_ranks_vectors_of_any_size() {
    let (base, queries) = (vectors(2_050, 16, 2), vectors(12, 16, 3));
    for (metric, precision) in pairs() {
        for scale in [1e-30, 1e-3, 1e17] {
            // 16-bit floats end at 65,504 and have few digits below 1e-4.
            let is_held = metric == Metric::Cosine || (1e-4..6e4).contains(&scale);
            if precision == Precision::F16 && !is_held {
                continue;
            }
            let scaled = |vectors: &[Vec<f32>]| -> Vec<Vec<f32>> {
                let scale = |vector: &Vec<f32>| vector.iter().map(|v| v * scale).collect();
                vectors.iter().map(scale).collect()
            };
            let table = table(&scaled(&base), metric, precision);
            let scan = Scan::new(table.rows(), metric).unwrap();
            for options in kinds() {
                let Ok(index) = Index::build(&options, metric, table.rows(), &unwatched) else {
                    continue;
                };
                let mut found = 0;
                for query in scaled(&queries) {
                    let query = metric.prepare_query(&query, 16).unwrap();
                    let worst = scan.nearest(&query, 10, &tie)[9].distance;
                    let near = index
                        .nearest(table.rows(), &query, 10, Some(200), None)
                        .unwrap();
                    found += near.iter().filter(|hit| hit.distance <= worst).count();
                }
                assert!(
                    found >= 114,
                    "{metric} {precision} {options:?} {scale}: {found} of 120"
                );
            }
        }
    }
}

/// T29: numbers that are no dimension, no number of neighbours, no option.
#[test]
fn t29_absurd_numbers_are_refused_and_change_nothing() {
    const HUGE: usize = 1 << 63;
    for (metric, precision) in pairs() {
        for dimension in [0, VECTOR_DIMENSION_MAX + 1, 1 << 62, HUGE, usize::MAX] {
            let table = VectorTable::with_precision(dimension, precision);
            let kind = if dimension == 0 {
                ErrorKind::Invalid
            } else {
                ErrorKind::LimitExceeded
            };
            for options in kinds() {
                if Index::new(&options, metric).is_ok() {
                    let built = Index::build(&options, metric, table.rows(), &unwatched);
                    assert_eq!(built.unwrap_err().kind(), kind, "{dimension}");
                }
            }
            if dimension > 0 {
                assert!(metric.prepare_query(&[1.0], dimension).is_err());
            }
        }
    }
    let db = VectorDb::new();
    let threads = NonZeroUsize::new(1_025);
    let mut wrong = vec![IndexOptions::Clustered(
        ClusteredOptions::default().threads(threads.unwrap()),
    )];
    for number in [0, 65_537, HUGE, usize::MAX] {
        let clustered = ClusteredOptions::default();
        wrong.push(IndexOptions::Clustered(clustered.clone().clusters(number)));
        wrong.push(IndexOptions::Clustered(clustered.bits(number as u8 | 0x80)));
        let graph = GraphOptions::default();
        wrong.push(IndexOptions::Graph(GraphOptions {
            degree: number,
            ..graph.clone()
        }));
        let threads = Some(number);
        wrong.push(IndexOptions::Graph(GraphOptions {
            threads,
            ..graph.clone()
        }));
        wrong.push(IndexOptions::Graph(GraphOptions {
            build_candidates: number,
            ..graph
        }));
    }
    for spread in [f32::NAN, f32::INFINITY, -1.0, 0.0, 1e38, 1e-38] {
        wrong.push(IndexOptions::Graph(GraphOptions {
            spread,
            ..GraphOptions::default()
        }));
    }
    for index in wrong {
        let options = VectorOptions::new(4, Metric::Euclidean).index(index.clone());
        let error = db.create_collection("t29", options, []).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{index:?}");
        assert!(db.collections().is_empty() && db.database().collections().is_empty());
    }
    let base = vectors(2_050, 4, 4);
    for (metric, precision) in pairs() {
        let table = table(&base, metric, precision);
        let query = metric.prepare_query(&base[7], 4).unwrap();
        let scan = Scan::new(table.rows(), metric).unwrap();
        for k in [HUGE, usize::MAX] {
            assert_eq!(scan.nearest(&query, k, &tie).len(), base.len());
        }
        for options in kinds() {
            if let Ok(index) = Index::build(&options, metric, table.rows(), &unwatched) {
                for effort in [0, 1, HUGE, usize::MAX] {
                    let rows = table.rows();
                    assert_eq!(
                        index
                            .nearest(rows, &query, 5, Some(effort), None)
                            .unwrap()
                            .len(),
                        5
                    );
                    assert!(
                        index
                            .nearest(rows, &query, 0, Some(effort), None)
                            .unwrap()
                            .is_empty()
                    );
                    let all = index
                        .nearest(rows, &query, HUGE, Some(effort), None)
                        .unwrap();
                    assert!(all.len() <= base.len() && all.len() >= 500, "{options:?}");
                }
            }
        }
    }
}

/// Ten thousand dimensions: every index is built, searched, and takes in and gives up vectors.
#[test]
fn ten_thousand_dimensions_in_every_index() {
    const DIMENSION: usize = 10_000;
    // In groups, for among random vectors of so many dimensions all are equally far.
    let centres = vectors(41, DIMENSION, 5);
    let near = |at: usize, noise: &[f32]| -> Vec<f32> {
        let centre = centres[at % 41].iter();
        let own = noise.iter().cycle().skip(at * 7 % 991);
        centre.zip(own).map(|(c, n)| c + 0.3 * n).collect()
    };
    let noise = vectors(1, 12_007, 6).remove(0);
    let base: Vec<Vec<f32>> = (0..2_100).map(|at| near(at, &noise)).collect();
    for metric in [Metric::Euclidean, Metric::Hamming] {
        let mut table = table(&base, metric, metric.precision());
        for options in kinds() {
            let Ok(mut index) = Index::build(&options, metric, table.rows(), &unwatched) else {
                continue;
            };
            let slot = Slot(77);
            index.remove(table.rows(), slot);
            table.remove(slot);
            let slot = table
                .push(&metric.prepare(&base[77], DIMENSION).unwrap())
                .unwrap();
            index.insert(table.rows(), slot);
            let scan = Scan::new(table.rows(), metric).unwrap();
            let mut found = 0;
            for at in [77, 500, 1_234] {
                let query = metric.prepare_query(&base[at], DIMENSION).unwrap();
                let worst = scan.nearest(&query, 10, &tie)[9].distance;
                let hits = index.nearest(table.rows(), &query, 10, None, None).unwrap();
                assert!(hits[0].distance.abs() < 1e-9, "{metric} {options:?}");
                found += hits.iter().filter(|hit| hit.distance <= worst).count();
            }
            assert!(found >= 27, "{metric} {options:?}: {found} of 30");
        }
    }
}

/// Duplicate ids in a batch, wrong dimensions among right ones: the later row stays, or nothing is stored.
#[test]
fn t36_batches_are_stored_as_a_whole_or_not_at_all() {
    for metric in Metric::ALL {
        let db = VectorDb::new();
        let things = db
            .create_collection("t36", VectorOptions::new(2, metric), [])
            .unwrap();
        let batch = [
            (1, [1.0, 0.0], Row::new()),
            (2, [0.0, 1.0], Row::new()),
            (1, [1.0, 1.0], Row::new()),
        ];
        things.upsert_all(batch).unwrap();
        assert_eq!(
            (things.count(), things.vector(1)),
            (2, Some(vec![1.0, 1.0]))
        );
        let seq = db.database().seq();
        for wrong in [
            vec![],
            vec![1.0],
            vec![1.0; 3],
            vec![1.0; 65_537],
            vec![f32::NAN, 1.0],
        ] {
            let batch = [(1, vec![5.0, 5.0], Row::new()), (3, wrong, Row::new())];
            let error = things.upsert_all(batch).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().starts_with("row 1: "), "{error}");
            assert_eq!((things.count(), db.database().seq()), (2, seq));
        }
        let hits = things.search(&Search::new([1.0, 1.0], 9)).unwrap().hits;
        assert_eq!(hits.len(), 2);
    }
}
