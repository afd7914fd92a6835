"""The memory that what one file holds may take: decoded samples, folded constants, a program's values.

A small file can ask for any amount. So everything that grows from a file asks here first, and what is too
much ends in an error that names the size, the limit and how to raise it.
"""

import os
import re

from lowbit.errors import DataError, TooLargeError

VARIABLE = "LOWBIT_MEMORY"
"""The environment variable that sets the budget: ``8G``, ``512M``, or bytes."""

_DEFAULT = 4 << 30
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)


def budget() -> int:
    """Return the bytes that may be taken: what `LOWBIT_MEMORY` says, else 4 GiB or half the machine's memory.

    Raises:
        DataError: the variable holds no size.
    """
    text = os.environ.get(VARIABLE, "").strip()
    return size_of(text, VARIABLE) if text else min(_DEFAULT, _physical() // 2)


def size_of(text: str, where: str) -> int:
    """Return the bytes of a size as people write it; a unit is a power of 1024.

    Raises:
        DataError: it is no size above 0.
    """
    found = _SIZE.fullmatch(text.strip())
    size = int(float(found[1]) * _UNITS[found[2].upper()]) if found else 0
    if size < 1:
        raise DataError(
            "this is no size of memory", where=where, expected="such as 512M or 8G", found=repr(text)
        )
    return size


def check_budget(size: int, where: str, what: str) -> None:
    """Refuse what is too large, before the memory is taken.

    Args:
        size: in bytes, all together.
        where: the file.
        what: what would take it: "the samples".

    Raises:
        TooLargeError: more than `budget`.
    """
    limit = budget()
    if size > limit:
        raise TooLargeError(
            f"{what} would take too much memory",
            where=where,
            expected=f"at most {limit} bytes",
            found=f"{size} bytes",
            remedy=f"Raise the limit if it is what you meant: {VARIABLE}={-(-size // (1 << 30))}G.",
        )


def _physical() -> int:
    """Return the machine's memory in bytes, or what lets the default stand where that is not known."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 2 * _DEFAULT
