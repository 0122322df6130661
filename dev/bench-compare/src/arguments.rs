//! [`Arguments`]: what the command line asks for.

use bench::Result;
use bench::store::{CASES, Plan};

pub(crate) const HELP: &str = "\
Measures TandemDB beside others, with answers checked.

Usage: tandemdb-bench-compare core|payload|migration [OPTIONS]

core: rows, indexes, transactions and queries. payload: bytes that rows take, and how fast they are packed.
migration: five mixed steps on many rows, and an additive one at every size.

  --megabytes N       payload: size of the rows as JSON (default 10)
  --rows N[,N]        sizes of the table (default 100000,1000000; migration: 10000,500000)
  --rounds N          turns of each subject in each case (default 5)
  --only CASE[,CASE]  only these cases
  --subject NAME      only this subject; may be given several times
  --json              JSON lines on standard output, the table on standard error
  --markdown          the tables of docs/benchmarks.md on standard output
";

/// Which benchmark runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Bench {
    #[default]
    Core,
    Payload,
    Migration,
}

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) bench: Bench,
    pub(crate) json_bytes: usize,
    pub(crate) plan: Plan,
    pub(crate) json: bool,
    pub(crate) markdown: bool,
    pub(crate) help: bool,
}

impl Default for Arguments {
    fn default() -> Self {
        Self {
            bench: Bench::default(),
            json_bytes: 10_000_000,
            plan: Plan::default(),
            json: false,
            markdown: false,
            help: false,
        }
    }
}

impl Arguments {
    pub(crate) fn parse(
        mut arguments: impl Iterator<Item = String>,
        subjects: &[&str],
    ) -> Result<Self> {
        let mut parsed = Self::default();
        match arguments.next().as_deref() {
            Some("core") => {}
            Some("payload") => parsed.bench = Bench::Payload,
            Some("migration") => {
                parsed.bench = Bench::Migration;
                parsed.plan.sizes = vec![10_000, 500_000];
            }
            None | Some("--help") => parsed.help = true,
            Some(other) => {
                return Err(format!(
                    "there is no benchmark `{other}`; there are `core`, `payload` and `migration`"
                )
                .into());
            }
        }
        while let Some(option) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| format!("`{option}` takes a value"))
            };
            match option.as_str() {
                "--json" => parsed.json = true,
                "--markdown" => parsed.markdown = true,
                "--help" => parsed.help = true,
                "--rows" => {
                    parsed.plan.sizes = value()?
                        .split(',')
                        .map(|rows| positive(&rows.replace('_', ""), "--rows", 1_000))
                        .collect::<Result<_>>()?;
                }
                "--megabytes" => {
                    parsed.json_bytes = positive(&value()?, "--megabytes", 1)? * 1_000_000;
                }
                "--rounds" => parsed.plan.rounds = positive(&value()?, "--rounds", 1)?,
                "--only" => {
                    for case in value()?.split(',') {
                        parsed.plan.cases.push(known(case, &CASES, "case")?);
                    }
                }
                "--subject" => {
                    let name = known(&value()?, subjects, "subject")?;
                    parsed.plan.subjects.push(name);
                }
                other => return Err(format!("unknown option `{other}`\n\n{HELP}").into()),
            }
        }
        Ok(parsed)
    }
}

fn positive(text: &str, option: &str, least: usize) -> Result<usize> {
    match text.parse() {
        Ok(number) if number >= least => Ok(number),
        _ => Err(format!("`{option}` takes whole numbers from {least} on, not `{text}`").into()),
    }
}

/// The one name that equals `text`, or begins with it.
fn known(text: &str, names: &[&str], what: &str) -> Result<String> {
    let exact = names.iter().find(|name| **name == text);
    let found = exact.or_else(|| names.iter().find(|name| name.starts_with(text)));
    found.map(ToString::to_string).ok_or_else(|| {
        let names = names.join(", ");
        format!("there is no {what} `{text}`; there are {names}").into()
    })
}
