//! [`Value`]: one cell of a record.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::text::Text;
use super::time::{Date, Timestamp};
use super::vector::Vector;

/// A map of values with text keys, ordered by key so that equal maps have equal bytes in every format.
pub type Map = BTreeMap<Text, Value>;

/// A value of a type this library does not know: the type's name and its bytes.
///
/// Storage, sync and every format carry it unchanged; it compares by name, then by bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Extension {
    /// Name of the type, chosen by whoever defines it; reverse-domain names avoid collisions.
    pub name: Text,
    /// The value in that type's own encoding.
    pub bytes: Box<[u8]>,
}

/// One cell of a record: 24 bytes, cheap to clone.
///
/// Equality and order are total, so that every value can be an index key: variants order as they are
/// declared, except that integers and floats order together by numeric value. `-0.0` equals `0.0`; every
/// NaN equals every NaN and orders after all numbers. An integer never *equals* a float (the integer comes
/// first where the numbers tie); filters, which mean numbers and not representations, compare
/// `1` and `1.0` as equal through [`Value::compare`].
///
/// ```
/// use common::Value;
/// let mut values = vec![Value::from(2.5), Value::Null, Value::from("a"), Value::from(2)];
/// values.sort();
/// assert_eq!(values, [Value::Null, Value::from(2), Value::from(2.5), Value::from("a")]);
/// ```
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Value {
    /// No value.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A signed 64-bit integer.
    Int(i64),
    /// A 64-bit float.
    Float(f64),
    /// Unicode text.
    Text(Text),
    /// A byte string.
    Bytes(Arc<[u8]>),
    /// A point in time, in microseconds.
    Timestamp(Timestamp),
    /// A calendar day.
    Date(Date),
    /// A 128-bit universally unique identifier.
    Uuid(Uuid),
    /// A sequence of values, of any types unless the schema says otherwise.
    List(Arc<[Value]>),
    /// Values by name.
    Map(Arc<Map>),
    /// A dense, binary or sparse vector.
    Vector(Arc<Vector>),
    /// A value of a type registered by the application.
    Extension(Arc<Extension>),
}

/// What a [`Value`] is, without the value: the tag that formats and messages use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
#[non_exhaustive]
pub enum ValueKind {
    /// [`Value::Null`]
    Null = 0,
    /// [`Value::Bool`]
    Bool = 1,
    /// [`Value::Int`]
    Int = 2,
    /// [`Value::Float`]
    Float = 3,
    /// [`Value::Text`]
    Text = 4,
    /// [`Value::Bytes`]
    Bytes = 5,
    /// [`Value::Timestamp`]
    Timestamp = 6,
    /// [`Value::Date`]
    Date = 7,
    /// [`Value::Uuid`]
    Uuid = 8,
    /// [`Value::List`]
    List = 9,
    /// [`Value::Map`]
    Map = 10,
    /// [`Value::Vector`]
    Vector = 11,
    /// [`Value::Extension`]
    Extension = 12,
}

impl ValueKind {
    /// The kind's name as schemas and messages write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Float => "float",
            Self::Text => "text",
            Self::Bytes => "bytes",
            Self::Timestamp => "timestamp",
            Self::Date => "date",
            Self::Uuid => "uuid",
            Self::List => "list",
            Self::Map => "map",
            Self::Vector => "vector",
            Self::Extension => "extension",
        }
    }

    /// Position among kinds in the total order; the two kinds of number share one.
    const fn rank(self) -> u8 {
        match self {
            Self::Float => Self::Int as u8,
            other => other as u8,
        }
    }
}

impl fmt::Display for ValueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Value {
    /// What kind of value this is.
    #[inline]
    pub const fn kind(&self) -> ValueKind {
        match self {
            Self::Null => ValueKind::Null,
            Self::Bool(_) => ValueKind::Bool,
            Self::Int(_) => ValueKind::Int,
            Self::Float(_) => ValueKind::Float,
            Self::Text(_) => ValueKind::Text,
            Self::Bytes(_) => ValueKind::Bytes,
            Self::Timestamp(_) => ValueKind::Timestamp,
            Self::Date(_) => ValueKind::Date,
            Self::Uuid(_) => ValueKind::Uuid,
            Self::List(_) => ValueKind::List,
            Self::Map(_) => ValueKind::Map,
            Self::Vector(_) => ValueKind::Vector,
            Self::Extension(_) => ValueKind::Extension,
        }
    }

