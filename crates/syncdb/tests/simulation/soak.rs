//! Many seeds one after the other, or one again with its trace.

use std::env;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};

use super::plan::{Plan, Size};
use super::shrink::shrink;
use super::{Failure, Outcome, run_caught};

/// Lines of the trace that are printed for a failing seed.
const TRACE_LINES: usize = 120;
/// One seed in so many is run twice, ...
const TWICE: u64 = 100;
/// ... and one in so many is a large one without faults.
const LARGE: u64 = 100;

/// Runs seeds, and stops at the first that fails.
pub(crate) fn hold(seeds: impl IntoIterator<Item = u64>) {
    for seed in seeds {
        let plan = Plan::new(seed, Size::Usual);
        if let Err(failure) = run_caught(&plan, 0).result {
            panic!("{}", explain(&plan, &failure));
        }
    }
}

/// What a person needs to know of a failing seed.
fn explain(plan: &Plan, failure: &Failure) -> String {
    let small = shrink(plan, failure);
    let again = run_caught(&small, TRACE_LINES);
    let mut text = format!("seed {}: {failure}\n", plan.config.seed);
    text += &format!(
        "smallest plan that fails alike: {} of {} steps\n{:?}\n",
        small.steps.len(),
        plan.steps.len(),
        small.config
    );
    for step in &small.steps {
        text += &format!("  {step}\n");
    }
    text += &format!("the last {TRACE_LINES} lines of its trace:\n");
    for line in &again.trace {
        text += &format!("  {line}\n");
    }
    if let Err(failure) = again.result {
        text += &format!("{failure}\n");
    }
    text + &format!(
        "again: cargo xtask soak sync --seed {}; once mended, add the seed to regressions.txt",
        plan.config.seed
    )
}

fn setting(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

fn plan(seed: u64) -> Plan {
    let size = if seed % LARGE == LARGE - 1 {
        Size::Large
    } else {
        Size::Usual
    };
    Plan::new(seed, size)
}

#[derive(Default)]
struct Total {
    seeds: u64,
    events: u64,
    simulated: Duration,
    twice: u64,
    failed: Vec<u64>,
    first: Option<String>,
}

/// The seeds from `TANDEM_SIM_FROM`, as many as `TANDEM_SIM_SEEDS` says, on all cores; or the one of
/// `TANDEM_SIM_SEED`, with its trace.
pub(crate) fn from_environment() {
    if let Some(seed) = setting("TANDEM_SIM_SEED") {
        return replay(seed);
    }
    let from = setting("TANDEM_SIM_FROM").unwrap_or(300);
    let seeds = setting("TANDEM_SIM_SEEDS").unwrap_or(4);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (begin, before) = (Instant::now(), busy());
    let next = AtomicU64::new(from);
    let total = Mutex::new(Total::default());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + seeds {
                        break;
                    }
                    let outcome = one(seed);
                    let mut total = total.lock();
                    count(&mut total, seed, outcome);
                    if total.seeds.is_multiple_of(200) {
                        progress(&total, seeds, begin.elapsed());
                    }
                }
            });
        }
    });
    let mut total = total.into_inner();
    total.failed.sort_unstable();
    progress(&total, seeds, begin.elapsed());
    // For the command that started this.
    println!(
        "SOAK {{\"from\":{from},\"seeds\":{},\"events\":{},\"simulated_seconds\":{},\"core_seconds\":{:.1},\
         \"twice\":{},\"failures\":{:?}}}",
        total.seeds,
        total.events,
        total.simulated.as_secs(),
        busy().saturating_sub(before).as_secs_f64(),
        total.twice,
        total.failed
    );
    if let Some(first) = total.first {
        panic!(
            "{} seeds failed: {:?}\n{first}",
            total.failed.len(),
            total.failed
        );
    }
}

/// Time that this process has spent on processors.
fn busy() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let nanos = u32::try_from(time.tv_nsec).unwrap();
    Duration::new(time.tv_sec.unsigned_abs(), nanos)
}

/// Runs a seed, one in a hundred twice.
fn one(seed: u64) -> Outcome {
    let plan = plan(seed);
    let mut outcome = run_caught(&plan, 0);
    if seed.is_multiple_of(TWICE) {
        let again = run_caught(&plan, 0);
        if again.fingerprint != outcome.fingerprint && outcome.result.is_ok() {
            outcome.result = Err(Failure::new("not repeatable", "two runs differ"));
        }
    }
    outcome
}

fn count(total: &mut Total, seed: u64, outcome: Outcome) {
    total.seeds += 1;
    total.events += outcome.events;
    total.simulated += outcome.simulated;
    total.twice += u64::from(seed.is_multiple_of(TWICE));
    if let Err(failure) = outcome.result {
        println!("seed {seed} fails: {failure}");
        total.failed.push(seed);
        if total.first.is_none() {
            total.first = Some(explain(&plan(seed), &failure));
        }
    }
}

fn progress(total: &Total, seeds: u64, time: Duration) {
    println!(
        "{:>7} of {seeds} seeds, {} failed, {} events, {:.1} simulated days, {:.1} seeds/s",
        total.seeds,
        total.failed.len(),
        total.events,
        total.simulated.as_secs_f64() / 86_400.0,
        f64::from(u32::try_from(total.seeds).unwrap_or(u32::MAX)) / time.as_secs_f64().max(1e-9)
    );
}

/// One seed, with its steps and the end of its trace.
fn replay(seed: u64) {
    let plan = plan(seed);
    println!("{:#?}", plan.config);
    for step in &plan.steps {
        println!("  {step}");
    }
    let outcome = run_caught(&plan, TRACE_LINES * 10);
    for line in &outcome.trace {
        println!("  {line}");
    }
    println!(
        "seed {seed}: {} events, {:?} simulated, fingerprint {:016x}",
        outcome.events, outcome.simulated, outcome.fingerprint
    );
    if let Err(failure) = &outcome.result {
        println!(
            "seed {seed} fails: {failure}\nlooking for a smaller plan that fails alike, which may take minutes"
        );
        panic!("{}", explain(&plan, failure));
    }
}
