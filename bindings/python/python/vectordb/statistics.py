"""Statistics of experiments: comparisons, sequential tests, sample ratio, power, p-values of many, beliefs, bandits.

A sample is a list or an array of numbers, or its `Moments`, which merge. Answers are dicts.
"""

from __future__ import annotations

from tandemdb._native import statistics as native

Bandit = native.Bandit
Moments = native.Moments
PairMoments = native.PairMoments
benjamini_hochberg = native.benjamini_hochberg
bootstrap = native.bootstrap
compare_cuped = native.compare_cuped
compare_means = native.compare_means
compare_proportions = native.compare_proportions
compare_ratios = native.compare_ratios
holm = native.holm
power = native.power
sample_ratio = native.sample_ratio
sample_size = native.sample_size
sequential = native.sequential
weigh = native.weigh

__all__ = [
    "Bandit",
    "Moments",
    "PairMoments",
    "benjamini_hochberg",
    "bootstrap",
    "compare_cuped",
    "compare_means",
    "compare_proportions",
    "compare_ratios",
    "holm",
    "power",
    "sample_ratio",
    "sample_size",
    "sequential",
    "weigh",
]
