//! Retrievals: what is read into a matrix, against what single reads and transformations give.

#![expect(
    clippy::float_cmp,
    clippy::too_many_lines,
    reason = "a test fails by panicking, and what is read is what was written"
)]

use std::time::Instant;

use common::schema::{Field, FieldType};
use common::{ErrorKind, Timestamp, row};
use vectordb::feature::{
    AsOf, BatchOptions, Entity, FeatureBatch, OnInvalid, Order, Status, ViewDefinition,
};
use vectordb::transform::Matrix;

use crate::{floats, steps, store};

#[test]
fn fused_and_materialised_reads_agree_with_transforming_what_is_read() {
    let store = store();
    let names: Vec<String> = (0..7).map(|i| format!("f{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let view = floats(&store, &names);
    let put = |user: i64, time: i64, value: f64| {
        let mut row = common::Row::new();
        for (at, name) in names.iter().enumerate().skip(1) {
            row.set(*name, value + f64::from(u8::try_from(at).unwrap()));
        }
        view.upsert(user, Timestamp(time), row).unwrap();
    };
    for user in 0..600 {
        put(user, 1, f64::from(i32::try_from(user).unwrap()));
    }
    for chosen in [&["f1", "f2", "f3"][..], &["f6", "f0", "f2"][..], &names] {
        let raw = store
            .retrieval()
            .features("view", chosen.to_vec())
            .prepare()
            .unwrap();
        let steps = steps(chosen.len());
        let fused = store
            .retrieval()
            .features("view", chosen.to_vec())
            .transform(steps.clone())
            .prepare()
            .unwrap();
        let ready = store
            .retrieval()
            .features("view", chosen.to_vec())
            .transform(steps.clone())
            .materialised()
            .prepare()
            .unwrap();
        put(3, 2, 1000.0);
        view.delete(4, Timestamp(2)).unwrap();
        view.forget(&[5]).unwrap();
        put(700, 1, 5.0);
        let keys: Vec<i64> = (-1..=700).rev().collect();
        for as_of in [
            AsOf::latest(),
            AsOf::event(Timestamp(1)),
            AsOf::event(Timestamp(0)),
        ] {
            let read = |retrieval: &vectordb::feature::Retrieval, options| {
                let mut out = vec![0.0; keys.len() * chosen.len()];
                let mut statuses = vec![Status::Unread; keys.len()];
                let report = retrieval
                    .get_many(&keys, as_of, &mut out, &mut statuses, options)
                    .unwrap();
                let present = statuses.iter().filter(|s| **s == Status::Present).count();
                assert_eq!(
                    (report.present, report.present + report.incomplete),
                    (present, keys.len())
                );
                (
                    out.iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
                    statuses,
                )
            };
            let mut expected = vec![0.0; keys.len() * chosen.len()];
            raw.get_many(
                &keys,
                as_of,
                &mut expected,
                &mut [],
                BatchOptions::default(),
            )
            .unwrap();
            let input = expected.clone();
            steps
                .transform(Matrix::new(&input, chosen.len()).unwrap(), &mut expected)
                .unwrap();
            let expected: Vec<u64> = expected.iter().map(|x| x.to_bits()).collect();
            let (_, statuses) = read(&raw, BatchOptions::default());
            for retrieval in [&fused, &ready] {
                for threads in [1, 2] {
                    let options = BatchOptions {
                        threads,
                        ..BatchOptions::default()
                    };
                    assert_eq!(
                        read(retrieval, options),
                        (expected.clone(), statuses.clone())
                    );
                    let options = BatchOptions {
                        order: Order::ColumnMajor,
                        ..options
                    };
                    let columns = read(retrieval, options).0;
                    let rows = keys.len();
                    let turned: Vec<u64> = (0..expected.len())
                        .map(|at| columns[at % chosen.len() * rows + at / chosen.len()])
                        .collect();
                    assert_eq!(turned, expected);
                }
                let mut one = vec![0.0; chosen.len()];
                for (at, key) in keys.iter().enumerate().step_by(97) {
                    assert_eq!(retrieval.get(*key, as_of, &mut one).unwrap(), statuses[at]);
                    let bits: Vec<u64> = one.iter().map(|x| x.to_bits()).collect();
                    assert_eq!(bits, expected[at * chosen.len()..][..chosen.len()]);
                }
            }
        }
        let bytes = view.bytes().materialised;
        assert!(bytes > 0);
        drop(ready);
        assert_eq!(
            view.bytes().materialised,
            0,
            "given back with the retrieval"
        );
        put(4, 3, 1.0);
        put(5, 3, 1.0);
    }
}

#[test]
fn several_views_are_one_row_with_a_status_each() {
    let store = store();
    let first = store
        .create_view(
            ViewDefinition::new("first", "user")
                .floats(["a", "b"])
                .ttl_seconds(1),
        )
        .unwrap();
    let second = store
        .create_view(ViewDefinition::new("second", "user").floats(["c"]))
        .unwrap();
    first
        .upsert(1, Timestamp(0), row! { "a": 1.0, "b": 2.0 })
        .unwrap();
    second.upsert(1, Timestamp(0), row! { "c": 3.0 }).unwrap();
    second.upsert(2, Timestamp(0), row! { "c": 4.0 }).unwrap();
    let both = store
        .retrieval()
        .features("second", ["c"])
        .features("first", ["b", "a"])
        .prepare()
        .unwrap();
    assert_eq!(both.features(), ["c", "b", "a"]);
    let (mut out, mut statuses) = ([0.0; 6], [Status::Unread; 4]);
    let as_of = AsOf::event(Timestamp(1_000_000));
    let report = both
        .get_many(
            &[1, 2],
            as_of,
            &mut out,
            &mut statuses,
            BatchOptions::default(),
        )
        .unwrap();
    assert_eq!(out[..4], [3.0, 2.0, 1.0, 4.0]);
    assert!(out[4].is_nan() && out[5].is_nan());
    assert_eq!(
        statuses,
        [
            Status::Present,
            Status::Present,
            Status::Present,
            Status::Unknown
        ]
    );
    assert_eq!((report.present, report.incomplete), (1, 1));
    let mut one = [0.0; 3];
    let later = AsOf::event(Timestamp(1_000_001));
    assert_eq!(both.get(1, later, &mut one).unwrap(), Status::Expired);
    assert!(one[0] == 3.0 && one[1].is_nan());
}

#[test]
fn what_a_retrieval_cannot_read_is_said_when_it_is_prepared() {
    let store = store();
    let field = |name: &str, ty| Field::new(name, ty).nullable();
    let definition = ViewDefinition::new("typed", "user")
        .floats(["float"])
        .feature(field("int", FieldType::Int))
        .feature(field("text", FieldType::Text));
    let view = store.create_view(definition).unwrap();
    store
        .create_entity(&Entity::new("item", [("sku", FieldType::Text)]))
        .unwrap();
    store
        .create_view(ViewDefinition::new("items", "item").floats(["price"]))
        .unwrap();
    let from = || store.retrieval();
    for (builder, word) in [
        (from(), "a feature at least"),
        (from().view("nowhere"), "there is items, typed"),
        (from().features("typed", ["in"]), "it has float, int"),
        (from().view("typed"), "`text` of view `typed` is text"),
        (
            from().features("typed", ["int"]).view("items"),
            "prepare a retrieval for each entity",
        ),
        (
            from().view("items").transform(steps(2)),
            "take 2 columns, but 1 features",
        ),
        (
            from()
                .view("items")
                .view("items")
                .transform(steps(2))
                .materialised(),
            "one view",
        ),
    ] {
        let error = builder.prepare().unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
    let retrieval = from().features("typed", ["int"]).prepare().unwrap();
    assert!(retrieval.get(1, AsOf::latest(), &mut [0.0; 2]).is_err());
    let many = |out: &mut [f64], statuses: &mut [Status]| {
        retrieval.get_many(
            &[1, 2],
            AsOf::latest(),
            out,
            statuses,
            BatchOptions::default(),
        )
    };
    assert!(many(&mut [0.0; 1], &mut []).is_err());
    assert!(many(&mut [0.0; 2], &mut [Status::Unread; 1]).is_err());
    let mut out = [7.0; 2];
    let mut statuses = [Status::Present; 2];
    let past = BatchOptions {
        deadline: Some(Instant::now()),
        ..BatchOptions::default()
    };
    let report = retrieval
        .get_many(&[1, 2], AsOf::latest(), &mut out, &mut statuses, past)
        .unwrap();
    assert_eq!((report.unread, statuses), (2, [Status::Unread; 2]));

    let mut definition = view.definition().clone();
    definition.ttl_seconds = Some(5);
    store.alter_view(definition).unwrap();
    let error = retrieval.get(1, AsOf::latest(), &mut [0.0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert_eq!(
        view.get(1, AsOf::latest()).unwrap_err().kind(),
        ErrorKind::Closed
    );
    assert_eq!(
        view.upsert(1, Timestamp(1), row! { "int": 1 })
            .unwrap_err()
            .kind(),
        ErrorKind::Closed
    );
}

#[test]
fn ten_thousand_features_are_one_view() {
    let store = store();
    let names: Vec<String> = (0..10_000).map(|i| format!("f{i}")).collect();
    let view = store
        .create_view(ViewDefinition::new("wide", "user").floats(names.clone()))
        .unwrap();
    let columns: Vec<[f64; 1]> = (0..10_000).map(|i| [f64::from(i)]).collect();
    let batch = names.iter().zip(&columns).fold(
        FeatureBatch::new(&[1], Timestamp(1)),
        |batch, (name, column)| batch.floats(name.clone(), column),
    );
    view.ingest(&batch, OnInvalid::Refuse).unwrap();
    let mut out = vec![0.0; 10_000];
    store
        .retrieval()
        .view("wide")
        .prepare()
        .unwrap()
        .get(1, AsOf::latest(), &mut out)
        .unwrap();
    assert!(
        out.iter()
            .zip(&columns)
            .all(|(out, column)| *out == column[0])
    );
}

#[test]
fn readers_beside_a_writer_see_whole_events() {
    let store = store();
    let view = floats(&store, &["a", "b", "c"]);
    let retrieval = store.retrieval().view("view").prepare().unwrap();
    let keys: Vec<i64> = (0..100).collect();
    let write = |number: f64| {
        let values = vec![number; keys.len()];
        let batch = ["a", "b", "c"]
            .iter()
            .fold(FeatureBatch::new(&keys, Timestamp(1)), |batch, name| {
                batch.floats(*name, &values)
            });
        view.ingest(&batch, OnInvalid::Refuse).unwrap();
    };
    write(0.0);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| (1..100).for_each(|number| write(f64::from(number))));
        let mut last = vec![0.0; keys.len()];
        let mut out = vec![0.0; keys.len() * 3];
        let mut reads = 0;
        while reads < 100 || !writer.is_finished() {
            retrieval
                .get_many(
                    &keys,
                    AsOf::latest(),
                    &mut out,
                    &mut [],
                    BatchOptions::default(),
                )
                .unwrap();
            for (row, last) in out.chunks(3).zip(&mut last) {
                assert!(
                    row[0] == row[1] && row[1] == row[2],
                    "a torn event: {row:?}"
                );
                assert!(row[0] >= *last, "an event of before");
                *last = row[0];
            }
            reads += 1;
        }
    });
    assert_eq!(view.history(7).unwrap().len(), 100);
}

#[test]
fn the_ends_of_time_and_of_keys_are_times_and_keys() {
    let store = store();
    let definition = ViewDefinition::new("view", "user")
        .floats(["a"])
        .ttl_seconds(u64::MAX);
    let view = store.create_view(definition).unwrap();
    for (number, time) in [i64::MIN, -1, 0, i64::MAX].into_iter().enumerate() {
        for key in [i64::MIN, -1, i64::MAX] {
            let value = f64::from(u8::try_from(number).unwrap());
            view.upsert(key, Timestamp(time), row! { "a": value })
                .unwrap();
            let read = view.get(key, AsOf::event(Timestamp(time))).unwrap();
            assert_eq!(
                (read.status, read.values[0].as_float()),
                (Status::Present, Some(value))
            );
        }
    }
    assert_eq!(
        view.get(-1, AsOf::at(Timestamp(i64::MIN))).unwrap().status,
        Status::Unknown
    );
    assert_eq!(view.forget_before(Timestamp(i64::MAX)).unwrap(), 9);
}

#[test]
fn rounded_numbers_and_blocks_are_those_of_one_read() {
    let store = store();
    let view = floats(&store, &["a", "b", "c"]);
    let keys: Vec<i64> = (0..600).collect();
    let values: Vec<f64> = keys
        .iter()
        .map(|key| f64::from(i32::try_from(*key).unwrap()) / 3.0)
        .collect();
    let batch = FeatureBatch::new(&keys, Timestamp(1))
        .floats("a", &values)
        .floats("c", &values);
    view.ingest(&batch, OnInvalid::Refuse).unwrap();
    let reports = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = reports.clone();
    let retrieval = store
        .retrieval()
        .view("view")
        .observer(move |report, taken| {
            seen.lock()
                .unwrap()
                .push((report.present, taken.as_nanos() > 0));
        })
        .prepare()
        .unwrap();
    let asked: Vec<i64> = (-5..605).rev().collect();
    let bits = |numbers: &[f64]| numbers.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    for order in [Order::RowMajor, Order::ColumnMajor] {
        let options = BatchOptions {
            order,
            ..BatchOptions::default()
        };
        let mut all = vec![0.0; asked.len() * 3];
        retrieval
            .get_many(&asked, AsOf::latest(), &mut all, &mut [], options)
            .unwrap();
        let mut rounded = vec![0.0_f32; asked.len() * 3];
        retrieval
            .get_many_f32(&asked, AsOf::latest(), &mut rounded, &mut [], options)
            .unwrap();
        #[expect(clippy::cast_possible_truncation, reason = "that is what is tested")]
        let expected: Vec<u32> = all.iter().map(|x| (*x as f32).to_bits()).collect();
        assert_eq!(
            rounded.iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
            expected
        );
    }
    let mut all = vec![0.0; asked.len() * 3];
    let whole = retrieval
        .get_many(
            &asked,
            AsOf::latest(),
            &mut all,
            &mut [],
            BatchOptions::default(),
        )
        .unwrap();
    for rows in [0, 1, 7, 610, usize::MAX] {
        let mut blocks = Vec::new();
        let report = retrieval
            .get_in_blocks(
                &asked,
                AsOf::latest(),
                rows,
                BatchOptions::default(),
                |first, numbers, statuses| {
                    assert_eq!(
                        (first * 3, numbers.len()),
                        (blocks.len(), statuses.len() * 3)
                    );
                    blocks.extend_from_slice(numbers);
                    std::ops::ControlFlow::Continue(())
                },
            )
            .unwrap();
        assert_eq!((bits(&blocks), report), (bits(&all), whole));
    }
    let mut visited = 0;
    let stop = |_: usize, _: &[f64], _: &[Status]| {
        visited += 1;
        std::ops::ControlFlow::Break(())
    };
    let report = retrieval
        .get_in_blocks(&asked, AsOf::latest(), 100, BatchOptions::default(), stop)
        .unwrap();
    assert_eq!((visited, report.present + report.incomplete), (1, 100));
    let reports = reports.lock().unwrap();
    assert_eq!(reports[0], (600, true));
    // Four reads and one, blocks of 1, 1, 7, 610 and 610, and one that was stopped.
    assert_eq!(reports.len(), 4 + 1 + 610 + 610 + 88 + 1 + 1 + 1);
}
