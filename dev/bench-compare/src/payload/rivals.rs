//! What others make of the same rows.

use std::io::{Read as _, Write as _};

use arrow_ipc::reader::StreamReader;
use bench::Result;
use bench::mobile::MobileTable;
use common::serialization::Format;
use common::{Metadata, Record, Value};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use prost::encoding::{WireType, encode_key, encode_varint};

/// Rows of a table in another format, before compression.
pub(super) fn message_pack(table: &MobileTable) -> Result<Vec<u8>> {
    written(table, &Format::MsgPack)
}

pub(super) fn arrow(table: &MobileTable) -> Result<Vec<u8>> {
    written(table, &Format::Arrow)
}

fn written(table: &MobileTable, format: &Format) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    format.encode_rows(&table.schema, &table.records(), &mut bytes)?;
    Ok(bytes)
}

/// One message a row, its fields numbered as the columns; what an application's own `.proto` would give.
pub(super) fn protobuf(table: &MobileTable) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut row = Vec::new();
    for values in &table.rows {
        row.clear();
        for (number, value) in (1..).zip(values) {
            field(number, value, &mut row)?;
        }
        encode_varint(row.len() as u64, &mut bytes);
        bytes.extend_from_slice(&row);
    }
    Ok(bytes)
}

fn field(number: u32, value: &Value, out: &mut Vec<u8>) -> Result<()> {
    let integer = |value: i64, out: &mut Vec<u8>| {
        encode_key(number, WireType::Varint, out);
        // As `sint64`, which is the smaller one for what is often negative.
        encode_varint(((value << 1) ^ (value >> 63)).cast_unsigned(), out);
    };
    let bytes = |bytes: &[u8], out: &mut Vec<u8>| {
        encode_key(number, WireType::LengthDelimited, out);
        encode_varint(bytes.len() as u64, out);
        out.extend_from_slice(bytes);
    };
    match value {
        Value::Null | Value::Bool(false) | Value::Int(0) => {}
        Value::Bool(true) => integer(-1, out),
        Value::Int(value) => integer(*value, out),
        Value::Timestamp(value) => integer(value.as_millis(), out),
        Value::Date(value) => integer(value.0.into(), out),
        Value::Float(value) => {
            encode_key(number, WireType::SixtyFourBit, out);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Value::Text(text) => bytes(text.as_bytes(), out),
        Value::Uuid(uuid) => bytes(uuid.as_bytes(), out),
        Value::List(items) => items.iter().try_for_each(|item| field(number, item, out))?,
        Value::Map(map) => {
            for (key, value) in map.iter() {
                let mut entry = Vec::new();
                field(1, &Value::Text(key.clone()), &mut entry)?;
                field(2, value, &mut entry)?;
                bytes(&entry, out);
            }
        }
        other => return Err(format!("no field holds {}", other.kind()).into()),
    }
    Ok(())
}

/// A Parquet file at Zstandard 9; `DELTA_BINARY_PACKED` for integers and times and `BYTE_STREAM_SPLIT` for floats.
pub(super) fn parquet(table: &MobileTable) -> Result<Vec<u8>> {
    let arrow = arrow(table)?;
    let reader = StreamReader::try_new(arrow.as_slice(), None)?;
    let schema = reader.schema();
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(9)?))
        .set_max_row_group_row_count(Some(1 << 20));
    for field in &table.schema.fields {
        use common::schema::FieldType::{Date, Float, Int, Timestamp};
        let encoding = match field.ty {
            Int | Timestamp | Date => Encoding::DELTA_BINARY_PACKED,
            Float => Encoding::BYTE_STREAM_SPLIT,
            _ => continue,
        };
        let path = ColumnPath::from(field.name.as_str());
        properties = properties
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, encoding);
    }
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, schema, Some(properties.build()))?;
    for batch in reader {
        writer.write(&batch?)?;
    }
    writer.close()?;
    Ok(file)
}

/// Reads the file that [`parquet()`] made.
pub(super) fn read_parquet(table: &MobileTable, file: &[u8]) -> Result<Vec<Vec<Value>>> {
    Ok(Format::Parquet.decode_rows(&table.schema, file, &common::Limits::default())?)
}

pub(super) fn zstd(bytes: &[u8], level: i32) -> Result<Vec<u8>> {
    Ok(zstd::bulk::compress(bytes, level)?)
}

pub(super) fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

pub(super) fn brotli(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut packed = Vec::new();
    brotli::CompressorReader::new(bytes, 1 << 16, 11, 24).read_to_end(&mut packed)?;
    Ok(packed)
}

/// Some rows of a table as JSON, one object a line.
pub(super) fn json_rows(table: &MobileTable, rows: &[Vec<Value>]) -> Result<Vec<u8>> {
    let key_columns = table.schema.key_columns;
    let records: Vec<Record> = rows
        .iter()
        .map(|row| Record::new(Metadata::default(), key_columns, row.iter().cloned()))
        .collect();
    let mut bytes = Vec::new();
    Format::Json.encode_rows(&table.schema, &records, &mut bytes)?;
    Ok(bytes)
}
