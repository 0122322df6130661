"""What holds for all tests."""

import signal


def pytest_configure() -> None:
    """Take Ctrl-C as in a terminal: a program in the background of a shell ignores it, and tests of it would wait."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
