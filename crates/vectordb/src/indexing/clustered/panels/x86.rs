//! Inner products of vectors with panels of 16 centres, with AVX2 and AVX-512.

#![expect(
    unsafe_code,
    reason = "instructions that only some machines have, and loads into wide registers"
)]

use std::arch::x86_64::{
    _mm256_add_ps, _mm256_fmadd_ps, _mm256_load_ps, _mm256_set1_ps, _mm256_setzero_ps,
    _mm256_storeu_ps, _mm512_add_ps, _mm512_fmadd_ps, _mm512_load_ps, _mm512_set1_ps,
    _mm512_setzero_ps, _mm512_storeu_ps,
};

use super::{BATCH, Kernel, Line, PANEL, Products};

/// The kernels that this machine has, the fastest last.
pub(super) fn kernels() -> Vec<Kernel> {
    let mut kernels: Vec<Kernel> = Vec::new();
    if has_avx2() {
        kernels.push(|vectors, dimension, panel, out| {
            debug_assert!(has_avx2());
            // SAFETY: `kernels` hands this function out only where the machine has AVX2 and FMA.
            unsafe { products_avx2(vectors, dimension, panel, out) }
        });
    }
    if has_avx2() && is_x86_feature_detected!("avx512f") {
        kernels.push(|vectors, dimension, panel, out| {
            debug_assert!(is_x86_feature_detected!("avx512f"));
            // SAFETY: `kernels` hands this function out only where the machine has AVX-512 F.
            unsafe { products_avx512(vectors, dimension, panel, out) }
        });
    }
    kernels
}

fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// The vectors as an array, if there are as many as a batch has.
fn batch(vectors: &[f32], dimension: usize) -> Option<[&[f32]; BATCH]> {
    let mut rows = vectors.chunks_exact(dimension);
    let mut batch: [&[f32]; BATCH] = [&[]; BATCH];
    for place in &mut batch {
        *place = rows.next()?;
    }
    Some(batch)
}

#[target_feature(enable = "avx2,fma,avx512f")]
fn products_avx512(vectors: &[f32], dimension: usize, panel: &[Line], out: &mut Products) {
    // One line of the panel serves eight vectors.
    if let Some([a, b, c, d, e, f, g, h]) = batch(vectors, dimension) {
        let mut sums = [_mm512_setzero_ps(); BATCH];
        let values = a.iter().zip(b).zip(c).zip(d).zip(e).zip(f).zip(g).zip(h);
        for ((((((((a, b), c), d), e), f), g), h), line) in values.zip(panel) {
            // SAFETY: a line has 64 bytes and is aligned to as many.
            let centres = unsafe { _mm512_load_ps(line.0.as_ptr().cast()) };
            let values = [*a, *b, *c, *d, *e, *f, *g, *h];
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum = _mm512_fmadd_ps(_mm512_set1_ps(value), centres, *sum);
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            // SAFETY: the array has 16 floats; the store asks for no alignment.
            unsafe { _mm512_storeu_ps(out.as_mut_ptr(), sum) };
        }
        return;
    }
    for (vector, out) in vectors.chunks_exact(dimension).zip(out) {
        let mut sums = [_mm512_setzero_ps(); 8];
        let eights = vector.as_chunks::<8>().0.iter();
        for (values, lines) in eights.zip(panel.as_chunks::<8>().0) {
            for ((sum, value), line) in sums.iter_mut().zip(values).zip(lines) {
                // SAFETY: a line has 64 bytes and is aligned to as many.
                let centres = unsafe { _mm512_load_ps(line.0.as_ptr().cast()) };
                *sum = _mm512_fmadd_ps(_mm512_set1_ps(*value), centres, *sum);
            }
        }
        let (front, back) = sums.split_at(4);
        let mut four = [_mm512_setzero_ps(); 4];
        for (sum, (a, b)) in four.iter_mut().zip(front.iter().zip(back)) {
            *sum = _mm512_add_ps(*a, *b);
        }
        let [a, b, c, d] = four;
        let sum = _mm512_add_ps(_mm512_add_ps(a, b), _mm512_add_ps(c, d));
        // SAFETY: the array has 16 floats; the store asks for no alignment.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), sum) };
    }
}

#[target_feature(enable = "avx2,fma")]
fn products_avx2(vectors: &[f32], dimension: usize, panel: &[Line], out: &mut Products) {
    const HALF: usize = PANEL / 2;
    for (vectors, out) in vectors.chunks(4 * dimension).zip(out.chunks_mut(4)) {
        let mut rows = vectors.chunks_exact(dimension);
        let rows: [&[f32]; 4] = std::array::from_fn(|_| rows.next().unwrap_or_default());
        for half in [0, HALF] {
            // Vectors that are not there leave zeros.
            let mut sums = [_mm256_setzero_ps(); 4];
            for (sum, row) in sums.iter_mut().zip(rows) {
                let mut parts = [*sum; 4];
                let fours = row.as_chunks::<4>().0.iter();
                for (values, lines) in fours.zip(panel.as_chunks::<4>().0) {
                    for ((part, value), line) in parts.iter_mut().zip(values).zip(lines) {
                        let line: &[f32; PANEL] = bytemuck::cast_ref(line);
                        // SAFETY: 8 floats from `half` on, 0 or 8, of 16 that are aligned to 64 bytes.
                        let centres = unsafe { _mm256_load_ps(line.as_ptr().add(half)) };
                        *part = _mm256_fmadd_ps(_mm256_set1_ps(*value), centres, *part);
                    }
                }
                let [a, b, c, d] = parts;
                let (ab, cd) = (_mm256_add_ps(a, b), _mm256_add_ps(c, d));
                *sum = _mm256_add_ps(ab, cd);
            }
            for (out, sum) in out.iter_mut().zip(sums) {
                // SAFETY: 8 floats from `half` on, 0 or 8, of 16; the store asks for no alignment.
                unsafe { _mm256_storeu_ps(out.as_mut_ptr().add(half), sum) };
            }
        }
    }
}
