//! `tandem vectors info`: what a file of vectors holds.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use common::{Error, Result};
use serde::Serialize;

use super::{open, progress};
use crate::terminal::output;

/// Say what a file of vectors holds
#[derive(Debug, Args)]
pub(crate) struct Info {
    /// The file: .fvecs, .bvecs, .ivecs, .npy or .parquet
    file: PathBuf,
    /// Column of the vectors of a Parquet file; the only one of lists of numbers if not given
    #[arg(long, value_name = "COLUMN")]
    from: Option<String>,
    /// Read every row, and say how long the vectors are
    #[arg(long)]
    check: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    format: &'static str,
    element: &'static str,
    dimension: Option<usize>,
    rows: Option<u64>,
    metadata: Vec<(String, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checked: Option<Checked>,
}

/// What reading all rows told.
#[derive(Default, Serialize)]
struct Checked {
    rows: u64,
    /// Smallest and largest element.
    elements: Option<(f32, f32)>,
    /// Shortest and longest vector, by its Euclidean length.
    lengths: Option<(f64, f64)>,
}

impl Info {
    pub(crate) fn run(self) -> Result<()> {
        let mut reader = open(&self.file, self.from.as_deref())?;
        let mut report = Report {
            format: reader.format().ending(),
            element: reader.element().name(),
            dimension: reader.dimension(),
            rows: reader.rows(),
            metadata: reader
                .metadata()
                .iter()
                .map(|field| (field.name.to_string(), field.ty.to_string()))
                .collect(),
            checked: None,
        };
        if self.check {
            let progress = progress(&format!("reading {}", self.file.display()), reader.rows());
            let mut checked = Checked::default();
            let place = |error: Error| error.at(self.file.display());
            while let Some(row) = reader.read().map_err(place)? {
                checked.add(row.vector);
                progress.tick(usize::try_from(checked.rows).unwrap_or(usize::MAX));
            }
            report.checked = Some(checked);
        }
        let mut out = output();
        if self.json {
            let text = serde_json::to_string_pretty(&report)
                .map_err(|error| Error::invalid(error.to_string()))?;
            writeln!(out, "{text}")?;
            return Ok(());
        }
        let unknown = || "not known before all are read".to_owned();
        let rows = report.rows.map_or_else(unknown, |rows| rows.to_string());
        let dimension = report.dimension.map_or("-".to_owned(), |d| d.to_string());
        writeln!(out, "format      {}", report.format)?;
        writeln!(out, "elements    {}", report.element)?;
        writeln!(out, "dimension   {dimension}")?;
        writeln!(out, "rows        {rows}")?;
        for (name, ty) in &report.metadata {
            writeln!(out, "metadata    {name}: {ty}")?;
        }
        if let Some(checked) = &report.checked {
            writeln!(out, "checked     {} rows, all finite", checked.rows)?;
            if let (Some((min, max)), Some((short, long))) = (checked.elements, checked.lengths) {
                writeln!(out, "elements    from {min} to {max}")?;
                writeln!(out, "lengths     from {short:.6} to {long:.6}")?;
            }
        }
        Ok(())
    }
}

impl Checked {
    fn add(&mut self, vector: &[f32]) {
        self.rows += 1;
        for value in vector {
            let (min, max) = self.elements.unwrap_or((*value, *value));
            self.elements = Some((min.min(*value), max.max(*value)));
        }
        let squares = vector.iter().map(|v| f64::from(*v).powi(2));
        let length = squares.sum::<f64>().sqrt();
        let (min, max) = self.lengths.unwrap_or((length, length));
        self.lengths = Some((min.min(length), max.max(length)));
    }
}
