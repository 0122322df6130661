//! Running other programs: output to a log, a sign of life in between, the end of the log on failure.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What a command of this crate answers: a message says what to do.
pub(crate) type Result<T> = std::result::Result<T, String>;

const POLL: Duration = Duration::from_millis(50);
const SIGN_OF_LIFE: Duration = Duration::from_mins(1);
const LINES_ON_FAILURE: usize = 80;

/// Where the workspace is, and how much to say.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// The folder of the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Build output of everything, also of the tools and of the fuzz targets.
    pub(crate) target: PathBuf,
    /// Also prints what the programs print.
    pub(crate) verbose: bool,
    /// Tests run with coverage counters, because the coverage step reads them.
    pub(crate) coverage: bool,
}

impl Context {
    /// The workspace that this program was compiled in.
    pub(crate) fn new() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .ok_or("xtask has no parent folder")?
            .to_path_buf();
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| root.join("target"), |dir| root.join(dir));
        Ok(Self {
            root,
            target,
            verbose: false,
            coverage: false,
        })
    }

    /// `cargo` with `args`, started in the root.
    pub(crate) fn cargo<const N: usize>(&self, args: [&str; N]) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(args).current_dir(&self.root);
        // Set by `cargo run` for this program; they would make every member look changed.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                command.env_remove(name);
            }
        }
        command
    }

    /// Runs `command` to its end and returns all that it printed.
    pub(crate) fn run(&self, name: &str, command: &mut Command) -> Result<String> {
        let (status, text) = self.run_any(name, command)?;
        if status.success() {
            return Ok(text);
        }
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(LINES_ON_FAILURE);
        let mut message = format!("`{}` failed ({status})", shown(command));
        for line in lines.iter().skip(from) {
            let _ = write!(message, "\n  | {line}");
        }
        if from > 0 {
            let _ = write!(
                message,
                "\n  the whole log: {}",
                self.log_path(name).display()
            );
        }
        Err(message)
    }

    /// As [`Context::run`], but a failure of the program is for the caller to judge.
    pub(crate) fn run_any(
        &self,
        name: &str,
        command: &mut Command,
    ) -> Result<(ExitStatus, String)> {
        let path = self.log_path(name);
        let broken = |e: std::io::Error| format!("{}: {e}", path.display());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(broken)?;
        }
        let log = File::create(&path).map_err(broken)?;
        let error_log = log.try_clone().map_err(broken)?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(error_log)
            .spawn()
            .map_err(|e| format!("`{}` does not start: {e}", shown(command)))?;
        let begin = Instant::now();
        let mut next_sign = SIGN_OF_LIFE;
        let mut echoed = 0;
        let status = loop {
            let done = child.try_wait().map_err(|e| format!("{name}: {e}"))?;
            if self.verbose {
                echoed = echo(&path, echoed);
            }
            if let Some(status) = done {
                break status;
            }
            if begin.elapsed() >= next_sign && !self.verbose {
                next_sign += SIGN_OF_LIFE;
                let text = fs::read(&path).unwrap_or_default();
                let text = String::from_utf8_lossy(&text);
                let last = text.lines().last().unwrap_or("nothing printed yet").trim();
                eprintln!("       {name}: {} so far: {last}", seconds(begin.elapsed()));
            }
            sleep(POLL);
        };
        let text = fs::read(&path).map_err(broken)?;
        Ok((status, String::from_utf8_lossy(&text).into_owned()))
    }

    fn log_path(&self, name: &str) -> PathBuf {
        self.target.join("xtask/logs").join(format!("{name}.log"))
    }

    /// A folder under the build output, made when it is missing.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.target.join(name);
        fs::create_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(path)
    }
}

fn echo(path: &Path, from: u64) -> u64 {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::Start(from))?;
        file.read_to_end(&mut bytes)
    });
    match read {
        Ok(count) => {
            // A terminal that went away is no reason to stop the run.
            let _ = std::io::stdout().write_all(&bytes);
            from + count as u64
        }
        Err(_) => from,
    }
}

fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

/// `12.3 s`, `4 min 05 s`.
pub(crate) fn seconds(time: Duration) -> String {
    if time < Duration::from_mins(1) {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {:02} s", time.as_secs() / 60, time.as_secs() % 60)
    }
}

/// Every file below `folder` whose name ends with `.extension`, sorted, paths relative to `root`.
///
/// Build output, virtual environments and hidden folders are left out.
pub(crate) fn files(root: &Path, folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![root.join(folder)];
    while let Some(folder) = pending.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if path.is_dir() {
                if !name.starts_with('.') && name != "target" && name != "__pycache__" {
                    pending.push(path);
                }
            } else if path.extension().is_some_and(|found| found == extension)
                && let Ok(relative) = path.strip_prefix(root)
            {
                found.push(relative.to_path_buf());
            }
        }
    }
    found.sort();
    found
}

/// Removes the colour codes that some programs print even into a file.
pub(crate) fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c == '\u{1b}' {
            rest.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(seconds(Duration::from_millis(1_230)), "1.2 s");
        assert_eq!(seconds(Duration::from_secs(245)), "4 min 05 s");
    }

    #[test]
    fn colours_go() {
        assert_eq!(without_colours("\u{1b}[32;1mok\u{1b}[0m done"), "ok done");
    }

    #[test]
    fn a_failing_program_is_reported_with_the_end_of_its_output() {
        let context = Context::new().unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo before; exit 3"]);
        let message = context.run("unit-test-failing", &mut shell).unwrap_err();
        assert!(
            message.contains("before") && message.contains('3'),
            "{message}"
        );
    }
}
