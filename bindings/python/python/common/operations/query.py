"""Conditions on records, queries made of them, and what a query answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from enum import Enum
from time import time
from typing import Any, Generic, TypeVar

from tandemdb._native import common as native

T = TypeVar("T")
Q = TypeVar("Q", bound="Query")


class QueryType(Enum):
    """How a condition compares."""

    EXACT = "exact"
    RANGE = "range"
    PREFIX = "prefix"
    SUFFIX = "suffix"
    CONTAINS = "contains"
    REGEX = "regex"
    FULLTEXT = "fulltext"
    SIMILARITY = "similarity"


class Operator(Enum):
    """How conditions combine."""

    AND = "and"
    OR = "or"
    NOT = "not"


class FilterCondition:
    """A comparison of one field with a value."""

    field_name: str
    operator: QueryType
    value: Any
    metadata: dict[str, Any]

    def __init__(
        self, field_name: str, operator: QueryType, value: Any, metadata: dict[str, Any] | None = None
    ) -> None:
        """A dict of metadata with something in it is kept, not copied."""
        self.field_name = field_name
        self.operator = operator
        self.value = value
        self.metadata = metadata or {}

    def matches(self, record: Any) -> bool:
        """Whether the record's field compares so with the value; no field, or `None`, never does.

        A mapping is asked for the key first; other records for the attribute, then for it in their metadata, then as
        mappings.
        """
        return native.matches(self.field_name, self.operator, self.value, record)

    def to_dict(self) -> dict[str, Any]:
        """The attributes, the operator by its value."""
        return {
            "field_name": self.field_name,
            "operator": self.operator.value,
            "value": self.value,
            "metadata": self.metadata,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Any:
        """Inverse of `to_dict`. Raises `ValueError` for an unknown operator."""
        return cls(
            field_name=data["field_name"],
            operator=QueryType(data["operator"]),
            value=data["value"],
            metadata=data.get("metadata"),
        )


class QueryResult(Generic[T]):
    """Results in order, with how many there are in all and how long it took."""

    results: list[T]
    total_count: int
    execution_time: float | None
    metadata: dict[str, Any]

    def __init__(
        self,
        results: list[T],
        total_count: int | None = None,
        execution_time: float | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """`total_count` is the number of results unless given."""
        self.results = results
        self.total_count = len(results) if total_count is None else total_count
        self.execution_time = execution_time
        self.metadata = metadata or {}

    def to_dict(self) -> dict[str, Any]:
        """The attributes; each result by its own `to_dict` when it has one."""
        return {
            "results": [result.to_dict() if hasattr(result, "to_dict") else result for result in self.results],
            "total_count": self.total_count,
            "execution_time": self.execution_time,
            "metadata": self.metadata,
        }

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[T]:
        return iter(self.results)

    def __getitem__(self, index: Any) -> Any:
        return self.results[index]


class Query(ABC):
    """What is asked of a collection; a class derives from it and says what `execute` does."""

    filters: list[FilterCondition]
    filter_operator: Operator
    limit: int | None
    offset: int | None
    sort_by: str | None
    sort_order: str
    metadata: dict[str, Any]
    created_at: float

    def __init__(
        self,
        filters: list[FilterCondition] | None = None,
        filter_operator: Operator = Operator.AND,
        limit: int | None = None,
        offset: int | None = None,
        sort_by: str | None = None,
        sort_order: str = "asc",
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """The list of filters is copied; `sort_order` becomes lower case."""
        self.filters = list(filters) if filters else []
        self.filter_operator = filter_operator
        self.limit = limit
        self.offset = offset
        self.sort_by = sort_by
        self.sort_order = sort_order.lower() if sort_order else "asc"
        self.metadata = metadata or {}
        self.created_at = time()

    @abstractmethod
    def execute(self, collection: Any) -> Any:
        """The records of the collection that are asked for."""

    def add_filter(self, filter_condition: FilterCondition) -> None:
        """Adds a condition."""
        self.filters.append(filter_condition)

    def to_dict(self) -> dict[str, Any]:
        """The attributes, conditions as dicts, the operator by its value."""
        return {
            "filters": [condition.to_dict() for condition in self.filters],
            "filter_operator": self.filter_operator.value,
            "limit": self.limit,
            "offset": self.offset,
            "sort_by": self.sort_by,
            "sort_order": self.sort_order,
            "metadata": self.metadata,
            "created_at": self.created_at,
        }

    @classmethod
    def from_dict(cls: type[Q], data: dict[str, Any]) -> Q:
        """Inverse of `to_dict`; every key may be absent."""
        made = cls(
            filters=[FilterCondition.from_dict(condition) for condition in data.get("filters") or ()],
            filter_operator=Operator(data.get("filter_operator", "and")),
            limit=data.get("limit"),
            offset=data.get("offset"),
            sort_by=data.get("sort_by"),
            sort_order=data.get("sort_order", "asc"),
            metadata=data.get("metadata"),
        )
        if data.get("created_at") is not None:
            made.created_at = data["created_at"]
        return made