    /// Whether this is [`Value::Null`].
    #[inline]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The boolean, if this is one.
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The integer, if this is one.
    pub const fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The number as a float, if this is an integer or a float; integers beyond 2^53 are rounded.
    #[expect(clippy::cast_precision_loss, reason = "documented rounding")]
    pub const fn as_float(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            Self::Int(value) => Some(*value as f64),
            _ => None,
        }
    }

    /// The text, if this is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(value) => Some(value),
            _ => None,
        }
    }

    /// The byte string, if this is one.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(value) => Some(value),
            _ => None,
        }
    }

    /// The timestamp, if this is one.
    pub const fn as_timestamp(&self) -> Option<Timestamp> {
        match self {
            Self::Timestamp(value) => Some(*value),
            _ => None,
        }
    }

    /// The list, if this is one.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Self::List(value) => Some(value),
            _ => None,
        }
    }

    /// The map, if this is one.
    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Self::Map(value) => Some(value),
            _ => None,
        }
    }

    /// The vector, if this is one.
    pub fn as_vector(&self) -> Option<&Vector> {
        match self {
            Self::Vector(value) => Some(value),
            _ => None,
        }
    }

    /// Compares as a filter does: numbers by value whatever their representation, other kinds only with
    /// their own. `None` when the two cannot be compared, or when either is null or NaN.
    ///
    /// ```
    /// use common::Value;
    /// use std::cmp::Ordering;
    /// assert_eq!(Value::from(1).compare(&Value::from(1.0)), Some(Ordering::Equal));
    /// assert_eq!(Value::from(1).compare(&Value::from("1")), None);
    /// ```
    #[inline]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (Self::Text(a), Self::Text(b)) => Some(a.as_str().cmp(b.as_str())),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(b),
            (Self::Int(a), Self::Float(b)) => compare_int_float(*a, *b),
            (Self::Float(a), Self::Int(b)) => compare_int_float(*b, *a).map(Ordering::reverse),
            (Self::Null, _) | (_, Self::Null) => None,
            (a, b) if a.kind() == b.kind() => Some(a.cmp(b)),
            _ => None,
        }
    }

    /// Bytes of heap that this value alone keeps alive, beyond its own 24 bytes; shared parts count in full, and
    /// text that lies in a record counts with the record.
    pub fn heap_bytes(&self) -> usize {
        // A shared allocation carries two reference counts in front of its contents.
        const COUNTS: usize = 16;
        match self {
            Self::Null
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Float(_)
            | Self::Timestamp(_)
            | Self::Date(_)
            | Self::Uuid(_) => 0,
            Self::Text(text) if text.is_heap_allocated() => COUNTS + text.len(),
            Self::Text(_) => 0,
            Self::Bytes(bytes) => COUNTS + bytes.len(),
            Self::List(items) => {
                COUNTS
                    + items
                        .iter()
                        .map(|v| size_of::<Self>() + v.heap_bytes())
                        .sum::<usize>()
            }
            Self::Map(map) => {
                let entry = size_of::<Text>() + size_of::<Self>();
                COUNTS + map.values().map(|v| entry + v.heap_bytes()).sum::<usize>()
            }
            Self::Vector(vector) => COUNTS + size_of::<Vector>() + vector.heap_bytes(),
            Self::Extension(ext) => COUNTS + size_of::<Extension>() + ext.bytes.len(),
        }
    }
}

/// Exact comparison of an integer with a float, without rounding the integer; `None` for NaN.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the range is checked first"
)]
fn compare_int_float(int: i64, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    // 2^63 is exact in f64, i64::MAX is not.
    if float >= 9_223_372_036_854_775_808.0 {
        return Some(Ordering::Less);
    }
    if float < -9_223_372_036_854_775_808.0 {
        return Some(Ordering::Greater);
    }
    let whole = float.trunc();
    Some(
        int.cmp(&(whole as i64))
            .then_with(|| whole.partial_cmp(&float).unwrap_or(Ordering::Equal)),
    )
}

/// Order of floats in which `-0.0 == 0.0` and every NaN is equal and last.
fn compare_float(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b)
        .unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.as_str().cmp(b.as_str()),
            (Self::Float(a), Self::Float(b)) => compare_float(*a, *b),
            (Self::Int(a), Self::Float(b)) => compare_int_float(*a, *b)
                .unwrap_or(Ordering::Less)
                .then(Ordering::Less),
            (Self::Float(a), Self::Int(b)) => compare_int_float(*b, *a)
                .map_or(Ordering::Greater, Ordering::reverse)
                .then(Ordering::Greater),
            (Self::Null, Self::Null) => Ordering::Equal,
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
            (Self::Timestamp(a), Self::Timestamp(b)) => a.cmp(b),
            (Self::Date(a), Self::Date(b)) => a.cmp(b),
            (Self::Uuid(a), Self::Uuid(b)) => a.cmp(b),
            (Self::List(a), Self::List(b)) => a.cmp(b),
            (Self::Map(a), Self::Map(b)) => a.cmp(b),
            (Self::Vector(a), Self::Vector(b)) => a.cmp(b),
            (Self::Extension(a), Self::Extension(b)) => a.cmp(b),
            (a, b) => a.kind().rank().cmp(&b.kind().rank()),
        }
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            _ => self.cmp(other) == Ordering::Equal,
        }
    }
}

