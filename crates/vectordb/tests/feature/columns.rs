//! Retrievals through a `ColumnTransformer`: numbers, texts and times of one view or of two, by name.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use common::schema::{Field, FieldType};
use common::{Timestamp, Value, row};
use vectordb::feature::{
    AsOf, BatchOptions, FeatureStore, FeatureView, KnownAt, Order, Retrieval, RetrievalBuilder,
    Status, Times, ViewDefinition,
};
use vectordb::transform::{
    ColumnPlan, ColumnTransformer, DatePart, DateParts, Encoding, Filling, Matrix, MissingText,
    RoutePlan, Scaling, SourcePlan, StepPlan, Unknown,
};

use crate::store;

const DAY: i64 = 86_400_000_000;

fn nullable(name: &str, ty: FieldType) -> Field {
    Field::new(name, ty).nullable()
}

/// Users 1 to 5: places, ages, a time, a colour, and another view with plans.
fn filled() -> (FeatureStore, FeatureView, FeatureView) {
    let store = store();
    let people = ViewDefinition::new("people", "user")
        .feature(nullable("place", FieldType::Text))
        .feature(nullable("age", FieldType::Float))
        .feature(nullable("seen", FieldType::Timestamp))
        .feature(nullable("colour", FieldType::Text))
        .feature(nullable("born", FieldType::Date));
    let people = store.create_view(people).unwrap();
    let plans = ViewDefinition::new("plans", "user")
        .feature(nullable("plan", FieldType::Text))
        .feature(nullable("price", FieldType::Float));
    let plans = store.create_view(plans).unwrap();
    let places = [
        Some("Oulu"),
        Some("Turku"),
        None,
        Some("Nowhere"),
        Some("Oulu"),
    ];
    for (place, user) in places.into_iter().zip(1_i64..) {
        let age = (user != 2).then(|| f64::from(i32::try_from(user).unwrap()) * 10.0);
        let colour = if user % 2 == 0 { "red" } else { "blue" };
        let row = row! {
            "place": place.map_or(Value::Null, Value::from), "age": age.map_or(Value::Null, Value::Float),
            "seen": Timestamp(user * DAY), "colour": colour,
        };
        people.upsert(user, Timestamp(10), row).unwrap();
        if user != 4 {
            let plan = if user > 2 { "paid" } else { "free" };
            plans
                .upsert(user, Timestamp(10), row! { "plan": plan, "price": 2.5 })
                .unwrap();
        }
    }
    (store, people, plans)
}

/// Fitted on three rows of numbers (age, seen) and texts (colour, place).
fn fitted(unknown: Unknown, missing: MissingText) -> ColumnTransformer {
    let encode = SourcePlan::Encode {
        encoding: Encoding::OneHot,
        unknown,
        missing,
    };
    let dates = DateParts::new([DatePart::Weekday, DatePart::Day]).unwrap();
    let plan = ColumnPlan::new(["age", "seen"], ["colour", "place"])
        .route(RoutePlan::new("texts", ["place", "colour"], encode))
        .route(RoutePlan::new("time", ["seen"], SourcePlan::Dates(dates)))
        .route(
            RoutePlan::new("age", ["age"], SourcePlan::Numbers)
                .then(StepPlan::Impute(Filling::Mean))
                .then(StepPlan::Scale(Scaling::STANDARD)),
        );
    let numbers = [20.0, 0.0, 30.0, 1e13, 50.0, 2e13];
    let colours = [Some("blue"), Some("red"), Some("blue")];
    let places = [Some("Oulu"), Some("Turku"), Some("Oulu")];
    plan.fit(Matrix::new(&numbers, 2).unwrap(), &[&colours, &places])
        .unwrap()
}

