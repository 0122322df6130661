"""`LineageNode` and `LineageTracker`: what came from what."""

from common.core.serialization import Serializable
from tandemdb._native import vectordb as native

__all__ = ["LineageNode", "LineageTracker"]

LineageNode = native.LineageNode
LineageTracker = native.LineageTracker

Serializable.register(LineageNode)
