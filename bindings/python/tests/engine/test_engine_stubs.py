"""The stubs of `syncdb.engine` say what the native module has: names, signatures, defaults."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = Path(__file__).parents[2] / "python"


def test_stubs_and_the_native_module_agree(tmp_path: Path) -> None:
    """By mypy's own comparison."""
    pytest.importorskip("mypy")
    allowed = tmp_path / "allowed"
    allowed.write_text("tandemdb._native.engine.__all__\n", encoding="ascii")
    command = [
        sys.executable,
        "-m",
        "mypy.stubtest",
        "--concise",
        "--ignore-disjoint-bases",
        "--allowlist",
        str(allowed),
    ]
    done = subprocess.run(
        [*command, "tandemdb._native.engine"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(PACKAGES)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
