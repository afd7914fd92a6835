"""Operators that are read as something simpler: casts, Dropout, and older forms of what we have."""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import numpy as np

from lowbit.errors import UnsupportedError
from lowbit.formats.onnx.shape_arithmetic import resolve_shape
from lowbit.formats.onnx.tensors import dtype_of
from lowbit.ir import Graph
from lowbit.ir.graph import Array, Attribute

if TYPE_CHECKING:
    from onnx import NodeProto


class Importer(Protocol):
    """What a rewrite needs of the reader."""

    uses: Counter[str]
    result: Graph
    opset: int
    constants: dict[str, Array]

    def use(self, name: str) -> str:
        """Make a name a value of the graph, and return it."""

    def add(self, proto: "NodeProto", op: str, inputs: list[str], attributes: dict[str, Attribute]) -> None:
        """Add a node and infer its outputs."""


def _cast(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
    """A cast between floats is an identity; one of an input says that the input may be float32."""
    target = dtype_of(int(attributes.get("to", 0)), proto.name)  # type: ignore[arg-type]
    source = reader.result.value(reader.use(proto.input[0]))
    is_input = source.name in reader.result.inputs and source.encoding is None
    if is_input and reader.uses[source.name] == 1:
        reader.result.update(source.name, dtype="float32")
        source = reader.result.value(source.name)
    if (source.dtype, target) != ("float32", "float32"):
        raise UnsupportedError("cast", expected="float32 to float32", found=f"{source.dtype} to {target}")
    reader.add(proto, "Identity", [source.name], {})


def _dropout(reader: Importer, proto: "NodeProto", _: dict[str, Attribute]) -> None:
    """At inference Dropout is an identity; the mask has no meaning there."""
    training = reader.constants.get(proto.input[2]) if len(proto.input) > 2 and proto.input[2] else None
    dynamic = training is None and len(proto.input) > 2 and bool(proto.input[2])
    if dynamic or (training is not None and bool(np.any(training))):
        raise UnsupportedError(
            "Dropout in training mode", expected="training_mode = 0", remedy="Export for inference."
        )
    del proto.output[1:]
    reader.add(proto, "Identity", [proto.input[0]], {})


def _reshape(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
    """Open lengths in the shape become 0 or -1."""
    data, shape = proto.input[0], proto.input[1] if len(proto.input) > 1 else ""
    if shape in reader.constants and reader.constants[shape].dtype == object:
        numbers = resolve_shape(reader.constants[shape], reader.result.value(reader.use(data)).shape)
        shape = reader.result.add_constant(
            reader.result.fresh_name(f"{proto.output[0]}/shape"), numbers, "int64"
        )
    reader.add(proto, "Reshape", [data, shape], attributes)


def _softmax(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
    """Before opset 13 all axes from ``axis`` (default 1) were one; that is the last axis, or refused."""
    if reader.opset < 13:
        shape = reader.result.value(reader.use(proto.input[0])).shape
        axis = attributes.get("axis", 1)
        assert isinstance(axis, int)
        together = shape[axis:]
        if len([length for length in together if length != 1]) > 1 or not together:
            raise UnsupportedError(
                f"{proto.op_type} over several axes",
                expected="one axis",
                found=f"axis {axis} of {shape} in opset {reader.opset}",
                remedy="Export with opset 13 or later.",
            )
        longest = max(range(len(together)), key=lambda index: together[index] != 1)
        attributes = {"axis": longest - len(together)}
    reader.add(proto, proto.op_type, list(proto.input), attributes)


def _clip(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
    """Before opset 11 the bounds were attributes."""
    inputs = list(proto.input)
    for name in ("min", "max"):
        if name in attributes:
            stem = reader.result.fresh_name(f"{proto.output[0]}/{name}")
            inputs.append(reader.result.add_constant(stem, np.float32(attributes[name])))  # type: ignore[arg-type]
        elif reader.opset < 11:
            inputs.append("")
    reader.add(proto, "Clip", inputs, {})


Rewrite = Callable[[Importer, "NodeProto", dict[str, Attribute]], None]

REWRITES: dict[str, Rewrite] = {
    "Cast": _cast,
    "Clip": _clip,
    "Dropout": _dropout,
    "LogSoftmax": _softmax,
    "Reshape": _reshape,
    "Softmax": _softmax,
}
