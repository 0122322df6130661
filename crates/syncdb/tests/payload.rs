//! Payload blocks: everything comes back bit for bit, filters on a block equal filters on rows, strangers' bytes are
//! refused without a panic.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "numbers and positions are made here"
)]

use std::sync::Arc;

use common::query::{CompareOp, Filter};
use common::schema::{Field, FieldType, Schema};
use common::{Date, ErrorKind, Limits, Map, Text, Timestamp, Value, Vector};
use proptest::collection::vec;
use proptest::prelude::*;
use syncdb::payload::{
    Block, Column, Data, Level, Shared, SharedDictionary, dictionary_of, pack, unpack_all,
};
use testkit::values;
use uuid::Uuid;

fn columns(values: &[Vec<Value>]) -> Vec<Column> {
    values
        .iter()
        .map(|values| Column::from_values(values))
        .collect()
}

#[track_caller]
fn assert_identical(expected: &[Vec<Value>], found: &[Column]) {
    assert_eq!(expected.len(), found.len());
    for (expected, found) in expected.iter().zip(found) {
        let found = found.to_values();
        assert!(
            values::identical_rows(expected, &found),
            "expected {expected:?}\nfound    {found:?}"
        );
    }
}

#[track_caller]
fn assert_returns(values: &[Vec<Value>]) {
    let packed = columns(values);
    assert_identical(values, &packed);
    for level in Level::ALL {
        let block = pack(&packed, level, None).unwrap();
        assert_eq!(dictionary_of(&block).unwrap(), None);
        let opened = Block::open(&block, &Limits::default(), None).unwrap();
        assert_identical(values, &opened.decode().unwrap());
        for (at, values) in values.iter().enumerate() {
            let one = [opened.column(at).unwrap()];
            assert_identical(std::slice::from_ref(values), &one);
        }
    }
}

/// Values as applications have them: of one type with a pattern, now and then null.
fn patterned() -> BoxedStrategy<Vec<Value>> {
    let size = prop_oneof![0_usize..40, 200_usize..700];
    let shape = (size, 0_u8..14, any::<i64>(), 1_i64..2_000, 0_usize..9);
    shape
        .prop_flat_map(|(size, shape, start, step, nulls)| {
            vec(any::<u32>(), size).prop_map(move |noise| {
                let value = |(i, noise): (usize, &u32)| {
                    let (at, noise) = (i64::try_from(i).unwrap(), i64::from(*noise));
                    if nulls > 0 && usize::try_from(noise).unwrap() % 10 < nulls {
                        return Value::Null;
                    }
                    match shape {
                        0 => Value::from(noise % 2 == 0),
                        1 => Value::from(start.wrapping_add(at.wrapping_mul(step))),
                        2 => Value::from(start / 2 + noise % step),
                        3 => Value::from(Timestamp(start / 4 + at * step * 1_000 + noise % 50)),
                        4 => Value::from(Date(i32::try_from(noise % 40_000).unwrap() - 20_000)),
                        5 => Value::from((noise % 20_000 - 10_000) as f64 / 100.0),
                        6 => Value::from(f64::from((noise % 300) as f32 * 0.002_394_2_f32)),
                        7 => Value::from(f64::from_bits(
                            start.cast_unsigned() ^ noise.cast_unsigned(),
                        )),
                        8 => Value::from(format!("user-{:06}", at * step % 1_000_000)),
                        9 => Value::from(format!("project {} of {}", noise % step, start % 3)),
                        10 => Value::from(
                            ["open", "done", "waiting", ""][usize::try_from(noise % 4).unwrap()],
                        ),
                        11 => Value::from(Uuid::from_u128(
                            (u128::from(start.cast_unsigned()) << 64) & !(0xf000 << 64)
                                | 0x7000 << 64
                                | 0b10 << 126 >> 64 << 62 >> 62
                                | u128::from(noise.cast_unsigned()),
                        )),
                        12 => {
                            Value::from(Uuid::from_u128((noise % step) as u128 * 0x1234_5678_9abc))
                        }
                        _ => Value::from(vec![
                            Value::from(noise % 3);
                            usize::try_from(noise % 4).unwrap()
                        ]),
                    }
                };
                noise.iter().enumerate().map(value).collect()
            })
        })
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(testkit::cases(64)))]

    #[test]
    fn any_values_come_back(values in vec(prop_oneof![values::value(), Just(Value::Null)], 0..40)) {
        assert_returns(&[values]);
    }

    #[test]
    fn values_with_a_pattern_come_back(a in patterned(), b in patterned()) {
        let rows = a.len().min(b.len());
        assert_returns(&[a[..rows].to_vec(), b[..rows].to_vec()]);
    }

    #[test]
    fn any_table_comes_back((schema, records) in values::table(20)) {
        let rows: Vec<Vec<Value>> = (0..schema.fields.len())
            .map(|column| records.iter().map(|record| record[column].clone()).collect())
            .collect();
        assert_returns(&rows);
    }

    #[test]
    fn bytes_of_strangers_are_refused_or_read(
        values in patterned(),
        level in 0_usize..4,
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut block = pack(&columns(&[values.clone(), values]), Level::ALL[level], None).unwrap();
        for (at, byte) in flips {
            let at = at.index(block.len());
            block[at] ^= byte;
        }
        let limits = Limits::default().total_bytes_max(1 << 20).rows_max(2_000);
        for bytes in [&block[..], &block[..cut.index(block.len())]] {
            if let Ok(found) = unpack_all(bytes, &limits, None) {
                for column in &found {
                    drop(column.to_values());
                }
            }
        }
    }
}

