"""Estimators of scikit-learn's protocol on the native transformations, with scikit-learn's names and arithmetic.

They go where scikit-learn's own go: into `Pipeline`, `ColumnTransformer`, `clone` and searches. Arrays of float64 and
float32 in C order are read where they are; a transform makes one array, the result, or none with `copy=False`.
Importing this module imports scikit-learn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import (
    _check_feature_names_in,
    _check_sample_weight,
    check_array,
    check_is_fitted,
    validate_data,
)
from tandemdb._native import transformers as texts
from tandemdb._native import vectordb as native

__all__ = [
    "MaxAbsScaler",
    "MinMaxScaler",
    "Normalizer",
    "OneHotEncoder",
    "OrdinalEncoder",
    "RobustScaler",
    "SimpleImputer",
    "StandardScaler",
]

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

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:  # noqa: ARG002, N803
        """Fits on all rows at once, which count as often as their weights say."""
        return self._fit_weighted(X, sample_weight, is_first=True)

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:  # noqa: ARG002, N803
        """Goes on fitting with more rows."""
        return self._fit_weighted(X, sample_weight, is_first=not hasattr(self, "n_samples_seen_"))

    def _fit_weighted(self, X: Any, sample_weight: Any, is_first: bool) -> Any:  # noqa: N803
        had_weights = not is_first and np.asarray(self.n_samples_seen_).dtype.kind == "f"
        if sample_weight is None and not had_weights:
            return self._fit(X, is_first)
        rows = self._rows(X, reset=is_first)
        weights = _check_sample_weight(sample_weight, rows, dtype=np.float64)
        before = None
        if not is_first:
            seen = np.broadcast_to(np.asarray(self.n_samples_seen_, np.float64), rows.shape[1])
            before = (seen.tolist(), [each.tolist() for each in self._before()])
        sums, summary, offset, scale = native.fit_weighted(self._options()[2], rows, weights.tolist(), before)
        self.n_samples_seen_ = sums[0] if len(set(sums)) == 1 else np.array(sums)
        self._learn([np.array(each) for each in summary], np.array(offset), np.array(scale))
        return self

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


def _is_missing(values: Any) -> Any:
    """Where None and NaN are."""
    if values.dtype.kind in "OU":
        return np.array([value is None or value != value for value in values.tolist()], dtype=bool)
    return np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), dtype=bool)


class _Encoder(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Columns of categories as numbers: texts by the native encoder, numbers by their order."""

    categories: Any
    handle_unknown: str
    dtype: Any

    def _columns(self, X: Any, reset: bool) -> list[Any]:  # noqa: N803
        rows = validate_data(self, X, reset=reset, dtype=None, ensure_all_finite=False)
        if not hasattr(X, "dtype") and rows.dtype.kind == "U":
            # Numbers among texts stay what they are.
            rows = check_array(X, dtype=object, ensure_all_finite=False)
        return [rows[:, at] for at in range(rows.shape[1])]

    def fit(self, X: Any, y: Any = None) -> Any:  # noqa: ARG002, N803
        """Finds the categories of each column, or checks those that are given."""
        columns = self._columns(X, reset=True)
        if isinstance(self.categories, str) and self.categories == "auto":
            self.categories_ = [self._found(column) for column in columns]
            return self
        if len(self.categories) != len(columns):
            raise ValueError(f"there are categories for {len(self.categories)} columns, but {len(columns)} columns")
        self.categories_ = [np.array(given, dtype=column.dtype) for given, column in zip(self.categories, columns)]
        for at, column in enumerate(columns):
            if self.handle_unknown == "error":
                self._codes(column, at)
        return self

    @staticmethod
    def _found(column: Any) -> Any:
        """What comes in a column, in order; missing values last."""
        missing = _is_missing(column)
        rest = column[~missing]
        if column.dtype.kind in "OU" and all(isinstance(value, str) for value in rest.tolist()):
            found = np.array(
                texts.EncoderFit().partial_fit(rest.tolist()).finish("ordinal").categories if len(rest) else []
            )
            found = found.astype(column.dtype)
        else:
            try:
                found = np.unique(rest)
            except TypeError as error:
                raise TypeError("a column has texts and numbers, which have no common order") from error
        gaps = column[missing]
        ends = [value for value in (None, np.nan) if any((gap is None) == (value is None) for gap in gaps.tolist())]
        return np.concatenate([found, np.array(ends, dtype=found.dtype)]) if ends else found

    def _codes(self, column: Any, at: int) -> Any:
        """The number of each value's category, -1 of one that is not known."""
        known = self.categories_[at]
        missing, gaps = _is_missing(column), _is_missing(known)
        codes = np.full(len(column), -1)
        rest, plain = column[~missing], known[~gaps]
        if len(rest) and len(plain):
            if known.dtype.kind in "OU" and all(isinstance(value, str) for value in plain.tolist()):
                order = np.argsort(plain.astype(object), kind="stable")
                encoder = texts.EncoderFit().partial_fit(plain.tolist()).finish("ordinal", "ignore")
                words = [value if isinstance(value, str) else None for value in rest.tolist()]
                found = np.full(len(words), -1.0)
                named = np.array([word is not None for word in words])
                if named.any():
                    found[named] = encoder.transform([word for word in words if word is not None])[:, 0]
                codes[~missing] = np.where(found >= 0, order[found.astype(int)], -1)
            else:
                order = np.argsort(plain, kind="stable")
                try:
                    places = np.searchsorted(plain[order], rest)
                except TypeError:
                    places = np.full(len(rest), len(plain))
                places = np.minimum(places, len(plain) - 1)
                found = order[places]
                codes[~missing] = np.where(plain[found] == rest, found, -1)
        for place in np.flatnonzero(gaps):
            is_none = known[place] is None
            codes[missing] = np.where([(value is None) == is_none for value in column[missing]], place, codes[missing])
        if self.handle_unknown == "error" and (codes < 0).any():
            unknown = sorted({repr(value) for value in column[codes < 0].tolist()})[:10]
            raise ValueError(f"Found unknown categories [{', '.join(unknown)}] in column {at} during transform")
        return codes

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.categorical = True
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        return tags


