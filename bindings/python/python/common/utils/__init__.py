"""Ids, time, types and validation."""

from common.utils.id_generator import generate_id, generate_uuid
from common.utils.time_utils import format_timestamp, get_timestamp, parse_timestamp
from common.utils.type_utils import is_collection, is_numeric, safe_cast, to_bool, to_float, to_int, to_string
from common.utils.validation import deep_validate, validate_required, validate_type

__all__ = [
    "deep_validate",
    "format_timestamp",
    "generate_id",
    "generate_uuid",
    "get_timestamp",
    "is_collection",
    "is_numeric",
    "parse_timestamp",
    "safe_cast",
    "to_bool",
    "to_float",
    "to_int",
    "to_string",
    "validate_required",
    "validate_type",
]
