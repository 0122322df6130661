"""The stubs say what the native modules have: names, signatures, defaults."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = Path(__file__).parents[1] / "python"
# The native modules are parts of one file, which nothing imports by their own names.
COMPARE = """
import sys
import tandemdb._native as native
from mypy import stubtest
modules = {f"tandemdb._native.{name}": part for name, part in vars(native).items() if isinstance(part, type(sys))}
sys.modules.update(modules)
sys.argv[1:] += sorted(modules)
sys.exit(stubtest.main())
"""
ALLOWED = r"""
tandemdb\._native\.\w+\.__all__
# Types for annotations only.
tandemdb\._native\.collections\.(Filter|Progress)
tandemdb\._native\.durable\.Recovery
tandemdb\._native\.search\.(I|Progress|Vectors)
tandemdb\._native\.common\.T
# Taken by classes in Python with constructors of their own: any arguments go through.
tandemdb\._native\.syncdb\.\w+Methods\.__new__
# There for the interpreter, and refuse: versions have `<` and `>` only.
tandemdb\._native\.vectordb\.Version\.__(le|ge)__
"""


def test_stubs_and_the_native_modules_agree(tmp_path: Path) -> None:
    """By mypy's own comparison."""
    pytest.importorskip("mypy")
    allowed = tmp_path / "allowed"
    allowed.write_text(ALLOWED, encoding="ascii")
    command = [sys.executable, "-c", COMPARE, "--concise", "--ignore-disjoint-bases", "--allowlist", str(allowed)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(PACKAGES)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
