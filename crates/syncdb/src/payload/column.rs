//! [`Column`]: the values of one column, by type, without their nulls.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{Date, Text, Timestamp, Value, Vector};
use uuid::Uuid;

/// Columns inside columns go this deep; what lies deeper is kept value by value, so that whatever a reader's limit on
/// nesting lets through as values, it lets through as columns.
const DEPTH_MAX: usize = 16;

/// Values of one column: which rows have one, and those values one after another.
///
/// This is what a block decodes to. It holds numbers as numbers and texts in one piece, so that reading a million
/// of them allocates a handful of times; [`Column::to_values`] makes [`Value`]s of it.
///
/// ```
/// use common::Value;
/// use syncdb::payload::{Column, Data};
/// let column = Column::from_values(&[Value::from(7), Value::Null, Value::from(9)]);
/// assert!(matches!(column.data(), Data::Int(values) if values == &[7, 9]));
/// assert_eq!(column.present(), Some(&[true, false, true][..]));
/// assert_eq!(column.to_values(), [Value::from(7), Value::Null, Value::from(9)]);
/// ```
#[derive(Debug, Clone)]
pub struct Column {
    pub(super) rows: usize,
    /// `None` when every row has a value.
    pub(super) present: Option<Vec<bool>>,
    pub(super) data: Data,
}

/// The values of a column that are there, of one type where the column has one.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Data {
    /// No row has a value.
    Null,
    /// True or false.
    Bool(Vec<bool>),
    /// Integers.
    Int(Vec<i64>),
    /// Floats, bit for bit.
    Float(Vec<f64>),
    /// Texts.
    Text(Texts),
    /// Byte strings.
    Bytes(ByteStrings),
    /// Microseconds since 1970.
    Timestamp(Vec<i64>),
    /// Days since 1970.
    Date(Vec<i64>),
    /// Identifiers as 128-bit numbers.
    Uuid(Vec<u128>),
    /// Lists: how many elements each has, and all elements.
    List {
        /// Number of elements of each list.
        lengths: Vec<i64>,
        /// The elements of all lists.
        items: Box<Column>,
    },
    /// Maps: which keys each has, and for every key the values.
    Map {
        /// Sets of keys that occur, each sorted.
        shapes: Vec<Vec<Text>>,
        /// Position in `shapes` for each map.
        shape_of: Vec<i64>,
        /// For every key of every shape, in order: the values of the maps of that shape.
        fields: Vec<Column>,
    },
    /// Dense vectors of 32-bit floats, all of one dimension.
    Vector {
        /// Number of elements of each vector.
        dimension: usize,
        /// The elements of all vectors.
        elements: Vec<f32>,
    },
    /// Vectors of other kinds, and extension values.
    Other(Vec<Value>),
    /// Values of several types: the part that each row's value is in, and the parts.
    Mixed {
        /// Position in `parts` for each value.
        part_of: Vec<i64>,
        /// One column without nulls for each type that occurs.
        parts: Vec<Column>,
    },
}

/// Texts in one piece; equal ones may share their bytes.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    pub(super) bytes: String,
    /// Begin and end of each text.
    pub(super) spans: Vec<(u32, u32)>,
}

/// Byte strings in one piece; equal ones may share their bytes.
#[derive(Debug, Clone, Default)]
pub struct ByteStrings {
    pub(super) bytes: Vec<u8>,
    /// Begin and end of each.
    pub(super) spans: Vec<(u32, u32)>,
}

impl Texts {
    /// Number of texts.
    pub const fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The text at a position; `None` past the last.
    #[inline]
    pub fn get(&self, position: usize) -> Option<&str> {
        let (begin, end) = *self.spans.get(position)?;
        self.bytes.get(begin as usize..end as usize)
    }

    /// All texts in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.spans.iter().map(|(begin, end)| {
            self.bytes
                .get(*begin as usize..*end as usize)
                .unwrap_or_default()
        })
    }

    pub(super) fn push(&mut self, text: &str) {
        let begin = offset(self.bytes.len());
        self.bytes.push_str(text);
        self.spans.push((begin, offset(self.bytes.len())));
    }
}

impl<'a> FromIterator<&'a str> for Texts {
    fn from_iter<I: IntoIterator<Item = &'a str>>(texts: I) -> Self {
        let mut all = Self::default();
        texts.into_iter().for_each(|text| all.push(text));
        all
    }
}

impl ByteStrings {
    /// Number of byte strings.
    pub const fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// All byte strings in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.spans.iter().map(|(begin, end)| {
            self.bytes
                .get(*begin as usize..*end as usize)
                .unwrap_or_default()
        })
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let begin = offset(self.bytes.len());
        self.bytes.extend_from_slice(bytes);
        self.spans.push((begin, offset(self.bytes.len())));
    }
}

