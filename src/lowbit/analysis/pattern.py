"""What a difference between two arrays looks like, in words: the first hint of what made it.

Places are judged before sizes, the narrowest first: one channel points at a constant of it, edges of maps at
padding, the last channels at the rest behind whole vectors, codes that are one apart at a rounding.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]
Booleans = npt.NDArray[np.bool_]

VECTORS = (64, 32, 16, 8, 4)
"""Channels that kernels take at a time."""


def pattern_of(expected: Array, found: Array, differs: Booleans) -> str:
    """Return where and how two arrays differ, a clause or two.

    Args:
        expected, found: ``[n, c, ...]``, codes or reals.
        differs: where; at least one place.
    """
    return ", ".join([*_places(differs), _sizes(expected, found, differs)])


def _places(differs: Booleans) -> Iterator[str]:
    if differs.ndim < 2 or differs.all():
        yield "everywhere" if differs.all() else "in some places"
        return
    samples, channels = np.flatnonzero(differs.any(axis=tuple(range(1, differs.ndim)))), _channels(differs)
    if len(samples) == 1 < len(differs):
        yield f"in sample {samples[0]} of {len(differs)} alone"
    if len(channels) == 1 < differs.shape[1]:
        yield f"in channel {channels[0]} of {differs.shape[1]} alone: perhaps a constant of it"
    elif _is_rest(channels, differs.shape[1]):
        yield f"in the last {len(channels)} of {differs.shape[1]} channels: those behind whole vectors"
    else:
        yield f"in {len(channels)} of {differs.shape[1]} channels"
    if _at_edges(differs):
        yield "at the edges of maps alone: perhaps padding"


def _channels(differs: Booleans) -> npt.NDArray[np.intp]:
    return np.flatnonzero(differs.any(axis=tuple(axis for axis in range(differs.ndim) if axis != 1)))


def _is_rest(channels: npt.NDArray[np.intp], count: int) -> bool:
    """Return whether differing channels are those that a kernel takes after its last whole vector."""
    first = int(channels[0])
    return first > 0 and any(first == count - count % width for width in VECTORS if count % width)


def _at_edges(differs: Booleans) -> bool:
    maps = differs.shape[2:]
    if not maps or min(maps) < 3:
        return False
    inside = (slice(None), slice(None), *(slice(1, -1) for _ in maps))
    return not differs[inside].any()


def _sizes(expected: Array, found: Array, differs: Booleans) -> str:
    right, got = expected[differs].astype(np.float64), found[differs].astype(np.float64)
    largest = float(np.abs(right - got).max())
    if expected.dtype.kind not in "iub":
        return f"by up to {largest:.3g}"
    if largest == 1:
        return "by one each: perhaps a rounding"
    if len(got) > 1 == len(set(got)):
        return f"all {got[0]:g} there: perhaps a limit"
    return f"by up to {largest:g}"
