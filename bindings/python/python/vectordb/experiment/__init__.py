"""Experiments that assign entities to groups and compare their outcomes."""

from vectordb.experiment.ab_test import ABTester, ExperimentGroup

__all__ = ["ABTester", "ExperimentGroup"]
