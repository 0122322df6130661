//! Vectors of a file as rows of a table.

use common::schema::{Field, FieldType, Rule, Schema};
use common::{Collection, Error, Result, Transaction, Value, VectorElement};

use super::reader::VectorReader;

/// Name of the key of a table whose rows get numbers.
const ID: &str = "id";

/// How the vectors of a file stand in a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableOptions {
    /// Column of the table that holds the vectors. Default: `vector`.
    pub column: String,
    /// Column of the file that is the key of a new table. If not given, `id` if the file has such a column, and
    /// otherwise a column `id` with the number of each row.
    pub key: Option<String>,
    /// The number of the file's first row, where rows get numbers. Default 0, as in files of neighbours.
    pub first: i64,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self {
            column: "vector".to_owned(),
            key: None,
            first: 0,
        }
    }
}

/// A schema for a new table that takes the rows of a file: the key, the vector, the metadata.
///
/// # Errors
/// [`common::ErrorKind::NotFound`] when the file has no such key; [`common::ErrorKind::Invalid`] for a file without
/// rows that does not say of which dimension they would be, and when a name stands twice.
pub fn table_schema(reader: &VectorReader, table: &str, options: &TableOptions) -> Result<Schema> {
    let dimension = reader.dimension().ok_or_else(|| {
        Error::invalid("the file has no rows, and does not say of which dimension they would be")
    })?;
    let metadata = reader.metadata();
    let column = |name: &str| metadata.iter().find(|field| field.name == name);
    let key = match &options.key {
        Some(key) => column(key).cloned().ok_or_else(|| {
            let names: Vec<&str> = metadata.iter().map(|field| field.name.as_str()).collect();
            Error::not_found(match &names[..] {
                [] => format!("there is no column `{key}`: the file has vectors only"),
                _ => format!(
                    "there is no column `{key}`; beside the vectors there are {}",
                    names.join(", ")
                ),
            })
        })?,
        None => column(ID)
            .cloned()
            .unwrap_or_else(|| Field::new(ID, FieldType::Int)),
    };
    let ty = FieldType::Vector {
        element: VectorElement::F32,
        dimension: u32::try_from(dimension).ok(),
    };
    let mut schema = Schema::build(table, [key.name.clone()])
        .field(Field::new(key.name.clone(), key.ty.clone()))
        .field(Field::new(options.column.as_str(), ty).rule(Rule::Finite));
    for field in metadata.iter().filter(|field| field.name != key.name) {
        let column = Field::new(field.name.clone(), field.ty.clone());
        schema = schema.field(if field.nullable {
            column.nullable()
        } else {
            column
        });
    }
    schema.finish()
}

/// What a column of the table gets.
enum Cell {
    Vector,
    Metadata(usize),
    Number,
    Nothing,
}

/// Inserts all rows of a file that are yet to come; how many there were. `progress` is told their number now and then.
///
/// A column that the file has not stays empty if it may.
///
/// # Errors
/// As [`VectorReader::read`], and [`common::ErrorKind::Invalid`] or [`common::ErrorKind::Conflict`] with the row for
/// one that does not fit the table. The transaction has the rows before it.
pub fn insert(
    reader: &mut VectorReader,
    transaction: &mut Transaction,
    table: &Collection,
    options: &TableOptions,
    progress: &mut dyn FnMut(u64),
) -> Result<u64> {
    let cells = cells(reader, &table.schema(), options)?;
    let mut count = 0;
    while let Some(row) = reader.read()? {
        let place = |error: Error| error.at(format!("row {}", row.number));
        let number = i64::try_from(row.number)
            .ok()
            .and_then(|number| options.first.checked_add(number));
        let number = number.ok_or_else(|| Error::invalid("its number has more than 63 bits"));
        let number = number.map_err(place)?;
        let values = cells.iter().map(|cell| match cell {
            Cell::Vector => Value::from(common::Vector::from(row.vector.to_vec())),
            Cell::Metadata(at) => row.metadata.get(*at).cloned().unwrap_or_default(),
            Cell::Number => Value::Int(number),
            Cell::Nothing => Value::Null,
        });
        transaction.insert_values(table, values).map_err(place)?;
        count += 1;
        progress(count);
    }
    Ok(count)
}

fn cells(reader: &VectorReader, schema: &Schema, options: &TableOptions) -> Result<Vec<Cell>> {
    let metadata = reader.metadata();
    for field in metadata {
        if schema.position_of(&field.name).is_err() {
            return Err(Error::invalid(format!(
                "table `{}` has no column `{}`, and the file has; import into a new table",
                schema.name, field.name
            )));
        }
    }
    let vector = schema.position_of(&options.column)?;
    let cells = schema.fields.iter().enumerate().map(|(at, field)| {
        let given = metadata.iter().position(|column| column.name == field.name);
        match given {
            _ if at == vector => vector_cell(reader, schema, field),
            Some(given) => Ok(Cell::Metadata(given)),
            None if schema.key_columns == 1 && at == 0 && field.ty == FieldType::Int => {
                Ok(Cell::Number)
            }
            None if field.nullable => Ok(Cell::Nothing),
            None => Err(Error::invalid(format!(
                "the file has no column `{}`, which table `{}` needs",
                field.name, schema.name
            ))),
        }
    });
    cells.collect()
}

fn vector_cell(reader: &VectorReader, schema: &Schema, field: &Field) -> Result<Cell> {
    match (&field.ty, reader.dimension()) {
        (
            FieldType::Vector {
                element: VectorElement::F32,
                dimension,
            },
            found,
        ) if dimension.is_none_or(|wanted| found.is_none_or(|found| wanted as usize == found)) => {
            Ok(Cell::Vector)
        }
        (ty, found) => Err(Error::invalid(format!(
            "column `{}` of table `{}` is {ty}, and the file's vectors have dimension {}",
            field.name,
            schema.name,
            found.unwrap_or_default()
        ))),
    }
}
