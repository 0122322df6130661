//! The scans against sorting by distances in 64 bits.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "small numbers"
)]

use proptest::prelude::*;

use super::*;
use crate::core::{Precision, VectorTable};

/// Ties in the opposite order of slots, so that nothing comes in order by itself.
fn tie(a: Slot, b: Slot) -> Ordering {
    b.cmp(&a)
}

/// All candidates by distances in 64 bits.
fn truth(scan: &Scan<'_>, query: &PreparedVector) -> Vec<Neighbour> {
    let mut all: Vec<Neighbour> = scan
        .rows
        .slots()
        .filter(|slot| scan.among.is_none_or(|among| among.contains(*slot)))
        .map(|slot| Neighbour {
            slot,
            distance: scan.rows.distance_to(scan.metric, query, slot).unwrap(),
        })
        .collect();
    all.sort_by(|a, b| {
        a.distance
            .total_cmp(&b.distance)
            .then_with(|| tie(a.slot, b.slot))
    });
    all
}

/// Vectors that look random, in steps of `1 / steps`, so that with few steps many distances are equal.
fn vectors(count: usize, dimension: usize, steps: f32, scale: f32, seed: u64) -> Vec<Vec<f32>> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let unit = ((state >> 40) as f32) / 16_777_216.0 - 0.4;
        (unit * steps).round() / steps * scale + 0.01 * scale
    };
    (0..count)
        .map(|_| (0..dimension).map(|_| next()).collect())
        .collect()
}

fn table(rows: &[Vec<f32>], metric: Metric, precision: Precision) -> VectorTable {
    let dimension = rows[0].len();
    let mut table = VectorTable::with_precision(dimension, precision);
    for row in rows {
        table
            .push(&metric.prepare(row, dimension).unwrap())
            .unwrap();
    }
    // Holes, some of them filled again.
    for slot in (0..rows.len()).step_by(7) {
        table.remove(Slot(slot as u32));
    }
    for row in rows.iter().step_by(14) {
        table
            .push(&metric.prepare(row, dimension).unwrap())
            .unwrap();
    }
    table
}

fn check(rows: &[Vec<f32>], queries: &[Vec<f32>], metric: Metric, precision: Precision) {
    if metric.check(precision).is_err() {
        return;
    }
    let table = table(rows, metric, precision);
    let dimension = rows[0].len();
    let queries: Vec<PreparedVector> = queries
        .iter()
        .map(|query| metric.prepare_query(query, dimension).unwrap())
        .collect();
    let some: SlotSet = (0..rows.len() as u32)
        .filter(|i| i % 5 < 2)
        .map(Slot)
        .collect();
    for (among, threads) in [(None, 1), (Some(&some), 1), (None, 3), (Some(&some), 2)] {
        let scan = Scan {
            rows: table.rows(),
            metric,
            among,
            threads,
        };
        for k in [1, 10, rows.len() + 5] {
            let each = scan.nearest_to_each(&queries, k, &tie);
            assert_eq!(each.len(), queries.len());
            for (query, found) in queries.iter().zip(each) {
                let mut expect = truth(&scan, query);
                expect.truncate(k);
                assert_eq!(found, expect, "{metric} {precision} {k}");
                assert_eq!(scan.nearest(query, k, &tie), expect);
            }
        }
        let query = &queries[0];
        let all = truth(&scan, query);
        for at in [0, all.len() / 3, all.len() - 1] {
            let bound = all[at].distance;
            let mut expect = all.clone();
            expect.retain(|neighbour| neighbour.distance <= bound);
            assert_eq!(scan.within(query, bound, usize::MAX, &tie), expect);
            expect.truncate(3);
            assert_eq!(scan.within(query, bound, 3, &tie), expect);
        }
        let below = scan.within(query, all[0].distance.next_down(), 9, &tie);
        assert_eq!(below, []);
        assert_eq!(scan.within(query, f64::NAN, 9, &tie), []);
        assert_eq!(scan.within(query, f64::INFINITY, usize::MAX, &tie), all);
        assert_eq!(scan.nearest(query, 0, &tie), []);
    }
}

