//! FastScan with the shuffles of AVX2 and AVX-512.
//!
//! Sums of 16 bits take two entries at a time: one accumulator adds whole pairs of bytes, whose upper byte spills
//! over, the other adds the upper bytes by themselves; in the end the second, shifted, is taken off the first.

#![expect(
    unsafe_code,
    reason = "instructions that only some machines have, and loads into wide registers"
)]

use std::arch::x86_64::{
    __m128i, __m256i, __m512i, _CMP_NGE_UQ, _mm256_add_epi16, _mm256_add_epi32, _mm256_and_si256,
    _mm256_castsi256_si128, _mm256_cmp_ps, _mm256_cvtepu16_epi32, _mm256_extracti128_si256,
    _mm256_load_ps, _mm256_load_si256, _mm256_movemask_ps, _mm256_set1_epi8, _mm256_set1_ps,
    _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_slli_epi16, _mm256_srli_epi16,
    _mm256_storeu_si256, _mm256_sub_epi16, _mm256_unpackhi_epi16, _mm256_unpacklo_epi16,
    _mm512_add_epi16, _mm512_add_epi32, _mm512_and_si512, _mm512_castsi512_si256,
    _mm512_cmp_ps_mask, _mm512_cvtepu16_epi32, _mm512_extracti64x4_epi64, _mm512_load_ps,
    _mm512_load_si512, _mm512_set1_epi8, _mm512_set1_ps, _mm512_setzero_si512, _mm512_shuffle_epi8,
    _mm512_slli_epi16, _mm512_srli_epi16, _mm512_sub_epi16, _mm512_unpackhi_epi16,
    _mm512_unpacklo_epi16,
};

use super::{BLOCK, BlockFactors, Estimates, Kernels, LINES_IN_16_BITS, Line, Terms, finish};

/// The kernels that this machine has, the fastest last.
pub(super) fn available() -> Vec<Kernels> {
    let mut kernels = Vec::new();
    if has_avx2() {
        kernels.push(Kernels {
            name: "avx2",
            scan: |tables, block, sums| {
                debug_assert!(has_avx2());
                // SAFETY: `available` hands this function out only where the machine has AVX2 and FMA.
                unsafe { scan_avx2(tables, block, sums) }
            },
            estimate: |tables, block, factors, terms, out| {
                debug_assert!(has_avx2());
                // SAFETY: `available` hands this function out only where the machine has AVX2 and FMA.
                unsafe { estimate_avx2(tables, block, factors, terms, out) }
            },
        });
    }
    if has_avx512() {
        kernels.push(Kernels {
            name: "avx512",
            scan: |tables, block, sums| {
                debug_assert!(has_avx512());
                // SAFETY: `available` hands this function out only where the machine has AVX-512 F and BW.
                unsafe { scan_avx512(tables, block, sums) }
            },
            estimate: |tables, block, factors, terms, out| {
                debug_assert!(has_avx512());
                // SAFETY: `available` hands this function out only where the machine has AVX-512 F and BW.
                unsafe { estimate_avx512(tables, block, factors, terms, out) }
            },
        });
    }
    kernels
}

fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

fn has_avx512() -> bool {
    has_avx2() && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
}

#[target_feature(enable = "avx2,fma,avx512f,avx512bw")]
fn estimate_avx512(
    tables: &[Line],
    block: &[Line],
    factors: &BlockFactors,
    terms: &Terms,
    out: &mut Estimates,
) -> u32 {
    let mut sums = [0; BLOCK];
    scan_avx512(tables, block, &mut sums);
    finish(&sums, factors, terms, out);
    let bound = _mm512_set1_ps(terms.bound);
    let [low, high] = [0, 16].map(|at| {
        // SAFETY: `Estimates` is aligned to 64 bytes and `least`, 128 bytes behind its start, has 32 floats.
        let least = unsafe { _mm512_load_ps(out.least.as_ptr().add(at)) };
        u32::from(_mm512_cmp_ps_mask::<_CMP_NGE_UQ>(least, bound))
    });
    low | high << 16
}

#[target_feature(enable = "avx2,fma")]
fn estimate_avx2(
    tables: &[Line],
    block: &[Line],
    factors: &BlockFactors,
    terms: &Terms,
    out: &mut Estimates,
) -> u32 {
    let mut sums = [0; BLOCK];
    scan_avx2(tables, block, &mut sums);
    finish(&sums, factors, terms, out);
    let bound = _mm256_set1_ps(terms.bound);
    let masks = [0, 8, 16, 24].map(|at| {
        // SAFETY: `Estimates` is aligned to 64 bytes and `least`, 128 bytes behind its start, has 32 floats.
        let least = unsafe { _mm256_load_ps(out.least.as_ptr().add(at)) };
        let mask = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_NGE_UQ>(least, bound));
        mask.cast_unsigned() << at
    });
    masks.into_iter().fold(0, |all, mask| all | mask)
}

