//! `tandemdb._native.statistics`: the engine's statistics of experiments.

use numpy::PyArray1;
use parking_lot::Mutex;
use pyo3::prelude::*;
use vectordb::experiment as crate_of;
use vectordb::experiment::SequentialOptions;

use crate::interchange::watch::{self, Watch};
use crate::interchange::{Column, array, raise, read, write};

/// Of how many values moments are told before a signal has waited too long.
const VALUES_SHORT: usize = 1 << 20;

/// Native part of `vectordb.statistics`.
#[pymodule]
pub(crate) mod statistics {
    #[pymodule_export]
    use super::{
        Bandit, Moments, PairMoments, benjamini_hochberg, bootstrap, compare_cuped, compare_means,
        compare_proportions, compare_ratios, holm, power, sample_ratio, sample_size, sequential,
        weigh,
    };
}

fn floats(what: &str, values: &Bound<'_, PyAny>) -> PyResult<Vec<f64>> {
    Column::of(values)?.into_floats(what)
}

/// Number, mean and squared deviations of a sample: all that comparisons need. Those of parts merge.
#[pyclass(frozen, eq, module = "vectordb.statistics")]
#[derive(PartialEq, Clone)]
pub(crate) struct Moments(crate_of::Moments);

#[pymethods]
impl Moments {
    #[new]
    #[pyo3(signature = (n = 0, mean = 0.0, squares = 0.0), text_signature = "(n=0, mean=0.0, squares=0.0)")]
    fn new(n: u64, mean: f64, squares: f64) -> Self {
        Self(crate_of::Moments { n, mean, squares })
    }

    /// Of a list or an array of numbers.
    #[staticmethod]
    fn of(py: Python<'_>, values: &Bound<'_, PyAny>) -> PyResult<Self> {
        let values = floats("the sample", values)?;
        let is_long = values.len() > VALUES_SHORT;
        let moments = move |_: &Watch| Ok(crate_of::Moments::of(&values));
        watch::run_if(py, is_long, None, moments).map(Self)
    }

    /// The moments of this sample and another together.
    fn merge(&self, other: &Self) -> Self {
        let mut both = self.0;
        both.merge(&other.0);
        Self(both)
    }

    /// How many values.
    #[getter]
    fn n(&self) -> u64 {
        self.0.n
    }

    /// Their mean; 0 of none.
    #[getter]
    fn mean(&self) -> f64 {
        self.0.mean
    }

    /// The sum of squared deviations from the mean.
    #[getter]
    fn squares(&self) -> f64 {
        self.0.squares
    }

    /// The variance of the sample; None of fewer than two values.
    #[getter]
    fn variance(&self) -> Option<f64> {
        self.0.variance()
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyAny>, (u64, f64, f64)) {
        let own = slf.get().0;
        (slf.get_type().into_any(), (own.n, own.mean, own.squares))
    }

    fn __repr__(&self) -> String {
        format!(
            "Moments(n={}, mean={:?}, squares={:?})",
            self.0.n, self.0.mean, self.0.squares
        )
    }
}

/// Moments of pairs: a metric and its covariate from before, or what is above and below in a ratio.
#[pyclass(frozen, eq, module = "vectordb.statistics")]
#[derive(PartialEq, Clone)]
pub(crate) struct PairMoments(crate_of::PairMoments);

#[pymethods]
impl PairMoments {
    /// Of two lists or arrays of numbers, as many in one as in the other.
    #[staticmethod]
    fn of(py: Python<'_>, first: &Bound<'_, PyAny>, second: &Bound<'_, PyAny>) -> PyResult<Self> {
        let (first, second) = (floats("the first", first)?, floats("the second", second)?);
        if first.len() != second.len() {
            return Err(pyo3::exceptions::PyValueError::new_err(format!(
                "there are {} first values and {} second ones",
                first.len(),
                second.len()
            )));
        }
        let is_long = first.len() > VALUES_SHORT;
        let moments = move |_: &Watch| Ok(first.into_iter().zip(second).collect());
        watch::run_if(py, is_long, None, moments).map(Self)
    }

    /// The moments of this sample and another together.
    fn merge(&self, other: &Self) -> Self {
        let mut both = self.0;
        both.merge(&other.0);
        Self(both)
    }

    /// Of the first values.
    #[getter]
    fn first(&self) -> Moments {
        Moments(self.0.first)
    }

    /// Of the second values.
    #[getter]
    fn second(&self) -> Moments {
        Moments(self.0.second)
    }

    /// The covariance; None of fewer than two pairs.
    #[getter]
    fn covariance(&self) -> Option<f64> {
        self.0.covariance()
    }
}

