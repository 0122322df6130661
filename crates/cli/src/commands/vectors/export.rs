//! `tandem vectors export`: the vectors of a table become a file.

use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use ::import::vectors::{Element, VectorFormat};
use clap::Args;
use common::schema::{FieldType, Schema};
use common::serialization::arrow::{arrow_schema, to_batch};
use common::serialization::parquet::Writer;
use common::{Error, Record, Result, VectorElement};
use durable::{SystemFiles, replace_with};

use super::{element, progress, target, write};
use crate::terminal::output;

/// Rows of a Parquet file that are put together at once.
const BATCH_ROWS: usize = 1_024;

/// Export the vectors of a table, in the order of their keys
///
/// A Parquet file has all columns of the table; the others have the vectors alone. A file that exists is replaced as
/// a whole, or stays as it was.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The file: .fvecs, .bvecs, .ivecs, .npy or .parquet
    file: PathBuf,
    /// Table that has the rows
    #[arg(long, short)]
    table: String,
    /// Database file
    #[arg(long, default_value = "tandem.tdb")]
    db: PathBuf,
    /// Column of the table that holds the vectors
    #[arg(long, default_value = "vector")]
    column: String,
    /// Elements of a .npy file: f16, f32, f64, i8, u8 or i32; f32 if not given
    #[arg(long, value_parser = element)]
    element: Option<Element>,
}

impl Export {
    pub(crate) fn run(self) -> Result<()> {
        let target = target(&self.file, self.element)?;
        let database = durable::open(&self.db)?;
        let table = database.collection(&self.table)?;
        let schema = table.schema();
        let column = vector_column(&schema, &self.column)?;
        let mut records: Vec<Record> = Vec::new();
        let snapshot = database.snapshot();
        snapshot.view().scan(&table, &mut |batch| {
            records.extend(batch.iter().cloned());
            ControlFlow::Continue(())
        })?;
        records.sort_by(|a, b| a.key().cmp(b.key()));
        if target.0 == VectorFormat::Parquet {
            if let Some(element) = self.element.filter(|element| *element != Element::F32) {
                return Err(Error::invalid(format!(
                    "the vectors of .parquet files are f32, not {element}; .npy files may have these"
                )));
            }
            parquet(&self.file, &schema, &records)?;
        } else {
            vectors(&self.file, target, column, &records)?;
        }
        let mut out = output();
        writeln!(
            out,
            "{} vectors of {} written to {}",
            records.len(),
            self.table,
            self.file.display()
        )?;
        Ok(())
    }
}

fn vector_column(schema: &Schema, name: &str) -> Result<usize> {
    let position = schema.position_of(name)?;
    match schema.fields.get(position).map(|field| &field.ty) {
        Some(FieldType::Vector {
            element: VectorElement::F32,
            ..
        }) => Ok(position),
        _ => Err(Error::invalid(format!(
            "column `{name}` of table `{}` does not hold vectors of 32-bit floats; name one that does by --column",
            schema.name
        ))),
    }
}

fn parquet(path: &Path, schema: &Schema, records: &[Record]) -> Result<()> {
    let bar = progress(
        &format!("writing {}", path.display()),
        Some(records.len() as u64),
    );
    replace_with(&SystemFiles, path, |out| {
        let mut writer = Writer::new(out, arrow_schema(schema)?.into())?;
        let mut written = 0;
        for chunk in records.chunks(BATCH_ROWS) {
            writer.write(&to_batch(schema, chunk)?)?;
            written += chunk.len();
            bar.tick(written);
        }
        writer.finish()
    })
}

fn vectors(
    path: &Path,
    target: (VectorFormat, Element),
    column: usize,
    records: &[Record],
) -> Result<()> {
    let vector = |record: &Record| {
        let vector = record
            .get(column)
            .and_then(|value| value.as_vector()?.as_f32().map(<[f32]>::to_vec));
        vector.ok_or_else(|| {
            Error::invalid(format!(
                "id {} has no vector, and a .{} file has no place for that; export to .parquet",
                record.id(),
                target.0
            ))
        })
    };
    let Some(first) = records.first() else {
        return Err(Error::invalid(
            "the table has no rows; a file of vectors has one at least",
        ));
    };
    let dimension = vector(first)?.len();
    let rows = records.len() as u64;
    let bar = progress(&format!("writing {}", path.display()), Some(rows));
    write(path, target, dimension, rows, |write| {
        for (i, record) in records.iter().enumerate() {
            write(&vector(record)?).map_err(|error| error.at(format!("id {}", record.id())))?;
            bar.tick(i + 1);
        }
        Ok(())
    })
}
