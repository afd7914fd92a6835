"""The bytes of a constant as an array: of any type, with four bits to a number, or sparse.

A sparse constant is a tree of levels, in ``traversal_order``: the axes of the tensor, then, for blocks, an
axis inside a block for each entry of ``block_map``, which says the axis that it divides. A dense level has
``dense_size`` children of every node; in a sparse one node n has from ``indices[segments[n]]`` to before
``indices[segments[n + 1]]``. What is stored are the leaves; all else is the number that stands for zero.
"""

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.errors import ModelFormatError, UnsupportedError
from lowbit.formats.circle.schema import TENSOR_TYPES, DimensionMetadata, Sparsity, Tensor

_HALF_BYTES = TENSOR_TYPES["int4"]
_DTYPES = {
    code: np.dtype(name).newbyteorder("<") for name, code in TENSOR_TYPES.items() if code != _HALF_BYTES
} | {_HALF_BYTES: np.dtype(np.int8)}
_LARGEST_DENSE = 1 << 28

Places = npt.NDArray[np.int64]


def typed(tensor: Tensor, data: npt.NDArray[np.uint8], place: str) -> npt.NDArray[Any]:
    """Return the bytes of a constant as an array of its tensor's type and shape.

    Raises:
        ModelFormatError: there are more or fewer bytes than the shape asks for, or sparse levels do not fit.
        UnsupportedError: a type that lowbit does not have.
    """
    dtype = _DTYPES.get(tensor.type)
    if dtype is None:
        raise UnsupportedError(
            "the tensor's type is not supported",
            where=place,
            expected=", ".join(TENSOR_TYPES),
            found=f"type {tensor.type}",
            remedy="Export the network with float32 weights.",
        )
    if tensor.sparsity is not None:
        return _dense(tensor, tensor.sparsity, _numbers(tensor, data, None, dtype, place), place)
    found = _numbers(tensor, data, prod(tensor.shape), dtype, place).reshape(tensor.shape)
    return found if found.flags.aligned else _read_only(found.copy())


def _numbers(
    tensor: Tensor, data: npt.NDArray[np.uint8], count: int | None, dtype: np.dtype[Any], place: str
) -> npt.NDArray[Any]:
    """Return bytes as a row of numbers, ``count`` of them where that is known."""
    if tensor.type == _HALF_BYTES:
        wanted = len(data) if count is None else -(-count // 2)
        _require(len(data) == wanted, "a constant has the wrong number of bytes", place, wanted, len(data))
        pairs = np.stack([data << 4, data], axis=-1).view(np.int8) >> 4  # the lower half of a byte is first
        return _read_only(pairs.reshape(-1)[:count].copy())
    whole = (len(data) // dtype.itemsize if count is None else count) * dtype.itemsize
    _require(len(data) == whole, "a constant has the wrong number of bytes", place, whole, len(data))
    return data.view(dtype)


def _dense(tensor: Tensor, sparsity: Sparsity, values: npt.NDArray[Any], place: str) -> npt.NDArray[Any]:
    rank, order, blocks = len(tensor.shape), sparsity.traversal_order, sparsity.block_map
    levels = sparsity.dimensions
    fits = (
        sorted(order) == list(range(rank + len(blocks)))
        and len(levels) == len(order)
        and len(set(blocks)) == len(blocks)
        and all(0 <= axis < rank for axis in blocks)
    )
    _require(fits, "the levels of a sparse constant do not fit it", place, f"{rank} axes", (order, blocks))
    _require(
        prod(tensor.shape) <= _LARGEST_DENSE, "a sparse constant is too large", place, _LARGEST_DENSE, rank
    )
    sizes = [1] * rank
    for level, axis in zip(levels, order, strict=True):
        if axis >= rank:
            _require(level.dense_size > 0, "a block has no size", place, "1 or more", level.dense_size)
            sizes[blocks[axis - rank]] = level.dense_size
    coordinates: Places = np.zeros((rank, 1), np.int64)
    for level, axis in zip(levels, order, strict=True):
        inner = axis >= rank
        at = blocks[axis - rank] if inner else axis
        length = sizes[at] if inner else -(-tensor.shape[at] // sizes[at])
        parents, children = _children(level, coordinates.shape[1], length, prod(tensor.shape), place)
        coordinates = coordinates[:, parents]
        coordinates[at] += children if inner else children * sizes[at]
    made = np.full(tensor.shape, _zero(tensor), values.dtype)
    inside = (coordinates < np.array(tensor.shape).reshape(-1, 1)).all(axis=0)
    _require(
        len(values) == coordinates.shape[1] and bool(inside.all()),
        "a sparse constant has other elements than its levels say",
        place,
        coordinates.shape[1],
        len(values),
    )
    made[tuple(coordinates)] = values
    return _read_only(made)


def _children(
    level: DimensionMetadata, nodes: int, length: int, most: int, place: str
) -> tuple[Places, Places]:
    """Return the parent of every node of a level, and its place below it."""
    if level.format == 0:
        fits = level.dense_size == length and nodes * length <= most
        _require(fits, "a dense level has the wrong length", place, length, level.dense_size)
        return np.repeat(np.arange(nodes), length), np.tile(np.arange(length), nodes)
    segments, indices = (_row(vector) for vector in (level.segments, level.indices))
    counts = np.diff(segments)
    fits = (
        level.format == 1
        and len(segments) == nodes + 1
        and segments[0] == 0
        and segments[-1] == len(indices)
        and bool((counts >= 0).all())
        and (not len(indices) or 0 <= indices.min() <= indices.max() < length)
    )
    _require(fits, "a sparse level does not fit", place, f"{nodes} rows below {length}", len(segments))
    return np.repeat(np.arange(nodes), counts), indices


def _row(vector: Any) -> Places:
    values = None if vector is None else vector.values
    return np.zeros(1, np.int64) if values is None else np.asarray(values, np.int64)


def _zero(tensor: Tensor) -> int:
    """Return the number that stands for zero: of codes the zero point, where there is one."""
    points = None if tensor.quantization is None else tensor.quantization.zero_point
    return int(points[0]) if points is not None and len(points) == 1 else 0


def _read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array.flags.writeable = False
    return array


def _require(holds: bool, rule: str, where: str, expected: object, found: object) -> None:
    if not holds:
        remedy = "The file is damaged or was written wrongly: write or fetch it again."
        raise ModelFormatError(
            rule, where=where, expected=str(expected), found=str(found)[:80], remedy=remedy
        )