/// A sample: moments, or the numbers themselves.
fn sample(values: &Bound<'_, PyAny>) -> PyResult<crate_of::Moments> {
    if let Ok(moments) = values.cast::<Moments>() {
        return Ok(moments.get().0);
    }
    let values = floats("the sample", values)?;
    Ok(crate_of::Moments::of(&values))
}

/// Compares the means of two samples after Welch: a dict with `difference`, `p_value`, `interval`, `lift` and more. A
/// sample is numbers, or `Moments`.
#[pyfunction]
#[pyo3(signature = (control, variant, confidence = 0.95), text_signature = "(control, variant, confidence=0.95)")]
fn compare_means<'py>(
    py: Python<'py>,
    control: &Bound<'py, PyAny>,
    variant: &Bound<'py, PyAny>,
    confidence: f64,
) -> PyResult<Bound<'py, PyAny>> {
    let (control, variant) = (sample(control)?, sample(variant)?);
    write(
        py,
        &crate_of::compare_means(&control, &variant, confidence).map_err(raise)?,
    )
}

/// Compares two shares, each given as (units, successes).
#[pyfunction]
#[pyo3(signature = (control, variant, confidence = 0.95), text_signature = "(control, variant, confidence=0.95)")]
fn compare_proportions(
    py: Python<'_>,
    control: [u64; 2],
    variant: [u64; 2],
    confidence: f64,
) -> PyResult<Bound<'_, PyAny>> {
    write(
        py,
        &crate_of::compare_proportions(control, variant, confidence).map_err(raise)?,
    )
}

/// Compares two ratios of means by the delta method: the first of each pair is above, the second below.
#[pyfunction]
#[pyo3(signature = (control, variant, confidence = 0.95), text_signature = "(control, variant, confidence=0.95)")]
fn compare_ratios<'py>(
    py: Python<'py>,
    control: &PairMoments,
    variant: &PairMoments,
    confidence: f64,
) -> PyResult<Bound<'py, PyAny>> {
    write(
        py,
        &crate_of::compare_ratios(&control.0, &variant.0, confidence).map_err(raise)?,
    )
}

/// Compares two means that are adjusted by a covariate from before the experiment (CUPED): the metric first, the covariate
/// second.
#[pyfunction]
#[pyo3(signature = (control, variant, confidence = 0.95), text_signature = "(control, variant, confidence=0.95)")]
fn compare_cuped<'py>(
    py: Python<'py>,
    control: &PairMoments,
    variant: &PairMoments,
    confidence: f64,
) -> PyResult<Bound<'py, PyAny>> {
    write(
        py,
        &crate_of::compare_cuped(&control.0, &variant.0, confidence).map_err(raise)?,
    )
}

/// What a comparison says at any of many looks: a dict with `p_value` and `interval`.
#[pyfunction]
#[pyo3(signature = (comparison, *, level = 0.05, units_planned = 5000, units_min = 50),
    text_signature = "(comparison, *, level=0.05, units_planned=5000, units_min=50)")]
fn sequential<'py>(
    py: Python<'py>,
    comparison: &Bound<'py, PyAny>,
    level: f64,
    units_planned: u64,
    units_min: u64,
) -> PyResult<Bound<'py, PyAny>> {
    let comparison: crate_of::Comparison = read("comparison", comparison)?;
    let options = SequentialOptions {
        level,
        units_planned,
        units_min,
    };
    write(
        py,
        &crate_of::sequential(&comparison, options).map_err(raise)?,
    )
}

/// Whether as many units were counted in each variant as their shares let expect: a dict with `statistic`, `p_value` and
/// `is_mismatch`.
#[pyfunction]
#[expect(
    clippy::needless_pass_by_value,
    reason = "read from a sequence of Python"
)]
fn sample_ratio(py: Python<'_>, counts: Vec<u64>, shares: Vec<f64>) -> PyResult<Bound<'_, PyAny>> {
    write(
        py,
        &crate_of::sample_ratio(&counts, &shares).map_err(raise)?,
    )
}

/// The probability of finding an effect of so many standard deviations with `n` units in the control and `ratio` times as
/// many in the variant.
#[pyfunction]
#[pyo3(signature = (effect, n, ratio = 1.0, level = 0.05), text_signature = "(effect, n, ratio=1.0, level=0.05)")]
fn power(effect: f64, n: f64, ratio: f64, level: f64) -> PyResult<f64> {
    crate_of::power(effect, n, ratio, level).map_err(raise)
}

/// Units in the control with which an effect of so many standard deviations is found with the probability `power`.
#[pyfunction]
#[pyo3(signature = (effect, power = 0.8, ratio = 1.0, level = 0.05), text_signature = "(effect, power=0.8, ratio=1.0, level=0.05)")]
fn sample_size(effect: f64, power: f64, ratio: f64, level: f64) -> PyResult<f64> {
    crate_of::sample_size(effect, power, ratio, level).map_err(raise)
}

/// p-values adjusted for the family-wise error rate (Holm 1979).
#[pyfunction]
fn holm<'py>(py: Python<'py>, p_values: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let p_values = floats("p-values", p_values)?;
    Ok(array(py, crate_of::holm(&p_values)))
}

