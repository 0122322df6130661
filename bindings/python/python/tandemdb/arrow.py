"""Tables by Arrow's PyCapsule interface: what pyarrow, pandas, polars and DuckDB pass to each other without a copy."""

from tandemdb._native import arrow as native

ArrowTable = native.ArrowTable

__all__ = ["ArrowTable"]
