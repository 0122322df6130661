//! Columns: a kind, which rows have a value, and the values; columns inside columns for lists, maps and mixtures.
//!
//! The first byte is the kind of `common::ValueKind`, with 13 for mixtures and 14 for values that are written as
//! MessagePack; bit 7 says that rows without a value exist and a sequence of flags follows.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use common::limits::{COLUMNS_MAX, VECTOR_DIMENSION_MAX};
use common::serialization::Format;
use common::{Error, Result, Text, Value, ValueKind};

use super::column::{Column, Data, count_of};
use super::shared::SharedColumn;
use super::stream::{Sink, Source, corrupt};
use super::{floats, ints, texts, uuids};

const NULL: u8 = ValueKind::Null as u8;
const BOOL: u8 = ValueKind::Bool as u8;
const INT: u8 = ValueKind::Int as u8;
const FLOAT: u8 = ValueKind::Float as u8;
const TEXT: u8 = ValueKind::Text as u8;
const BYTES: u8 = ValueKind::Bytes as u8;
const TIMESTAMP: u8 = ValueKind::Timestamp as u8;
const DATE: u8 = ValueKind::Date as u8;
const UUID: u8 = ValueKind::Uuid as u8;
const LIST: u8 = ValueKind::List as u8;
const MAP: u8 = ValueKind::Map as u8;
const VECTOR: u8 = ValueKind::Vector as u8;
const MIXED: u8 = 13;
const OTHER: u8 = 14;
const HAS_NULLS: u8 = 0x80;

const fn kind_of(data: &Data) -> u8 {
    match data {
        Data::Null => NULL,
        Data::Bool(_) => BOOL,
        Data::Int(_) => INT,
        Data::Float(_) => FLOAT,
        Data::Text(_) => TEXT,
        Data::Bytes(_) => BYTES,
        Data::Timestamp(_) => TIMESTAMP,
        Data::Date(_) => DATE,
        Data::Uuid(_) => UUID,
        Data::List { .. } => LIST,
        Data::Map { .. } => MAP,
        Data::Vector { .. } => VECTOR,
        Data::Other(_) => OTHER,
        Data::Mixed { .. } => MIXED,
    }
}

/// Appends a column whose number of rows the reader knows.
pub(super) fn write(column: &Column, shared: Option<&SharedColumn>, sink: &mut Sink) -> Result<()> {
    let kind = kind_of(&column.data);
    match (&column.present, &column.data) {
        // A column of nulls needs no flags.
        (None, _) | (_, Data::Null) => sink.byte(kind),
        (Some(present), _) => {
            sink.byte(kind | HAS_NULLS);
            write_flags(present, sink)?;
        }
    }
    let bytes = match &column.data {
        Data::Text(texts) => texts.bytes.len(),
        Data::Bytes(strings) => strings.bytes.len(),
        _ => 0,
    };
    if bytes >= u32::MAX as usize {
        // Positions in it are 32 bits wide; at this length they have saturated.
        return Err(Error::limit_exceeded(
            "a column of a block has less than 4 GiB of text",
        ));
    }
    match &column.data {
        Data::Null => Ok(()),
        Data::Bool(values) => write_flags(values, sink),
        Data::Int(values) | Data::Timestamp(values) | Data::Date(values) => {
            ints::write(values, sink)
        }
        Data::Float(values) => floats::write(values, sink),
        Data::Text(values) => texts::write(values, shared, sink),
        Data::Bytes(values) => texts::write_bytes(values, sink),
        Data::Uuid(values) => uuids::write(values, shared, sink),
        Data::List { lengths, items } => {
            ints::write(lengths, sink)?;
            sink.number(items.rows);
            write(items, shared, sink)
        }
        Data::Map {
            shapes,
            shape_of,
            fields,
        } => {
            sink.number(shapes.len());
            for shape in shapes {
                sink.number(shape.len());
                for key in shape {
                    sink.number(key.len());
                    sink.head.extend_from_slice(key.as_bytes());
                }
            }
            ints::write(shape_of, sink)?;
            fields.iter().try_for_each(|field| write(field, None, sink))
        }
        Data::Vector {
            dimension,
            elements,
        } => {
            sink.number(*dimension);
            floats::write_singles(elements, sink)
        }
        Data::Other(values) => write_other(values, sink),
        Data::Mixed { part_of, parts } => {
            sink.number(parts.len());
            ints::write(part_of, sink)?;
            parts.iter().try_for_each(|part| write(part, None, sink))
        }
    }
}

