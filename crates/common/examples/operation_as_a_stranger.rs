//! An operation that the library does not have, written outside of it: checked by the contract test, used in
//! a pipeline beside built-in ones, stored as JSON, found again by name, and undone.
//!
//! Run it: `cargo run -p tandemdb-common --example operation_as_a_stranger`

use std::sync::Arc;

use common::operations::transform::{Batch, OperationSpec, Pipeline, RecordOp, Transform};
use common::schema::FieldType;
use common::{Error, Result, Row, Value, row};

/// Temperatures from degrees Celsius to kelvin, in one column.
#[derive(Clone)]
struct ToKelvin {
    column: String,
    back: bool,
}

const ZERO_CELSIUS: f64 = 273.15;

impl ToKelvin {
    const NAME: &str = "acme.to_kelvin";

    fn from_spec(spec: &OperationSpec) -> Result<Self> {
        if spec.version != 1 {
            return Err(Error::unsupported(format!("version {}", spec.version)));
        }
        let map = spec.parameters.as_map();
        let column = map.and_then(|map| map.get("column")?.as_text());
        let back = map.and_then(|map| map.get("back")?.as_bool());
        match (column, back) {
            (Some(column), Some(back)) => Ok(Self {
                column: column.into(),
                back,
            }),
            _ => Err(Error::invalid("takes `column` (text) and `back` (bool)")),
        }
    }
}

impl Transform<Row> for ToKelvin {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn parameters(&self) -> Value {
        let map: common::Map = [
            ("column".into(), self.column.as_str().into()),
            ("back".into(), self.back.into()),
        ]
        .into();
        Value::from(map)
    }

    fn apply(&self, batch: &mut Batch<Row>) -> Result<()> {
        let (least, shift) = if self.back {
            (0.0, -ZERO_CELSIUS)
        } else {
            (-ZERO_CELSIUS, ZERO_CELSIUS)
        };
        batch.for_each(|row| match row.get_mut(&self.column) {
            Some(Value::Float(degrees)) if *degrees >= least => {
                *degrees += shift;
                Ok(())
            }
            other => Err(Error::invalid(format!("{other:?} is no temperature"))),
        });
        Ok(())
    }

    fn inverse(&self) -> Option<Arc<dyn Transform<Row>>> {
        Some(Arc::new(Self {
            column: self.column.clone(),
            back: !self.back,
        }))
    }
}

fn main() -> Result<()> {
    let operation = ToKelvin {
        column: "t".into(),
        back: false,
    };
    let mut registry = RecordOp::registry();
    registry.register(ToKelvin::NAME, |spec| {
        Ok(Arc::new(ToKelvin::from_spec(spec)?))
    })?;

    // The contract: samples that it takes, and hostile ones that it must reject.
    let samples = [
        row! { "t": 20.0 },
        row! { "t": -300.0 },
        row! { "t": f64::NAN },
        row! { "t": "warm" },
        Row::new(),
    ];
    let near = |a: &Row, b: &Row| match (a.get("t"), b.get("t")) {
        (Some(Value::Float(a)), Some(Value::Float(b))) => (a - b).abs() < 1e-9,
        (a, b) => a == b,
    };
    testkit::contract::transform(&operation, &samples, near, Some(&registry));

    // In a pipeline, beside built-in operations; a bad row is a line of the report.
    let pipeline = Pipeline::new()
        .step("numbers", RecordOp::cast("t", FieldType::Float))?
        .step("kelvin", RecordOp::custom(operation))?
        .step("name", RecordOp::rename("t", "kelvin"))?;
    let outcome = pipeline.apply(vec![
        row! { "city": "Oulu", "t": "-10" },
        row! { "city": "Nowhere", "t": "-400" },
    ])?;
    assert_eq!(
        outcome.items.first().and_then(|row| row.get("kelvin")),
        Some(&Value::from(ZERO_CELSIUS - 10.0))
    );
    assert_eq!(
        outcome.rejected.first().map(ToString::to_string).as_deref(),
        Some("item 1, step `kelvin`: Some(-400.0) is no temperature")
    );

    // Stored with whatever it produced, and found again.
    let json = serde_json::to_string(&pipeline.describe())
        .map_err(|error| Error::invalid(error.to_string()))?;
    let spec = serde_json::from_str(&json).map_err(|error| Error::invalid(error.to_string()))?;
    let again = Pipeline::build(&spec, &registry)?;
    assert_eq!(again.describe(), pipeline.describe());

    // A cast cannot be undone, so neither can the pipeline.
    assert!(pipeline.inverse().is_none());
    Ok(())
}
