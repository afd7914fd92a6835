"""Squares: level = scale * sign(k) k^2, k = 2 code - (2^bits - 1)."""

from lowbit.schemes.toy_squares.encoding import Squares

__all__ = ["Squares"]
