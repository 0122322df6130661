//! FastScan: sums of table look-ups for 32 codes at once, with the tables in registers.
//!
//! A code of `B` bits, `B` a multiple of 64, is `B / 4` nibbles. For each of them a query has a table of 16
//! entries of one byte, and what is wanted of a code is the sum over its nibbles of the entries they name.
//! Shuffle instructions look up 16 (or 32, or 64) bytes in such a table at once, so the codes of a block lie
//! across: for each nibble, 16 bytes hold that nibble of 32 codes, lane `j` in the lower half of byte `j` and lane
//! `16 + j` in its upper half. A block of 32 codes has `B / 16` cache lines, a query's tables as many.
//!
//! The functions here in plain Rust define the results; `x86` and `neon` have the same sums from wide registers.

#![expect(
    clippy::inline_always,
    reason = "to be compiled with the instructions of the caller, which `wide` chooses"
)]

use std::sync::LazyLock;

use crate::core::{Line, wide};

#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "x86_64")]
mod x86;

/// Codes in a block.
pub(crate) const BLOCK: usize = 32;

/// Dimensions, each one bit of a code, that one line of a block or of tables serves.
pub(crate) const LINE_BITS: usize = 16;

/// Lines that sums of 16 bits can take without overflow: where registers are half a line, two bytes of each line
/// go to the same sum.
#[cfg(target_arch = "x86_64")]
const LINES_IN_16_BITS: usize = u16::MAX as usize / u8::MAX as usize / 2;

/// A query's tables, and how their sums become inner products.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tables {
    lines: Vec<Line>,
    /// The inner product of a code's signs with the query is about `step * sum + offset`.
    pub(crate) step: f32,
    pub(crate) offset: f32,
    /// What rounding of the entries is unlikely to exceed, in that inner product.
    pub(crate) slack: f32,
}

/// What makes distances of the sums of a block, besides the factors of its codes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) step: f32,
    pub(super) offset: f32,
    pub(super) slack: f32,
    /// Added to each estimate: the square of `reach`, as far as that is a distance.
    pub(super) base: f32,
    /// How far the query is from the centre of the codes.
    pub(super) reach: f32,
    /// Codes whose least likely distance reaches this are out.
    pub(super) bound: f32,
}

/// What a scan says of each code of a block.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub(crate) struct Estimates {
    /// The estimated distance, as the query's metric ranks (see [`super::rabitq`]).
    pub(crate) distance: [f32; BLOCK],
    /// What the true distance is hardly below.
    pub(crate) least: [f32; BLOCK],
    /// The inner product of the code's signs and the query, from which the two above follow.
    pub(crate) product: [f32; BLOCK],
}

impl Default for Estimates {
    fn default() -> Self {
        Self {
            distance: [0.0; BLOCK],
            least: [0.0; BLOCK],
            product: [0.0; BLOCK],
        }
    }
}

/// The factors of a block, one array each.
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub(super) struct BlockFactors {
    pub(super) add: [f32; BLOCK],
    pub(super) scale: [f32; BLOCK],
    pub(super) error: [f32; BLOCK],
}

/// Tables, codes, and where the sums go.
pub(super) type Scan = fn(&[Line], &[Line], &mut [u32; BLOCK]);

/// Tables, codes, factors and terms, and where the estimates go; a bit for each code that is not out.
pub(super) type Estimate = fn(&[Line], &[Line], &BlockFactors, &Terms, &mut Estimates) -> u32;

/// The functions for one kind of machine.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "tests name machines and compare raw sums")
)]
pub(super) struct Kernels {
    pub(super) name: &'static str,
    /// The raw sums: what tests compare. Searches use `estimate`, which has them inside.
    pub(super) scan: Scan,
    pub(super) estimate: Estimate,
}

/// The fastest kernels of this machine, chosen once.
pub(super) static KERNELS: LazyLock<Kernels> = LazyLock::new(|| {
    let scalar = Kernels::SCALAR;
    Kernels::available().last().copied().unwrap_or(scalar)
});

impl Kernels {
    const SCALAR: Self = Self {
        name: "scalar",
        scan,
        estimate,
    };

    /// All kernels that this machine has, the fastest last.
    pub(super) fn available() -> Vec<Self> {
        let mut kernels = vec![Self::SCALAR];
        #[cfg(target_arch = "x86_64")]
        kernels.extend(x86::available());
        #[cfg(target_arch = "aarch64")]
        kernels.extend(neon::available());
        kernels
    }
}

impl Tables {
    /// The tables of a query of a multiple of 64 elements; the memory of tables made before is used again.
    #[expect(clippy::cast_precision_loss, reason = "the number of tables is small")]
    pub(crate) fn fill(&mut self, query: &[f32]) {
        let groups = query.as_chunks::<4>().0;
        let widest = groups.iter().map(least_sum).fold(0.0, f32::min) * -2.0;
        // With a query of zeros, all entries are equal and any step will do.
        let step = if widest > 0.0 { widest / 255.0 } else { 1.0 };
        let inverse = 1.0 / step;
        self.step = step;
        self.offset = groups.iter().map(least_sum).sum();
        // Each entry is off by at most half a step, evenly spread: three standard deviations of their sum.
        self.slack = 3.0 * step * (groups.len() as f32 / 12.0).sqrt();

        self.lines.resize(query.len() / LINE_BITS, Line::default());
        wide(
            #[inline(always)]
            || entries(groups, inverse, &mut self.lines),
        );
    }

    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }
}

