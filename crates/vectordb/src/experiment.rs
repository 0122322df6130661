//! Experiments: who gets which variant, and what follows from what they did.
//!
//! An [`Experiment`] is data. Compiled to a [`Plan`] it assigns units (users, devices, orders) to variants by a hash of
//! salt and unit, so that no state is kept and every machine gives the same answer. `docs/experiments.md` describes the
//! algorithms. An [`ExperimentLog`] keeps exposures and outcomes in tables of a database, and [`analyse`] makes a
//! [`Report`] of them.
//!
//! ```
//! use vectordb::experiment::{Experiment, NO_VARIANT};
//! let experiment = Experiment::new("button", ["grey", "green"]).coverage(0.1);
//! let plan = experiment.compile(None)?;
//! let wider = experiment.clone().coverage(0.5).compile(None)?;
//! let units: Vec<String> = (0..1000).map(|i| format!("user-{i}")).collect();
//! for (before, after) in plan.assign_all(&units)?.into_iter().zip(wider.assign_all(&units)?) {
//!     assert!(before == NO_VARIANT || before == after, "a ramp moves nobody");
//! }
//! # Ok::<(), common::Error>(())
//! ```

mod analyse;
mod assign;
mod definition;
mod definitions;
pub mod growthbook;
mod hash;
mod json;
mod log;
mod position;
mod report;
mod statistics;

pub use analyse::{AnalysisOptions, Metric, analyse};
pub use assign::{Assignment, Change, Decision, NO_VARIANT, Plan, Reason, check_exclusive};
pub use definition::{Experiment, Holdout, Slice, VARIANTS_MAX};
pub use definitions::KeptExperiment;
pub use hash::Algorithm;
pub use log::{ExperimentLog, Exposure, Outcome};
pub use position::Positions;
pub use report::{MetricReport, Report, VariantReport};
pub use statistics::{
    Arm, Bandit, Comparison, Correction, Description, Lift, Moments, PairMoments, Posterior,
    RESAMPLES_MAX, SampleRatio, Sequential, SequentialOptions, Summary, Verdict,
    benjamini_hochberg, bootstrap, bootstrap_watched, compare_cuped, compare_means,
    compare_proportions, compare_ratios, holm, median, power, sample_ratio, sample_size,
    sequential, weigh,
};