#[test]
fn scans_agree_with_sorting() {
    for metric in Metric::ALL {
        for precision in Precision::ALL {
            for dimension in [1, 3, 61, 130] {
                let rows = vectors(300, dimension, 1e6, 1.0, 1);
                check(
                    &rows,
                    &vectors(11, dimension, 1e6, 1.0, 2),
                    metric,
                    precision,
                );
            }
            // Few different vectors: most distances are equal.
            check(
                &vectors(700, 2, 3.0, 1.0, 3),
                &vectors(5, 2, 3.0, 1.0, 4),
                metric,
                precision,
            );
        }
    }
}

#[test]
fn rows_of_many_pages_and_pages_of_few_rows() {
    // One row is more than a page, and four are one; in between, a page holds part of a word of slots.
    for dimension in [65_536, 16_000, 2_000] {
        let rows = vectors(40, dimension, 1e6, 1.0, 5);
        let queries = vectors(3, dimension, 1e6, 1.0, 6);
        check(&rows, &queries, Metric::Euclidean, Precision::F32);
    }
    let rows = vectors(20_000, 2, 50.0, 1.0, 7);
    let table = table(&rows, Metric::Manhattan, Precision::F32);
    let query = Metric::Manhattan.prepare_query(&[0.1, 0.1], 2).unwrap();
    for threads in [1, 2, 9] {
        let scan = Scan {
            rows: table.rows(),
            metric: Metric::Manhattan,
            among: None,
            threads,
        };
        let mut expect = truth(&scan, &query);
        expect.truncate(500);
        assert_eq!(scan.nearest(&query, 500, &tie), expect);
    }
    let empty = VectorTable::new(2);
    let scan = Scan {
        rows: empty.rows(),
        metric: Metric::Manhattan,
        among: None,
        threads: 4,
    };
    assert_eq!(scan.nearest(&query, 5, &tie), []);
    assert_eq!(scan.nearest_to_each(&[query], 5, &tie), [[]]);
    assert!(scan.nearest_to_each(&[], 5, &tie).is_empty());
}

