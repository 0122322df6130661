//! The contract of [`Encoding`].

use common::schema::Schema;
use common::serialization::Encoding;
use common::{ErrorKind, Limits, Record, Value};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::values;

/// Runs the promises of [`Encoding`] against an implementation: values and rows come back down to the sign of a
/// zero, equal input makes equal bytes, output is appended, damaged or hostile bytes give an error or a value
/// but never a panic, limits hold, rows that do not fit their schema are refused with their place.
///
/// A kind of value that the encoding answers with [`ErrorKind::Unsupported`] is passed over; so are all of them
/// for an encoding of tables only.
///
/// # Panics
/// With the law that was broken and the input that broke it.
pub fn format(encoding: &dyn Encoding) {
    const SAMPLES: usize = 64;
    let mut runner = TestRunner::deterministic();
    let mut held = 0;
    for _ in 0..SAMPLES {
        let value = sample(&values::value(), &mut runner);
        held += usize::from(format_value(encoding, &value));
        let (schema, records) = sample(&values::table(4), &mut runner);
        format_rows(encoding, &schema, &records);
    }
    format_limits(encoding);
    // What random values seldom are.
    if held > 0 {
        let floats = [0.0, -0.0, f64::NAN, f64::INFINITY].map(Value::from);
        let ints = [0, i64::MIN, i64::MAX].map(Value::from);
        let texts = ["", "\u{0}", "$bytes"].map(Value::from);
        for value in floats.iter().chain(&ints).chain(&texts) {
            format_value(encoding, value);
        }
    }
}

fn sample<T: Strategy>(strategy: &T, runner: &mut TestRunner) -> T::Value {
    match strategy.new_tree(runner) {
        Ok(tree) => tree.current(),
        Err(reason) => panic!("the strategy makes no value: {reason}"),
    }
}

/// Says whether the encoding holds this kind of value.
fn format_value(encoding: &dyn Encoding, value: &Value) -> bool {
    let name = encoding.name();
    let mut bytes = b"before".to_vec();
    match encoding.encode_value(value, &mut bytes) {
        Err(error) if error.kind() == ErrorKind::Unsupported => return false,
        done => assert!(done.is_ok(), "{name} fails to encode {value:?}: {done:?}"),
    }
    let Some(bytes) = bytes.strip_prefix(b"before") else {
        panic!("{name} appends to its output and leaves alone what is there");
    };
    let limits = Limits::default();
    match encoding.decode_value(bytes, &limits) {
        Ok(back) => assert!(
            values::identical(&back, value),
            "{name} gives {back:?} back for {value:?}"
        ),
        Err(error) => panic!("{name} does not decode its own {value:?}: {error}"),
    }
    let mut again = Vec::new();
    let done = encoding.encode_value(value, &mut again);
    assert!(
        done.is_ok() && again == bytes,
        "{name} encodes {value:?} in two ways"
    );
    damaged(bytes, |bytes| drop(encoding.decode_value(bytes, &limits)));
    let tight = Limits::default().total_bytes_max(bytes.len().saturating_sub(1));
    assert!(
        bytes.is_empty() || encoding.decode_value(bytes, &tight).is_err(),
        "{name} decodes more bytes than `total_bytes_max`"
    );
    true
}

fn format_rows(encoding: &dyn Encoding, schema: &Schema, records: &[Record]) {
    let name = encoding.name();
    let mut bytes = Vec::new();
    match encoding.encode_rows(schema, records, &mut bytes) {
        Err(error) if error.kind() == ErrorKind::Unsupported => return,
        done => assert!(done.is_ok(), "{name} fails to encode {records:?}: {done:?}"),
    }
    let limits = Limits::default();
    let back = match encoding.decode_rows(schema, &bytes, &limits) {
        Ok(back) => back,
        Err(error) => panic!("{name} does not decode its own rows {records:?}: {error}"),
    };
    assert_eq!(back.len(), records.len(), "{name} gives as many rows back");
    for (row, record) in back.iter().zip(records) {
        assert!(
            values::identical_rows(row, record),
            "{name} gives {row:?} back for {record:?}"
        );
    }
    damaged(&bytes, |bytes| {
        drop(encoding.decode_rows(schema, bytes, &limits));
    });
    if let Some(record) = records.first() {
        let short = record.values().iter().take(schema.key_columns).cloned();
        let short = Record::new(
            record.metadata(),
            schema.key_columns,
            short.collect::<Vec<_>>(),
        );
        if schema.fields.len() > schema.key_columns {
            let done = encoding.encode_rows(schema, &[record.clone(), short], &mut Vec::new());
            assert!(
                done.is_err_and(|error| error.message().contains("row 2")),
                "{name} refuses a record without all its columns and says which"
            );
        }
        let none = Limits::default().rows_max(records.len() - 1);
        assert!(
            encoding.decode_rows(schema, &bytes, &none).is_err(),
            "{name} decodes more rows than `rows_max`"
        );
    }
}

/// Feeds what may arrive instead of `bytes`: shortened, changed, followed by more.
fn damaged(bytes: &[u8], decode: impl Fn(&[u8])) {
    const STEPS: usize = 48;
    let step = (bytes.len() / STEPS).max(1);
    for at in (0..bytes.len()).step_by(step) {
        let (head, tail) = bytes.split_at(at);
        decode(head);
        decode(tail);
        let mut changed = bytes.to_vec();
        for change in [0x01, 0x80, 0xff] {
            if let Some(byte) = changed.get_mut(at) {
                *byte ^= change;
            }
            decode(&changed);
        }
    }
    decode(&[bytes, bytes].concat());
}

fn format_limits(encoding: &dyn Encoding) {
    let name = encoding.name();
    let nested = |depth| (0..depth).fold(Value::from(1), |inner, _| Value::from(vec![inner]));
    let text = Value::from("x".repeat(100));
    let list = Value::from(vec![Value::from(true); 10]);
    let tight = Limits::default().depth_max(5).bytes_max(99).elements_max(9);
    for (value, what) in [
        (nested(6), "depth_max"),
        (text, "bytes_max"),
        (list, "elements_max"),
    ] {
        let mut bytes = Vec::new();
        if encoding.encode_value(&value, &mut bytes).is_err() {
            continue;
        }
        assert!(
            encoding.decode_value(&bytes, &tight).is_err(),
            "{name} decodes beyond `{what}`"
        );
    }
    let mut bytes = Vec::new();
    if encoding.encode_value(&nested(5), &mut bytes).is_ok() {
        let done = encoding.decode_value(&bytes, &tight);
        assert!(
            done.is_ok(),
            "{name} refuses nesting at the limit: {done:?}"
        );
    }
}
