"""Operators that choose among whole numbers, or place them: those on the reals that these stand for.

    Pad(numbers, number)    QuantizeLinear(Pad(DequantizeLinear(numbers), DequantizeLinear(number)))

What only moves codes lets them through by itself; these meet numbers of their own, or compare.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from lowbit.errors import UnsupportedError
from lowbit.formats.onnx.importer import Importer
from lowbit.formats.onnx.quantized.grid import Grid
from lowbit.formats.onnx.quantized.values import dequantize, grid_of, quantize
from lowbit.ir.graph import Attribute

if TYPE_CHECKING:
    from onnx import NodeProto

_NUMBERS: Mapping[str, slice] = {
    "DepthToSpace": slice(1),
    "Max": slice(None),
    "Min": slice(None),
    "Pad": slice(0, 3, 2),
    "ReduceMax": slice(1),
    "ReduceMin": slice(1),
    "Resize": slice(1),
    "SpaceToDepth": slice(1),
    "Where": slice(1, 3),
}
"""Which inputs are those numbers; any others say where."""


def choose(reader: Importer, proto: "NodeProto", attributes: Mapping[str, Attribute]) -> bool:
    """Read such an operator; return whether it is one, and on codes.

    Raises:
        UnsupportedError: codes of several scales meet, or numbers are interpolated.
    """
    if proto.op_type == "Relu" and grid_of(reader, proto.input[0]) is not None:
        zero = reader.constant(f"{proto.output[0]}/none", np.array(0, np.int32))
        reader.read("Max", [proto.input[0], zero], proto.output[0], name=proto.name)
        return True
    if proto.op_type not in _NUMBERS:
        return False
    names = [name for name in list(proto.input)[_NUMBERS[proto.op_type]] if name]
    grids = {name: grid for name in names if (grid := grid_of(reader, name)) is not None}
    if not grids:
        return False
    grid = next(iter(grids.values()))
    if not all(_same(grid, other) for other in grids.values()):
        raise UnsupportedError("codes of several scales meet", expected="one scale and zero point")
    if attributes.get("mode") in ("linear", "cubic"):
        raise UnsupportedError("whole numbers are interpolated", expected="mode = nearest")
    reals = {name: _real(reader, name, grid) for name in names}
    operands = [reals.get(name, name) for name in proto.input]
    if proto.op_type == "Pad" and attributes.get("mode", "constant") == "constant":
        operands += [""] * (3 - len(operands))  # left out, the number 0 is meant, whatever that stands for
        operands[2] = operands[2] or reader.constant(f"{proto.output[0]}/fill", grid.reals(0))
    real = reader.free_name(f"{proto.output[0]}/real")
    reader.read(proto.op_type, operands, real, name=proto.name, attributes=proto.attribute)
    quantize(reader, real, grid, proto.output[0])
    return True


def _same(one: Grid, other: Grid) -> bool:
    ends = [(each.low, each.high, each.channels, each.base) for each in (one, other)]
    return ends[0] == ends[1] and all(
        np.array_equal(*pair) for pair in ((one.scale, other.scale), (one.zero, other.zero))
    )


def _real(reader: Importer, name: str, grid: Grid) -> str:
    if name in reader.constants:
        return reader.constant(f"{name}/real", grid.reals(reader.constants[name]))
    output = reader.free_name(f"{name}/real")
    dequantize(reader, name, grid, output)
    return output
