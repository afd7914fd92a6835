"""Whole numbers whose scale is worked out at run time: float arithmetic on numbers that float32 holds.

    DynamicQuantizeLinear    scale = (max - min) / 255, zero = round(-min / scale), of all numbers of one run
    MatMulInteger            (a - zero_a) (b - zero_b)
    ConvInteger              the same of windows

Such a scale is of one run's input, a batch's as a whole; there is no fixed encoding, so these are no codes.
Weights are: their levels are the whole numbers themselves.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from lowbit.errors import ModelFormatError, UnsupportedError
from lowbit.formats.onnx.importer import Importer
from lowbit.formats.onnx.quantized.grid import Grid
from lowbit.formats.onnx.quantized.operators import MICROSOFT, Read, inputs_of
from lowbit.formats.onnx.quantized.parameters import RANGES, axis_of, known, zeros_of
from lowbit.formats.onnx.quantized.values import decode_constant, scalar, whole
from lowbit.ir.graph import Attribute

if TYPE_CHECKING:
    from onnx import NodeProto

_NOTE = "scales are worked out at run time, of all numbers of a run: the engine runs sample by sample"

_LEAST = 1e-30  # a scale of nothing but zeros, whose codes are zero with any scale


def dynamic_quantize_linear(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
    """Read a DynamicQuantizeLinear: to uint8."""
    if len(proto.input) != 1 or len(proto.output) != 3:
        raise ModelFormatError("wrong number of outputs", expected="numbers, scale and zero point")
    _dynamic(reader, proto.input[0], *proto.output)


def _dynamic(reader: Importer, source: str, output: str, scale: str, zero: str) -> None:
    if _NOTE not in reader.result.notes:
        reader.note(_NOTE)
    nothing = scalar(reader, output, 0.0)
    least = reader.insert("Min", [reader.insert("ReduceMin", [source], keepdims=0), nothing])
    most = reader.insert("Max", [reader.insert("ReduceMax", [source], keepdims=0), nothing])
    step = reader.insert("Div", [reader.insert("Sub", [most, least]), scalar(reader, output, 255.0)])
    reader.append("Max", [step, scalar(reader, output, _LEAST)], scale)
    bounds = [nothing, scalar(reader, output, 255.0)]
    origin = reader.insert("Div", [reader.insert("Sub", [nothing, least]), scale])
    reader.append("Round", [reader.insert("Clip", [origin, *bounds])], zero)
    rounded = reader.insert("Round", [reader.insert("Div", [source, scale])])
    reader.append("Clip", [reader.insert("Add", [rounded, zero]), *bounds], output)


def _differences(reader: Importer, name: str, zero: str, axis: int) -> str:
    """Return a tensor of whole numbers less its zero point, in floats; weights are codes of scale one."""
    constant = reader.constants.get(name)
    if constant is None:
        numbers = whole(reader, name)
        if not zero or (zero in reader.constants and not np.any(reader.constants[zero])):
            return numbers
        return reader.insert("Sub", [numbers, whole(reader, zero)])
    kind = reader.type_of(name)
    if kind not in RANGES:
        raise UnsupportedError("numbers of this type", where=name, expected="int8 or uint8", found=kind)
    given = known(reader, zero, "a zero point") if zero else np.zeros(1, np.int64)
    zeros = zeros_of(zero or name, given, given.size, *RANGES[kind])
    at = axis_of(axis, constant.shape, len(zeros), zero or name)
    grid = Grid(*RANGES[kind], np.ones(len(zeros), np.float32), zeros, at)
    output = reader.free_name(f"{name}/whole")
    decode_constant(reader, constant, grid, output)
    return output


def _integer(op: str, axis: int) -> Read:
    """Return what reads a product of whole numbers: two tensors, their zero points."""

    def read(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
        a, b, az, bz = inputs_of(proto, 2, 4)
        operands = [_differences(reader, a, az, 0), _differences(reader, b, bz, axis)]
        reader.read(op, operands, proto.output[0], name=proto.name, attributes=proto.attribute)

    return read


def _to_float(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
    """Read a MatMulIntegerToFloat: a product of whole numbers, times both scales, and a bias."""
    a, b, ascale, bscale, az, bz, bias = inputs_of(proto, 4, 7)
    _scaled_product(reader, proto, (a, ascale, az), (b, bscale, bz), bias)


def _dynamic_product(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
    """Read a DynamicQuantizeMatMul: it quantizes its first operand itself."""
    a, b, bscale, bz, bias = inputs_of(proto, 3, 5)
    names = [reader.free_name(f"{proto.output[0]}/{part}") for part in ("numbers", "scale", "zero")]
    _dynamic(reader, a, *names)
    _scaled_product(reader, proto, (names[0], names[1], names[2]), (b, bscale, bz), bias)


def _scaled_product(
    reader: Importer, proto: "NodeProto", left: tuple[str, str, str], right: tuple[str, str, str], bias: str
) -> None:
    output = proto.output[0]
    operands = [_differences(reader, left[0], left[2], 0), _differences(reader, right[0], right[2], -1)]
    product = reader.free_name(f"{output}/product")
    reader.read("MatMul", operands, product, name=proto.name)
    scale = reader.insert("Mul", [left[1], right[1]])
    if bias:
        reader.append("Add", [reader.insert("Mul", [product, scale]), bias], output)
    else:
        reader.append("Mul", [product, scale], output)


OPERATORS: Mapping[tuple[str, str], Read] = {
    ("", "ConvInteger"): _integer("Conv", 0),
    ("", "DynamicQuantizeLinear"): dynamic_quantize_linear,
    ("", "MatMulInteger"): _integer("MatMul", -1),
    (MICROSOFT, "DynamicQuantizeMatMul"): _dynamic_product,
    (MICROSOFT, "MatMulIntegerToFloat"): _to_float,
}
