"""Transformations of data, alone and in a row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from time import time
from typing import Any, Generic, TypeVar

from common.core.base import BaseOperation

T = TypeVar("T")
U = TypeVar("U")
V = TypeVar("V")
X = TypeVar("X", bound="Transformer[Any, Any]")


class Operation(BaseOperation, Generic[T, U]):
    """A function with a name."""

    operation_fn: Callable[[T], U]

    def __init__(self, name: str, operation_fn: Callable[[T], U], description: str | None = None) -> None:
        """`operation_fn` is called with the data."""
        super().__init__(name, description)
        self.operation_fn = operation_fn

    def execute(self, data: T) -> U:
        """What the function answers."""
        return self.operation_fn(data)

    def __call__(self, data: T) -> U:
        return self.execute(data)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Any:
        """Raises `ValueError`: the function is not in the dict."""
        raise ValueError(f"Operation {data.get('name')!r} cannot be made from a dict: its function is not in it")


class Transformer(ABC, Generic[T, U]):
    """A named transformation; a class derives from it and says what `transform` does."""

    name: str
    description: str | None
    created_at: float

    def __init__(self, name: str, description: str | None = None) -> None:
        """`created_at` is now."""
        self.name = name
        self.description = description
        self.created_at = time()

    @abstractmethod
    def transform(self, data: T) -> U:
        """The data in its new form."""

    def __call__(self, data: T) -> U:
        return self.transform(data)

    def to_dict(self) -> dict[str, Any]:
        """Name, description, time of creation and the name of the class."""
        return {
            "name": self.name,
            "description": self.description,
            "created_at": self.created_at,
            "type": self.__class__.__name__,
        }

    @classmethod
    def from_dict(cls: type[X], data: dict[str, Any]) -> X:
        """One with this name, description and, when given, time of creation."""
        made = cls(name=data.get("name"), description=data.get("description"))  # type: ignore[arg-type]
        if "created_at" in data:
            made.created_at = data["created_at"]
        return made


class Pipeline(Transformer[T, V]):
    """Transformers in a row: each gets what the one before it answered."""

    transformers: list[Transformer[Any, Any]]

    def __init__(self, name: str, transformers: list[Transformer[Any, Any]], description: str | None = None) -> None:
        """The list is copied."""
        super().__init__(name, description)
        self.transformers = list(transformers or ())

    def transform(self, data: T) -> V:
        """The data after the last transformer."""
        result: Any = data
        for transformer in self.transformers:
            result = transformer.transform(result)
        return result  # type: ignore[no-any-return]

    def add_transformer(self, transformer: Transformer[Any, Any]) -> None:
        """Adds one at the end."""
        self.transformers.append(transformer)

    def remove_transformer(self, index: int) -> Transformer[Any, Any] | None:
        """Takes one out by position; `None` when there is none."""
        if 0 <= index < len(self.transformers):
            return self.transformers.pop(index)
        return None

    def to_dict(self) -> dict[str, Any]:
        """As of a transformer, with the dicts of its own."""
        data = super().to_dict()
        data["transformers"] = [transformer.to_dict() for transformer in self.transformers]
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Any:
        """A pipeline that had no transformers. Raises `ValueError` otherwise: their classes are not in the dict."""
        if data.get("transformers"):
            raise ValueError(f"Pipeline {data.get('name')!r} cannot be made from a dict: add its transformers yourself")
        made = cls(name=data.get("name"), transformers=[], description=data.get("description"))  # type: ignore[arg-type]
        if "created_at" in data:
            made.created_at = data["created_at"]
        return made
