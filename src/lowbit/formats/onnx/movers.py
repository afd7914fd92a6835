"""Operators that choose, repeat and rearrange elements, as the graph has them.

Splits are slices, and what exchanges channels for places is a reshape, a transposition and a reshape.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from lowbit.errors import ModelFormatError, UnsupportedError
from lowbit.formats.onnx.attributes import integer, integers
from lowbit.formats.onnx.importer import Importer
from lowbit.ir.graph import Attribute, Shape

if TYPE_CHECKING:
    from onnx import NodeProto

Attributes = dict[str, Attribute]


def _slice(reader: Importer, proto: "NodeProto", attributes: Attributes) -> None:
    """Before opset 10 starts, ends and axes were attributes."""
    inputs = list(proto.input)
    for name in ("starts", "ends", "axes"):
        if name in attributes:
            row = np.array(integers(attributes, name), np.int64)
            inputs.append(reader.constant(f"{proto.output[0]}/{name}", row))
    reader.add(proto, "Slice", inputs, {})


def _split(reader: Importer, proto: "NodeProto", attributes: Attributes) -> None:
    """Parts of these lengths, or equal ones, the last of which may be shorter."""
    shape, axis = reader.shape(proto.input[0]), integer(attributes, "axis", 0)
    length, count = shape[axis], len(proto.output)
    parts = list(integers(attributes, "split"))
    if len(proto.input) > 1 and proto.input[1]:
        parts = [int(part) for part in reader.known(proto.input[1])]
    if not parts:
        if not isinstance(length, int):
            raise UnsupportedError("a split of an open length", expected="a fixed length", found=str(shape))
        each = -(-length // integer(attributes, "num_outputs", count))
        parts = [min(each, length - start) for start in range(0, length, each)]
    if len(parts) != count:
        raise ModelFormatError(
            "lengths and outputs of a split differ", expected=f"{count} parts", found=str(parts)
        )
    start = 0
    for name, part in zip(proto.output, parts, strict=True):
        if name:
            bounds = [
                reader.constant(f"{name}/{what}", np.array([number], np.int64))
                for what, number in (("start", start), ("end", start + part), ("axis", axis))
            ]
            reader.give(proto, name, "Slice", [proto.input[0], *bounds], {})
        start += part


def _depth_to_space(reader: Importer, proto: "NodeProto", attributes: Attributes) -> None:
    """DCR: the block is the outer part of the channels; CRD: the inner one."""
    size, shape = integer(attributes, "blocksize", 0), reader.shape(proto.input[0])
    c, h, w = _map(shape, size)
    inner = attributes.get("mode", "DCR") == "CRD"
    apart = (0, c // size**2, size, size, h, w) if inner else (0, size, size, c // size**2, h, w)
    order = (0, 1, 4, 2, 5, 3) if inner else (0, 3, 4, 1, 5, 2)
    _exchange(reader, proto, apart, order, (0, c // size**2, h * size, w * size))


def _space_to_depth(reader: Importer, proto: "NodeProto", attributes: Attributes) -> None:
    size, shape = integer(attributes, "blocksize", 0), reader.shape(proto.input[0])
    c, h, w = _map(shape, size)
    apart = (0, c, h // size, size, w // size, size)
    order = (0, 1, 3, 5, 2, 4) if attributes.get("mode", "DCR") == "CRD" else (0, 3, 5, 1, 2, 4)
    _exchange(reader, proto, apart, order, (0, c * size**2, h // size, w // size))


def _map(shape: Shape, size: int) -> tuple[int, int, int]:
    fixed = len(shape) == 4 and all(isinstance(length, int) for length in shape[1:]) and size > 0
    if not fixed:
        raise UnsupportedError(
            "an exchange of channels and places", expected="[n, c, h, w] of fixed lengths", found=str(shape)
        )
    return int(shape[1]), int(shape[2]), int(shape[3])


def _exchange(
    reader: Importer,
    proto: "NodeProto",
    apart: tuple[int, ...],
    order: tuple[int, ...],
    last: tuple[int, ...],
) -> None:
    name = proto.output[0]
    shapes = [
        reader.constant(f"{name}/{what}", np.array(lengths, np.int64))
        for what, lengths in (("apart", apart), ("shape", last))
    ]
    parts = reader.insert("Reshape", [proto.input[0], shapes[0]])
    reader.add(proto, "Reshape", [reader.insert("Transpose", [parts], perm=order), shapes[1]], {})


def _tile(reader: Importer, proto: "NodeProto", attributes: Attributes) -> None:
    reader.add(proto, "Tile", list(proto.input), attributes)


def _triangle(reader: Importer, proto: "NodeProto", attributes: Attributes) -> None:
    """What lies on the other side of a diagonal is 0."""
    rows, columns = reader.shape(proto.input[0])[-2:]
    k = int(reader.known(proto.input[1])) if len(proto.input) > 1 and proto.input[1] else 0
    upper = bool(integer(attributes, "upper", 1))
    if isinstance(rows, int) and isinstance(columns, int):
        ones = np.ones((rows, columns), np.bool_)
        mask = reader.constant(f"{proto.output[0]}/kept", np.triu(ones, k) if upper else np.tril(ones, k))
    else:
        mask = _open_triangle(reader, proto, k, upper=upper)
    zero = reader.constant(f"{proto.output[0]}/zero", np.zeros((), reader.kind(proto.input[0])))
    reader.add(proto, "Where", [mask, proto.input[0], zero], {})


def _open_triangle(reader: Importer, proto: "NodeProto", k: int, *, upper: bool) -> str:
    """Return the condition ``column >= row + k``, or at most, of lengths that are open."""
    source, stem = proto.input[0], proto.output[0]
    row, column = (_places(reader, source, f"{stem}/{axis}", axis) for axis in (-2, -1))
    axis = reader.constant(f"{row}/axis", np.array([1], np.int64))
    shifted = reader.insert(
        "Add", [reader.insert("Unsqueeze", [row, axis]), reader.constant(f"{row}/k", np.asarray(k, np.int64))]
    )
    return reader.insert("GreaterOrEqual" if upper else "LessOrEqual", [column, shifted])


def _places(reader: Importer, source: str, stem: str, axis: int) -> str:
    """Return the numbers of the elements along an axis, from 0."""
    lengths, length, places = (reader.free_name(f"{stem}/{what}") for what in ("lengths", "length", "places"))
    index = reader.constant(f"{stem}/axis", np.array([axis], np.int64))
    reader.read("Shape", [source], lengths)
    reader.read("Gather", [lengths, index], f"{length}/row")
    reader.read("Squeeze", [f"{length}/row"], length)
    first, step = (reader.constant(f"{stem}/{n}", np.asarray(n, np.int64)) for n in (0, 1))
    reader.read("Range", [first, length, step], places)
    return places


Rewrite = Callable[[Importer, "NodeProto", Attributes], None]

MOVERS: dict[str, Rewrite] = {
    "DepthToSpace": _depth_to_space,
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Tile": _tile,
    "Trilu": _triangle,
}
