//! Tails and quantiles of the normal, Student's t and chi-square distributions.

use statrs::function::beta::beta_reg;
use statrs::function::erf::erfc_inv;
use statrs::function::gamma::{gamma_ur, ln_gamma};

/// The probability above `z` under the standard normal distribution.
pub(super) fn normal_above(z: f64) -> f64 {
    // That of statrs is right to ten digits only.
    0.5 * libm::erfc(z / std::f64::consts::SQRT_2)
}

/// The `z` above which the standard normal distribution has probability `p`.
pub(super) fn normal_upper(p: f64) -> f64 {
    let mut z = std::f64::consts::SQRT_2 * erfc_inv(2.0 * p);
    // The approximation of the crate has an error of 1e-11 here and there: one step of Newton's.
    let density = (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if density > 0.0 {
        z += (normal_above(z) - p) / density;
    }
    z
}

/// The probability outside `-t..t` under Student's distribution.
pub(super) fn student_outside(t: f64, degrees: f64) -> f64 {
    let t = t.abs();
    if t.is_infinite() {
        return 0.0;
    }
    if degrees > LARGE {
        return student_large(t, degrees);
    }
    let sum = degrees + t * t;
    if t < 1.0 {
        // `degrees / sum` is so near 1 that what it is below 1 has few digits.
        return 1.0 - beta_reg(0.5, degrees / 2.0, t * t / sum);
    }
    beta_reg(degrees / 2.0, 0.5, degrees / sum)
}

/// Above so many degrees of freedom the logarithms of the gamma function leave less than ten digits.
const LARGE: f64 = 30_000.0;

/// Student's distribution as a series in `1 / degrees` around the normal one (Fisher 1925); the error is of the fifth
/// order, below 1e-10 of the tail up to `t = 7`, where p is 1e-12.
fn student_large(t: f64, degrees: f64) -> f64 {
    let s = t * t;
    let one = (s + 1.0) / 4.0;
    let two = (((3.0 * s - 7.0) * s - 5.0) * s - 3.0) / 96.0;
    let three = (((((s - 11.0) * s + 14.0) * s + 6.0) * s - 3.0) * s - 15.0) / 384.0;
    let four = (((((((15.0 * s - 375.0) * s + 2225.0) * s - 2141.0) * s - 939.0) * s - 213.0) * s
        - 915.0)
        * s
        + 945.0)
        / 92_160.0;
    let inverse = 1.0 / degrees;
    let series = inverse * (one + inverse * (two + inverse * (three + inverse * four)));
    let density = (-0.5 * s).exp() / (2.0 * std::f64::consts::PI).sqrt();
    2.0 * (normal_above(t) + density * t * series)
}

/// The density of Student's distribution at `t`.
fn student_density(t: f64, degrees: f64) -> f64 {
    let half = f64::midpoint(degrees, 1.0);
    let shape = (-half * (t * t / degrees).ln_1p()).exp();
    if degrees > LARGE {
        // Less than 1e-5 of it away.
        return shape / (2.0 * std::f64::consts::PI).sqrt();
    }
    let scale = (ln_gamma(half) - ln_gamma(degrees / 2.0)).exp();
    shape * scale / (degrees * std::f64::consts::PI).sqrt()
}

/// The `t` outside whose `-t..t` Student's distribution has probability `p`.
pub(super) fn student_outer(p: f64, degrees: f64) -> f64 {
    // Between bounds that hold it; the tail falls all the way.
    let (mut low, mut high) = (0.0, 1.0);
    while student_outside(high, degrees) > p && high < 1e300 {
        low = high;
        high *= 2.0;
    }
    // Newton's steps from below, where the tail is convex and they never go too far; halves if rounding says otherwise.
    let mut t: f64 = low;
    for _ in 0..200 {
        let over = student_outside(t, degrees) - p;
        if over > 0.0 {
            low = t;
        } else {
            high = t;
        }
        let next = t + over / (2.0 * student_density(t, degrees));
        if !(low..=high).contains(&next) {
            t = f64::midpoint(low, high);
            continue;
        }
        let step = (next - t).abs();
        t = next;
        // The next step would be of its square.
        if step <= 1e-9 * t {
            break;
        }
    }
    t
}

/// The probability above `x` under the chi-square distribution.
pub(super) fn chi_square_above(x: f64, degrees: f64) -> f64 {
    if x <= 0.0 {
        1.0
    } else {
        gamma_ur(degrees / 2.0, x / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The finite sum for an even number of degrees (Abramowitz and Stegun 26.7.4).
    fn student_inside(t: f64, degrees: u32) -> f64 {
        let angle = (t / f64::from(degrees).sqrt()).atan();
        let (mut term, mut sum) = (1.0, 1.0);
        for step in 1..degrees / 2 {
            let odd = f64::from(2 * step - 1) / f64::from(2 * step);
            term *= odd * angle.cos() * angle.cos();
            sum += term;
        }
        angle.sin() * sum
    }

    #[test]
    fn the_tail_of_student_is_that_of_the_finite_sum() {
        for degrees in [2, 10, 400, 4_000, 29_000, 31_000] {
            for t in [1e-6, 3e-4, 0.02, 0.5, 0.999, 1.001, 2.0, 3.0] {
                let found = student_outside(t, f64::from(degrees));
                let expected = 1.0 - student_inside(t, degrees);
                assert!(
                    (found - expected).abs() < 1e-11,
                    "{t} {degrees}: {found} for {expected}"
                );
            }
        }
    }

    #[test]
    fn a_quantile_of_student_has_its_tail() {
        for degrees in [1.0, 1.5, 3.0, 30.0, 2_500.5, 29_999.0, 30_001.0, 1e7] {
            for p in [0.999, 0.5, 0.1, 0.05, 1e-3, 1e-9] {
                let t = student_outer(p, degrees);
                let found = student_outside(t, degrees);
                assert!((found / p - 1.0).abs() < 1e-11, "{degrees} {p}: {found}");
            }
        }
    }

    #[test]
    fn a_quantile_of_the_normal_distribution_has_its_tail() {
        for step in 1..2_000 {
            let p = f64::from(step) / 4_000.0;
            for p in [p, p * p * p] {
                let found = normal_above(normal_upper(p));
                assert!((found / p - 1.0).abs() < 1e-13, "{found} for {p}");
            }
        }
    }
}
