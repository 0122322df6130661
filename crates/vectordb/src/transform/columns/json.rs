//! [`ColumnTransformer`] as JSON, and the name that follows from what is in it.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use common::limits::Limits;
use common::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::ColumnTransformer;
use super::route::{Route, Source};
use crate::transform::written::{check_schema, content_name};
use crate::transform::{Step, Steps};

/// The version of the JSON form that is written; older ones are read.
pub const COLUMNS_SCHEMA: u32 = 1;

const WHAT: &str = "fitted columns";

#[derive(Serialize)]
struct Written<'a> {
    schema: u32,
    numbers: &'a [String],
    texts: &'a [String],
    routes: Vec<WrittenRoute<'a>>,
}

#[derive(Serialize)]
struct WrittenRoute<'a> {
    name: &'a str,
    columns: &'a [String],
    source: &'a Source,
    steps: &'a [Step],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    #[serde(rename = "schema")]
    _schema: u32,
    numbers: Vec<String>,
    texts: Vec<String>,
    routes: Vec<ReadRoute>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadRoute {
    name: String,
    columns: Vec<String>,
    source: Source,
    steps: Vec<Step>,
}

impl ColumnTransformer {
    /// Writes everything as JSON; numbers in the fewest digits that read back to the same bits.
    ///
    /// # Errors
    /// Does not fail: every number that was fitted is finite.
    pub fn to_json(&self) -> Result<String> {
        let written = Written {
            schema: COLUMNS_SCHEMA,
            numbers: &self.numbers,
            texts: &self.texts,
            routes: self.routes.iter().map(WrittenRoute::from).collect(),
        };
        serde_json::to_string(&written)
            .map_err(|e| Error::invalid("columns cannot be written").caused_by(e))
    }

    /// Reads what [`ColumnTransformer::to_json`] wrote.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`] for a text, or numbers of columns, routes or steps, above `limits`, and for more
    /// than [`OUTPUTS_MAX`](super::OUTPUTS_MAX) outputs; [`ErrorKind::Unsupported`] for a newer schema;
    /// [`ErrorKind::Corrupt`] for anything else that was not written by this library.
    pub fn from_json(text: &str, limits: &Limits) -> Result<Self> {
        check_schema(WHAT, text, COLUMNS_SCHEMA, limits)?;
        let read: Read = serde_json::from_str(text)
            .map_err(|e| Error::corrupt(format!("these are no {WHAT}: {e}")).caused_by(e))?;
        for list in [&read.numbers, &read.texts] {
            limits.check_elements(list.len())?;
        }
        limits.check_elements(read.routes.len())?;
        let routes = read.routes.into_iter();
        let routes = routes.map(|route| route.built(limits));
        let built = routes
            .collect::<Result<_>>()
            .and_then(|routes| Self::assemble(read.numbers, read.texts, routes));
        built.map_err(|e| match e.kind() {
            ErrorKind::Invalid | ErrorKind::NotFound => {
                Error::corrupt(format!("these are no {WHAT}: {e}"))
            }
            _ => e,
        })
    }

    /// A name for exactly these routes, columns and fitted numbers: 32 hexadecimal digits, the first half of the
    /// SHA-256 of [`ColumnTransformer::to_json`].
    ///
    /// # Errors
    /// As [`ColumnTransformer::to_json`].
    pub fn version(&self) -> Result<String> {
        Ok(content_name(&self.to_json()?))
    }
}

impl<'a> From<&'a Route> for WrittenRoute<'a> {
    fn from(route: &'a Route) -> Self {
        Self {
            name: &route.name,
            columns: &route.columns,
            source: &route.source,
            steps: route.steps.steps(),
        }
    }
}

impl ReadRoute {
    fn built(self, limits: &Limits) -> Result<Route> {
        limits.check_elements(self.columns.len())?;
        limits.check_elements(self.steps.len())?;
        let built = self
            .source
            .outputs(self.columns.len())
            .and_then(|columns| Steps::new(columns, self.steps));
        let steps = built.map_err(|e| e.at(format!("route {:?}", self.name)))?;
        Ok(Route::new(self.name, self.columns, self.source, steps))
    }
}
