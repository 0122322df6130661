"""Transformations of the engine, fitted once and kept as JSON: numbers through `Steps`, named columns through
`ColumnTransformer`.

What is to be fitted is data: `column_plan` and `route` declare columns, and `scale`, `impute`, `clip` and their like
the steps. Names and arithmetic are those of scikit-learn.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tandemdb._native import transformers as native

ColumnFit = native.ColumnFit
ColumnTransformer = native.ColumnTransformer
Encoder = native.Encoder
EncoderFit = native.EncoderFit
ImputerFit = native.ImputerFit
ScalerFit = native.ScalerFit
Steps = native.Steps
StepsFit = native.StepsFit

__all__ = [
    "ColumnFit",
    "ColumnTransformer",
    "Encoder",
    "EncoderFit",
    "ImputerFit",
    "ScalerFit",
    "Steps",
    "StepsFit",
    "bin_numbers",
    "clip",
    "column_plan",
    "dates",
    "encode",
    "encode_target",
    "hash_texts",
    "impute",
    "log1p",
    "normalize",
    "polynomial",
    "power",
    "quantile",
    "route",
    "scale",
]


def scale(kind: str = "standard", **options: Any) -> dict[str, Any]:
    """`standard` (`centre`, `scale`), `min_max` (`low`, `high`, `clip`), `max_abs`, `robust` (`lower`, `upper`)."""
    usual: dict[str, dict[str, Any]] = {
        "standard": {"centre": True, "scale": True},
        "min_max": {"low": 0.0, "high": 1.0, "clip": False},
        "robust": {"lower": 25.0, "upper": 75.0},
    }
    if kind == "max_abs" and not options:
        return {"scale": kind}
    return {"scale": {kind: {**usual.get(kind, {}), **options}}}


def impute(filling: str | float = "mean", *, mark: bool = False) -> dict[str, Any]:
    """Fills in what is missing: by `mean`, `median`, `most_frequent` or a number; `mark` adds columns that say so."""
    what = filling if isinstance(filling, str) else {"constant": float(filling)}
    return {"impute_and_mark" if mark else "impute": what}


def normalize(norm: str = "l2") -> dict[str, Any]:
    """Divides rows by their length: `l1`, `l2` or `max`."""
    return {"normalize": norm}


def clip(low: float, high: float) -> dict[str, Any]:
    """Brings what lies beyond two numbers to the nearer one."""
    return {"clip": {"low": float(low), "high": float(high)}}


def log1p() -> str:
    """The natural logarithm of 1 and the number."""
    return "log1p"


def bin_numbers(bins: int, binning: str = "quantile") -> dict[str, Any]:
    """Numbers of intervals: `uniform` or `quantile` ones."""
    return {"bin": {"binning": binning, "bins": bins}}


def quantile(quantiles: int = 1000) -> dict[str, Any]:
    """Shares of the fit below."""
    return {"quantile": quantiles}


def power(family: str = "yeo_johnson") -> dict[str, Any]:
    """Powers fitted by maximum likelihood: `yeo_johnson` or `box_cox`."""
    return {"power": family}


def polynomial(degree: int = 2, *, interaction_only: bool = False) -> dict[str, Any]:
    """Products of columns."""
    return {"polynomial": {"degree": degree, "interaction_only": interaction_only}}


def encode(encoding: str = "one_hot", *, unknown: str = "refuse", missing: str = "refuse") -> dict[str, Any]:
    """Columns of texts by category: `one_hot` or `ordinal`; what was not seen, or is missing, is refused, an `ignore`d
    category, or a `missing` number."""
    return {"encode": {"encoding": encoding, "unknown": unknown, "missing": missing}}


def encode_target(
    smoothing: float | str = "auto", *, unknown: str = "refuse", missing: str = "refuse"
) -> dict[str, Any]:
    """Columns of texts by the mean of a target, smoothed towards the mean of all by so many rows."""
    weight = smoothing if isinstance(smoothing, str) else {"rows": float(smoothing)}
    return {"encode_target": {"smoothing": weight, "unknown": unknown, "missing": missing}}


def hash_texts(buckets: int, *, signed: bool = True) -> dict[str, Any]:
    """Columns of texts counted in buckets."""
    return {"hash": {"buckets": buckets, "signed": signed}}


def dates(parts: Iterable[Any], *, offset_minutes: int = 0) -> dict[str, Any]:
    """Columns of times as parts of them: `year`, `month`, `day`, `hour`, `weekday`, `is_weekend`, {"sine": "hour"}."""
    return {"dates": {"parts": list(parts), "offset_minutes": offset_minutes}}


def route(
    name: str, columns: Iterable[str], source: str | dict[str, Any] = "numbers", steps: Iterable[Any] = ()
) -> dict[str, Any]:
    """Some columns on their way: read as numbers by `source` (`numbers`, `encode()`, `dates()`), then through steps."""
    return {"name": name, "columns": list(columns), "source": source, "steps": list(steps)}


def column_plan(
    routes: Iterable[dict[str, Any]], *, numbers: Iterable[str] = (), texts: Iterable[str] = ()
) -> dict[str, Any]:
    """What `ColumnTransformer.fit` fits: columns of numbers and of texts, and their routes."""
    return {"numbers": list(numbers), "texts": list(texts), "routes": list(routes)}
