//! Products of planes of bits with a query, with AVX-512, whose masks are such planes.

#![expect(
    unsafe_code,
    reason = "instructions that only some machines have, and loads into wide registers"
)]

use std::arch::x86_64::{
    _mm512_add_epi32, _mm512_castsi512_si256, _mm512_cvtepu8_epi16, _mm512_extracti64x4_epi64,
    _mm512_loadu_si512, _mm512_madd_epi16, _mm512_mask_add_epi8, _mm512_set1_epi8,
    _mm512_setzero_si512, _mm512_storeu_si512,
};

use super::Kernel;

/// Words of one plane that sums of 32 bits can take: each adds four products of at most `127 * 8191` to a sum.
const WORDS: usize = i32::MAX as usize / (4 * 127 * 8_191);

/// The kernels that this machine has.
pub(super) fn available() -> Vec<Kernel> {
    let mut kernels: Vec<Kernel> = Vec::new();
    if has_avx512() {
        kernels.push(|words, query, planes| {
            debug_assert!(has_avx512());
            // SAFETY: `available` hands this function out only where the machine has AVX-512 F and BW.
            unsafe { product_avx512(words, query, planes) }
        });
    }
    kernels
}

fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
}

#[target_feature(enable = "avx512f,avx512bw")]
fn product_avx512(words: &[u64], query: &[i16], planes: usize) -> i64 {
    let mut total = 0;
    let parts = words.chunks(WORDS * planes);
    for (words, query) in parts.zip(query.chunks(WORDS * 64)) {
        let mut sums = _mm512_setzero_si512();
        let queries = query.as_chunks::<64>().0.iter();
        for (words, query) in words.chunks_exact(planes).zip(queries) {
            let mut numbers = _mm512_setzero_si512();
            for (plane, word) in words.iter().enumerate() {
                let weight = _mm512_set1_epi8(1 << plane);
                numbers = _mm512_mask_add_epi8(numbers, *word, numbers, weight);
            }
            // SAFETY: 64 numbers of 16 bits are two loads of 64 bytes, which ask for no alignment.
            let (front, back) = unsafe {
                let at = query.as_ptr();
                (
                    _mm512_loadu_si512(at.cast()),
                    _mm512_loadu_si512(at.add(32).cast()),
                )
            };
            let low = _mm512_cvtepu8_epi16(_mm512_castsi512_si256(numbers));
            let high = _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64::<1>(numbers));
            sums = _mm512_add_epi32(sums, _mm512_madd_epi16(low, front));
            sums = _mm512_add_epi32(sums, _mm512_madd_epi16(high, back));
        }
        let mut lanes = [0_i32; 16];
        // SAFETY: the array has 64 bytes; the store asks for no alignment.
        unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), sums) };
        total += lanes.iter().map(|lane| i64::from(*lane)).sum::<i64>();
    }
    total
}
