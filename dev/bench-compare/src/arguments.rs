//! [`Arguments`]: what the command line asks for.

use bench::Result;
use bench::store::{CASES, Plan};

pub(crate) const HELP: &str = "\
Measures TandemDB beside other stores, with answers checked.

Usage: tandemdb-bench-compare core [OPTIONS]

  --rows N[,N]        sizes of the table (default 100000,1000000)
  --rounds N          turns of each subject in each case (default 5)
  --only CASE[,CASE]  only these cases
  --subject NAME      only this subject; may be given several times
  --json              JSON lines on standard output, the table on standard error
  --markdown          the tables of docs/benchmarks.md on standard output
";

/// What the command line asks for.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    pub(crate) plan: Plan,
    pub(crate) json: bool,
    pub(crate) markdown: bool,
    pub(crate) help: bool,
}

impl Arguments {
    pub(crate) fn parse(
        mut arguments: impl Iterator<Item = String>,
        subjects: &[&str],
    ) -> Result<Self> {
        let mut parsed = Self::default();
        match arguments.next().as_deref() {
            Some("core") => {}
            None | Some("--help") => parsed.help = true,
            Some(other) => {
                return Err(format!("there is no benchmark `{other}`; there is `core`").into());
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
