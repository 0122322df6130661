//! Kernels over rows of unsigned bytes.

use std::arch::x86_64::{
    __m256i, __m512i, _mm256_add_epi32, _mm256_add_epi64, _mm256_madd_epi16, _mm256_max_epu8,
    _mm256_or_si256, _mm256_sad_epu8, _mm256_setzero_si256, _mm256_subs_epu8, _mm256_unpackhi_epi8,
    _mm256_unpacklo_epi8, _mm512_add_epi32, _mm512_add_epi64, _mm512_dpwssd_epi32,
    _mm512_madd_epi16, _mm512_max_epu8, _mm512_or_si512, _mm512_reduce_add_epi32,
    _mm512_reduce_add_epi64, _mm512_sad_epu8, _mm512_setzero_si512, _mm512_subs_epu8,
    _mm512_unpackhi_epi8, _mm512_unpacklo_epi8,
};

use super::{Avx2, Avx512, Vnni, entry};
use crate::core::Line;
use crate::core::distance::bytes::ByteKernels;

/// The kernels for AVX2.
pub(in super::super) fn avx2(_: Avx2) -> ByteKernels {
    entry!(squared = squared_avx2, (a: &[Line], b: &[Line]) -> u32);
    entry!(absolute = absolute_avx2, (a: &[Line], b: &[Line]) -> u32);
    entry!(greatest = greatest_avx2, (a: &[Line], b: &[Line]) -> u32);
    ByteKernels {
        squared,
        absolute,
        greatest,
    }
}

/// The kernels for AVX-512.
pub(in super::super) fn avx512(_: Avx512) -> ByteKernels {
    entry!(squared = squared_avx512, (a: &[Line], b: &[Line]) -> u32);
    entry!(absolute = absolute_avx512, (a: &[Line], b: &[Line]) -> u32);
    entry!(greatest = greatest_avx512, (a: &[Line], b: &[Line]) -> u32);
    ByteKernels {
        squared,
        absolute,
        greatest,
    }
}

