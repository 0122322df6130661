//! The Python steps, in a virtual environment under target/.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{Context, Result, files, without_colours};
use crate::rust::{count_before, last_lines};
use crate::steps::{Counts, Report};

/// Pinned tools and libraries; the one place that names them.
const REQUIREMENTS: &str = "tests/python/requirements.txt";

/// The folder of the Python packages.
const PACKAGES: &str = "bindings/python";

/// What their tests need.
const PACKAGES_REQUIREMENTS: &str = "bindings/python/requirements-test.txt";

/// Parses files as the oldest Python that the packages run on does.
const OLDEST_SYNTAX: &str = "import ast, sys
for name in sys.argv[1:]:
    with open(name, encoding='utf-8') as file:
        ast.parse(file.read(), name, feature_version=(3, 9))
if not sys.argv[1:]:
    sys.exit('no files of the packages')";

pub(crate) fn lint(context: &Context) -> Result<Report> {
    let sources = files(&context.root, ".", "py");
    if sources.is_empty() {
        return Ok(Report {
            note: "no Python files".to_owned(),
            ..Report::default()
        });
    }
    let python = environment(context)?;
    let module = |name: &str| {
        let mut command = Command::new(&python);
        command.args(["-m", name]).current_dir(&context.root);
        command
    };
    context.run(
        "ruff-check",
        module("ruff").args(["check", "--no-cache"]).args(&sources),
    )?;
    context.run(
        "ruff-format",
        module("ruff")
            .args(["format", "--check", "--no-cache"])
            .args(&sources),
    )?;
    // A newer interpreter takes what the oldest one does not.
    let packages = sources.iter().filter(|source| source.starts_with(PACKAGES));
    let mut oldest = Command::new(&python);
    oldest
        .args(["-c", OLDEST_SYNTAX])
        .current_dir(&context.root);
    context.run("python-3.9-syntax", oldest.args(packages))?;
    let cache = context.folder("xtask/mypy")?;
    context.run(
        "mypy",
        module("mypy").arg("--cache-dir").arg(cache).args(&sources),
    )?;
    Ok(Report {
        counts: Counts {
            passed: 4,
            failed: 0,
        },
        note: format!("{} files", sources.len()),
        failure: None,
    })
}

/// Independent readers of our formats.
pub(crate) fn formats(context: &Context) -> Result<Report> {
    pytest(context, &environment(context)?, "tests/python")
}

/// The Python packages, from the wheel that users would install.
pub(crate) fn packages(context: &Context) -> Result<Report> {
    let python = with_wheel(context, "dev")?;
    pytest(context, &python, "bindings/python/tests")
}

/// The interpreter of the virtual environment that has the packages, built with `profile` from what is here.
pub(crate) fn with_wheel(context: &Context, profile: &str) -> Result<PathBuf> {
    let folder = context.folder("python")?;
    let python = environment_of(context, PACKAGES_REQUIREMENTS, &folder.join("venv"))?;
    let wheels = folder.join("wheels");
    // Only the wheel of this build may be there afterwards.
    if wheels.exists() {
        fs::remove_dir_all(&wheels).map_err(|e| format!("{}: {e}", wheels.display()))?;
    }
    let mut build = Command::new(&python);
    build.args(["-m", "maturin", "build", "--quiet", "--profile", profile]);
    build.arg("--out").arg(&wheels);
    build.env("CARGO_TARGET_DIR", &context.target);
    context.run("maturin", build.current_dir(context.root.join(PACKAGES)))?;
    let wheel = fs::read_dir(&wheels)
        .ok()
        .and_then(|mut entries| entries.next()?.ok())
        .ok_or_else(|| format!("maturin left no wheel in {}", wheels.display()))?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "-q", "--disable-pip-version-check"]);
    install.args(["--force-reinstall", "--no-deps"]);
    context.run("pip", install.arg(wheel.path()))?;
    Ok(python)
}

fn pytest(context: &Context, python: &Path, folder: &str) -> Result<Report> {
    let mut pytest = Command::new(python);
    pytest.args(["-m", "pytest", "-q", "-p", "no:cacheprovider", folder]);
    pytest
        .current_dir(&context.root)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let (status, text) = context.run_any("pytest", &mut pytest)?;
    let text = without_colours(&text);
    let summary = text.lines().last().unwrap_or_default();
    let counts = Counts {
        passed: count_before(summary, "passed"),
        failed: count_before(summary, "failed") + count_before(summary, "error"),
    };
    if counts == Counts::default() {
        return Err(format!(
            "pytest ran no test ({status}):\n{}",
            last_lines(&text)
        ));
    }
    let failure = (!status.success()).then(|| last_lines(&text));
    Ok(Report {
        counts,
        note: String::new(),
        failure,
    })
}

fn environment(context: &Context) -> Result<PathBuf> {
    environment_of(context, REQUIREMENTS, &context.target.join("venv"))
}

/// The interpreter of the virtual environment in `folder`, which is made or brought up to date when it must be.
pub(crate) fn environment_of(
    context: &Context,
    requirements: &str,
    folder: &Path,
) -> Result<PathBuf> {
    let python = folder.join("bin/python");
    let wanted = context.root.join(requirements);
    let text = fs::read_to_string(&wanted).map_err(|e| format!("{requirements}: {e}"))?;
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let stamp = folder.join("requirements.stamp");
    let mark = hasher.finish().to_string();
    if python.exists() && fs::read_to_string(&stamp).is_ok_and(|found| found == mark) {
        return Ok(python);
    }
    // Standard output may be a benchmark's, for machines to read.
    eprintln!(
        "       installing {requirements} into {} by pip",
        folder.display()
    );
    if !python.exists() {
        let mut make = Command::new("python3");
        make.args(["-m", "venv"]).arg(folder);
        context.run("venv", &mut make)?;
    }
    let mut install = Command::new(&python);
    install
        .args([
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
            "-r",
        ])
        .arg(&wanted);
    context.run("pip", &mut install)?;
    write(&stamp, &mark)?;
    Ok(python)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}
