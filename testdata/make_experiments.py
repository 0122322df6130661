"""Makes the files in `experiments/`: what other programs compute, for the tests of `vectordb::experiment`.

Run it with Python 3.11 or later, growthbook 4.0.0, scipy 1.17.1 and statsmodels 0.15.0: `python make_experiments.py`.
With `--check` it compares with the committed files.
"""

import json
import sys
from pathlib import Path
from typing import Any, TypeAlias

import growthbook.core as gb
import numpy as np
from growthbook import GrowthBook
from growthbook.common_types import Experiment
from scipy import integrate, special, stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import proportions_ztest

# A distribution of scipy with its parameters; scipy carries no types.
Distribution: TypeAlias = Any

FOLDER = Path(__file__).parent / "experiments"

UNITS = ["1", "42", "user-1", "usér-1", "ユーザー", "😀🎉", "Ω≈ç", "a" * 300, " ", "null", "ÿ", "\u0100x"]
UNITS += [f"u{i}" for i in range(40)]
SALTS = ["", "my-test", "salt ñ", "鍵", "😀"]
SPLITS = [
    (2, 1.0, None),
    (2, 0.5, None),
    (3, 1.0, None),
    (3, 0.1, [0.2, 0.3, 0.5]),
    (4, 0.33, [0.1, 0.2, 0.3, 0.4]),
    (2, 1.0, [0.4, 0.597]),
    (2, 2.0, [0.4, 0.1]),
    (7, 0.77, None),
]
NAMESPACES = [("ns", 0.0, 0.5), ("ns", 0.5, 1.0), ("名", 0.25, 0.3)]


def growthbook_cases() -> dict[str, Any]:
    """Hashes, ranges, namespaces, and variants as the SDK's `run` gives them."""
    assigned = []
    for version in (1, 2):
        for count, coverage, weights in SPLITS:
            if coverage > 1:
                continue
            experiment = {
                "key": "exp é",
                "variations": list(range(count)),
                "coverage": coverage,
                "weights": weights,
                "hashVersion": version,
                "namespace": ("ns", 0.1, 0.9),
            }
            variants = []
            for unit in UNITS:
                result = GrowthBook(attributes={"id": unit}).run(Experiment(**experiment))
                variants.append(result.variationId if result.inExperiment else -1)
            assigned.append([version, count, coverage, weights, variants])
    return {
        "units": UNITS,
        "fnv1a32": [gb.fnv1a32(unit) for unit in UNITS],
        "hashes": [
            [salt, version, [round(gb.gbhash(salt, unit, version) * (1000, 10000)[version - 1]) for unit in UNITS]]
            for salt in SALTS
            for version in (1, 2)
        ],
        "ranges": [[n, c, w, gb.getBucketRanges(n, c, w)] for n, c, w in SPLITS],
        "namespaces": [[*ns, [gb.inNamespace(unit, ns) for unit in UNITS]] for ns in NAMESPACES],
        "assigned": assigned,
    }


def samples() -> list[Any]:
    """Pairs of samples of a metric and a covariate: small, uneven, skewed, far from zero, tiny."""
    rng = np.random.default_rng(7)
    found = []
    for n, m, mean, scale, shift in [
        (2, 2, 0.0, 1.0, 0.5),
        (5, 9, 10.0, 2.0, 1.0),
        (40, 25, 1e4, 1.0, 0.3),
        (60, 60, -3.0, 1e-2, 1e-3),
        (30, 80, 5.0, 100.0, -20.0),
    ]:
        sides = []
        for count, centre in ((n, mean), (m, mean + shift)):
            before = rng.gamma(2.0, scale, count)
            metric = centre + 0.7 * before + rng.normal(0.0, scale, count)
            sides.append([metric.round(9).tolist(), before.round(9).tolist()])
        found.append(sides)
    return found


def welch(a: np.ndarray, b: np.ndarray) -> list[Any]:
    """Difference, t, degrees of freedom, p, interval."""
    test = stats.ttest_ind(b, a, equal_var=False)
    interval = test.confidence_interval(0.9)
    return [b.mean() - a.mean(), test.statistic, test.df, test.pvalue, interval.low, interval.high]


def effects(a: np.ndarray, b: np.ndarray) -> list[Any]:
    """Cohen's d, Hedges' g, and the lift with its interval by the delta method."""
    df = len(a) + len(b) - 2
    d = (b.mean() - a.mean()) / np.sqrt((((a - a.mean()) ** 2).sum() + ((b - b.mean()) ** 2).sum()) / df)
    g = d * np.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / np.sqrt(df / 2)
    ratio = b.mean() / a.mean()
    error = np.sqrt(b.var(ddof=1) / len(b) + ratio**2 * a.var(ddof=1) / len(a)) / abs(a.mean())
    half = stats.t.ppf(0.95, stats.ttest_ind(b, a, equal_var=False).df) * error
    return [d, g, ratio - 1, ratio - 1 - half, ratio - 1 + half]


def cuped(sides: list[Any]) -> list[Any]:
    """Welch's test of the metric less its regression on the covariate, with a common slope."""
    (a, x), (b, y) = [[np.array(v) for v in side] for side in sides]
    products = ((a - a.mean()) * (x - x.mean())).sum() + ((b - b.mean()) * (y - y.mean())).sum()
    slope = products / (((x - x.mean()) ** 2).sum() + ((y - y.mean()) ** 2).sum())
    centre = np.concatenate([x, y]).mean()
    return welch(a - slope * (x - centre), b - slope * (y - centre))


