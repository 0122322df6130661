"""Seconds since the epoch, to text and back."""

from tandemdb._native import common as native

__all__ = ["format_timestamp", "get_timestamp", "parse_timestamp", "time_since"]

format_timestamp = native.format_timestamp
get_timestamp = native.get_timestamp
parse_timestamp = native.parse_timestamp
time_since = native.time_since

for _function in (format_timestamp, get_timestamp, parse_timestamp, time_since):
    _function.__module__ = __name__
