"""QuantizeLinear, DequantizeLinear, and the Clip of whole numbers between them (QDQ, QCDQ)."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lowbit.errors import ModelFormatError, UnsupportedError
from lowbit.formats.onnx.attributes import integer
from lowbit.formats.onnx.importer import Importer
from lowbit.formats.onnx.quantized.parameters import RANGES, grid, known, scales_of_groups
from lowbit.formats.onnx.quantized.values import decode_groups, dequantize, quantize, scalar, whole
from lowbit.formats.onnx.tensors import type_name
from lowbit.ir.graph import Attribute

if TYPE_CHECKING:
    from onnx import NodeProto


def quantize_linear(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
    """``clip(round(x / scale) + zero)``; the type is that of the zero point, or said by an attribute."""
    source, scale, zero = _operands(proto)
    kind = _type_of_zero(reader, zero) if zero else _output_type(attributes)
    _require_quantized(kind, made=True)
    if integer(attributes, "block_size", 0):
        raise UnsupportedError(
            "a computed tensor quantized in blocks", expected="scales of a tensor or an axis"
        )
    made = grid(reader, (scale, zero), kind, reader.known_shape(source), integer(attributes, "axis", 1))
    quantize(reader, source, made, proto.output[0])


def _type_of_zero(reader: Importer, zero: str) -> str:
    """Return the type of a zero point; one that is computed is a float here, of uint8 in a file."""
    kind = reader.type_of(zero)
    return "uint8" if kind == "float32" and zero not in reader.constants else kind


def dequantize_linear(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
    """``scale (q - zero)``; constants may have scales for blocks along the axis."""
    source, scale, zero = _operands(proto)
    kind = _type_of_zero(reader, zero or source)
    kind = "int32" if source in reader.grids and not zero else kind
    _require_quantized(kind)
    if integer(attributes, "block_size", 0):
        _blocks(reader, source, (scale, zero), attributes, proto.output[0])
    elif scale not in reader.constants:
        _computed_scale(reader, proto)
    else:
        shape, axis = reader.known_shape(source), integer(attributes, "axis", 1)
        dequantize(reader, source, grid(reader, (scale, zero), kind, shape, axis), proto.output[0])


def clip(reader: Importer, proto: "NodeProto") -> bool:
    """Read a Clip of whole numbers; return False where it is one of reals.

    Codes are made anew from the reals that they were made of, on the narrower grid.
    """
    source, output = proto.input[0], proto.output[0]
    constant = reader.constants.get(source)
    if constant is not None and constant.dtype.kind in "iu":
        low, high = _bounds(reader, proto, -(2**31), 2**31 - 1)
        reader.constants[output] = np.clip(constant, low, high)
        return True
    if source not in reader.grids:
        return False
    maker, old = reader.result.producer(source), reader.grids[source]
    if maker is None or (maker.domain, maker.op) != ("lowbit", "Encode"):
        raise UnsupportedError(
            "a Clip of whole numbers", expected="one behind what quantizes reals", found="one behind a layer"
        )
    low, high = _bounds(reader, proto, old.low, old.high)
    if low > high:
        raise ModelFormatError("a Clip has no range", expected="min below max", found=f"{low} to {high}")
    quantize(reader, maker.inputs[0], replace(old, low=low, high=high), output)
    return True


def _bounds(reader: Importer, proto: "NodeProto", low: int, high: int) -> tuple[int, int]:
    ends = [low, high]
    for at, name in enumerate(list(proto.input[1:3])):
        if not name:
            continue
        bound = np.asarray(known(reader, name, "a bound"))
        if bound.size != 1 or bound.dtype.kind not in "iu":
            raise ModelFormatError(
                "a bound of whole numbers is none",
                where=name,
                expected="one integer",
                found=f"{bound.dtype} {bound.shape}",
            )
        number = int(bound.reshape(-1)[0])
        ends[at] = min(high, number) if at else max(low, number)
    return ends[0], ends[1]


def _operands(proto: "NodeProto") -> tuple[str, str, str]:
    names = [*proto.input, ""]
    if not 2 <= len(proto.input) <= 3 or not all(names[:2]) or len(proto.output) != 1:
        raise ModelFormatError(
            "wrong number of inputs", expected="a tensor, a scale, a zero point", found=", ".join(proto.input)
        )
    return names[0], names[1], names[2]


def _require_quantized(kind: str, *, made: bool = False) -> None:
    """Refuse a type that is not quantized; nothing is made of int32, which biases are read from."""
    if kind not in RANGES or (made and kind == "int32"):
        raise UnsupportedError(
            "numbers of this type",
            expected=", ".join(RANGES),
            found=kind,
            remedy="Quantize to int8 or uint8.",
        )


def _output_type(attributes: dict[str, Attribute]) -> str:
    number = integer(attributes, "output_dtype", 0)
    return type_name(number) if number else "uint8"


def _blocks(
    reader: Importer, source: str, names: tuple[str, str], attributes: dict[str, Attribute], output: str
) -> None:
    """Work out a constant with a scale for each block of numbers along an axis."""
    numbers, scale = (known(reader, name, "a tensor in blocks") for name in (source, names[0]))
    zero = known(reader, names[1], "a zero point") if names[1] else np.zeros(scale.shape, np.int64)
    axis, size = integer(attributes, "axis", 1), integer(attributes, "block_size", 0)
    rank = numbers.ndim
    fits = -rank <= axis < rank and scale.ndim == rank and zero.shape == scale.shape and size > 0
    blocks = -(-numbers.shape[axis] // size) if fits else 0
    wanted = (
        tuple(blocks if index == axis % rank else length for index, length in enumerate(numbers.shape))
        if fits
        else ()
    )
    if not fits or scale.shape != wanted:
        raise ModelFormatError(
            "scales do not match the blocks",
            where=names[0],
            expected=f"{wanted or 'as many axes as the tensor'}, block_size above 0",
            found=f"{scale.shape} for {numbers.shape}, axis {axis}, block_size {size}",
        )
    scale = scales_of_groups(names[0], scale)
    decode_groups(reader, numbers, scale, zero, size, axis % rank, output)


def _quantize_by_computed_scale(reader: Importer, proto: "NodeProto", kind: str) -> None:
    """Add the arithmetic of a scale that is computed at run time: whole numbers in floats."""
    source, scale, zero = _operands(proto)
    output = proto.output[0]
    numbers = reader.insert("Round", [reader.insert("Div", [source, scale])])
    if zero:
        numbers = reader.insert("Add", [numbers, whole(reader, zero)])
    reader.append("Clip", [numbers, *(scalar(reader, output, bound) for bound in RANGES[kind])], output)


def _computed_scale(reader: Importer, proto: "NodeProto") -> None:
    """Add the arithmetic of a scale that is computed at run time."""
    source, scale, zero = _operands(proto)
    numbers = whole(reader, source)
    if zero:
        numbers = reader.insert("Sub", [numbers, whole(reader, zero)])
    reader.append("Mul", [numbers, reader.use(scale)], proto.output[0])
