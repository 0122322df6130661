//! [`ValueInput`]: a value on its way into a record, which may borrow its text.

use uuid::Uuid;

use super::text::Text;
use super::time::{Date, Timestamp};
use super::value::Value;

/// A value that an application hands in: a text it keeps, or any [`Value`].
///
/// A borrowed text is copied once, to where it will stay, so that handing it in allocates nothing.
///
/// ```
/// use common::{Value, ValueInput};
/// let name = String::from("Oulu");
/// let input = ValueInput::from(&name);
/// assert_eq!(input.into_value(), Value::from("Oulu"));
/// ```
#[derive(Debug, Clone)]
pub enum ValueInput<'v> {
    /// A text that lies elsewhere.
    Text(&'v str),
    /// A value of its own.
    Value(Value),
}

impl ValueInput<'_> {
    /// The value, with null in its place when it was not borrowed.
    #[inline]
    pub(super) fn take(&mut self) -> Value {
        match self {
            Self::Text(text) => Value::Text(Text::new(text)),
            Self::Value(value) => std::mem::take(value),
        }
    }

    /// The value, with a text of its own.
    #[inline]
    pub fn into_value(self) -> Value {
        match self {
            Self::Text(text) => Value::Text(Text::new(text)),
            Self::Value(value) => value,
        }
    }
}

impl From<Value> for ValueInput<'_> {
    #[inline]
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

impl<'v> From<&'v Value> for ValueInput<'v> {
    #[inline]
    fn from(value: &'v Value) -> Self {
        match value {
            Value::Text(text) => Self::Text(text),
            value => Self::Value(value.clone()),
        }
    }
}

impl<'v> From<&'v str> for ValueInput<'v> {
    #[inline]
    fn from(text: &'v str) -> Self {
        Self::Text(text)
    }
}

impl<'v> From<&'v String> for ValueInput<'v> {
    #[inline]
    fn from(text: &'v String) -> Self {
        Self::Text(text)
    }
}

macro_rules! from {
    ($($source:ty),*) => {$(
        impl From<$source> for ValueInput<'_> {
            #[inline]
            fn from(value: $source) -> Self {
                Self::Value(Value::from(value))
            }
        }
    )*};
}

from!(bool, i32, i64, f64, Timestamp, Date, Uuid);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_no_larger_than_a_value() {
        assert_eq!(size_of::<ValueInput<'_>>(), size_of::<Value>());
    }

    #[test]
    fn texts_are_borrowed_and_everything_comes_in_as_it_is() {
        let text = Value::from("a text that is too long to lie in a value");
        assert!(matches!(ValueInput::from(&text), ValueInput::Text(_)));
        let list = Value::from(vec![Value::from(1), Value::Null]);
        for value in [text, list, Value::from(2.5), Value::Null] {
            assert_eq!(ValueInput::from(&value).into_value(), value);
            assert_eq!(ValueInput::from(value.clone()).into_value(), value);
        }
        assert_eq!(ValueInput::from(7).into_value(), Value::from(7));
    }
}
