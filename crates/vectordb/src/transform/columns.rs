//! [`ColumnTransformer`]: named columns, each on its route to numbers.

mod fit;
mod inverse;
mod json;
mod plan;
mod route;

use std::ops::Range;

use common::limits::NAME_BYTES_MAX;
use common::{Error, Result};

use self::route::{Known, Route};
use super::Matrix;
use super::check::width;
pub use fit::ColumnFit;
pub use inverse::Original;
pub use json::COLUMNS_SCHEMA;
pub use plan::{ColumnPlan, RoutePlan, SourcePlan};

/// Bytes of rows that go through all routes before the next ones do: an eighth of a usual second-level cache.
const BLOCK_BYTES: usize = 128 << 10;

/// Most numbers that a row becomes.
pub const OUTPUTS_MAX: usize = 1 << 22;

/// Fitted routes from named columns to a row of named numbers: scikit-learn's `ColumnTransformer`.
///
/// Input columns are numbers or texts, each kind in the order of its names. A route takes some of them, reads them as
/// numbers ([`SourcePlan`]) and puts those through [`Steps`](super::Steps); what the routes make stands side by side in
/// their order. A column may be on several routes; one that is on none is dropped. A [`ColumnPlan`] is fitted to become
/// this.
///
/// One row costs what its arithmetic costs and a few nanoseconds a route. It allocates nothing if the steps of each route
/// keep their number of columns; columns that are neighbours are read where they are.
///
/// ```
/// use common::limits::Limits;
/// use vectordb::transform::{
///     ColumnPlan, ColumnTransformer, Encoding, Filling, Matrix, MissingText, RoutePlan, Scaling, SourcePlan, StepPlan,
///     Unknown,
/// };
/// let places = SourcePlan::Encode {
///     encoding: Encoding::OneHot,
///     unknown: Unknown::Ignore,
///     missing: MissingText::Ignore,
/// };
/// let plan = ColumnPlan::new(["age", "income"], ["city"])
///     .route(
///         RoutePlan::new("scaled", ["age", "income"], SourcePlan::Numbers)
///             .then(StepPlan::Impute(Filling::Mean))
///             .then(StepPlan::Scale(Scaling::MIN_MAX)),
///     )
///     .route(RoutePlan::new("place", ["city"], places));
///
/// let ages_and_incomes = [20.0, 1000.0, f64::NAN, 3000.0, 40.0, 2000.0];
/// let cities = [Some("Oulu"), Some("Turku"), None];
/// let fitted = plan.fit(Matrix::new(&ages_and_incomes, 2)?, &[&cities])?;
/// assert_eq!(fitted.output_names(), ["scaled__age", "scaled__income", "place__city_Oulu", "place__city_Turku"]);
///
/// let mut out = [0.0; 4];
/// fitted.transform_row(&[f64::NAN, 3000.0], &[Some("Turku")], &mut out)?;
/// assert_eq!(out, [0.5, 1.0, 0.0, 1.0]);
/// assert_eq!(ColumnTransformer::from_json(&fitted.to_json()?, &Limits::default())?, fitted);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnTransformer {
    numbers: Vec<String>,
    texts: Vec<String>,
    routes: Vec<Route>,
    outputs: usize,
}

impl ColumnTransformer {
    /// Checks what was fitted or read, and finds where everything is.
    fn assemble(numbers: Vec<String>, texts: Vec<String>, mut routes: Vec<Route>) -> Result<Self> {
        check_names("column", numbers.iter().chain(&texts))?;
        check_names("route", routes.iter().map(|route| &route.name))?;
        if routes.is_empty() {
            return Err(Error::invalid("there is no route, so nothing comes out"));
        }
        let known = Known::new(&numbers, &texts);
        let mut outputs = 0;
        for route in &mut routes {
            outputs = route
                .place(&known, outputs)
                .map_err(|e| e.at(format!("route {:?}", route.name)))?;
        }
        Ok(Self {
            numbers,
            texts,
            routes,
            outputs,
        })
    }

    /// Names of the input columns that are numbers, in order.
    pub fn numbers(&self) -> &[String] {
        &self.numbers
    }

    /// Names of the input columns that are texts, in order.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Names of the input columns that are read as times.
    pub(crate) fn times(&self) -> impl Iterator<Item = &String> {
        let routes = self.routes.iter().filter(|route| route.takes_times());
        routes.flat_map(|route| &route.columns)
    }

    /// Whether there are texts, or missing ones, for which a row is refused.
    pub(crate) fn may_refuse(&self) -> bool {
        self.routes.iter().any(Route::may_refuse)
    }

    /// How many numbers a row becomes.
    pub const fn outputs(&self) -> usize {
        self.outputs
    }

