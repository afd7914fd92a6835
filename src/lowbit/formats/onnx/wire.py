"""A look at protobuf bytes before they are parsed: how many fields there are.

Two bytes can claim a message, and a parsed message takes a hundred times that, so a small file could
ask for gigabytes. Counting fields first, along the schema, bounds what parsing may take. Whether the
bytes are a valid model is for the parser to say.
"""

from functools import cache
from typing import Any

from lowbit.errors import TooLargeError

MAX_FIELDS = 1_000_000

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def check_fields(raw: bytes, descriptor: Any, where: str, most: int = MAX_FIELDS) -> None:
    """Refuse a file of more fields than any network needs.

    Args:
        raw: the file.
        descriptor: the protobuf descriptor of the message that it should be.
        where: how messages call the file.
        most: fields in all, nested ones included.

    Raises:
        TooLargeError: there are more.
    """
    count, waiting = 0, [(0, len(raw), descriptor)]
    while waiting:
        at, end, kind = waiting.pop()
        nested = _nested(kind)
        while at < end:
            count += 1
            if count > most:
                raise TooLargeError(
                    "the file has too many fields",
                    where=where,
                    expected=f"at most {most}",
                    found="more",
                    remedy="Check that this is the file you meant.",
                )
            tag, at = _varint(raw, at)
            wire = tag & 7
            if wire == _VARINT:
                _, at = _varint(raw, at)
            elif wire == _BYTES:
                length, at = _varint(raw, at)
                if tag >> 3 in nested:
                    waiting.append((at, min(at + length, end), nested[tag >> 3]))
                at += length
            elif wire in (_FIXED64, _FIXED32):
                at += 8 if wire == _FIXED64 else 4
            else:
                break  # a group or nonsense: the parser refuses it


@cache
def _nested(descriptor: Any) -> dict[int, Any]:
    """Return the message type of every field that is a message, by number."""
    return {field.number: field.message_type for field in descriptor.fields if field.message_type is not None}


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """Return a number and where it ends; bytes past the end read as zero."""
    number = shift = 0
    while at < len(raw):
        byte = raw[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80 or shift > 63:
            break
    return number, at
