"""Parameters by name, and the same as JSON: the one codec between an encoding and whatever stores it.

A field is a whole number, a text, or an array of float32 or int32. As JSON an array is nested lists, of
integers or of hexadecimal floats, so that nothing is rounded.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[Any] | int | str
Fields = Mapping[str, Field]


def json_of_fields(fields: Fields) -> dict[str, object]:
    """Return fields as JSON-ready values."""
    return {name: _json(value) for name, value in fields.items()}


def fields_of_json(values: Mapping[str, Any]) -> dict[str, Field]:
    """Return the fields that `json_of_fields` wrote.

    Raises:
        TypeError, ValueError: a value is none of the kinds that a field has.
    """
    return {name: _field(value) for name, value in values.items()}


def require_kinds(given: Fields, said: Fields) -> None:
    """Check that fields are of the kinds that the encoding made of them says: names, types and axes.

    Raises:
        TypeError: one is not, as an integer in the place of a list of floats.
    """
    kinds = ({name: _kind(value) for name, value in fields.items()} for fields in (given, said))
    found, expected = kinds
    if found != expected:
        raise TypeError(f"fields {found}, not {expected}")


def _kind(value: Field) -> str:
    return f"{value.dtype} of {value.ndim} axes" if isinstance(value, np.ndarray) else type(value).__name__


def _json(value: Field) -> object:
    if not isinstance(value, np.ndarray):
        return value
    if value.ndim > 1:
        return [_json(part) for part in value]
    return [number.hex() if isinstance(number, float) else number for number in value.tolist()]


def _field(value: Any) -> Field:
    if isinstance(value, list):
        kind = np.float32 if _leaf(value, str) else np.int32
        return np.array(_numbers(value), kind)
    if isinstance(value, str) or type(value) is int:
        return value
    raise TypeError(f"not a number, a text or a list: {value!r}")


def _leaf(value: Any, kind: type) -> bool:
    while isinstance(value, list) and value:
        value = value[0]
    return isinstance(value, kind)


def _numbers(value: Any) -> Any:
    if isinstance(value, list):
        return [_numbers(part) for part in value]
    if isinstance(value, str):
        return float.fromhex(value)
    if type(value) is not int:  # 1.5 would become 1, and true 1
        raise TypeError(f"not an integer or a hexadecimal float: {value!r}")
    return value
