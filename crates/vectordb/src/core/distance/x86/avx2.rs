//! Kernels over rows of numbers for AVX2.

use std::arch::x86_64::{
    __m256, _mm_cvtsi64_si128, _mm256_add_ps, _mm256_andnot_ps, _mm256_cvtepi8_epi32,
    _mm256_cvtepi32_ps, _mm256_cvtph_ps, _mm256_fmadd_ps, _mm256_max_ps, _mm256_mul_ps,
    _mm256_set1_ps, _mm256_setzero_ps, _mm256_sub_ps,
};

use super::{Avx2, entry};
use crate::core::distance::kernels::{Form, RowKernels};
use crate::core::distance::rows::{chunks, kernels};
use crate::core::distance::scalar::Kernel;
use crate::core::{Line, Precision};

type Register = __m256;
const LANES: usize = 8;

/// The kernels for rows of a precision.
pub(in super::super) fn rows(_: Avx2, form: Form, precision: Precision) -> RowKernels {
    match (form, precision) {
        (Form::Squared, Precision::F32) => squared_f32::all(),
        (Form::Squared, Precision::F16) => squared_f16::all(),
        (Form::Squared, Precision::I8) => squared_i8::all(),
        (Form::Product, Precision::F32) => product_f32::all(),
        (Form::Product, Precision::F16) => product_f16::all(),
        (Form::Product, Precision::I8) => product_i8::all(),
        (Form::Absolute, Precision::F32) => absolute_f32::all(),
        (Form::Absolute, Precision::F16) => absolute_f16::all(),
        (Form::Absolute, Precision::I8) => absolute_i8::all(),
        (Form::Greatest, Precision::F32) => greatest_f32::all(),
        (Form::Greatest, Precision::F16) => greatest_f16::all(),
        (Form::Greatest, Precision::I8) => greatest_i8::all(),
        (_, Precision::Bits) => RowKernels::NONE,
    }
}

/// The kernel over plain floats.
pub(in super::super) fn flat(_: Avx2, form: Form) -> Kernel {
    entry!(squared = squared_f32::one, (a: &[f32], b: &[f32]) -> f32);
    entry!(product = product_f32::one, (a: &[f32], b: &[f32]) -> f32);
    entry!(absolute = absolute_f32::one, (a: &[f32], b: &[f32]) -> f32);
    entry!(greatest = greatest_f32::one, (a: &[f32], b: &[f32]) -> f32);
    match form {
        Form::Squared => squared,
        Form::Product => product,
        Form::Absolute => absolute,
        Form::Greatest => greatest,
    }
}

/// Two queries at once: sixteen distances would fill all of the 16 registers.
macro_rules! tiled {
    ($block:ident, $queries:expr, $rows:expr, $scales:ident) => {{
        let ([a, b, c, d], rows) = ($queries, $rows);
        let [[a, b], [c, d]] = [
            $block::<2>([a, b], rows, $scales),
            $block::<2>([c, d], rows, $scales),
        ];
        [a, b, c, d]
    }};
}

macro_rules! kinds {
    ($($name:ident: $element:ty, $scale:ident, $widen:ident, $last:ident, $step:ident, $merge:ident, $finish:ident;)+) => {
        $(kernels!("avx2,fma,f16c", $name, $element, $scale, $widen, $last, $step, $merge, $finish);)+
    };
}

kinds! {
    squared_f32: f32, none, f32s, f32s, squared, add, sum;
    squared_f16: u16, none, f16s, f16s, squared, add, sum;
    squared_i8: i8, scale, i8s, last_i8s, squared, add, sum;
    product_f32: f32, none, f32s, f32s, product, add, negative_sum;
    product_f16: u16, none, f16s, f16s, product, add, negative_sum;
    product_i8: i8, scale, i8s, last_i8s, product, add, negative_sum;
    absolute_f32: f32, none, f32s, f32s, absolute, add, sum;
    absolute_f16: u16, none, f16s, f16s, absolute, add, sum;
    absolute_i8: i8, scale, i8s, last_i8s, absolute, add, sum;
    greatest_f32: f32, none, f32s, f32s, greatest, most, maximum;
    greatest_f16: u16, none, f16s, f16s, greatest, most, maximum;
    greatest_i8: i8, scale, i8s, last_i8s, greatest, most, maximum;
}