#[inline]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw")]
fn scan_avx512(tables: &[Line], block: &[Line], sums: &mut [u32; BLOCK]) {
    let nibble = _mm512_set1_epi8(15);
    let mut totals = [_mm512_setzero_si512(); 4];
    let parts = tables.chunks(LINES_IN_16_BITS);
    for (tables, block) in parts.zip(block.chunks(LINES_IN_16_BITS)) {
        let [mut low, mut low_upper, mut high, mut high_upper] = [_mm512_setzero_si512(); 4];
        for (table, codes) in tables.iter().zip(block) {
            let (table, codes) = (load_512(table), load_512(codes));
            let first = _mm512_shuffle_epi8(table, _mm512_and_si512(codes, nibble));
            let codes = _mm512_srli_epi16::<4>(codes);
            let second = _mm512_shuffle_epi8(table, _mm512_and_si512(codes, nibble));
            low = _mm512_add_epi16(low, first);
            low_upper = _mm512_add_epi16(low_upper, _mm512_srli_epi16::<8>(first));
            high = _mm512_add_epi16(high, second);
            high_upper = _mm512_add_epi16(high_upper, _mm512_srli_epi16::<8>(second));
        }
        for (at, (sum, upper)) in [(low, low_upper), (high, high_upper)]
            .into_iter()
            .enumerate()
        {
            let even = _mm512_sub_epi16(sum, _mm512_slli_epi16::<8>(upper));
            // Byte `2 i` of each 16 went to the even sum `i`, byte `2 i + 1` to the odd one.
            let front = _mm512_unpacklo_epi16(even, upper);
            let back = _mm512_unpackhi_epi16(even, upper);
            for (total, eight) in totals.iter_mut().skip(2 * at).zip([front, back]) {
                let a = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(eight));
                let b = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64::<1>(eight));
                *total = _mm512_add_epi32(*total, _mm512_add_epi32(a, b));
            }
        }
    }
    for (sums, total) in sums.as_chunks_mut::<8>().0.iter_mut().zip(totals) {
        let a = _mm512_castsi512_si256(total);
        let b = _mm512_extracti64x4_epi64::<1>(total);
        store_256(sums, _mm256_add_epi32(a, b));
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn scan_avx2(tables: &[Line], block: &[Line], sums: &mut [u32; BLOCK]) {
    let nibble = _mm256_set1_epi8(15);
    let mut totals = [_mm256_setzero_si256(); 4];
    let parts = tables.chunks(LINES_IN_16_BITS);
    for (tables, block) in parts.zip(block.chunks(LINES_IN_16_BITS)) {
        let [mut low, mut low_upper, mut high, mut high_upper] = [_mm256_setzero_si256(); 4];
        for (table, codes) in tables.iter().zip(block) {
            for (table, codes) in load_256(table).into_iter().zip(load_256(codes)) {
                let first = _mm256_shuffle_epi8(table, _mm256_and_si256(codes, nibble));
                let codes = _mm256_srli_epi16::<4>(codes);
                let second = _mm256_shuffle_epi8(table, _mm256_and_si256(codes, nibble));
                low = _mm256_add_epi16(low, first);
                low_upper = _mm256_add_epi16(low_upper, _mm256_srli_epi16::<8>(first));
                high = _mm256_add_epi16(high, second);
                high_upper = _mm256_add_epi16(high_upper, _mm256_srli_epi16::<8>(second));
            }
        }
        for (at, (sum, upper)) in [(low, low_upper), (high, high_upper)]
            .into_iter()
            .enumerate()
        {
            let even = _mm256_sub_epi16(sum, _mm256_slli_epi16::<8>(upper));
            let front = _mm256_unpacklo_epi16(even, upper);
            let back = _mm256_unpackhi_epi16(even, upper);
            for (total, eight) in totals.iter_mut().skip(2 * at).zip([front, back]) {
                let a = _mm256_cvtepu16_epi32(_mm256_castsi256_si128(eight));
                let b: __m128i = _mm256_extracti128_si256::<1>(eight);
                let b = _mm256_cvtepu16_epi32(b);
                *total = _mm256_add_epi32(*total, _mm256_add_epi32(a, b));
            }
        }
    }
    for (sums, total) in sums.as_chunks_mut::<8>().0.iter_mut().zip(totals) {
        store_256(sums, total);
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_512(line: &Line) -> __m512i {
    // SAFETY: a line has 64 bytes and is aligned to as many.
    unsafe { _mm512_load_si512(line.0.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_256(line: &Line) -> [__m256i; 2] {
    [0, 32].map(|at| {
        // SAFETY: a line has 64 bytes and is aligned to as many; `at` is the start of one of its halves.
        unsafe { _mm256_load_si256(line.0.as_ptr().add(at).cast()) }
    })
}

#[inline]
#[target_feature(enable = "avx2")]
fn store_256(sums: &mut [u32; 8], values: __m256i) {
    // SAFETY: eight sums have 32 bytes; the store asks for no alignment.
    unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast(), values) }
}
