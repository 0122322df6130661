//! The contract of formats, kept by the built-in ones and by one from outside.

use std::sync::Arc;

use common::serialization::{Encoding, Format, FormatRegistry};
use common::{ErrorKind, Limits, Result, Value};

#[expect(dead_code, reason = "an example has a `main`")]
#[path = "../examples/format_as_a_stranger.rs"]
mod stranger;

#[test]
fn built_in_formats_keep_the_contract() {
    for format in Format::BUILT_IN {
        match format.encoding() {
            Ok(encoding) => testkit::contract::format(encoding),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unsupported);
                assert!(error.message().contains(format.name()), "{error}");
            }
        }
    }
}

#[test]
fn the_stranger_keeps_the_contract() {
    testkit::contract::format(&stranger::Letters);
}

type Decode = fn(&[u8], &Limits) -> Result<Value>;

/// A format whose author forgot something.
struct Forgetful(Decode);

impl Encoding for Forgetful {
    fn name(&self) -> &'static str {
        "forgetful"
    }

    fn tag(&self) -> u8 {
        202
    }

    fn encode_value(&self, value: &Value, out: &mut Vec<u8>) -> Result<()> {
        Format::Json.encode_value(value, out)
    }

    fn decode_value(&self, bytes: &[u8], limits: &Limits) -> Result<Value> {
        (self.0)(bytes, limits)
    }
}

#[test]
fn the_contract_notices_what_is_forgotten() {
    let forgotten: [Decode; 3] = [
        // The limits.
        |bytes, _| Format::Json.decode_value(bytes, &Limits::default()),
        // That bytes may be cut off.
        |bytes, limits| Ok(Format::Json.decode_value(bytes, limits).unwrap()),
        // The sign of a zero.
        |bytes, limits| match Format::Json.decode_value(bytes, limits)? {
            Value::Float(float) => Ok(Value::Float(float + 0.0)),
            value => Ok(value),
        },
    ];
    for decode in forgotten {
        let noticed = std::panic::catch_unwind(|| testkit::contract::format(&Forgetful(decode)));
        assert!(noticed.is_err());
    }
}

/// A format with a tag of the library's.
struct Low;

impl Encoding for Low {
    fn name(&self) -> &'static str {
        "low"
    }
    fn tag(&self) -> u8 {
        127
    }
    fn encode_value(&self, _: &Value, _: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }
    fn decode_value(&self, _: &[u8], _: &Limits) -> Result<Value> {
        Ok(Value::Null)
    }
}

#[test]
fn tags_and_names_are_stable_and_unique() {
    let tags: Vec<(u8, String)> = FormatRegistry::default()
        .iter()
        .map(|format| (format.tag(), format.name().to_owned()))
        .collect();
    let expected = [
        (1, "json"),
        (2, "msgpack"),
        (3, "protobuf"),
        (4, "arrow"),
        (5, "parquet"),
    ];
    assert_eq!(tags, expected.map(|(tag, name)| (tag, name.to_owned())));

    let mut formats = FormatRegistry::default();
    formats.register(Arc::new(stranger::Letters)).unwrap();
    let again = formats.register(Arc::new(stranger::Letters)).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Conflict);
    assert_eq!(formats.by_tag(201).unwrap().name(), "com.example.letters");
    assert_eq!(
        formats.by_tag(99).unwrap_err().kind(),
        ErrorKind::Unsupported
    );
    assert_eq!(
        formats.by_name("bson").unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(
        formats.register(Arc::new(Low)).unwrap_err().kind(),
        ErrorKind::Invalid
    );
}
