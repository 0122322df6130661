//! [`Schema`]: the declared shape of a table.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::field::{Field, FieldId};
use super::rule::RuleRegistry;
use super::validator::Validator;
use crate::core::base::Text;
use crate::error::{Error, Result};
use crate::limits::{COLUMNS_MAX, INDEXES_MAX, KEY_COLUMNS_MAX};
use crate::utils::validation::check_name;

/// Which edition of a table's schema this is: 1 for the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SchemaVersion(pub u32);

impl fmt::Display for SchemaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Identity of a schema by content: the first 16 bytes of SHA-256 over its canonical JSON.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SchemaId(pub [u8; 16]);

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How an index finds its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexKind {
    /// By equality of all columns, in constant time.
    Hash,
    /// By equality, prefix of columns, range and order.
    Ordered,
}

/// A secondary index.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IndexSpec {
    /// Name, unique in the schema.
    pub name: Text,
    /// Names of the columns, most significant first.
    pub columns: Vec<Text>,
    /// How entries are found.
    pub kind: IndexKind,
    /// Whether two rows may share a key; keys with a null in them never collide.
    #[serde(default)]
    pub unique: bool,
}

impl IndexSpec {
    /// An index by equality, named after its columns.
    pub fn hash<N: Into<Text>>(columns: impl IntoIterator<Item = N>) -> Self {
        Self::new(IndexKind::Hash, columns)
    }

    /// An index by order, named after its columns.
    pub fn ordered<N: Into<Text>>(columns: impl IntoIterator<Item = N>) -> Self {
        Self::new(IndexKind::Ordered, columns)
    }

    fn new<N: Into<Text>>(kind: IndexKind, columns: impl IntoIterator<Item = N>) -> Self {
        let columns: Vec<Text> = columns.into_iter().map(Into::into).collect();
        let name = columns
            .iter()
            .map(Text::as_str)
            .collect::<Vec<_>>()
            .join("_");
        Self {
            name: name.into(),
            columns,
            kind,
            unique: false,
        }
    }

    /// Refuses two rows with the same key.
    #[must_use]
    pub fn unique(mut self) -> Self {
        self.unique = true;
        self
    }

    /// Names the index.
    #[must_use]
    pub fn named(mut self, name: impl Into<Text>) -> Self {
        self.name = name.into();
        self
    }
}

/// What happens to rows that refer to a row that is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReferenceAction {
    /// The deletion is refused.
    #[default]
    Restrict,
    /// They are deleted too, in the same transaction.
    Cascade,
    /// Their columns become null, in the same transaction.
    SetNull,
}

/// A foreign key: the columns hold the primary key of a row of another table, or a null.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reference {
    /// Names of the columns here, in the order of the other table's key.
    pub columns: Vec<Text>,
    /// Name of the other table.
    pub table: Text,
    /// What happens when the other row is deleted.
    #[serde(default)]
    pub on_delete: ReferenceAction,
}

/// The declared shape of a table: plain data, the same in Rust, JSON and Python.
///
/// Fields stand in storage order: key columns first, the others as declared. Compile it to check rows.
///
/// ```
/// use common::schema::{Field, FieldType, IndexSpec, Rule, Schema};
/// let schema = Schema::build("cities", ["id"])
///     .field(Field::new("name", FieldType::Text).rule(Rule::length(1, 80)))
///     .field(Field::new("id", FieldType::Int))
///     .field(Field::new("country", FieldType::Text).nullable())
///     .index(IndexSpec::hash(["country"]))
///     .finish()?;
/// assert_eq!(schema.fields[0].name, "id");
/// assert_eq!(schema.position("country"), Some(2));
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// Name of the table.
    pub name: Text,
    /// Which edition this is.
    pub version: SchemaVersion,
    /// Number of key columns, which are the first ones.
    pub key_columns: usize,
    /// All columns in storage order.
    pub fields: Vec<Field>,
    /// Secondary indexes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<IndexSpec>,
    /// Foreign keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<Reference>,
}

/// Collects the parts of a [`Schema`]; [`SchemaBuilder::finish`] checks them.
#[derive(Debug, Clone)]
pub struct SchemaBuilder {
    schema: Schema,
    key: Vec<Text>,
}

impl Schema {
    /// Begins a schema for the table `name` whose primary key is made of the columns `key`.
    pub fn build<N: Into<Text>>(
        name: impl Into<Text>,
        key: impl IntoIterator<Item = N>,
    ) -> SchemaBuilder {
        SchemaBuilder {
            schema: Self {
                name: name.into(),
                version: SchemaVersion(1),
                key_columns: 0,
                fields: Vec::new(),
                indexes: Vec::new(),
                references: Vec::new(),
            },
            key: key.into_iter().map(Into::into).collect(),
        }
    }

    /// Position of the column of this name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }

    /// Position of the column of this name, or an error that lists the columns there are.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`].
    pub fn position_of(&self, name: &str) -> Result<usize> {
        self.position(name).ok_or_else(|| {
            let known: Vec<&str> = self.fields.iter().map(|f| f.name.as_str()).collect();
            Error::not_found(format!(
                "table `{}` has no column `{name}`; its columns are {}",
                self.name,
                known.join(", ")
            ))
        })
    }

    /// The columns of the key.
    pub fn key_fields(&self) -> &[Field] {
        self.fields.get(..self.key_columns).unwrap_or_default()
    }

    /// Identity by content: equal schemas have equal ids on every machine.
    pub fn schema_id(&self) -> SchemaId {
        // A schema is plain data with text keys, which JSON can always express.
        let json = serde_json::to_vec(self).unwrap_or_default();
        let digest = Sha256::digest(&json);
        let mut id = [0; 16];
        id.iter_mut()
            .zip(digest.iter())
            .for_each(|(to, from)| *to = *from);
        SchemaId(id)
    }

