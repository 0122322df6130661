//! Statistics of outcomes, and the lift of one group over another.

use pyo3::prelude::*;
use pyo3::types::{PyAny, PyDict};
use vectordb::experiment::{Description, Moments};

use crate::vectordb::transform::number;

/// The numbers among outcomes.
pub(super) struct Sample<'py> {
    /// How many outcomes there are, numbers or not.
    pub(super) outcomes: usize,
    numbers: Vec<f64>,
    /// What `numbers` were read from.
    objects: Vec<Bound<'py, PyAny>>,
}

impl<'py> Sample<'py> {
    /// Sorts out the numbers among `values`.
    pub(super) fn of(values: impl Iterator<Item = PyResult<Bound<'py, PyAny>>>) -> PyResult<Self> {
        let mut sample = Self {
            outcomes: 0,
            numbers: Vec::with_capacity(values.size_hint().0),
            objects: Vec::with_capacity(values.size_hint().0),
        };
        for value in values {
            let value = value?;
            sample.outcomes += 1;
            if let Some(x) = number(&value)? {
                sample.numbers.push(x);
                sample.objects.push(value);
            }
        }
        Ok(sample)
    }

    /// The dict that `calculate_statistics` returns.
    pub(super) fn describe(self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let described = PyDict::new(py);
        let Some(first) = self.objects.first() else {
            described.set_item("count", self.outcomes)?;
            return Ok(described);
        };
        let object = |at: Option<usize>| at.and_then(|at| self.objects.get(at)).unwrap_or(first);
        let description = Description::of(self.numbers);
        described.set_item("count", description.moments.n)?;
        described.set_item("mean", description.moments.mean)?;
        described.set_item("min", object(description.least_at))?;
        described.set_item("max", object(description.greatest_at))?;
        if let Some(variance) = description.moments.variance() {
            described.set_item("median", description.median)?;
            described.set_item("stdev", variance.sqrt())?;
            described.set_item("variance", variance)?;
        }
        Ok(described)
    }
}

/// How far the test group's mean is from the control group's: the dict that `calculate_lift` returns.
pub(super) fn lift<'py>(
    py: Python<'py>,
    control: &Sample<'py>,
    test: &Sample<'py>,
) -> PyResult<Bound<'py, PyDict>> {
    let lift = PyDict::new(py);
    if control.outcomes == 0 || test.outcomes == 0 {
        lift.set_item("error", "One or both groups have no outcomes")?;
        return Ok(lift);
    }
    if control.numbers.is_empty() || test.numbers.is_empty() {
        lift.set_item("error", "Cannot calculate lift for non-numeric outcomes")?;
        return Ok(lift);
    }
    let (control, test) = (Moments::of(&control.numbers), Moments::of(&test.numbers));
    let difference = test.mean - control.mean;
    let relative = if control.mean != 0.0 {
        difference / control.mean
    } else if test.mean == 0.0 {
        0.0
    } else {
        f64::INFINITY.copysign(test.mean)
    };
    lift.set_item("control_mean", control.mean)?;
    lift.set_item("test_mean", test.mean)?;
    lift.set_item("absolute_lift", difference)?;
    lift.set_item("relative_lift", relative)?;
    let interval = mean_variance(&control)
        .zip(mean_variance(&test))
        .map(|(a, b)| {
            let margin = 1.96 * (a + b).sqrt();
            (difference - margin, difference + margin)
        });
    lift.set_item("confidence_interval", interval)?;
    lift.set_item("control_count", control.n)?;
    lift.set_item("test_count", test.n)?;
    Ok(lift)
}

/// The variance of the mean of a sample; none of fewer than two values.
#[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
fn mean_variance(sample: &Moments) -> Option<f64> {
    sample.variance().map(|variance| variance / sample.n as f64)
}
