//! Kernels over rows of numbers for NEON, eight elements at a time in two registers.

use std::arch::aarch64::{
    float32x4_t, int8x8_t, vabdq_f32, vaddq_f32, vcvt_f32_f16, vcvtq_f32_s32, vdupq_n_f32,
    vfmaq_f32, vget_low_s16, vmaxq_f32, vmovl_high_s16, vmovl_s8, vmovl_s16, vmulq_f32,
    vreinterpret_f16_u16, vsubq_f32,
};

use super::{Neon, entry};
use crate::core::distance::kernels::{Form, RowKernels};
use crate::core::distance::rows::{chunks, kernels};
use crate::core::distance::scalar::Kernel;
use crate::core::{Line, Precision};

type Register = [float32x4_t; 2];
const LANES: usize = 8;

/// The kernels for rows of a precision.
pub(in super::super) fn rows(_: Neon, form: Form, precision: Precision) -> RowKernels {
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
pub(in super::super) fn flat(_: Neon, form: Form) -> Kernel {
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

/// Two queries at once: eight distances and four rows take 24 of the 32 registers.
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
        $(kernels!("neon", $name, $element, $scale, $widen, $last, $step, $merge, $finish);)+
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
            #[target_feature(enable = "neon")]
            fn $name($($argument: $kind),*) -> $result $body
        )+
    };
}

helpers! {
    fn zero() -> Register {
        [vdupq_n_f32(0.0); 2]
    }

    fn load(floats: &[f32; 8]) -> Register {
        bytemuck::cast(*floats)
    }

    fn scale(row: &[i8]) -> Register {
        let last = row.last_chunk::<4>();
        [vdupq_n_f32(last.map_or(0.0, |bytes| f32::from_le_bytes(bytemuck::cast(*bytes)))); 2]
    }

    fn f32s(floats: &[f32; 8], _scale: Register) -> Register {
        bytemuck::cast(*floats)
    }

    fn f16s(halves: &[u16; 8], _scale: Register) -> Register {
        let [low, high]: [std::arch::aarch64::uint16x4_t; 2] = bytemuck::cast(*halves);
        [
            vcvt_f32_f16(vreinterpret_f16_u16(low)),
            vcvt_f32_f16(vreinterpret_f16_u16(high)),
        ]
    }

    fn i8s(bytes: &[i8; 8], scale: Register) -> Register {
        scaled(bytemuck::cast(*bytes), scale)
    }

    /// Without the scale, which is the last four.
    fn last_i8s(bytes: &[i8; 8], scale: Register) -> Register {
        let [a, b, c, d, ..] = *bytes;
        scaled(bytemuck::cast([a, b, c, d, 0, 0, 0, 0]), scale)
    }

    fn scaled(bytes: int8x8_t, scale: Register) -> Register {
        let words = vmovl_s8(bytes);
        let (low, high) = (vmovl_s16(vget_low_s16(words)), vmovl_high_s16(words));
        let [by, _] = scale;
        [
            vmulq_f32(vcvtq_f32_s32(low), by),
            vmulq_f32(vcvtq_f32_s32(high), by),
        ]
    }

    fn squared(sum: Register, a: Register, b: Register) -> Register {
        let ([a, c], [b, d]) = (a, b);
        let differences = [vsubq_f32(a, b), vsubq_f32(c, d)];
        product(sum, differences, differences)
    }

    fn product(sum: Register, a: Register, b: Register) -> Register {
        let ([low, high], [a, c], [b, d]) = (sum, a, b);
        [vfmaq_f32(low, a, b), vfmaq_f32(high, c, d)]
    }

    fn absolute(sum: Register, a: Register, b: Register) -> Register {
        let ([a, c], [b, d]) = (a, b);
        add(sum, [vabdq_f32(a, b), vabdq_f32(c, d)])
    }

    fn greatest(so_far: Register, a: Register, b: Register) -> Register {
        let ([a, c], [b, d]) = (a, b);
        most(so_far, [vabdq_f32(a, b), vabdq_f32(c, d)])
    }

    fn add(a: Register, b: Register) -> Register {
        let ([a, c], [b, d]) = (a, b);
        [vaddq_f32(a, b), vaddq_f32(c, d)]
    }

    fn most(a: Register, b: Register) -> Register {
        let ([a, c], [b, d]) = (a, b);
        [vmaxq_f32(a, b), vmaxq_f32(c, d)]
    }

    fn sum(lanes: Register) -> f32 {
        let [low, high] = lanes;
        let [a, b, c, d]: [f32; 4] = bytemuck::cast(vaddq_f32(low, high));
        (a + b) + (c + d)
    }

    fn negative_sum(lanes: Register) -> f32 {
        -sum(lanes)
    }

    fn maximum(lanes: Register) -> f32 {
        let lanes: [f32; 8] = bytemuck::cast(lanes);
        lanes.into_iter().fold(0.0, f32::max)
    }
}

/// No scale.
#[inline]
#[target_feature(enable = "neon")]
fn none<T>(_: &[T]) -> Register {
    [vdupq_n_f32(0.0); 2]
}
