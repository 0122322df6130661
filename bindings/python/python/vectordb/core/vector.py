"""`Vector`: floats with an id and metadata."""

from common.core.base import BaseRecord
from common.core.serialization import Serializable
from tandemdb._native import vectordb as native

__all__ = ["Vector"]

Vector = native.Vector

BaseRecord.register(Vector)
Serializable.register(Vector)