    /// Names of the numbers that a row becomes, made as scikit-learn makes them: `route__column`, and
    /// `route__column_category` when one-hot.
    pub fn output_names(&self) -> Vec<String> {
        self.routes.iter().flat_map(Route::names).collect()
    }

    /// Transforms a batch into `out`, row after row of [`ColumnTransformer::outputs`] numbers.
    ///
    /// `texts` has one slice for each column of texts, with one entry a row. A batch without a column of numbers is
    /// [`Matrix::empty`].
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for other columns, columns of different lengths or an `out` of another length, and
    /// for a text or time that is refused, by route, row and column.
    pub fn transform(
        &self,
        numbers: Matrix<'_, f64>,
        texts: &[&[Option<&str>]],
        out: &mut [f64],
    ) -> Result<()> {
        self.transform_rows(numbers, texts, 0..numbers.rows(), out)
    }

    /// As [`ColumnTransformer::transform`] for some rows of the batch, which errors name by their places in all of it: for
    /// who stops between parts of a large one.
    ///
    /// # Errors
    /// As [`ColumnTransformer::transform`], and [`common::ErrorKind::Invalid`] for rows that the batch does not have.
    pub fn transform_rows(
        &self,
        numbers: Matrix<'_, f64>,
        texts: &[&[Option<&str>]],
        rows: Range<usize>,
        out: &mut [f64],
    ) -> Result<()> {
        check_batch(&self.numbers, &self.texts, numbers, texts)?;
        if rows.start > rows.end || rows.end > numbers.rows() {
            return Err(Error::invalid(format!(
                "rows {} to {} are not in a batch of {}",
                rows.start,
                rows.end,
                numbers.rows()
            )));
        }
        let made = rows.len().checked_mul(self.outputs);
        width("the output", out.len(), made.unwrap_or(usize::MAX))?;
        let place = |route: &Route, e: Error| e.at(format!("route {:?}", route.name));
        if let [route] = &self.routes[..]
            && let Some(columns) = route.neighbours()
        {
            let rows = numbers.part(rows, columns);
            return route
                .steps
                .transform(rows, out)
                .map_err(|e| place(route, e));
        }
        let block = (BLOCK_BYTES / size_of::<f64>() / self.outputs.max(self.numbers.len())).max(1);
        let mut room = route::Room::default();
        for (at, out) in out.chunks_mut(block * self.outputs).enumerate() {
            let start = rows.start + at * block;
            let rows = start..rows.end.min(start + block);
            for route in &self.routes {
                let batch = route::Batch {
                    numbers,
                    texts,
                    rows: rows.clone(),
                };
                route
                    .transform(&batch, out, self.outputs, &mut room)
                    .map_err(|e| place(route, e))?;
            }
        }
        Ok(())
    }

    /// Transforms one row of numbers and texts into `out`.
    ///
    /// # Errors
    /// As [`ColumnTransformer::transform`].
    pub fn transform_row(
        &self,
        numbers: &[f64],
        texts: &[Option<&str>],
        out: &mut [f64],
    ) -> Result<()> {
        width("the row", numbers.len(), self.numbers.len())?;
        count("texts", texts.len(), self.texts.len())?;
        width("the output", out.len(), self.outputs)?;
        for route in &self.routes {
            route
                .transform_row(numbers, texts, out)
                .map_err(|e| e.at(format!("route {:?}", route.name)))?;
        }
        Ok(())
    }
}

fn count(what: &str, found: usize, expected: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "there are {found} {what} where {expected} belong"
    )))
}

fn check_batch(
    numbers: &[String],
    texts: &[String],
    matrix: Matrix<'_, f64>,
    slices: &[&[Option<&str>]],
) -> Result<()> {
    width("a row", matrix.columns(), numbers.len())?;
    count("columns of texts", slices.len(), texts.len())?;
    for (name, slice) in texts.iter().zip(slices) {
        count("texts", slice.len(), matrix.rows()).map_err(|e| e.at(format!("column {name:?}")))?;
    }
    Ok(())
}

/// Refuses names that are empty, too long, or there twice.
fn check_names<'a>(what: &str, names: impl Iterator<Item = &'a String>) -> Result<()> {
    let mut all: Vec<&str> = names.map(String::as_str).collect();
    if let Some(name) = (all.iter()).find(|name| name.is_empty() || name.len() > NAME_BYTES_MAX) {
        return Err(Error::invalid(format!(
            "the name of a {what} has {} bytes; it is to have 1 to {NAME_BYTES_MAX}",
            name.len()
        )));
    }
    all.sort_unstable();
    match all.array_windows().find(|[a, b]| a == b) {
        Some([name, _]) => Err(Error::invalid(format!("there are two {what}s {name:?}"))),
        None => Ok(()),
    }
}
