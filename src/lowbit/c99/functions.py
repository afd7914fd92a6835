"""Functions of one real between a layer and an encoder become the layer's thresholds, where that is proved.

A code behind a leaky ReLU, a hard swish and the like depends on one float32 that rises with the layer's sum.
So the code is known by the numbers at which it changes. They are found by halving the line of all float32 as
long as bounds of the function at both ends leave the code open, in the engine's own float32 arithmetic, whose
operations keep the order of bounds. Each such number is a sum of every output.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.c99.inputs import Encoder, Ranking, encoded
from lowbit.ir.deployed import largest_where
from lowbit.program import steps

Integers = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float32]
Bounds = tuple[Reals, Reals]

FullyConnected = steps.PlaneFullyConnected | steps.ByteFullyConnected | steps.WordFullyConnected
Layer = FullyConnected | steps.PlaneConvolution | steps.ByteConvolution | steps.WordConvolution
"""Layers of integers."""
_MOST_PIECES = 1024
_MOST_OPEN = 1 << 18
_MOST_SUM = 1 << 40
_FAR = np.float32(2.0**80)
"""No layer's real is beyond: it leaves room for products of two."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """Codes of float32: ``codes[k]`` from ``first[k]`` on; of an encoder with a table the ranks."""

    first: Reals
    codes: Integers


