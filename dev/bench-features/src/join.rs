//! Labels joined to events as of their times.

use std::hint::black_box;
use std::path::Path;

use bench::Result;
use bench::python::Python;
use bench::report::Report;
use bench::stats::Series;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use vectordb::feature::{BatchOptions, KnownAt, Times};

use crate::data::{JOINED_FEATURES, joined};
use crate::{Arguments, OURS, TURN_SECONDS, check, push, turn};

const RIVALS: [&str; 2] = ["polars", "numpy"];

#[derive(Deserialize)]
struct Taken {
    nanoseconds: f64,
}

pub(crate) fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (events, labels) = (arguments.events, arguments.events / 10);
    let case = format!("join@{labels}");
    let data = joined(folder.path(), events / 100, events, labels)?;
    let retrieval = data.store.retrieval().view("view").prepare()?;
    let mut out = vec![0.0; labels * JOINED_FEATURES];
    let times = Times::Each(&data.label_times);
    let mut ours = || -> Result<()> {
        retrieval.join(
            &data.label_keys,
            times,
            KnownAt::Ever,
            &mut out,
            &mut [],
            BatchOptions::default(),
        )?;
        black_box(&mut out);
        Ok(())
    };
    ours()?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("features_rivals.py");
    let mut python = Python::start(&script, &[folder.path().as_os_str()])?;
    let _: IgnoredAny = python.ask(&json!({ "command": "joins", "features": JOINED_FEATURES }))?;
    let mut series = vec![Series::default(); 3];
    for _ in 0..arguments.rounds {
        let mut taken = vec![turn(&mut ours)?];
        for subject in RIVALS {
            let command = json!({ "command": subject, "seconds": TURN_SECONDS });
            taken.push(python.ask::<Taken>(&command)?.nanoseconds);
        }
        for (series, taken) in series.iter_mut().zip(taken) {
            series.push(taken);
        }
    }
    for subject in RIVALS {
        let _: IgnoredAny = python.ask(&json!({ "command": subject }))?;
        let bytes = std::fs::read(folder.path().join("answer"))?;
        let theirs: Vec<f64> = bytes
            .as_chunks()
            .0
            .iter()
            .map(|x| f64::from_ne_bytes(*x))
            .collect();
        check(&case, subject, &out, &theirs)?;
    }
    push(report, &case, &[OURS, "polars", "numpy"], series);
    Ok(())
}