fn write_flags(flags: &[bool], sink: &mut Sink) -> Result<()> {
    let flags: Vec<i64> = flags.iter().map(|flag| i64::from(*flag)).collect();
    ints::write(&flags, sink)
}

fn write_other(values: &[Value], sink: &mut Sink) -> Result<()> {
    let mut bytes = Vec::new();
    let mut lengths = Vec::with_capacity(values.len());
    for value in values {
        let begin = bytes.len();
        Format::MsgPack.encode_value(value, &mut bytes)?;
        lengths.push(count_of(bytes.len() - begin));
    }
    ints::write(&lengths, sink)?;
    sink.bytes(bytes);
    Ok(())
}

/// What a column begins with.
pub(super) struct Start {
    pub(super) kind: u8,
    pub(super) present: Option<Vec<bool>>,
    /// Rows that have a value.
    pub(super) count: usize,
}

/// Reads up to the values of a column.
pub(super) fn start(rows: usize, source: &mut Source<'_>) -> Result<Start> {
    let tag = source.byte()?;
    let kind = tag & !HAS_NULLS;
    if tag & HAS_NULLS == 0 {
        let (present, count) = match kind {
            NULL => {
                source.spend(rows, size_of::<Value>())?;
                (Some(vec![false; rows]), 0)
            }
            _ => (None, rows),
        };
        return Ok(Start {
            kind,
            present,
            count,
        });
    }
    let present = read_flags(rows, source)?;
    let count = present.iter().filter(|present| **present).count();
    if count == rows || count == 0 {
        return Err(corrupt(
            "a column says that it has nulls and has none, or nothing else",
        ));
    }
    Ok(Start {
        kind,
        present: Some(present),
        count,
    })
}

/// Reads a column of so many rows.
pub(super) fn read(rows: usize, source: &mut Source<'_>) -> Result<Column> {
    let Start {
        kind,
        present,
        count,
    } = start(rows, source)?;
    let data = match kind {
        TEXT => Data::Text(texts::read(count, source)?.into_texts()),
        UUID => Data::Uuid(uuids::read(count, source)?.into_values()),
        _ => rest(kind, count, source)?,
    };
    Ok(Column {
        rows,
        present: present.filter(|_| rows > 0),
        data,
    })
}

/// Values of any kind but texts and identifiers, which have forms of their own.
pub(super) fn rest(kind: u8, count: usize, source: &mut Source<'_>) -> Result<Data> {
    Ok(match kind {
        NULL => Data::Null,
        BOOL => Data::Bool(read_flags(count, source)?),
        INT => Data::Int(ints::read(count, source)?),
        FLOAT => Data::Float(floats::read(count, source)?),
        BYTES => Data::Bytes(texts::read_bytes(count, source)?),
        TIMESTAMP => Data::Timestamp(ints::read(count, source)?),
        DATE => {
            let days = ints::read(count, source)?;
            if days.iter().any(|day| i32::try_from(*day).is_err()) {
                return Err(corrupt("a day beyond 32 bits"));
            }
            Data::Date(days)
        }
        LIST => {
            let lengths = ints::read(count, source)?;
            let items = source.number()?;
            check_sum(&lengths, items, source)?;
            let items = Box::new(source.nested(|source| read(items, source))?);
            Data::List { lengths, items }
        }
        MAP => read_maps(count, source)?,
        VECTOR => {
            let dimension = source.number()?;
            if dimension == 0 || dimension > VECTOR_DIMENSION_MAX {
                return Err(corrupt("a vector of no dimension, or of too high a one"));
            }
            let elements = floats::read_singles(count.saturating_mul(dimension), source)?;
            Data::Vector {
                dimension,
                elements,
            }
        }
        OTHER => Data::Other(read_other(count, source)?),
        MIXED => {
            let parts = source.number()?;
            if parts > 16 {
                return Err(corrupt("a mixture of more kinds than there are"));
            }
            let part_of = ints::read_codes(count, parts, source)?;
            let sizes = sizes(&part_of, parts);
            let parts = source.nested(|source| {
                let parts = sizes.into_iter().map(|rows| read(rows, source));
                parts.collect::<Result<Vec<_>>>()
            })?;
            if parts.iter().any(|part| part.present.is_some()) {
                return Err(corrupt("a part of a mixture has nulls"));
            }
            Data::Mixed { part_of, parts }
        }
        _ => return Err(corrupt("a column of an unknown kind")),
    })
}