def folded(step: Encoder, made: Mapping[int, steps.Step], form: steps.Form) -> steps.Step | None:
    """Return the layer that makes an encoder's codes of its sums, or None where functions do not let it.

    Args:
        step: the encoder.
        made: all steps, by the number of what they make.
        form: of the codes.
    """
    source = source_of(step.sources[0], made)
    layer = made.get(source)
    if layer is None and source != step.sources[0]:
        return _of_input(step, made, source)
    if not isinstance(layer, Layer):
        return None
    ending, outputs = layer.ending, outputs_of(layer)
    if not isinstance(ending, steps.RealEnding) or (ending.scale <= 0).any():
        return None
    regions = max(len(ending.bias) // outputs, 1)
    different = range(1 if alike(step, made, source) else outputs)
    parts = [_pieces(step, made, source, output, outputs) for output in different]
    if any(part is None for part in parts):
        return None
    order, found = _aligned([part for part in parts if part is not None])
    if not found:
        return None
    thresholds = np.stack(
        [_sums(ending, found[row % outputs % len(found)], row) for row in range(regions * outputs)]
    )
    thresholds, codes = _taken(thresholds, _entries(step, order))
    if len(codes) > _MOST_PIECES:
        return None
    if form == "planes" and isinstance(step, Ranking) and codes.max() < len(step.table) - 1:
        codes = np.append(codes, len(step.table) - 1)  # as many planes as the encoder's
        thresholds = np.pad(thresholds, ((0, 0), (0, 1)), constant_values=_MOST_SUM)
    return replace(layer, ending=steps.RankEnding(form, thresholds, codes.astype(np.int16).view(np.uint16)))


def _entries(step: Encoder, codes: Integers) -> Integers:
    """Return entries of the codes of pieces."""
    return np.asarray(step.table.astype(np.int64)[codes]) if isinstance(step, Ranking) else codes


def _aligned(parts: list[Pieces]) -> tuple[Integers, list[Pieces]]:
    """Return codes in an order that holds those of all outputs, and their pieces, some empty; or none.

    An output falls and rises, or does one of both: another order of codes is not found.
    """
    order = parts[0].codes
    if any(not np.array_equal(part.codes, order) for part in parts):
        first, least, last = (
            int(pick([at(part.codes) for part in parts]))
            for pick, at in ((max, lambda c: c[0]), (min, np.min), (max, lambda c: c[-1]))
        )
        order = np.r_[np.arange(first, least, -1), np.arange(least, last + 1)]
    found = []
    for part in parts:
        firsts, place = np.full(len(order), np.float32(np.inf)), 0
        for code, first in zip(part.codes, part.first, strict=True):
            ahead = np.flatnonzero(order[place:] == code)
            if not len(ahead):
                return order, []
            firsts[place : place + ahead[0] + 1] = first
            place += int(ahead[0]) + 1
        found.append(Pieces(firsts, order))
    return order, found


def _taken(thresholds: Integers, codes: Integers) -> tuple[Integers, Integers]:
    """Return thresholds ``[rows, steps]`` and codes without those that no sum has."""
    column = np.full((len(thresholds), 1), _MOST_SUM)
    starts = np.concatenate([-column - 1, thresholds], axis=1)
    ends = np.concatenate([thresholds, column], axis=1)
    kept = np.flatnonzero((ends > starts).any(axis=0))
    return ends[:, kept[:-1]], codes[kept]


def _of_input(step: Encoder, made: Mapping[int, steps.Step], source: int) -> steps.Step | None:
    """Return an encoder that reads an input itself, without the functions between."""
    found = _pieces(step, made, source, 0, 1) if alike(step, made, source) else None
    if found is None or len(found.codes) > _MOST_PIECES:
        return None
    thresholds = np.nextafter(found.first[1:], -_FAR)
    codes = _entries(step, found.codes)
    if isinstance(step, steps.EncodePlanes):
        whole = np.array_equal(codes, step.table)
        return replace(step, sources=(source,), thresholds=thresholds) if whole else None
    if isinstance(step, steps.Rank) or codes.min() < 0 or codes.max() > 255:
        return steps.Rank(thresholds, codes.astype(np.int16), sources=(source,))
    return steps.EncodeBytes(thresholds, codes.astype(np.uint8), sources=(source,))


def outputs_of(layer: Layer) -> int:
    """Return how many outputs a layer has."""
    weights = layer.weights
    return len(weights.planes if isinstance(weights, steps.PlaneWeights) else weights.weights)


_Function = steps.Clip | steps.CombineConstant | steps.Combine | steps.Activate


def source_of(number: int, made: Mapping[int, steps.Step]) -> int:
    """Return the number of the one value that functions make a value of, or the value's own."""
    found, rest = set(), [number]
    while rest:
        each = rest.pop()
        step = made.get(each)
        if isinstance(step, _Function) and not (
            isinstance(step, steps.Activate) and step.function not in _RISING
        ):
            rest += step.sources
        else:
            found.add(each)
    return found.pop() if len(found) == 1 else number


def alike(step: Encoder, made: Mapping[int, steps.Step], source: int) -> bool:
    """Return whether the functions between a value and an encoder are the same for all its elements."""
    rest = [*step.sources]
    while rest:
        each = rest.pop()
        if each != source:
            inner = made[each]
            if isinstance(inner, steps.CombineConstant) and len(np.unique(inner.row)) > 1:
                return False
            rest += inner.sources
    return True


_RISING = ("identity", "relu")
_OPERATIONS = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "minimum": np.minimum,
    "maximum": np.maximum,
    "divide": np.divide,
}


def evaluated(step: Encoder, made: Mapping[int, steps.Step], source: int, reals: Reals) -> Reals | None:
    """Return what functions between a value and an encoder make of reals, or None where they are others."""
    found = _through(step, made, source, 0, 1)(reals, reals) if alike(step, made, source) else None
    return None if found is None or (found[0] != found[1]).any() else found[0]


def _through(
    step: Encoder, made: Mapping[int, steps.Step], source: int, output: int, outputs: int
) -> Callable[[Reals, Reals], Bounds | None]:
    """Return what gives bounds of an output's real at an encoder, of bounds at its layer."""

    def bounds(low: Reals, high: Reals) -> Bounds | None:
        known: dict[int, Bounds] = {source: (low, high)}

        def of(number: int) -> Bounds | None:
            if number not in known:
                inner = made[number]
                given = [of(each) for each in inner.sources]
                found = None
                if all(each is not None for each in given):
                    found = _bounds(inner, [each for each in given if each is not None], output, outputs)
                if found is None:
                    return None
                known[number] = found
            return known[number]

        return of(step.sources[0])

    return bounds


