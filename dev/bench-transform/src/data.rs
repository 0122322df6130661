//! The numbers and texts that every subject transforms, and the folder in which the other process finds them.

use std::fs;
use std::path::Path;

use bench::Result;
use bench::random::Random;

/// Columns of every case.
pub(crate) const COLUMNS: usize = 100;
/// Rows of the large cases.
pub(crate) const ROWS: usize = 100_000;
/// Rows of a batch of texts.
pub(crate) const TEXT_ROWS: usize = 1_000;
/// Categories of each column of texts.
pub(crate) const CATEGORIES: usize = 10;

/// What is transformed.
pub(crate) struct Data {
    /// Columns of different means and spreads.
    pub(crate) numbers: Vec<f64>,
    /// The same with holes.
    pub(crate) holes: Vec<f64>,
    /// Columns of categories, one after another.
    pub(crate) texts: Vec<Vec<String>>,
}

impl Data {
    /// Made from a seed, and written into `folder` as plain bytes and JSON.
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    pub(crate) fn make(folder: &Path) -> Result<Self> {
        let mut random = Random::new(20_261_129);
        let unit = |random: &mut Random| random.below(1 << 20) as f64 / f64::from(1 << 20);
        let mut numbers = Vec::with_capacity(ROWS * COLUMNS);
        for _ in 0..ROWS {
            numbers.extend((0..COLUMNS).map(|column| {
                let sum: f64 = (0..3).map(|_| unit(&mut random)).sum();
                (sum - 1.5) * (1.0 + column as f64) + column as f64 * 10.0 - 300.0
            }));
        }
        let mut hole = |x: &f64| if random.below(20) == 0 { f64::NAN } else { *x };
        let holes = numbers.iter().map(&mut hole).collect();
        let texts: Vec<Vec<String>> = (0..COLUMNS)
            .map(|column| {
                let mut text = || format!("kind-{column}-{}", random.below(CATEGORIES));
                (0..TEXT_ROWS).map(|_| text()).collect()
            })
            .collect();
        let data = Self {
            numbers,
            holes,
            texts,
        };
        fs::write(folder.join("numbers"), bytemuck::cast_slice(&data.numbers))?;
        fs::write(folder.join("holes"), bytemuck::cast_slice(&data.holes))?;
        fs::write(folder.join("texts"), serde_json::to_vec(&data.texts)?)?;
        Ok(data)
    }
}
