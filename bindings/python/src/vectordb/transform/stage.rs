//! [`Stage`]: operations in order, as what is done to the values of a row.

use pyo3::prelude::*;
use pyo3::types::{PyAny, PyDict};

use super::operation::{Change, Encoder, Operation};
use super::value::is_same_text;

/// Changes of single values, or an encoder's change of features.
pub(super) enum Stage<'py> {
    /// Operations that leave features in their places, as one.
    Values(Values<'py>),
    /// Features that give way to features of their categories.
    Encode(Vec<Encoder<'py>>),
}

/// What is done to which feature.
pub(super) struct Values<'py> {
    pub(super) features: Vec<(Bound<'py, PyAny>, Vec<Change<'py>>)>,
    /// Feature to its place in `features`.
    index: Bound<'py, PyDict>,
    /// Place in `features` by the place in the row before, to which the same texts are the same features.
    places: Vec<(Bound<'py, PyAny>, Option<usize>)>,
}

impl<'py> Values<'py> {
    fn new(py: Python<'py>) -> Self {
        Self {
            features: Vec::new(),
            index: PyDict::new(py),
            places: Vec::new(),
        }
    }

    fn push(&mut self, feature: Bound<'py, PyAny>, change: Change<'py>) -> PyResult<()> {
        match self.find(&feature)? {
            Some(at) => {
                if let Some((_, changes)) = self.features.get_mut(at) {
                    changes.push(change);
                }
            }
            None => {
                self.index.set_item(&feature, self.features.len())?;
                self.features.push((feature, vec![change]));
            }
        }
        Ok(())
    }

    fn find(&self, feature: &Bound<'py, PyAny>) -> PyResult<Option<usize>> {
        let at = self.index.get_item(feature)?;
        at.map(|at| at.extract()).transpose()
    }

    /// What is done to a feature that is at a place of a row.
    #[inline]
    pub(super) fn at(
        &mut self,
        place: usize,
        feature: &Bound<'py, PyAny>,
    ) -> PyResult<Option<&[Change<'py>]>> {
        let known = self
            .places
            .get(place)
            .filter(|known| is_same_text(&known.0, feature));
        let at = match known {
            Some((_, at)) => *at,
            None => {
                let at = self.find(feature)?;
                match self.places.get_mut(place) {
                    Some(known) => *known = (feature.clone(), at),
                    None => self.places.push((feature.clone(), at)),
                }
                at
            }
        };
        Ok(at
            .and_then(|at| self.features.get(at))
            .map(|(_, changes)| &changes[..]))
    }
}

/// The stages of operations, for the features named or all that were learnt.
pub(super) fn plan<'py>(
    py: Python<'py>,
    operations: &[Operation<'py>],
    names: Option<&[Bound<'py, PyAny>]>,
) -> PyResult<Vec<Stage<'py>>> {
    let mut stages = Vec::new();
    let mut values = Values::new(py);
    for operation in operations {
        let learnt = operation.learnt(names)?;
        if let Operation::Encode { .. } = operation {
            let mut encoders = Vec::new();
            for feature in &learnt {
                encoders.extend(operation.encoder(feature)?);
            }
            if !encoders.is_empty() {
                if !values.features.is_empty() {
                    stages.push(Stage::Values(std::mem::replace(
                        &mut values,
                        Values::new(py),
                    )));
                }
                stages.push(Stage::Encode(encoders));
            }
            continue;
        }
        for feature in learnt {
            if let Some(change) = operation.change(&feature)? {
                values.push(feature, change)?;
            }
        }
    }
    if !values.features.is_empty() {
        stages.push(Stage::Values(values));
    }
    Ok(stages)
}
