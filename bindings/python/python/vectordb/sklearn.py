"""Estimators of scikit-learn's protocol on the native transformations, with scikit-learn's names and arithmetic.

They go where scikit-learn's own go: into `Pipeline`, `ColumnTransformer`, `clone` and searches. Arrays of float64 and
float32 in C order are read where they are; a transform makes one array, the result, or none with `copy=False`.
Importing this module imports scikit-learn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data
from tandemdb._native import vectordb as native

__all__ = ["MaxAbsScaler", "MinMaxScaler", "Normalizer", "RobustScaler", "SimpleImputer", "StandardScaler"]

_DTYPES = (np.float64, np.float32)


class _ArrayTransformer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Rows of numbers in, as many columns out; NaN is a missing value."""

    copy: bool

    def _rows(self, X: Any, reset: bool, allow_nan: bool = True) -> Any:  # noqa: N803
        """The numbers as an array, which is the caller's own when it can be."""
        finite = "allow-nan" if allow_nan else True
        return validate_data(self, X, reset=reset, dtype=_DTYPES, order="C", ensure_all_finite=finite)

    def _result(self, rows: Any, given: Any) -> Any:
        """An array to write the result into that starts as `rows`."""
        if not rows.flags.writeable or (self.copy and np.may_share_memory(rows, given)):
            return rows.copy()
        return rows

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


class _Scaler(_ArrayTransformer):
    """A scaling of columns whose fit may go on batch by batch."""

    n_samples_seen_: Any

    def _options(self) -> tuple[str, list[float], list[bool]]:
        """Kind, numbers and switches, as the native module takes them."""
        raise NotImplementedError

    def _before(self) -> Any:
        """Summary by column of what was fitted."""
        raise NotImplementedError

    def _learn(self, summary: Any, offset: Any, scale: Any) -> None:
        """Sets the attributes of the fit."""
        raise NotImplementedError

    def _applied(self) -> tuple[Any, Any]:
        """Offset and scale."""
        raise NotImplementedError

    def _fit(self, X: Any, is_first: bool) -> Any:  # noqa: N803
        rows = self._rows(X, reset=is_first)
        before = None
        if not is_first:
            seen = np.broadcast_to(self.n_samples_seen_, rows.shape[1])
            before = (seen.tolist(), [each.tolist() for each in self._before()])
        counts, summary, offset, scale = native.fit_scaler(*self._options(), rows, before)
        self.n_samples_seen_ = counts[0] if len(set(counts)) == 1 else np.array(counts)
        self._learn(summary and [np.array(each) for each in summary], np.array(offset), np.array(scale))
        return self

    def fit(self, X: Any, y: Any = None) -> Any:  # noqa: ARG002, N803
        """Fits on all rows at once; forgets what was fitted before."""
        return self._fit(X, is_first=True)

    def transform(self, X: Any) -> Any:  # noqa: N803
        """The rows, scaled."""
        check_is_fitted(self)
        result = self._result(self._rows(X, reset=False), X)
        offset, scale = self._applied()
        native.scale_columns(*self._options(), offset.tolist(), scale.tolist(), result, False)
        return result

    def inverse_transform(self, X: Any) -> Any:  # noqa: N803
        """Undoes `transform`, up to rounding."""
        check_is_fitted(self)
        rows = check_array(X, dtype=_DTYPES, order="C", ensure_all_finite="allow-nan")
        result = self._result(rows, X)
        offset, scale = self._applied()
        native.scale_columns(*self._options(), offset.tolist(), scale.tolist(), result, True)
        return result


class _Batches(_Scaler):
    """A scaler with `partial_fit`."""

    def partial_fit(self, X: Any, y: Any = None) -> Any:  # noqa: ARG002, N803
        """Goes on fitting with more rows."""
        return self._fit(X, is_first=not hasattr(self, "n_samples_seen_"))


class StandardScaler(_Batches):
    """Takes off the mean and divides by the standard deviation of the population."""

    def __init__(self, *, copy: bool = True, with_mean: bool = True, with_std: bool = True) -> None:
        self.copy = copy
        self.with_mean = with_mean
        self.with_std = with_std

    def _options(self) -> tuple[str, list[float], list[bool]]:
        return "standard", [0.0, 0.0], [bool(self.with_mean), bool(self.with_std)]

    def _before(self) -> Any:
        return self.mean_, self.var_

    def _learn(self, summary: Any, offset: Any, scale: Any) -> None:  # noqa: ARG002
        self.mean_, self.var_ = summary
        self.scale_ = scale if self.with_std else None

    def _applied(self) -> tuple[Any, Any]:
        neutral = np.ones_like(self.mean_)
        return self.mean_ if self.with_mean else neutral * 0, self.scale_ if self.with_std else neutral


