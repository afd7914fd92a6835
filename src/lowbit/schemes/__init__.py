"""Schemes: how reals become codes. A folder and a row per scheme, one protocol, one conformance check."""

from collections.abc import Callable
from typing import Any

from lowbit.errors import SchemeError
from lowbit.schemes.affine import Affine
from lowbit.schemes.check import check_scheme
from lowbit.schemes.encoding import (
    Encoding,
    EncodingBase,
    decoded,
    largest_float32_below,
    rank_encode,
    table_decode,
)
from lowbit.schemes.fields import Fields
from lowbit.schemes.fixed_point import FixedPoint
from lowbit.schemes.grouped import GROUP, Grouped
from lowbit.schemes.learned_basis import (
    ACTIVATION_BOUND,
    WEIGHT_BOUND,
    LearnedBasis,
    of_integers,
    snap,
    snap_weights,
)
from lowbit.schemes.power_of_two import PowerOfTwo
from lowbit.schemes.registry import REGISTRY

SCHEMES: dict[str, type[Encoding]] = {row.name: row.encoding for row in REGISTRY.values() if row.encoding}
"""The classes of encodings by scheme."""


def encoding_from_dict(fields: Any) -> Encoding:
    """Return the encoding that some scheme's ``to_dict`` described.

    Raises:
        SchemeError: the scheme is unknown or a field is missing or of the wrong kind.
    """
    name = fields.get("scheme") if isinstance(fields, dict) else None

    def made(scheme: type[Encoding]) -> Encoding:
        return Grouped.of_dict(scheme, fields) if GROUP in fields else scheme.from_dict(fields)

    return _made(name, fields, made)


def encoding_from_fields(scheme: str, fields: Fields) -> Encoding:
    """Return the encoding of a scheme that its ``fields`` described.

    Raises:
        SchemeError: the scheme is unknown or a field is missing or of the wrong kind.
    """

    def made(known: type[Encoding]) -> Encoding:
        return Grouped.of_fields(known, fields) if GROUP in fields else known.from_fields(fields)

    return _made(scheme, fields, made)


def _made(name: object, fields: object, make: Callable[[type[Encoding]], Encoding]) -> Encoding:
    if not isinstance(name, str) or name not in SCHEMES:
        raise SchemeError("unknown scheme", expected=" or ".join(SCHEMES), found=repr(name or fields)[:80])
    try:
        return make(SCHEMES[name])
    except (AttributeError, KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise SchemeError("an encoding cannot be read", where=str(name), found=repr(error)) from error


__all__ = [
    "ACTIVATION_BOUND",
    "SCHEMES",
    "WEIGHT_BOUND",
    "Affine",
    "Encoding",
    "EncodingBase",
    "FixedPoint",
    "Grouped",
    "LearnedBasis",
    "PowerOfTwo",
    "check_scheme",
    "decoded",
    "encoding_from_dict",
    "encoding_from_fields",
    "largest_float32_below",
    "of_integers",
    "rank_encode",
    "snap",
    "snap_weights",
    "table_decode",
]
