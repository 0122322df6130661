"""The examples of the guide do what it says."""

import doctest
from pathlib import Path

GUIDE = Path(__file__).parents[3] / "docs" / "python.md"


def test_every_example_of_the_guide_holds() -> None:
    """As a reader would type them."""
    result = doctest.testfile(str(GUIDE), module_relative=False)
    assert result.attempted > 30
    assert result.failed == 0
