"""How low-bit layers end in the engine: what becomes of their sums, by the encoding of the output.

no encoding           float32(scale * acc + bias)
thresholds            the code of #{acc > T}, as planes, bytes or words
one that rounds       the level nearest to scale * acc + bias; where the sums already are multiples of a
                      power of two of its step, by a shift, which is the same
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import frexp, log2
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.ir import Graph, Node
from lowbit.ir.activations import saturation
from lowbit.program.layout import Form, Layout, entries_of_code
from lowbit.program.steps import (
    AffineEnding,
    ByteEnding,
    Ending,
    PlaneEnding,
    RankEnding,
    RealEnding,
    RoundedEnding,
    Rule,
    ShiftedEnding,
)
from lowbit.schemes import Encoding

Reals = npt.NDArray[np.float64]

ROUNDING_RULES: dict[str, Rule] = {"even": "round_even", "nearest": "round_up", "floor": "round_down"}
"""By `Encoding.rounding`."""

SHIFT_RULES: dict[str, Rule] = {"nearest": "shift_up", "floor": "shift_down"}
"""The same for multiples of a power of two of the step."""

_MOST_LEFT, _MOST_RIGHT = 15, 31


@dataclass(frozen=True, eq=False)
class LayerSums:
    """What a layer's sums stand for.

    Attributes:
        scale: ``[o]``.
        bias: ``[o]``, or for each region of a convolution ``[regions * o]``.
        thresholds: from those of the pre-activation to those of the sums, ``[o, steps]`` or for each region.
        words: whether they are sums of words, which may have 64 bits.
    """

    scale: Reals
    bias: Reals
    thresholds: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
    words: bool = False


def ending_of(graph: Graph, node: Node, layout: Layout, sums: LayerSums) -> Ending:
    """Return how a verified layer on codes ends."""
    name = node.outputs[0]
    encoding = graph.value(name).encoding
    if encoding is None:
        return RealEnding(sums.scale, sums.bias)
    form = layout.form(name)
    if len(node.inputs) > 3 and node.inputs[3]:
        thresholds = sums.thresholds(graph.constant(node.inputs[3]))
        entries = entries_of_code(encoding, form, name)[encoding.code_of_rank()[0]]
        return _ranks(form, thresholds, entries, sums.words)
    return _rounded(
        encoding, form, sums, saturation(encoding, str(node.attributes.get("activation", "none")))
    )


def _ranks(form: Form, thresholds: npt.NDArray[Any], entries: npt.NDArray[np.int64], words: bool) -> Ending:
    if words or form == "words":
        return RankEnding(form, thresholds.astype(np.int64), entries.astype(np.int16).view(np.uint16))
    narrow = thresholds.astype(np.int32)
    return (PlaneEnding if form == "planes" else ByteEnding)(narrow, entries.astype(np.uint8))


def _rounded(encoding: Encoding, form: Form, sums: LayerSums, ends: tuple[int, int]) -> Ending:
    step, (_, _, base), (low, high) = float(encoding.integer_scale()[0]), level_range(encoding, form), ends
    rule = ROUNDING_RULES[encoding.rounding]
    plain = not sums.bias.any()
    if plain and encoding.rounding in SHIFT_RULES:
        shift = shift_between(sums.scale, step)
        if shift is not None and -_MOST_LEFT <= shift <= _MOST_RIGHT:
            return ShiftedEnding(form, SHIFT_RULES[encoding.rounding], shift, low, high, base)
    if plain and rule == "round_even" and form == "bytes" and not sums.words:
        return AffineEnding(sums.scale, step, float(-low), float(high - low))
    bias = sums.bias[:0] if plain else sums.bias
    return RoundedEnding(form, rule, sums.scale, bias, step, low, high, base)


def level_range(encoding: Encoding, form: Form) -> tuple[int, int, int]:
    """Return the lowest and the highest level, and what is taken off a level to give an entry of the form."""
    levels = encoding.integer_levels()[0]
    low, high = int(levels.min()), int(levels.max())
    return low, high, 0 if form == "words" else low


def shift_between(scale: Reals, step: float) -> int | None:
    """Return by how many bits multiples of all scales are shifted to multiples of a step, if they can be."""
    ratio = step / scale
    if (ratio != ratio[0]).any() or frexp(float(ratio[0]))[0] != 0.5:
        return None
    return int(log2(float(ratio[0])))
