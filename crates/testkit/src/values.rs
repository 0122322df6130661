//! Strategies for proptest: any value, values of a type, schemas, tables; and equality down to the bit.

use std::ops::Range;

use common::schema::{Field, FieldType, Schema, SchemaBuilder};
use common::{
    Date, Extension, Map, Metadata, Record, Seq, Text, Timestamp, Value, Vector, VectorElement,
};
use half::f16;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use uuid::Uuid;

/// Any 64-bit float; the special ones come up often.
pub fn float() -> BoxedStrategy<f64> {
    prop_oneof![
        4 => any::<f64>(),
        2 => (-1000_i32..1000).prop_map(|int| f64::from(int) / 4.0),
        1 => prop::sample::select(vec![
            0.0, -0.0, f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE,
            5e-324, f64::MAX, 1e16, 0.1, 9_007_199_254_740_993.0,
        ]),
    ]
    .boxed()
}

/// Any 32-bit float; the special ones come up often.
pub fn float32() -> BoxedStrategy<f32> {
    prop_oneof![
        4 => any::<f32>(),
        1 => prop::sample::select(vec![
            0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MIN_POSITIVE, 1e-45,
            f32::MAX, 0.1,
        ]),
    ]
    .boxed()
}

/// Any 64-bit integer; the ends of the narrower types come up often.
pub fn int() -> BoxedStrategy<i64> {
    let edges: Vec<i64> = [0, 7, 8, 15, 16, 31, 32, 53, 62]
        .into_iter()
        .flat_map(|bits| [-1, 0, 1].map(|step| (1_i64 << bits) + step))
        .flat_map(|edge| [edge, -edge])
        .chain([i64::MIN, i64::MAX])
        .collect();
    prop_oneof![any::<i64>(), -100_i64..100, prop::sample::select(edges)].boxed()
}

/// Any text of up to 40 characters.
pub fn text() -> BoxedStrategy<Text> {
    prop_oneof![
        4 => any::<String>().prop_map(Text::from),
        4 => "[a-z]{0,8}".prop_map(Text::from),
        1 => prop::sample::select(vec!["$float", "$", "\u{0}", "\"\\/\u{2028}\u{1f600}", "NaN", "null"])
            .prop_map(Text::new),
    ]
    .boxed()
}

/// Any point in time, mostly between the years 1900 and 2100.
pub fn timestamp() -> BoxedStrategy<Timestamp> {
    prop_oneof![
        4 => -2_208_988_800_000_000_i64..4_102_444_800_000_000,
        1 => -10_i64..10,
        1 => any::<i64>(),
    ]
    .prop_map(Timestamp)
    .boxed()
}

/// Any day, mostly between the years 1900 and 2100.
pub fn date() -> BoxedStrategy<Date> {
    prop_oneof![4 => -25_567_i32..47_482, 1 => any::<i32>()]
        .prop_map(Date)
        .boxed()
}

/// A vector of this type, of this dimension or of one below 20.
pub fn vector(element: VectorElement, dimension: Option<u32>) -> BoxedStrategy<Vector> {
    let dimensions: Range<u32> = dimension.map_or(0..20, |d| d..d + 1);
    let count = dimensions.start as usize..dimensions.end as usize;
    match element {
        VectorElement::F16 => vec(any::<u16>(), count)
            .prop_map(|bits| Vector::F16(bits.into_iter().map(f16::from_bits).collect()))
            .boxed(),
        VectorElement::I8 => vec(any::<i8>(), count)
            .prop_map(|values| Vector::I8(values.into()))
            .boxed(),
        VectorElement::Binary => dimensions
            .prop_flat_map(|d| (Just(d), vec(any::<u8>(), d.div_ceil(8) as usize)))
            .prop_map(|(d, mut bits)| {
                if let (Some(last), used @ 1..) = (bits.last_mut(), d % 8) {
                    *last &= (1 << used) - 1;
                }
                Vector::binary(d, bits).unwrap_or_else(|_| Vector::F32(Box::default()))
            })
            .boxed(),
        VectorElement::Sparse => dimensions
            .prop_flat_map(|d| {
                btree_map(0..d.max(1), float32(), 0..=d.min(6) as usize).prop_map(move |cells| {
                    let (indices, values): (Vec<u32>, Vec<f32>) = cells.into_iter().unzip();
                    Vector::sparse(d, indices, values)
                        .unwrap_or_else(|_| Vector::F32(Box::default()))
                })
            })
            .boxed(),
        _ => vec(float32(), count)
            .prop_map(|values| Vector::F32(values.into()))
            .boxed(),
    }
}

