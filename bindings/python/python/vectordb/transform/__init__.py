"""Transformations of features, alone and as pipelines."""

from vectordb.transform.operations import MissingValueImputer, Normalizer, OneHotEncoder, Scaler
from vectordb.transform.pipeline import TransformationPipeline

__all__ = ["MissingValueImputer", "Normalizer", "OneHotEncoder", "Scaler", "TransformationPipeline"]
