//! Vectors of bits: stored as such, compared by counting, found by every index that has them.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::float_cmp,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking, and counts are exact"
)]

use common::schema::FieldType;
use common::{ErrorKind, Row, Slot, Vector, VectorElement, row};
use vectordb::core::{Precision, VectorTable};
use vectordb::{
    ClusteredOptions, GraphOptions, Index, IndexOptions, Layout, Method, Metric, Scan, Search,
    VectorDb, VectorOptions, evaluate, unwatched,
};

const BITS: [Metric; 2] = [Metric::Hamming, Metric::Jaccard];

/// Vectors of zeros and ones, each near one of some centres.
fn vectors(count: usize, dimension: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 40
    };
    let one = |group: u64, at: usize| (group * 31 + at as u64 * 17 + at as u64 / 7) % 5 < 2;
    (0..count)
        .map(|_| {
            let group = next() % 20;
            (0..dimension)
                .map(|at| {
                    let is_turned = next() % 6 == 0;
                    f32::from(u8::from(one(group, at) ^ is_turned))
                })
                .collect()
        })
        .collect()
}

fn table(rows: &[Vec<f32>]) -> VectorTable {
    let mut table = VectorTable::with_precision(rows[0].len(), Precision::Bits);
    for row in rows {
        table.push(row).unwrap();
    }
    table
}

fn tie(a: Slot, b: Slot) -> std::cmp::Ordering {
    a.cmp(&b)
}

#[test]
fn scans_agree_with_the_formula_on_the_vectors_as_given() {
    for dimension in [1, 64, 100, 10_000] {
        let rows = vectors(200, dimension, 3);
        let queries = vectors(9, dimension, 4);
        let table = table(&rows);
        for metric in BITS {
            let prepared: Vec<_> = queries
                .iter()
                .map(|query| metric.prepare_query(query, dimension).unwrap())
                .collect();
            let scan = Scan::new(table.rows(), metric).unwrap();
            let each = scan.nearest_to_each(&prepared, 7, &tie);
            for ((query, prepared), found) in queries.iter().zip(&prepared).zip(each) {
                let mut truth: Vec<(f64, u32)> = (0..)
                    .zip(&rows)
                    .map(|(slot, row)| (evaluate::distance(metric, query, row), slot))
                    .collect();
                // In steps finer than any difference, so that rounding makes no order.
                truth.sort_by_key(|(distance, slot)| ((distance * 1e11).round() as i64, *slot));
                assert_eq!(found, scan.nearest(prepared, 7, &tie));
                for (hit, (distance, slot)) in found.iter().zip(&truth) {
                    assert_eq!(hit.slot.0, *slot, "{metric} {dimension}");
                    assert!((hit.distance - distance).abs() < 1e-12);
                }
                let bound = found[5].distance;
                let within = scan.within(prepared, bound, usize::MAX, &tie);
                let expect = truth.iter().filter(|(d, _)| *d <= bound + 1e-12).count();
                assert_eq!(within.len(), expect);
            }
        }
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    let floats = VectorTable::new(3);
    let bits = VectorTable::with_precision(3, Precision::Bits);
    for metric in Metric::ALL {
        let (good, bad) = if metric.compares_bits() {
            (&bits, &floats)
        } else {
            (&floats, &bits)
        };
        assert!(Scan::new(good.rows(), metric).is_ok());
        let error = Scan::new(bad.rows(), metric).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(metric.name()), "{error}");
        let built = Index::build(&IndexOptions::Exact, metric, bad.rows(), &unwatched);
        assert_eq!(built.unwrap_err().kind(), ErrorKind::Unsupported);
    }
    // Whoever fills in a scan by hand finds nothing.
    let mut rows = VectorTable::new(3);
    rows.push(&[1.0, 0.0, 1.0]);
    let scan = Scan {
        metric: Metric::Hamming,
        ..Scan::new(rows.rows(), Metric::Dot).unwrap()
    };
    let query = Metric::Hamming.prepare_query(&[1.0, 0.0, 1.0], 3).unwrap();
    assert_eq!(scan.nearest(&query, 1, &tie), []);
    for metric in BITS {
        for options in [
            IndexOptions::Graph(GraphOptions::new(Layout::Fast)),
            IndexOptions::Clustered(ClusteredOptions::default()),
        ] {
            let error = Index::new(&options, metric).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
        }
    }
}