macro_rules! helpers {
    ($($(#[$doc:meta])* fn $name:ident($($argument:ident: $kind:ty),*) -> $result:ty $body:block)+) => {
        $(
            $(#[$doc])*
            #[inline]
            #[target_feature(enable = "avx2,fma,f16c")]
            fn $name($($argument: $kind),*) -> $result $body
        )+
    };
}

helpers! {
    fn zero() -> __m256 {
        _mm256_setzero_ps()
    }

    fn load(floats: &[f32; 8]) -> __m256 {
        bytemuck::cast(*floats)
    }

    fn scale(row: &[i8]) -> __m256 {
        let last = row.last_chunk::<4>();
        _mm256_set1_ps(last.map_or(0.0, |bytes| f32::from_le_bytes(bytemuck::cast(*bytes))))
    }

    fn f32s(floats: &[f32; 8], _scale: __m256) -> __m256 {
        bytemuck::cast(*floats)
    }

    fn f16s(halves: &[u16; 8], _scale: __m256) -> __m256 {
        _mm256_cvtph_ps(bytemuck::cast(*halves))
    }

    fn i8s(bytes: &[i8; 8], scale: __m256) -> __m256 {
        scaled(bytemuck::cast(*bytes), scale)
    }

    /// Without the scale, which is the last four.
    fn last_i8s(bytes: &[i8; 8], scale: __m256) -> __m256 {
        let [low, _]: [u32; 2] = bytemuck::cast(*bytes);
        scaled(i64::from(low), scale)
    }

    /// Eight signed bytes, the first in the lowest place.
    fn scaled(bytes: i64, scale: __m256) -> __m256 {
        let integers = _mm256_cvtepi8_epi32(_mm_cvtsi64_si128(bytes));
        _mm256_mul_ps(_mm256_cvtepi32_ps(integers), scale)
    }

    fn squared(sum: __m256, a: __m256, b: __m256) -> __m256 {
        let difference = _mm256_sub_ps(a, b);
        _mm256_fmadd_ps(difference, difference, sum)
    }

    fn product(sum: __m256, a: __m256, b: __m256) -> __m256 {
        _mm256_fmadd_ps(a, b, sum)
    }

    fn magnitude(a: __m256) -> __m256 {
        _mm256_andnot_ps(_mm256_set1_ps(-0.0), a)
    }

    fn absolute(sum: __m256, a: __m256, b: __m256) -> __m256 {
        _mm256_add_ps(sum, magnitude(_mm256_sub_ps(a, b)))
    }

    fn greatest(most: __m256, a: __m256, b: __m256) -> __m256 {
        _mm256_max_ps(most, magnitude(_mm256_sub_ps(a, b)))
    }

    fn add(a: __m256, b: __m256) -> __m256 {
        _mm256_add_ps(a, b)
    }

    fn most(a: __m256, b: __m256) -> __m256 {
        _mm256_max_ps(a, b)
    }

    fn sum(lanes: __m256) -> f32 {
        let [low, high]: [[f32; 4]; 2] = bytemuck::cast(lanes);
        let mut four = low;
        for (sum, lane) in four.iter_mut().zip(high) {
            *sum += lane;
        }
        let [a, b, c, d] = four;
        (a + b) + (c + d)
    }

    fn negative_sum(lanes: __m256) -> f32 {
        -sum(lanes)
    }

    fn maximum(lanes: __m256) -> f32 {
        let lanes: [f32; 8] = bytemuck::cast(lanes);
        lanes.into_iter().fold(0.0, f32::max)
    }
}

/// No scale.
#[inline]
#[target_feature(enable = "avx2")]
fn none<T>(_: &[T]) -> __m256 {
    _mm256_setzero_ps()
}