class OneHotEncoder(_Encoder):
    """One column for each category, with a 1 in its own; `drop` leaves out the `first`, or one of two (`if_binary`)."""

    def __init__(
        self,
        *,
        categories: Any = "auto",
        drop: str | None = None,
        sparse_output: bool = True,
        dtype: Any = np.float64,
        handle_unknown: str = "error",
    ) -> None:
        self.categories = categories
        self.drop = drop
        self.sparse_output = sparse_output
        self.dtype = dtype
        self.handle_unknown = handle_unknown

    def fit(self, X: Any, y: Any = None) -> Any:  # noqa: N803
        """Finds the categories of each column, or checks those that are given."""
        if self.handle_unknown not in ("error", "ignore") or self.drop not in (None, "first", "if_binary"):
            raise ValueError("handle_unknown is 'error' or 'ignore', and drop None, 'first' or 'if_binary'")
        super().fit(X, y)
        counts = [len(known) for known in self.categories_]
        first = [self.drop == "first" or (self.drop == "if_binary" and count == 2) for count in counts]
        self.drop_idx_ = None if self.drop is None else np.array([0 if one else None for one in first], dtype=object)
        self._dropped = np.array(first, dtype=int)
        return self

    def _widths(self) -> Any:
        return np.array([len(known) for known in self.categories_]) - self._dropped

    def transform(self, X: Any) -> Any:  # noqa: N803
        """A row of ones and zeros for each row."""
        check_is_fitted(self)
        from scipy import sparse

        columns = self._columns(X, reset=False)
        starts = np.concatenate([[0], np.cumsum(self._widths())])
        codes = np.stack([self._codes(column, at) for at, column in enumerate(columns)], axis=1) - self._dropped
        there = codes >= 0
        places = (codes + starts[:-1])[there]
        ends = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
        ones = np.ones(len(places), dtype=self.dtype)
        made = sparse.csr_matrix((ones, places, ends), shape=(len(codes), starts[-1]))
        return made if self.sparse_output else made.toarray()

    def inverse_transform(self, X: Any) -> Any:  # noqa: N803
        """The categories again; None for a row without a one, unless a category was dropped."""
        check_is_fitted(self)
        rows = check_array(X, accept_sparse="csr")
        rows = rows.toarray() if hasattr(rows, "toarray") else rows
        widths = self._widths()
        if rows.shape[1] != widths.sum():
            raise ValueError(f"the rows have {rows.shape[1]} columns, the fit made {widths.sum()}")
        found, start = [], 0
        for known, width, dropped in zip(self.categories_, widths, self._dropped):
            part = rows[:, start : start + width]
            start += width
            empty = ~part.any(axis=1)
            codes = part.argmax(axis=1) + dropped if width else np.zeros(len(rows), dtype=int)
            column = known[np.where(empty, 0, codes)]
            if not dropped and empty.any():
                column = column.astype(object)
                column[empty] = None
            found.append(column)
        kinds = {column.dtype for column in found}
        return np.stack(found if len(kinds) == 1 else [column.astype(object) for column in found], axis=1)

    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """Names of the columns: feature and category."""
        check_is_fitted(self)
        names = _check_feature_names_in(self, input_features)
        pairs = zip(names, self.categories_, self._dropped)
        return np.array([f"{name}_{one}" for name, known, dropped in pairs for one in known[dropped:]], dtype=object)