fn element() -> BoxedStrategy<VectorElement> {
    prop::sample::select(vec![
        VectorElement::F32,
        VectorElement::F16,
        VectorElement::I8,
        VectorElement::Binary,
        VectorElement::Sparse,
    ])
    .boxed()
}

fn extension_name() -> BoxedStrategy<Text> {
    "[a-zä]{1,6}(\\.[a-z]{1,6})?".prop_map(Text::from).boxed()
}

fn extension_of(name: Text) -> BoxedStrategy<Value> {
    vec(any::<u8>(), 0..20)
        .prop_map(move |bytes| {
            Value::from(Extension {
                name: name.clone(),
                bytes: bytes.into(),
            })
        })
        .boxed()
}

/// Any value that is neither list nor map.
pub fn scalar() -> BoxedStrategy<Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        int().prop_map(Value::from),
        float().prop_map(Value::from),
        text().prop_map(Value::from),
        vec(any::<u8>(), 0..40).prop_map(Value::from),
        timestamp().prop_map(Value::from),
        date().prop_map(Value::from),
        any::<u128>().prop_map(|bits| Value::from(Uuid::from_u128(bits))),
        element()
            .prop_flat_map(|element| vector(element, None))
            .prop_map(Value::from),
        extension_name().prop_flat_map(extension_of),
    ]
    .boxed()
}

fn map(item: BoxedStrategy<Value>, max: usize) -> BoxedStrategy<Value> {
    btree_map(text(), item, 0..max)
        .prop_map(|map: Map| Value::from(map))
        .boxed()
}

/// Any value, lists and maps up to four deep.
pub fn value() -> BoxedStrategy<Value> {
    scalar()
        .prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..6).prop_map(Value::from),
                map(inner.boxed(), 6),
            ]
        })
        .boxed()
}

/// Any type of a column.
pub fn field_type() -> BoxedStrategy<FieldType> {
    let vectors = (element(), prop::option::of(0_u32..18));
    let leaf = prop_oneof![
        6 => prop::sample::select(vec![
            FieldType::Bool,
            FieldType::Int,
            FieldType::Float,
            FieldType::Text,
            FieldType::Bytes,
            FieldType::Timestamp,
            FieldType::Date,
            FieldType::Uuid,
            FieldType::Any,
        ]),
        2 => vectors.prop_map(|(element, dimension)| FieldType::Vector { element, dimension }),
        1 => extension_name().prop_map(FieldType::Extension),
    ];
    leaf.prop_recursive(2, 4, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|ty| FieldType::List(Box::new(ty))),
            inner.prop_map(|ty| FieldType::Map(Box::new(ty))),
        ]
    })
    .boxed()
}

/// A value that a column of this type holds; never null, unless the type is any.
pub fn value_of(ty: &FieldType) -> BoxedStrategy<Value> {
    match ty {
        FieldType::Bool => any::<bool>().prop_map(Value::from).boxed(),
        FieldType::Int => int().prop_map(Value::from).boxed(),
        FieldType::Float => float().prop_map(Value::from).boxed(),
        FieldType::Text => text().prop_map(Value::from).boxed(),
        FieldType::Bytes => vec(any::<u8>(), 0..40).prop_map(Value::from).boxed(),
        FieldType::Timestamp => timestamp().prop_map(Value::from).boxed(),
        FieldType::Date => date().prop_map(Value::from).boxed(),
        FieldType::Uuid => any::<u128>()
            .prop_map(|bits| Value::from(Uuid::from_u128(bits)))
            .boxed(),
        FieldType::List(inner) => vec(value_of(inner), 0..5).prop_map(Value::from).boxed(),
        FieldType::Map(inner) => map(value_of(inner), 5),
        FieldType::Vector { element, dimension } => {
            vector(*element, *dimension).prop_map(Value::from).boxed()
        }
        FieldType::Extension(name) => extension_of(name.clone()),
        _ => value(),
    }
}

