"""The examples of the guides do what they say."""

import doctest
from pathlib import Path

import pytest

GUIDES = sorted((Path(__file__).parents[3] / "docs").glob("python*.md"))


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_every_example_of_a_guide_holds(guide: Path) -> None:
    """As a reader would type them."""
    result = doctest.testfile(str(guide), module_relative=False)
    assert result.attempted > 10
    assert result.failed == 0
