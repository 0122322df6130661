//! A format that this library does not have, written outside it: in the manner of bencode,
//! with letters for the types it lacks.
//!
//! Run with `cargo run -p tandemdb-common --example format_as_a_stranger`.
//!
//! | value | form |
//! |---|---|
//! | null, true, false | `n`, `t`, `f` |
//! | int | `i42e` |
//! | float | `d` and 16 hexadecimal digits of its bits |
//! | text | `4:Oulu` |
//! | list | `l`, the values, `e` |
//! | map | `m`, keys as text and values in turn, `e` |
//! | bytes | `b` and `4:` and the bytes |
//!
//! Other kinds of value it does not hold, and says so.

use std::sync::Arc;

use common::schema::{Field, FieldType, Schema};
use common::serialization::{Encoding, FormatRegistry};
use common::{Error, Limits, Map, Metadata, Record, Result, Text, Value};

/// The whole of it: two functions for values. Tables follow from those.
pub(crate) struct Letters;

impl Encoding for Letters {
    fn name(&self) -> &'static str {
        "com.example.letters"
    }

    fn tag(&self) -> u8 {
        201
    }

    fn encode_value(&self, value: &Value, out: &mut Vec<u8>) -> Result<()> {
        match value {
            Value::Null => out.push(b'n'),
            Value::Bool(true) => out.push(b't'),
            Value::Bool(false) => out.push(b'f'),
            Value::Int(int) => out.extend_from_slice(format!("i{int}e").as_bytes()),
            Value::Float(float) => {
                let bits = if float.is_nan() { f64::NAN } else { *float }.to_bits();
                out.extend_from_slice(format!("d{bits:016x}").as_bytes());
            }
            Value::Text(text) => counted(text.as_bytes(), out),
            Value::Bytes(bytes) => {
                out.push(b'b');
                counted(bytes, out);
            }
            Value::List(items) => {
                out.push(b'l');
                items
                    .iter()
                    .try_for_each(|item| self.encode_value(item, out))?;
                out.push(b'e');
            }
            Value::Map(map) => {
                out.push(b'm');
                for (key, item) in map.iter() {
                    counted(key.as_bytes(), out);
                    self.encode_value(item, out)?;
                }
                out.push(b'e');
            }
            other => {
                return Err(Error::unsupported(format!(
                    "letters do not hold a {}",
                    other.kind()
                )));
            }
        }
        Ok(())
    }

    fn decode_value(&self, bytes: &[u8], limits: &Limits) -> Result<Value> {
        limits.check_total(bytes.len())?;
        let mut reader = Reader {
            rest: bytes,
            limits,
        };
        let value = reader.value(0)?;
        if reader.rest.is_empty() {
            Ok(value)
        } else {
            Err(Error::corrupt("letters follow the end"))
        }
    }
}

fn counted(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{}:", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
}

struct Reader<'a> {
    rest: &'a [u8],
    limits: &'a Limits,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Result<u8> {
        let first = self.rest.first().copied();
        first.ok_or_else(|| Error::corrupt("the letters end inside a value"))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let Some((head, rest)) = self.rest.split_at_checked(len) else {
            return Err(Error::corrupt(format!(
                "{len} bytes are announced, fewer are left"
            )));
        };
        self.rest = rest;
        Ok(head)
    }

    /// Digits up to `end`, which is taken too. Few are looked at: a number has no more than twenty.
    fn number<T: std::str::FromStr>(&mut self, end: u8) -> Result<T> {
        let near = self.rest.iter().take(24);
        let len = near.take_while(|byte| **byte != end).count();
        let digits = std::str::from_utf8(self.take(len)?).unwrap_or_default();
        self.take(1)?;
        digits
            .parse()
            .map_err(|_| Error::corrupt(format!("`{digits}` is no number here")))
    }

    fn counted(&mut self) -> Result<&'a [u8]> {
        let len = self.number(b':')?;
        self.limits.check_bytes(len)?;
        self.take(len)
    }

    fn text(&mut self) -> Result<Text> {
        let bytes = self.counted()?;
        let text = std::str::from_utf8(bytes).map_err(|_| Error::corrupt("text is not UTF-8"))?;
        Ok(Text::new(text))
    }

    fn value(&mut self, depth: usize) -> Result<Value> {
        let letter = self.peek()?;
        if letter.is_ascii_digit() {
            return self.text().map(Value::Text);
        }
        self.take(1)?;
        Ok(match letter {
            b'n' => Value::Null,
            b't' => Value::Bool(true),
            b'f' => Value::Bool(false),
            b'i' => Value::Int(self.number(b'e')?),
            b'd' => {
                let digits = std::str::from_utf8(self.take(16)?).unwrap_or_default();
                let bits = u64::from_str_radix(digits, 16)
                    .map_err(|_| Error::corrupt("a float has 16 hexadecimal digits"))?;
                Value::Float(f64::from_bits(bits))
            }
            b'b' => Value::from(self.counted()?),
            b'l' => {
                self.limits.check_depth(depth + 1)?;
                let mut items = Vec::new();
                while self.peek()? != b'e' {
                    self.limits.check_elements(items.len() + 1)?;
                    items.push(self.value(depth + 1)?);
                }
                self.take(1)?;
                Value::from(items)
            }
            b'm' => {
                self.limits.check_depth(depth + 1)?;
                let mut map = Map::new();
                while self.peek()? != b'e' {
                    self.limits.check_elements(map.len() + 1)?;
                    let key = self.text()?;
                    if map.insert(key, self.value(depth + 1)?).is_some() {
                        return Err(Error::corrupt("a key stands twice"));
                    }
                }
                self.take(1)?;
                Value::from(map)
            }
            _ => return Err(Error::corrupt("no value begins with this letter")),
        })
    }
}

/// Registers the format, writes a table in it, reads the table back.
fn main() -> Result<()> {
    let mut formats = FormatRegistry::default();
    let letters = formats.register(Arc::new(Letters))?;

    let schema = Schema::build("cities", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("name", FieldType::Text))
        .finish()?;
    let city = Record::new(
        Metadata::default(),
        1,
        vec![Value::from(7), Value::from("Oulu")],
    );
    let mut bytes = Vec::new();
    letters.encode_rows(&schema, std::slice::from_ref(&city), &mut bytes)?;

    // Whoever receives the bytes finds the format by the tag that was sent along.
    let format = formats.by_tag(201)?;
    let rows = format.decode_rows(&schema, &bytes, &Limits::default())?;
    assert_eq!(rows, [city.values()]);
    Ok(())
}
