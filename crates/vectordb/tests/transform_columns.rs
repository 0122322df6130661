//! Columns on their routes: many rows as one by one, written and read, led back, nonsense refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use common::ErrorKind;
use common::limits::{Limits, NAME_BYTES_MAX};
use proptest::prelude::*;
use vectordb::transform::{
    ColumnPlan, ColumnTransformer, Cycle, DatePart, DateParts, Encoding, Filling, Matrix,
    MissingText, Norm, OUTPUTS_MAX, RoutePlan, Scaling, Smoothing, SourcePlan, StepPlan, Unknown,
};

const GOLDEN: &str = include_str!("../../../testdata/golden/transform_columns.json");
const NUMBERS: [&str; 4] = ["age", "income", "seen", "debt"];
const TEXTS: [&str; 2] = ["city", "job"];

fn encode(encoding: Encoding) -> SourcePlan {
    SourcePlan::Encode {
        encoding,
        unknown: Unknown::Ignore,
        missing: MissingText::Ignore,
    }
}

/// Every source, columns that are neighbours and others, steps that keep the width and others.
fn plan() -> ColumnPlan {
    let dates = DateParts::new([DatePart::Hour, DatePart::Sine(Cycle::Weekday)]).unwrap();
    let by_target = SourcePlan::EncodeTarget {
        smoothing: Smoothing::Rows(2.0),
        unknown: Unknown::Ignore,
        missing: MissingText::Missing,
    };
    let hash = SourcePlan::Hash {
        buckets: 5,
        signed: true,
    };
    ColumnPlan::new(NUMBERS, TEXTS)
        .route(
            RoutePlan::new("scaled", ["age", "income"], SourcePlan::Numbers)
                .then(StepPlan::Impute(Filling::Mean))
                .then(StepPlan::Scale(Scaling::STANDARD)),
        )
        .route(
            RoutePlan::new("apart", ["debt", "age"], SourcePlan::Numbers)
                .then(StepPlan::Scale(Scaling::MIN_MAX))
                .then(StepPlan::ImputeAndMark(Filling::Median)),
        )
        .route(RoutePlan::new("place", ["city"], encode(Encoding::OneHot)))
        .route(RoutePlan::new("mean", ["job", "city"], by_target))
        .route(RoutePlan::new("words", ["city", "job"], hash).then(StepPlan::Normalize(Norm::L1)))
        .route(RoutePlan::new("time", ["seen"], SourcePlan::Dates(dates)))
        .route(RoutePlan::new("as_is", ["debt"], SourcePlan::Numbers))
}

#[derive(Debug, Clone)]
struct Table {
    numbers: Vec<f64>,
    city: Vec<Option<&'static str>>,
    job: Vec<Option<&'static str>>,
}

impl Table {
    fn matrix(&self) -> Matrix<'_, f64> {
        Matrix::new(&self.numbers, NUMBERS.len()).unwrap()
    }

    fn fitted(&self) -> ColumnTransformer {
        let target: Vec<f64> = (0_u32..).map(f64::from).take(self.city.len()).collect();
        plan()
            .fit_target(self.matrix(), &[&self.city, &self.job], &target)
            .unwrap()
    }
}

fn table() -> impl Strategy<Value = Table> {
    let number = prop_oneof![8 => -1e6..1e6, 1 => Just(f64::NAN)];
    let text = prop_oneof![
        Just(None),
        Just(Some("Oulu")),
        Just(Some("Turku")),
        Just(Some(""))
    ];
    let row = (prop::array::uniform4(number), text.clone(), text);
    prop::collection::vec(row, 1..80).prop_map(|rows| {
        let mut table = Table {
            numbers: vec![1.0, 2.0, 3.0, 4.0],
            city: vec![Some("Kemi")],
            job: vec![Some("cook")],
        };
        for (numbers, city, job) in rows {
            table.numbers.extend(numbers);
            table.city.push(city);
            table.job.push(job);
        }
        table
    })
}

fn bits(all: &[f64]) -> Vec<u64> {
    all.iter().map(|x| x.to_bits()).collect()
}