class OrdinalEncoder(OneToOneFeatureMixin, _Encoder):  # type: ignore[misc]
    """The number of each category; NaN becomes `encoded_missing_value`, and None is a category as any."""

    def __init__(
        self,
        *,
        categories: Any = "auto",
        dtype: Any = np.float64,
        handle_unknown: str = "error",
        unknown_value: float | None = None,
        encoded_missing_value: float = np.nan,
    ) -> None:
        self.categories = categories
        self.dtype = dtype
        self.handle_unknown = handle_unknown
        self.unknown_value = unknown_value
        self.encoded_missing_value = encoded_missing_value

    def fit(self, X: Any, y: Any = None) -> Any:  # noqa: N803
        """Finds the categories of each column, or checks those that are given."""
        if self.handle_unknown not in ("error", "use_encoded_value"):
            raise ValueError("handle_unknown is 'error' or 'use_encoded_value'")
        if (self.handle_unknown == "use_encoded_value") != (self.unknown_value is not None):
            raise ValueError("unknown_value is a number when handle_unknown is 'use_encoded_value', and None otherwise")
        return super().fit(X, y)

    def _gaps(self, at: int) -> Any:
        """The number of NaN among the categories of a column; None is a category as any."""
        known = self.categories_[at]
        return np.flatnonzero(
            _is_missing(known) & np.array([value is not None for value in known.tolist()], dtype=bool)
        )

    def transform(self, X: Any) -> Any:  # noqa: N803
        """A row of numbers for each row."""
        check_is_fitted(self)
        columns = self._columns(X, reset=False)
        made = np.empty((len(columns[0]), len(columns)), dtype=self.dtype)
        for at, column in enumerate(columns):
            codes = self._codes(column, at)
            made[:, at] = codes
            made[np.isin(codes, self._gaps(at)), at] = self.encoded_missing_value
            if self.unknown_value is not None:
                made[codes < 0, at] = self.unknown_value
        return made

    def inverse_transform(self, X: Any) -> Any:  # noqa: N803
        """The categories again; None for a number of none."""
        check_is_fitted(self)
        rows = check_array(X, dtype=None, ensure_all_finite="allow-nan")
        if rows.shape[1] != len(self.categories_):
            raise ValueError(f"the rows have {rows.shape[1]} columns, the fit {len(self.categories_)}")
        found = []
        for place, (known, numbers) in enumerate(zip(self.categories_, rows.T.astype(np.float64))):
            gaps = self._gaps(place)
            is_gap = (
                np.isnan(numbers) if np.isnan(self.encoded_missing_value) else numbers == self.encoded_missing_value
            )
            codes = np.where(is_gap, gaps[-1] if len(gaps) else -1, np.nan_to_num(numbers, nan=-1)).astype(int)
            stranger = (codes < 0) | (codes >= len(known))
            column = known[np.where(stranger, 0, codes)]
            if stranger.any():
                column = column.astype(object)
                column[stranger] = None
            found.append(column)
        kinds = {column.dtype for column in found}
        return np.stack(found if len(kinds) == 1 else [column.astype(object) for column in found], axis=1)
