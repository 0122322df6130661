//! JSON lines: one object a line, its keys are the columns.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use common::{Error, Result};
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::Value as Json;

use super::{Cell, Refusal, Source, Visit};

/// Holds the parsed objects: a few times the size of the file.
pub(crate) struct JsonSource {
    columns: Vec<String>,
    rows: Vec<(u64, Result<Object, Refusal>)>,
}

/// Values of one line by the position of their column.
type Object = Vec<(usize, Json)>;

/// The pairs of one object in the order of the file.
struct Pairs(Vec<(String, Json)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object such as {\"id\": 1}")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs: Vec<(String, Json)> = Vec::new();
                let mut known = HashSet::new();
                while let Some((name, value)) = map.next_entry::<String, Json>()? {
                    if !known.insert(name.clone()) {
                        return Err(serde::de::Error::custom(format!(
                            "the key `{name}` stands twice"
                        )));
                    }
                    pairs.push((name, value));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}

pub(crate) fn open(bytes: &[u8]) -> Result<JsonSource> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut source = JsonSource {
        columns: Vec::new(),
        rows: Vec::new(),
    };
    let mut positions: HashMap<String, usize> = HashMap::new();
    for (line, text) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        if text.trim_ascii().is_empty() {
            continue;
        }
        let row = match serde_json::from_slice::<Pairs>(text) {
            Ok(Pairs(pairs)) => Ok(pairs
                .into_iter()
                .map(|(name, value)| {
                    let position = *positions.entry(name).or_insert_with_key(|name| {
                        source.columns.push(name.clone());
                        source.columns.len() - 1
                    });
                    (position, value)
                })
                .collect()),
            Err(error) => Err(Refusal::row(line, json_message(&error))
                .remedy("write one JSON object a line, such as {\"id\": 1, \"name\": \"Oulu\"}")),
        };
        source.rows.push((line, row));
    }
    if source.rows.is_empty() {
        return Err(Error::invalid(
            "the file is empty; JSON lines have one object a line, such as {\"id\": 1}",
        ));
    }
    Ok(source)
}

/// The library's message with its own place, of which only the column counts here.
fn json_message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let message = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(message, _)| message);
    format!("not JSON at character {}: {message}", error.column())
}

impl Source for JsonSource {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn each(&self, visit: Visit<'_>) -> Result<()> {
        let mut cells = Vec::new();
        for (line, row) in &self.rows {
            let flow = match row {
                Ok(pairs) => {
                    cells.clear();
                    cells.resize(self.columns.len(), Cell::Missing);
                    for (position, value) in pairs {
                        if let Some(cell) = cells.get_mut(*position) {
                            *cell = Cell::Json(value);
                        }
                    }
                    visit(*line, Ok(&cells))
                }
                Err(refusal) => visit(*line, Err(refusal.clone())),
            };
            if flow == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }
}