#[test]
fn the_odd_ones_come_back() {
    let nan = |bits: u64| Value::Float(f64::from_bits(bits));
    let long = "ä".repeat(32 << 10);
    let each: Vec<Value> = vec![
        Value::Null,
        true.into(),
        i64::MIN.into(),
        i64::MAX.into(),
        nan(0x7ff8_0000_0000_0001),
        nan(0xfff0_dead_beef_0001),
        (-0.0).into(),
        f64::INFINITY.into(),
        long.as_str().into(),
        "".into(),
        Value::from(&b"\0\xff"[..]),
        Timestamp(i64::MIN).into(),
        Date(i32::MIN).into(),
        Uuid::nil().into(),
        Uuid::max().into(),
        Value::from(Vec::<Value>::new()),
        Value::from(Map::new()),
        Value::Vector(Arc::new(Vector::F32([f32::NAN, -0.0].into()))),
        Value::Vector(Arc::new(Vector::F32([].into()))),
    ];
    for value in &each {
        assert_returns(&[vec![value.clone()]]);
        assert_returns(&[vec![value.clone(); 300]]);
        assert_returns(&[vec![value.clone(), Value::Null, value.clone()]]);
    }
    assert_returns(&[each.clone(), each.iter().rev().cloned().collect()]);
    assert_returns(&[]);
    assert_returns(&[vec![], vec![]]);
    let floats: Vec<Value> = (0..2_000)
        .map(|i| {
            if i % 100 == 7 {
                nan(0x7ff8_0000_0000_0000 + i)
            } else {
                (i as f64 / 10.0).into()
            }
        })
        .collect();
    assert_returns(&[floats]);
    let extremes: Vec<Value> = (0..500)
        .map(|i| [i64::MIN, i64::MAX, 0][i % 3].into())
        .collect();
    assert_returns(&[extremes]);
    let deep = (0..100).fold(Value::from(1), |inner, _| Value::from(vec![inner]));
    assert_returns(&[vec![deep; 3]]);
    let uneven = (0..120).fold(Value::from("core"), |inner, i| {
        Value::from(vec![i64::from(i).into(), inner, Value::Null])
    });
    assert_returns(&[vec![uneven; 3]]);
}

