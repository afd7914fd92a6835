"""All stages of a network as one circuit: every pixel, every channel, at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import gcd
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from lowbit.ir.window import Window
from lowbit.rtl.array.endings import Ending, Steps
from lowbit.rtl.array.network import PICTURE, Add, ArrayNetwork, Concat, Layer, Pool, Recode, Stage
from lowbit.rtl.integers import Range
from lowbit.rtl.unroll.circuit import Circuit, Input
from lowbit.rtl.unroll.endings import Number, Place, coded
from lowbit.rtl.unroll.sharing import Row, Term, shared

Integers = npt.NDArray[np.int64]

Map = np.ndarray[tuple[int, ...], Any]
"""Numbers ``[rows, columns, channels]``, of objects."""

ONE = Place(0, 0, 0)


@dataclass
class Unrolled:
    """A network as a circuit.

    Attributes:
        circuit: all values.
        numbers: of every stage, and of the picture.
        added: how many values each stage has added.
    """

    circuit: Circuit = field(default_factory=Circuit)
    numbers: dict[str, Map] = field(default_factory=dict)
    added: dict[str, range] = field(default_factory=dict)


def unrolled(network: ArrayNetwork, *, bytes_in: bool) -> Unrolled:
    """Return the circuit of a network.

    Args:
        network: its integers.
        bytes_in: whether the inputs are bytes, which become ranks in the circuit, or ranks.
    """
    made = Unrolled()
    made.numbers[PICTURE] = _picture(made.circuit, network, bytes_in=bytes_in)
    for stage in network.stages:
        before = len(made.circuit)
        made.numbers[stage.name] = _stage(made, stage)
        made.added[stage.name] = range(before, len(made.circuit))
    return made


def _picture(circuit: Circuit, network: ArrayNetwork, *, bytes_in: bool) -> Map:
    channels, rows, columns = network.shape
    pixels = np.broadcast_to(network.pixels, (channels, 256))
    found = np.empty((rows, columns, channels), object)
    for number, at in enumerate(np.ndindex(found.shape)):
        own = pixels[at[2]]
        reached = Range(0, 255) if bytes_in else Range(int(own.min()), int(own.max()))
        value = Number.rank(circuit, circuit.add(Input(number), reached))
        found[at] = _byte_as_rank(circuit, value, own) if bytes_in else value
    return found


def _byte_as_rank(circuit: Circuit, byte: Number, ranks: Integers) -> Number:
    """Return the rank of a byte: by steps where it rises, else by a table."""
    if (np.diff(ranks) >= 0).all():
        steps = [
            np.searchsorted(ranks, rank, "right") - 1 for rank in range(int(ranks.min()), int(ranks.max()))
        ]
        rank = coded(circuit, byte, Steps(np.array(steps, np.int64).reshape(1, 1, 1, -1)), ONE)
        return Number(rank.term, rank.constant + int(ranks.min()))
    return Number.rank(circuit, circuit.table(byte.value, dict(enumerate(ranks.tolist()))))


def _stage(made: Unrolled, stage: Stage) -> Map:
    circuit, sources = made.circuit, [made.numbers[name] for name in stage.sources]
    match stage:
        case Layer():
            return _layer(circuit, stage, sources[0])
        case Pool():
            return _sums(circuit, stage, sources[0]) if stage.sums else _largest(circuit, stage, sources[0])
        case Recode():
            return _recoded(circuit, sources[0], stage)
        case Concat():
            return np.concatenate(sources, axis=2)
        case Add():
            return _added(circuit, stage, *sources)


def _layer(circuit: Circuit, layer: Layer, source: Map) -> Map:
    rows, columns = layer.window
    source = source.reshape(rows.extent, columns.extent, -1)
    levels = np.empty(source.shape, object)
    for at in np.ndindex(source.shape):
        levels[at] = _level(circuit, _at(source, at), layer.levels.tolist())
    weights, each = layer.weights.tolist(), layer.outputs // layer.group
    width = int(layer.weights.shape[3])
    wanted = []
    for y, x in np.ndindex(rows.outputs, columns.outputs):
        taps = list(_taps(layer.window, y, x))
        for o in range(layer.outputs):
            first = o // each * width
            wanted.append(
                [
                    (levels[row, column, first + c], weights[o][ky][kx][c])
                    for ky, kx, row, column in taps
                    for c in range(width)
                ]
            )
    sums = _combined(circuit, wanted)
    found = np.empty((rows.outputs, columns.outputs, layer.outputs), object)
    for at, total in zip(np.ndindex(found.shape), sums, strict=True):
        found[at] = total
    return (
        found if layer.thresholds is None else _ended(circuit, found, layer.window, Steps(layer.thresholds))
    )


def _at(numbers: Map, place: tuple[int, ...]) -> Number:
    return cast(Number, numbers[place])


def _level(circuit: Circuit, rank: Number, levels: Sequence[int]) -> Number:
    """Return the level of a rank: ``gain * rank + constant`` where levels lie evenly, else from a table."""
    if rank.term is None:
        return Number(None, levels[rank.constant])
    reached = circuit.ranges[rank.value]
    own = levels[reached.low + rank.constant : reached.high + rank.constant + 1]
    step = gcd(*(level - own[0] for level in own))
    entries = {reached.low + at: (level - own[0]) // step for at, level in enumerate(own)}
    if all(entry == at - reached.low for at, entry in entries.items()):
        return Number(rank.term, own[0] - step * reached.low, step)
    return Number(Term(circuit.table(rank.value, entries), 0, 1), own[0], step)


def _taps(window: Window, y: int, x: int) -> Iterable[tuple[int, int, int, int]]:
    """Yield the taps of an output that are no padding: place in the kernel, and in the map."""
    rows, columns = (axis.positions()[at] for axis, at in zip(window, (y, x), strict=True))
    for ky, row in enumerate(rows.tolist()):
        for kx, column in enumerate(columns.tolist()):
            if 0 <= row < window[0].extent and 0 <= column < window[1].extent:
                yield ky, kx, row, column


def _combined(circuit: Circuit, wanted: Sequence[Sequence[tuple[Number, int]]]) -> list[Number]:
    """Return sums of numbers times constants."""
    rows: list[Row] = []
    gains, constants = [], []
    for terms in wanted:
        row: dict[int, int] = {}
        for number, weight in terms:
            if number.term is not None and weight:
                term, value = number.term, number.term.value
                row[value] = row.get(value, 0) + term.sign * (weight * number.gain << term.shift)
        own = {value: coefficient for value, coefficient in row.items() if coefficient}
        gain = gcd(*own.values()) or 1
        rows.append({value: coefficient // gain for value, coefficient in own.items()})
        gains.append(gain)
        constants.append(sum(number.constant * weight for number, weight in terms))
    terms_of = shared(circuit, rows)
    return [Number(*each) for each in zip(terms_of, constants, gains, strict=True)]


def _ended(circuit: Circuit, numbers: Map, window: Window, ending: Ending) -> Map:
    """Return the ranks of numbers that a window gave."""
    row_of, column_of = (axis.classes()[0].tolist() for axis in window)
    found = np.empty(numbers.shape, object)
    for y, x, channel in np.ndindex(numbers.shape):
        place = Place(row_of[y], column_of[x], channel)
        found[y, x, channel] = coded(circuit, _at(numbers, (y, x, channel)), ending, place)
    return found


def _recoded(circuit: Circuit, source: Map, stage: Recode) -> Map:
    return _ended(circuit, source, stage.window, stage.ending)


def _sums(circuit: Circuit, pool: Pool, source: Map) -> Map:
    rows, columns = pool.window
    found = np.empty((rows.outputs, columns.outputs, pool.channels), object)
    wanted = [
        [(source[row, column, channel], 1) for _, _, row, column in _taps(pool.window, y, x)]
        for y, x, channel in np.ndindex(found.shape)
    ]
    for at, total in zip(np.ndindex(found.shape), _combined(circuit, wanted), strict=True):
        found[at] = total
    return found


def _largest(circuit: Circuit, pool: Pool, source: Map) -> Map:
    rows, columns = pool.window
    found = np.empty((rows.outputs, columns.outputs, pool.channels), object)
    for y, x, channel in np.ndindex(found.shape):
        numbers = [source[row, column, channel] for _, _, row, column in _taps(pool.window, y, x)]
        found[y, x, channel] = _larger(circuit, numbers)
    return found


def _larger(circuit: Circuit, numbers: Sequence[Number]) -> Number:
    """Return the largest of ranks."""
    constant = min(number.constant for number in numbers)
    values = [
        circuit.constant(number.constant - constant)
        if number.term is None
        else circuit.offset(number.value, number.constant - constant)
        for number in numbers
    ]
    while len(values) > 1:
        pairs = [circuit.larger(*values[at : at + 2]) for at in range(0, len(values) - 1, 2)]
        values = pairs + values[len(pairs) * 2 :]
    return Number.rank(circuit, values[0], constant)


def _added(circuit: Circuit, stage: Add, one: Map, other: Map) -> Map:
    wanted = [[(_at(one, at), 1), (_at(other, at), 1)] for at in np.ndindex(one.shape)]
    found = np.empty(one.shape, object)
    for at, total in zip(np.ndindex(one.shape), _combined(circuit, wanted), strict=True):
        found[at] = total
    return _ended(circuit, found, stage.window, stage.ending)


def numbers_of(made: Unrolled, network: ArrayNetwork) -> list[Number]:
    """Return the numbers of the last stages, output after output."""
    return [number for head in network.heads for number in made.numbers[head.stage].reshape(-1)]
