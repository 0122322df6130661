//! What the command line says.

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use crate::Result;

pub(crate) const HELP: &str = "\
Durable single-row upserts over the network, against PostgreSQL and Redis, and what idle clients take.

Usage: cargo xtask bench serve [OPTIONS] [SUBJECT...]

  --seconds N    time for the writes of each subject (5)
  --clients N    clients that write, each over a connection of its own (64)
  --rounds N     turns of each subject (5)
  --idle N       WebSocket clients that are idle; 0 leaves these cases out (10000)
  --again N      of these, how many come back at once after a cut (1000)
  --folder F     where the files are, on the disk that is measured (a folder in the system's place for such)
  --tandem F     the program `tandem` (beside this one, or on the path)
  --postgres F   the folder of PostgreSQL's programs (the highest version below /usr/lib/postgresql)
  --redis F      the program `redis-server` (on the path)
  --json         JSON lines on standard output, the tables on standard error
  --markdown     the tables as Markdown on standard output

A SUBJECT is part of a name: tandemdb, HTTP/2, WebSocket, PostgreSQL, Redis. Debian has both rivals as packages
(`apt-get install postgresql redis-server`). Idle clients take a file descriptor each (`ulimit -n`).";

pub(crate) struct Options {
    seconds: f64,
    pub(crate) clients: u64,
    pub(crate) rounds: u64,
    pub(crate) idle: u64,
    pub(crate) again: u64,
    folder: Option<PathBuf>,
    pub(crate) tandem: PathBuf,
    pub(crate) postgres: Option<PathBuf>,
    pub(crate) redis: PathBuf,
    pub(crate) json: bool,
    pub(crate) markdown: bool,
    subjects: Vec<String>,
}

impl Options {
    /// The options; `None` where help is asked for.
    pub(crate) fn read() -> Result<Option<Self>> {
        let mut options = Self {
            seconds: 5.0,
            clients: 64,
            rounds: 5,
            idle: 10_000,
            again: 1_000,
            folder: None,
            tandem: "tandem".into(),
            postgres: None,
            redis: "redis-server".into(),
            json: false,
            markdown: false,
            subjects: Vec::new(),
        };
        // The first is the name of the benchmark.
        let mut args = std::env::args().skip(1).filter(|arg| arg != "serve");
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(format!("{arg} has no value\n\n{HELP}"));
            match arg.as_str() {
                "--help" | "-h" => return Ok(None),
                "--seconds" => options.seconds = value()?.parse()?,
                "--clients" => options.clients = value()?.parse()?,
                "--rounds" => options.rounds = value()?.parse()?,
                "--idle" => options.idle = value()?.parse()?,
                "--again" => options.again = value()?.parse()?,
                "--folder" => options.folder = Some(value()?.into()),
                "--tandem" => options.tandem = value()?.into(),
                "--postgres" => options.postgres = Some(value()?.into()),
                "--redis" => options.redis = value()?.into(),
                "--json" => options.json = true,
                "--markdown" => options.markdown = true,
                other if other.starts_with('-') => {
                    return Err(format!("there is no option {other}\n\n{HELP}").into());
                }
                _ => options.subjects.push(arg),
            }
        }
        if options.clients == 0 || options.rounds == 0 || options.again > options.idle.max(1_000) {
            return Err(format!("that leaves nothing to measure\n\n{HELP}").into());
        }
        Ok(Some(options))
    }

    pub(crate) fn wants(&self, name: &str) -> bool {
        let mut subjects = self.subjects.iter();
        self.subjects.is_empty() || subjects.any(|wanted| name.contains(wanted.as_str()))
    }

    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    pub(crate) fn warm_up(&self) -> Duration {
        self.time() / 5
    }

    /// A folder of its own, on the disk that is measured.
    pub(crate) fn place(&self) -> Result<TempDir> {
        Ok(match &self.folder {
            Some(folder) => tempfile::tempdir_in(folder)?,
            None => tempfile::tempdir()?,
        })
    }
}
