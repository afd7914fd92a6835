"""A histogram whose range grows by doubling, so that it needs one pass and merges.

The range is [-2^e, 2^e) in equal bins; their width is a power of two, hence a value's bin is exact, and a
range twice as wide joins bins in pairs. Counts are therefore the same in whatever order batches arrive or
histograms merge; sums agree to float64 rounding.

Each value may come with a *target*, what its level should come near to: the same activation in the float
network. A bin keeps the sums of values, targets and squared targets, so nothing is lost to binning but the
order inside a bin.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from lowbit.errors import NumericError

BINS = 1 << 14
_SMALLEST = -120
_ROWS = ("count", "values", "targets", "squares")


@dataclass(eq=False)
class Histogram:
    """Counts and sums per bin.

    Attributes:
        exponent: the range is [-2^exponent, 2^exponent).
        sums: float64 `[4, BINS]`: counts, sums of values, of targets, of squared targets.
        minimum: the smallest value seen; infinity when there was none.
        maximum: the largest value seen.
        targets: the smallest and the largest target seen.
    """

    exponent: int = _SMALLEST
    sums: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros((len(_ROWS), BINS)))
    minimum: float = np.inf
    maximum: float = -np.inf
    targets: tuple[float, float] = (np.inf, -np.inf)

    @property
    def count(self) -> int:
        """How many values were seen."""
        return int(self.sums[0].sum())

    def update(self, values: npt.ArrayLike, targets: npt.ArrayLike | None = None) -> None:
        """Add values, with targets of the same shape, or the values themselves as targets.

        Raises:
            NumericError: a value or target is NaN or infinite.
        """
        flat = np.asarray(values, np.float64).ravel()
        goal = flat if targets is None else np.asarray(targets, np.float64).ravel()
        if not flat.size:
            return
        if not (np.isfinite(flat).all() and np.isfinite(goal).all()):
            raise NumericError("values are not finite", expected="finite values", found="NaN or infinity")
        self.minimum = min(self.minimum, float(flat.min()))
        self.maximum = max(self.maximum, float(flat.max()))
        self.targets = min(self.targets[0], float(goal.min())), max(self.targets[1], float(goal.max()))
        self._grow_to(_exponent_for(max(-self.minimum, self.maximum)))
        index = np.floor(np.ldexp(flat, _bin_shift(self.exponent))).astype(np.int64) + BINS // 2
        for row, weights in enumerate((None, flat, goal, goal * goal)):
            self.sums[row] += np.bincount(index, weights, BINS)

    def merge(self, other: "Histogram") -> None:
        """Add what another histogram saw; the other stays as it is."""
        widened = Histogram(other.exponent, other.sums.copy())
        widened._grow_to(self.exponent)
        self._grow_to(other.exponent)
        self.sums += widened.sums
        self.minimum, self.maximum = min(self.minimum, other.minimum), max(self.maximum, other.maximum)
        self.targets = min(self.targets[0], other.targets[0]), max(self.targets[1], other.targets[1])

    def occupied(self) -> npt.NDArray[np.float64]:
        """Return the sums of the bins that hold something, `[4, used bins]`."""
        return self.sums[:, self.sums[0] > 0]

    def _grow_to(self, exponent: int) -> None:
        # After as many doublings as there are bins to halve, all lies in the two bins next to zero and stays.
        for _ in range(min(exponent - self.exponent, BINS.bit_length()) if self.sums[0].any() else 0):
            joined = self.sums.reshape(len(_ROWS), BINS // 2, 2).sum(axis=2)
            self.sums = np.pad(joined, ((0, 0), (BINS // 4, BINS // 4)))
        self.exponent = max(self.exponent, exponent)


def _exponent_for(magnitude: float) -> int:
    """Return the least exponent with magnitude < 2^exponent."""
    return max(int(np.frexp(magnitude)[1]), _SMALLEST) if magnitude else _SMALLEST


def _bin_shift(exponent: int) -> int:
    """Return s with `bin = floor(value * 2^s)`: a bin is 2^(exponent + 1) / BINS wide."""
    return (BINS.bit_length() - 1) - (exponent + 1)