    /// Checks a schema that came from outside: names, key, indexes and references fit together.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] with the first thing that does not fit,
    /// [`crate::ErrorKind::LimitExceeded`] beyond a limit of [`crate::limits`].
    pub fn check(&self) -> Result<()> {
        let place = format!("schema of `{}`", self.name);
        self.check_parts().map_err(|error| error.at(place))
    }

    fn check_parts(&self) -> Result<()> {
        check_name("table", &self.name)?;
        check_count("columns", self.fields.len(), COLUMNS_MAX)?;
        check_count("indexes", self.indexes.len(), INDEXES_MAX)?;
        check_count("key columns", self.key_columns, KEY_COLUMNS_MAX)?;
        if self.key_columns == 0 || self.key_columns > self.fields.len() {
            return Err(Error::invalid("a table has at least one key column"));
        }
        for (i, field) in self.fields.iter().enumerate() {
            check_name("column", &field.name)?;
            if self.position(&field.name) != Some(i) {
                return Err(Error::invalid(format!(
                    "column `{}` is declared twice",
                    field.name
                )));
            }
            if self.fields.iter().take(i).any(|other| other.id == field.id) {
                return Err(Error::invalid(format!(
                    "columns share the number {}; numbers are never given twice",
                    field.id.0
                )));
            }
            if i < self.key_columns && field.nullable {
                return Err(Error::invalid(format!(
                    "key column `{}` cannot be nullable",
                    field.name
                )));
            }
        }
        for (i, index) in self.indexes.iter().enumerate() {
            self.check_index(index)?;
            if self
                .indexes
                .iter()
                .take(i)
                .any(|other| other.name == index.name)
            {
                return Err(Error::invalid(format!(
                    "index `{}` is declared twice",
                    index.name
                )));
            }
        }
        for reference in &self.references {
            check_count(
                "columns of a reference",
                reference.columns.len(),
                KEY_COLUMNS_MAX,
            )?;
            for column in &reference.columns {
                let position = self.position_of(column)?;
                let nullable = self
                    .fields
                    .get(position)
                    .is_some_and(|field| field.nullable);
                if reference.on_delete == ReferenceAction::SetNull && !nullable {
                    return Err(Error::invalid(format!(
                        "reference to `{}` sets `{column}` to null, so the column must be nullable",
                        reference.table
                    )));
                }
            }
        }
        Ok(())
    }

    /// Checks one index against the columns.
    ///
    /// # Errors
    /// As [`Schema::check`].
    pub fn check_index(&self, index: &IndexSpec) -> Result<()> {
        check_name("index", &index.name)?;
        check_count("columns of an index", index.columns.len(), KEY_COLUMNS_MAX)?;
        if index.columns.is_empty() {
            return Err(Error::invalid(format!(
                "index `{}` has no column",
                index.name
            )));
        }
        index
            .columns
            .iter()
            .try_for_each(|column| self.position_of(column).map(drop))
    }

    /// Compiles the schema into something that checks rows quickly.
    ///
    /// # Errors
    /// As [`Schema::check`]; also when a rule does not fit its column's type, a pattern is not a regular
    /// expression, or a custom rule is not in `rules`.
    pub fn compile(&self, rules: &RuleRegistry) -> Result<Validator> {
        self.check()?;
        Validator::new(self, rules)
    }
}

impl SchemaBuilder {
    /// Adds a column.
    #[must_use]
    pub fn field(mut self, field: Field) -> Self {
        self.schema.fields.push(field);
        self
    }

    /// Adds a secondary index.
    #[must_use]
    pub fn index(mut self, index: IndexSpec) -> Self {
        self.schema.indexes.push(index);
        self
    }

    /// Adds a foreign key to `table` that refuses deletion of a row still referred to.
    #[must_use]
    pub fn reference<N: Into<Text>>(
        mut self,
        columns: impl IntoIterator<Item = N>,
        table: impl Into<Text>,
        on_delete: ReferenceAction,
    ) -> Self {
        self.schema.references.push(Reference {
            columns: columns.into_iter().map(Into::into).collect(),
            table: table.into(),
            on_delete,
        });
        self
    }

    /// Sets the edition; 1 unless said otherwise.
    #[must_use]
    pub fn version(mut self, version: u32) -> Self {
        self.schema.version = SchemaVersion(version);
        self
    }

    /// Puts key columns first, numbers the columns that have no number, and checks the whole.
    ///
    /// # Errors
    /// As [`Schema::check`].
    pub fn finish(self) -> Result<Schema> {
        let Self { mut schema, key } = self;
        for (position, name) in key.iter().enumerate() {
            let found = schema
                .position_of(name)
                .map_err(|error| error.at("primary key"))?;
            if found < position {
                return Err(Error::invalid(format!(
                    "key column `{name}` is named twice"
                )));
            }
            let field = schema.fields.remove(found);
            schema.fields.insert(position, field);
        }
        schema.key_columns = key.len();
        let mut next = schema
            .fields
            .iter()
            .map(|field| field.id.0)
            .max()
            .unwrap_or(0);
        for field in schema
            .fields
            .iter_mut()
            .filter(|field| field.id == FieldId(0))
        {
            next += 1;
            field.id = FieldId(next);
        }
        schema.check()?;
        Ok(schema)
    }
}

fn check_count(what: &str, found: usize, limit: usize) -> Result<()> {
    if found <= limit {
        Ok(())
    } else {
        Err(Error::limit_exceeded(format!(
            "{found} {what}, but at most {limit} are allowed"
        )))
    }
}