/// How often each code occurs.
fn sizes(codes: &[i64], bound: usize) -> Vec<usize> {
    let mut sizes = vec![0; bound];
    for code in codes {
        let code = usize::try_from(*code).unwrap_or(usize::MAX);
        if let Some(size) = sizes.get_mut(code) {
            *size += 1;
        }
    }
    sizes
}

/// Checks that lengths are lengths, none above the limit, and add up.
fn check_sum(lengths: &[i64], sum: usize, source: &Source<'_>) -> Result<()> {
    let mut found = 0_usize;
    for length in lengths {
        let length = usize::try_from(*length).map_err(|_| corrupt("a negative length"))?;
        source.limits.check_elements(length)?;
        found = found.saturating_add(length);
    }
    if found == sum {
        Ok(())
    } else {
        Err(corrupt("lists are not as long as they say"))
    }
}

fn read_flags(count: usize, source: &mut Source<'_>) -> Result<Vec<bool>> {
    source.spend(count, 1)?;
    let flags = ints::read_codes(count, 2, source)?;
    Ok(flags.into_iter().map(|flag| flag == 1).collect())
}

fn read_maps(count: usize, source: &mut Source<'_>) -> Result<Data> {
    let shape_count = source.number()?;
    if shape_count > count {
        return Err(corrupt("more shapes than maps"));
    }
    let mut shapes: Vec<Vec<Text>> = Vec::new();
    for _ in 0..shape_count {
        let keys = source.number()?;
        source.limits.check_elements(keys)?;
        let mut shape: Vec<Text> = Vec::new();
        for _ in 0..keys {
            let bytes = source.number()?;
            source.limits.check_bytes(bytes)?;
            let (key, after) = source
                .head
                .split_at_checked(bytes)
                .ok_or_else(|| corrupt("the head ends early"))?;
            source.head = after;
            let key = std::str::from_utf8(key).map_err(|_| corrupt("a text is not UTF-8"))?;
            if shape.last().is_some_and(|last| last.as_str() >= key) {
                return Err(corrupt("the keys of a map are not in order"));
            }
            source.spend(1, size_of::<Text>() + key.len())?;
            shape.push(key.into());
        }
        shapes.push(shape);
    }
    let shape_of = ints::read_codes(count, shapes.len(), source)?;
    let sizes = sizes(&shape_of, shapes.len());
    let mut fields = Vec::new();
    for (shape, rows) in shapes.iter().zip(sizes) {
        if fields.len() + shape.len() > COLUMNS_MAX.max(source.limits.elements_max) {
            return Err(corrupt("maps of too many keys"));
        }
        for _ in shape {
            fields.push(source.nested(|source| read(rows, source))?);
        }
    }
    Ok(Data::Map {
        shapes,
        shape_of,
        fields,
    })
}

fn read_other(count: usize, source: &mut Source<'_>) -> Result<Vec<Value>> {
    let lengths = ints::read(count, source)?;
    let mut total = 0_usize;
    for length in &lengths {
        let length = usize::try_from(*length).map_err(|_| corrupt("a negative length"))?;
        total = total.saturating_add(length);
    }
    let bytes = source.bytes(total)?;
    // A value takes more memory than its bytes: at most what an element of a list takes for each.
    source.spend(total, size_of::<Value>())?;
    let mut rest = bytes.as_slice();
    let mut values = Vec::with_capacity(count);
    for length in lengths {
        let length = usize::try_from(length).unwrap_or_default();
        let (one, after) = rest
            .split_at_checked(length)
            .ok_or_else(|| corrupt("values end early"))?;
        rest = after;
        let value = Format::MsgPack.decode_value(one, source.limits)?;
        if value.is_null() {
            return Err(corrupt("a null among values"));
        }
        values.push(value);
    }
    Ok(values)
}
