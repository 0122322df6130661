"""The engine's experiments and statistics: against SciPy, and what assignment promises."""

from __future__ import annotations

import json
import pickle
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats
from vectordb.experiments import (
    NO_VARIANT,
    Assignment,
    Experiment,
    ExperimentLog,
    analyse,
    check_exclusive,
    plot_report,
)
from vectordb.features import FeatureStore

from vectordb import statistics

UNITS = [f"user-{number}" for number in range(2_000)]
DAY = datetime(2026, 1, 1, tzinfo=timezone.utc)


def test_one_and_many_get_the_same_variant() -> None:
    """By name, as integers, from Arrow; an integer is its digits."""
    plan = Experiment("button", ["grey", "green"], weights=[0.25, 0.75], coverage=0.8).compile()
    many = plan.assign_all(UNITS)
    assert many.dtype == np.uint8
    names = {0: "grey", 1: "green", NO_VARIANT: None}
    assert [plan.assign(unit) for unit in UNITS] == [names[int(number)] for number in many]
    shares = np.bincount(many, minlength=256)[[0, 1, NO_VARIANT]] / len(UNITS)
    assert shares == pytest.approx([0.2, 0.6, 0.2], abs=0.05)
    assert plan.assign_all(np.arange(100)).tolist() == plan.assign_all([str(x) for x in range(100)]).tolist()
    assert plan.assign(7) == plan.assign("7")
    assert plan.assign_all(pl.Series(UNITS)).tolist() == many.tolist()


def test_a_ramp_moves_nobody() -> None:
    """Who has a variant keeps it."""
    narrow = Experiment("button", ["grey", "green"], coverage=0.1)
    before, after = narrow.compile().assign_all(UNITS), narrow.ramp(0.5).compile().assign_all(UNITS)
    assert ((before == NO_VARIANT) | (before == after)).all()
    change = narrow.compile().change_to(narrow.ramp(0.5).compile())
    assert change == pytest.approx({"enters": 0.4, "leaves": 0.0, "moves": 0.0})


def test_layers_holdouts_targets_and_overrides_say_who_is_out() -> None:
    """And why."""
    first = Experiment("a", ["x", "y"], layer=("checkout", 0.0, 0.5), holdouts={"2026": 0.1})
    second = Experiment("b", ["x", "y"], layer=("checkout", 0.5, 1.0))
    check_exclusive([first, second])
    both = (first.compile().assign_all(UNITS) != NO_VARIANT) & (second.compile().assign_all(UNITS) != NO_VARIANT)
    assert not both.any()
    reasons = {first.compile().explain(unit).reason for unit in UNITS}
    assert reasons == {"hash", "layer", "holdout"}
    with pytest.raises(ValueError):
        check_exclusive([first, Experiment("c", ["x", "y"])])
    aimed = Experiment("d", ["x", "y"], target="country == 'PT' and age >= 18", overrides={"tester": "y"})
    plan = aimed.compile({"country": "text", "age": "int"})
    assert plan.assign("user-1", {"country": "PT", "age": 20}) in ("x", "y")
    assert plan.explain("user-1", {"country": "ES", "age": 20}).reason == "target"
    assert plan.explain("user-1", {"country": "PT"}).reason == "target"
    assert plan.assign("tester", {}) == "y"
    table = {"country": ["PT", "ES"], "age": [20, 20]}
    assert (plan.assign_all(["user-1", "user-1"], table) == NO_VARIANT).tolist() == [False, True]
    with pytest.raises(ValueError, match='no attribute "city"'):
        plan.assign("user-1", {"city": "Porto"})
    with pytest.raises(ValueError, match="target"):
        aimed.compile()
    with pytest.raises(ValueError, match=r"sum 0\.9"):
        Experiment("e", ["x", "y"], weights=[0.4, 0.5])
    for copy in (Experiment.from_json(aimed.to_json()), pickle.loads(pickle.dumps(aimed))):
        assert copy == aimed


