"""A network in memory, bad in every way a real one is, and the same each time for the same seed."""

from __future__ import annotations

from tandemdb._native.engine import Clock, Connection, Network

__all__ = ["PROFILES", "Clock", "Connection", "Network"]

PROFILES = ("wifi", "4g", "3g", "edge", "train_tunnel", "offline")
"""The links that an application meets most often, the best first."""
