"""QONNX (Pappalardo et al., QONNX: Representing Arbitrary-Precision Quantized Neural Networks, 2022).

    Quant          scale (round(clip(x / scale + zero, low, high)) - zero), signed, narrow or not
    BipolarQuant   scale where x >= 0, else -scale
    Trunc          the upper bits of whole numbers: a mean made of a sum

Values are reals before and after: what is rounded between is an encoder and a decoder. The arithmetic is that
of the package qonnx (qonnx.custom_op.general), in float32.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lowbit.errors import ModelFormatError, UnsupportedError
from lowbit.formats.onnx.attributes import integer
from lowbit.formats.onnx.importer import Importer
from lowbit.formats.onnx.quantized.grid import CEILING, FLOOR, HALF_EVEN, Floats32, Grid, Rounding
from lowbit.formats.onnx.quantized.parameters import axis_of, known, require_levels, scale_of, zeros_of
from lowbit.formats.onnx.quantized.values import (
    decode_constant,
    dequantize,
    per_channel,
    quantize,
    round_in_floats,
    scalar,
)
from lowbit.ir import Value
from lowbit.ir.graph import Array, Attribute, Shape
from lowbit.schemes.binary.encoding import THRESHOLD, signs

if TYPE_CHECKING:
    from onnx import NodeProto

DOMAINS = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")

MOST_BITS, MOST_CONSTANT_BITS = 16, 32


def _away(x: Floats32) -> Floats32:
    return np.asarray(np.sign(x) * np.ceil(np.abs(x)), np.float32)


def _half_away(x: Floats32) -> Floats32:
    return np.asarray(np.sign(x) * np.floor(np.abs(x) + np.float32(0.5)), np.float32)


def _half_towards(x: Floats32) -> Floats32:
    return np.asarray(np.sign(x) * np.ceil(np.abs(x) - np.float32(0.5)), np.float32)


ROUNDINGS: Mapping[str, Rounding] = {
    "ROUND": HALF_EVEN,
    "HALF_EVEN": HALF_EVEN,
    "CEIL": CEILING,
    "FLOOR": FLOOR,
    "UP": Rounding(_away),
    "DOWN": Rounding(np.fix),
    "HALF_UP": Rounding(_half_away),
    "HALF_DOWN": Rounding(_half_towards),
}
"""As qonnx names them: up and down are away from zero and towards it."""


def quant(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
    """Read a Quant; one signed bit is a sign, as qonnx has it."""
    source, names, output = _operands(proto, 4)
    constant = source in reader.constants
    signed, narrow = (
        bool(integer(attributes, name, default)) for name, default in (("signed", 1), ("narrow", 1))
    )
    bits = _bits(reader, names[2], MOST_CONSTANT_BITS if constant else MOST_BITS)
    shape = reader.known_shape(source)
    scale, axis = _row(names[0], known(reader, names[0], "a scale"), shape)
    given, zero_axis = _row(names[1], known(reader, names[1], "a zero point"), shape)
    rows = max(len(scale), len(given))
    if len(given) > 1 and len(scale) > 1 and zero_axis != axis:
        raise ModelFormatError("scale and zero point have different axes", where=names[1])
    scale = scale_of(names[0], np.broadcast_to(scale, (rows,)))
    if bits == 1 and signed:
        if np.any(given):
            raise UnsupportedError(
                "a sign with a zero point", where=names[1], expected="0", found=str(given[:4])
            )
        _sign(reader, source, scale, axis, output)
        return
    low, high = _range(bits, signed, narrow)
    zero = zeros_of(names[1], np.broadcast_to(given, (rows,)), rows, -(2**31), 2**31 - 1)
    require_levels(scale, low - zero, high - zero, names[0])
    rounding = _rounding(attributes, "ROUND")
    grid = Grid(low, high, scale, zero, axis if len(scale) > 1 else zero_axis, rounding, before=True)
    if constant:
        numbers = grid.numbers(reader.constants[source])
        decode_constant(reader, numbers, grid, output)
        return
    codes = reader.free_name(f"{output}/codes")
    quantize(reader, source, grid, codes)
    dequantize(reader, codes, grid, output)


def bipolar_quant(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
    """Read a BipolarQuant."""
    source, names, output = _operands(proto, 2)
    scale, axis = _row(names[0], known(reader, names[0], "a scale"), reader.known_shape(source))
    _sign(reader, source, scale_of(names[0], scale), axis, output)


def trunc(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
    """Read a Trunc, of version 1 with five operands or of version 2 with six, as float arithmetic."""
    source, names, output = _operands(proto, len(proto.input) if len(proto.input) == 6 else 5)
    numbers = [known(reader, name, "a parameter of Trunc") for name in names]
    if any(array.size != 1 for array in numbers):
        raise UnsupportedError("a Trunc with parameters per channel", expected="one of each", found="several")
    scale = scale_of(names[0], numbers[0].reshape(-1))[0]
    zero = zeros_of(names[1], numbers[1].reshape(-1), 1, -(2**31), 2**31 - 1)[0]
    before = _bits(reader, names[2], MOST_CONSTANT_BITS)
    after = _bits(reader, names[-1], MOST_CONSTANT_BITS)
    second = len(names) == 5
    target = scale_of(names[3], numbers[3].reshape(-1))[0] if second else scale
    divisor = 2.0 ** np.round(np.log2(target / scale)) if second else 2.0 ** (before - after)
    whole = reader.insert("Round", [reader.insert("Div", [source, scalar(reader, output, scale)])])
    if zero:
        whole = reader.insert("Add", [whole, scalar(reader, output, zero)])
    parts = reader.insert("Div", [whole, scalar(reader, output, divisor)])
    if second:
        bounds = [scalar(reader, output, bound) for bound in _range(after, *_flags(attributes, narrow=0))]
        parts = reader.insert("Clip", [parts, *bounds])
    cut = round_in_floats(reader, parts, _rounding(attributes, "FLOOR"))
    origin = zero / divisor if second else zero
    if origin:
        cut = reader.insert("Sub", [cut, scalar(reader, output, origin)])
    reader.append("Mul", [cut, scalar(reader, output, target)], output)


def _sign(reader: Importer, source: str, scale: Floats32, axis: int, output: str) -> None:
    """Add what gives a scale its sign: +1 from zero on."""
    constant = reader.constants.get(source)
    if constant is not None:
        _sign_of_constant(reader, np.asarray(constant, np.float32), scale, axis, output)
        return
    several = len(scale) > 1
    encoding = signs(np.ones(1) if several else scale)
    codes = reader.result.add(
        Value(reader.free_name(f"{output}/codes"), "code", reader.shape(source), None, encoding)
    )
    reader.append(
        "Encode", [source, reader.constant(f"{codes}/thresholds", THRESHOLD)], codes, domain="lowbit"
    )
    if not several:
        reader.append("Decode", [codes], output, domain="lowbit")
        return
    plain = reader.insert("Decode", [codes], domain="lowbit")
    row = per_channel(reader, output, scale, axis, len(reader.shape(source)))
    reader.append("Mul", [plain, row], output)


def _sign_of_constant(reader: Importer, array: Floats32, scale: Floats32, axis: int, output: str) -> None:
    if array.ndim < 2 or axis or not array.size:
        shape = [1] * array.ndim
        if len(scale) > 1:
            shape[axis] = len(scale)
        reals = np.where(array >= 0, np.float32(1), np.float32(-1)) * scale.reshape(
            shape if len(scale) > 1 else ()
        )
        reader.constants[output] = reals.astype(np.float32)
        return
    codes = (array >= 0).astype(np.uint8)
    name = reader.free_name(f"{output}/codes")
    reader.result.add(Value(name, "code", codes.shape, codes, signs(scale)))
    reader.append("Decode", [name], output, domain="lowbit")


def _operands(proto: "NodeProto", count: int) -> tuple[str, list[str], str]:
    if len(proto.input) != count or not all(proto.input) or len(proto.output) != 1:
        raise ModelFormatError("wrong number of inputs", expected=str(count), found=str(len(proto.input)))
    return proto.input[0], list(proto.input[1:]), proto.output[0]


def _bits(reader: Importer, name: str, most: int) -> int:
    array = np.asarray(known(reader, name, "a bit width"))
    fits = array.size == 1 and array.dtype.kind in "fiu" and bool(np.isfinite(array).all())
    number = float(array.reshape(-1)[0]) if fits else -1.0
    if number != int(number) or not 1 <= number <= most:
        raise UnsupportedError(
            "a bit width that is not supported",
            where=name,
            expected=f"a whole number from 1 to {most}",
            found=str(array.reshape(-1)[:4].tolist()),
        )
    return int(number)


def _flags(attributes: Mapping[str, Attribute], narrow: int) -> tuple[bool, bool]:
    """Return whether numbers are signed, and whether their range is narrow."""
    return bool(integer(attributes, "signed", 1)), bool(integer(attributes, "narrow", narrow))


def _range(bits: int, signed: bool, narrow: bool) -> tuple[int, int]:
    """Return the least and the greatest number of a width, as qonnx counts."""
    if signed:
        return -(1 << (bits - 1)) + int(narrow), (1 << (bits - 1)) - 1
    return 0, (1 << bits) - 1 - int(narrow)


def _row(name: str, array: Array, shape: Shape) -> tuple[npt.NDArray[np.float32], int]:
    """Return parameters that broadcast to a tensor along one axis as a row, and the axis."""
    if array.dtype.kind not in "fiu":
        raise ModelFormatError("a parameter is no number", where=name, found=str(array.dtype))
    if array.size == 1:
        return array.reshape(-1).astype(np.float32), 0
    long = [axis for axis, length in enumerate(array.shape) if length != 1]
    axis = len(shape) - array.ndim + (long[0] if long else 0)
    if len(long) != 1 or axis < 0:
        raise UnsupportedError(
            "parameters along several axes",
            where=name,
            expected="one number, or one for each channel",
            found=str(array.shape),
        )
    return array.reshape(-1).astype(np.float32), axis_of(axis, shape, array.size, name)


def _rounding(attributes: Mapping[str, Attribute], default: str) -> Rounding:
    given = str(attributes.get("rounding_mode", default)).upper()
    if given not in ROUNDINGS:
        raise UnsupportedError("a rounding mode", expected=", ".join(ROUNDINGS), found=given)
    return ROUNDINGS[given]