class MinMaxScaler(_Batches):
    """Brings minimum and maximum of each column to the ends of `feature_range`."""

    def __init__(self, feature_range: tuple[float, float] = (0, 1), *, copy: bool = True, clip: bool = False) -> None:
        self.feature_range = feature_range
        self.copy = copy
        self.clip = clip

    def _options(self) -> tuple[str, list[float], list[bool]]:
        low, high = self.feature_range
        return "min_max", [float(low), float(high)], [bool(self.clip), False]

    def _before(self) -> Any:
        return self.data_min_, self.data_max_

    def _learn(self, summary: Any, offset: Any, scale: Any) -> None:
        self.data_min_, self.data_max_ = summary
        self.data_range_ = self.data_max_ - self.data_min_
        self.min_, self.scale_ = offset, scale

    def _applied(self) -> tuple[Any, Any]:
        return self.min_, self.scale_


class MaxAbsScaler(_Batches):
    """Divides each column by its greatest magnitude."""

    def __init__(self, *, copy: bool = True) -> None:
        self.copy = copy

    def _options(self) -> tuple[str, list[float], list[bool]]:
        return "max_abs", [0.0, 0.0], [False, False]

    def _before(self) -> Any:
        return -self.max_abs_, self.max_abs_

    def _learn(self, summary: Any, offset: Any, scale: Any) -> None:  # noqa: ARG002
        self.max_abs_ = np.maximum(np.abs(summary[0]), np.abs(summary[1]))
        self.scale_ = scale

    def _applied(self) -> tuple[Any, Any]:
        return np.zeros_like(self.scale_), self.scale_


class RobustScaler(_Scaler):
    """Takes off the median and divides by the distance of two quantiles."""

    def __init__(
        self,
        *,
        with_centering: bool = True,
        with_scaling: bool = True,
        quantile_range: tuple[float, float] = (25.0, 75.0),
        copy: bool = True,
        unit_variance: bool = False,
    ) -> None:
        self.with_centering = with_centering
        self.with_scaling = with_scaling
        self.quantile_range = quantile_range
        self.copy = copy
        self.unit_variance = unit_variance

    def _options(self) -> tuple[str, list[float], list[bool]]:
        lower, upper = self.quantile_range
        return "robust", [float(lower), float(upper)], [False, False]

    def _learn(self, summary: Any, offset: Any, scale: Any) -> None:  # noqa: ARG002
        if self.unit_variance:
            from statistics import NormalDist

            lower, upper = (NormalDist().inv_cdf(percent / 100) for percent in self.quantile_range)
            scale = scale / (upper - lower)
        self.center_ = offset if self.with_centering else None
        self.scale_ = scale if self.with_scaling else None

    def _applied(self) -> tuple[Any, Any]:
        columns = self.n_features_in_
        return (
            np.zeros(columns) if self.center_ is None else self.center_,
            np.ones(columns) if self.scale_ is None else self.scale_,
        )


class Normalizer(_ArrayTransformer):
    """Divides each row by its length: `l1`, `l2` or `max`."""

    def __init__(self, norm: str = "l2", *, copy: bool = True) -> None:
        self.norm = norm
        self.copy = copy

    def fit(self, X: Any, y: Any = None) -> Any:  # noqa: ARG002, N803
        """Checks the rows; there is nothing to fit."""
        self._rows(X, reset=True, allow_nan=False)
        return self

    def transform(self, X: Any) -> Any:  # noqa: N803
        """The rows, of length 1."""
        result = self._result(self._rows(X, reset=False, allow_nan=False), X)
        native.normalize_rows(self.norm, result)
        return result

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = False
        tags.requires_fit = False
        return tags


class SimpleImputer(_ArrayTransformer):
    """Fills what is NaN with the mean, the median or the most frequent value of its column, or with `fill_value`."""

    def __init__(self, *, strategy: str = "mean", fill_value: float | None = None, copy: bool = True) -> None:
        self.strategy = strategy
        self.fill_value = fill_value
        self.copy = copy

    def fit(self, X: Any, y: Any = None) -> Any:  # noqa: ARG002, N803
        """Finds what to fill in; a column of nothing but NaN is refused."""
        rows = self._rows(X, reset=True).astype(np.float64, copy=False)
        constant = 0.0 if self.fill_value is None else float(self.fill_value)
        self.statistics_ = np.array(native.fit_imputer(self.strategy, constant, rows))
        return self

    def transform(self, X: Any) -> Any:  # noqa: N803
        """The rows without gaps."""
        check_is_fitted(self)
        result = self._result(self._rows(X, reset=False), X)
        native.fill_missing(self.statistics_.tolist(), result)
        return result