#[test]
fn a_graph_of_bits_finds_nearly_all() {
    let (rows, queries) = (vectors(4_000, 200, 5), vectors(50, 200, 6));
    let mut table = table(&rows);
    for metric in BITS {
        let options = IndexOptions::Graph(GraphOptions::default());
        let mut index = Index::build(&options, metric, table.rows(), &unwatched).unwrap();
        // Codes are the bits: a line a vector.
        assert!(
            index
                .bytes()
                .iter()
                .any(|(part, bytes)| *part == "codes" && *bytes < 4_000 * 80)
        );
        for at in 0..20 {
            index.remove(table.rows(), Slot(at));
            table.remove(Slot(at));
        }
        for row in &rows[..20] {
            let slot = table.push(row).unwrap();
            index.insert(table.rows(), slot);
        }
        let scan = Scan::new(table.rows(), metric).unwrap();
        let mut found = 0;
        for query in &queries {
            let query = metric.prepare_query(query, 200).unwrap();
            let worst = scan.nearest(&query, 10, &tie)[9].distance;
            let near = index.nearest(table.rows(), &query, 10, None, None).unwrap();
            found += near.iter().filter(|hit| hit.distance <= worst).count();
        }
        assert!(found > 480, "{metric}: {found} of 500");
    }
}

#[test]
fn a_collection_of_bits() {
    let db = VectorDb::new();
    let graph = IndexOptions::Graph(GraphOptions::default());
    let options = VectorOptions::new(100, Metric::Hamming).index(graph);
    let things = db.create_collection("things", options, []).unwrap();
    let column = &things.schema().fields[1];
    let expect = FieldType::Vector {
        element: VectorElement::Binary,
        dimension: Some(100),
    };
    assert_eq!(column.ty, expect);
    let rows = vectors(2_500, 100, 7);
    let numbered = (0_i64..)
        .zip(&rows)
        .map(|(id, row)| (id, row.clone(), Row::new()));
    things.upsert_all(numbered).unwrap();
    assert_eq!(things.vector(7).as_ref(), Some(&rows[7]));
    let search = Search::new(rows[7].clone(), 3);
    assert_eq!(things.explain(&search).unwrap().method, Method::Graph);
    assert_eq!(things.search(&search).unwrap().hits[0].distance, 0.0);
    // What is above zero is 1; rows also come through the table, as binary vectors.
    let mut halves = vec![-2.0; 100];
    halves[..50].fill(0.5);
    things.upsert(9_000, halves, Row::new()).unwrap();
    let mut bytes = vec![0_u8; 13];
    bytes[..6].fill(0xff);
    let binary = Vector::binary(100, bytes).unwrap();
    things
        .table()
        .upsert(row! { "id": 9_001, "vector": binary })
        .unwrap();
    let mut query = vec![0.0; 100];
    query[..49].fill(1.0);
    let hits = things.search(&Search::new(query.clone(), 2)).unwrap().hits;
    let found: Vec<_> = hits
        .iter()
        .map(|hit| (hit.id.clone(), hit.distance))
        .collect();
    assert_eq!(found, [(9_000.into(), 1.0), (9_001.into(), 1.0)]);
    // Random bits are as hard to find as vectors can be: all are about equally far.
    let queries = vectors(50, 100, 8);
    let recall = evaluate::recall(&things, &queries, 5).unwrap();
    assert!(recall > 0.8, "{recall}");
    query[3] = f32::NAN;
    assert_eq!(
        things.search(&Search::new(query, 2)).unwrap_err().kind(),
        ErrorKind::Invalid
    );
    // Floats in the table's own column of floats are no bits.
    let error = db
        .open_collection("things", VectorOptions::new(100, Metric::Dot))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}