def filled(log: ExperimentLog, effect: float) -> Experiment:
    experiment = Experiment("button", ["grey", "green"])
    variants = log.expose_all(experiment.compile(), UNITS, DAY)
    random = np.random.default_rng(5)
    before = random.normal(10.0, 3.0, len(UNITS))
    after = before + random.normal(0.0, 1.0, len(UNITS)) + effect * (variants == 1)
    for when, values in ((DAY - timedelta(days=1), before), (DAY + timedelta(days=1), after)):
        events = [f"{unit}@{when:%d}" for unit in UNITS]
        log.record_all(
            {
                "event": events,
                "unit": UNITS,
                "metric": ["revenue"] * len(UNITS),
                "value": values,
                "at": [when] * len(UNITS),
            }
        )
    return experiment


def test_an_analysis_finds_what_scipy_finds() -> None:
    """And more with CUPED; as dict, JSON, Markdown and SVG."""
    log = ExperimentLog()
    experiment = filled(log, 0.5)
    report = analyse(log, experiment, ["revenue", {"cuped": "revenue"}, {"proportion": "orders"}])
    exposures = log.exposures("button")
    assert sum(report.counts.values()) == len(exposures) == len(UNITS)
    assert not report.sample_ratio["is_mismatch"]
    mean, cuped, share = (metric["variants"][0] for metric in report.metrics)
    variants = experiment.compile().assign_all(UNITS)
    random = np.random.default_rng(5)
    before = random.normal(10.0, 3.0, len(UNITS))
    after = before + random.normal(0.0, 1.0, len(UNITS)) + 0.5 * (variants == 1)
    welch = stats.ttest_ind(after[variants == 1], after[variants == 0], equal_var=False)
    assert mean["comparison"]["p_value"] == pytest.approx(welch.pvalue, rel=1e-9)
    assert mean["comparison"]["interval"] == pytest.approx(list(welch.confidence_interval(0.95)), rel=1e-9)
    assert cuped["comparison"]["standard_error"] < mean["comparison"]["standard_error"] / 2
    low, high = cuped["sequential"]["interval"]
    assert low < 0.5 < high
    assert share["comparison"]["p_value"] == 1
    assert json.loads(report.to_json()) == json.loads(json.dumps(report.to_dict()))
    assert report.to_markdown().startswith("# Experiment `button`")
    assert report.to_svg().startswith("<svg")


def test_a_report_is_drawn() -> None:
    """One line for each comparison."""
    pytest.importorskip("matplotlib").use("Agg")
    log = ExperimentLog()
    report = analyse(log, filled(log, 0.5), ["revenue", {"cuped": "revenue"}])
    axes = plot_report(report)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["revenue (CUPED): green", "revenue: green"]
    assert plot_report(report, axes) is axes


def test_assignments_stick_and_logs_are_saved(tmp_path: Path) -> None:
    """In a file of their own, or with the features."""
    path = tmp_path / "log.db"
    narrow = Experiment("button", ["grey", "green"])
    with ExperimentLog(path) as log:
        kept = log.assign(narrow.compile(), "user-1")
        log.expose(kept, DAY)
        log.record("order-1", "user-1", "revenue", 9.5, DAY)
    with ExperimentLog(path) as log:
        gone = Experiment("button", ["grey", "green"], coverage=0.0).compile()
        again = log.assign(gone, "user-1")
        assert (again.variant, again.reason, gone.assign("user-1")) == (kept.variant, "sticky", None)
        assert log.exposures("button") == {"user-1": {"variant": kept.variant, "at": DAY, "is_crossed": False}}
    assert Assignment.from_json(kept.to_json()) == kept
    store = FeatureStore(tmp_path / "both.db")
    ExperimentLog(store).record("e", "u", "revenue")
    store.save()
    store.close()