#[test]
fn columns_of_different_lengths_are_refused() {
    let error = pack(&columns(&[vec![1.into()], vec![]]), Level::Fast, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

fn tasks() -> (Schema, Vec<Vec<Value>>) {
    let schema = Schema::build("tasks", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("state", FieldType::Text).nullable())
        .field(Field::new("title", FieldType::Text))
        .field(Field::new("estimate", FieldType::Float).nullable())
        .field(Field::new("due", FieldType::Date).nullable())
        .field(Field::new("owner", FieldType::Uuid).nullable())
        .field(Field::new("anything", FieldType::Any).nullable())
        .finish()
        .unwrap();
    let states = ["open", "done", "waiting", "in progress"];
    let rows = 1_000_usize;
    let int = |i: usize| i64::try_from(i).unwrap();
    let column = |value: &dyn Fn(usize) -> Value| (0..rows).map(value).collect::<Vec<Value>>();
    let sparse = |every: usize, i: usize, value: Value| {
        if i.is_multiple_of(every) {
            Value::Null
        } else {
            value
        }
    };
    let columns = vec![
        column(&|i| (1_000 + 3 * int(i)).into()),
        column(&|i| sparse(11, i, states[i * i % 4].into())),
        column(&|i| format!("Task {} is about number {}", i, i * 7_919 % 1_000).into()),
        column(&|i| {
            sparse(
                3,
                i,
                if i % 97 == 0 {
                    f64::NAN.into()
                } else {
                    (int(i) as f64 / 4.0).into()
                },
            )
        }),
        column(&|i| sparse(2, i, Date(i32::try_from(20_000 + i % 90).unwrap()).into())),
        column(&|i| sparse(5, i, Uuid::from_u128((i % 17) as u128).into())),
        column(&|i| match i % 4 {
            0 => Value::Null,
            1 => int(i).into(),
            2 => states[i % 3].into(),
            _ => vec![Value::from(int(i))].into(),
        }),
    ];
    (schema, columns)
}

/// Decodes everything and asks the predicate row by row.
fn naive(block: &Block<'_>, filter: &Filter, schema: &Schema) -> Vec<u32> {
    let columns: Vec<Vec<Value>> = block
        .decode()
        .unwrap()
        .iter()
        .map(Column::to_values)
        .collect();
    let predicate = filter.compile(schema).unwrap();
    (0..block.rows())
        .filter(|row| {
            let values: Vec<Value> = columns.iter().map(|column| column[*row].clone()).collect();
            predicate.matches(&values)
        })
        .map(|row| u32::try_from(row).unwrap())
        .collect()
}

fn leaf() -> BoxedStrategy<Filter> {
    let op = prop::sample::select(vec![
        CompareOp::Eq,
        CompareOp::Ne,
        CompareOp::Lt,
        CompareOp::Le,
        CompareOp::Gt,
        CompareOp::Ge,
    ]);
    let state = prop::sample::select(vec![
        "open",
        "done",
        "waiting",
        "in progress",
        "a",
        "zzz",
        "",
    ]);
    let compare = |path: &'static str, op, value: Value| Filter::Compare {
        path: path.into(),
        op,
        value,
    };
    prop_oneof![
        (op.clone(), 900_i64..4_100).prop_map(move |(op, n)| compare("id", op, n.into())),
        (op.clone(), 900_f64..4_100.0).prop_map(move |(op, n)| compare("id", op, n.into())),
        (900_i64..4_100, 900_i64..4_100).prop_map(|(a, b)| Filter::between("id", a, b)),
        vec(900_i64..4_100, 0..5).prop_map(|ids| Filter::is_in("id", ids)),
        (op.clone(), state.clone()).prop_map(move |(op, s)| compare("state", op, s.into())),
        vec(state.clone(), 0..4).prop_map(|states| Filter::is_in("state", states)),
        Just(Filter::In {
            path: "state".into(),
            values: vec!["open".into(), Value::Null]
        }),
        (op.clone(), 0..1_000).prop_map(move |(op, n)| compare(
            "title",
            op,
            format!("Task {n} is").into()
        )),
        state.prop_map(|s| Filter::contains("title", s)),
        Just(Filter::like("title", "Task 1%7")),
        Just(Filter::starts_with("state", "in")),
        (op.clone(), -10_f64..260.0).prop_map(move |(op, n)| compare("estimate", op, n.into())),
        (op.clone(), 0_i64..260).prop_map(move |(op, n)| compare("estimate", op, n.into())),
        (op.clone(), 19_990..20_100).prop_map(move |(op, n)| compare("due", op, Date(n).into())),
        Just(Filter::ge("due", "2024-12-01")),
        (op.clone(), 0_u128..20).prop_map(move |(op, n)| compare(
            "owner",
            op,
            Uuid::from_u128(n).into()
        )),
        (op, 0_i64..1_000).prop_map(move |(op, n)| compare("anything", op, n.into())),
        Just(Filter::gt("anything[0]", 500)),
        prop::sample::select(vec!["id", "state", "estimate", "due", "owner", "anything"])
            .prop_map(Filter::is_null),
        Just(Filter::True),
    ]
    .boxed()
}

fn filter() -> BoxedStrategy<Filter> {
    leaf()
        .prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..4).prop_map(Filter::And),
                vec(inner.clone(), 0..4).prop_map(Filter::Or),
                inner.prop_map(|part| !part),
            ]
        })
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(testkit::cases(96)))]

    #[test]
    fn a_filter_on_a_block_is_the_filter_on_its_rows(filter in filter(), rows in prop_oneof![Just(1_000_usize), 1_usize..300]) {
        let (schema, mut values) = tasks();
        for column in &mut values {
            column.truncate(rows);
        }
        let bytes = pack(&columns(&values), Level::Fast, None).unwrap();
        let block = Block::open(&bytes, &Limits::default(), None).unwrap();
        let found = block.filter(&filter, &schema).unwrap();
        prop_assert_eq!(&found, &naive(&block, &filter, &schema), "{}", filter);
        let picked = block.columns_at(&found, &[1, 6]).unwrap();
        for (at, column) in [1, 6].into_iter().zip(picked) {
            let expected: Vec<Value> = found.iter().map(|row| values[at][*row as usize].clone()).collect();
            prop_assert_eq!(column.to_values(), expected);
        }
    }
}

