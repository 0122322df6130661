"""Whether values are what they should be, and why not."""

from tandemdb._native import common as native

__all__ = [
    "deep_validate",
    "validate_array",
    "validate_number",
    "validate_required",
    "validate_string",
    "validate_type",
]

deep_validate = native.deep_validate
validate_array = native.validate_array
validate_number = native.validate_number
validate_required = native.validate_required
validate_string = native.validate_string
validate_type = native.validate_type

for _function in (
    deep_validate,
    validate_array,
    validate_number,
    validate_required,
    validate_string,
    validate_type,
):
    _function.__module__ = __name__
