"""Convolution and pooling as the graph has them: pads are numbers, lengths round down.

    SAME_UPPER   ceil(l / s) windows; the missing m = max((windows - 1) s + extent - l, 0) pads are split,
                 the larger half at the end (SAME_LOWER: at the start)
    ceil_mode    a last, partial window where it starts inside the map or its first pads: more pads at the end

A partial window of a mean that counts its pads does not count what the rounding added. There, what the
file calls pads becomes a Pad before the pool, and the pool counts no pads of its own.
"""

from typing import TYPE_CHECKING

import numpy as np

from lowbit.errors import UnsupportedError
from lowbit.formats.onnx.attributes import integer, integers
from lowbit.formats.onnx.importer import Importer
from lowbit.ir.graph import Attribute

if TYPE_CHECKING:
    from onnx import NodeProto

Attributes = dict[str, Attribute]
Numbers = tuple[int, ...]


def read_convolution(reader: Importer, proto: "NodeProto", attributes: Attributes) -> None:
    """Add a Conv with explicit pads."""
    weights = reader.shape(proto.input[1])[2:] if len(proto.input) > 1 else ()
    kernel = integers(attributes, "kernel_shape", tuple(n for n in weights if isinstance(n, int)))
    reader.add(proto, "Conv", list(proto.input), _explicit(reader, proto, attributes, kernel))


def read_max_pool(reader: Importer, proto: "NodeProto", attributes: Attributes) -> None:
    """Add a MaxPool; the order in which indices would be counted does not matter without them."""
    attributes.pop("storage_order", None)
    kernel = integers(attributes, "kernel_shape")
    explicit = _explicit(reader, proto, attributes, kernel)
    reader.add(proto, "MaxPool", list(proto.input), _rounded_up(reader, proto, explicit, kernel))


def read_average_pool(reader: Importer, proto: "NodeProto", attributes: Attributes) -> None:
    """Add an AveragePool, and a Pad before it where rounding up would change what is counted."""
    kernel, source = integers(attributes, "kernel_shape"), proto.input[0]
    explicit = _explicit(reader, proto, attributes, kernel)
    rounded = _rounded_up(reader, proto, dict(explicit), kernel)
    own, total = (integers(chosen, "pads", (0,) * 2 * len(kernel)) for chosen in (explicit, rounded))
    if integer(attributes, "count_include_pad", 0) and own != total:
        source = _padded(reader, source, own)
        extra = tuple(a - b for a, b in zip(total, own, strict=True))
        rounded |= {"pads": extra, "count_include_pad": 0}
    reader.add(proto, "AveragePool", [source], rounded)


def _padded(reader: Importer, source: str, pads: Numbers) -> str:
    """Add a Pad with zeros around the map, and return what it computes."""
    half = len(pads) // 2
    edges = np.array([0, 0, *pads[:half], 0, 0, *pads[half:]], np.int64)
    return reader.insert("Pad", [source, reader.constant(f"{source}/pads", edges)])


def _explicit(reader: Importer, proto: "NodeProto", attributes: Attributes, kernel: Numbers) -> Attributes:
    """Return the attributes with pads instead of ``auto_pad``."""
    mode = attributes.pop("auto_pad", "NOTSET")
    if mode == "NOTSET":
        return attributes
    if mode == "VALID":
        return {name: value for name, value in attributes.items() if name != "pads"}
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        raise UnsupportedError(
            "auto_pad", expected="NOTSET, VALID, SAME_UPPER or SAME_LOWER", found=str(mode)
        )
    totals = [
        max((-(-length // stride) - 1) * stride + extent - length, 0)
        for length, stride, extent in _axes(reader, proto, attributes, kernel)
    ]
    small = tuple(total // 2 for total in totals)
    large = tuple(total - half for total, half in zip(totals, small, strict=True))
    return attributes | {"pads": small + large if mode == "SAME_UPPER" else large + small}


def _rounded_up(reader: Importer, proto: "NodeProto", attributes: Attributes, kernel: Numbers) -> Attributes:
    """Return the attributes with pads at the end instead of ``ceil_mode``."""
    if not attributes.pop("ceil_mode", 0):
        return attributes
    axes, rank = _axes(reader, proto, attributes, kernel), len(kernel)
    pads = list(integers(attributes, "pads", (0,) * 2 * rank))
    _require(len(pads) == 2 * rank, f"{2 * rank} pads", pads)
    for axis, (length, stride, extent) in enumerate(axes):
        begin, end = pads[axis], pads[rank + axis]
        last = -(-(length + begin + end - extent) // stride) * stride  # where the last window starts
        last -= stride if last >= length + begin else 0
        pads[rank + axis] = max(end, last + extent - length - begin)
    return attributes | {"pads": tuple(pads)}


def _axes(reader: Importer, proto: "NodeProto", attributes: Attributes, kernel: Numbers) -> list[Numbers]:
    """Return ``(length, stride, extent)`` of every spatial axis."""
    lengths = reader.shape(proto.input[0])[2:]
    numbers = tuple(length for length in lengths if isinstance(length, int))
    if len(numbers) < len(lengths):
        raise UnsupportedError(
            "padding that depends on the map's size, which is open",
            expected="fixed lengths after the first two axes",
            found=str(lengths),
            remedy="Export with a fixed image size, or with explicit pads and ceil_mode 0.",
        )
    ones = (1,) * len(kernel)
    strides, dilations = (integers(attributes, name, ones) for name in ("strides", "dilations"))
    fits = len(numbers) == len(kernel) == len(strides) == len(dilations)
    _require(fits and min((*strides, 1)) >= 1, f"{len(numbers)} numbers each", (kernel, strides, dilations))
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    return list(zip(numbers, strides, extents, strict=True))


def _require(holds: bool, expected: str, found: object) -> None:
    if not holds:
        raise UnsupportedError(
            "kernel, strides, dilations or pads that do not fit the map", expected=expected, found=str(found)
        )