#[test]
fn what_a_filter_does_not_name_is_not_read() {
    let (schema, mut values) = tasks();
    // The title, which this damages, is a group at the end of the block's bodies.
    values.truncate(3);
    let schema_of_three = Schema {
        fields: schema.fields[..3].to_vec(),
        ..schema
    };
    let texts: Vec<Value> = (0..1_000_u64)
        .map(|i| format!("{:x}", i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).into())
        .collect();
    values[2] = texts;
    let mut bytes = pack(&columns(&values), Level::None, None).unwrap();
    let damaged = bytes
        .windows(3)
        .position(|w| w == &values[2][500].as_text().unwrap().as_bytes()[..3])
        .unwrap();
    bytes[damaged] = 0xff;
    let block = Block::open(&bytes, &Limits::default(), None).unwrap();
    assert!(block.column(2).is_err());
    let rows = block
        .filter(&Filter::lt("id", 1_010), &schema_of_three)
        .unwrap();
    assert_eq!(rows, [0, 1, 2, 3]);
    let rows = block
        .filter(&Filter::eq("state", "nowhere"), &schema_of_three)
        .unwrap();
    assert!(rows.is_empty());
}

#[test]
fn statistics_bound_the_values() {
    let (_, values) = tasks();
    let bytes = pack(&columns(&values), Level::Balanced, None).unwrap();
    let block = Block::open(&bytes, &Limits::default(), None).unwrap();
    let ids = block.statistics(0).unwrap();
    let bounds = ids.bounds.as_ref().unwrap();
    assert_eq!(
        (ids.nulls, &bounds.least, &bounds.most),
        (0, &1_000.into(), &3_997.into())
    );
    assert_eq!(block.statistics(1).unwrap().nulls, 91);
    assert_eq!(block.statistics(3).unwrap().bounds, None, "there are NaNs");
    let few = pack(&columns(&[vec![1.into()]]), Level::Balanced, None).unwrap();
    assert!(
        Block::open(&few, &Limits::default(), None)
            .unwrap()
            .statistics(0)
            .is_none()
    );
}

