//! [`Arguments`]: what the command line asks for.

use bench::Result;

pub(crate) const HELP: &str = "\
Measures how TandemDB and others bring rows to a client and keep them up to date, with answers checked.

Usage: cargo xtask bench sync [OPTIONS]

  --mb N[,N]       sizes of the data as JSON, in MB (default 1,10,100)
  --rounds N       turns of each subject (default 5 up to 10 MB; 1 beyond)
  --subject NAME   only subjects whose name begins so; may be given several times
  --patience S     a subject that took longer than this for one size is left out of the next (default 20)
  --with-node      also PouchDB and RxDB, which npm installs
  --json           JSON lines on standard output, the table on standard error
";

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) megabytes: Vec<usize>,
    pub(crate) rounds: Option<usize>,
    pub(crate) subjects: Vec<String>,
    pub(crate) patience: u64,
    pub(crate) with_node: bool,
    pub(crate) json: bool,
    pub(crate) help: bool,
}

impl Arguments {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut parsed = Self {
            megabytes: vec![1, 10, 100],
            rounds: None,
            subjects: Vec::new(),
            patience: 20,
            with_node: false,
            json: false,
            help: false,
        };
        match arguments.next().as_deref() {
            Some("sync") => {}
            None | Some("--help") => parsed.help = true,
            Some(other) => {
                return Err(format!("there is no benchmark `{other}`; there is `sync`").into());
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
                "--with-node" => parsed.with_node = true,
                "--mb" => {
                    let sizes = value()?;
                    let sizes = sizes.split(',').map(|size| positive(size, "--mb"));
                    parsed.megabytes = sizes.collect::<Result<_>>()?;
                }
                "--rounds" => parsed.rounds = Some(positive(&value()?, "--rounds")?),
                "--patience" => parsed.patience = positive(&value()?, "--patience")? as u64,
                "--subject" => parsed.subjects.push(value()?),
                other => return Err(format!("unknown option `{other}`\n\n{HELP}").into()),
            }
        }
        Ok(parsed)
    }

    pub(crate) fn wants(&self, subject: &str) -> bool {
        self.subjects.is_empty() || self.subjects.iter().any(|name| subject.starts_with(name))
    }
}

fn positive(text: &str, option: &str) -> Result<usize> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("`{option}` takes whole numbers from 1 on, not `{text}`").into()),
    }
}
