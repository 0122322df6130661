//! Statistics of experiments, from sufficient statistics: counts, means, squares and products, which merge.

mod bandit;
mod bayes;
mod bootstrap;
mod compare;
mod describe;
mod distribution;
mod moments;
mod multiple;
mod power;
mod sequential;

pub use bandit::{Arm, Bandit};
pub use bayes::{Posterior, Verdict, weigh};
pub use bootstrap::{RESAMPLES_MAX, bootstrap, bootstrap_watched};
pub use compare::{
    Comparison, Correction, Lift, Summary, compare_cuped, compare_means, compare_proportions,
    compare_ratios,
};
pub use describe::{Description, median};
pub use moments::{Moments, PairMoments};
pub use multiple::{benjamini_hochberg, holm};
pub use power::{SampleRatio, power, sample_ratio, sample_size};
pub use sequential::{Sequential, SequentialOptions, sequential};
