"""Versions of an application's tables, and the steps from one to the next."""

from __future__ import annotations

from tandemdb._native.engine import Lineage, Step
from tandemdb._native.engine import dry_run_of as dry_run
from tandemdb._native.engine import plan_steps as plan

__all__ = ["Lineage", "Step", "dry_run", "plan"]