/// A position in the bytes of a column. Encoding refuses columns of 4 GiB before it would saturate.
pub(super) fn offset(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

impl Column {
    /// Sorts values by type. What a column is depends on the values alone, so any values are fine.
    pub fn from_values(values: &[Value]) -> Self {
        Self::from_refs(&values.iter().collect::<Vec<_>>())
    }

    /// As [`Column::from_values`], for values that lie apart, as those of one column of many records do.
    pub fn from_refs(values: &[&Value]) -> Self {
        Self::nested(values, 0)
    }

    fn nested(values: &[&Value], depth: usize) -> Self {
        let nulls = values.iter().filter(|value| value.is_null()).count();
        if nulls == 0 {
            return Self {
                rows: values.len(),
                present: None,
                data: Data::from_present(values, depth),
            };
        }
        let there: Vec<&Value> = values.iter().copied().filter(|v| !v.is_null()).collect();
        Self {
            rows: values.len(),
            present: Some(values.iter().map(|value| !value.is_null()).collect()),
            data: Data::from_present(&there, depth),
        }
    }

    /// Number of rows, nulls included.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Which rows have a value; `None` when all have.
    pub fn present(&self) -> Option<&[bool]> {
        self.present.as_deref()
    }

    /// The values that are there.
    pub const fn data(&self) -> &Data {
        &self.data
    }

    /// One value for each row.
    pub fn to_values(&self) -> Vec<Value> {
        let mut values = self.data.to_values();
        let Some(present) = &self.present else {
            return values;
        };
        let mut there = std::mem::take(&mut values).into_iter();
        present
            .iter()
            .map(|present| {
                if *present {
                    there.next().unwrap_or_default()
                } else {
                    Value::Null
                }
            })
            .collect()
    }
}

impl Data {
    /// The values of a column, none of which is null.
    fn from_present(values: &[&Value], depth: usize) -> Self {
        let Some(first) = values.first() else {
            return Self::Null;
        };
        let other = || Self::Other(values.iter().map(|value| (*value).clone()).collect());
        let kind = first.kind();
        let mixed = values.iter().any(|value| value.kind() != kind);
        if depth >= DEPTH_MAX && (mixed || matches!(first, Value::List(_) | Value::Map(_))) {
            return other();
        }
        if mixed {
            return Self::mixed(values, depth + 1);
        }
        let count = values.len();
        macro_rules! each {
            ($pattern:pat => $value:expr) => {{
                let mut all = Vec::with_capacity(count);
                all.extend(values.iter().filter_map(|value| match value {
                    $pattern => Some($value),
                    _ => None,
                }));
                all
            }};
        }
        match first {
            Value::Bool(_) => Self::Bool(each!(Value::Bool(value) => *value)),
            Value::Int(_) => Self::Int(each!(Value::Int(value) => *value)),
            Value::Float(_) => Self::Float(each!(Value::Float(value) => *value)),
            Value::Timestamp(_) => Self::Timestamp(each!(Value::Timestamp(value) => value.0)),
            Value::Date(_) => Self::Date(each!(Value::Date(value) => i64::from(value.0))),
            Value::Uuid(_) => Self::Uuid(each!(Value::Uuid(value) => value.as_u128())),
            Value::Text(_) => {
                Self::Text(values.iter().filter_map(|value| value.as_text()).collect())
            }
            Value::Bytes(_) => {
                let mut all = ByteStrings::default();
                for bytes in values.iter().filter_map(|value| value.as_bytes()) {
                    all.push(bytes);
                }
                Self::Bytes(all)
            }
            Value::List(_) => {
                let lists = || values.iter().filter_map(|value| value.as_list());
                let lengths = lists().map(|list| count_of(list.len())).collect();
                let items: Vec<&Value> = lists().flatten().collect();
                Self::List {
                    lengths,
                    items: Box::new(Column::nested(&items, depth + 1)),
                }
            }
            Value::Map(_) => Self::maps(values, depth + 1),
            Value::Vector(first) => {
                let dimension = first.dimension();
                let elements = |value: &&Value| {
                    value
                        .as_vector()
                        .and_then(Vector::as_f32)
                        .map(<[f32]>::to_vec)
                };
                let dense = |value: &&Value| {
                    let elements = value.as_vector().and_then(Vector::as_f32);
                    elements.is_some_and(|elements| elements.len() == dimension && dimension > 0)
                };
                if values.iter().all(dense) {
                    return Self::Vector {
                        dimension,
                        elements: values.iter().filter_map(elements).flatten().collect(),
                    };
                }
                other()
            }
            _ => other(),
        }
    }

    fn mixed(values: &[&Value], depth: usize) -> Self {
        let mut kinds = Vec::new();
        let mut of_kind: Vec<Vec<&Value>> = Vec::new();
        let mut part_of = Vec::with_capacity(values.len());
        for value in values {
            let known = kinds.iter().position(|kind| *kind == value.kind());
            let part = known.unwrap_or_else(|| {
                kinds.push(value.kind());
                of_kind.push(Vec::new());
                kinds.len() - 1
            });
            part_of.push(count_of(part));
            if let Some(values) = of_kind.get_mut(part) {
                values.push(value);
            }
        }
        let parts = of_kind.iter().map(|values| Column::nested(values, depth));
        Self::Mixed {
            part_of,
            parts: parts.collect(),
        }
    }

    fn maps(values: &[&Value], depth: usize) -> Self {
        let mut known: BTreeMap<Vec<&Text>, usize> = BTreeMap::new();
        let mut shape_of = Vec::new();
        let mut of_shape: Vec<Vec<&common::Map>> = Vec::new();
        for map in values.iter().filter_map(|value| value.as_map()) {
            let next = known.len();
            let shape = *known.entry(map.keys().collect()).or_insert(next);
            if shape == next {
                of_shape.push(Vec::new());
            }
            shape_of.push(count_of(shape));
            if let Some(maps) = of_shape.get_mut(shape) {
                maps.push(map);
            }
        }
        let mut shapes = vec![Vec::new(); known.len()];
        for (keys, shape) in known {
            if let Some(place) = shapes.get_mut(shape) {
                *place = keys.into_iter().cloned().collect();
            }
        }
        let mut fields = Vec::new();
        for (shape, maps) in shapes.iter().zip(&of_shape) {
            for key in shape {
                let values: Vec<&Value> = maps.iter().filter_map(|map| map.get(key)).collect();
                fields.push(Column::nested(&values, depth));
            }
        }
        Self::Map {
            shapes,
            shape_of,
            fields,
        }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Null => 0,
            Self::Bool(values) => values.len(),
            Self::Int(values) | Self::Timestamp(values) | Self::Date(values) => values.len(),
            Self::Float(values) => values.len(),
            Self::Text(values) => values.len(),
            Self::Bytes(values) => values.len(),
            Self::Uuid(values) => values.len(),
            Self::List { lengths, .. } => lengths.len(),
            Self::Map { shape_of, .. } => shape_of.len(),
            Self::Vector {
                dimension,
                elements,
            } => elements.len().checked_div(*dimension).unwrap_or(0),
            Self::Other(values) => values.len(),
            Self::Mixed { part_of, .. } => part_of.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn to_values(&self) -> Vec<Value> {
        match self {
            Self::Null => Vec::new(),
            Self::Bool(values) => values.iter().copied().map(Value::Bool).collect(),
            Self::Int(values) => values.iter().copied().map(Value::Int).collect(),
            Self::Float(values) => values.iter().copied().map(Value::Float).collect(),
            Self::Timestamp(values) => values
                .iter()
                .map(|value| Value::Timestamp(Timestamp(*value)))
                .collect(),
            Self::Date(values) => values
                .iter()
                // The decoder checked that days fit 32 bits.
                .map(|value| Value::Date(Date(i32::try_from(*value).unwrap_or_default())))
                .collect(),
            Self::Uuid(values) => values
                .iter()
                .map(|value| Value::Uuid(Uuid::from_u128(*value)))
                .collect(),
            Self::Text(texts) => texts
                .iter()
                .map(|text| Value::Text(Text::new(text)))
                .collect(),
            Self::Bytes(strings) => strings
                .iter()
                .map(|bytes| Value::Bytes(bytes.into()))
                .collect(),
            Self::List { lengths, items } => {
                let mut items = items.to_values().into_iter();
                lengths
                    .iter()
                    .map(|length| {
                        let list = items.by_ref().take(usize::try_from(*length).unwrap_or(0));
                        Value::List(list.collect())
                    })
                    .collect()
            }
            Self::Map {
                shapes,
                shape_of,
                fields,
            } => map_values(shapes, shape_of, fields),
            Self::Vector {
                dimension,
                elements,
            } => elements
                .chunks((*dimension).max(1))
                .map(|elements| Value::Vector(Arc::new(Vector::F32(elements.into()))))
                .collect(),
            Self::Other(values) => values.clone(),
            Self::Mixed { part_of, parts } => {
                let mut parts: Vec<_> = parts
                    .iter()
                    .map(|part| part.to_values().into_iter())
                    .collect();
                part_of
                    .iter()
                    .map(|part| {
                        let part = usize::try_from(*part).ok();
                        let part = part.and_then(|part| parts.get_mut(part));
                        part.and_then(Iterator::next).unwrap_or_default()
                    })
                    .collect()
            }
        }
    }
}

fn map_values(shapes: &[Vec<Text>], shape_of: &[i64], fields: &[Column]) -> Vec<Value> {
    let mut columns = fields.iter().map(|field| field.to_values().into_iter());
    let mut of_shape: Vec<Vec<_>> = shapes
        .iter()
        .map(|keys| {
            let columns = columns.by_ref().take(keys.len());
            keys.iter().zip(columns).collect()
        })
        .collect();
    shape_of
        .iter()
        .map(|shape| {
            let shape = usize::try_from(*shape).ok();
            let fields = shape.and_then(|shape| of_shape.get_mut(shape));
            let members = fields.into_iter().flatten().map(|(key, column)| {
                let key: &Text = key;
                (key.clone(), column.next().unwrap_or_default())
            });
            Value::Map(Arc::new(members.collect()))
        })
        .collect()
}

pub(super) fn count_of(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
