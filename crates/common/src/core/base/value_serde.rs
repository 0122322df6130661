//! The serde form of a [`Value`]: plain JSON types where they say everything, tagged objects elsewhere.
//!
//! | value | form |
//! |---|---|
//! | null, bool, int, text, list, map | themselves |
//! | float | a number with a fraction or exponent; `{"$float": "NaN"}`, `"inf"`, `"-inf"` otherwise |
//! | bytes | `{"$bytes": "<base64>"}` |
//! | timestamp, date | `{"$timestamp": <microseconds>}`, `{"$date": <days>}` |
//! | uuid | `{"$uuid": "<hyphenated>"}` |
//! | vector | `{"$vector": {"f32": [..]}}`, and `f16`, `i8`, `binary`, `sparse` likewise |
//! | extension | `{"$extension": {"name": .., "bytes": "<base64>"}}` |
//! | a map whose first key begins with `$` | `{"$map": {..}}` |

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::collections::btree_map::Entry;
use std::fmt;

use half::f16;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Error as _, SerializeMap};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::text::Text;
use super::time::{Date, Timestamp};
use super::value::{Extension, Map, Value};
use super::vector::Vector;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum VectorForm {
    F32(Vec<FloatForm>),
    F16(Vec<FloatForm>),
    I8(Vec<i8>),
    Binary {
        dimension: u32,
        bits: String,
    },
    Sparse {
        dimension: u32,
        indices: Vec<u32>,
        values: Vec<FloatForm>,
    },
}

/// A 32-bit float that survives JSON even when it is not finite.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum FloatForm {
    Number(f32),
    Name(FloatName),
}

#[derive(Serialize, Deserialize)]
enum FloatName {
    #[serde(rename = "NaN")]
    Nan,
    #[serde(rename = "inf")]
    Infinity,
    #[serde(rename = "-inf")]
    NegativeInfinity,
}

impl FloatForm {
    fn new(value: f32) -> Self {
        match FloatName::of(f64::from(value)) {
            Some(name) => Self::Name(name),
            None => Self::Number(value),
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "only NaN and the infinities are cast"
    )]
    fn get(&self) -> f32 {
        match self {
            Self::Number(value) => *value,
            Self::Name(name) => name.get() as f32,
        }
    }
}

impl FloatName {
    fn of(value: f64) -> Option<Self> {
        if value.is_finite() {
            None
        } else if value.is_nan() {
            Some(Self::Nan)
        } else if value > 0.0 {
            Some(Self::Infinity)
        } else {
            Some(Self::NegativeInfinity)
        }
    }

