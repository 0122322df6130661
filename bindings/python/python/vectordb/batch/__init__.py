"""Work on many entities at once."""

from vectordb.batch.processor import BatchProcessor

__all__ = ["BatchProcessor"]
