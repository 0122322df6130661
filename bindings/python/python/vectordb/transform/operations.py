"""Operations on features: scaling, normalisation, one-hot encoding, imputation.

Data is a dict of dicts: entity -> feature -> value. A fit learns by feature and adds to what was learnt before; a
transform returns a new dict with copies of the rows and never changes its input.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Callable, Optional

from common.operations.transform import Transformer
from tandemdb._native import vectordb as native

Rows = Any
"""Entity -> feature -> value."""

Names = Optional[Iterable[Any]]
"""Names of features; `None` lets the operation choose."""


class BaseOperation(Transformer[Any, Any]):
    """What operations have in common; user-written operations derive from it.

    A subclass gives `fit`, `transform`, `get_params` and `set_params`, and sets `_fitted`.
    """

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name or type(self).__name__)
        self._fitted = False

    @property
    def name(self) -> str:
        """The operation's name; that of its class where none was given."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        self._name = name

    @property
    def fitted(self) -> bool:
        """Whether the operation can transform."""
        return self._fitted

    def fit(self, data: Rows, feature_names: Names = None) -> None:
        """Learns from `data`, of the features named or of those of its own kind."""
        raise NotImplementedError

    def transform(self, data: Rows, feature_names: Names = None) -> Any:
        """A copy of `data` with the features named, or all that were learnt, transformed."""
        raise NotImplementedError

    def fit_transform(self, data: Rows, feature_names: Names = None) -> Any:
        """Fits on `data` and transforms it."""
        self.fit(data, feature_names)
        return self.transform(data, feature_names)

    def get_params(self) -> dict[str, Any]:
        """Options and what was learnt, as copies."""
        raise NotImplementedError

    def set_params(self, params: dict[str, Any]) -> None:
        """Takes over what `get_params` gave; absent keys change nothing."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """The operation as a dict that `from_dict` takes."""
        return {
            "name": self.name,
            "type": type(self).__name__,
            "fitted": self._fitted,
            "params": self.get_params(),
            "description": self.description,
            "created_at": self.created_at,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> BaseOperation:
        """The operation of this package that `to_dict` described; `ValueError` for the types of others."""
        make = _OPERATIONS.get(data["type"])
        if make is None:
            raise ValueError(f"Unknown operation type: {data['type']}")
        operation = make(name=data["name"])
        operation.set_params(data["params"])
        operation._fitted = data["fitted"]
        operation.description = data.get("description")
        operation.created_at = data.get("created_at", operation.created_at)
        return operation

    def to_json(self) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, json_str: str | bytes | bytearray) -> BaseOperation:
        """An operation from what `to_json` gives."""
        return cls.from_dict(json.loads(json_str))


class _NativeOperation(BaseOperation):
    """An operation that the native module fits and applies."""

    def _step(self) -> tuple[Any, ...]:
        """Name and live parameters, as the native module takes them."""
        raise NotImplementedError

    def fit(self, data: Rows, feature_names: Names = None) -> None:
        """Learns from `data`, of the features named or of those of its own kind."""
        native.fit_rows((self._step(),), data, feature_names)
        self._fitted = True

    def transform(self, data: Rows, feature_names: Names = None) -> dict[Any, Any]:
        """A copy of `data` with the features named, or all that were learnt, transformed."""
        if not self._fitted:
            raise ValueError(f"{type(self).__name__} must be fitted before transforming data")
        return native.transform_rows((self._step(),), data, feature_names)


class Scaler(_NativeOperation):
    """Moves and stretches numbers so that the learnt minimum and maximum become the ends of `feature_range`.

    What lies beyond is not clipped; a feature of one value only is left as it is.
    """

    def __init__(self, feature_range: tuple[float, float] = (0, 1), name: str | None = None) -> None:
        super().__init__(name)
        self._feature_range = feature_range if isinstance(feature_range, tuple) else tuple(feature_range)
        self._min_values: dict[Any, Any] = {}
        self._max_values: dict[Any, Any] = {}

    def _step(self) -> tuple[Any, ...]:
        return ("scale", self._feature_range, self._min_values, self._max_values)

    def get_params(self) -> dict[str, Any]:
        """`feature_range`, `min_values`, `max_values`."""
        return {
            "feature_range": self._feature_range,
            "min_values": dict(self._min_values),
            "max_values": dict(self._max_values),
        }

    def set_params(self, params: dict[str, Any]) -> None:
        """Takes over what `get_params` gave; absent keys change nothing."""
        if "feature_range" in params:
            self._feature_range = tuple(params["feature_range"])
        if "min_values" in params:
            self._min_values = dict(params["min_values"])
        if "max_values" in params:
            self._max_values = dict(params["max_values"])
        if self._min_values:
            self._fitted = True


class Normalizer(_NativeOperation):
    """Takes off the mean and divides by the standard deviation of the population.

    A feature of one value only is left as it is.
    """

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)
        self._means: dict[Any, float] = {}
        self._stds: dict[Any, float] = {}

    def _step(self) -> tuple[Any, ...]:
        return ("normalize", self._means, self._stds)

    def get_params(self) -> dict[str, Any]:
        """`means`, `stds`."""
        return {"means": dict(self._means), "stds": dict(self._stds)}

    def set_params(self, params: dict[str, Any]) -> None:
        """Takes over what `get_params` gave; absent keys change nothing."""
        if "means" in params:
            self._means = dict(params["means"])
        if "stds" in params:
            self._stds = dict(params["stds"])
        if self._means:
            self._fitted = True


class OneHotEncoder(_NativeOperation):
    """Replaces a feature by one feature for each category that was learnt, 1.0 for the value's own and 0.0 for others.

    A category that was not learnt gives zeros throughout; `None` stays.
    """

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)
        self._categories: dict[Any, list[Any]] = {}
        self._columns: dict[Any, Any] = {}

    def _step(self) -> tuple[Any, ...]:
        # The native module keeps names of columns in `_columns`, and makes them anew when the categories change.
        return ("encode", self._categories, self._columns)

    def get_params(self) -> dict[str, Any]:
        """`categories`."""
        return {"categories": {feature: list(known) for feature, known in self._categories.items()}}

    def set_params(self, params: dict[str, Any]) -> None:
        """Takes over what `get_params` gave; absent keys change nothing."""
        if "categories" in params:
            self._categories = {feature: list(known) for feature, known in params["categories"].items()}
        if self._categories:
            self._fitted = True


class MissingValueImputer(_NativeOperation):
    """Puts the mean or the median of a feature, or a constant, where the value is `None`."""

    def __init__(self, strategy: str = "mean", fill_value: Any = None, name: str | None = None) -> None:
        super().__init__(name)
        self._strategy = strategy
        self._fill_value = fill_value
        self._imputation_values: dict[Any, Any] = {}

    def _step(self) -> tuple[Any, ...]:
        return ("impute", self._strategy, self._fill_value, self._imputation_values)

    def get_params(self) -> dict[str, Any]:
        """`strategy`, `fill_value`, `imputation_values`."""
        return {
            "strategy": self._strategy,
            "fill_value": self._fill_value,
            "imputation_values": dict(self._imputation_values),
        }

    def set_params(self, params: dict[str, Any]) -> None:
        """Takes over what `get_params` gave; absent keys change nothing."""
        if "strategy" in params:
            self._strategy = params["strategy"]
        if "fill_value" in params:
            self._fill_value = params["fill_value"]
        if "imputation_values" in params:
            self._imputation_values = dict(params["imputation_values"])
        if self._imputation_values:
            self._fitted = True


_OPERATIONS: dict[str, Callable[..., BaseOperation]] = {
    "Scaler": Scaler,
    "Normalizer": Normalizer,
    "OneHotEncoder": OneHotEncoder,
    "MissingValueImputer": MissingValueImputer,
}

_NATIVE = frozenset((Scaler, Normalizer, OneHotEncoder, MissingValueImputer))
_FIT = _NativeOperation.fit
_TRANSFORM = _NativeOperation.transform


def fits_natively(operation: Any) -> bool:
    """Whether fits and transforms of `operation` are those of this module, neither overridden nor patched."""
    return transforms_natively(operation) and getattr(operation.fit, "__func__", None) is _FIT


def transforms_natively(operation: Any) -> bool:
    """As `fits_natively`, of transforms alone."""
    return type(operation) in _NATIVE and getattr(operation.transform, "__func__", None) is _TRANSFORM
