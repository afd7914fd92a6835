"""Thresholds of the regions of a map: mostly those of one region, moved by what padding leaves out.

    rank = #{sum - moved_r > T_k}

Only where a threshold was rounded the other way does a region have a row of its own.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Moved:
    """``thresholds[which]``, of ``[rows, steps]``, for sums less `moved`: ``[regions * outputs]`` each."""

    thresholds: Integers
    which: Integers
    moved: Integers


def moved_rows(thresholds: Integers, outputs: int, bound: int) -> Moved:
    """Return the rows that thresholds need, and for each row of theirs which one it is, moved by how much.

    Args:
        thresholds: ``[regions * outputs, steps]``, rising.
        outputs: of the layer.
        bound: the largest magnitude of a sum.
    """
    pool: list[Integers] = []
    variants: dict[int, list[int]] = {}
    which, moved = np.zeros(len(thresholds), np.int64), np.zeros(len(thresholds), np.int64)
    for number, wanted in enumerate(thresholds):
        found = variants.setdefault(number % outputs, [])
        for each in found:
            distance = _distance(pool[each], wanted, bound)
            if distance is not None:
                which[number], moved[number] = each, distance
                break
        else:
            which[number] = len(pool)
            found.append(len(pool))
            pool.append(wanted)
    reach = bound + int(np.abs(moved).max()) + 1
    return Moved(np.clip(np.stack(pool), -reach, reach), which, moved)


def _distance(base: Integers, wanted: Integers, bound: int) -> int | None:
    """Return by how much sums are less where `base` ranks them as `wanted` does, or None."""
    inside = (wanted >= -bound) & (wanted < bound)
    distance = int(np.median(wanted[inside] - base[inside])) if inside.any() else 0
    same = np.clip(base + distance, -bound - 1, bound) == np.clip(wanted, -bound - 1, bound)
    return distance if same.all() else None
