"""The last layer's scores as int32 of one scale, in the order of the real ones.

    score_o = (multiplier_o * sum_o + addend_o) >> shift

with as many bits as int32 holds. That the order of any two real scores ``float32(scale_o * sum_o + bias_o)``
is that of their integers is looked at for all sums that there can be, as far as they are few enough; real
scores that are one float32 may come in either order.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]

_BITS = 30
_MOST_SUMS = 1 << 21
_MOST_CLASSES = 64


@dataclass(frozen=True, eq=False)
class Scores:
    """How sums become scores.

    Attributes:
        multiplier, addend: ``[o]``.
        shift: of all.
        proved: whether every order was looked at.
    """

    multiplier: Integers
    addend: Integers
    shift: int
    proved: bool

    def of(self, sums: Integers, output: int) -> Integers:
        """Return the scores of an output's sums."""
        return np.asarray((sums * self.multiplier[output] + self.addend[output]) >> self.shift, np.int64)


def scores_of(scale: Reals, bias: Reals, bound: int) -> Scores:
    """Return how sums up to a bound become scores.

    Args:
        scale, bias: of the real scores, ``[o]``.
        bound: the largest magnitude of a sum.
    """
    reach = float((scale * (bound + 1) + np.abs(bias)).max())
    unit = reach / (1 << _BITS)
    shift = 0
    while (
        shift < _BITS
        and scale.max() / unit * 2.0 ** (shift + 1) < 1 << 31
        and (bound << (shift + 32)) < 1 << 62
    ):
        shift += 1
    multiplier = np.rint(scale / unit * 2.0**shift).astype(np.int64)
    addend = np.rint(bias / unit * 2.0**shift).astype(np.int64)
    found = Scores(multiplier, addend, shift, proved=False)
    few = len(scale) * (2 * bound + 1) <= _MOST_SUMS and 1 < len(scale) <= _MOST_CLASSES
    return Scores(multiplier, addend, shift, proved=few and keeps_order(found, scale, bias, bound))


def keeps_order(scores: Scores, scale: Reals, bias: Reals, bound: int) -> bool:
    """Return whether of any two real scores of two outputs the larger has the larger integer."""
    sums = np.arange(-bound, bound + 1)
    real = [
        (factor * sums + constant).astype(np.float32) for factor, constant in zip(scale, bias, strict=True)
    ]
    whole = [scores.of(sums, output) for output in range(len(scale))]
    for i, (mine, score) in enumerate(zip(real, whole, strict=True)):
        for j, (others, other) in enumerate(zip(real, whole, strict=True)):
            below = np.searchsorted(others, mine, side="left")
            some = below > 0
            if i != j and not (other[below[some] - 1] < score[some]).all():
                return False
    return True
