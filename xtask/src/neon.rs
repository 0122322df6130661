//! Kernels for 64-bit ARM, on a machine that is none: compiled for it and tested by an emulator.

use crate::run::{Context, Result};
use crate::rust::{last_lines, libtest_counts};
use crate::steps::Report;
use crate::tools;

const TARGET: &str = "aarch64-unknown-linux-gnu";
/// Where the modules with kernels are.
const KERNELS: [&str; 3] = [
    "core::distance",
    "indexing::quantize",
    "indexing::clustered::panels",
];

pub(crate) fn step(context: &Context) -> Result<Report> {
    if cfg!(target_arch = "aarch64") {
        return Ok(Report::holds(
            "this machine has NEON: the step `tests` ran its kernels",
        ));
    }
    let emulator = tools::arm64(context, TARGET)?;
    let mut command = context.cargo([
        "test",
        "--package",
        "tandemdb-vectordb",
        "--lib",
        "--target",
    ]);
    command.arg(TARGET).arg("--").args(KERNELS);
    let variable = |name: &str| format!("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_{name}");
    command
        .env(variable("LINKER"), tools::ARM64_LINKER)
        .env(variable("RUNNER"), emulator);
    let (status, text) = context.run_any("neon", &mut command)?;
    let counts = libtest_counts(&text);
    let failure = if !status.success() {
        Some(last_lines(&text))
    } else if counts.passed == 0 {
        Some(format!("no test is named {}", KERNELS.join(" or ")))
    } else {
        None
    };
    Ok(Report {
        counts,
        note: "emulated".to_owned(),
        failure,
    })
}
