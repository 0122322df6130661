"""`vectordb.plots` draws what it measured."""

from pathlib import Path

import numpy as np
import pytest
from vectordb.plots import recall_curve
from vectordb.search import GraphIndex


def test_a_recall_curve_has_a_point_for_each_effort(tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    rows = np.random.default_rng(2).normal(size=(2500, 8))
    axes = recall_curve(GraphIndex(rows), rows[:40], 5, efforts=(5, 300))
    (spent, low), (_, high) = axes.lines[-1].get_xydata()
    assert spent > 0
    assert 0 < low <= high <= 1
    axes.figure.savefig(tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 1000
