"""Normalizations as the graph has them: by layer or by instance, or written out.

GroupNormalization         groups become instances; before opset 21 scale and bias are one for each group
RMSNormalization           x / sqrt(mean x x + epsilon) * scale, the mean over the axes from ``axis`` on
MeanVarianceNormalization  (x - mean x) / (sqrt(mean x x - (mean x)^2) + 1e-9)
LpNormalization            x / (sum |x|^p)^(1/p)
SkipLayerNormalization     of ONNX Runtime: LayerNormalization of x + skip + bias
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from lowbit.errors import UnsupportedError
from lowbit.formats.onnx.attributes import integer, integers, number
from lowbit.formats.onnx.importer import Importer
from lowbit.ir.graph import Attribute

if TYPE_CHECKING:
    from onnx import NodeProto

Attributes = dict[str, Attribute]
Rewrite = Callable[[Importer, "NodeProto", Attributes], None]


def _group(reader: Importer, proto: "NodeProto", attributes: Attributes) -> None:
    source, scale, bias = proto.input
    groups, shape = integer(attributes, "num_groups", 1), reader.shape(source)
    epsilon, channels = number(attributes, "epsilon", 1e-5), shape[1]
    if not isinstance(channels, int) or groups < 1 or channels % groups:
        raise UnsupportedError("groups of channels", expected=f"a divisor of {channels}", found=str(groups))
    whole = _row(reader, proto, "whole", _copied(shape))
    apart = reader.insert("Reshape", [source, _row(reader, proto, "groups", (0, groups, -1))])
    if reader.opset < 21:
        made = reader.insert("InstanceNormalization", [apart, scale, bias], "", epsilon=epsilon)
        reader.add(proto, "Reshape", [made, whole], {})
        return
    ones, zeros = (
        reader.constant(f"{proto.output[0]}/{name}", np.full(groups, fill, np.float32))
        for name, fill in (("ones", 1), ("zeros", 0))
    )
    made = reader.insert("InstanceNormalization", [apart, ones, zeros], "", epsilon=epsilon)
    made = reader.insert("Reshape", [made, whole])
    column = _row(reader, proto, "column", (-1, *[1] * (len(shape) - 2)))
    scale, bias = (reader.insert("Reshape", [name, column]) for name in (scale, bias))
    reader.add(proto, "Add", [reader.insert("Mul", [made, scale]), bias], {})


def _copied(shape: tuple[int | str, ...]) -> tuple[int, ...]:
    """Return the target of a reshape to a shape of which one length at most is open."""
    fixed = [length if isinstance(length, int) else 0 for length in shape[2:]]
    return (0, shape[1] if isinstance(shape[1], int) else -1, *(length or -1 for length in fixed))


def _root_mean_square(reader: Importer, proto: "NodeProto", attributes: Attributes) -> None:
    source, scale = proto.input[:2]
    rank = len(reader.shape(source))
    axis = integer(attributes, "axis", -1) % rank
    axes = _row(reader, proto, "axes", tuple(range(axis, rank)))
    mean = reader.insert("ReduceMean", [reader.insert("Mul", [source, source]), axes])
    epsilon = _number(reader, proto, "epsilon", number(attributes, "epsilon", 1e-5))
    root = reader.insert("Sqrt", [reader.insert("Add", [mean, epsilon])])
    reader.add(proto, "Mul", [reader.insert("Div", [source, root]), scale], {})


def _mean_variance(reader: Importer, proto: "NodeProto", attributes: Attributes) -> None:
    source = proto.input[0]
    axes = _row(reader, proto, "axes", integers(attributes, "axes", (0, 2, 3)))
    mean = reader.insert("ReduceMean", [source, axes])
    of_squares = reader.insert("ReduceMean", [reader.insert("Mul", [source, source]), axes])
    variance = reader.insert("Sub", [of_squares, reader.insert("Mul", [mean, mean])])
    least = _number(reader, proto, "least", 1e-9)
    deviation = reader.insert("Add", [reader.insert("Sqrt", [variance]), least])
    reader.add(proto, "Div", [reader.insert("Sub", [source, mean]), deviation], {})


def _by_norm(reader: Importer, proto: "NodeProto", attributes: Attributes) -> None:
    source, power = proto.input[0], integer(attributes, "p", 2)
    axes = _row(reader, proto, "axes", (integer(attributes, "axis", -1),))
    if power not in (1, 2):
        raise UnsupportedError("a norm", expected="p = 1 or 2", found=str(power))
    each = reader.insert("Abs", [source]) if power == 1 else reader.insert("Mul", [source, source])
    total = reader.insert("ReduceSum", [each, axes])
    norm = total if power == 1 else reader.insert("Sqrt", [total])
    least = _number(reader, proto, "least", float(np.finfo(np.float32).tiny))  # a row of zeros stays one
    reader.add(proto, "Div", [source, reader.insert("Max", [norm, least])], {})


def _layer(reader: Importer, proto: "NodeProto", attributes: Attributes) -> None:
    attributes.pop("stash_type", None)
    reader.add(proto, "LayerNormalization", list(proto.input), attributes)


def _skip_layer(reader: Importer, proto: "NodeProto", attributes: Attributes) -> None:
    """ONNX Runtime's: the second output that may be read is the fourth, the sum."""
    inputs = [*proto.input, "", "", ""]
    total = reader.insert("Add", [inputs[0], inputs[1]])
    if inputs[4]:
        total = reader.insert("Add", [total, inputs[4]])
    if len(proto.output) > 3 and proto.output[3]:
        reader.give(proto, proto.output[3], "Identity", [total], {})
    if any(proto.output[1:3]) and any(reader.readers.get(name) for name in proto.output[1:3]):
        raise UnsupportedError(
            "mean and deviation of a SkipLayerNormalization", expected="the normalized values"
        )
    epsilon = {"epsilon": number(attributes, "epsilon", 1e-12)}
    if proto.op_type == "SkipSimplifiedLayerNormalization":
        del proto.output[1:]
        proto.input[:] = [total, inputs[2]]
        _root_mean_square(reader, proto, dict(epsilon))
        return
    reader.give(
        proto, proto.output[0], "LayerNormalization", [total, *filter(None, inputs[2:4])], dict(epsilon)
    )


def _row(reader: Importer, proto: "NodeProto", name: str, numbers: tuple[int, ...]) -> str:
    return reader.constant(f"{proto.output[0]}/{name}", np.array(numbers, np.int64))


def _number(reader: Importer, proto: "NodeProto", name: str, value: float) -> str:
    return reader.constant(f"{proto.output[0]}/{name}", np.asarray(value, np.float32))


NORMALIZATIONS: dict[str, Rewrite] = {
    "GroupNormalization": _group,
    "LayerNormalization": _layer,
    "LpNormalization": _by_norm,
    "MeanVarianceNormalization": _mean_variance,
    "RMSNormalization": _root_mean_square,
}

OF_ONNX_RUNTIME: dict[str, Rewrite] = {
    "LayerNormalization": _layer,
    "SimplifiedLayerNormalization": _root_mean_square,
    "SkipLayerNormalization": _skip_layer,
    "SkipSimplifiedLayerNormalization": _skip_layer,
}