def _pieces(
    step: Encoder, made: Mapping[int, steps.Step], source: int, output: int, outputs: int
) -> Pieces | None:
    """Return an output's code by the real of its layer, or None: too many changes, or other functions."""
    bounds = _through(step, made, source, output, outputs)
    low, high = (np.array([number], np.int64) for number in (ordinal_of(-_FAR), ordinal_of(_FAR)))
    pieces: list[tuple[int, int]] = []
    while len(low):
        found = bounds(float32_of(low), float32_of(high))
        if found is None or len(low) > _MOST_OPEN:
            return None
        ends = [_codes(step, each) for each in found]
        closed = ends[0] == ends[1]
        pieces += zip(low[closed].tolist(), ends[0][closed].tolist(), strict=True)
        low, high = low[~closed], high[~closed]
        if (low == high).any():
            return None  # not a number
        middle = low + (high - low) // 2
        low, high = np.concatenate([low, middle + 1]), np.concatenate([middle, high])
    pieces.sort()
    first, codes = (np.array(each, np.int64) for each in zip(*pieces, strict=True))
    new = np.r_[True, codes[1:] != codes[:-1]]
    return Pieces(float32_of(first[new]), codes[new])


def _codes(step: Encoder, reals: Reals) -> Integers:
    """Return codes of reals, of an encoder with a table the ranks."""
    if not isinstance(step, Ranking):
        return encoded(step, reals)
    ranks = np.searchsorted(step.thresholds, reals.astype(np.float64), side="left")
    return np.asarray(ranks, np.int64)


def _bounds(step: steps.Step, given: list[Bounds], output: int, outputs: int) -> Bounds | None:
    """Return bounds of what a step makes of numbers between bounds: its operations keep their order."""
    low, high = given[0]
    if isinstance(step, steps.Clip):
        ends = np.float32(step.low), np.float32(step.high)
        return np.clip(low, *ends), np.clip(high, *ends)
    if isinstance(step, steps.Activate):
        return (np.maximum(low, 0), np.maximum(high, 0)) if step.function == "relu" else given[0]
    if isinstance(step, steps.CombineConstant):
        row = step.row.reshape(-1, outputs) if step.row.size % outputs == 0 else step.row.reshape(-1, 1)
        column = row[:, output % row.shape[1]]
        if (column != column[0]).any():
            return None
        other = np.broadcast_to(column[0].astype(np.float32), low.shape)
        given = [given[0], (other, other)]
    operation = (
        _OPERATIONS.get(step.operation) if isinstance(step, steps.Combine | steps.CombineConstant) else None
    )
    if operation is None or (operation is np.divide and (given[1][0] * given[1][1] <= 0).any()):
        return None
    with np.errstate(all="ignore"):
        corners = [operation(a, b) for a in given[0] for b in given[1]]
    return np.minimum.reduce(corners), np.maximum.reduce(corners)


def _sums(ending: steps.RealEnding, pieces: Pieces, row: int) -> Integers:
    """Return the largest sum below each piece but the first."""
    scale, bias = ending.scale[row % len(ending.scale)], ending.bias[row] if ending.bias.size else 0.0

    def below(sums: Integers) -> npt.NDArray[np.bool_]:
        return np.asarray((scale * sums.astype(np.float64) + bias).astype(np.float32) < pieces.first[1:])

    count = len(pieces.first) - 1
    return largest_where(below, np.full(count, -_MOST_SUM - 1), np.full(count, _MOST_SUM))


def ordinal_of(real: Any) -> int:
    """Return the number of a float32 among all of them, in order, 0 of both zeros."""
    bits = int(np.float32(real).view(np.int32))
    return bits if bits >= 0 else -(bits & 0x7FFFFFFF)


def float32_of(ordinals: Integers) -> Reals:
    """Return the float32 of their numbers in order."""
    magnitude = np.abs(ordinals).astype(np.int32).view(np.float32)
    return np.where(ordinals < 0, -magnitude, magnitude)
