"""MatMulNBits of com.microsoft: weights of 2, 4 or 8 bits with a scale for each block of the inner axis.

    w[n, k] = scale[n, k / block] (q[n, k] - zero[n, k / block]),  y = x w^T

``B`` is ``[n, blocks, block * bits / 8]``, lower bits first; zero points are packed alike, the middle of the
range where there are none. One block per row is an encoding per output; more are groups of an encoding.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lowbit.errors import ModelFormatError, UnsupportedError
from lowbit.formats.onnx.attributes import integer
from lowbit.formats.onnx.importer import Importer
from lowbit.formats.onnx.quantized.grid import Grid
from lowbit.formats.onnx.quantized.operators import inputs_of
from lowbit.formats.onnx.quantized.parameters import known, scales_of_groups, upright
from lowbit.formats.onnx.quantized.values import decode_constant, decode_groups
from lowbit.ir.graph import Array, Attribute

if TYPE_CHECKING:
    from onnx import NodeProto


def matmul_nbits(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
    """Read a MatMulNBits."""
    a, b, scales, zeros, order, bias = inputs_of(proto, 3, 6)
    inner, outputs, bits, block = (integer(attributes, name, 0) for name in ("K", "N", "bits", "block_size"))
    bits = bits or 4
    if order or bits not in (2, 4, 8) or min(inner, outputs) < 1 or block < 16 or block & (block - 1):
        raise UnsupportedError(
            "blocks of this kind",
            expected="2, 4 or 8 bits, K and N above 0, a block of a power of two from 16 on, no g_idx",
            found=f"{bits} bits, K {inner}, N {outputs}, block_size {block}{', g_idx' if order else ''}",
        )
    count = -(-inner // block)
    numbers = _unpacked(known(reader, b, "weights"), bits, (outputs, count, block), b)[:, :, :block]
    numbers = numbers.reshape(outputs, -1)[:, :inner]
    scale = known(reader, scales, "a scale")
    if scale.size != outputs * count:
        _mismatch(scales, outputs * count, scale.size)
    scale = scales_of_groups(scales, scale).reshape(outputs, count)
    zero = _middle(bits, outputs, count)
    if zeros:
        zero = _zero_points(known(reader, zeros, "a zero point"), bits, outputs, count, zeros)
    weights = reader.free_name(f"{b}/real")
    if count == 1:
        numbers, scale, zero = upright(numbers, scale, zero, block)
        decode_constant(reader, numbers, Grid(0, (1 << bits) - 1, scale[:, 0], zero[:, 0]), weights)
    else:
        decode_groups(reader, numbers, scale, zero, block, 1, weights)
    turned = reader.free_name(f"{b}/turned")
    reader.read("Transpose", [weights], turned, perm=[1, 0])
    product = reader.free_name(f"{proto.output[0]}/product") if bias else proto.output[0]
    reader.read("MatMul", [a, turned], product, name=proto.name)
    if bias:
        reader.append("Add", [product, bias], proto.output[0])


def _unpacked(packed: Array, bits: int, shape: tuple[int, int, int], where: str) -> npt.NDArray[np.int64]:
    """Return the numbers of bytes, lower bits first."""
    outputs, count, block = shape
    wanted = outputs * count * (block * bits // 8)
    if packed.dtype != np.uint8 or packed.size != wanted:
        _mismatch(where, wanted, packed.size)
    wide = packed.astype(np.int64).reshape(outputs, count, -1, 1)
    return ((wide >> (bits * np.arange(8 // bits))) & ((1 << bits) - 1)).reshape(outputs, count, -1)


def _middle(bits: int, outputs: int, count: int) -> npt.NDArray[np.int64]:
    return np.full((outputs, count), 1 << (bits - 1), np.int64)


def _zero_points(given: Array, bits: int, outputs: int, count: int, where: str) -> npt.NDArray[np.int64]:
    if given.dtype.kind == "f":
        whole = np.rint(given.astype(np.float64))
        if given.size != outputs * count or not np.array_equal(whole, given):
            raise UnsupportedError("zero points that are no whole numbers", where=where)
        return np.asarray(whole, np.int64).reshape(outputs, count)
    length = -(-count * bits // 8)
    if given.dtype != np.uint8 or given.size != outputs * length:
        _mismatch(where, outputs * length, given.size)
    return _unpacked(given, bits, (outputs, 1, length * 8 // bits), where).reshape(outputs, -1)[:, :count]


def _mismatch(where: str, expected: int, found: int) -> None:
    raise ModelFormatError("blocks do not match", where=where, expected=str(expected), found=str(found))
