"""The product of signs as the engine counts it, for whoever trains; maps lie channels last."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from lowbit.engine import _core
from lowbit.planes import pack

Floats = npt.NDArray[np.float32]
Pair = tuple[int, int]


def sign_convolution(
    size: Pair,
    weights: npt.NDArray[np.bool_],
    scale: Floats,
    *,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    threads: int = 1,
) -> Callable[[Floats], Floats]:
    """Return ``y(x) = scale_o sum s(x) s(w)``, where s is +1 from zero on, else -1.

    Taps outside the map count nothing. The sums are exact, y is rounded once to float32. It takes dense
    float32 `[n, h, w, c]` and returns `[n, h', w', o]`; other arrays are a `lowbit.errors.DataError`.

    Args:
        size: rows and columns of x.
        weights: `[o, kh, kw, c]`, true for +1.
        scale: `[o]`.
        stride, padding, dilation: rows and columns.
        threads: that share a call.

    Raises:
        EngineError: the window does not fit the map.
    """
    outputs, *kernel, channels = weights.shape
    rows, columns = ([kernel[n], stride[n], padding[n], padding[n], dilation[n]] for n in (0, 1))
    planes = pack(weights.reshape(outputs, -1).view(np.uint8), 1)[:, 0]
    return _core.sign_convolution(
        (channels, *size), rows, columns, planes, scale.astype(np.float64), threads
    ).run
