"""Quantized tensors while a model is read.

What a file calls a tensor of int8, uint8, int4 or uint4 is here one of

* a constant: its whole numbers;
* a value of codes: ``number = code + base``, known from what made it;
* a value of floats that are whole numbers: types of 16 bits, scales per channel of what is computed, scales
  that are computed themselves. float32 holds them exactly.
"""

from math import prod

import numpy as np

from lowbit.errors import ModelFormatError, UnsupportedError
from lowbit.formats.onnx.importer import Importer
from lowbit.formats.onnx.quantized.grid import Grid, Rounding
from lowbit.formats.onnx.quantized.parameters import RANGES, upright
from lowbit.ir import Trait, Value, has
from lowbit.ir.graph import Array
from lowbit.ir.input_type import InputType
from lowbit.ir.operators import carried
from lowbit.schemes import Grouped

_READS_NUMBERS = ("DequantizeLinear", "QLinear", "QGemm")
"""How operators begin that read whole numbers with their scale."""


def quantize(reader: Importer, source: str, grid: Grid, output: str) -> None:
    """Add what makes whole numbers of reals."""
    if source in reader.constants:
        reader.constants[output] = grid.numbers(reader.constants[source]).astype(np.int32)
        return
    encoding = grid.encoding() if grid.channels == 1 else None
    if encoding is None:
        _quantize_in_floats(reader, source, grid, output)
        return
    thresholds = grid.thresholds(encoding)
    inputs = [reader.use(source)]
    if thresholds is not None:
        inputs.append(reader.constant(f"{output}/thresholds", thresholds))
    reader.result.add(Value(output, "code", reader.shape(source), None, encoding))
    reader.grids[output] = grid
    reader.append("Encode", inputs, output, domain="lowbit")


def dequantize(reader: Importer, source: str, grid: Grid, output: str) -> None:
    """Add what makes reals of whole numbers."""
    if source in reader.constants:
        numbers = reader.constants[source]
        if numbers.dtype.kind not in "iu":
            raise ModelFormatError(
                "what is dequantized is no tensor of integers", where=source, found=str(numbers.dtype)
            )
        decode_constant(reader, numbers, grid, output)
        return
    value = reader.result.value(coded(reader, source, grid))
    if value.encoding is None:
        _dequantize_floats(reader, value.name, grid, output)
    elif _means(reader, value, grid):
        reader.append("Decode", [value.name], output, domain="lowbit")
    else:
        _dequantize_floats(reader, whole_numbers(reader, value.name), grid, output)


def _means(reader: Importer, value: Value, grid: Grid) -> bool:
    """Return whether a value of codes stands for what a grid says."""
    zero = grid.zero - base_of(reader, value.name)
    assert value.encoding is not None
    return grid.channels == 1 and bool(
        value.encoding.integer_scale()[0] == float(grid.scale[0])
        and value.encoding.integer_levels()[0, 0] == -int(zero[0])
    )


def base_of(reader: Importer, name: str) -> int:
    """Return the number whose code is 0 of a value of codes, from what it was moved from."""
    grid = grid_of(reader, name)
    if grid is None:
        raise UnsupportedError("codes that nobody knows how to read", where=name)
    return grid.base


def grid_of(reader: Importer, name: str) -> Grid | None:
    """Return what made a value of codes, from what it was moved from; None for any other."""
    while name not in reader.grids:
        node = reader.result.producer(name)
        if node is None or not has(node, Trait.CARRIES):
            return None
        name = carried(node)[0]
    return reader.grids[name]


def whole_numbers(reader: Importer, name: str) -> str:
    """Return a value of codes as floats that are its whole numbers."""
    value = reader.result.value(name)
    assert value.encoding is not None
    levels = reader.insert("Decode", [name], domain="lowbit")
    units = reader.insert("Div", [levels, scalar(reader, name, value.encoding.integer_scale()[0])])
    whole = reader.insert("Round", [units])
    shift = base_of(reader, name) - int(value.encoding.integer_levels()[0, 0])
    return reader.insert("Add", [whole, scalar(reader, name, shift)]) if shift else whole


