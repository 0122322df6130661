//! Files of vectors that are not what their name says: [`check`] is what the fuzz target calls.

use common::Limits;

use super::{Element, VectorFormat, VectorReader, VectorWriter};

/// Reads bytes as a file of that format; the promises hold whatever they are.
///
/// # Panics
/// When a promise is broken.
#[expect(
    clippy::needless_pass_by_value,
    reason = "no decoder: what is borrowed here marks one"
)]
pub fn check(format: VectorFormat, bytes: &[u8], limits: Limits) {
    if let Ok(reader) = VectorReader::from_bytes(format, bytes.to_vec(), &limits) {
        check_ints(reader);
    }
    let Ok(mut reader) = VectorReader::from_bytes(format, bytes.to_vec(), &limits) else {
        return;
    };
    let (dimension, declared) = (reader.dimension(), reader.rows());
    let mut vectors: Vec<Vec<f32>> = Vec::new();
    let end = loop {
        match reader.read() {
            Ok(Some(row)) => {
                assert_eq!(row.number, vectors.len() as u64);
                assert_eq!(Some(row.vector.len()), dimension);
                assert!(row.vector.iter().all(|value| value.is_finite()));
                vectors.push(row.vector.to_vec());
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    assert!(
        matches!(reader.read(), Ok(None)),
        "nothing comes after the end, or after an error"
    );
    match end {
        Ok(()) => assert_eq!(
            declared.unwrap_or(vectors.len() as u64),
            vectors.len() as u64
        ),
        Err(error) => {
            assert!(!error.message().is_empty());
            return;
        }
    }
    if let Some(dimension) = dimension {
        check_written_again(format, reader.element(), dimension, &vectors);
    }
}

/// What can be read can be written in the same format, and reads back.
fn check_written_again(
    format: VectorFormat,
    element: Element,
    dimension: usize,
    vectors: &[Vec<f32>],
) {
    let element = match format {
        VectorFormat::Parquet => Element::F32,
        _ => element,
    };
    let mut bytes = Vec::new();
    let rows = vectors.len() as u64;
    let mut writer = VectorWriter::new(&mut bytes, format, element, dimension, rows)
        .expect("a format takes the elements that it has");
    for vector in vectors {
        writer.write(vector).expect("what was read is written");
    }
    writer.finish().expect("as many rows as were declared");
    let limits = Limits::default();
    let reader = VectorReader::from_bytes(format, bytes, &limits);
    let again: common::Result<Vec<Vec<f32>>> = reader.expect("a file of ours").collect();
    assert_eq!(again.expect("rows of ours"), vectors);
}

fn check_ints(mut reader: VectorReader) {
    let dimension = reader.dimension();
    while let Ok(Some(ints)) = reader.read_ints() {
        assert_eq!(Some(ints.len()), dimension);
    }
}
