//! The tests of vector collections under concurrency, with `ThreadSanitizer`.

use crate::fuzz::host;
use crate::run::{Context, Result};

/// The standard library comes compiled without the sanitizer, which the compiler allows when it is told to. What its
/// own locks and fences order looks like a race then, and is left out by `qa/tsan.supp`; the workspace's locks are of
/// `parking_lot`, which is compiled here.
const FLAGS: &str = "-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer";

/// Runs them; false when one fails or a race is reported.
pub(crate) fn run(context: &Context) -> Result<bool> {
    let host = host(context)?;
    let folder = context.folder("tsan")?;
    let mut cargo = context.cargo(["test", "--package", "tandemdb-vectordb"]);
    cargo.args(["--test", "concurrency", "--target", &host]);
    cargo.arg("--target-dir").arg(&folder);
    // Unstable flags, as for the fuzz targets.
    cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", FLAGS);
    let suppressions = context.root.join("qa/tsan.supp");
    let options = format!("suppressions={}", suppressions.display());
    cargo.env("TSAN_OPTIONS", options);
    let (status, text) = context.run_any("tsan", &mut cargo)?;
    let races = text.matches("WARNING: ThreadSanitizer").count();
    let tests = text.lines().find(|line| line.starts_with("test result"));
    println!("{}; {races} reports", tests.unwrap_or("no test ran"));
    Ok(status.success() && races == 0 && tests.is_some())
}