#[test]
fn what_underflows_and_what_nearly_overflows_is_told_apart() {
    for metric in Metric::ALL {
        for scale in [1e-44, 1e-38, 1e-25, 1e-19, 1e17] {
            let rows = vectors(200, 3, 1e3, scale, 8);
            let queries = vectors(2, 3, 1e3, scale, 9);
            check(&rows, &queries, metric, metric.precision());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn scans_agree_with_sorting_whatever_the_vectors(
        rows in prop::collection::vec(prop::collection::vec(-1e3..1e3_f32, 5), 1..90),
        query in prop::collection::vec(-1e3..1e3_f32, 5),
        metric in prop::sample::select(Metric::ALL.to_vec()),
        precision in prop::sample::select(Precision::ALL.to_vec()),
    ) {
        check(&rows, &[query], metric, precision);
    }
}

#[test]
fn codes_find_999_of_1000() {
    for metric in Metric::ALL {
        let dimension = 48;
        let rows = vectors(4_000, dimension, 1e6, 1.0, 10);
        let table = table(&rows, metric, metric.precision());
        let codes = ScanCodes::build(table.rows(), metric);
        let (mut right, mut all) = (0, 0);
        for (at, query) in vectors(100, dimension, 1e6, 1.0, 11).iter().enumerate() {
            let query = metric.prepare_query(query, dimension).unwrap();
            let scan = Scan {
                rows: table.rows(),
                metric,
                among: None,
                threads: 1 + at % 2,
            };
            let truth = scan.nearest(&query, 10, &tie);
            let found = codes.nearest(&scan, &query, 10, &tie);
            assert_eq!(found.len(), 10);
            all += truth.len();
            right += truth.iter().filter(|hit| found.contains(hit)).count();
        }
        assert!(right * 1_000 >= all * 999, "{metric}: {right} of {all}");
        assert!(codes.bytes() * 3 / 2 < table.rows().bytes());
    }
}

#[test]
fn codes_of_few_or_equal_vectors() {
    for metric in Metric::ALL {
        for (count, steps) in [(1, 1e6), (9, 1.0), (300, 1.0)] {
            let rows = vectors(count + 1, 3, steps, 1.0, 12);
            let precision = if metric.compares_bits() {
                Precision::Bits
            } else {
                Precision::I8
            };
            let table = table(&rows, metric, precision);
            let codes = ScanCodes::build(table.rows(), metric);
            let some: SlotSet = (0..20).map(Slot).collect();
            let query = metric.prepare_query(&[0.3, 0.1, -0.2], 3).unwrap();
            for among in [None, Some(&some)] {
                let scan = Scan {
                    rows: table.rows(),
                    metric,
                    among,
                    threads: 1,
                };
                let found = codes.nearest(&scan, &query, 4, &tie);
                assert_eq!(found.len(), truth(&scan, &query).len().min(4));
            }
        }
    }
}

#[test]
fn a_function_of_the_callers_own_ranks() {
    for (precision, dimension) in [
        (Precision::F32, 5),
        (Precision::F16, 40),
        (Precision::I8, 130),
        (Precision::Bits, 70),
    ] {
        let rows = vectors(3_000, dimension, 1e6, 1.0, 13);
        let metric = if precision == Precision::Bits {
            Metric::Hamming
        } else {
            Metric::Manhattan
        };
        let table = table(&rows, metric, precision);
        let query = vectors(1, dimension, 1e6, 1.0, 14).remove(0);
        let prepared = metric.prepare_query(&query, dimension).unwrap();
        let some: SlotSet = (0..3_000).step_by(3).map(Slot).collect();
        for (among, threads) in [(None, 1), (Some(&some), 3)] {
            let scan = Scan {
                among,
                threads,
                ..Scan::new(table.rows(), metric).unwrap()
            };
            for k in [0, 1, 20, usize::MAX] {
                // A metric that there is, by another way.
                let own = |a: &[f32], b: &[f32]| metric.distance(a, b);
                let query = &prepared.values[..dimension];
                let found = scan.nearest_by(query, k, own, &tie).unwrap();
                let expect = scan.nearest(&prepared, k, &tie);
                assert_eq!(found.len(), expect.len());
                for (found, expect) in found.iter().zip(&expect) {
                    assert_eq!(found.slot, expect.slot, "{precision} {k}");
                    assert!((found.distance - expect.distance).abs() < 1e-9);
                }
            }
        }
    }
}

#[test]
fn t28_a_function_that_answers_nan_is_told_of() {
    let rows = vectors(3_000, 2, 1e6, 1.0, 15);
    let table = table(&rows, Metric::Euclidean, Precision::F32);
    let first = |a: &[f32], b: &[f32]| f64::from(a[0] - b[0]).abs();
    let bad = |count: usize| {
        // Everything from a distance on is NaN.
        let mut distances: Vec<f64> = table
            .rows()
            .slots()
            .map(|slot| first(&[0.0], table.rows().row(slot).unwrap()))
            .collect();
        distances.sort_by(f64::total_cmp);
        distances[distances.len() - count]
    };
    for threads in [1, 4] {
        let scan = Scan {
            threads,
            ..Scan::new(table.rows(), Metric::Euclidean).unwrap()
        };
        for count in [1, 500] {
            let bound = bad(count);
            let function = |a: &[f32], b: &[f32]| {
                let distance = first(a, b);
                if distance < bound { distance } else { f64::NAN }
            };
            let error = scan.nearest_by(&[0.0, 0.0], 3, function, &tie).unwrap_err();
            let slot = table
                .rows()
                .slots()
                .find(|slot| first(&[0.0], table.rows().row(*slot).unwrap()) >= bound)
                .unwrap();
            assert_eq!(error.kind(), common::ErrorKind::Invalid);
            let place = format!("slot {} ", slot.0);
            assert!(error.to_string().contains(&place), "{error} {place}");
        }
        // Infinities are in order.
        let ends = |_: &[f32], b: &[f32]| f64::from(b[0]) / 0.0;
        let found = scan.nearest_by(&[0.0, 0.0], 5_000, ends, &tie).unwrap();
        assert_eq!(found.len(), table.rows().len());
        assert!(found.is_sorted_by(|a, b| a.distance < b.distance
            || a.distance.total_cmp(&b.distance).is_eq() && tie(a.slot, b.slot).is_lt()));
        assert!(scan.nearest_by(&[0.0], 1, first, &tie).is_err());
    }
}
