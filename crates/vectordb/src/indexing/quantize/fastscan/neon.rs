//! FastScan with the table look-ups of NEON, which every 64-bit ARM processor has.

#![expect(
    unsafe_code,
    reason = "loads into wide registers, and stores from them"
)]

use std::arch::aarch64::{
    uint32x4_t, vaddw_high_u8, vaddw_high_u16, vaddw_u8, vaddw_u16, vandq_u8, vdupq_n_u8,
    vdupq_n_u16, vdupq_n_u32, vget_low_u8, vget_low_u16, vld1q_u8, vqtbl1q_u8, vshrq_n_u8,
    vst1q_u32,
};

use super::{BLOCK, BlockFactors, Estimates, Kernels, Line, Terms, finish, remaining};

/// Lines that sums of 16 bits can take: each adds four bytes to a sum.
const LINES: usize = u16::MAX as usize / u8::MAX as usize / 4;

/// The kernels that this machine has.
pub(super) fn available() -> Vec<Kernels> {
    vec![Kernels {
        name: "neon",
        scan,
        estimate,
    }]
}

fn estimate(
    tables: &[Line],
    block: &[Line],
    factors: &BlockFactors,
    terms: &Terms,
    out: &mut Estimates,
) -> u32 {
    let mut sums = [0; BLOCK];
    scan(tables, block, &mut sums);
    finish(&sums, factors, terms, out);
    remaining(&out.least, terms.bound)
}

fn scan(tables: &[Line], block: &[Line], sums: &mut [u32; BLOCK]) {
    // SAFETY: every 64-bit ARM processor has NEON; the target of this file is such a processor.
    unsafe { scan_neon(tables, block, sums) }
}

#[target_feature(enable = "neon")]
fn scan_neon(tables: &[Line], block: &[Line], sums: &mut [u32; BLOCK]) {
    let nibble = vdupq_n_u8(15);
    let mut totals: [uint32x4_t; 8] = [vdupq_n_u32(0); 8];
    for (tables, block) in tables.chunks(LINES).zip(block.chunks(LINES)) {
        let mut eights = [vdupq_n_u16(0); 4];
        for (table, codes) in tables.iter().zip(block) {
            let groups = table.0.as_chunks::<16>().0.iter();
            for (table, codes) in groups.zip(codes.0.as_chunks::<16>().0) {
                // SAFETY: both have 16 bytes; the loads ask for no alignment.
                let (table, codes) =
                    unsafe { (vld1q_u8(table.as_ptr()), vld1q_u8(codes.as_ptr())) };
                let low = vqtbl1q_u8(table, vandq_u8(codes, nibble));
                let high = vqtbl1q_u8(table, vshrq_n_u8::<4>(codes));
                let [a, b, c, d] = eights;
                eights = [
                    vaddw_u8(a, vget_low_u8(low)),
                    vaddw_high_u8(b, low),
                    vaddw_u8(c, vget_low_u8(high)),
                    vaddw_high_u8(d, high),
                ];
            }
        }
        for (pair, eight) in totals.as_chunks_mut::<2>().0.iter_mut().zip(eights) {
            let [a, b] = *pair;
            *pair = [vaddw_u16(a, vget_low_u16(eight)), vaddw_high_u16(b, eight)];
        }
    }
    for (sums, total) in sums.as_chunks_mut::<4>().0.iter_mut().zip(totals) {
        // SAFETY: four sums have 16 bytes; the store asks for no alignment.
        unsafe { vst1q_u32(sums.as_mut_ptr(), total) };
    }
}
