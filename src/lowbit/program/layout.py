"""In which form every value of codes lies between steps: planes, bytes or 16-bit words.

What operators only pass on lies alike before and after them. Planes hold the bits of codes, bytes and words
are made for products: see `lowbit.program.representation` for bytes. Words are whole levels in int16, which
multiply as they are; they hold every encoding, so that each pair of encodings has a path:

- planes where every reader takes them;
- words where levels or the weights of a reader do not fit bytes, where sums might leave int32, where a layer
  reads rows of a sample, and where codes are added or averaged;
- bytes else.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lowbit.errors import EngineError, LowbitError
from lowbit.ir import Graph, Node, Trait, has
from lowbit.ir.deployed import DeployedLayer, deployed_layer
from lowbit.ir.layers import is_low_bit
from lowbit.program.representation import (
    PLANE_PAIRS,
    alike,
    byte_of_code,
    fits_byte,
    level_step,
    plane_values,
    reads_rows,
)
from lowbit.schemes import Encoding

Form = Literal["planes", "bytes", "words"]

_SUMS = (("lowbit", "FixedAdd"),)
_BYTE = 255


@dataclass(frozen=True)
class Layout:
    """Where the values of codes lie that are not bytes.

    Attributes:
        planes, words: names of values.
        batched: the form of the program; in the whole one all axes of a value lie in one row.
    """

    planes: frozenset[str]
    words: frozenset[str]
    batched: bool = True

    def form(self, name: str) -> Form:
        """Return the form of a value of codes."""
        return "planes" if name in self.planes else "words" if name in self.words else "bytes"


def layout_of(graph: Graph, pairs: int = PLANE_PAIRS, *, batched: bool = True) -> Layout:
    """Return the form of every value of codes of a verified graph, in a form of its program.

    `pairs` are the most pairs of planes that a layer counts; those with more multiply bytes.
    """
    same = alike(graph)
    planes = plane_values(graph, same, pairs, batched=batched)
    others = {name: one for name, one in same.items() if name not in planes}
    return Layout(planes, _word_values(graph, others, batched=batched), batched)


def entries_of_code(encoding: Encoding, form: Form, where: str) -> npt.NDArray[np.int64]:
    """Return what stands for every code in a form: the code itself, its byte or its level.

    Raises:
        EngineError: levels do not fit.
    """
    if form == "planes":
        return np.arange(1 << encoding.bits, dtype=np.int64)
    if form == "bytes":
        return np.asarray(byte_of_code(encoding, where), np.int64)
    levels = np.asarray(encoding.integer_levels()[0], np.int64)
    require_words(levels, "levels of a value", where)
    return levels


def require_words(integers: npt.NDArray[np.int64], what: str, where: str) -> None:
    """Refuse integers that leave int16.

    Raises:
        EngineError: they do.
    """
    least, most = int(integers.min(initial=0)), int(integers.max(initial=0))
    if least < -(1 << 15) or most >= 1 << 15:
        raise EngineError(
            f"whole {what} do not fit 16 bits",
            where=where,
            expected="-32768 to 32767",
            found=f"{least} to {most}",
            remedy="Use fewer bits, or evaluate it with the reference.",
        )


def _word_values(graph: Graph, first: dict[str, str], *, batched: bool) -> frozenset[str]:
    """Return the values that lie in words, of those that do not lie in planes."""
    found = {first[name] for name in first if not fits_byte(_encoding(graph, name))}
    for node in graph.nodes:
        read = [name for name in node.inputs[:1] if name in first]
        if is_low_bit(node) and read and not _takes_bytes(graph, node, batched=batched):
            found.update(first[name] for name in read)
        if (node.domain, node.op) in _SUMS or (has(node, Trait.POOL) and not has(node, Trait.COMPARES)):
            found.update(first[name] for name in (*node.inputs, *node.outputs) if name in first)
    return frozenset(name for name in first if first[name] in found)


def _takes_bytes(graph: Graph, node: Node, *, batched: bool) -> bool:
    """Return whether a layer's products are of bytes and its sums int32; so are those of what planes hold."""
    source, weights = graph.value(node.inputs[0]), graph.value(node.inputs[1])
    if reads_rows(graph, node, batched=batched):
        return False
    try:
        layer = deployed_layer(_encoding(graph, source.name), weights, graph.value(node.inputs[2]))
    except LowbitError:
        return True  # the node is refused for what it is
    grouped = node.attributes.get("group", 1) != 1
    return not layer.is_wide and _weights_fit(layer, _encoding(graph, source.name), grouped)


def _weights_fit(layer: DeployedLayer, source: Encoding, grouped: bool) -> bool:
    """Return whether weights are bytes, those of a row perhaps less what they have in common."""
    assert layer.packed.encoding is not None
    levels, step = layer.packed.encoding.whole_levels().astype(np.int64), level_step(source)
    if grouped:
        return _fit_int8(levels, step)
    if int(np.ptp(levels, axis=1).max()) * step <= _BYTE:
        return True
    rows, _ = in_units(layer, source)
    return bool((np.ptp(rows * step, axis=1) <= _BYTE).all())


def in_units(layer: DeployedLayer, source: Encoding) -> tuple[npt.NDArray[np.int64], int]:
    """Return weights in units of a power of two that divides them all, and that unit, where bytes need it.

    Sums shrink by the same power, so a scale times the unit and ``floor(T / unit)`` say exactly the same.
    """
    assert layer.packed.encoding is not None
    weights, step = layer.weights.astype(np.int64), level_step(source)
    if (
        layer.addend.any()
        or _fit_int8(layer.packed.encoding.whole_levels(), step)
        or _fit_int8(weights, step)
    ):
        return weights, 1
    common = int(np.gcd.reduce(weights.reshape(-1), initial=0))
    unit = max(common & -common, 1)
    return weights // unit, unit


def _fit_int8(integers: npt.NDArray[np.signedinteger[Any]], step: int) -> bool:
    return int(integers.min(initial=0)) * step >= -128 and int(integers.max(initial=0)) * step <= 127


def _encoding(graph: Graph, name: str) -> Encoding:
    encoding = graph.value(name).encoding
    assert encoding is not None  # verified
    return encoding
