//! Searches as callers describe them.

use common::query::Filter;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use vectordb::{Diversity, Fusion, Hybrid, Search, Target};

use super::values;
use crate::interchange::id_of;
use crate::search::array;

/// The attributes of `vectordb.collections.Search`.
#[derive(FromPyObject)]
pub(super) struct Given<'py> {
    vector: Option<Bound<'py, PyAny>>,
    sparse: Option<Bound<'py, PyAny>>,
    like: Option<Bound<'py, PyAny>>,
    k: usize,
    on: Option<String>,
    filter: Option<Bound<'py, PyAny>>,
    select: Option<Vec<String>>,
    within: Option<f64>,
    effort: Option<usize>,
    recall: Option<f64>,
    diverse: Option<(f64, usize)>,
    weight: f64,
}

impl Given<'_> {
    fn target(&self) -> PyResult<Target> {
        match (&self.vector, &self.sparse, &self.like) {
            (Some(vector), None, None) => Ok(Target::Vector(array::vector(vector)?)),
            (None, Some(sparse), None) => Ok(Target::Sparse(values::sparse_of(sparse)?)),
            (None, None, Some(id)) => Ok(Target::Row(id_of(id)?)),
            _ => Err(PyTypeError::new_err(
                "a search is for one of `vector`, `sparse` (a sparse vector) and `like` (the id of a row)",
            )),
        }
    }

    /// The search.
    pub(super) fn search(&self) -> PyResult<Search> {
        Ok(self.search_for(self.target()?, self.filter()?))
    }

    fn filter(&self) -> PyResult<Option<Filter>> {
        self.filter.as_ref().map(values::filter_of).transpose()
    }

    fn search_for(&self, target: Target, filter: Option<Filter>) -> Search {
        let mut search = Search::new(Vec::new(), self.k);
        search.target = target;
        search.on = self.on.as_deref().map(Into::into);
        search.filter = filter;
        search.select = self
            .select
            .as_ref()
            .map(|s| s.iter().map(|n| n.as_str().into()).collect());
        search.within = self.within;
        search.effort = self.effort;
        search.recall = self.recall;
        search.diversity = self
            .diverse
            .map(|(lambda, candidates)| Diversity { lambda, candidates });
        search
    }

    /// The same search for each row of its vectors.
    pub(super) fn for_each_row(&self, py: Python<'_>) -> PyResult<Vec<Search>> {
        let (Some(vectors), None, None) = (&self.vector, &self.sparse, &self.like) else {
            return Err(PyTypeError::new_err(
                "many searches are for the rows of `vectors`",
            ));
        };
        let filter = self.filter()?;
        let mut targets = Vec::new();
        array::for_each_row(py, &array::Matrix::of(vectors)?, |vector| {
            targets.push(Target::Vector(vector.to_vec()));
        })?;
        let targets = targets.into_iter();
        Ok(targets
            .map(|target| self.search_for(target, filter.clone()))
            .collect())
    }
}

/// Several searches as one ranking.
pub(super) fn hybrid(
    parts: &[Given<'_>],
    k: usize,
    (fusion, constant): (&str, f64),
    filter: Option<&Bound<'_, PyAny>>,
    select: Option<Vec<String>>,
) -> PyResult<Hybrid> {
    let mut hybrid = Hybrid::new(k);
    hybrid.fusion = match fusion {
        "reciprocal_rank" => Fusion::ReciprocalRank { k: constant },
        "weighted_sum" => Fusion::WeightedSum,
        _ => {
            return Err(PyValueError::new_err(format!(
                "`fusion` is 'reciprocal_rank' or 'weighted_sum', not '{fusion}'"
            )));
        }
    };
    for part in parts {
        hybrid = hybrid.weighted(part.search()?, part.weight);
    }
    hybrid.filter = filter.map(values::filter_of).transpose()?;
    hybrid.select = select.map(|names| names.into_iter().map(Into::into).collect());
    Ok(hybrid)
}
