"""Ids that nobody else has."""

from tandemdb._native import common as native

__all__ = ["generate_id", "generate_uuid"]

generate_id = native.generate_id
generate_uuid = native.generate_uuid

for _function in (generate_id, generate_uuid):
    _function.__module__ = __name__