impl Eq for Value {}

impl Hash for Value {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u8(self.kind() as u8);
        match self {
            Self::Null => {}
            Self::Bool(value) => value.hash(state),
            Self::Int(value) => value.hash(state),
            Self::Float(value) => state.write_u64(canonical_bits(*value)),
            Self::Text(value) => value.hash(state),
            Self::Bytes(value) => value.hash(state),
            Self::Timestamp(value) => value.hash(state),
            Self::Date(value) => value.hash(state),
            Self::Uuid(value) => value.hash(state),
            Self::List(value) => value.hash(state),
            Self::Map(value) => value.hash(state),
            Self::Vector(value) => value.hash(state),
            Self::Extension(value) => value.hash(state),
        }
    }
}

/// Bits of a float in which values that compare equal are the same.
fn canonical_bits(value: f64) -> u64 {
    if value.is_nan() {
        f64::NAN.to_bits()
    } else if value == 0.0 {
        0
    } else {
        value.to_bits()
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Text(value) => write!(f, "{:?}", value.as_str()),
            Self::Bytes(value) => write!(f, "bytes[{}]", value.len()),
            Self::Timestamp(value) => write!(f, "{value}"),
            Self::Date(value) => write!(f, "{value}"),
            Self::Uuid(value) => write!(f, "{value}"),
            Self::List(value) => f.debug_list().entries(value.iter()).finish(),
            Self::Map(value) => f.debug_map().entries(value.iter()).finish(),
            Self::Vector(value) => value.fmt(f),
            Self::Extension(value) => write!(f, "{}[{}]", value.name, value.bytes.len()),
        }
    }
}

/// Shows text without quotes, and everything else as `Debug` does.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(value) => f.pad(value),
            other => fmt::Debug::fmt(other, f),
        }
    }
}

macro_rules! from {
    ($($source:ty => |$value:ident| $body:expr;)*) => {$(
        impl From<$source> for Value {
            #[inline]
            fn from($value: $source) -> Self {
                $body
            }
        }
    )*};
}

from! {
    bool => |value| Self::Bool(value);
    i8 => |value| Self::Int(value.into());
    i16 => |value| Self::Int(value.into());
    i32 => |value| Self::Int(value.into());
    i64 => |value| Self::Int(value);
    u8 => |value| Self::Int(value.into());
    u16 => |value| Self::Int(value.into());
    u32 => |value| Self::Int(value.into());
    f32 => |value| Self::Float(value.into());
    f64 => |value| Self::Float(value);
    &str => |value| Self::Text(Text::new(value));
    String => |value| Self::Text(Text::from(value));
    Text => |value| Self::Text(value);
    &[u8] => |value| Self::Bytes(Arc::from(value));
    Vec<u8> => |value| Self::Bytes(Arc::from(value));
    Timestamp => |value| Self::Timestamp(value);
    Date => |value| Self::Date(value);
    Uuid => |value| Self::Uuid(value);
    Vec<Value> => |value| Self::List(Arc::from(value));
    Map => |value| Self::Map(Arc::new(value));
    Vector => |value| Self::Vector(Arc::new(value));
    Vec<f32> => |value| Self::Vector(Arc::new(Vector::from(value)));
    Extension => |value| Self::Extension(Arc::new(value));
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_24_bytes() {
        assert_eq!(size_of::<Value>(), 24);
    }

    #[test]
    fn integers_and_floats_order_by_exact_value() {
        let near = Value::Float(9_007_199_254_740_992.0);
        assert!(Value::Int(9_007_199_254_740_993) > near);
        assert!(Value::Int(9_007_199_254_740_991) < near);
        assert_eq!(
            Value::Int(9_007_199_254_740_992).compare(&near),
            Some(Ordering::Equal)
        );
        assert!(Value::Int(i64::MAX) < Value::Float(9.3e18));
        assert!(Value::Int(i64::MIN) > Value::Float(f64::NEG_INFINITY));
        assert!(Value::Int(-1) > Value::Float(-1.5));
        assert!(Value::Int(i64::MAX) < Value::Float(f64::NAN));
        assert_ne!(Value::Int(1), Value::Float(1.0));
    }

    #[test]
    fn zeros_and_nans_are_one_key_each() {
        let hash = |value: &Value| {
            use std::hash::BuildHasher;
            foldhash::fast::FixedState::default().hash_one(value)
        };
        let (plus, minus) = (Value::Float(0.0), Value::Float(-0.0));
        assert_eq!(plus, minus);
        assert_eq!(hash(&plus), hash(&minus));
        let (a, b) = (Value::Float(f64::NAN), Value::Float(-f64::NAN));
        assert_eq!(a, b);
        assert_eq!(hash(&a), hash(&b));
        assert_eq!(a.compare(&b), None, "a filter never matches NaN");
    }
}
