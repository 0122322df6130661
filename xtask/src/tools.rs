//! Tools that the steps need: found, or installed with a word about it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{Context, Result};

// Released builds newer than this read the same options.
const NEXTEST_VERSION: &str = "0.9.143";

/// `cargo nextest`, from the machine or from target/tools.
pub(crate) fn nextest(context: &Context) -> Result<Command> {
    if answers(context.cargo(["nextest", "--version"])) {
        return Ok(context.cargo(["nextest"]));
    }
    let tools = context.folder("tools")?;
    let program = tools.join("bin/cargo-nextest");
    if !program.exists() {
        println!(
            "       installing cargo-nextest {NEXTEST_VERSION} into {}: this takes minutes",
            tools.display()
        );
        let mut install = context.cargo([
            "install",
            "--locked",
            "cargo-nextest",
            "--version",
            NEXTEST_VERSION,
        ]);
        // Built for this one program: target/ holds the workspace's build.
        install
            .arg("--root")
            .arg(&tools)
            .env("CARGO_TARGET_DIR", tools.join("build"));
        context.run("install-nextest", &mut install)?;
    }
    let mut command = Command::new(program);
    command.arg("nextest").current_dir(&context.root);
    Ok(command)
}

/// The folder of `llvm-profdata` and `llvm-cov` that read what this rustc writes.
pub(crate) fn llvm(context: &Context) -> Result<PathBuf> {
    let version = context.run(
        "rustc-version",
        Command::new("rustc").arg("-vV").current_dir(&context.root),
    )?;
    let field = |name: &str| {
        version
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
            .ok_or_else(|| format!("`rustc -vV` names no `{name}`"))
    };
    let host = field("host:")?;
    let release = field("LLVM version:")?;
    let major = release.split('.').next().unwrap_or(release);

    let sysroot = context.run(
        "rustc-sysroot",
        Command::new("rustc")
            .args(["--print", "sysroot"])
            .current_dir(&context.root),
    )?;
    let beside_rustc = PathBuf::from(sysroot.trim())
        .join("lib/rustlib")
        .join(host)
        .join("bin");
    let of_system = PathBuf::from(format!("/usr/lib/llvm-{major}/bin"));
    let found = || {
        [&beside_rustc, &of_system]
            .into_iter()
            .find(|folder| {
                folder.join("llvm-profdata").exists() && folder.join("llvm-cov").exists()
            })
            .cloned()
    };
    if let Some(folder) = found() {
        return Ok(folder);
    }
    apt(context, &format!("llvm-{major}"))?;
    found().ok_or_else(|| {
        format!(
            "coverage needs llvm-cov and llvm-profdata of LLVM {major}: \
             `rustup component add llvm-tools`, or the package llvm-{major} of your system"
        )
    })
}

/// Installs a package of a Debian system.
fn apt(context: &Context, package: &str) -> Result<()> {
    println!("       installing the package {package} by apt-get");
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    context.run("apt-update", &mut apt_get(&["update", "-q"]))?;
    let mut install = apt_get(&["install", "-qy", "--no-install-recommends", package]);
    context.run("apt-install", &mut install)?;
    Ok(())
}

/// Makes sure that the fuzz targets can be linked with libFuzzer, which is C++.
pub(crate) fn cxx(context: &Context) -> Result<()> {
    let has = |program: &str| {
        answers({
            let mut c = Command::new(program);
            c.arg("--version");
            c
        })
    };
    if std::env::var_os("CXX").is_some() || has("c++") || has("clang++") {
        return Ok(());
    }
    apt(context, "g++")
}

/// Links programs for 64-bit ARM.
pub(crate) const ARM64_LINKER: &str = "aarch64-linux-gnu-gcc";
/// Where Debian has the libraries that such programs are linked with.
const ARM64_LIBRARIES: &str = "/usr/aarch64-linux-gnu";

/// The command, with its options, that runs programs for 64-bit ARM; the linker and rustc's libraries for `target`
/// are there as well.
pub(crate) fn arm64(context: &Context, target: &str) -> Result<String> {
    let has = |program: &str| {
        let mut command = Command::new(program);
        command.arg("--version");
        answers(command)
    };
    let emulators = ["qemu-aarch64", "qemu-aarch64-static"];
    let emulator = || emulators.into_iter().find(|program| has(program));
    if emulator().is_none() {
        apt(context, "qemu-user")?;
    }
    if !has(ARM64_LINKER) {
        apt(context, "gcc-aarch64-linux-gnu")?;
    }
    // The compiler brings the library itself along, and not what programs in C are compiled with.
    if !Path::new(ARM64_LIBRARIES).join("include/stdio.h").exists() {
        apt(context, "libc6-dev-arm64-cross")?;
    }
    let mut command = Command::new("rustc");
    command.args(["--print", "target-libdir", "--target", target]);
    let libraries = context.run("rustc-libdir", command.current_dir(&context.root))?;
    if !Path::new(libraries.trim()).exists() {
        println!("       installing Rust's libraries for {target} by rustup");
        let mut command = Command::new("rustup");
        command.args(["target", "add", target]);
        context.run("rustup-target", command.current_dir(&context.root))?;
    }
    let program = emulator()
        .ok_or("there is no qemu-aarch64: install the package qemu-user of your system")?;
    Ok(format!("{program} -L {ARM64_LIBRARIES}"))
}

fn answers(mut command: Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}
