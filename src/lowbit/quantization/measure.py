"""How far a layer's deployed output is from the float one, summed batch by batch.

    error = sum (y^ - y)^2 / sum (y - mean_o)^2

Outputs that never change have no variance; the error is then relative to their power, sum y^2, and where
that is zero too, it is 0 or 1: right or wrong.
"""

import numpy as np
import numpy.typing as npt

_ROUNDING = 1e-13
"""Of the power: a variance below it is what float64 leaves of none."""


class ErrorSums:
    """Sums over what was seen of a layer's output."""

    def __init__(self) -> None:
        self._count = self._error = self._power = 0.0
        self._centre: npt.NDArray[np.float64] | None = None

    def add(self, exact: npt.NDArray[np.generic], found: npt.NDArray[np.generic]) -> None:
        """Add outputs `[groups, m, o / groups]` as they should be and as they are."""
        right, got = exact.astype(np.float64), found.astype(np.float64)
        if not right.size:
            return
        if self._centre is None:
            self._centre = right.mean(axis=1, keepdims=True)
            self._first, self._second = np.zeros_like(self._centre), 0.0
        shifted = right - self._centre
        self._count += right.shape[1]
        self._first += shifted.sum(axis=1, keepdims=True)
        self._second += float((shifted**2).sum())
        self._power += float((right**2).sum())
        self._error += float(((got - right) ** 2).sum())

    def relative(self) -> float:
        """Return the error."""
        if self._centre is None or not self._error:
            return 0.0
        spread = self._second - float((self._first**2).sum()) / self._count
        scale = spread if spread > _ROUNDING * self._power else self._power
        return self._error / scale if scale else 1.0