/// Every way to read users 0 to 6 gives `expected` of each.
fn assert_reads(retrieval: &Retrieval, expected: &dyn Fn(i64) -> (Status, Vec<f64>)) {
    let users: Vec<i64> = (0..=6).collect();
    let width = retrieval.outputs();
    let (states, rows): (Vec<Status>, Vec<Vec<f64>>) =
        users.iter().map(|user| expected(*user)).unzip();
    let bits = |numbers: &[f64]| numbers.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    for (user, (state, row)) in users.iter().zip(states.iter().zip(&rows)) {
        let mut out = vec![7.0; width];
        match retrieval.get(*user, AsOf::latest(), &mut out) {
            Ok(found) => assert_eq!((found, bits(&out)), (*state, bits(row)), "user {user}"),
            Err(_) => assert_eq!(*state, Status::Refused, "user {user}"),
        }
    }
    for order in [Order::RowMajor, Order::ColumnMajor] {
        let mut out = vec![7.0; width * users.len()];
        let mut statuses = vec![Status::Unread; users.len() * retrieval.views()];
        let options = BatchOptions {
            order,
            ..BatchOptions::default()
        };
        let report = retrieval
            .get_many(&users, AsOf::latest(), &mut out, &mut statuses, options)
            .unwrap();
        let present = states
            .iter()
            .filter(|state| **state == Status::Present)
            .count();
        assert_eq!(report.present, present);
        let worst = statuses
            .chunks(retrieval.views())
            .map(|all| *all.iter().max().unwrap());
        assert_eq!(worst.collect::<Vec<_>>(), states);
        for (at, row) in rows.iter().enumerate() {
            let read: Vec<f64> = match order {
                Order::RowMajor => out[at * width..(at + 1) * width].to_vec(),
                Order::ColumnMajor => out[at..].iter().step_by(users.len()).copied().collect(),
            };
            assert_eq!(bits(&read), bits(row), "user {}", users[at]);
        }
    }
}

/// What `transformer` makes of a user's values as single reads give them.
fn by_hand(transformer: &ColumnTransformer, people: &FeatureView, user: i64) -> (Status, Vec<f64>) {
    let row = people.get(user, AsOf::latest()).unwrap();
    let number = |at: usize| match row.values.get(at) {
        Some(Value::Float(number)) => *number,
        #[expect(clippy::cast_precision_loss, reason = "days in microseconds")]
        Some(Value::Timestamp(at)) => at.0 as f64,
        _ => f64::NAN,
    };
    let text = |at: usize| row.values.get(at).and_then(Value::as_text);
    let mut out = vec![f64::NAN; transformer.outputs()];
    let made = transformer.transform_row(&[number(1), number(2)], &[text(3), text(0)], &mut out);
    match (made, row.status) {
        (Err(_), Status::Present) => (Status::Refused, vec![f64::NAN; transformer.outputs()]),
        (Err(_), status) => (status, vec![f64::NAN; transformer.outputs()]),
        (Ok(()), status) => (status, out),
    }
}

#[test]
fn numbers_texts_and_times_are_found_by_name_and_transformed_as_by_hand() {
    let (store, people, _) = filled();
    let from = || store.retrieval().view("people");
    for (unknown, missing) in [
        (Unknown::Ignore, MissingText::Ignore),
        (Unknown::Missing, MissingText::Missing),
        (Unknown::Refuse, MissingText::Ignore),
        (Unknown::Ignore, MissingText::Refuse),
    ] {
        let transformer = fitted(unknown, missing);
        let is_strict = unknown == Unknown::Refuse || missing == MissingText::Refuse;
        let chosen: RetrievalBuilder = store
            .retrieval()
            .features("people", ["seen", "place", "colour", "age"]);
        for builder in [from(), chosen] {
            let fused = builder
                .clone()
                .transform(transformer.clone())
                .prepare()
                .unwrap();
            assert_reads(&fused, &|user| by_hand(&transformer, &people, user));
            let ready = builder
                .transform(transformer.clone())
                .materialised()
                .prepare();
            if is_strict {
                assert!(ready.unwrap_err().to_string().contains("may refuse them"));
                continue;
            }
            let ready = ready.unwrap();
            assert_reads(&ready, &|user| by_hand(&transformer, &people, user));
            // An event that comes afterwards.
            people
                .upsert(
                    1,
                    Timestamp(11),
                    row! { "place": "Turku", "seen": Timestamp(9 * DAY) },
                )
                .unwrap();
            assert_reads(&ready, &|user| by_hand(&transformer, &people, user));
            people.forget(&[1]).unwrap();
            assert_reads(&ready, &|user| by_hand(&transformer, &people, user));
            people
                .upsert(1, Timestamp(12), row! { "place": "Oulu", "age": 41.0 })
                .unwrap();
        }
    }
}

