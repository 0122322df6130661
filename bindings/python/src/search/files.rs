//! Files of vectors as arrays.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

use common::Error;
use import::vectors::{Element, VectorFormat, VectorReader, VectorWriter};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::array::{self, Matrix};
use crate::interchange::{raise, watch};

/// Rows that are read between two looks at whether they are still wanted.
const ROWS_AT_ONCE: usize = 1024;

/// What a file's elements become.
enum Read {
    Floats(Vec<f32>),
    Ints(Vec<i32>),
}

/// Reads a file of vectors: `.fvecs`, `.bvecs`, `.ivecs`, `.npy` (each also with `.gz` after it) or `.parquet`.
///
/// Returns an array of float32 with a row for each vector, of int32 for `.ivecs`. `column` is the one of vectors of a
/// Parquet file, the only one of lists of numbers if not given. Raises `ValueError` with file, row and element.
#[pyfunction]
#[pyo3(signature = (path, *, column=None, progress=None))]
pub(crate) fn read_vectors<'py>(
    py: Python<'py>,
    path: PathBuf,
    column: Option<String>,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (read, dimension) = watch::run(py, progress, move |watch| {
        let place = |error: Error| error.at(path.display());
        let mut reader = VectorReader::open(&path, column.as_deref())?;
        let all = usize::try_from(reader.rows().unwrap_or(0)).unwrap_or(0);
        let mut rows = 0;
        let mut next = || {
            rows += 1;
            if rows % ROWS_AT_ONCE == 0 {
                return watch.report(rows, all);
            }
            Ok(())
        };
        let read = if reader.format() == VectorFormat::Ivecs {
            let mut ints = Vec::new();
            while let Some(row) = reader.read_ints().map_err(place)? {
                ints.extend_from_slice(row);
                next()?;
            }
            Read::Ints(ints)
        } else {
            let mut floats = Vec::new();
            while let Some(row) = reader.read().map_err(place)? {
                floats.extend_from_slice(row.vector);
                next()?;
            }
            Read::Floats(floats)
        };
        Ok((read, reader.dimension().unwrap_or_default()))
    })?;
    match read {
        Read::Floats(floats) => array::rows(py, floats, dimension),
        Read::Ints(ints) => array::rows(py, ints, dimension),
    }
}

/// Writes vectors to a file whose name ends as those that `read_vectors` reads; how many.
///
/// `element` is what the elements become in a `.npy` file: f16, f32, f64, i8, u8 or i32; other files have but one type.
/// Raises `ValueError` for what that cannot hold, with the row; the file is then cut off.
#[pyfunction]
#[pyo3(signature = (path, vectors, *, element=None))]
#[expect(
    clippy::needless_pass_by_value,
    reason = "extracted from an object of Python"
)]
pub(crate) fn write_vectors(
    py: Python<'_>,
    path: PathBuf,
    vectors: &Bound<'_, PyAny>,
    element: Option<&str>,
) -> PyResult<usize> {
    let format = VectorFormat::of(&path).map_err(raise)?;
    let element = match element {
        Some(name) => Element::named(name).ok_or_else(|| {
            PyValueError::new_err(format!(
                "no element is named `{name}`; there are f16, f32, f64, i8, u8 and i32"
            ))
        })?,
        None => format.element().unwrap_or(Element::F32),
    };
    let matrix = Matrix::of(vectors)?;
    let rows = matrix.rows;
    let columns = matrix.columns.unwrap_or_default();
    let file = File::create(&path).map_err(|error| raise(Error::from(error).at(path.display())))?;
    let place = |error: Error| error.at(path.display());
    let out = BufWriter::new(file);
    let mut writer = VectorWriter::new(out, format, element, columns, rows as u64)
        .map_err(|error| raise(place(error)))?;
    array::try_each_row(py, &matrix, |vector| writer.write(vector).map_err(place))?;
    py.detach(|| writer.finish().map_err(place))
        .map_err(raise)?;
    Ok(rows)
}