#[test]
fn a_dictionary_makes_small_blocks_smaller_and_must_be_there() {
    let (_, values) = tasks();
    let dictionary = SharedDictionary::train(&columns(&values), 8 << 10).unwrap();
    let copy = SharedDictionary::read(dictionary.content(), &Limits::default()).unwrap();
    assert_eq!(copy.id(), dictionary.id());
    let few: Vec<Vec<Value>> = values
        .iter()
        .map(|column| column[500..520].to_vec())
        .collect();
    let with = pack(
        &columns(&few),
        Level::Balanced,
        Some(Shared::new(&dictionary)),
    )
    .unwrap();
    let without = pack(&columns(&few), Level::Balanced, None).unwrap();
    assert!(
        with.len() * 4 < without.len() * 3,
        "{} against {}",
        with.len(),
        without.len()
    );
    assert_eq!(dictionary_of(&with).unwrap(), Some(dictionary.id()));
    assert_identical(
        &few,
        &unpack_all(&with, &Limits::default(), Some(&copy)).unwrap(),
    );
    let other = SharedDictionary::train(&columns(&few), 1 << 10).unwrap();
    for wrong in [None, Some(&other)] {
        let error = unpack_all(&with, &Limits::default(), wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    // A block of two columns says which they are.
    let some = [few[4].clone(), few[1].clone()];
    let positions = [4, 1];
    let shared = Some(Shared::of_columns(&dictionary, &positions));
    let bytes = pack(&columns(&some), Level::Balanced, shared).unwrap();
    let block = Block::open(&bytes, &Limits::default(), shared).unwrap();
    assert_identical(&some, &block.decode().unwrap());
    for cut in 0..dictionary.content().len() / 50 {
        assert!(
            SharedDictionary::read(&dictionary.content()[..cut * 50], &Limits::default()).is_err()
        );
    }
}

#[test]
fn declared_sizes_are_limited() {
    let many: Vec<Value> = vec![7.into(); 5_000];
    let bytes = pack(&columns(&[many]), Level::Balanced, None).unwrap();
    assert!(bytes.len() < 40);
    let rows = |limits: Limits| unpack_all(&bytes, &limits, None).map(|columns| columns[0].rows());
    assert_eq!(rows(Limits::default().rows_max(5_000)).unwrap(), 5_000);
    let error = rows(Limits::default().rows_max(4_999)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    // Constant columns expand: what they take is counted.
    let error = rows(Limits::default().total_bytes_max(39_999)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert_eq!(
        rows(Limits::default().total_bytes_max(40_000)).unwrap(),
        5_000
    );
}

#[test]
fn texts_are_read_in_one_piece() {
    let texts: Vec<Value> = ["a", "b", "a", "a"].map(Value::from).to_vec();
    let bytes = pack(&columns(&[texts]), Level::Balanced, None).unwrap();
    let columns = unpack_all(&bytes, &Limits::default(), None).unwrap();
    let Data::Text(texts) = columns[0].data() else {
        panic!("not text");
    };
    assert_eq!(texts.iter().collect::<Vec<_>>(), ["a", "b", "a", "a"]);
    assert_eq!(
        (texts.len(), texts.get(1), texts.get(4)),
        (4, Some("b"), None)
    );
    let _: Text = texts.get(0).unwrap().into();
}

/// Rows with a column of each kind that a model is for, as an application has them.
fn of_each_kind(rows: i64) -> Vec<Vec<Value>> {
    let word = |at: i64| {
        ["", "a house", "by the sea", "ünder the bridge"][usize::try_from(at % 4).unwrap()]
    };
    let uuid = |id: i64| {
        let random = u128::try_from(id)
            .unwrap()
            .wrapping_mul(0x9e37_79b9_7f4a_7c15_1234_5678)
            >> 3;
        let low = random & ((1 << 62) - 1) | 2 << 62;
        let millis = u128::try_from(1_700_000_000_000 + id * 977).unwrap();
        Uuid::from_u128(millis << 80 | 7 << 76 | (random >> 100 & 0xfff) << 64 | low)
    };
    let column = |value: &dyn Fn(i64) -> Value| (0..rows).map(value).collect::<Vec<_>>();
    let sometimes = |at: i64, value: Value| if at % 5 == 0 { Value::Null } else { value };
    vec![
        column(&|at| uuid(at).into()),
        column(&|at| Timestamp((1_700_000_000_000 + at * 977) * 1_000).into()),
        column(&|at| sometimes(at, Timestamp(at * at * 1_000).into())),
        column(&|at| (at % 3 == 0).into()),
        column(&|at| sometimes(at, (at * 7 % 100).into())),
        column(&|at| Value::from((at * 31 % 4_001) as f64 / 100.0)),
        column(&|at| Value::from(f64::from((at % 180) as f32 * 0.002_394_2))),
        column(&|at| Date(i32::try_from(at % 50).unwrap()).into()),
        column(&|at| format!("{} {} {}", word(at), word(at / 4), word(at / 16)).into()),
        column(&|at| word(at * at).into()),
        column(&|at| sometimes(at, uuid(at % 9).into())),
        column(&|at| {
            Value::from(
                (0..at % 4)
                    .map(|n| Value::from(word(n + at)))
                    .collect::<Vec<_>>(),
            )
        }),
        column(&|at| {
            let mut map = Map::new();
            map.insert("colour".into(), word(at).into());
            if at % 2 == 0 {
                map.insert("size".into(), (at % 6).into());
            }
            Value::from(map)
        }),
    ]
}

#[test]
fn a_few_rows_by_models_are_fewer_bytes_and_answer_as_any_block() {
    let all = of_each_kind(3_000);
    let dictionary = SharedDictionary::train(&columns(&all), 16 << 10).unwrap();
    let dictionary = SharedDictionary::read(dictionary.content(), &Limits::default()).unwrap();
    let shared = Some(Shared::new(&dictionary));
    for (begin, rows) in [
        (2_000, 1),
        (2_500, 3),
        (1_000, 60),
        (10, 255),
        (10, 256),
        (0, 0),
    ] {
        let few: Vec<Vec<Value>> = all
            .iter()
            .map(|c| c[begin..begin + rows].to_vec())
            .collect();
        let block = pack(&columns(&few), Level::Fast, shared).unwrap();
        let plain = pack(&columns(&few), Level::Fast, None).unwrap();
        if (3..100).contains(&rows) {
            assert!(
                block.len() * 3 < plain.len() * 2,
                "{} and {}",
                block.len(),
                plain.len()
            );
        }
        let opened = Block::open(&block, &Limits::default(), shared).unwrap();
        assert_identical(&few, &opened.decode().unwrap());
        for at in [0, 8, 12] {
            assert_identical(&few[at..=at], &[opened.column(at).unwrap()]);
        }
        // Some columns, in another order, as an update of them has.
        let positions = [12, 0, 3, 9, usize::MAX];
        let some: Vec<Vec<Value>> = [12, 0, 3, 9, 5].iter().map(|at| few[*at].clone()).collect();
        let shared = Some(Shared::of_columns(&dictionary, &positions));
        let block = pack(&columns(&some), Level::Fast, shared).unwrap();
        let opened = Block::open(&block, &Limits::default(), shared).unwrap();
        assert_identical(&some, &opened.decode().unwrap());
        // Times that follow an identifier which is not there.
        let positions = [1];
        let shared = Some(Shared::of_columns(&dictionary, &positions));
        let block = pack(&columns(&few[1..2]), Level::Fast, shared).unwrap();
        let opened = Block::open(&block, &Limits::default(), shared).unwrap();
        assert_identical(&few[1..2], &opened.decode().unwrap());
    }
}

#[test]
fn damage_to_a_block_by_models_or_to_its_dictionary_is_no_panic() {
    let all = of_each_kind(600);
    let dictionary = SharedDictionary::train(&columns(&all), 4 << 10).unwrap();
    let few: Vec<Vec<Value>> = all.iter().map(|c| c[70..76].to_vec()).collect();
    let limits = Limits::default().total_bytes_max(1 << 20);
    let shared = Some(Shared::new(&dictionary));
    let block = pack(&columns(&few), Level::Fast, shared).unwrap();
    for at in 0..block.len() * 8 {
        let mut damaged = block.clone();
        damaged[at / 8] ^= 1 << (at % 8);
        if let Ok(opened) = Block::open(&damaged, &limits, shared) {
            let _ = opened.decode();
        }
        assert!(Block::open(&block[..at / 8], &limits, shared).is_err());
    }
    let content = dictionary.content();
    let mut read = 0;
    for at in (0..content.len()).step_by(content.len() / 400) {
        let mut damaged = content.to_vec();
        damaged[at] ^= 1 << (at % 8);
        if let Ok(other) = SharedDictionary::read(&damaged, &limits) {
            // It is another dictionary, and as good as any.
            read += 1;
            let shared = Some(Shared::new(&other));
            let block = pack(&columns(&few), Level::Fast, shared).unwrap();
            let opened = Block::open(&block, &Limits::default(), shared).unwrap();
            assert_identical(&few, &opened.decode().unwrap());
        }
    }
    assert!(read > 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(testkit::cases(48)))]

    #[test]
    fn any_values_come_back_with_a_dictionary_of_others(
        learned in vec(prop_oneof![values::value(), Just(Value::Null)], 1..60),
        values in vec(prop_oneof![values::value(), Just(Value::Null)], 0..40),
        kinds in any::<bool>(),
    ) {
        // Of one kind, as columns are, or of any.
        let kind = learned[0].kind();
        let of_kind = |values: &[Value]| -> Vec<Value> {
            values.iter().filter(|value| !kinds || value.kind() == kind).cloned().collect()
        };
        let dictionary = SharedDictionary::train(&columns(&[of_kind(&learned)]), 4 << 10).unwrap();
        let shared = Some(Shared::new(&dictionary));
        for values in [of_kind(&values), values.clone(), learned.clone()] {
            let block = pack(&columns(std::slice::from_ref(&values)), Level::Fast, shared).unwrap();
            let read = unpack_all(&block, &Limits::default(), Some(&dictionary)).unwrap();
            assert_identical(&[values], &read);
        }
    }
}

/// The name of a golden file, and the columns in it.
type Named = (&'static str, Vec<Vec<Value>>);

/// Blocks of edition 1, each with the name of its golden file, and the dictionary that one of them needs.
fn golden() -> (Vec<Named>, SharedDictionary) {
    let (_, values) = tasks();
    let dictionary = SharedDictionary::train(&columns(&values), 4 << 10).unwrap();
    let few: Vec<Vec<Value>> = values.iter().map(|column| column[..12].to_vec()).collect();
    let odd: Vec<Value> = vec![
        Value::Null,
        f64::NAN.into(),
        (-0.0).into(),
        i64::MIN.into(),
        "ä".into(),
        Value::from(&b"\0"[..]),
        Value::from(vec![Value::Null, 1.into()]),
        Value::Vector(Arc::new(Vector::F32([0.5, -1.0].into()))),
    ];
    let blocks = vec![
        ("rows", values),
        ("few", few.clone()),
        ("shared", few),
        ("odd", vec![odd.clone(), odd.into_iter().rev().collect()]),
        ("empty", vec![]),
    ];
    (blocks, dictionary)
}

#[test]
fn blocks_of_edition_1_stay_readable() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/payload/v1/");
    let write = std::env::var_os("TANDEM_WRITE_GOLDEN").is_some();
    let (blocks, trained) = golden();
    if write {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(format!("{folder}dictionary.bin"), trained.content()).unwrap();
    }
    let dictionary = std::fs::read(format!("{folder}dictionary.bin")).unwrap();
    let dictionary = SharedDictionary::read(&dictionary, &Limits::default()).unwrap();
    for (name, values) in blocks {
        let shared = (name == "shared").then(|| Shared::new(&dictionary));
        let path = format!("{folder}{name}.bin");
        if write {
            let block = pack(&columns(&values), Level::Balanced, shared).unwrap();
            std::fs::write(&path, block).unwrap();
        }
        let golden = std::fs::read(&path).unwrap();
        let read = Block::open(&golden, &Limits::default(), shared)
            .unwrap()
            .decode()
            .unwrap();
        assert_identical(&values, &read);
    }
}

/// Texts in which each word is followed by one of two others, and the same words in any order.
fn sentences() -> [Vec<Value>; 2] {
    const WORDS: [&str; 12] = [
        "meeting", "moved", "to", "the", "second", "floor", "because", "of", "rain", "tomorrow",
        "at", "noon",
    ];
    let mut state = 5_u64;
    let mut random = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut texts = [Vec::new(), Vec::new()];
    for _ in 0..600 {
        let mut at = random(WORDS.len());
        let [mut words, mut mixed] = [Vec::new(), Vec::new()];
        for _ in 0..4 + random(9) {
            words.push(WORDS[at]);
            mixed.push(WORDS[random(WORDS.len())]);
            at = (at * 5 + 1 + random(2)) % WORDS.len();
        }
        texts[0].push(Value::from(words.join(" ").as_str()));
        texts[1].push(Value::from(mixed.join(" ").as_str()));
    }
    texts
}

#[test]
fn words_that_follow_each_other_as_learned_take_fewer_bytes_and_stay_readable() {
    let [texts, mixed] = sentences();
    let trained = SharedDictionary::train(&columns(&[texts[..400].to_vec()]), 1 << 10).unwrap();
    let bytes = |texts: &[Value]| {
        let values = vec![texts[500..520].to_vec()];
        let shared = Some(Shared::new(&trained));
        let block = pack(&columns(&values), Level::Fast, shared).unwrap();
        let read = unpack_all(&block, &Limits::default(), Some(&trained)).unwrap();
        assert_identical(&values, &read);
        block.len()
    };
    let (with, without) = (bytes(&texts), bytes(&mixed));
    assert!(
        with * 2 < without,
        "{with} bytes, and {without} for any order"
    );

    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/payload/v1/");
    let [learned, block] =
        ["followers_dictionary", "followers"].map(|name| format!("{folder}{name}.bin"));
    let values = vec![texts[..12].to_vec()];
    if std::env::var_os("TANDEM_WRITE_GOLDEN").is_some() {
        let packed = pack(
            &columns(&values),
            Level::Balanced,
            Some(Shared::new(&trained)),
        )
        .unwrap();
        std::fs::write(&learned, trained.content()).unwrap();
        std::fs::write(&block, packed).unwrap();
    }
    let learned = SharedDictionary::read(&std::fs::read(learned).unwrap(), &Limits::default());
    let read = unpack_all(
        &std::fs::read(block).unwrap(),
        &Limits::default(),
        Some(&learned.unwrap()),
    );
    assert_identical(&values, &read.unwrap());
}

#[test]
fn columns_of_values_that_nobody_expected_describe_themselves_within_a_block_by_models() {
    let known: Vec<Value> = (0..400)
        .map(|n| Value::from(f64::from(n % 40) / 10.0))
        .collect();
    let states: Vec<Value> = (0..400)
        .map(|n| Value::from(["open", "done"][n % 2]))
        .collect();
    let learned = columns(&[known.clone(), states.clone(), known.clone()]);
    let dictionary = SharedDictionary::train(&learned, 1 << 10).unwrap();
    let shared = Some(Shared::new(&dictionary));
    let others: Vec<Value> = (0..100)
        .map(|n| Value::from(f64::from(n) + 5_000.5))
        .collect();
    let values = vec![
        known[..100].to_vec(),
        states[..100].to_vec(),
        others.clone(),
    ];
    let block = pack(&columns(&values), Level::Fast, shared).unwrap();
    let read = unpack_all(&block, &Limits::default(), Some(&dictionary)).unwrap();
    assert_identical(&values, &read);
    let expected = vec![
        known[..100].to_vec(),
        states[..100].to_vec(),
        known[..100].to_vec(),
    ];
    let expected = pack(&columns(&expected), Level::Fast, shared).unwrap();
    let alone = pack(&columns(&[others]), Level::Fast, None).unwrap();
    assert!(block.len() < expected.len() + alone.len());
}
