"""Serves GrowthBook's SDK, SciPy and statsmodels to the benchmark `experiment`.

One JSON object a line comes in and one goes out; `src/rival.rs` writes and reads them. Every command answers with the
seconds of processor time that it took, without reading and writing, and with what was computed.
"""

import importlib.metadata
import json
import math
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.stats
from growthbook import Experiment, GrowthBook
from growthbook.core import chooseVariation, gbhash, getBucketRanges
from statsmodels.stats.proportion import proportions_ztest

Answer = dict[str, Any]


def timed(work: Callable[[], Any]) -> Answer:
    """Runs once and says how long it took."""
    begin = time.thread_time()
    answer = work()
    return {"seconds": time.thread_time() - begin, "answer": answer}


def versions() -> Answer:
    """What takes part."""
    names = ("growthbook", "numpy", "scipy", "statsmodels")
    return {name: importlib.metadata.version(name) for name in names}


class Units:
    """Units under one experiment, assigned by the SDK."""

    def __init__(
        self, ids: list[str] | list[int], salt: str, version: int, weights: list[float], coverage: float
    ) -> None:
        self.ids = ids
        self.salt = salt
        self.version = version
        self.ranges = getBucketRanges(len(weights), coverage, weights)
        self.experiment: Any = Experiment(
            key=salt,
            variations=list(range(len(weights))),
            weights=weights,
            coverage=coverage,
            hashVersion=version,
        )
        self.sdk = GrowthBook(attributes={})

    def by_sdk(self) -> list[int]:
        """As an application asks: the attributes of each unit, then the experiment."""
        found = []
        for unit in self.ids:
            self.sdk.set_attributes({"id": unit})
            result = self.sdk.run(self.experiment)
            found.append(result.variationId if result.inExperiment else -1)
        return found

    def by_functions(self) -> list[int]:
        """The SDK's inner functions alone, its ranges computed once: the least that it can do."""
        salt, version, ranges = self.salt, self.version, self.ranges
        return [chooseVariation(gbhash(salt, str(unit), version) or 0.0, ranges) for unit in self.ids]


def welch(samples: list[list[list[float]]]) -> list[list[float]]:
    """Statistic and p-value from the number, the mean and the sum of squared deviations of two samples."""
    found = []
    for (n, mean, squares), (m, other, others) in samples:
        result = scipy.stats.ttest_ind_from_stats(
            other, math.sqrt(others / (m - 1)), m, mean, math.sqrt(squares / (n - 1)), n, equal_var=False
        )
        found.append([float(result.statistic), float(result.pvalue)])
    return found


def proportions(samples: list[list[list[int]]]) -> list[list[float]]:
    """Statistic and p-value from units and successes."""
    found = []
    for (n, successes), (m, others) in samples:
        z, p = proportions_ztest([others, successes], [m, n])
        found.append([float(z), float(p)])
    return found


def cuped(samples: list[list[list[float]]]) -> list[list[float]]:
    """Statistic and p-value from number, means, sums of squared deviations and of products of two samples of pairs."""
    found = []
    for control, variant in samples:
        theta = (control[5] + variant[5]) / (control[4] + variant[4])
        sides: list[float] = []
        for n, mean, covariate, squares, covariates, products in (variant, control):
            adjusted = squares - 2 * theta * products + theta * theta * covariates
            sides += [mean - theta * covariate, math.sqrt(adjusted / (n - 1)), n]
        result = scipy.stats.ttest_ind_from_stats(*sides, equal_var=False)
        found.append([float(result.statistic), float(result.pvalue)])
    return found


class Samples:
    """Two samples, value by value."""

    def __init__(self, control: list[float], variant: list[float]) -> None:
        self.control = np.array(control)
        self.variant = np.array(variant)

    def welch(self) -> list[float]:
        """Statistic and p-value."""
        result = scipy.stats.ttest_ind(self.variant, self.control, equal_var=False)
        return [float(result.statistic), float(result.pvalue)]

    def bootstrap(self, resamples: int) -> list[float]:
        """The percentile interval of the difference of means."""
        interval = scipy.stats.bootstrap(
            (self.variant, self.control),
            lambda a, b, axis: np.mean(a, axis=axis) - np.mean(b, axis=axis),
            n_resamples=resamples,
            confidence_level=0.95,
            method="percentile",
            vectorized=True,
            rng=7,
        ).confidence_interval
        return [float(interval.low), float(interval.high)]


class Server:
    """Keeps what was sent last, so that a command costs no more than its work."""

    def __init__(self) -> None:
        self.units: Units | None = None
        self.samples: Samples | None = None

    def serve(self, command: Answer) -> Answer:
        """Answers one command."""
        name: str = command["command"]
        given: Any = command["given"]
        if name == "versions":
            return versions()
        if name == "units":
            self.units = Units(**given)
            return {}
        if name == "samples":
            self.samples = Samples(**given)
            return {}
        works: dict[str, Callable[[], Any]] = {
            "welch": lambda: welch(given),
            "proportions": lambda: proportions(given),
            "cuped": lambda: cuped(given),
        }
        if self.units is not None:
            works |= {"sdk": self.units.by_sdk, "functions": self.units.by_functions}
        if (samples := self.samples) is not None:
            works |= {"values": samples.welch, "bootstrap": lambda: samples.bootstrap(given)}
        return timed(works[name])


def main() -> None:
    """Serves until standard input ends."""
    server = Server()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(server.serve(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
