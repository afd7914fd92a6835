"""Integers as few signed powers of two: canonical signed digits.

G. W. Reitwieser, "Binary Arithmetic", Advances in Computers 1, 1960: no two neighbouring digits differ from
zero, and no form of signed digits has fewer that do.
"""

from functools import cache


@cache
def signed_digits(number: int) -> tuple[tuple[int, int], ...]:
    """Return an integer as ``sum of sign * 2**shift``: pairs (shift, sign), the lowest first."""
    found, shift = [], 0
    while number:
        if number & 1:
            sign = 2 - (number & 3)
            found.append((shift, sign))
            number -= sign
        number >>= 1
        shift += 1
    return tuple(found)
