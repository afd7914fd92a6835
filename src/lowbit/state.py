"""What one run leaves for the next: JSON with a checksum, and the one reader of it.

A file of state can be cut, edited or of another tool. `parsed` is the only place where such text becomes
values, and it raises one family of errors; `entry` names what is missing or of another kind. `digest` is the
checksum, over canonical JSON, so that it depends on no spelling.
"""

import hashlib
import json
from collections.abc import Mapping
from sys import float_info
from typing import Any, TypeVar

from lowbit.errors import ModelFormatError

Value = TypeVar("Value")

_DEEPEST = 100


def parsed(text: str | bytes, where: str, what: str, remedy: str = "") -> dict[str, Any]:
    """Return the object that a text of JSON holds.

    Args:
        text: UTF-8 where it is bytes.
        where: the file, for messages.
        what: what the file should be, for messages.
        remedy: what to do about one that is not.

    Raises:
        ModelFormatError: it is no JSON, is nested too deep, or is not an object.
    """
    try:
        made = json.loads(text)
        depth = _depth(made)
    except (ValueError, RecursionError) as error:
        raise ModelFormatError(
            f"this is no {what}", where=where, expected="JSON", found=str(error)[:80], remedy=remedy
        ) from error
    if not isinstance(made, dict) or depth > _DEEPEST:
        found = type(made).__name__ if not isinstance(made, dict) else f"more than {_DEEPEST} levels"
        raise ModelFormatError(
            f"this is no {what}", where=where, expected="a JSON object", found=found, remedy=remedy
        )
    return made


def entry(
    made: Mapping[str, Any], name: str, kind: type[Value], where: str, remedy: str = "", *, least: float = 0
) -> Value:
    """Return an entry of `parsed`, of its kind; `float` takes whole numbers too. Numbers are finite.

    Raises:
        ModelFormatError: it is missing, of another kind, or less.
    """
    found: Any = made.get(name)
    kinds: tuple[type, ...] = (int, float) if kind is float else (kind,)
    if type(found) in kinds and (kind not in (int, float) or least <= found <= float_info.max):
        return kind(found) if kind is float else found  # type: ignore[call-arg]
    expected = kind.__name__ + (f", {least} or more" if kind in (int, float) else "")
    raise ModelFormatError(
        f"the entry {name} does not fit",
        where=where,
        expected=expected,
        found=repr(found)[:80],
        remedy=remedy,
    )


def digest(*parts: object) -> str:
    """Return a hash, SHA-256 in hexadecimal, of bytes and JSON-ready values, in order."""
    total = hashlib.sha256()
    for part in parts:
        content = memoryview(part if isinstance(part, bytes | memoryview) else canonical(part))
        total.update(content.nbytes.to_bytes(8, "little"))
        total.update(content)
    return total.hexdigest()


def canonical(value: object) -> bytes:
    """Return the one spelling of a JSON-ready value."""
    return json.dumps(value, sort_keys=True).encode()


def _depth(value: object) -> int:
    """Return how deep objects and lists are nested."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)
