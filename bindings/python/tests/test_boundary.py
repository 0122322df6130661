"""No call ends the process or panics, whatever it is given, and none keeps references."""

import subprocess
import sys
from pathlib import Path

import pytest

FUZZER = Path(__file__).parent / "fuzz_boundary.py"


def run(*options: str) -> None:
    done = subprocess.run(
        [sys.executable, str(FUZZER), *options], capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]


@pytest.mark.parametrize("seed", range(2))
def test_any_arguments_give_a_result_or_an_exception(seed: int, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    try:
        run("--seed", str(seed), "--calls", "2000", "--journal", str(journal))
    except AssertionError as error:
        raise AssertionError(f"{journal.read_text().strip()}\n{error}") from None


def test_calls_keep_no_references() -> None:
    run("--leaks", "60000")
