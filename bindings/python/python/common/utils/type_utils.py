"""Values to other types, and values inside values."""

from tandemdb._native import common as native

__all__ = [
    "get_nested_value",
    "is_collection",
    "is_numeric",
    "safe_cast",
    "set_nested_value",
    "to_bool",
    "to_float",
    "to_int",
    "to_string",
]

get_nested_value = native.get_nested_value
is_collection = native.is_collection
is_numeric = native.is_numeric
safe_cast = native.safe_cast
set_nested_value = native.set_nested_value
to_bool = native.to_bool
to_float = native.to_float
to_int = native.to_int
to_string = native.to_string

for _function in (
    get_nested_value,
    is_collection,
    is_numeric,
    safe_cast,
    set_nested_value,
    to_bool,
    to_float,
    to_int,
    to_string,
):
    _function.__module__ = __name__