/// The least that the elements of a group can sum up to, with any signs.
#[inline(always)]
fn least_sum(group: &[f32; 4]) -> f32 {
    -group.iter().map(|v| v.abs()).sum::<f32>()
}

/// Writes the tables of all groups.
#[inline(always)]
fn entries(groups: &[[f32; 4]], inverse: f32, lines: &mut [Line]) {
    for (line, groups) in lines.iter_mut().zip(groups.as_chunks::<4>().0) {
        for (entries, group) in line.0.as_chunks_mut::<16>().0.iter_mut().zip(groups) {
            *entries = table(group, least_sum(group), inverse);
        }
    }
}

/// Entry `m` is the sum of the elements with the signs that the bits of `m` say, less the least such sum.
#[inline(always)]
fn table(group: &[f32; 4], least: f32, inverse: f32) -> [u8; 16] {
    /// Added to a small float, leaves it rounded in the lowest bits.
    const ROUND: f32 = 8_388_608.0;
    let mut sums = [-least; 16];
    for (bit, value) in group.iter().enumerate() {
        for (m, sum) in sums.iter_mut().enumerate() {
            *sum += if m >> bit & 1 == 1 { *value } else { -*value };
        }
    }
    sums.map(|sum| ((sum * inverse + ROUND).to_bits() & 0xff) as u8)
}

/// Writes the code of one lane of a block; bit `i` of word `w` is dimension `64 * w + i`, set for a positive sign.
pub(crate) fn set_code(block: &mut [Line], lane: usize, bits: &[u64]) {
    debug_assert!(lane < BLOCK && block.len() == bits.len() * 64 / LINE_BITS);
    let (byte, shift) = (lane % 16, 4 * (lane / 16));
    for (lines, word) in block.as_chunks_mut::<4>().0.iter_mut().zip(bits) {
        for (number, line) in lines.iter_mut().enumerate() {
            for (group, bytes) in line.0.as_chunks_mut::<16>().0.iter_mut().enumerate() {
                let nibble = (word >> (16 * number + 4 * group) & 15) as u8;
                if let Some(byte) = bytes.get_mut(byte) {
                    *byte = *byte & !(15 << shift) | nibble << shift;
                }
            }
        }
    }
}

/// Reads the code of one lane of a block: the opposite of [`set_code`].
pub(crate) fn code(block: &[Line], lane: usize, bits: &mut [u64]) {
    let (byte, shift) = (lane % 16, 4 * (lane / 16));
    for (word, lines) in bits.iter_mut().zip(block.as_chunks::<4>().0) {
        let groups = lines.iter().flat_map(|line| line.0.as_chunks::<16>().0);
        let nibbles = groups.map(|bytes| bytes.get(byte).copied().unwrap_or(0) >> shift & 15);
        *word = (0..)
            .zip(nibbles)
            .fold(0, |word, (at, nibble)| word | u64::from(nibble) << (4 * at));
    }
}

/// The sums of a block, by definition.
fn scan(tables: &[Line], block: &[Line], sums: &mut [u32; BLOCK]) {
    sums.fill(0);
    let (low, high) = sums.split_at_mut(16);
    for (table, codes) in tables.iter().zip(block) {
        let groups = table.0.as_chunks::<16>().0.iter();
        for (table, codes) in groups.zip(codes.0.as_chunks::<16>().0) {
            let entry =
                |nibble: u8| u32::from(table.get(usize::from(nibble)).copied().unwrap_or(0));
            for ((low, high), code) in low.iter_mut().zip(high.iter_mut()).zip(codes) {
                *low += entry(code & 15);
                *high += entry(code >> 4);
            }
        }
    }
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

/// Distances from sums; made for each kind of machine by the compiler.
#[inline(always)]
#[expect(
    clippy::cast_precision_loss,
    reason = "sums are below 2^24 but for half a million dimensions"
)]
fn finish(sums: &[u32; BLOCK], factors: &BlockFactors, terms: &Terms, out: &mut Estimates) {
    let Terms {
        step,
        offset,
        slack,
        base,
        reach,
        ..
    } = *terms;
    let factors = factors.add.iter().zip(&factors.scale).zip(&factors.error);
    let out = out
        .distance
        .iter_mut()
        .zip(&mut out.least)
        .zip(&mut out.product);
    for ((sum, ((add, scale), error)), ((distance, least), product)) in
        sums.iter().zip(factors).zip(out)
    {
        *product = step * (*sum as f32) + offset;
        *distance = base + add + scale * *product;
        *least = *distance - (scale.abs() * slack + error * reach);
    }
}