    const fn get(&self) -> f64 {
        match self {
            Self::Nan => f64::NAN,
            Self::Infinity => f64::INFINITY,
            Self::NegativeInfinity => f64::NEG_INFINITY,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct ExtensionForm {
    name: Text,
    bytes: String,
}

fn one<S: Serializer, T: Serialize + ?Sized>(
    serializer: S,
    tag: &str,
    value: &T,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(tag, value)?;
    map.end()
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Float(value) => match FloatName::of(*value) {
                Some(name) => one(serializer, "$float", &name),
                None => serializer.serialize_f64(*value),
            },
            Self::Text(value) => serializer.serialize_str(value),
            Self::Bytes(value) => one(serializer, "$bytes", &base64_encode(value)),
            Self::Timestamp(value) => one(serializer, "$timestamp", &value.0),
            Self::Date(value) => one(serializer, "$date", &value.0),
            Self::Uuid(value) => one(serializer, "$uuid", &value.hyphenated().to_string()),
            Self::List(items) => serializer.collect_seq(items.iter()),
            Self::Map(map) if map.keys().next().is_some_and(|key| key.starts_with('$')) => {
                one(serializer, "$map", &**map)
            }
            Self::Map(map) => serializer.collect_map(map.iter()),
            Self::Vector(vector) => one(serializer, "$vector", &vector_form(vector)),
            Self::Extension(ext) => {
                let form = ExtensionForm {
                    name: ext.name.clone(),
                    bytes: base64_encode(&ext.bytes),
                };
                if form.name.is_empty() {
                    return Err(S::Error::custom("an extension value has a type name"));
                }
                one(serializer, "$extension", &form)
            }
        }
    }
}

fn vector_form(vector: &Vector) -> VectorForm {
    let floats = |values: &[f32]| values.iter().map(|v| FloatForm::new(*v)).collect();
    match vector {
        Vector::F32(values) => VectorForm::F32(floats(values)),
        Vector::F16(values) => {
            VectorForm::F16(values.iter().map(|v| FloatForm::new(v.to_f32())).collect())
        }
        Vector::I8(values) => VectorForm::I8(values.to_vec()),
        Vector::Binary { dimension, bits } => VectorForm::Binary {
            dimension: *dimension,
            bits: base64_encode(bits),
        },
        Vector::Sparse {
            dimension,
            indices,
            values,
        } => VectorForm::Sparse {
            dimension: *dimension,
            indices: indices.to_vec(),
            values: floats(values),
        },
    }
}

fn vector_of<E: serde::de::Error>(form: VectorForm) -> Result<Vector, E> {
    let floats = |values: Vec<FloatForm>| values.iter().map(FloatForm::get).collect::<Vec<f32>>();
    let vector = match form {
        VectorForm::F32(values) => Vector::F32(floats(values).into()),
        VectorForm::F16(values) => {
            Vector::F16(values.iter().map(|v| f16::from_f32(v.get())).collect())
        }
        VectorForm::I8(values) => Vector::I8(values.into()),
        VectorForm::Binary { dimension, bits } => {
            Vector::binary(dimension, base64_decode(&bits).map_err(E::custom)?)
                .map_err(E::custom)?
        }
        VectorForm::Sparse {
            dimension,
            indices,
            values,
        } => {
            return Vector::sparse(dimension, indices, floats(values)).map_err(E::custom);
        }
    };
    super::vector::check_dimension(vector.dimension()).map_err(E::custom)?;
    Ok(vector)
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value: null, bool, number, text, list, map, or an object with one `$` tag")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        i64::try_from(value)
            .map(Value::Int)
            .map_err(|_| E::custom(format!("integer {value} does not fit 64 bits with sign")))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        // The declared length is a hint from outside: nothing is reserved on its word.
        let mut items: Vec<Value> = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::from(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<Text>()? {
            if map.is_empty() && key.starts_with('$') {
                let value = tagged(&key, &mut access)?;
                return match access.next_key::<Text>()? {
                    None => Ok(value),
                    Some(_) => Err(A::Error::custom(format!(
                        "an object tagged `{key}` has no other key"
                    ))),
                };
            }
            insert(&mut map, key, &mut access)?;
        }
        Ok(Value::from(map))
    }
}

/// Reads the value of `key`, which the map must not have yet.
fn insert<'de, A: MapAccess<'de>>(
    map: &mut Map,
    key: Text,
    access: &mut A,
) -> Result<(), A::Error> {
    match map.entry(key) {
        Entry::Vacant(entry) => {
            entry.insert(access.next_value()?);
            Ok(())
        }
        Entry::Occupied(entry) => Err(A::Error::custom(format!(
            "key `{}` stands twice",
            entry.key()
        ))),
    }
}

/// The inside of `$map`, where a key that begins with `$` is a key.
struct Untagged;

impl<'de> DeserializeSeed<'de> for Untagged {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Untagged {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<Text>()? {
            insert(&mut map, key, &mut access)?;
        }
        Ok(Value::from(map))
    }
}

fn tagged<'de, A: MapAccess<'de>>(tag: &str, access: &mut A) -> Result<Value, A::Error> {
    Ok(match tag {
        "$float" => Value::Float(access.next_value::<FloatName>()?.get()),
        "$bytes" => {
            let text: String = access.next_value()?;
            Value::from(base64_decode(&text).map_err(A::Error::custom)?)
        }
        "$timestamp" => Value::Timestamp(Timestamp(access.next_value()?)),
        "$date" => Value::Date(Date(access.next_value()?)),
        "$uuid" => {
            let text: String = access.next_value()?;
            Value::Uuid(Uuid::parse_str(&text).map_err(A::Error::custom)?)
        }
        "$map" => access.next_value_seed(Untagged)?,
        "$vector" => Value::from(vector_of::<A::Error>(access.next_value()?)?),
        "$extension" => {
            let form: ExtensionForm = access.next_value()?;
            let bytes = base64_decode(&form.bytes).map_err(A::Error::custom)?;
            Value::from(Extension {
                name: form.name,
                bytes: bytes.into(),
            })
        }
        other => {
            return Err(A::Error::custom(format!(
                "unknown tag `{other}`; a map with such a key is written {{\"$map\": {{..}}}}"
            )));
        }
    })
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

fn base64_encode(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn base64_decode(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_json() {
        let map: Map = [
            (Text::new("$x"), Value::from(1)),
            (Text::new("y"), Value::Null),
        ]
        .into();
        let values = [
            Value::Null,
            Value::from(true),
            Value::from(i64::MIN),
            Value::from(1.0),
            Value::from(f64::NAN),
            Value::from(f64::NEG_INFINITY),
            Value::from("a\u{2028}b"),
            Value::from(vec![0_u8, 255]),
            Value::Timestamp(Timestamp(-1)),
            Value::Date(Date(i32::MAX)),
            Value::Uuid(Uuid::from_u128(7)),
            Value::from(vec![Value::from(1), Value::from(map)]),
            Value::from(vec![1.5_f32, f32::INFINITY]),
            Value::from(Vector::binary(3, vec![5]).unwrap()),
            Value::from(Vector::sparse(9, vec![2, 8], vec![1.0, -1.0]).unwrap()),
            Value::from(Extension {
                name: "geo.point".into(),
                bytes: Box::new([1, 2]),
            }),
        ];
        for value in values {
            let json = serde_json::to_string(&value).unwrap();
            let back: Value = serde_json::from_str(&json).unwrap();
            assert_eq!(back, value, "{json}");
            assert_eq!(back.kind(), value.kind(), "{json}");
        }
    }

    #[test]
    fn ambiguous_objects_are_refused() {
        for json in [
            r#"{"$bytes":"AA==","x":1}"#,
            r#"{"$what":1}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"$map":{"$a":1,"$a":1}}"#,
            "18446744073709551615",
        ] {
            assert!(serde_json::from_str::<Value>(json).is_err(), "{json}");
        }
    }
}
