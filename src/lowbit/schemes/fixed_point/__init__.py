"""Fixed point Qm.n: two's complement numbers with a fixed place of the point."""

from lowbit.schemes.fixed_point.encoding import MOST_BITS, ROUNDINGS, FixedPoint

__all__ = ["MOST_BITS", "ROUNDINGS", "FixedPoint"]