#[test]
fn columns_of_two_views_stand_in_one_row() {
    let (store, _, plans) = filled();
    plans
        .upsert(
            5,
            Timestamp(11),
            row! { "plan": "unheard of", "price": 1.0 },
        )
        .unwrap();
    let nan = f64::NAN;
    for missing in [MissingText::Missing, MissingText::Refuse] {
        let encode = SourcePlan::Encode {
            encoding: Encoding::OneHot,
            unknown: Unknown::Refuse,
            missing,
        };
        let numbers = RoutePlan::new("numbers", ["age", "price"], SourcePlan::Numbers);
        let transformer = ColumnPlan::new(["price", "age"], ["plan"])
            .route(RoutePlan::new("plan", ["plan"], encode))
            .route(numbers)
            .fit(
                Matrix::new(&[1.0; 4], 2).unwrap(),
                &[&[Some("free"), Some("paid")]],
            )
            .unwrap();
        let retrieval = store
            .retrieval()
            .view("people")
            .features("plans", ["plan", "price"])
            .transform(transformer)
            .prepare()
            .unwrap();
        assert_reads(&retrieval, &|user| match user {
            1 => (Status::Present, vec![1.0, 0.0, 10.0, 2.5]),
            2 => (Status::Present, vec![1.0, 0.0, nan, 2.5]),
            3 => (Status::Present, vec![0.0, 1.0, 30.0, 2.5]),
            4 if missing == MissingText::Missing => (Status::Unknown, vec![nan, nan, 40.0, nan]),
            4 | 5 => (Status::Refused, vec![nan; 4]),
            // Of whom there is nothing, there is nothing to refuse.
            _ => (Status::Unknown, vec![nan; 4]),
        });
    }
}

#[test]
fn a_training_set_through_columns_is_made_again_and_refuses_what_they_refuse() {
    let (store, people, _) = filled();
    let prepare = |unknown| {
        let transformer = fitted(unknown, MissingText::Ignore);
        let version = store
            .save_transformer("people", &transformer.clone().into(), &[])
            .unwrap();
        assert_eq!(
            store.transformer("people", Some(&version)).unwrap(),
            transformer.clone().into()
        );
        store
            .retrieval()
            .view("people")
            .transform(transformer)
            .prepare()
            .unwrap()
    };
    let make = |retrieval: &Retrieval| {
        let times = Times::All(Timestamp(10));
        store.create_training_set("people", retrieval, &[1, 3, 4], times, KnownAt::Ever)
    };
    let set = make(&prepare(Unknown::Ignore)).unwrap();
    people
        .upsert(1, Timestamp(9), row! { "place": "Turku" })
        .unwrap();
    let again = store.training_set(&set.id).unwrap();
    assert!(
        again
            .values
            .iter()
            .zip(&set.values)
            .all(|(a, b)| a.to_bits() == b.to_bits())
    );
    let error = make(&prepare(Unknown::Refuse)).unwrap_err().to_string();
    assert!(error.contains("row 2, of entity 4"), "{error}");
}

#[test]
fn a_transformer_of_other_columns_is_refused_with_the_features_there_are() {
    let (store, ..) = filled();
    let one = |name: &str, is_text: bool| {
        let (numbers, texts): (&[&str], &[&str]) = if is_text {
            (&[], &[name])
        } else {
            (&[name], &[])
        };
        let source = if is_text {
            SourcePlan::Hash {
                buckets: 2,
                signed: false,
            }
        } else {
            SourcePlan::Numbers
        };
        let plan = ColumnPlan::new(numbers.iter().copied(), texts.iter().copied())
            .route(RoutePlan::new("r", [name], source));
        if is_text {
            plan.fit(Matrix::empty(1), &[&[Some("a")]]).unwrap()
        } else {
            plan.fit(Matrix::new(&[1.0], 1).unwrap(), &[]).unwrap()
        }
    };
    let dates = DateParts::new([DatePart::Day]).unwrap();
    let born = ColumnPlan::new(["born"], [""; 0])
        .route(RoutePlan::new("r", ["born"], SourcePlan::Dates(dates)))
        .fit(Matrix::new(&[1.0], 1).unwrap(), &[])
        .unwrap();
    let of_age = ColumnPlan::new(["age"], [""; 0])
        .route(RoutePlan::new(
            "r",
            ["age"],
            SourcePlan::Dates(DateParts::new([DatePart::Day]).unwrap()),
        ))
        .fit(Matrix::new(&[1.0], 1).unwrap(), &[])
        .unwrap();
    let view = || store.retrieval().view("people");
    assert!(view().transform(of_age.clone()).prepare().is_ok());
    for (builder, word) in [
        (
            view().transform(one("height", false)),
            "place, age, seen, colour, born",
        ),
        (
            view().transform(one("place", false)),
            "takes it as a number",
        ),
        (view().transform(one("age", true)), "takes it as text"),
        (view().transform(of_age).materialised(), "may refuse them"),
        (view().transform(born), "declare it as a timestamp"),
        (
            view().view("people").transform(one("age", false)),
            "two features of that name",
        ),
    ] {
        let error = builder.prepare().unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}