proptest! {
    #[test]
    fn many_rows_become_what_each_becomes_alone_on_each_route(table in table()) {
        let fitted = table.fitted();
        let rows = table.city.len();
        let mut all = vec![7.0; rows * fitted.outputs()];
        fitted.transform(table.matrix(), &[&table.city, &table.job], &mut all).unwrap();
        for (row, together) in all.chunks(fitted.outputs()).enumerate() {
            let mut alone = vec![7.0; fitted.outputs()];
            let texts = [table.city[row], table.job[row]];
            fitted.transform_row(table.matrix().row(row), &texts, &mut alone).unwrap();
            prop_assert_eq!(bits(&alone), bits(together));
        }
        // Some rows become what they become among all.
        let (from, to) = (rows / 3, rows - rows / 4);
        let texts: [&[_]; 2] = [&table.city, &table.job];
        let mut some = vec![7.0; (to - from) * fitted.outputs()];
        fitted.transform_rows(table.matrix(), &texts, from..to, &mut some).unwrap();
        prop_assert_eq!(bits(&some), bits(&all[from * fitted.outputs()..to * fitted.outputs()]));
        let beyond = fitted.transform_rows(table.matrix(), &texts, from..rows + 1, &mut some);
        prop_assert_eq!(beyond.unwrap_err().kind(), ErrorKind::Invalid);
        // A route by itself makes what it makes beside others.
        let mut start = 0;
        for route in plan().routes {
            let single = ColumnPlan { routes: vec![route], ..plan() };
            let target: Vec<f64> = (0_u32..).map(f64::from).take(rows).collect();
            let single = single.fit_target(table.matrix(), &[&table.city, &table.job], &target).unwrap();
            let mut out = vec![7.0; rows * single.outputs()];
            single.transform(table.matrix(), &[&table.city, &table.job], &mut out).unwrap();
            let places = start..start + single.outputs();
            let of_all: Vec<f64> = all.chunks(fitted.outputs()).flat_map(|row| row[places.clone()].to_vec()).collect();
            prop_assert_eq!(bits(&out), bits(&of_all));
            start = places.end;
        }
        prop_assert_eq!(start, fitted.outputs());
        prop_assert_eq!(fitted.output_names().len(), start);
    }

    #[test]
    fn written_columns_are_read_bit_by_bit(table in table()) {
        let fitted = table.fitted();
        let text = fitted.to_json().unwrap();
        let again = ColumnTransformer::from_json(&text, &Limits::default()).unwrap();
        prop_assert_eq!(again.to_json().unwrap(), text);
        prop_assert_eq!(again.version().unwrap(), fitted.version().unwrap());
        prop_assert_eq!(again, fitted);
    }

    #[test]
    fn columns_lead_back(table in table()) {
        let plan = ColumnPlan::new(NUMBERS, TEXTS)
            .route(RoutePlan::new("first", ["age"], SourcePlan::Numbers))
            // Has no inverse, but needs none: the column has come back by then.
            .route(RoutePlan::new("again", ["age"], SourcePlan::Numbers).then(StepPlan::Impute(Filling::Mean)))
            .route(RoutePlan::new("hot", ["job"], encode(Encoding::OneHot)))
            .route(
                RoutePlan::new("rest", ["debt", "age"], SourcePlan::Numbers)
                    .then(StepPlan::ImputeAndMark(Filling::Mean))
                    .then(StepPlan::Scale(Scaling::ROBUST)),
            );
        let texts: [&[_]; 2] = [&table.city, &table.job];
        let fitted = plan.fit(table.matrix(), &texts).unwrap();
        let mut out = vec![0.0; table.city.len() * fitted.outputs()];
        fitted.transform(table.matrix(), &texts, &mut out).unwrap();
        let original = fitted.inverse(Matrix::new(&out, fitted.outputs()).unwrap()).unwrap();
        for (found, row) in original.numbers.chunks(4).zip(table.matrix().iter()) {
            prop_assert_eq!(bits(&found[..1]), bits(&row[..1]));
            prop_assert!(found[1].is_nan() && found[2].is_nan());
            prop_assert!(found[3].is_nan() && row[3].is_nan() || (found[3] - row[3]).abs() <= 1e-6);
        }
        prop_assert!(original.texts[0].iter().all(Option::is_none));
        prop_assert_eq!(&original.texts[1], &table.job);
    }
}

