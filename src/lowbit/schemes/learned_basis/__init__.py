"""Learned basis: an offset plus signed basis coefficients."""

from lowbit.schemes.learned_basis.encoding import (
    ACTIVATION_BOUND,
    MAX_BITS,
    WEIGHT_BOUND,
    LearnedBasis,
    of_integers,
    snap,
    snap_weights,
)

__all__ = [
    "ACTIVATION_BOUND",
    "MAX_BITS",
    "WEIGHT_BOUND",
    "LearnedBasis",
    "of_integers",
    "snap",
    "snap_weights",
]