/// p-values adjusted for the false discovery rate (Benjamini and Hochberg 1995).
#[pyfunction]
fn benjamini_hochberg<'py>(
    py: Python<'py>,
    p_values: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let p_values = floats("p-values", p_values)?;
    Ok(array(py, crate_of::benjamini_hochberg(&p_values)))
}

/// Where the difference of two means lies, by resampling both: the ends of the percentile interval.
#[pyfunction]
#[pyo3(signature = (control, variant, confidence = 0.95, *, resamples = 2000, seed = 0),
    text_signature = "(control, variant, confidence=0.95, *, resamples=2000, seed=0)")]
fn bootstrap(
    py: Python<'_>,
    control: &Bound<'_, PyAny>,
    variant: &Bound<'_, PyAny>,
    confidence: f64,
    resamples: usize,
    seed: u64,
) -> PyResult<(f64, f64)> {
    let (control, variant) = (
        floats("the control", control)?,
        floats("the variant", variant)?,
    );
    let drawn = control
        .len()
        .saturating_add(variant.len())
        .saturating_mul(resamples);
    let is_long = drawn > watch::NUMBERS_UNCHECKED;
    let [low, high] = watch::run_if(py, is_long, None, move |watch| {
        let mut go_on = |done| watch.flow(done, resamples);
        crate_of::bootstrap_watched(&control, &variant, confidence, resamples, seed, &mut go_on)
    })?;
    Ok((low, high))
}

/// Which of several variants is the best, by what is believed of each: a list of dicts with the probability `best` and
/// the `expected_loss` of choosing it. A variant is (units, successes), with the `prior` of a beta distribution; or
/// `Moments` or numbers, of which the mean is believed to be normal.
#[pyfunction]
#[pyo3(signature = (variants, *, prior = None), text_signature = "(variants, *, prior=None)")]
#[expect(
    clippy::needless_pass_by_value,
    reason = "read from a sequence of Python"
)]
fn weigh<'py>(
    py: Python<'py>,
    variants: Vec<Bound<'py, PyAny>>,
    prior: Option<[f64; 2]>,
) -> PyResult<Bound<'py, PyAny>> {
    let posterior = |variant: &Bound<'_, PyAny>| {
        let made = match variant.extract::<(u64, u64)>() {
            Ok((n, successes)) => {
                crate_of::Posterior::of_proportion([n, successes], prior.unwrap_or([1.0, 1.0]))
            }
            Err(_) => crate_of::Posterior::of_mean(&sample(variant)?, prior),
        };
        made.map_err(raise)
    };
    let posteriors = variants
        .iter()
        .map(posterior)
        .collect::<PyResult<Vec<_>>>()?;
    let verdicts = py.detach(|| crate_of::weigh(&posteriors)).map_err(raise)?;
    write(py, &verdicts)
}

/// Chooses among arms while it learns; an arm is (successes, failures).
#[pyclass(frozen, module = "vectordb.statistics")]
pub(crate) struct Bandit(Mutex<crate_of::Bandit>);

fn arms_of(arms: Vec<(u64, u64)>) -> Vec<crate_of::Arm> {
    let arm = |(successes, failures)| crate_of::Arm {
        successes,
        failures,
    };
    arms.into_iter().map(arm).collect()
}

#[pymethods]
impl Bandit {
    #[new]
    #[pyo3(signature = (seed = 0), text_signature = "(seed=0)")]
    fn new(seed: u64) -> Self {
        Self(Mutex::new(crate_of::Bandit::new(seed)))
    }

    /// The number of an arm, by a draw from what is believed of each (Thompson 1933).
    fn thompson(&self, arms: Vec<(u64, u64)>) -> PyResult<usize> {
        self.0.lock().thompson(&arms_of(arms)).map_err(raise)
    }

    /// The number of the best arm, or with the probability `epsilon` of any.
    fn epsilon_greedy(&self, arms: Vec<(u64, u64)>, epsilon: f64) -> PyResult<usize> {
        self.0
            .lock()
            .epsilon_greedy(&arms_of(arms), epsilon)
            .map_err(raise)
    }
}
