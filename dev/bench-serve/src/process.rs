//! A server's process.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::Result;

/// A process that ends with this one.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_owned();
        let child = command.stdin(Stdio::piped()).spawn();
        let child = child.map_err(|error| format!("{} does not start: {error}", name.display()))?;
        Ok(Self(child))
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    pub(crate) fn kill(&mut self) -> Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }

    /// Processor time of the process and of those that it started, as far as these are there still.
    pub(crate) fn processor_time(&self) -> Result<Duration> {
        let id = self.0.id();
        let mut all = Duration::ZERO;
        for entry in std::fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(number) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            // One that has ended meanwhile has none.
            let Ok((parent, time)) = stat(&number.to_string()) else {
                continue;
            };
            if number == id || parent == id {
                all += time;
            }
        }
        Ok(all)
    }

    /// Bytes of memory that it has.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.ok_or("its memory is not told")?.trim();
        Ok(kibibytes.trim_end_matches(" kB").parse::<u64>()? * 1_024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.kill();
    }
}

/// Processor time of this process.
pub(crate) fn own_time() -> Result<Duration> {
    Ok(stat("self")?.1)
}

/// The parent of a process, and its processor time.
fn stat(process: &str) -> Result<(u32, Duration)> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // Its name is in brackets, and may have any byte in it.
    let (_, fields) = stat.rsplit_once(')').ok_or("no line of a process")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let field = |at: usize| fields.get(at).copied().ok_or("no line of a process");
    let ticks = field(11)?.parse::<u64>()? + field(12)?.parse::<u64>()?;
    // A hundred in a second, on every Linux.
    Ok((field(1)?.parse()?, Duration::from_millis(ticks * 10)))
}

/// A port that is free now.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
