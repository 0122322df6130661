//! [`Machine`]: where figures were taken.

use std::fmt;
use std::fs;
use std::process::Command;

/// The machine and the compiler behind a set of figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Model of the processor.
    pub processor: String,
    /// Processors that this process may use.
    pub cores: usize,
    /// Memory in GiB, rounded.
    pub memory_gib: u64,
    /// Name and release of the operating system's kernel.
    pub kernel: String,
    /// The compiler that `rustc --version` names.
    pub compiler: String,
    /// Short id of the source's commit, when the run happens in a checkout.
    pub commit: String,
}

impl Machine {
    /// Describes this machine; what cannot be found out reads `unknown`.
    pub fn here() -> Self {
        Self {
            processor: field("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: memory_gib(),
            kernel: format!(
                "{} {}",
                first_line("/proc/sys/kernel/ostype"),
                first_line("/proc/sys/kernel/osrelease")
            ),
            compiler: output("rustc", &["--version"]),
            commit: output("git", &["rev-parse", "--short=10", "HEAD"]),
        }
    }

    /// Name and value of each fact.
    pub fn facts(&self) -> [(&'static str, String); 6] {
        [
            ("processor", self.processor.clone()),
            ("cores", self.cores.to_string()),
            ("memory_gib", self.memory_gib.to_string()),
            ("kernel", self.kernel.clone()),
            ("compiler", self.compiler.clone()),
            ("commit", self.commit.clone()),
        ]
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, {} cores, {} GiB, {}, {}, commit {}",
            self.processor, self.cores, self.memory_gib, self.kernel, self.compiler, self.commit
        )
    }
}

fn first_line(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    known(text.lines().next().unwrap_or_default())
}

/// The value after `name :` in a file of such lines.
fn field(path: &str, name: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let value = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find_map(|(key, value)| (key.trim() == name).then_some(value.trim()));
    known(value.unwrap_or_default())
}

fn memory_gib() -> u64 {
    const KIB_IN_GIB: u64 = 1 << 20;
    let total = field("/proc/meminfo", "MemTotal");
    let kib: u64 = total
        .split_whitespace()
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or_default();
    (kib + KIB_IN_GIB / 2) / KIB_IN_GIB
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    known(String::from_utf8_lossy(&text).trim())
}

fn known(text: &str) -> String {
    if text.is_empty() { "unknown" } else { text }.to_owned()
}
