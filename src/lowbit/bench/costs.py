"""What layers of every path and level cost on this machine, for the file that `LOWBIT_COSTS` names.

Layers of 2-bit weights and codes, forced onto the path: a fully connected one for one sample, and a 3×3
convolution of two depths. What the deeper one takes longer are its multiply-adds; what is left of the
other is the ending of its sums. Picoseconds, the quickest of many runs.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lowbit.engine import _core, kernel_levels
from lowbit.ir.window import Axis
from lowbit.program import steps

HEADING = "lowbit costs 1"

_ROUNDS, _REPEATS = 7, 60
_BITS = 2
_FEATURES, _CHANNELS = 1024, 512
_SIDE, _KERNEL, _DEPTHS, _OUTPUTS = 16, 3, (64, 256), 64


@dataclass(frozen=True)
class Cost:
    """A row of the table of paths, in picoseconds; see ``cpp/core/paths.inc``."""

    path: str
    level: str
    fully_connected: float
    convolution: float
    ending: float


def measure_costs() -> list[Cost]:
    """Return the rows of the table whose levels this machine has, measured."""
    here = kernel_levels()
    rows = ((path, level, by_bits) for path, level, by_bits, *_ in _core.path_costs())
    return [_cost(path, level, _BITS**2 if by_bits else 1) for path, level, by_bits in rows if level in here]


def lines(costs: list[Cost], made: str) -> Iterator[str]:
    """Yield the lines of a file of costs; `made` says where they come from."""
    yield HEADING
    yield f"# {made}"
    for one in costs:
        yield f"{one.path} {one.level} {one.fully_connected:.4f} {one.convolution:.4f} {one.ending:.4f}"


def _cost(path: str, level: str, pairs: int) -> Cost:
    row = _seconds(_layer(path, level), _FEATURES, 1)
    shallow, deep = (_seconds(_convolution(path, level, depth), depth * _SIDE**2, 2) for depth in _DEPTHS)
    sums = _SIDE**2 * _OUTPUTS
    each = max(deep - shallow, deep / 100) / (sums * _KERNEL**2 * (_DEPTHS[1] - _DEPTHS[0])) / pairs
    ending = shallow / sums - each * pairs * _KERNEL**2 * _DEPTHS[0]
    product = row / (_FEATURES * _CHANNELS) / pairs
    return Cost(path, level, product * 1e12, each * 1e12, max(ending, 0.0) * 1e12)


def _seconds(program: _core.Program, features: int, step: int) -> float:
    x = np.random.default_rng(0).normal(size=(1, features)).astype(np.float32)
    return min(program.profile((x,), _REPEATS)[step] for _ in range(_ROUNDS))


def _layer(path: str, level: str) -> _core.Program:
    layer = steps.PlaneFullyConnected(_weights(_CHANNELS, _FEATURES), _ending(_CHANNELS), sources=(1,))
    return _program(path, level, _FEATURES, _encoder(), layer)


def _convolution(path: str, level: str, depth: int) -> _core.Program:
    axis = Axis(_SIDE, _KERNEL, before=1, after=1)
    weights = _weights(_OUTPUTS, depth * _KERNEL**2)
    layer = steps.PlaneConvolution(axis, axis, 1, weights, _ending(_OUTPUTS), sources=(2,))
    arranged = steps.Arrange(depth, _SIDE, _SIDE, sources=(0,))
    encoder = steps.EncodePlanes(*_codes(), sources=(1,))
    return _program(path, level, depth * _SIDE**2, arranged, encoder, layer, steps.Flatten(sources=(3,)))


def _codes() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    return np.linspace(-1, 1, (1 << _BITS) - 1, dtype=np.float32), np.arange(1 << _BITS, dtype=np.uint8)


def _encoder() -> steps.Step:
    return steps.EncodePlanes(*_codes(), sources=(0,))


def _weights(channels: int, inputs: int) -> steps.PlaneWeights:
    words = np.random.default_rng(1).integers(0, 1 << 32, (channels, _BITS, inputs // 32), dtype=np.uint32)
    factors = 1 << np.arange(_BITS, dtype=np.int32)
    return steps.PlaneWeights(words, np.tile(factors, (channels, 1)), np.zeros(0, np.int32), factors)


def _ending(channels: int) -> steps.PlaneEnding:
    ends = np.tile(np.array([-100, 0, 100], np.int32), (channels, 1))
    return steps.PlaneEnding(ends, np.arange(1 << _BITS, dtype=np.uint8))


def _program(path: str, level: str, features: int, *plan: steps.Step) -> _core.Program:
    loader = _core.Loader([features], level, path=path)
    for step in plan:
        loader.add(step)
    loader.add(steps.Decode(np.arange(1 << _BITS, dtype=np.float32), sources=(len(plan),)))
    outputs = _SIDE**2 * _OUTPUTS if len(plan) > 2 else _CHANNELS
    return loader.finish([len(plan) + 1], [("input", [1, features]), ("output", [1, outputs])])