def whole(reader: Importer, name: str) -> str:
    """Return a quantized tensor as floats that are its whole numbers."""
    if name in reader.constants:
        return reader.constant(f"{name}/numbers", reader.constants[name].astype(np.float32))
    value = reader.result.value(reader.use(name))
    return whole_numbers(reader, name) if value.encoding is not None else name


def coded(reader: Importer, name: str, grid: Grid) -> str:
    """Return the codes of a quantized tensor; a network's own input becomes reals, with an encoder behind."""
    if name in reader.coded_inputs:
        return reader.coded_inputs[name]
    value = reader.result.value(reader.use(name))
    if name not in reader.result.inputs or value.encoding is not None or value.dtype == "float32":
        return value.name
    encoding = grid.encoding() if grid.channels == 1 else None
    others = [kind for kind in reader.readers[name] if not kind.startswith(_READS_NUMBERS)]
    if (
        encoding is None
        or others
        or value.dtype not in ("int8", "uint8")
        or (grid.low, grid.high) != RANGES[value.dtype]
    ):
        raise UnsupportedError(
            "an input of integers of this kind",
            where=name,
            expected="int8 or uint8 with one scale, read by quantized operators alone",
            found=f"{value.dtype} with {grid.channels}, read by {', '.join(reader.readers[name])}",
        )
    if name == reader.result.inputs[0]:
        InputType(value.dtype, float(grid.scale[0]), int(grid.zero[0])).remember(reader.result)
    reader.result.update(name, dtype="float32")
    codes = reader.free_name(f"{name}/codes")
    quantize(reader, name, grid, codes)
    reader.coded_inputs[name] = codes
    return codes


def decode_constant(reader: Importer, numbers: Array, grid: Grid, output: str) -> None:
    """Keep a constant's codes, those of weights; a row becomes what it stands for."""
    array = np.asarray(numbers, np.int64)
    narrow = Grid(int(array.min(initial=0)), int(array.max(initial=0)), grid.scale, grid.zero, grid.axis)
    encoding = narrow.encoding()
    if array.ndim < 2 or encoding is None or not array.size:
        reader.constants[output] = grid.reals(array)
        return
    front = np.moveaxis(array, grid.axis, 0)
    codes = np.ascontiguousarray(front - narrow.base).astype(np.uint8)
    name = reader.result.add(Value(reader.free_name(f"{output}/codes"), "code", codes.shape, codes, encoding))
    if grid.axis == 0:
        reader.append("Decode", [name], output, domain="lowbit")
        return
    turned = reader.insert("Decode", [name], domain="lowbit")
    back = np.argsort([grid.axis, *(axis for axis in range(array.ndim) if axis != grid.axis)])
    reader.append("Transpose", [turned], output, perm=tuple(int(axis) for axis in back))


def decode_groups(
    reader: Importer, numbers: Array, scale: Array, zero: Array, group: int, axis: int, output: str
) -> None:
    """Add what decodes a constant with a scale for each group of numbers along an axis.

    Where a layer can read it, its codes are kept; else it becomes the floats that it stands for.

    Args:
        reader: of the file.
        numbers: the whole numbers.
        scale: of every group, with the axes of the numbers.
        zero: likewise.
        group: how many numbers share a scale, fewer at the end.
        axis: along which groups lie.
        output: what is decoded.
    """
    turned = axis == 0 and numbers.ndim == 2
    rows, scales, zeros = (each.T if turned else each for each in (numbers, scale, zero))
    flat = turned or (axis == 1 and prod(numbers.shape[2:]) == 1)
    if flat:
        rows, scales, zeros = upright(rows, scales, zeros, group)
    whole = np.asarray(rows, np.int64)
    ends = int(whole.min(initial=0)), int(whole.max(initial=0))
    grid = Grid(*ends, scales.astype(np.float32).reshape(-1), zeros.astype(np.int64).reshape(-1))
    encoding = grid.encoding() if flat and rows.size else None
    if encoding is None:
        reader.constants[output] = spread(numbers, scale, zero, axis, group)
        reader.note(in_blocks(output, group))
        return
    codes, kept = np.ascontiguousarray(whole - grid.base).astype(np.uint8), Grouped(encoding, group)
    name = reader.result.add(Value(reader.free_name(f"{output}/codes"), "code", codes.shape, codes, kept))
    if not turned:
        reader.append("Decode", [name], output, domain="lowbit")
        return
    decoded = reader.insert("Decode", [name], domain="lowbit")
    reader.append("Transpose", [decoded], output, perm=(1, 0))


