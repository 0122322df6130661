"""What holds for all tests."""

import signal


def pytest_configure() -> None:
    """Take signals as a terminal's programs do: in the background of a shell, Ctrl-C is ignored, and tests of it would wait."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
