"""What came from what: nodes and edges that a feature store writes by itself, and those of applications."""

from __future__ import annotations

from tandemdb._native import features as native

Lineage = native.Lineage
LineageNode = native.LineageNode
Origin = native.Origin
Related = native.Related

__all__ = ["Lineage", "LineageNode", "Origin", "Related"]