def in_blocks(name: str, size: int) -> str:
    """Return what people are told of a constant in blocks that no layer reads as codes."""
    return (
        f"{name}: weights with a scale for each {size} numbers are floats here, exactly what they stand for"
    )


def spread(numbers: Array, scale: Array, zero: Array, axis: int, size: int) -> Array:
    """Return ``scale (q - zero)`` in float32, scale and zero repeated along an axis."""
    length = numbers.shape[axis]
    wide, origin = (np.repeat(each, size, axis).take(range(length), axis) for each in (scale, zero))
    difference = numbers.astype(np.int64) - origin.astype(np.int64)
    return np.asarray(difference.astype(np.float32) * wide.astype(np.float32), np.float32)


def _quantize_in_floats(reader: Importer, source: str, grid: Grid, output: str) -> None:
    rank = len(reader.shape(source))
    quotient = reader.insert("Div", [source, per_channel(reader, output, grid.scale, grid.axis, rank)])
    bounds = [scalar(reader, output, bound) for bound in (grid.low, grid.high)]
    if not grid.before:
        whole = _shifted(reader, round_in_floats(reader, quotient, grid.rounding), grid, output, rank)
        reader.append("Clip", [whole, *bounds], output)
        return
    cut = reader.insert("Clip", [_shifted(reader, quotient, grid, output, rank), *bounds])
    reader.append("Identity", [round_in_floats(reader, cut, grid.rounding)], output)


def _shifted(reader: Importer, value: str, grid: Grid, output: str, rank: int) -> str:
    if not grid.zero.any():
        return value
    return reader.insert("Add", [value, per_channel(reader, output, grid.zero, grid.axis, rank)])


def round_in_floats(reader: Importer, value: str, rounding: Rounding) -> str:
    """Add the operator that rounds floats.

    Raises:
        UnsupportedError: there is none that rounds like that.
    """
    if not rounding.operator:
        raise UnsupportedError(
            "a rounding of computed values per channel, or of more than 8 bits",
            expected="half to even, floor or ceil",
            found="another rounding mode",
        )
    return reader.insert(rounding.operator, [value])


def _dequantize_floats(reader: Importer, source: str, grid: Grid, output: str) -> None:
    rank = len(reader.shape(source))
    if grid.zero.any():
        source = reader.insert("Sub", [source, per_channel(reader, output, grid.zero, grid.axis, rank)])
    reader.append("Mul", [source, per_channel(reader, output, grid.scale, grid.axis, rank)], output)


def per_channel(reader: Importer, stem: str, numbers: Array, axis: int, rank: int) -> str:
    """Return a constant with a number for each channel along an axis."""
    shape = [1] * rank
    if len(numbers) > 1:
        shape[axis] = len(numbers)
    array = numbers.astype(np.float32)
    return reader.constant(f"{stem}/row", array.reshape(shape) if len(numbers) > 1 else array.reshape(()))


def scalar(reader: Importer, stem: str, number: float) -> str:
    """Return a constant of one float."""
    return reader.constant(f"{stem}/number", np.asarray(number, np.float32))
