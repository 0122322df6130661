//! Questions to the tables, how they are answered, and how long that takes.

use std::time::{Duration, Instant};

use common::Result;
use common::query::{Aggregate, Filter, OrderBy, Path, Query};

use super::data::World;
use crate::terminal::Progress;

/// Each question is asked this often; the middle time is reported.
const RUNS: usize = 15;

/// One question and its answer.
pub(super) struct Asked {
    pub(super) what: String,
    pub(super) plan: String,
    pub(super) read: usize,
    pub(super) returned: usize,
    /// The first rows of the answer as text.
    pub(super) answer: String,
    pub(super) time: Duration,
}

pub(super) fn run(world: &World) -> Result<Vec<Asked>> {
    let _progress = Progress::stage("asking questions");
    let questions = [
        (
            "the five largest cities of the world",
            Query::from("cities")
                .select(["name", "population"])
                .order_by(OrderBy::descending("population"))
                .limit(5),
        ),
        (
            "the five largest of Finland",
            Query::from("cities")
                .filter(Filter::eq("country", "FI"))
                .select(["name", "population"])
                .order_by(OrderBy::descending("population"))
                .limit(5),
        ),
        (
            "cities of a million to two million people called San something",
            Query::from("cities")
                .filter(
                    Filter::between("population", 1_000_000, 2_000_000)
                        .and(Filter::starts_with("name", "San ")),
                )
                .select(["name", "population"])
                .order_by(OrderBy::ascending("name")),
        ),
        (
            "city dwellers by continent",
            Query::from("cities")
                .join("countries", "country", "code")
                .group_by([Path::parse("countries.continent")?])
                .aggregate(Aggregate::sum(Path::parse("cities.population")?).named("people"))
                .order_by(OrderBy::descending("people")),
        ),
    ];
    let snapshot = world.database.snapshot();
    let view = snapshot.view();
    let asked = questions.into_iter().map(|(what, query)| {
        let mut times = Vec::with_capacity(RUNS);
        for _ in 0..RUNS {
            let start = Instant::now();
            query.run(&view)?;
            times.push(start.elapsed());
        }
        times.sort_unstable();
        let result = query.run(&view)?;
        let rows = result.rows.iter().take(5).map(|row| {
            let cells: Vec<String> = row.iter().map(ToString::to_string).collect();
            cells.join(" ")
        });
        Ok(Asked {
            what: what.to_owned(),
            plan: result.plan.to_string(),
            read: result.scanned,
            returned: result.returned,
            answer: rows.collect::<Vec<_>>().join(", "),
            time: times.get(RUNS / 2).copied().unwrap_or_default(),
        })
    });
    asked.collect()
}