#[test]
fn columns_of_an_earlier_day_are_read() {
    let golden = ColumnTransformer::from_json(GOLDEN, &Limits::default()).unwrap();
    assert_eq!(golden.to_json().unwrap(), GOLDEN.trim_end());
    assert_eq!(
        golden.version().unwrap(),
        "25f9294372fb4d14f1a3be08ad467502"
    );
}

#[test]
fn texts_alone_have_a_batch_too() {
    let plan = ColumnPlan::new([""; 0], TEXTS).route(RoutePlan::new(
        "o",
        ["city"],
        encode(Encoding::Ordinal),
    ));
    let texts: [&[_]; 2] = [&[Some("b"), None, Some("a")], &[None; 3]];
    let fitted = plan.fit(Matrix::empty(3), &texts).unwrap();
    let mut out = [7.0; 3];
    fitted
        .transform(Matrix::empty(3), &texts, &mut out)
        .unwrap();
    assert_eq!(bits(&out), bits(&[1.0, -1.0, 0.0]));
}

#[test]
fn nonsense_is_refused() {
    let read = |text: &str| {
        let limits = Limits::default().elements_max(3);
        ColumnTransformer::from_json(text, &limits)
            .unwrap_err()
            .kind()
    };
    let of = |route: &str| {
        read(&format!(
            r#"{{"schema":1,"numbers":["a","b"],"texts":["t"],"routes":[{route}]}}"#
        ))
    };
    assert_eq!(read("{}"), ErrorKind::Corrupt);
    assert_eq!(read(r#"{"schema":2}"#), ErrorKind::Unsupported);
    assert_eq!(
        read(r#"{"schema":1,"numbers":["a","b","c","d"],"texts":[],"routes":[]}"#),
        ErrorKind::LimitExceeded
    );
    let route = |columns: &str, source: &str, steps: &str| {
        format!(r#"{{"name":"r","columns":{columns},"source":{source},"steps":[{steps}]}}"#)
    };
    let fine = route(r#"["a"]"#, r#""numbers""#, "");
    let text = format!(r#"{{"schema":1,"numbers":["a","b"],"texts":["t"],"routes":[{fine}]}}"#);
    assert!(ColumnTransformer::from_json(&text, &Limits::default()).is_ok());
    let one_hot = |categories: &str| {
        format!(
            r#"{{"encode":[{{"categories":{categories},"numbers":"one_hot","unknown":"ignore","missing":"ignore"}}]}}"#
        )
    };
    for refused in [
        String::new(),
        format!("{fine},{fine}"),
        route("[]", r#""numbers""#, ""),
        route(r#"["t"]"#, r#""numbers""#, ""),
        route(r#"["z"]"#, r#""numbers""#, ""),
        route(r#"["a"]"#, &one_hot(r#"["x"]"#), ""),
        route(r#"["t"]"#, &one_hot(r#"["y","x"]"#), ""),
        route(r#"["t"]"#, &one_hot("[]"), ""),
        route(r#"["t","t"]"#, &one_hot(r#"["x"]"#), ""),
        route(
            r#"["a"]"#,
            r#"{"dates":{"parts":["hour"],"offset_minutes":-2147483648}}"#,
            "",
        ),
        route(
            r#"["a"]"#,
            r#"{"dates":{"parts":["hour","hour"],"offset_minutes":0}}"#,
            "",
        ),
        route(
            r#"["a"]"#,
            r#""numbers""#,
            r#"{"normalize":{"norm":"l2","columns":2}}"#,
        ),
    ] {
        assert_eq!(of(&refused), ErrorKind::Corrupt, "{refused}");
    }
    let four = route(r#"["a","a","a","a"]"#, r#""numbers""#, "");
    assert_eq!(of(&four), ErrorKind::LimitExceeded);
}

#[test]
fn limits_hold_at_their_value() {
    let read = |column: &str, buckets: usize, routes: usize| {
        let route = |at: usize| {
            format!(
                r#"{{"name":"r{at}","columns":["{column}"],"source":{{"hash":{{"buckets":{buckets},"signed":false}}}},"steps":[]}}"#
            )
        };
        let routes: Vec<String> = (0..routes).map(route).collect();
        let text = format!(
            r#"{{"schema":1,"numbers":[],"texts":["{column}"],"routes":[{}]}}"#,
            routes.join(",")
        );
        let read = ColumnTransformer::from_json(&text, &Limits::default());
        read.map(|columns| columns.outputs()).map_err(|e| e.kind())
    };
    assert_eq!(read("t", OUTPUTS_MAX / 4, 4), Ok(OUTPUTS_MAX));
    assert_eq!(read("t", OUTPUTS_MAX / 4, 5), Err(ErrorKind::LimitExceeded));
    assert_eq!(read("t", OUTPUTS_MAX + 1, 1), Err(ErrorKind::LimitExceeded));
    assert_eq!(read(&"t".repeat(NAME_BYTES_MAX), 1, 1), Ok(1));
    assert_eq!(
        read(&"t".repeat(NAME_BYTES_MAX + 1), 1, 1),
        Err(ErrorKind::Corrupt)
    );
    assert_eq!(read("", 1, 1), Err(ErrorKind::Corrupt));
}

#[test]
fn what_is_wrong_is_named() {
    let texts: [&[_]; 2] = [&[Some("a"), None], &[Some("b"), Some("c")]];
    let data = [1.0, 2.0, 3e20, 4.0, 5.0, 6.0, 7.0, f64::INFINITY];
    let matrix = Matrix::new(&data, 4).unwrap();
    let fit = |route: RoutePlan| {
        ColumnPlan::new(NUMBERS, TEXTS)
            .route(route)
            .fit(matrix, &texts)
    };
    let refused = |route: RoutePlan| fit(route).unwrap_err().to_string();
    let numbers = |columns: &[&str]| RoutePlan::new("r", columns.to_vec(), SourcePlan::Numbers);
    let strict = SourcePlan::Encode {
        encoding: Encoding::Ordinal,
        unknown: Unknown::Refuse,
        missing: MissingText::Refuse,
    };
    assert_eq!(
        refused(numbers(&["none"])),
        "route \"r\": there is no column \"none\""
    );
    assert!(
        refused(numbers(&["city"])).ends_with("column \"city\" is texts, but numbers belong here")
    );
    let scaled = numbers(&["age", "debt"])
        .then(StepPlan::Log1p)
        .then(StepPlan::Scale(Scaling::MIN_MAX));
    assert!(refused(scaled).starts_with("route \"r\": step 1: row 1, column 1 is infinite"));
    assert!(
        refused(RoutePlan::new("r", ["city"], strict.clone()))
            .starts_with("route \"r\": column \"city\": the text of row 1")
    );
    let mut by_target = plan();
    by_target.routes.drain(..3);
    let by_target = by_target.fit(matrix, &texts).unwrap_err().to_string();
    assert!(by_target.contains("fit_target"), "{by_target}");

    let dates = SourcePlan::Dates(DateParts::new([DatePart::Hour]).unwrap());
    let dates = fit(RoutePlan::new("r", ["seen"], dates)).unwrap();
    let error = dates.transform(matrix, &texts, &mut [0.0; 2]).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("route \"r\": row 0: column \"seen\": 300000000000000000000 is no time")
    );
    let order = fit(RoutePlan::new("r", ["job"], strict)).unwrap();
    let error = order
        .transform_row(&data[..4], &[None, Some("z")], &mut [0.0])
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("route \"r\": column \"job\": \"z\" is none of the 2")
    );

    for error in [
        order.transform_row(&data[..3], &[None, None], &mut [0.0]),
        order.transform_row(&data[..4], &[None], &mut [0.0]),
        order.transform_row(&data[..4], &[None, None], &mut [0.0; 2]),
        order.transform(matrix, &texts[..1], &mut [0.0; 2]),
        order.transform(matrix, &[&[None], &[None]], &mut [0.0; 2]),
        order.transform(matrix, &texts, &mut [0.0; 3]),
    ] {
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Invalid);
    }

    let fill = numbers(&["age"]).then(StepPlan::Impute(Filling::Mean));
    let error = fit(fill)
        .unwrap()
        .inverse(Matrix::new(&[1.0], 1).unwrap())
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("route \"r\": step 0, impute: it has no inverse")
    );
}
