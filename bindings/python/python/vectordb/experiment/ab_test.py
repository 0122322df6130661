"""Groups of entities with outcomes, and experiments that assign entities to groups by a hash."""

from __future__ import annotations

from tandemdb._native import vectordb as native

ABTester = native.ABTester
ExperimentGroup = native.ExperimentGroup

__all__ = ["ABTester", "ExperimentGroup"]
