"""Reductions as the graph has them: sums, means, products and extremes over axes that are an input.

ReduceL1         sum |x|                    ReduceL2       sqrt(sum x x)
ReduceSumSquare  sum x x                    ReduceLogSum   log(sum x)
ReduceLogSumExp  m + log(sum exp(x - m)), m the maximum over the same axes
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from lowbit.formats.onnx.attributes import integer, integers
from lowbit.formats.onnx.importer import Importer
from lowbit.ir.graph import Attribute

if TYPE_CHECKING:
    from onnx import NodeProto

Attributes = dict[str, Attribute]
Rewrite = Callable[[Importer, "NodeProto", Attributes], None]


def reduction(reader: Importer, proto: "NodeProto", attributes: Attributes) -> None:
    """Add a reduction; before opset 18 (13 of sums) axes were an attribute."""
    axes, settings = _settings(reader, proto, attributes)
    reader.add(proto, proto.op_type, [proto.input[0], *axes], settings)


def _settings(reader: Importer, proto: "NodeProto", attributes: Attributes) -> tuple[list[str], Attributes]:
    axes = [name for name in proto.input[1:] if name]
    if "axes" in attributes:
        row = np.array(integers(attributes, "axes"), np.int64)
        axes = [reader.constant(f"{proto.output[0]}/axes", row)]
    return axes, {name: value for name, value in attributes.items() if name != "axes"}


def _composed(before: str, after: str) -> Rewrite:
    """Return what reads a sum of something, and something of the sum."""

    def read(reader: Importer, proto: "NodeProto", attributes: Attributes) -> None:
        axes, settings = _settings(reader, proto, attributes)
        source = proto.input[0]
        if before:
            source = reader.insert(before, [source, source] if before == "Mul" else [source])
        if after:
            total = reader.insert("ReduceSum", [source, *axes], "", **settings)
            reader.add(proto, after, [total], {})
        else:
            reader.add(proto, "ReduceSum", [source, *axes], settings)

    return read


def _log_sum_exp(reader: Importer, proto: "NodeProto", attributes: Attributes) -> None:
    axes, settings = _settings(reader, proto, attributes)
    most = reader.insert("ReduceMax", [proto.input[0], *axes], "", **settings | {"keepdims": 1})
    powers = reader.insert("Exp", [reader.insert("Sub", [proto.input[0], most])])
    total = reader.insert("Log", [reader.insert("ReduceSum", [powers, *axes], "", **settings)])
    if not integer(attributes, "keepdims", 1):
        most = reader.insert("ReduceSum", [most, *axes], "", **settings)  # of one element each
    reader.add(proto, "Add", [total, most], {})


def _hardmax(reader: Importer, proto: "NodeProto", attributes: Attributes) -> None:
    """1 where the first largest along an axis is, else 0."""
    shape = reader.shape(proto.input[0])
    axis = integer(attributes, "axis", -1 if reader.opset >= 13 else 1)
    places = np.arange(int(shape[axis])).reshape(-1, *[1] * (len(shape) - 1 - axis % len(shape)))
    first = reader.insert("ArgMax", [proto.input[0]], axis=axis, keepdims=1)
    here = reader.insert("Equal", [reader.constant(f"{proto.output[0]}/places", places), first])
    reader.add(proto, "Cast", [here], {"to": 1})


REDUCTIONS: dict[str, Rewrite] = {
    **dict.fromkeys(("ReduceMin", "ReduceProd", "ReduceSum"), reduction),
    "Hardmax": _hardmax,
    "ReduceL1": _composed("Abs", ""),
    "ReduceL2": _composed("Mul", "Sqrt"),
    "ReduceLogSum": _composed("", "Log"),
    "ReduceLogSumExp": _log_sum_exp,
    "ReduceSumSquare": _composed("Mul", ""),
}
