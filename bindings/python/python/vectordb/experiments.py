"""Experiments of the engine: definition, assignment by hash, exposures and outcomes, analysis with a report.

`vectordb.ABTester` is the class of the pure-Python package. docs/python-experiments.md is the guide.
"""

from __future__ import annotations

from typing import Any

from tandemdb._native import experiments as native

Assignment = native.Assignment
Experiment = native.Experiment
ExperimentLog = native.ExperimentLog
NO_VARIANT = native.NO_VARIANT
Plan = native.Plan
Report = native.Report
analyse = native.analyse
check_exclusive = native.check_exclusive

__all__ = [
    "NO_VARIANT",
    "Assignment",
    "Experiment",
    "ExperimentLog",
    "Plan",
    "Report",
    "analyse",
    "check_exclusive",
    "plot_report",
]


def plot_report(report: Report, ax: Any = None) -> Any:
    """Draws the differences of all variants with their intervals, and returns the axes.

    The thick interval is that of one look, the thin one holds at all looks. Needs matplotlib, which is imported here.
    """
    if ax is None:
        from matplotlib import pyplot

        _, ax = pyplot.subplots(layout="constrained")
    lines = [
        (f"{_title(metric['metric'])}: {found['variant']}", found)
        for metric in report.metrics
        for found in metric["variants"]
        if found["comparison"] is not None
    ]
    for row, (_, found) in enumerate(reversed(lines)):
        always = (found["sequential"] or {}).get("interval")
        once = found["comparison"]["interval"]
        for interval, width in ((always, 1), (once, 4)):
            if interval is not None:
                ax.plot(interval, [row, row], color="tab:blue", linewidth=width, solid_capstyle="butt")
        ax.plot(found["comparison"]["difference"], row, "o", color="black")
    ax.axvline(0, color="grey", linestyle=":")
    ax.set_yticks(range(len(lines)), [title for title, _ in reversed(lines)])
    ax.set_xlabel("difference from the control")
    ax.set_title(report.experiment)
    return ax


def _title(metric: dict[str, Any]) -> str:
    """A metric as a reader calls it."""
    ((kind, what),) = metric.items()
    if kind == "ratio":
        return f"{what['numerator']} / {what['denominator']}"
    return {"mean": f"{what}", "cuped": f"{what} (CUPED)", "proportion": f"share with {what}"}[kind]
