//! Makes a failing plan small: steps are left out as long as it still fails in the same way.

use std::time::{Duration, Instant};

use super::plan::Plan;
use super::{Failure, run_caught};

/// How long shrinking may take. A property of patience, not of the code: a plan that is not small by then is printed
/// as it is.
const TIME_MAX: Duration = Duration::from_secs(30);

/// The smallest plan found that fails as `failure` does.
pub(crate) fn shrink(plan: &Plan, failure: &Failure) -> Plan {
    let mut best = plan.clone();
    let begin = Instant::now();
    let fails = |plan: &Plan| {
        begin.elapsed() < TIME_MAX
            && run_caught(plan, 0)
                .result
                .is_err_and(|found| found.kind == failure.kind)
    };
    let mut size = best.steps.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        let mut smaller = false;
        while at < best.steps.len() {
            let mut fewer = best.clone();
            let end = (at + size).min(fewer.steps.len());
            fewer.steps.drain(at..end);
            if fails(&fewer) {
                best = fewer;
                smaller = true;
            } else {
                at = end;
            }
        }
        // Once more at the same size while it helps: later steps may have held earlier ones.
        if !smaller || size > 1 {
            size /= 2;
        }
    }
    best
}