/// A cell of a column: a value of its type, or null where that is allowed.
pub fn cell(field: &Field) -> BoxedStrategy<Value> {
    if field.nullable {
        prop_oneof![4 => value_of(&field.ty), 1 => Just(Value::Null)].boxed()
    } else {
        value_of(&field.ty)
            .prop_map(|value| match value {
                Value::Null => Value::from(0),
                value => value,
            })
            .boxed()
    }
}

/// A schema of up to eight columns of any types, of which the first one or two are the key.
pub fn schema() -> BoxedStrategy<Schema> {
    let name = prop_oneof!["[a-z_]{1,10}", "[^\\p{C}]{1,12}"];
    let columns = vec((name, field_type(), any::<bool>()), 1..8);
    (columns, 1_usize..3, 1_u32..100)
        .prop_map(|(columns, key, version)| {
            let mut fields: Vec<Field> = Vec::new();
            for (i, (name, ty, nullable)) in (0_u32..).zip(columns) {
                // The number keeps names apart that came out the same.
                let field = Field::new(format!("{name}{i}"), ty).id(1 + i * 3);
                fields.push(if nullable && i as usize >= key {
                    field.nullable()
                } else {
                    field
                });
            }
            let keys: Vec<Text> = fields.iter().take(key).map(|f| f.name.clone()).collect();
            fields
                .into_iter()
                .fold(
                    Schema::build("table ä", keys).version(version),
                    SchemaBuilder::field,
                )
                .finish()
        })
        .prop_filter_map("a schema that passes its check", Result::ok)
        .boxed()
}

/// Metadata of a record.
pub fn metadata() -> BoxedStrategy<Metadata> {
    (any::<u64>(), timestamp(), timestamp(), any::<u32>())
        .prop_map(|(seq, created, updated, revision)| Metadata {
            seq: Seq(seq),
            created,
            updated,
            revision,
        })
        .boxed()
}

/// A schema and up to `rows` records of it; keys may repeat.
pub fn table(rows: usize) -> BoxedStrategy<(Schema, Vec<Record>)> {
    schema()
        .prop_flat_map(move |schema| {
            let cells: Vec<_> = schema.fields.iter().map(cell).collect();
            (Just(schema), vec((metadata(), cells), 0..=rows))
        })
        .prop_map(|(schema, rows)| {
            let key = schema.key_columns;
            let rows = rows.into_iter();
            let records = rows.map(|(metadata, cells)| Record::new(metadata, key, cells));
            let records = records.collect();
            (schema, records)
        })
        .boxed()
}

/// Whether two values are the same down to the sign of a zero; every NaN is the same NaN.
///
/// Equality of [`Value`] is that of keys, where `-0.0` equals `0.0`; formats promise more.
pub fn identical(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => same(*a, *b),
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| identical(a, b))
        }
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len()
                && a.iter()
                    .zip(b.iter())
                    .all(|((key, a), (other, b))| key == other && identical(a, b))
        }
        (Value::Vector(a), Value::Vector(b)) => identical_vectors(a, b),
        (a, b) => a.kind() == b.kind() && a == b,
    }
}

/// Whether two rows are the same down to the sign of a zero.
pub fn identical_rows(a: &[Value], b: &[Value]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| identical(a, b))
}

fn identical_vectors(a: &Vector, b: &Vector) -> bool {
    let floats = |a: &[f32], b: &[f32]| {
        a.len() == b.len()
            && a.iter()
                .zip(b)
                .all(|(a, b)| same(f64::from(*a), f64::from(*b)))
    };
    match (a, b) {
        (Vector::F32(a), Vector::F32(b)) => floats(a, b),
        (Vector::F16(a), Vector::F16(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a.to_f64(), b.to_f64()))
        }
        (
            Vector::Sparse {
                dimension,
                indices,
                values,
            },
            Vector::Sparse {
                dimension: other,
                indices: positions,
                values: numbers,
            },
        ) => dimension == other && indices == positions && floats(values, numbers),
        (a, b) => a == b,
    }
}

fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}
