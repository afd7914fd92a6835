"""The memory that what one file holds may take: decoded samples, folded constants, a program's values.

A small file can ask for any amount. So everything that grows from a file asks here first, and what is too
much ends in an error that names the size, the limit and how to raise it.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from lowbit.errors import DataError, TooLargeError

VARIABLE = "LOWBIT_MEMORY"
"""The environment variable that sets the budget: ``8G``, ``512M``, or bytes."""

RAISE = f"Raise the limit if it is what you meant: {VARIABLE}="
"""What to do where more is meant; a size follows."""

_DEFAULT = 4 << 30
_chosen: ContextVar[int | None] = ContextVar("memory", default=None)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)


def budget() -> int:
    """Return the bytes that may be taken: what `LOWBIT_MEMORY` says, else 4 GiB or half the machine's memory.

    Inside `allowed` it is what that was given.

    Raises:
        DataError: the variable holds no size.
    """
    chosen = _chosen.get()
    if chosen is not None:
        return chosen
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


@contextmanager
def allowed(memory: str | int | None) -> Iterator[None]:
    """Let the budget be a size, as bytes or as people write it, for what runs inside; None changes nothing.

    Raises:
        DataError: it is no size above 0.
    """
    if memory is None:
        yield
        return
    before = _chosen.set(size_of(str(memory), "memory"))
    try:
        yield
    finally:
        _chosen.reset(before)


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
            remedy=f"{RAISE}{-(-size // (1 << 30))}G.",
        )


def _physical() -> int:
    """Return the machine's memory in bytes, or what lets the default stand where that is not known."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 2 * _DEFAULT
