//! [`Operation`]: an operation as its Python object describes it.

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyDict, PyFloat, PyList, PyTuple};

use super::value::number;

/// An operation with its live parameters.
pub(super) enum Operation<'py> {
    /// Minimum and maximum of each feature become the ends of a range.
    Scale {
        low: f64,
        high: f64,
        minima: Bound<'py, PyDict>,
        maxima: Bound<'py, PyDict>,
    },
    /// Less the mean, divided by the deviation.
    Normalize {
        means: Bound<'py, PyDict>,
        deviations: Bound<'py, PyDict>,
    },
    /// A feature becomes one feature for each of its categories.
    Encode {
        categories: Bound<'py, PyDict>,
        /// Feature to its categories and the features that take its place, as they were when last used.
        columns: Bound<'py, PyDict>,
    },
    /// What is `None` becomes a value.
    Impute {
        strategy: Bound<'py, PyAny>,
        fill_value: Bound<'py, PyAny>,
        values: Bound<'py, PyDict>,
    },
}

/// What is done to one value.
pub(super) enum Change<'py> {
    /// `low + span * ((x - least) / width)`.
    Scale {
        low: f64,
        span: f64,
        least: f64,
        width: f64,
    },
    /// `(x - mean) / deviation`.
    Normalize { mean: f64, deviation: f64 },
    /// In place of `None`.
    Fill(Bound<'py, PyAny>),
}

/// A feature with its categories, and the features that take its place.
pub(super) struct Encoder<'py> {
    pub(super) feature: Bound<'py, PyAny>,
    /// Category to its place in `columns`.
    pub(super) places: Bound<'py, PyDict>,
    pub(super) columns: Vec<Bound<'py, PyAny>>,
    pub(super) hit: Bound<'py, PyFloat>,
    pub(super) miss: Bound<'py, PyFloat>,
}

impl<'py> Operation<'py> {
    /// Reads the tuple of a name and parameters.
    pub(super) fn read(step: &Bound<'py, PyAny>) -> PyResult<Self> {
        let step = step.cast::<PyTuple>()?;
        let dict =
            |at: usize| -> PyResult<Bound<'py, PyDict>> { Ok(step.get_item(at)?.cast_into()?) };
        let name = step.get_item(0)?;
        let py = step.py();
        // Names are literals of this package, which Python interns as `intern!` does.
        if name.is(intern!(py, "scale")) {
            let range = step.get_item(1)?;
            Ok(Self::Scale {
                low: range.get_item(0)?.extract()?,
                high: range.get_item(1)?.extract()?,
                minima: dict(2)?,
                maxima: dict(3)?,
            })
        } else if name.is(intern!(py, "normalize")) {
            Ok(Self::Normalize {
                means: dict(1)?,
                deviations: dict(2)?,
            })
        } else if name.is(intern!(py, "encode")) {
            Ok(Self::Encode {
                categories: dict(1)?,
                columns: dict(2)?,
            })
        } else if name.is(intern!(py, "impute")) {
            Ok(Self::Impute {
                strategy: step.get_item(1)?,
                fill_value: step.get_item(2)?,
                values: dict(3)?,
            })
        } else {
            let name = name.str()?;
            Err(PyValueError::new_err(format!(
                "no operation is called {name}"
            )))
        }
    }

    /// The features that the operation has learnt, all or those named.
    pub(super) fn learnt(
        &self,
        names: Option<&[Bound<'py, PyAny>]>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let known = match self {
            Self::Scale { minima, .. } => minima,
            Self::Normalize { means, .. } => means,
            Self::Encode { categories, .. } => categories,
            Self::Impute { values, .. } => values,
        };
        let Some(names) = names else {
            return Ok(known.keys().iter().collect());
        };
        let mut learnt = Vec::with_capacity(names.len());
        for name in names {
            if known.contains(name)? {
                learnt.push(name.clone());
            }
        }
        Ok(learnt)
    }

    /// What is done to the values of a feature; `None` where nothing is, and for encoders.
    pub(super) fn change(&self, feature: &Bound<'py, PyAny>) -> PyResult<Option<Change<'py>>> {
        let parameter = |of: &Bound<'py, PyDict>| -> PyResult<Option<f64>> {
            let Some(value) = of.get_item(feature)? else {
                return Ok(None);
            };
            match number(&value)? {
                Some(number) => Ok(Some(number)),
                None => value.extract().map(Some),
            }
        };
        match self {
            Self::Scale {
                low,
                high,
                minima,
                maxima,
            } => {
                let (Some(least), Some(greatest)) = (parameter(minima)?, parameter(maxima)?) else {
                    return Ok(None);
                };
                let width = greatest - least;
                let change = Change::Scale {
                    low: *low,
                    span: high - low,
                    least,
                    width,
                };
                Ok((width != 0.0).then_some(change))
            }
            Self::Normalize { means, deviations } => {
                let (Some(mean), Some(deviation)) = (parameter(means)?, parameter(deviations)?)
                else {
                    return Ok(None);
                };
                Ok((deviation != 0.0).then_some(Change::Normalize { mean, deviation }))
            }
            Self::Impute { values, .. } => Ok(values.get_item(feature)?.map(Change::Fill)),
            Self::Encode { .. } => Ok(None),
        }
    }

