"""How one value lies in another: the axes of a value as runs over the axes of its source.

    source [n, c, h, w]     value [n, h, w, c]      ((0,), (2,), (3,), (1,))
                            value [n, c h w]        ((0,), (1, 2, 3))
                            value [n, h w c]        ((0,), (2, 3, 1))
    source [n, c, 1, l]     value [n, c, l]         ((0,), (1,), (2, 3))

Transposing and reshaping only change this, so that they need not be done before somebody asks for the value.
Every axis of the source stands in it once; an axis of length 1 may be a run over none.
"""

from math import prod

import numpy as np
import numpy.typing as npt

from lowbit.ir.graph import Dimension, Shape

Axes = tuple[tuple[int, ...], ...]


def plain(rank: int) -> Axes:
    """Return the arrangement of a value that is its source."""
    return tuple((axis,) for axis in range(rank))


def order_of(axes: Axes) -> tuple[int, ...]:
    """Return the axes of the source in the order in which the value runs over them."""
    return tuple(axis for group in axes for axis in group)


def moves_nothing(axes: Axes, source: Shape) -> bool:
    """Return whether the elements stay in their order: the value is the source, reshaped."""
    long = [axis for axis in order_of(axes) if source[axis] != 1]
    return long == sorted(long)


def transposed(axes: Axes, permutation: tuple[int, ...]) -> Axes:
    """Return the arrangement of the value with its axes in another order."""
    return tuple(axes[axis] for axis in permutation)


def regrouped(axes: Axes, source: Shape, wanted: Shape) -> Axes | None:
    """Return the arrangement of the value reshaped, or None where a length would split a source axis."""
    rest = list(order_of(axes))
    groups: list[tuple[int, ...]] = []
    for length in wanted:
        group = _taken(rest, source, length)
        if group is None:
            return None
        groups.append(group)
    if any(source[axis] != 1 for axis in rest) or not groups:
        return None
    groups[-1] += tuple(rest)
    return tuple(groups)


def _taken(rest: list[int], source: Shape, length: Dimension) -> tuple[int, ...] | None:
    """Take the axes that make one of that length off the front, or return None where there are none."""
    group: list[int] = []
    while rest and _length(source, group) != length:
        if source[rest[0]] != 1 and length == 1:
            break
        group.append(rest.pop(0))
    if length == 1 and not group and rest and source[rest[0]] == 1:
        group.append(rest.pop(0))
    return tuple(group) if _length(source, group) == length else None


def _length(source: Shape, group: list[int]) -> Dimension | None:
    """Return the length of a run over axes: a number, a name where only that is long, or None."""
    lengths = [source[axis] for axis in group if source[axis] != 1]
    if all(isinstance(length, int) for length in lengths):
        return prod(length for length in lengths if isinstance(length, int))
    return lengths[0] if len(lengths) == 1 else None


def composed(inner: Axes, outer: Axes, source: Shape, shape: Shape) -> Axes | None:
    """Return how a value of ``outer`` seen from its own source lies in the source of ``inner``.

    Both describe one value: ``inner`` says how it lies in what there is, of shape ``source``; ``outer`` how
    it should lie in a source of another order of axes, which here has the lengths ``shape``. Returned is how
    that other source lies in what there is, or None where an axis would have to be split.
    """
    found: dict[int, tuple[int, ...]] = {}
    for there, wanted in zip(inner, outer, strict=True):
        if len(wanted) == 1:
            found[wanted[0]] = there
            continue
        parts = regrouped((there,), source, tuple(shape[axis] for axis in wanted)) if wanted else ()
        if parts is None or (not wanted and any(source[axis] != 1 for axis in there)):
            return None
        found |= dict(zip(wanted, parts, strict=True))
    result = [found[axis] for axis in range(len(shape))]
    missing = set(range(len(source))) - set(order_of(tuple(result)))
    if missing and result:  # axes of length 1 that the value did not have
        result[-1] += tuple(sorted(missing))
    return tuple(result)


def lengths_in_source(axes: Axes, source: Shape, shape: Shape) -> Shape | None:
    """Return the shape, in the order of the source, of an operand that is broadcast to a value.

    Args:
        axes, source: how the value lies in its source, and the shape of that.
        shape: of the operand, of the value's rank: 1, or the value's own length, along each axis.
    """
    lengths: list[Dimension] = [1] * len(source)
    for group, length in zip(axes, shape, strict=True):
        if length == 1:
            continue
        if len(group) == 1:
            lengths[group[0]] = length
        elif _length(source, list(group)) == length:
            for axis in group:
                lengths[axis] = source[axis]
        else:
            return None
    return tuple(lengths)


def constant_in_source(axes: Axes, lengths: Shape, data: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Return a constant of the value's rank with its axes as in the source, of shape ``lengths``."""
    order = order_of(axes)
    split = data.reshape([int(lengths[axis]) for axis in order])
    return np.ascontiguousarray(split.transpose(np.argsort(order)))
