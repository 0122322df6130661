//! Every kernel of every level that this processor has, against sums in 64 bits.

#![expect(clippy::cast_precision_loss, reason = "small numbers")]

use super::*;
use crate::core::LINE_BYTES;
use crate::core::distance::scalar::LANES;
use crate::core::floats::Floats;

const NUMBERS: [Precision; 3] = [Precision::F32, Precision::F16, Precision::I8];
const FORMS: [Form; 4] = [Form::Squared, Form::Product, Form::Absolute, Form::Greatest];

/// The sum in 64 bits, and the sum of the magnitudes of its terms.
fn truth(form: Form, a: &[f32], b: &[f32]) -> (f64, f64) {
    let pairs = a.iter().zip(b).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    let differences = pairs.clone().map(|(a, b)| (a - b).abs());
    let sum = match form {
        Form::Squared => differences.map(|d| d * d).sum(),
        Form::Absolute => differences.sum(),
        Form::Greatest => differences.fold(0.0, f64::max),
        Form::Product => {
            let terms = pairs.clone().map(|(a, b)| (a * b).abs()).sum();
            return (-pairs.map(|(a, b)| a * b).sum::<f64>(), terms);
        }
    };
    (sum, sum)
}

/// What [`scalar`] states, and half a unit in the last place of the smallest floats for each element.
fn tolerance(dimension: usize, terms: f64) -> f64 {
    let steps = (dimension / LANES + 8) as f64;
    steps * 2.0_f64.powi(-23) * terms + dimension as f64 * 2.0_f64.powi(-149)
}

/// Four vectors that look random.
fn vectors(dimension: usize, scale: f32, seed: u64) -> [Vec<f32>; 4] {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (((state >> 40) as f32) / 16_777_216.0 - 0.3) * scale
    };
    std::array::from_fn(|_| (0..dimension).map(|_| next()).collect())
}

fn check(level: Level, queries: &[Vec<f32>; 4], rows: &[Vec<f32>; 4]) {
    let dimension = queries[0].len();
    for precision in NUMBERS {
        let lines = precision.row_bytes(dimension) / LINE_BYTES;
        let stored: [Vec<Line>; 4] = std::array::from_fn(|i| {
            let mut row = vec![Line::default(); lines];
            precision.encode(&rows[i], &mut row);
            row
        });
        let decoded: [Vec<f32>; 4] = std::array::from_fn(|i| {
            let mut vector = vec![0.0; dimension];
            precision.decode(&stored[i], dimension, &mut vector);
            vector
        });
        let wide: [Floats; 4] = std::array::from_fn(|i| Floats::new(&queries[i]));
        let rows: [&[Line]; 4] = std::array::from_fn(|i| &stored[i][..]);
        for form in FORMS {
            let kernels = RowKernels::at(level, form, precision);
            let tile = (kernels.tile)(std::array::from_fn(|i| wide[i].lines()), rows);
            for (i, tile) in tile.iter().enumerate() {
                let four = (kernels.four)(wide[i].lines(), rows);
                for j in 0..4 {
                    let (expect, terms) = truth(form, &queries[i], &decoded[j]);
                    let mut found = vec![tile[j], four[j]];
                    if (i + j) % 2 == 0 {
                        found.push((kernels.one)(wide[i].lines(), rows[j]));
                    }
                    if precision == Precision::F32 {
                        let (a, b) = (Floats::new(&queries[i]), Floats::new(&decoded[j]));
                        found.push(flat(level, form)(&a, &b));
                    }
                    for (which, found) in found.into_iter().enumerate() {
                        let error = (f64::from(found) - expect).abs();
                        assert!(
                            error <= tolerance(dimension, terms),
                            "{level:?} {form:?} {precision} {dimension} {which}: {found} is not {expect}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn every_level_agrees_with_sums_in_64_bits() {
    assert!(Level::available().count() >= 1);
    for level in Level::available() {
        for dimension in (1..=130).chain([784, 1_536]) {
            let seed = dimension as u64;
            check(
                level,
                &vectors(dimension, 1.0, seed),
                &vectors(dimension, 1.0, seed + 9_000),
            );
        }
    }
}

#[test]
fn long_vectors_are_accurate() {
    for level in Level::available() {
        for dimension in [10_000, 65_536] {
            check(
                level,
                &vectors(dimension, 1.0, 1),
                &vectors(dimension, 1.0, 2),
            );
        }
    }
}

#[test]
fn extreme_magnitudes_are_accurate() {
    for level in Level::available() {
        for dimension in [1, 3, 16, 61, 100, 129] {
            // The largest that metrics let through, the smallest there are, and what lies apart from its query by
            // many orders.
            for (size, other) in [
                (1e17, 1e17),
                (1e-20, 1e-20),
                (1e-40, 1e-40),
                (1e17, 1e-20),
                (1e-7, 60_000.0),
            ] {
                check(
                    level,
                    &vectors(dimension, size, 3),
                    &vectors(dimension, other, 4),
                );
            }
            // Near duplicates keep their digits.
            let queries = vectors(dimension, 100.0, 5);
            let rows = queries
                .clone()
                .map(|v| v.iter().map(|v| v + 1e-3).collect());
            check(level, &queries, &rows);
        }
    }
}

#[test]
fn whole_numbers_are_exact_everywhere() {
    let whole =
        |seed| vectors(300, 60.0, seed).map(|v| v.iter().map(|v| v.round()).collect::<Vec<_>>());
    let (queries, rows) = (whole(6), whole(7));
    for level in Level::available() {
        for precision in NUMBERS {
            let mut row = vec![Line::default(); precision.row_bytes(300) / LINE_BYTES];
            precision.encode(&rows[0], &mut row);
            for form in FORMS {
                let one = RowKernels::at(level, form, precision).one;
                let found = f64::from(one(Floats::new(&queries[0]).lines(), &row));
                let (expect, _) = truth(form, &queries[0], &rows[0]);
                assert_eq!(
                    found.to_bits(),
                    expect.to_bits(),
                    "{level:?} {form:?} {precision}"
                );
            }
        }
    }
}