@pytest.mark.parametrize("confidence", [0.9, 0.99])
def test_comparisons_are_those_of_scipy(confidence: float) -> None:
    """Welch, shares, many p-values, sample ratio, power."""
    random = np.random.default_rng(11)
    a, b = random.normal(size=80), random.normal(0.3, 2.0, size=120)
    found = statistics.compare_means(a, b, confidence)
    welch = stats.ttest_ind(b, a, equal_var=False)
    assert (found["statistic"], found["p_value"], found["degrees"]) == pytest.approx(
        (welch.statistic, welch.pvalue, welch.df)
    )
    assert found["interval"] == pytest.approx(list(welch.confidence_interval(confidence)))
    parts = statistics.Moments.of(a[:30]).merge(statistics.Moments.of(a[30:]))
    assert statistics.compare_means(parts, b, confidence)["p_value"] == pytest.approx(welch.pvalue)
    assert (parts.n, parts.mean, parts.variance) == pytest.approx((80, a.mean(), a.var(ddof=1)))
    shares = statistics.compare_proportions((1_000, 100), (1_000, 130), confidence)
    pooled = 0.115
    z = 0.03 / np.sqrt(pooled * (1 - pooled) * 2 / 1_000)
    assert shares["p_value"] == pytest.approx(2 * stats.norm.sf(z))
    assert statistics.sample_ratio([520, 480], [0.5, 0.5])["p_value"] == pytest.approx(
        stats.chisquare([520, 480]).pvalue
    )
    p_values = [0.01, 0.04, 0.03, 0.5]
    assert statistics.benjamini_hochberg(p_values) == pytest.approx(stats.false_discovery_control(p_values))
    assert statistics.holm(p_values) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    n = statistics.sample_size(0.2, power=0.8)
    assert (statistics.power(0.2, n), n) == pytest.approx((0.8, 392.44), rel=1e-4)


def test_pairs_are_adjusted_and_divided() -> None:
    """CUPED as a regression would have it, ratios by the delta method."""
    random = np.random.default_rng(2)
    before = random.normal(5, 1, size=(2, 400))
    after = before + random.normal(0, 0.3, size=(2, 400)) + np.array([[0.0], [0.1]])
    pairs = [statistics.PairMoments.of(after[group], before[group]) for group in (0, 1)]
    found = statistics.compare_cuped(pairs[0], pairs[1])
    centred = [(x - x.mean(), y - y.mean()) for x, y in zip(before, after)]
    theta = sum((x * y).sum() for x, y in centred) / sum((x * x).sum() for x, _ in centred)
    adjusted = (after[1].mean() - after[0].mean()) - theta * (before[1].mean() - before[0].mean())
    assert found["difference"] == pytest.approx(adjusted)
    ratio = statistics.compare_ratios(pairs[0], pairs[1])
    assert ratio["difference"] == pytest.approx(after[1].mean() / before[1].mean() - after[0].mean() / before[0].mean())
    late = statistics.sequential(found)
    assert late["p_value"] > found["p_value"]
    with pytest.raises(ValueError, match="400 first values and 1 second"):
        statistics.PairMoments.of(after[0], [1.0])


def test_beliefs_and_choices() -> None:
    """The better one is believed in, and chosen more often."""
    verdicts = statistics.weigh([(1_000, 100), (1_000, 150)])
    beta: Any = stats.beta
    grid = np.linspace(0, 1, 20_001)
    better = np.trapezoid(beta.pdf(grid, 151, 851) * beta.cdf(grid, 101, 901), grid)
    assert verdicts[1]["best"] == pytest.approx(better, abs=1e-6)
    normal = statistics.weigh([np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0])])
    assert [verdict["best"] for verdict in normal] == pytest.approx([0.5, 0.5])
    low, high = statistics.bootstrap([1.0, 2.0, 3.0], [4.0, 5.0, 6.0], seed=1)
    assert (low, high) == statistics.bootstrap([1.0, 2.0, 3.0], [4.0, 5.0, 6.0], seed=1)
    assert 1 <= low < 3 < high <= 5
    bandit = statistics.Bandit(seed=3)
    drawn = [bandit.thompson([(1, 9), (9, 1)]) for _ in range(200)]
    assert sum(drawn) > 180
    assert bandit.epsilon_greedy([(1, 9), (9, 1)], 0.0) == 1
    with pytest.raises(ValueError, match="epsilon"):
        bandit.epsilon_greedy([(1, 1)], 2.0)
