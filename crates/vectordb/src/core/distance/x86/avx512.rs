//! Kernels over rows of numbers for AVX-512.

use std::arch::x86_64::{
    __m512, _mm512_abs_ps, _mm512_add_ps, _mm512_cvtepi8_epi32, _mm512_cvtepi32_ps,
    _mm512_cvtph_ps, _mm512_fmadd_ps, _mm512_maskz_cvtepi8_epi32, _mm512_max_ps, _mm512_mul_ps,
    _mm512_reduce_add_ps, _mm512_reduce_max_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_sub_ps,
};

use super::{Avx512, entry};
use crate::core::distance::kernels::{Form, RowKernels};
use crate::core::distance::rows::{chunks, kernels};
use crate::core::distance::scalar::Kernel;
use crate::core::{Line, Precision};

type Register = __m512;
const LANES: usize = 16;

/// The kernels for rows of a precision.
pub(in super::super) fn rows(_: Avx512, form: Form, precision: Precision) -> RowKernels {
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
pub(in super::super) fn flat(_: Avx512, form: Form) -> Kernel {
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

/// Four queries at once: sixteen distances, four rows and a query fit into 32 registers.
macro_rules! tiled {
    ($block:ident, $queries:expr, $rows:expr, $scales:ident) => {
        $block::<4>($queries, $rows, $scales)
    };
}

macro_rules! kinds {
    ($($name:ident: $element:ty, $scale:ident, $widen:ident, $last:ident, $step:ident, $merge:ident, $finish:ident;)+) => {
        $(kernels!("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c", $name, $element, $scale, $widen, $last, $step, $merge, $finish);)+
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
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
            fn $name($($argument: $kind),*) -> $result $body
        )+
    };
}

helpers! {
    fn zero() -> __m512 {
        _mm512_setzero_ps()
    }

    fn load(floats: &[f32; 16]) -> __m512 {
        bytemuck::cast(*floats)
    }

    fn scale(row: &[i8]) -> __m512 {
        let last = row.last_chunk::<4>();
        _mm512_set1_ps(last.map_or(0.0, |bytes| f32::from_le_bytes(bytemuck::cast(*bytes))))
    }

    fn f32s(floats: &[f32; 16], _scale: __m512) -> __m512 {
        bytemuck::cast(*floats)
    }

    fn f16s(halves: &[u16; 16], _scale: __m512) -> __m512 {
        _mm512_cvtph_ps(bytemuck::cast(*halves))
    }

    fn i8s(bytes: &[i8; 16], scale: __m512) -> __m512 {
        let integers = _mm512_cvtepi8_epi32(bytemuck::cast(*bytes));
        _mm512_mul_ps(_mm512_cvtepi32_ps(integers), scale)
    }

    /// Without the scale, which is the last four.
    fn last_i8s(bytes: &[i8; 16], scale: __m512) -> __m512 {
        let integers = _mm512_maskz_cvtepi8_epi32(0x0fff, bytemuck::cast(*bytes));
        _mm512_mul_ps(_mm512_cvtepi32_ps(integers), scale)
    }

    fn squared(sum: __m512, a: __m512, b: __m512) -> __m512 {
        let difference = _mm512_sub_ps(a, b);
        _mm512_fmadd_ps(difference, difference, sum)
    }

    fn product(sum: __m512, a: __m512, b: __m512) -> __m512 {
        _mm512_fmadd_ps(a, b, sum)
    }

    fn absolute(sum: __m512, a: __m512, b: __m512) -> __m512 {
        _mm512_add_ps(sum, _mm512_abs_ps(_mm512_sub_ps(a, b)))
    }

    fn greatest(most: __m512, a: __m512, b: __m512) -> __m512 {
        _mm512_max_ps(most, _mm512_abs_ps(_mm512_sub_ps(a, b)))
    }

    fn add(a: __m512, b: __m512) -> __m512 {
        _mm512_add_ps(a, b)
    }

    fn most(a: __m512, b: __m512) -> __m512 {
        _mm512_max_ps(a, b)
    }

    fn sum(lanes: __m512) -> f32 {
        _mm512_reduce_add_ps(lanes)
    }

    fn negative_sum(lanes: __m512) -> f32 {
        -_mm512_reduce_add_ps(lanes)
    }

    fn maximum(lanes: __m512) -> f32 {
        _mm512_reduce_max_ps(lanes)
    }
}

/// No scale.
#[inline]
#[target_feature(enable = "avx512f")]
fn none<T>(_: &[T]) -> __m512 {
    _mm512_setzero_ps()
}
