//! Vectors made from a seed, shaped as embeddings of a learned model are.
//!
//! Uncorrelated Gaussian numbers are no test: all rows are about equally far from each other, and every index is slow on
//! them. Embeddings differ in three ways, which this copies:
//!
//! - **Few directions carry most.** The standard deviation of principal component `i` falls as `1 / (1 + i / 6)`; the
//!   components are then turned by a random rotation, so that no coordinate is special.
//! - **They lie in clusters within topics.** 200 topics, 20 clusters each, points around clusters, as 1.0 : 0.8 : 0.7; some
//!   topics and clusters have many more points than others, and a cluster has its own width. Around a cluster the spectrum
//!   falls a little more slowly, `(1 + i / 6)^-0.9`, since what is common to the cluster has gone.
//! - **Queries come from the same source and are not in the base.**
//!
//! A million of these has a local intrinsic dimension of 23 (maximum likelihood, ten neighbours, median of the queries), and
//! the tenth neighbour is 1.12 times as far as the first.

use bench::random::{Random, mix};

pub(crate) const DIMENSION: usize = 128;
const TOPICS: usize = 200;
const CLUSTERS_OF_TOPIC: usize = 20;
/// Vectors drawn from one generator, so that the result does not depend on the number of threads.
const CHUNK: usize = 4_096;

/// `count` vectors, one after another. Part 0 is the base, part 1 the queries.
pub(crate) fn vectors(seed: u64, part: u64, count: usize, threads: usize) -> Vec<f32> {
    let source = Source::new(seed);
    let mut all = vec![0.0_f32; count * DIMENSION];
    let chunks: Vec<(u64, &mut [f32])> = (0..).zip(all.chunks_mut(CHUNK * DIMENSION)).collect();
    let queue = std::sync::Mutex::new(chunks);
    let next = || queue.lock().ok()?.pop();
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while let Some((number, chunk)) = next() {
                    let mut random = Gauss::new(mix(seed ^ mix(part)) ^ mix(number));
                    for vector in chunk.chunks_exact_mut(DIMENSION) {
                        source.draw(&mut random, vector);
                    }
                }
            });
        }
    });
    all
}

struct Cluster {
    centre: Vec<f32>,
    width: f32,
}

struct Source {
    topics: Vec<Vec<Cluster>>,
    /// Standard deviation around a cluster by component.
    spread: Vec<f32>,
    /// Row `i` is where component `i` points.
    rotation: Vec<Vec<f32>>,
}

impl Source {
    fn new(seed: u64) -> Self {
        let mut random = Gauss::new(mix(seed));
        let outer = spectrum(6.0, 1.0);
        let point = |random: &mut Gauss, scale: f32| -> Vec<f32> {
            outer.iter().map(|s| s * scale * random.next()).collect()
        };
        let mut topics = Vec::new();
        for _ in 0..TOPICS {
            let topic = point(&mut random, 1.0);
            let clusters = (0..CLUSTERS_OF_TOPIC).map(|_| {
                let own = point(&mut random, 0.8);
                let centre = topic.iter().zip(own).map(|(a, b)| a + b).collect();
                let width = 0.7 * (0.25 * random.next()).exp();
                Cluster { centre, width }
            });
            topics.push(clusters.collect());
        }
        Self {
            topics,
            spread: spectrum(6.0, 0.9),
            rotation: rotation(&mut random),
        }
    }

    fn draw(&self, random: &mut Gauss, vector: &mut [f32]) {
        let topic = &self.topics[random.0.skewed(TOPICS)];
        let cluster = &topic[random.0.skewed(CLUSTERS_OF_TOPIC)];
        vector.fill(0.0);
        let components = cluster.centre.iter().zip(&self.spread);
        for ((centre, spread), direction) in components.zip(&self.rotation) {
            let value = centre + cluster.width * spread * random.next();
            for (sum, part) in vector.iter_mut().zip(direction) {
                *sum += value * part;
            }
        }
    }
}

fn spectrum(knee: f32, power: f32) -> Vec<f32> {
    (0..DIMENSION)
        .map(|i| (1.0 + i as f32 / knee).powf(-power))
        .collect()
}

/// Orthonormal directions: Gaussian vectors made so by Gram and Schmidt, twice for the rounding.
fn rotation(random: &mut Gauss) -> Vec<Vec<f32>> {
    let mut rows: Vec<Vec<f32>> = Vec::new();
    while rows.len() < DIMENSION {
        let mut row: Vec<f32> = (0..DIMENSION).map(|_| random.next()).collect();
        for _ in 0..2 {
            for other in &rows {
                let along: f32 = row.iter().zip(other).map(|(a, b)| a * b).sum();
                row.iter_mut().zip(other).for_each(|(a, b)| *a -= along * b);
            }
            let length = row.iter().map(|a| a * a).sum::<f32>().sqrt();
            for a in &mut row {
                *a /= length;
            }
        }
        rows.push(row);
    }
    rows
}

/// Normally distributed numbers.
struct Gauss(Random, Option<f32>);

impl Gauss {
    fn new(seed: u64) -> Self {
        Self(Random::new(seed), None)
    }

    /// By Box and Muller, who make two at a time.
    fn next(&mut self) -> f32 {
        if let Some(kept) = self.1.take() {
            return kept;
        }
        let unit = |bits: u64| ((bits >> 40) as f32 + 0.5) / (1_u64 << 24) as f32;
        let radius = (-2.0 * unit(self.0.bits()).ln()).sqrt();
        let (sine, cosine) = (std::f32::consts::TAU * unit(self.0.bits())).sin_cos();
        self.1 = Some(radius * sine);
        radius * cosine
    }
}
