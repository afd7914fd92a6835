"""Resize and Upsample as the graph has them: scales or lengths of all axes, or of those that change."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from lowbit.errors import UnsupportedError
from lowbit.formats.onnx.attributes import integers
from lowbit.formats.onnx.importer import Importer
from lowbit.formats.onnx.shape_arithmetic import FIX
from lowbit.ir.graph import Array, Attribute
from lowbit.ir.lengths import Length

if TYPE_CHECKING:
    from onnx import NodeProto

Attributes = dict[str, Attribute]
Rewrite = Callable[[Importer, "NodeProto", Attributes], None]


def _resize(reader: Importer, proto: "NodeProto", attributes: Attributes) -> None:
    """Before opset 11 there were scales alone, and places as of ``asymmetric``, rounded down."""
    if reader.opset < 11:
        return _upsample(reader, proto, attributes)
    names = [*proto.input, "", "", ""]
    scales, sizes = names[2], names[3]
    attributes.pop("extrapolation_value", None)
    policy = attributes.pop("keep_aspect_ratio_policy", "stretch")
    if sizes:
        axes, lengths = _changed(reader, proto, attributes, reader.constants.get(sizes))
        if policy != "stretch":
            lengths = _in_proportion(reader, proto, axes, lengths, largest=policy == "not_larger")
        row = reader.constant(f"{proto.output[0]}/sizes", np.array(lengths, np.int64))
        attributes = attributes | ({"axes": axes} if len(axes) < len(reader.shape(names[0])) else {})
        if len(axes) == len(reader.shape(names[0])):
            attributes.pop("axes", None)
        if not axes:
            return reader.add(proto, "Identity", [names[0]], {})
        return reader.add(proto, "Resize", [names[0], "", "", row], attributes)
    reader.known(scales)
    return reader.add(proto, "Resize", [names[0], "", scales], attributes)


def _changed(
    reader: Importer, proto: "NodeProto", attributes: Attributes, sizes: Array | None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the axes that a Resize names and their lengths, those left out that are open and stay so."""
    shape = reader.shape(proto.input[0])
    if sizes is None:
        raise UnsupportedError("lengths of a Resize that are not known before it runs", remedy=FIX)
    axes = [axis % len(shape) for axis in integers(attributes, "axes", tuple(range(len(shape))))]
    kept = [(axis, length) for axis, length in zip(axes, sizes, strict=True) if str(length) != shape[axis]]
    if any(isinstance(length, Length) or isinstance(shape[axis], str) for axis, length in kept):
        raise UnsupportedError(
            "an open length is resized", expected="fixed lengths", found=str(shape), remedy=FIX
        )
    return tuple(axis for axis, _ in kept), tuple(int(length) for _, length in kept)


def _in_proportion(
    reader: Importer, proto: "NodeProto", axes: tuple[int, ...], lengths: tuple[int, ...], *, largest: bool
) -> tuple[int, ...]:
    """Return lengths of one scale for all axes, that nowhere exceed (or fall below) those asked for."""
    shape = reader.shape(proto.input[0])
    before = [int(shape[axis]) for axis in axes]
    scales = [length / have for length, have in zip(lengths, before, strict=True)]
    scale = min(scales) if largest else max(scales)
    return tuple(int(scale * have + 0.5) for have in before)


def _upsample(reader: Importer, proto: "NodeProto", attributes: Attributes) -> None:
    """The older form: scales, as an attribute before opset 9."""
    scales = proto.input[1] if len(proto.input) > 1 else ""
    given = attributes.pop("scales", None)
    if given is not None:
        scales = reader.constant(f"{proto.output[0]}/scales", np.asarray(given, np.float32))
    reader.known(scales)
    old = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    mode = attributes.get("mode", "nearest")
    settings = old | {"mode": "linear" if mode == "bilinear" else mode}
    reader.add(proto, "Resize", [proto.input[0], "", scales], settings)


def _transposed(reader: Importer, proto: "NodeProto", attributes: Attributes) -> None:
    """Add a ConvTranspose whose pads say what ``auto_pad`` and ``output_shape`` ask for."""
    mode, wanted = attributes.pop("auto_pad", "NOTSET"), integers(attributes, "output_shape")
    attributes.pop("output_shape", None)
    weights = reader.shape(proto.input[1])[2:]
    kernel = integers(attributes, "kernel_shape", tuple(n for n in weights if isinstance(n, int)))
    rank = len(kernel)
    strides, dilations = (integers(attributes, name, (1,) * rank) for name in ("strides", "dilations"))
    extra = integers(attributes, "output_padding", (0,) * rank)
    if wanted or str(mode).startswith("SAME"):
        lengths = reader.shape(proto.input[0])[2:]
        if not all(isinstance(length, int) for length in lengths) or len(lengths) != rank:
            raise UnsupportedError(
                "padding of an open map", expected="fixed lengths", found=str(lengths), remedy=FIX
            )
        sizes = [int(length) for length in lengths]
        target = wanted[-rank:] or tuple(n * s for n, s in zip(sizes, strides, strict=True))
        totals = [
            max(strides[a] * (sizes[a] - 1) + extra[a] + (kernel[a] - 1) * dilations[a] + 1 - target[a], 0)
            for a in range(rank)
        ]
        short = [
            max(target[a] - (strides[a] * (sizes[a] - 1) + extra[a] + (kernel[a] - 1) * dilations[a] + 1), 0)
            for a in range(rank)
        ]
        small = tuple(total // 2 for total in totals)
        large = tuple(total - half for total, half in zip(totals, small, strict=True))
        pads = small + large if mode != "SAME_LOWER" and mode != "NOTSET" else large + small
        attributes |= {"pads": small + large if mode == "SAME_UPPER" else pads}
        attributes |= {"output_padding": tuple(e + s for e, s in zip(extra, short, strict=True))}
    elif mode == "VALID":
        attributes.pop("pads", None)
    reader.add(proto, "ConvTranspose", list(proto.input), attributes)


RESIZING: dict[str, Rewrite] = {"ConvTranspose": _transposed, "Resize": _resize, "Upsample": _upsample}