def ratio(sides: list[Any]) -> list[Any]:
    """z-test of the difference of ratios; the variance is that of linearised residuals."""
    found = []
    for metric, below in sides:
        above, below = np.array(metric), np.array(below)
        value = above.mean() / below.mean()
        found.append((value, (above - value * below).var(ddof=1) / len(above) / below.mean() ** 2))
    (va, ea), (vb, eb) = found
    error = np.sqrt(ea + eb)
    half = stats.norm.ppf(0.95) * error
    z = (vb - va) / error
    return [vb - va, z, 2 * stats.norm.sf(abs(z)), vb - va - half, vb - va + half]


def proportion(a: list[Any], b: list[Any]) -> list[Any]:
    """Pooled z, p, and Wald's interval."""
    z, p = proportions_ztest([b[1], a[1]], [b[0], a[0]])
    pa, pb = a[1] / a[0], b[1] / b[0]
    half = stats.norm.ppf(0.95) * np.sqrt(pa * (1 - pa) / a[0] + pb * (1 - pb) / b[0])
    return [z, p, pb - pa - half, pb - pa + half]


def best(one: Distribution, two: Distribution, low: float, high: float) -> list[Any]:
    """The probability that the first is larger, and what is lost by either."""
    points = sorted([one.mean(), two.mean()])
    options = {"points": points, "epsabs": 1e-13, "epsrel": 1e-13, "limit": 500}
    first = integrate.quad(lambda v: one.pdf(v) * two.cdf(v), low, high, **options)[0]
    largest = low + integrate.quad(lambda v: 1 - one.cdf(v) * two.cdf(v), low, high, **options)[0]
    return [first, largest - one.mean(), largest - two.mean()]


def beta(n: int, successes: int) -> Distribution:
    """What is known of a share after trials, from a flat prior."""
    return stats.beta(1 + successes, 1 + n - successes)


def statistics_cases() -> dict[str, Any]:
    """Every statistic as scipy and statsmodels compute it, or numpy from its definition."""
    data = samples()
    arrays = [[np.array(side[0]) for side in sides] for sides in data]
    pairs = [([20, 7], [25, 11]), ([1000, 100], [1000, 130]), ([10**6, 50_000], [10**6, 50_500]), ([50, 1], [70, 69])]
    moments = []
    for n in (20, 500, 2_000, 14_000, 16_000, 50_000, 1_000_000, 10**9):
        for z in (0.1, 1.0, 2.0, 4.0, 7.0):
            size = z * np.sqrt(2.0 / n)
            test = stats.ttest_ind_from_stats(size, 1.0, n, 0.0, 1.0, n, equal_var=False)
            moments.append([n, size, test.pvalue])
    counts = [([5000, 5050], [0.5, 0.5]), ([900, 120], [0.9, 0.1]), ([10, 20, 30, 45], [0.1, 0.2, 0.3, 0.4])]
    counts += [([10**7, 10**7 + 9000], [0.5, 0.5])]
    several = [0.01, 0.04, 0.03, 0.005, 0.5, 0.04, 1.0, 1e-9]
    betas = [([10, 3], [12, 6]), ([1000, 100], [1000, 130]), ([10**5, 5000], [10**5, 5050]), ([5, 0], [5, 5])]
    normals = [(1.0, 0.5, 1.2, 0.3), (0.0, 1.0, 3.0, 0.01), (1e3, 2.0, 1e3, 2.0)]
    planned = [(0.1, 1570.0, 1.0, 0.05), (0.02, 5e4, 0.5, 0.01), (-0.3, 100.0, 2.0, 0.1), (1e-6, 10.0, 1.0, 0.05)]
    sizes = [(0.1, 0.8, 1.0, 0.05), (0.01, 0.9, 0.25, 0.01), (-0.5, 0.95, 3.0, 0.1)]
    index = NormalIndPower()
    result = {
        "samples": data,
        "welch": [welch(a, b) for a, b in arrays],
        "effects": [effects(a, b) for a, b in arrays],
        "cuped": [cuped(sides) for sides in data[1:]],
        "ratios": [ratio(sides) for sides in data[1:]],
        "proportions": [[a, b, proportion(a, b)] for a, b in pairs],
        "large": moments,
        "counts": [[c, s, list(stats.chisquare(c, np.array(s) * sum(c)))] for c, s in counts],
        "p_values": several,
        "holm": multipletests(several, method="holm")[1],
        "benjamini_hochberg": multipletests(several, method="fdr_bh")[1],
        "power": [[*p, index.power(p[0], p[1], p[3], ratio=p[2])] for p in planned],
        "sizes": [[*p, index.solve_power(p[0], power=p[1], alpha=p[3], ratio=p[2])] for p in sizes],
        "betas": [[a, b, best(beta(*a), beta(*b), 0.0, 1.0)] for a, b in betas],
        "normals": [
            [*p, best(stats.norm(p[0], p[1]), stats.norm(p[2], p[3]), p[0] - 25 * p[1], p[0] + 25 * p[1])]
            for p in normals
        ],
    }
    plain: dict[str, Any] = json.loads(json.dumps(result, default=lambda v: v.tolist()))
    return plain


FILES = {"growthbook.json": growthbook_cases, "statistics.json": statistics_cases}


def main() -> int:
    """Writes the files, or compares them."""
    FOLDER.mkdir(exist_ok=True)
    different = 0
    for name, make in FILES.items():
        text = json.dumps(make(), ensure_ascii=False, separators=(",", ":")) + "\n"
        path = FOLDER / name
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
        elif path.read_text(encoding="utf-8") != text:
            print(f"{name} is different")
            different += 1
    return different


if __name__ == "__main__":
    sys.exit(main())
