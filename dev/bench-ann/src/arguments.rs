//! [`Arguments`]: what the command line asks for.

use std::path::PathBuf;

use bench::Result;

pub(crate) const HELP: &str = "\
Measures TandemDB's vector indexes beside other libraries for nearest neighbours, every answer checked against exact search.

Usage: cargo xtask bench ann [OPTIONS]

  --case NAME[,N]  some of mnist-l2, mnist-cosine, million (recall against queries a second on these data), and of
                   filter, churn, exact, latency, build (questions asked of the chosen data, mnist-l2 if none is)
                   (default: all)
  --subject NAME   only subjects whose name begins so; may be given several times
  --rounds N       turns of each subject at each point of a curve (default 3)
  --data FOLDER    where mnist784_base_u8.npy and mnist784_query_u8.npy lie (default ../shared/data from the project's root)
  --quick          10,000 vectors, 200 queries, 1 round, and fewer shares and rounds in filter and churn: to see that it works
  --core N         the processor core that all searches run on (default 0)
  --chart          also draws the curves into docs/
  --list           names the subjects
  --json           JSON lines on standard output, the tables on standard error
";

/// Data that curves are drawn of.
pub(crate) const DATA: [&str; 3] = ["mnist-l2", "mnist-cosine", "million"];
/// Questions asked of data.
pub(crate) const QUESTIONS: [&str; 5] = ["filter", "churn", "exact", "latency", "build"];

/// What the command line asks for.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(crate) struct Arguments {
    pub(crate) cases: Vec<String>,
    pub(crate) subjects: Vec<String>,
    pub(crate) rounds: Option<usize>,
    pub(crate) data: PathBuf,
    pub(crate) quick: bool,
    pub(crate) core: usize,
    pub(crate) chart: bool,
    pub(crate) list: bool,
    pub(crate) json: bool,
    pub(crate) help: bool,
}

impl Arguments {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut parsed = Self {
            cases: Vec::new(),
            subjects: Vec::new(),
            rounds: None,
            data: root().join("../shared/data"),
            quick: false,
            core: 0,
            chart: false,
            list: false,
            json: false,
            help: false,
        };
        match arguments.next().as_deref() {
            Some("ann") => {}
            None | Some("--help") => parsed.help = true,
            Some(other) => {
                return Err(format!("there is no benchmark `{other}`; there is `ann`").into());
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
                "--help" => parsed.help = true,
                "--quick" => parsed.quick = true,
                "--chart" => parsed.chart = true,
                "--list" => parsed.list = true,
                "--data" => parsed.data = value()?.into(),
                "--core" => parsed.core = number(&value()?, "--core")?,
                "--rounds" => parsed.rounds = Some(number(&value()?, "--rounds")?.max(1)),
                "--subject" => parsed.subjects.push(value()?),
                "--case" => {
                    for case in value()?.split(',') {
                        if !DATA.contains(&case) && !QUESTIONS.contains(&case) {
                            return Err(format!("there is no case `{case}`\n\n{HELP}").into());
                        }
                        parsed.cases.push(case.to_owned());
                    }
                }
                other => return Err(format!("unknown option `{other}`\n\n{HELP}").into()),
            }
        }
        if parsed.cases.is_empty() {
            let all = DATA.iter().chain(&QUESTIONS);
            parsed.cases = all.map(|name| (*name).to_owned()).collect();
        }
        Ok(parsed)
    }

    pub(crate) fn wants(&self, subject: &str) -> bool {
        self.subjects.is_empty() || self.subjects.iter().any(|name| subject.starts_with(name))
    }

    pub(crate) fn asks(&self, case: &str) -> bool {
        self.cases.iter().any(|name| name == case)
    }

    /// The data that the chosen cases are about.
    pub(crate) fn data_sets(&self) -> Vec<&'static str> {
        let chosen: Vec<&str> = DATA.into_iter().filter(|name| self.asks(name)).collect();
        if chosen.is_empty() {
            vec!["mnist-l2"]
        } else {
            chosen
        }
    }
}

/// The root of the project.
pub(crate) fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map(Into::into).unwrap_or(here)
}

fn number(text: &str, option: &str) -> Result<usize> {
    text.parse()
        .map_err(|_| format!("`{option}` takes a whole number, not `{text}`").into())
}
