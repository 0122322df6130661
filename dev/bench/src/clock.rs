//! [`Stopwatch`]: how long a step took, on the wall and on the processor.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Time taken by a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Elapsed {
    /// As a clock on the wall shows it.
    pub wall: Duration,
    /// Time that the calling thread spent on a processor.
    ///
    /// Steps of one thread that wait for nothing are compared by this: it leaves out the turns that the
    /// machine gave to other processes, and nothing else.
    pub processor: Duration,
}

/// Measures a step of the calling thread; starting and reading it costs about a microsecond.
#[derive(Debug)]
pub struct Stopwatch {
    wall: Instant,
    processor: Duration,
}

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        Self {
            wall: Instant::now(),
            processor: thread_time(),
        }
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Elapsed {
        Elapsed {
            processor: thread_time().saturating_sub(self.processor),
            wall: self.wall.elapsed(),
        }
    }
}

/// Nanoseconds of one call on the wall, from as many calls as take `seconds`. `work` makes as many calls as it is told.
///
/// # Errors
/// What `work` fails with.
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53 calls")]
pub fn per_call(
    seconds: f64,
    mut work: impl FnMut(usize) -> crate::Result<()>,
) -> crate::Result<f64> {
    let (mut calls, mut batch) = (0, 1);
    let start = Instant::now();
    loop {
        work(batch)?;
        calls += batch;
        let taken = start.elapsed().as_secs_f64();
        if taken >= seconds {
            return Ok(taken * 1e9 / calls as f64);
        }
        batch = calls;
    }
}

/// Processor time of the calling thread since it began.
pub fn thread_time() -> Duration {
    since_start(ClockId::ThreadCPUTime)
}

/// Processor time of all threads of this process since it began.
pub fn process_time() -> Duration {
    since_start(ClockId::ProcessCPUTime)
}

fn since_start(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    // A processor-time clock starts at zero and never shows a negative time.
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeping_is_not_processor_time() {
        let stopwatch = Stopwatch::start();
        std::thread::sleep(Duration::from_millis(20));
        let elapsed = stopwatch.elapsed();
        assert!(elapsed.wall >= Duration::from_millis(20));
        assert!(elapsed.processor < elapsed.wall);
    }
}
