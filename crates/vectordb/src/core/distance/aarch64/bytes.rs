//! Kernels over rows of unsigned bytes.

use std::arch::aarch64::{
    uint8x16_t, uint32x4_t, vabdq_u8, vaddq_u32, vaddvq_u32, vdupq_n_u8, vdupq_n_u32, vget_low_u8,
    vmaxq_u8, vmaxvq_u8, vmull_high_u8, vmull_u8, vpadalq_u16, vpaddlq_u8,
};

use super::{Neon, entry};
use crate::core::Line;
use crate::core::distance::bytes::ByteKernels;

/// The kernels for NEON.
pub(in super::super) fn neon(_: Neon) -> ByteKernels {
    entry!(squared = squared_neon, (a: &[Line], b: &[Line]) -> u32);
    entry!(absolute = absolute_neon, (a: &[Line], b: &[Line]) -> u32);
    entry!(greatest = greatest_neon, (a: &[Line], b: &[Line]) -> u32);
    ByteKernels {
        squared,
        absolute,
        greatest,
    }
}

#[inline]
fn quarters(line: &Line) -> [uint8x16_t; 4] {
    bytemuck::cast(line.0)
}

#[target_feature(enable = "neon")]
fn squared_neon(a: &[Line], b: &[Line]) -> u32 {
    let mut sums = [vdupq_n_u32(0); 4];
    for (a, b) in a.iter().zip(b) {
        for (sum, (a, b)) in sums
            .iter_mut()
            .zip(quarters(a).into_iter().zip(quarters(b)))
        {
            let difference = vabdq_u8(a, b);
            let low = vget_low_u8(difference);
            // A square has 16 bits; pairs of them are added in 32.
            *sum = vpadalq_u16(*sum, vmull_u8(low, low));
            *sum = vpadalq_u16(*sum, vmull_high_u8(difference, difference));
        }
    }
    total(sums)
}

#[target_feature(enable = "neon")]
fn absolute_neon(a: &[Line], b: &[Line]) -> u32 {
    let mut sums = [vdupq_n_u32(0); 4];
    for (a, b) in a.iter().zip(b) {
        for (sum, (a, b)) in sums
            .iter_mut()
            .zip(quarters(a).into_iter().zip(quarters(b)))
        {
            *sum = vpadalq_u16(*sum, vpaddlq_u8(vabdq_u8(a, b)));
        }
    }
    total(sums)
}

#[target_feature(enable = "neon")]
fn greatest_neon(a: &[Line], b: &[Line]) -> u32 {
    let mut most = [vdupq_n_u8(0); 4];
    for (a, b) in a.iter().zip(b) {
        for (most, (a, b)) in most
            .iter_mut()
            .zip(quarters(a).into_iter().zip(quarters(b)))
        {
            *most = vmaxq_u8(*most, vabdq_u8(a, b));
        }
    }
    let [a, b, c, d] = most;
    u32::from(vmaxvq_u8(vmaxq_u8(vmaxq_u8(a, b), vmaxq_u8(c, d))))
}

/// The sum of all, modulo 2^32.
#[inline]
#[target_feature(enable = "neon")]
fn total(sums: [uint32x4_t; 4]) -> u32 {
    let [a, b, c, d] = sums;
    vaddvq_u32(vaddq_u32(vaddq_u32(a, b), vaddq_u32(c, d)))
}
