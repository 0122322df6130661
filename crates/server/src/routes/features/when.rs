//! [`When`]: up to when a read sees, as callers say it.

use common::schema::FieldType;
use common::{Error, Result, Seq, Timestamp, Value};
use serde::Deserialize;
use serde_json::value::RawValue;
use vectordb::feature::{AsOf, FeatureStore};

use super::super::serving::value_of;

/// Up to when a read sees. Times are RFC 3339 text, or microseconds since 1970.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct When {
    /// What had happened by then; now if it says nothing.
    event: Option<Box<RawValue>>,
    /// Only what had become known by then.
    known: Option<Box<RawValue>>,
    /// Only what was committed up to then.
    seq: Option<u64>,
    /// As of what a tag names.
    tag: Option<String>,
}

impl When {
    pub(in super::super) fn as_of(&self, store: &FeatureStore) -> Result<AsOf> {
        let mut as_of = match (&self.tag, &self.event) {
            (Some(_), Some(_)) => {
                return Err(Error::invalid("as_of: give `event` or `tag`, not both"));
            }
            (Some(tag), None) => store.tagged(tag)?,
            (None, Some(event)) => AsOf::event(time("as_of.event", event)?),
            (None, None) => store.now(),
        };
        if let Some(known) = &self.known {
            as_of = as_of.known(time("as_of.known", known)?);
        }
        if let Some(seq) = self.seq {
            as_of = as_of.seq(Seq(seq));
        }
        Ok(as_of)
    }
}

/// A point in time.
pub(in super::super) fn time(field: &str, given: &RawValue) -> Result<Timestamp> {
    let value = value_of(field, &FieldType::Timestamp, given)?;
    match value {
        Value::Timestamp(time) => Ok(time),
        _ => Err(Error::invalid("it is no point in time").at(field.to_owned())),
    }
}
