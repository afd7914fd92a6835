"""QOperator: operators on quantized tensors are those on reals, between dequantizing and quantizing.

    QLinearConv(x, w, b)    QuantizeLinear(Conv(DequantizeLinear(x), DequantizeLinear(w), b))

That is what they mean (operators of ONNX and of com.microsoft); the passes then find the integers again.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lowbit.errors import ModelFormatError, UnsupportedError
from lowbit.formats.onnx.attributes import integer
from lowbit.formats.onnx.importer import Importer
from lowbit.formats.onnx.quantized.parameters import known, scale_of
from lowbit.ir.graph import Attribute

if TYPE_CHECKING:
    from onnx import NodeProto

Read = Callable[[Importer, "NodeProto", dict[str, Attribute]], None]


def _real(reader: Importer, names: Sequence[str], axis: int = 0) -> str:
    """Dequantize a tensor, given with scale and zero point; a scale per channel is along an axis."""
    output = reader.free_name(f"{names[0]}/real")
    reader.read("DequantizeLinear", [name for name in names if name], output, axis=axis)
    return output


def _quantized(reader: Importer, source: str, names: Sequence[str], output: str) -> None:
    reader.read("QuantizeLinear", [source, *filter(None, names)], output)


def inputs_of(proto: "NodeProto", least: int, most: int) -> list[str]:
    """Return the inputs, "" for those that are absent.

    Raises:
        ModelFormatError: too few or too many, or one that must be there is absent.
    """
    names = list(proto.input)
    if not least <= len(names) <= most or len(proto.output) != 1:
        raise ModelFormatError("wrong number of inputs", expected=f"{least} to {most}", found=str(len(names)))
    return [*names, *[""] * (most - len(names))]


def _bias(reader: Importer, name: str, scales: tuple[str, str]) -> str:
    """Return a bias of whole units of the sums as the reals that it stands for."""
    units = known(reader, name, "a bias")
    one, other = (scale_of(scale, known(reader, scale, "a scale")) for scale in scales)
    if units.dtype.kind not in "iu" or units.size % max(len(one), len(other)):
        raise ModelFormatError(
            "a bias is no row of integers", where=name, found=f"{units.dtype} {units.shape}"
        )
    unit = one.astype(np.float64) * other
    return reader.constant(f"{name}/real", (units.astype(np.float64) * unit).astype(np.float32))


def _convolution(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
    x, xs, xz, w, ws, wz, ys, yz, b = inputs_of(proto, 8, 9)
    if integer(attributes, "channels_last", 0):
        raise UnsupportedError("channels last", expected="channels_last = 0")
    operands = [_real(reader, (x, xs, xz)), _real(reader, (w, ws, wz))]
    operands += [_bias(reader, b, (xs, ws))] if b else []
    _layer(reader, "Conv", proto, operands, (ys, yz), without="channels_last")


def _product(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
    a, ascale, az, b, bs, bz, ys, yz = inputs_of(proto, 8, 8)
    operands = [_real(reader, (a, ascale, az)), _real(reader, (b, bs, bz), axis=-1)]
    _layer(reader, "MatMul", proto, operands, (ys, yz))


def _gemm(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
    a, ascale, az, b, bs, bz, c, ys, yz = inputs_of(proto, 6, 9)
    axis = 0 if integer(attributes, "transB", 0) else 1
    operands = [_real(reader, (a, ascale, az)), _real(reader, (b, bs, bz), axis=axis)]
    operands += [_bias(reader, c, (ascale, bs))] if c else []
    _layer(reader, "Gemm", proto, operands, (ys, yz))


def _layer(
    reader: Importer,
    op: str,
    proto: "NodeProto",
    operands: list[str],
    end: tuple[str, str],
    without: str = "",
) -> None:
    """Add an operator with the attributes of another, and quantize what it gives where there is a scale."""
    output = proto.output[0]
    real = reader.free_name(f"{output}/real") if end[0] else output
    kept = [attribute for attribute in proto.attribute if attribute.name != without]
    reader.read(op, operands, real, name=proto.name, attributes=kept)
    if end[0]:
        _quantized(reader, real, end, output)


def _unary(op: str, without: str = "") -> Read:
    """Return what reads an operator of one tensor: x, its scale and zero, those of the output."""

    def read(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
        x, xs, xz, ys, yz = inputs_of(proto, 4, 5)
        if integer(attributes, "channels_last", 0):
            raise UnsupportedError("channels last", expected="channels_last = 0")
        _layer(reader, op, proto, [_real(reader, (x, xs, xz))], (ys, yz), without=without)

    return read


def _binary(op: str) -> Read:
    def read(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
        a, ascale, az, b, bs, bz, ys, yz = inputs_of(proto, 7, 8)
        _layer(reader, op, proto, [_real(reader, (a, ascale, az)), _real(reader, (b, bs, bz))], (ys, yz))

    return read


def _concat(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
    names = list(proto.input)
    if len(names) < 5 or len(names) % 3 != 2:
        raise ModelFormatError(
            "wrong number of inputs", expected="2, and 3 for each tensor", found=str(len(names))
        )
    parts = [_real(reader, names[at : at + 3]) for at in range(2, len(names), 3)]
    _layer(reader, "Concat", proto, parts, (names[0], names[1]))


def _where(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
    condition, x, xs, xz, y, ys, yz, zs, zz = inputs_of(proto, 9, 9)
    chosen = [condition, _real(reader, (x, xs, xz)), _real(reader, (y, ys, yz))]
    _layer(reader, "Where", proto, chosen, (zs, zz))


MICROSOFT = "com.microsoft"

OPERATORS: Mapping[tuple[str, str], Read] = {
    ("", "QLinearConv"): _convolution,
    (MICROSOFT, "QLinearConv"): _convolution,
    ("", "QLinearMatMul"): _product,
    (MICROSOFT, "QGemm"): _gemm,
    (MICROSOFT, "QLinearAdd"): _binary("Add"),
    (MICROSOFT, "QLinearAveragePool"): _unary("AveragePool", without="channels_last"),
    (MICROSOFT, "QLinearConcat"): _concat,
    (MICROSOFT, "QLinearGlobalAveragePool"): _unary("GlobalAveragePool", without="channels_last"),
    (MICROSOFT, "QLinearLeakyRelu"): _unary("LeakyRelu"),
    (MICROSOFT, "QLinearMul"): _binary("Mul"),
    (MICROSOFT, "QLinearReduceMean"): _unary("ReduceMean"),
    (MICROSOFT, "QLinearSigmoid"): _unary("Sigmoid"),
    (MICROSOFT, "QLinearSoftmax"): _unary("Softmax", without="opset"),
    (MICROSOFT, "QLinearWhere"): _where,
}