/// A bit for each code that may be nearer than the bound.
///
/// Not those that are "below" it: where 32 bits overflowed there is no number, and such codes stay in.
fn remaining(least: &[f32; BLOCK], bound: f32) -> u32 {
    let bits = (0..).zip(least);
    bits.fold(0, |mask, (at, least)| {
        let is_out = *least >= bound;
        mask | u32::from(!is_out) << at
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indexing::quantize::random::Random;

    fn random_codes(bits: usize, random: &mut Random) -> (Vec<Line>, Vec<Vec<u64>>) {
        let mut block = vec![Line::default(); bits / LINE_BITS];
        let codes: Vec<Vec<u64>> = (0..BLOCK)
            .map(|_| (0..bits / 64).map(|_| random.bits()).collect())
            .collect();
        // Twice, the second time over what is there.
        for codes in [codes.iter().rev(), codes.iter().rev()] {
            for (lane, code) in codes.rev().enumerate() {
                set_code(&mut block, lane, code);
            }
        }
        (block, codes)
    }

    #[test]
    fn codes_read_back_from_their_lanes() {
        for bits in [64, 128, 832, 10_048] {
            let (block, codes) = random_codes(bits, &mut Random::new(1));
            for (lane, expect) in codes.iter().enumerate() {
                let mut found = vec![0; bits / 64];
                code(&block, lane, &mut found);
                assert_eq!(&found, expect);
            }
        }
    }

    #[test]
    fn every_machine_has_the_same_sums() {
        // The last has more lines than 16 bits can sum, with entries as large as they come.
        for bits in [64, 128, 192, 832, 2_048, 4_096, 10_048, 65_536] {
            let mut random = Random::new(bits as u64);
            let (block, _) = random_codes(bits, &mut random);
            let mut tables = block.clone();
            for line in &mut tables {
                line.0 = std::array::from_fn(|_| random.bits().to_le_bytes()[1] | 0x80);
            }
            let most = vec![Line([255; 64]); tables.len()];
            for tables in [tables, most] {
                let mut expect = [0; BLOCK];
                scan(&tables, &block, &mut expect);
                for kernels in Kernels::available() {
                    let mut sums = [7; BLOCK];
                    (kernels.scan)(&tables, &block, &mut sums);
                    assert_eq!(sums, expect, "{} {bits}", kernels.name);
                }
            }
        }
    }

    #[test]
    fn every_machine_has_the_same_estimates() {
        let mut random = Random::new(5);
        let (block, _) = random_codes(832, &mut random);
        let mut tables = Tables::default();
        tables.fill(&random.normals(832));
        let mut numbers = || std::array::from_fn(|_| random.normal().abs());
        let mut factors = BlockFactors {
            add: numbers(),
            scale: numbers().map(|v| -v),
            error: numbers(),
        };
        (factors.add[3], factors.add[31]) = (f32::INFINITY, f32::NAN);
        for bound in [f32::INFINITY, 1.0, -1.0] {
            let terms = Terms {
                step: tables.step,
                offset: tables.offset,
                slack: tables.slack,
                base: 2.0,
                reach: 1.5,
                bound,
            };
            let mut expect = Estimates::default();
            let mask = estimate(tables.lines(), &block, &factors, &terms, &mut expect);
            assert!(mask >> 3 & 1 == 0 && mask >> 31 & 1 == 1);
            for kernels in Kernels::available() {
                let mut out = Estimates::default();
                let found = (kernels.estimate)(tables.lines(), &block, &factors, &terms, &mut out);
                assert_eq!(found, mask, "{}", kernels.name);
                for lane in (0..31).filter(|lane| *lane != 3) {
                    // Multiplied and added in one step or two: the last digits differ.
                    let digits = 1e-5 * (1.0 + factors.scale[lane].abs() * 1e3);
                    assert!((out.distance[lane] - expect.distance[lane]).abs() < digits);
                    assert!((out.least[lane] - expect.least[lane]).abs() < digits);
                    assert!((out.product[lane] - expect.product[lane]).abs() < 1e-2);
                }
            }
        }
    }

    /// The sums stand for inner products, to within the slack that the tables state.
    #[test]
    fn sums_stand_for_inner_products() {
        for bits in [64, 832, 1_536] {
            let mut random = Random::new(2);
            let (block, codes) = random_codes(bits, &mut random);
            let query = random.normals(bits);
            let mut tables = Tables::default();
            tables.fill(&query);
            let mut sums = [0; BLOCK];
            scan(tables.lines(), &block, &mut sums);
            for (code, sum) in codes.iter().zip(sums) {
                let sign = |at: usize| {
                    if code[at / 64] >> (at % 64) & 1 == 1 {
                        1.0
                    } else {
                        -1.0
                    }
                };
                let expect: f64 = (0..bits).map(|at| sign(at) * f64::from(query[at])).sum();
                let found = f64::from(tables.step) * f64::from(sum) + f64::from(tables.offset);
                assert!(
                    (found - expect).abs() <= f64::from(tables.slack),
                    "{found} {expect}"
                );
            }
            let length = query.iter().map(|v| v * v).sum::<f32>().sqrt();
            assert!(tables.slack < 0.03 * length, "{}", tables.slack);
            tables.fill(&vec![0.0; bits]);
            assert!(tables.step > 0.0 && tables.offset == 0.0);
        }
    }
}
