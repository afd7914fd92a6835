"""What a network takes, and the one place where samples are compared with it.

Type, shape, layout and range of samples are checked here for every command; what does not fit is refused
by messages of one form, and nothing is rescaled or reordered that could be meant otherwise.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from lowbit.errors import DataError, UnsupportedError
from lowbit.ir import Graph, Node, Trait, has
from lowbit.ir.graph import Shape
from lowbit.ir.input_type import INTEGERS, InputType
from lowbit.schemes import Encoding

Floats = npt.NDArray[np.float32]

_MOST_MOVES = 4
_WHOLE = 1e-3  # by which a real may miss an integer: x / 255 * 255 does not always come back


@dataclass(frozen=True)
class NetworkInput:
    """What a network takes.

    Attributes:
        shape: of one sample; a name stands for any length.
        integers: what integers its own file takes, or None where it takes reals.
        range: reals outside it saturate, or cannot be given to the network's own runtime.
    """

    shape: Shape
    integers: InputType | None = None
    range: tuple[float, float] = (-np.inf, np.inf)

    @classmethod
    def of(cls, graph: Graph, name: str = "") -> Self:
        """Return what a graph takes: of that input, or of its first one.

        Raises:
            ModelFormatError: the file's note on its input is not understood.
            UnsupportedError: it takes nothing.
        """
        if not graph.inputs:
            raise UnsupportedError(
                "the network has no input, so there is nothing to give samples to",
                where=graph.name,
                expected="a network that computes its outputs from samples",
                found=f"outputs of constants alone: {', '.join(graph.outputs)}",
            )
        name = name or graph.inputs[0]
        dtype = graph.value(name).dtype
        noted = InputType.of(graph) if name == graph.inputs[0] else None
        integers = InputType(dtype) if dtype in INTEGERS else noted
        return cls(graph.value(name).shape[1:], integers, _range(graph, integers, name))

    @property
    def counts(self) -> bool:
        """Whether it takes integers that are the numbers themselves, and not codes of others."""
        return self.integers is not None and self.integers.scale is None

    def outside(self, samples: Floats) -> int:
        """Return how many values are outside the range."""
        low, high = self.range
        return int(((samples < low) | (samples > high)).sum())


def shaped(samples: Floats, shape: Shape, name: str, layout: str = "") -> tuple[Floats, bool]:
    """Return samples in the shape that a network takes, and whether channels moved to the last axis.

    Axes of length 1 come and go, and a picture ``[c, h, w]`` becomes a row or the reverse. Samples of known
    layout are turned to channels last where the network has them last.

    Args:
        samples: ``[n, ...]``.
        shape: of one sample; a name stands for any length where the number of axes agrees.
        name: how messages call the samples.
        layout: ``nchw`` where the source says so.

    Raises:
        DataError: another shape, or another order of the axes, which is named.
    """
    found = samples.shape[1:]
    if _fits(found, shape):
        return samples, False
    if layout == "nchw" and len(found) == 3 and _fits((found[1], found[2], found[0]), shape):
        return np.ascontiguousarray(samples.transpose(0, 2, 3, 1)), True
    wanted = tuple(length for length in shape if isinstance(length, int))
    orders = _orders(found, wanted, layout)
    if len(wanted) != len(shape) or orders or not _reshapes(found, wanted):
        raise misfit(
            name,
            f"samples {_text(shape)}{orders[1] if orders else ''}",
            f"{_text(found)}{orders[0] if orders else ''}",
            orders[2] if orders else "Use the data that the network was trained on.",
        )
    return samples.reshape(len(samples), *wanted), False


def whole(samples: Floats, integers: InputType, name: str) -> Floats:
    """Return reals as the integers that they are.

    Raises:
        DataError: fractions, for a network that takes integers.
    """
    rounded = np.rint(samples)
    if not (np.abs(samples - rounded) <= _WHOLE).all():
        low, high = integers.range
        raise misfit(
            name,
            f"integers ({integers.dtype}, {low} to {high})",
            f"fractions, from {samples.min():g} to {samples.max():g}",
            "Give the integers themselves, or multiply the samples: --scale 255 (scale=255 in Python).",
        )
    return samples if np.array_equal(rounded, samples) else rounded


def misfit(name: str, expected: str, found: str, remedy: str) -> DataError:
    """Return the error of samples that do not fit, whatever it is that does not."""
    return DataError(
        "samples do not fit the network", where=name, expected=expected, found=found, remedy=remedy
    )


def _range(graph: Graph, integers: InputType | None, name: str) -> tuple[float, float]:
    """Return the reals that the input can tell apart: of its type, or of what encodes it."""
    if integers is not None:
        low, high = (integers.level(code) for code in integers.range)
        half = (integers.scale or 0.0) / 2
        return low - half, high + half
    readers = _behind_moves(graph, name)
    found = [_encoded(graph.value(node.outputs[0]).encoding) for node in readers if node.op == "Encode"]
    if not found or len(found) != len(readers):
        return -np.inf, np.inf
    return min(low for low, _ in found), max(high for _, high in found)


def _behind_moves(graph: Graph, name: str) -> list[Node]:
    """Return the nodes that read a value, behind a few that only move its elements."""
    found = graph.consumers(name)
    for _ in range(_MOST_MOVES):
        moved = [node.outputs[0] for node in found if has(node, Trait.MOVES)]
        found = [node for node in found if not has(node, Trait.MOVES)]
        found += [node for each in moved for node in graph.consumers(each)]
    return found


def _encoded(encoding: Encoding | None) -> tuple[float, float]:
    """Return the range of a uniform grid, half a step beyond its ends; others have no end that is one."""
    if encoding is None or not encoding.rounds or encoding.channels != 1:
        return -np.inf, np.inf
    levels = np.sort(encoding.levels()[0])
    half = float(levels[1] - levels[0]) / 2
    return float(levels[0]) - half, float(levels[-1]) + half


def _fits(found: tuple[int, ...], shape: Shape) -> bool:
    return len(shape) == len(found) and all(
        isinstance(want, str) or want == have for want, have in zip(shape, found, strict=True)
    )


def _reshapes(found: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether the order of the elements says nothing else: axes of one, or one side a row."""
    bare, aim = (tuple(length for length in lengths if length != 1) for lengths in (found, wanted))
    return bare == aim or (int(np.prod(bare)) == int(np.prod(aim)) and 1 in (len(bare), len(aim)))


