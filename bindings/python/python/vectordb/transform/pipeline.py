"""Operations one after another, and pipelines whose features get other names."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from threading import RLock
from time import perf_counter_ns, time
from typing import Any

from common.operations.transform import Pipeline, Transformer
from tandemdb._native import vectordb as native

from vectordb.transform.operations import BaseOperation, Names, Rows, fits_natively, transforms_natively


class TransformationPipeline(Pipeline[Any, Any]):
    """Operations that are fitted and applied one after another, with how often and how long.

    Holds the caller's own operation objects, in the live list `transformers`. Runs of this package's operations go
    through the rows once, not once for each.
    """

    transformers: list[Any]

    def __init__(self, name: str | None = None, operations: Iterable[Any] | None = None) -> None:
        super().__init__(name or "TransformationPipeline", list(operations or ()))
        self._transformations_applied = 0
        self._last_modified = time()
        self._total_transform_time = 0.0
        self._transform_count = 0
        self._lock = RLock()

    @property
    def operations(self) -> list[Any]:
        """The operations in order, in a new list."""
        return list(self.transformers)

    @property
    def transformations_applied(self) -> int:
        """How many transforms have succeeded."""
        return self._transformations_applied

    @property
    def last_modified(self) -> float:
        """When the operations last changed, in seconds since the epoch."""
        return self._last_modified

    @property
    def avg_transform_time(self) -> float:
        """Seconds that a transform took on average; 0.0 before the first."""
        with self._lock:
            return self._total_transform_time / self._transform_count if self._transform_count else 0.0

    def add_operation(self, operation: Any) -> None:
        """Puts an operation at the end."""
        with self._lock:
            self.transformers.append(operation)
            self._last_modified = time()

    def remove_operation(self, index: int) -> Any:
        """Takes the operation at `index` out and returns it; `None` where there is none."""
        with self._lock:
            if not 0 <= index < len(self.transformers):
                return None
            self._last_modified = time()
            return self.transformers.pop(index)

    def clear_operations(self) -> None:
        """Takes all operations out."""
        with self._lock:
            self.transformers.clear()
            self._last_modified = time()

    def add_transformer(self, transformer: Any) -> None:
        """As `add_operation`."""
        self.add_operation(transformer)

    def remove_transformer(self, index: int) -> Any:
        """As `remove_operation`."""
        return self.remove_operation(index)

    def fit(self, data: Rows, feature_names: Names = None) -> None:
        """Fits each operation on what those before it make of `data`."""
        with self._lock:
            names = feature_names if feature_names is None else list(feature_names)
            operations = list(self.transformers)
            if operations and all(map(fits_natively, operations)):
                native.fit_rows(tuple([operation._step() for operation in operations]), data, names)
                for operation in operations:
                    operation._fitted = True
                return
            current = data
            for operation in operations:
                operation.fit(current, names)
                current = operation.transform(current, names)

    def transform(self, data: Rows, feature_names: Names = None) -> Any:
        """What the operations make of `data`; without operations, `data` itself."""
        with self._lock:
            start = perf_counter_ns()
            current = data
            names = feature_names if feature_names is None else list(feature_names)
            # Runs of native operations go through the rows as one.
            steps: list[tuple[Any, ...]] = []
            for operation in self.transformers[:]:
                if transforms_natively(operation) and operation._fitted:
                    steps.append(operation._step())
                    continue
                if steps:
                    current = native.transform_rows(tuple(steps), current, names)
                    steps = []
                current = operation.transform(current, names)
            if steps:
                current = native.transform_rows(tuple(steps), current, names)
            self._total_transform_time += max(perf_counter_ns() - start, 1) / 1e9
            self._transform_count += 1
            self._transformations_applied += 1
            return current

    def fit_transform(self, data: Rows, feature_names: Names = None) -> Any:
        """Fits on `data` and transforms it."""
        with self._lock:
            names = feature_names if feature_names is None else list(feature_names)
            self.fit(data, names)
            return self.transform(data, names)

    def __call__(self, data: Rows) -> Any:
        return self.transform(data)

    def get_operation_info(self) -> list[dict[str, Any]]:
        """The operations as dicts."""
        return [operation.to_dict() for operation in list(self.transformers)]

    def to_dict(self) -> dict[str, Any]:
        """The pipeline as a dict that `from_dict` takes."""
        with self._lock:
            return {
                "name": self.name,
                "operations": self.get_operation_info(),
                "transformations_applied": self._transformations_applied,
                "last_modified": self._last_modified,
                "total_transform_time": self._total_transform_time,
                "transform_count": self._transform_count,
                "description": self.description,
                "created_at": self.created_at,
                "type": type(self).__name__,
            }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Any:
        """A pipeline from what `to_dict` gives; every key may be absent."""
        described = data.get("operations") or data.get("transformers") or ()
        pipeline = cls(name=data.get("name"), operations=[BaseOperation.from_dict(each) for each in described])
        pipeline._transformations_applied = data.get("transformations_applied", 0)
        pipeline._last_modified = data.get("last_modified", pipeline._last_modified)
        pipeline._total_transform_time = data.get("total_transform_time", 0.0)
        pipeline._transform_count = data.get("transform_count", 0)
        pipeline.description = data.get("description")
        pipeline.created_at = data.get("created_at", pipeline.created_at)
        return pipeline

    def to_json(self) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, json_str: str | bytes | bytearray) -> Any:
        """A pipeline from what `to_json` gives."""
        return cls.from_dict(json.loads(json_str))

    def clone(self) -> Any:
        """An equal pipeline with operations of its own."""
        with self._lock:
            clone = type(self).__new__(type(self))
            clone.__dict__.update(self.__dict__)
            clone._lock = RLock()
            clone.transformers = [_cloned(operation) for operation in self.transformers]
            return clone

    def create_feature_transformer(self, feature_mapping: dict[Any, Any] | None = None) -> FeatureTransformer:
        """A transformer of the features that `feature_mapping` names, on a clone."""
        return FeatureTransformer(self.clone(), feature_mapping)


def _cloned(operation: Any) -> Any:
    """An equal operation with dicts of its own."""
    if fits_natively(operation):
        return BaseOperation.from_dict(operation.to_dict())
    return copy.deepcopy(operation)


class FeatureTransformer(Transformer[Any, Any]):
    """A pipeline for some features, which come out under other names.

    The features that `feature_mapping` does not name pass through as they are.
    """

    def __init__(
        self,
        pipeline: TransformationPipeline,
        feature_mapping: dict[Any, Any] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name or "FeatureTransformer")
        self._pipeline = pipeline
        self._feature_mapping = dict(feature_mapping or {})

    @property
    def pipeline(self) -> TransformationPipeline:
        """The pipeline itself."""
        return self._pipeline

    @property
    def feature_mapping(self) -> dict[Any, Any]:
        """Names in the input to names in the output, as a copy."""
        return dict(self._feature_mapping)

    def fit(self, data: Rows, feature_names: Names = None) -> None:  # noqa: ARG002
        """Fits the pipeline on the features of the mapping; `feature_names` is ignored."""
        self._pipeline.fit(data, list(self._feature_mapping) or None)

    def transform(self, data: Rows, feature_names: Names = None) -> Any:  # noqa: ARG002
        """What the pipeline makes of `data`, under the names of the mapping; `feature_names` is ignored."""
        transformed = self._pipeline.transform(data, list(self._feature_mapping) or None)
        if not self._feature_mapping:
            return transformed
        return native.rename_features(transformed, self._feature_mapping)

    def fit_transform(self, data: Rows) -> Any:
        """Fits on `data` and transforms it."""
        self.fit(data)
        return self.transform(data)

    def to_dict(self) -> dict[str, Any]:
        """The transformer as a dict that `from_dict` takes."""
        return {
            **super().to_dict(),
            "pipeline": self._pipeline.to_dict(),
            "feature_mapping": dict(self._feature_mapping),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Any:
        """A transformer from what `to_dict` gives."""
        pipeline = TransformationPipeline.from_dict(data["pipeline"])
        transformer = cls(pipeline, data.get("feature_mapping"), data.get("name"))
        transformer.description = data.get("description")
        transformer.created_at = data.get("created_at", transformer.created_at)
        return transformer

    def to_json(self) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, json_str: str | bytes | bytearray) -> Any:
        """A transformer from what `to_json` gives."""
        return cls.from_dict(json.loads(json_str))
