//! Tails and quantiles of the normal, Student's t and chi-square distributions.

use statrs::function::beta::beta_reg;
use statrs::function::erf::{erfc, erfc_inv};
use statrs::function::gamma::gamma_ur;

/// The probability above `z` under the standard normal distribution.
pub(super) fn normal_above(z: f64) -> f64 {
    0.5 * erfc(z / std::f64::consts::SQRT_2)
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
    beta_reg(degrees / 2.0, 0.5, degrees / (degrees + t * t))
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

/// The `t` outside whose `-t..t` Student's distribution has probability `p`.
pub(super) fn student_outer(p: f64, degrees: f64) -> f64 {
    // Between bounds that hold it; the tail falls all the way.
    let (mut low, mut high) = (0.0, 1.0);
    while student_outside(high, degrees) > p && high < 1e300 {
        low = high;
        high *= 2.0;
    }
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            break;
        }
        if student_outside(middle, degrees) > p {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// The probability above `x` under the chi-square distribution.
pub(super) fn chi_square_above(x: f64, degrees: f64) -> f64 {
    if x <= 0.0 {
        1.0
    } else {
        gamma_ur(degrees / 2.0, x / 2.0)
    }
}
