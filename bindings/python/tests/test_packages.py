"""What holds for all four packages."""

import subprocess
import sys


def test_importing_is_silent_and_starts_nothing() -> None:
    """No output, no thread, no warning, and the state of `random` stays."""
    program = """
import random, threading
random.seed(7); before = random.getstate()
import common, syncdb, tandemdb, vectordb
assert random.getstate() == before
assert threading.active_count() == 1
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
