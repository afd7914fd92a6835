"""Attributes of a node by kind; a file may give any kind to any name."""

from collections.abc import Mapping
from typing import NoReturn

from lowbit.errors import ModelFormatError
from lowbit.ir.graph import Attribute

Attributes = Mapping[str, Attribute]


def integer(attributes: Attributes, name: str, default: int) -> int:
    """Return an integer or its default."""
    value = attributes.get(name, default)
    return value if isinstance(value, int) else _refuse(name, "an integer", value)


def number(attributes: Attributes, name: str, default: float) -> float:
    """Return a number or its default."""
    value = attributes.get(name, default)
    return float(value) if isinstance(value, int | float) else _refuse(name, "a number", value)


def integers(attributes: Attributes, name: str, default: tuple[int, ...] = ()) -> tuple[int, ...]:
    """Return a row of integers, or its default where it is absent or empty."""
    value = attributes.get(name, ()) or default
    if isinstance(value, tuple) and all(isinstance(item, int) for item in value):
        return value  # type: ignore[return-value]
    return _refuse(name, "a row of integers", value)


def _refuse(name: str, expected: str, found: object) -> NoReturn:
    raise ModelFormatError(f"attribute {name} is of another kind", expected=expected, found=repr(found))