def _orders(found: tuple[int, ...], wanted: tuple[int, ...], layout: str) -> tuple[str, str, str] | None:
    """Return what is said of both layouts and the remedy, where the axes have another order."""
    last = not layout and len(found) == 3 and found[2] in (2, 3, 4) and found[0] not in (1, 2, 3, 4)
    if len(wanted) == 1 and last and int(np.prod(found)) == wanted[0]:
        return " (channels last, NHWC)", "", "Make rows of them in the order that the network was trained on."
    if len(found) != len(wanted) or found == wanted or sorted(found) != sorted(wanted):
        return None
    bare = tuple(length for length in found if length != 1), tuple(length for length in wanted if length != 1)
    if bare[0] == bare[1]:
        return None  # only axes of one differ: every element stays where it is
    if len(found) == 3 and (found[2], found[0], found[1]) == wanted:
        remedy = "Transpose them: samples.transpose(0, 3, 1, 2)."
        return " (channels last, NHWC)", " (channels first, NCHW)", remedy
    if len(found) == 3 and (found[1], found[2], found[0]) == wanted:
        remedy = "Transpose them: samples.transpose(0, 2, 3, 1)."
        return " (channels first, NCHW)", " (channels last, NHWC)", remedy
    return "", "", "The axes have another order: transpose the samples."


def _text(shape: Shape) -> str:
    return f"[n, {', '.join(map(str, shape))}]"
