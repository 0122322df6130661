//! [`Batch`]: rows read into columns, once, for fits.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyDict, PyFloat, PyString};

use super::value::{is_number, is_same_text, number, plain_number};

/// One value of a column.
pub(super) enum Cell<'py> {
    /// The row has no such feature.
    Absent,
    /// `None`.
    Missing,
    /// A number, with the object that it was read from unless that is a plain `float`.
    Number(f64, Option<Bound<'py, PyAny>>),
    /// Anything else.
    Other(Bound<'py, PyAny>),
}

/// The values of one feature, one for each row.
pub(super) struct Column<'py> {
    pub(super) feature: Bound<'py, PyAny>,
    pub(super) cells: Vec<Cell<'py>>,
}

/// Columns of a batch, in the order in which their features first occur.
pub(super) struct Batch<'py> {
    pub(super) columns: Vec<Column<'py>>,
    /// Feature to its place in `columns`.
    index: Bound<'py, PyDict>,
    rows: usize,
    /// Whether features that are not there yet are taken in.
    is_open: bool,
    /// Column by the place of a feature in the row before, to which the same texts are the same features.
    places: Vec<(Bound<'py, PyAny>, Option<usize>)>,
    /// Cells whose reading may call the caller's code: column and row.
    unread: Vec<(usize, usize)>,
}

impl<'py> Column<'py> {
    /// Whether the first value that is there is a number; none without any.
    pub(super) fn is_numeric(&self) -> Option<bool> {
        self.cells.iter().find_map(|cell| match cell {
            Cell::Number(..) => Some(true),
            Cell::Other(_) => Some(false),
            Cell::Absent | Cell::Missing => None,
        })
    }

    /// Whether a row has the feature; an encoder takes it out of all.
    pub(super) fn occurs(&self) -> bool {
        !self.cells.iter().all(|cell| matches!(cell, Cell::Absent))
    }

    /// The numbers, without NaN.
    pub(super) fn numbers(&self) -> impl Iterator<Item = (f64, Option<&Bound<'py, PyAny>>)> {
        self.cells.iter().filter_map(|cell| match cell {
            Cell::Number(x, object) if !x.is_nan() => Some((*x, object.as_ref())),
            _ => None,
        })
    }
}

impl<'py> Batch<'py> {
    /// Reads all features of `data`, or those named.
    pub(super) fn read(
        data: &Bound<'py, PyAny>,
        names: Option<&[Bound<'py, PyAny>]>,
    ) -> PyResult<Self> {
        let py = data.py();
        let mut batch = Self {
            columns: Vec::new(),
            index: PyDict::new(py),
            rows: 0,
            is_open: names.is_none(),
            places: Vec::new(),
            unread: Vec::new(),
        };
        for name in names.unwrap_or_default() {
            batch.add(name)?;
        }
        if let Ok(data) = data.cast_exact::<PyDict>() {
            // A list: nothing that runs meanwhile can change it.
            for row in data.values() {
                batch.read_row(&row)?;
            }
        } else {
            for row in data.call_method0(intern!(py, "values"))?.try_iter()? {
                batch.read_row(&row?)?;
            }
        }
        for column in &mut batch.columns {
            column.cells.resize_with(batch.rows, || Cell::Absent);
        }
        for (column, row) in std::mem::take(&mut batch.unread) {
            let column = batch.columns.get_mut(column);
            if let Some(cell) = column.and_then(|column| column.cells.get_mut(row))
                && let Cell::Other(object) = cell
                && let Some(x) = number(object)?
            {
                *cell = Cell::Number(x, Some(object.clone()));
            }
        }
        Ok(batch)
    }

    fn add(&mut self, feature: &Bound<'py, PyAny>) -> PyResult<usize> {
        let at = self.columns.len();
        self.index.set_item(feature, at)?;
        self.columns.push(Column {
            feature: feature.clone(),
            cells: Vec::new(),
        });
        Ok(at)
    }

    fn read_row(&mut self, row: &Bound<'py, PyAny>) -> PyResult<()> {
        let is_read = match row.cast_exact::<PyDict>() {
            Ok(row) => self.read_texts(row)?,
            Err(_) => false,
        };
        if !is_read {
            let items = row.call_method0(intern!(row.py(), "items"))?;
            // All at once, because looking up a key may run the caller's code.
            let items: Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)> = items
                .try_iter()?
                .map(|item| item?.extract())
                .collect::<PyResult<_>>()?;
            for (feature, value) in items {
                if let Some(column) = self.column_of(&feature)? {
                    self.put(column, value);
                }
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// Reads a row whose features are all plain texts; says no at the first that is not.
    fn read_texts(&mut self, row: &Bound<'py, PyDict>) -> PyResult<bool> {
        for (place, (feature, value)) in row.iter().enumerate() {
            let known = self
                .places
                .get(place)
                .filter(|known| is_same_text(&known.0, &feature));
            let column = match known {
                Some((_, column)) => *column,
                None if !feature.is_exact_instance_of::<PyString>() => return Ok(false),
                None => {
                    let column = self.column_of(&feature)?;
                    match self.places.get_mut(place) {
                        Some(known) => *known = (feature, column),
                        None => self.places.push((feature, column)),
                    }
                    column
                }
            };
            if let Some(column) = column {
                self.put(column, value);
            }
        }
        Ok(true)
    }

    fn column_of(&mut self, feature: &Bound<'py, PyAny>) -> PyResult<Option<usize>> {
        match self.index.get_item(feature)? {
            Some(at) => at.extract().map(Some),
            None if self.is_open => self.add(feature).map(Some),
            None => Ok(None),
        }
    }

    #[inline]
    fn put(&mut self, column: usize, value: Bound<'py, PyAny>) {
        let row = self.rows;
        let Some(cells) = self.columns.get_mut(column).map(|column| &mut column.cells) else {
            return;
        };
        if cells.len() != row {
            cells.resize_with(row, || Cell::Absent);
        }
        let cell = if let Some(x) = plain_number(&value) {
            Cell::Number(
                x,
                (!value.is_exact_instance_of::<PyFloat>()).then_some(value),
            )
        } else if value.is_none() {
            Cell::Missing
        } else {
            if is_number(&value) {
                self.unread.push((column, row));
            }
            Cell::Other(value)
        };
        cells.push(cell);
    }

    /// The column of a feature.
    pub(super) fn column(&self, feature: &Bound<'py, PyAny>) -> PyResult<Option<&Column<'py>>> {
        let Some(at) = self.index.get_item(feature)? else {
            return Ok(None);
        };
        let at: usize = at.extract()?;
        Ok(self.columns.get(at))
    }

    /// The cells of a feature; of one that no row has when it is new.
    pub(super) fn cells(&mut self, feature: &Bound<'py, PyAny>) -> PyResult<&mut Vec<Cell<'py>>> {
        let at = match self.index.get_item(feature)? {
            Some(at) => at.extract()?,
            None => self.add(feature)?,
        };
        let rows = self.rows;
        let column = self.columns.get_mut(at);
        let column =
            column.ok_or_else(|| pyo3::exceptions::PyIndexError::new_err("no such column"))?;
        column.cells.resize_with(rows, || Cell::Absent);
        Ok(&mut column.cells)
    }
}
