"""Power of two: zero, or a sign, a scale and a power of two."""

from lowbit.schemes.power_of_two.encoding import LEAST_BITS, MOST_BITS, PowerOfTwo

__all__ = ["LEAST_BITS", "MOST_BITS", "PowerOfTwo"]
