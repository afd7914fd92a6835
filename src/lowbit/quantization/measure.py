"""How far a layer's deployed output is from the float one.

    error = sum (y^ - y)^2 / sum (y - mean_o)^2

Outputs that never change have no variance; the error is then relative to their power, sum y^2, and where
that is zero too, it is 0 or 1: right or wrong.
"""

import numpy as np
import numpy.typing as npt

_ROUNDING = 1e-13
"""Of the power: a variance below it is what float64 leaves of none."""

_BLOCK = 4096


def relative_error(exact: npt.NDArray[np.generic], found: npt.NDArray[np.generic]) -> float:
    """Return the error of outputs `[groups, m, o / groups]`, as they should be and as they are."""
    if not exact.size:
        return 0.0
    centre = exact.mean(axis=1, keepdims=True, dtype=np.float64)
    spread = power = error = 0.0
    for start in range(0, exact.shape[1], _BLOCK):
        right, got = (array[:, start : start + _BLOCK].astype(np.float64) for array in (exact, found))
        spread += float(((right - centre) ** 2).sum())
        power += float((right**2).sum())
        error += float(((got - right) ** 2).sum())
    if not error:
        return 0.0
    scale = spread if spread > _ROUNDING * power else power
    return error / scale if scale else 1.0
