"""Queries over records and transformations of data."""

from common.operations.query import FilterCondition, Operator, Query, QueryResult, QueryType
from common.operations.transform import Operation, Pipeline, Transformer

__all__ = [
    "FilterCondition",
    "Operation",
    "Operator",
    "Pipeline",
    "Query",
    "QueryResult",
    "QueryType",
    "Transformer",
]
