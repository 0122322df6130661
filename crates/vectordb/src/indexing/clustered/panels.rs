//! [`Panels`]: centres laid out for a build, which compares them with many vectors at a time.

use std::sync::LazyLock;

use crate::core::Line;

#[cfg(target_arch = "x86_64")]
mod x86;

/// Panels that lie together: one line holds one dimension of so many.
const PANEL: usize = 16;

/// Vectors that are compared with all centres at once.
pub(super) const BATCH: usize = 8;

/// Panels, all of one dimension, laid out so that wide registers hold a dimension of 16 of them and nothing has to be
/// added across a register.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Panels {
    dimension: usize,
    /// For each 16 centres, a line for each dimension; the last panel is filled up with zeros.
    lines: Vec<Line>,
    /// Half the square of each centre's length; infinite for those that fill up the last panel.
    halves: Vec<f32>,
}

/// Inner products of up to [`BATCH`] vectors with the centres of one panel.
type Products = [[f32; PANEL]; BATCH];

/// Vectors one after another, their dimension, a panel, and where the products go.
type Kernel = fn(&[f32], usize, &[Line], &mut Products);

static KERNEL: LazyLock<Kernel> = LazyLock::new(|| {
    #[cfg(target_arch = "x86_64")]
    if let Some(kernel) = x86::kernels().last() {
        return *kernel;
    }
    products
});

impl Panels {
    /// The centres, one after another, each of `dimension` elements.
    pub(super) fn new(dimension: usize, centres: &[f32]) -> Self {
        let count = centres.len() / dimension;
        let panels = count.div_ceil(PANEL);
        let mut this = Self {
            dimension,
            lines: vec![Line::default(); panels * dimension],
            halves: vec![f32::INFINITY; panels * PANEL],
        };
        for (number, centre) in centres.chunks_exact(dimension).enumerate() {
            let begin = number / PANEL * dimension;
            let panel = this.lines.get_mut(begin..begin + dimension);
            let panel: &mut [[f32; PANEL]] = bytemuck::cast_slice_mut(panel.unwrap_or_default());
            for (line, value) in panel.iter_mut().zip(centre) {
                if let Some(place) = line.get_mut(number % PANEL) {
                    *place = *value;
                }
            }
            if let Some(half) = this.halves.get_mut(number) {
                *half = square(centre) / 2.0;
            }
        }
        this
    }

    /// The nearest centre of each of the vectors, which lie one after another; of equally near ones the first.
    pub(super) fn nearest(&self, vectors: &[f32], out: &mut [u32]) {
        let batches = vectors.chunks(BATCH * self.dimension);
        for (vectors, out) in batches.zip(out.chunks_mut(BATCH)) {
            let mut best = [f32::INFINITY; BATCH];
            out.fill(0);
            self.for_each_panel(vectors, |panel, halves, products| {
                for ((best, out), products) in best.iter_mut().zip(out.iter_mut()).zip(products) {
                    for ((at, half), product) in (0..).zip(halves).zip(products) {
                        let rank = half - product;
                        if rank < *best {
                            (*best, *out) = (rank, panel + at);
                        }
                    }
                }
            });
        }
    }

    /// Visits the panels: number of the first centre, half squares, and products with up to [`BATCH`] vectors.
    fn for_each_panel(&self, vectors: &[f32], mut visit: impl FnMut(u32, &[f32], &Products)) {
        let kernel = *KERNEL;
        let panels = self.lines.chunks_exact(self.dimension);
        let mut number = 0;
        for (panel, halves) in panels.zip(self.halves.chunks_exact(PANEL)) {
            let mut products = [[0.0; PANEL]; BATCH];
            kernel(vectors, self.dimension, panel, &mut products);
            visit(number, halves, &products);
            number += 16;
        }
    }
}

pub(super) fn square(vector: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; PANEL];
    for values in vector.as_chunks::<PANEL>().0 {
        for (lane, value) in lanes.iter_mut().zip(values) {
            *lane += value * value;
        }
    }
    lanes.iter().sum()
}

/// The products, by definition.
fn products(vectors: &[f32], dimension: usize, panel: &[Line], out: &mut Products) {
    for (vector, out) in vectors.chunks_exact(dimension).zip(out) {
        let mut sums = [0.0_f32; PANEL];
        let lines: &[[f32; PANEL]] = bytemuck::cast_slice(panel);
        for (value, line) in vector.iter().zip(lines) {
            for (sum, centre) in sums.iter_mut().zip(line) {
                *sum += value * centre;
            }
        }
        *out = sums;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::distance::scalar;
    use crate::indexing::quantize::Random;

    #[test]
    fn every_machine_finds_the_nearest() {
        for (dimension, count) in [(64, 1), (64, 16), (192, 45), (832, 33)] {
            let mut random = Random::new(count as u64);
            let values = random.normals(dimension * count);
            let centres = Panels::new(dimension, &values);
            let vectors = random.normals(dimension * 21);
            let mut nearest = vec![9; 21];
            centres.nearest(&vectors, &mut nearest);
            for (vector, nearest) in vectors.chunks(dimension).zip(nearest) {
                let distances = |c: &[f32]| scalar::squared_euclidean(c, vector);
                let distances: Vec<f32> = values.chunks(dimension).map(distances).collect();
                let least = distances.iter().copied().fold(f32::INFINITY, f32::min);
                assert!((distances[nearest as usize] - least).abs() < 1e-3);
            }
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn kernels_agree_with_the_definition() {
        let mut random = Random::new(3);
        for (dimension, vectors) in [(64, 8), (192, 3), (832, 1), (64, 5)] {
            let values = random.normals(dimension * vectors);
            let centres = Panels::new(dimension, &random.normals(dimension * 16));
            let mut expect = [[0.0; PANEL]; BATCH];
            products(&values, dimension, &centres.lines, &mut expect);
            for kernel in x86::kernels() {
                let mut found = [[0.0; PANEL]; BATCH];
                kernel(&values, dimension, &centres.lines, &mut found);
                let pairs = found.as_flattened().iter().zip(expect.as_flattened());
                assert!(pairs.clone().all(|(a, b)| (a - b).abs() < 1e-3));
            }
        }
    }
}
