"""How much a data file may become: of its own size, and of the memory budget.

Every sample ends as float32 beside the numbers that it was read as, and that sum is what the budget bounds.
"""

from math import prod

import numpy as np

from lowbit.budget import check_budget
from lowbit.errors import TooLargeError

SMALL = 1 << 26  # bytes that any file may expand to
MOST_EXPANSION = 200  # times its size, above that
REAL = 4  # bytes of a sample's number in the end


def check_expansion(size: int, stored: int, where: str, *, small: int = SMALL) -> None:
    """Refuse contents that the stored bytes do not account for.

    Args:
        size: in bytes, unpacked, as far as it is known.
        stored: of the file, or of its part.
        where: the file.
        small: what is let through in any case.

    Raises:
        TooLargeError: it expands too far, or takes more than the memory budget.
    """
    allowed = max(small, MOST_EXPANSION * stored)
    if size > allowed:
        raise TooLargeError(
            "the file expands too far",
            where=where,
            expected=f"at most {allowed} bytes from {stored}",
            found=f"{size} bytes",
            remedy="Save it without compression if it is what you meant.",
        )
    check_budget(size, where, "what the file holds")


def check_samples_size(shape: tuple[int, ...], dtype: "np.dtype[np.generic]", where: str) -> None:
    """Refuse samples that would take more than the memory budget, as they are and as float32.

    Raises:
        TooLargeError: they would.
    """
    check_budget(prod(shape) * (dtype.itemsize + REAL), where, "the samples")