    /// The encoder of a feature, when this encodes and has learnt it.
    pub(super) fn encoder(&self, feature: &Bound<'py, PyAny>) -> PyResult<Option<Encoder<'py>>> {
        let Self::Encode {
            categories,
            columns,
        } = self
        else {
            return Ok(None);
        };
        let Some(categories) = categories.get_item(feature)? else {
            return Ok(None);
        };
        let py = feature.py();
        let categories = tuple_of(&categories)?;
        let places = PyDict::new(py);
        for (at, category) in categories.iter().enumerate() {
            places.set_item(category, at)?;
        }
        let columns = column_names(columns, feature, &categories)?;
        Ok(Some(Encoder {
            feature: feature.clone(),
            places,
            columns: columns.iter().collect(),
            hit: PyFloat::new(py, 1.0),
            miss: PyFloat::new(py, 0.0),
        }))
    }
}

/// The categories of a feature at this moment.
pub(super) fn tuple_of<'py>(categories: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
    match categories.cast::<PyList>() {
        Ok(list) => Ok(list.to_tuple()),
        Err(_) => PyTuple::new(
            categories.py(),
            categories.try_iter()?.collect::<PyResult<Vec<_>>>()?,
        ),
    }
}

/// The features that take the place of `feature`, from `known` when its categories are still the same objects.
pub(super) fn column_names<'py>(
    known: &Bound<'py, PyDict>,
    feature: &Bound<'py, PyAny>,
    categories: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyTuple>> {
    if let Some(last) = known.get_item(feature)? {
        let last = last.cast_into::<PyTuple>()?;
        let (then, columns) = (last.get_borrowed_item(0)?, last.get_item(1)?);
        let then = then.cast::<PyTuple>()?;
        if then.len() == categories.len()
            && then
                .iter_borrowed()
                .zip(categories.iter_borrowed())
                .all(|(a, b)| a.is(b))
        {
            return Ok(columns.cast_into()?);
        }
    }
    let py = feature.py();
    let prefix = feature.str()?.add("_")?;
    let mut columns = Vec::with_capacity(categories.len());
    for category in categories.iter() {
        columns.push(prefix.add(category.str()?)?);
    }
    let columns = PyTuple::new(py, columns)?;
    known.set_item(feature, (categories, &columns))?;
    Ok(columns)
}

impl Change<'_> {
    /// Of a number that is not NaN.
    #[inline]
    pub(super) fn of(&self, x: f64) -> f64 {
        match self {
            Self::Scale {
                low,
                span,
                least,
                width,
            } => low + span * ((x - least) / width),
            Self::Normalize { mean, deviation } => (x - mean) / deviation,
            Self::Fill(_) => x,
        }
    }
}

impl<'py> Encoder<'py> {
    /// Which column a value sets; none of a category that was not learnt.
    pub(super) fn place(&self, value: &Bound<'py, PyAny>) -> PyResult<Option<usize>> {
        let place = self.places.get_item(super::value::category(value)?)?;
        place.map(|place| place.extract()).transpose()
    }
}

/// A list of categories, sorted: by value where values compare, otherwise by the names of types first, or by text.
pub(super) fn sorted<'py>(categories: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyList>> {
    let list = categories.keys();
    if list.sort().is_ok() {
        return Ok(list);
    }
    let keyed = |with_value: bool| -> PyResult<Bound<'py, PyList>> {
        let mut keys = Vec::new();
        for category in categories.keys() {
            let kind = category.get_type().name()?;
            let text = category.str()?;
            let middle = if with_value {
                category.clone()
            } else {
                text.into_any()
            };
            keys.push((kind, middle, category));
        }
        let keys = PyList::new(categories.py(), keys)?;
        keys.sort()?;
        let picked = keys.iter().map(|key| key.get_item(2));
        PyList::new(categories.py(), picked.collect::<PyResult<Vec<_>>>()?)
    };
    keyed(true).or_else(|_| keyed(false))
}
