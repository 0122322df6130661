//! Times of exact scans on this processor: `cargo run --release -p tandemdb-vectordb --example scan -- ROWS
//! DIMENSION THREADS`, by default 2,000 rows of 128 whole numbers of a byte on one thread; 60000 784 1 says more.

#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a program that prints figures to look at"
)]

use std::cmp::Ordering;
use std::time::Instant;

use common::Slot;
use vectordb::core::distance::PreparedVector;
use vectordb::core::{Precision, VectorTable};
use vectordb::{Metric, Scan, ScanCodes};

const HITS: usize = 10;
const QUERIES: usize = 100;

fn tie(a: Slot, b: Slot) -> Ordering {
    a.cmp(&b)
}

/// Seconds of the median of some runs.
fn median(mut run: impl FnMut()) -> f64 {
    let mut seconds: Vec<f64> = (0..7)
        .map(|_| {
            let begin = Instant::now();
            run();
            begin.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied().unwrap_or_default()
}

fn main() -> common::Result<()> {
    let mut numbers = std::env::args().skip(1).map(|word| word.parse());
    let mut number = |default| match numbers.next() {
        Some(Ok(number)) => number,
        _ => default,
    };
    let (count, dimension, threads): (usize, usize, usize) =
        (number(2_000), number(128), number(1));
    let mut state = 88_172_645_463_325_252_u64;
    let mut vector = || -> Vec<f32> {
        (0..dimension)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                f32::from(state.to_le_bytes()[3])
            })
            .collect()
    };
    let metric = Metric::Euclidean;
    let rows: Vec<Vec<f32>> = (0..count).map(|_| vector()).collect();
    let queries: Vec<PreparedVector> = (0..QUERIES)
        .map(|_| metric.prepare_query(&vector(), dimension))
        .collect::<common::Result<_>>()?;

    let pairs = (count * QUERIES) as f64;
    let report = |name: &str, seconds: f64, base: f64| {
        println!(
            "{name:<22} {:9.3} ms a query  {:7.2} ns a pair  {:5.2} times the single scan of f32",
            seconds / QUERIES as f64 * 1e3,
            seconds / pairs * 1e9,
            base / seconds
        );
    };
    let mut base = None;
    for precision in [Precision::F32, Precision::F16, Precision::I8] {
        let mut table = VectorTable::with_precision(dimension, precision);
        for row in &rows {
            table.push(row);
        }
        let scan = Scan {
            threads,
            ..Scan::new(table.rows(), metric)?
        };
        let single = median(|| {
            for query in &queries {
                assert_eq!(scan.nearest(query, HITS, &tie).len(), HITS);
            }
        });
        let base = *base.get_or_insert(single);
        report(&format!("{precision}, single"), single, base);
        let batch = median(|| {
            let found = scan.nearest_to_each(&queries, HITS, &tie);
            assert_eq!(found.len(), QUERIES);
        });
        report(&format!("{precision}, {QUERIES} at once"), batch, base);
        if precision == Precision::F32 {
            let codes = ScanCodes::build(table.rows(), metric);
            let by_codes = median(|| {
                for query in &queries {
                    assert_eq!(codes.nearest(&scan, query, HITS, &tie).len(), HITS);
                }
            });
            report("codes, single", by_codes, base);
        }
    }
    Ok(())
}