/// The kernels for AVX-512 with VNNI.
pub(in super::super) fn vnni(proof: Vnni) -> ByteKernels {
    entry!(squared = squared_vnni, (a: &[Line], b: &[Line]) -> u32);
    ByteKernels {
        squared,
        ..avx512(proof.into())
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn difference_256(a: __m256i, b: __m256i) -> __m256i {
    // One of the two is zero: subtraction stops there.
    _mm256_or_si256(_mm256_subs_epu8(a, b), _mm256_subs_epu8(b, a))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn difference_512(a: __m512i, b: __m512i) -> __m512i {
    _mm512_or_si512(_mm512_subs_epu8(a, b), _mm512_subs_epu8(b, a))
}

#[target_feature(enable = "avx2")]
fn squared_avx2(a: &[Line], b: &[Line]) -> u32 {
    let zero = _mm256_setzero_si256();
    let mut sums = [zero; 4];
    for (a, b) in a.iter().zip(b) {
        let ([a_low, a_high], [b_low, b_high]) = (halves(a), halves(b));
        let [low, high] = [difference_256(a_low, b_low), difference_256(a_high, b_high)];
        let words = [
            _mm256_unpacklo_epi8(low, zero),
            _mm256_unpackhi_epi8(low, zero),
            _mm256_unpacklo_epi8(high, zero),
            _mm256_unpackhi_epi8(high, zero),
        ];
        for (sum, words) in sums.iter_mut().zip(words) {
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(words, words));
        }
    }
    let [a, b, c, d] = sums;
    let sum = _mm256_add_epi32(_mm256_add_epi32(a, b), _mm256_add_epi32(c, d));
    let lanes: [u32; 8] = bytemuck::cast(sum);
    lanes.into_iter().fold(0, u32::wrapping_add)
}

#[target_feature(enable = "avx2")]
fn absolute_avx2(a: &[Line], b: &[Line]) -> u32 {
    let mut sums = [_mm256_setzero_si256(); 2];
    for (a, b) in a.iter().zip(b) {
        for (sum, (a, b)) in sums.iter_mut().zip(halves(a).into_iter().zip(halves(b))) {
            *sum = _mm256_add_epi64(*sum, _mm256_sad_epu8(a, b));
        }
    }
    // Each sum of eight bytes has 64 bits, of which a row of 2^32 lines would fill 43; the low half is enough.
    let lanes: [[u32; 8]; 2] = bytemuck::cast(sums);
    lanes
        .as_flattened()
        .iter()
        .step_by(2)
        .fold(0, |sum, lane| sum.wrapping_add(*lane))
}

#[target_feature(enable = "avx2")]
fn greatest_avx2(a: &[Line], b: &[Line]) -> u32 {
    let mut most = [_mm256_setzero_si256(); 2];
    for (a, b) in a.iter().zip(b) {
        for (most, (a, b)) in most.iter_mut().zip(halves(a).into_iter().zip(halves(b))) {
            *most = _mm256_max_epu8(*most, difference_256(a, b));
        }
    }
    let [a, b] = most;
    let bytes: [u8; 32] = bytemuck::cast(_mm256_max_epu8(a, b));
    u32::from(bytes.into_iter().fold(0, u8::max))
}

#[inline]
fn halves(line: &Line) -> [__m256i; 2] {
    bytemuck::cast(line.0)
}

/// The pairs of lines by two, and the one that may be left.
macro_rules! by_two {
    ($a:ident, $b:ident) => {{
        let (a, b): (&[__m512i], &[__m512i]) = (bytemuck::cast_slice($a), bytemuck::cast_slice($b));
        let ((a, a_last), (b, b_last)) = (a.as_chunks::<2>(), b.as_chunks::<2>());
        (a.iter().zip(b), a_last.iter().zip(b_last))
    }};
}

#[target_feature(enable = "avx512f,avx512bw")]
fn squared_avx512(a: &[Line], b: &[Line]) -> u32 {
    let zero = _mm512_setzero_si512();
    let mut sums = [zero; 4];
    let (pairs, last) = by_two!(a, b);
    for ([a0, a1], [b0, b1]) in pairs {
        let [d0, d1] = [difference_512(*a0, *b0), difference_512(*a1, *b1)];
        let words = [
            _mm512_unpacklo_epi8(d0, zero),
            _mm512_unpackhi_epi8(d0, zero),
            _mm512_unpacklo_epi8(d1, zero),
            _mm512_unpackhi_epi8(d1, zero),
        ];
        for (sum, words) in sums.iter_mut().zip(words) {
            *sum = _mm512_add_epi32(*sum, _mm512_madd_epi16(words, words));
        }
    }
    let [mut s0, mut s1, s2, s3] = sums;
    for (a, b) in last {
        let d = difference_512(*a, *b);
        let (low, high) = (_mm512_unpacklo_epi8(d, zero), _mm512_unpackhi_epi8(d, zero));
        s0 = _mm512_add_epi32(s0, _mm512_madd_epi16(low, low));
        s1 = _mm512_add_epi32(s1, _mm512_madd_epi16(high, high));
    }
    total(s0, s1, s2, s3)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn squared_vnni(a: &[Line], b: &[Line]) -> u32 {
    let zero = _mm512_setzero_si512();
    let [mut s0, mut s1, mut s2, mut s3] = [zero; 4];
    let (pairs, last) = by_two!(a, b);
    for ([a0, a1], [b0, b1]) in pairs {
        let [d0, d1] = [difference_512(*a0, *b0), difference_512(*a1, *b1)];
        let (low, high) = (
            _mm512_unpacklo_epi8(d0, zero),
            _mm512_unpackhi_epi8(d0, zero),
        );
        s0 = _mm512_dpwssd_epi32(s0, low, low);
        s1 = _mm512_dpwssd_epi32(s1, high, high);
        let (low, high) = (
            _mm512_unpacklo_epi8(d1, zero),
            _mm512_unpackhi_epi8(d1, zero),
        );
        s2 = _mm512_dpwssd_epi32(s2, low, low);
        s3 = _mm512_dpwssd_epi32(s3, high, high);
    }
    for (a, b) in last {
        let d = difference_512(*a, *b);
        let (low, high) = (_mm512_unpacklo_epi8(d, zero), _mm512_unpackhi_epi8(d, zero));
        s0 = _mm512_dpwssd_epi32(s0, low, low);
        s1 = _mm512_dpwssd_epi32(s1, high, high);
    }
    total(s0, s1, s2, s3)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn total(a: __m512i, b: __m512i, c: __m512i, d: __m512i) -> u32 {
    let sum = _mm512_add_epi32(_mm512_add_epi32(a, b), _mm512_add_epi32(c, d));
    _mm512_reduce_add_epi32(sum).cast_unsigned()
}

#[target_feature(enable = "avx512f,avx512bw")]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "as the definition: modulo 2^32"
)]
fn absolute_avx512(a: &[Line], b: &[Line]) -> u32 {
    let [mut s0, mut s1] = [_mm512_setzero_si512(); 2];
    let (pairs, last) = by_two!(a, b);
    for ([a0, a1], [b0, b1]) in pairs {
        s0 = _mm512_add_epi64(s0, _mm512_sad_epu8(*a0, *b0));
        s1 = _mm512_add_epi64(s1, _mm512_sad_epu8(*a1, *b1));
    }
    for (a, b) in last {
        s0 = _mm512_add_epi64(s0, _mm512_sad_epu8(*a, *b));
    }
    _mm512_reduce_add_epi64(_mm512_add_epi64(s0, s1)) as u32
}

#[target_feature(enable = "avx512f,avx512bw")]
fn greatest_avx512(a: &[Line], b: &[Line]) -> u32 {
    let [mut m0, mut m1] = [_mm512_setzero_si512(); 2];
    let (pairs, last) = by_two!(a, b);
    for ([a0, a1], [b0, b1]) in pairs {
        m0 = _mm512_max_epu8(m0, difference_512(*a0, *b0));
        m1 = _mm512_max_epu8(m1, difference_512(*a1, *b1));
    }
    for (a, b) in last {
        m0 = _mm512_max_epu8(m0, difference_512(*a, *b));
    }
    let bytes: [u8; 64] = bytemuck::cast(_mm512_max_epu8(m0, m1));
    u32::from(bytes.into_iter().fold(0, u8::max))
}
