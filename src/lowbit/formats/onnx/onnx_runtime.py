"""Operators that ONNX Runtime's optimizers write (domain com.microsoft), as what they are made of.

Source: ContribOperators.md of ONNX Runtime 1.23.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from lowbit.errors import UnsupportedError
from lowbit.formats.onnx.attributes import integer, number
from lowbit.formats.onnx.importer import Importer
from lowbit.formats.onnx.normalizations import OF_ONNX_RUNTIME
from lowbit.formats.onnx.windows import read_convolution
from lowbit.ir import OPERATORS
from lowbit.ir.graph import Attribute

if TYPE_CHECKING:
    from onnx import NodeProto

Attributes = dict[str, Attribute]
Rewrite = Callable[[Importer, "NodeProto", Attributes], None]


def _activation(op: str, domain: str = "") -> Rewrite:
    """Return what reads a function of the sum of its inputs."""

    def read(reader: Importer, proto: "NodeProto", attributes: Attributes) -> None:
        source = proto.input[0]
        if len(proto.input) > 1 and proto.input[1]:
            source = reader.insert("Add", [source, proto.input[1]])
        reader.add(proto, op, [source], attributes, domain)

    return read


def _quick(reader: Importer, proto: "NodeProto", attributes: Attributes) -> None:
    reader.add(proto, "Swish", [proto.input[0]], {"alpha": number(attributes, "alpha", 1.702)})


def _fused_product(reader: Importer, proto: "NodeProto", attributes: Attributes) -> None:
    """Alpha times the product, each operand with its last two axes exchanged where that is asked for."""
    operands = []
    for name, side in zip(proto.input, "AB", strict=True):
        rank = len(reader.shape(name))
        if integer(attributes, f"transBatch{side}", 0):
            raise UnsupportedError("a product with its batch moved", expected="transBatchA = transBatchB = 0")
        if integer(attributes, f"trans{side}", 0) and rank > 1:
            name = reader.insert("Transpose", [name], "", perm=(*range(rank - 2), rank - 1, rank - 2))
        operands.append(name)
    alpha = number(attributes, "alpha", 1.0)
    if alpha == 1.0:
        reader.add(proto, "MatMul", operands, {})
    else:
        factor = reader.constant(f"{proto.output[0]}/alpha", np.asarray(alpha, np.float32))
        reader.add(proto, "Mul", [reader.insert("MatMul", operands), factor], {})


def _fused_activation(read: Rewrite, prefix: str = "") -> Rewrite:
    """Return what reads a layer with an activation; a fourth input is added before it."""

    def read_all(reader: Importer, proto: "NodeProto", attributes: Attributes) -> None:
        name = str(attributes.pop("activation", ""))
        parameters = attributes.pop("activation_params", ())
        settings = {key: attributes.pop(key) for key in list(attributes) if key.startswith("activation_")}
        other = proto.input[3] if len(proto.input) > 3 and not prefix else ""
        output, layer = proto.output[0], reader.free_name(f"{proto.output[0]}/layer")
        del proto.input[3:]
        proto.output[:] = [layer]
        reader.readers[layer] = reader.readers.get(output, [])
        read(reader, proto, attributes)
        made = reader.insert("Add", [layer, other]) if other else layer
        _activate(reader, proto, output, made, name, tuple(parameters), settings)  # type: ignore[arg-type]

    return read_all


def _activate(
    reader: Importer,
    proto: "NodeProto",
    output: str,
    source: str,
    name: str,
    parameters: tuple[float, ...],
    settings: Attributes,
) -> None:
    known = OPERATORS["", name or "Identity"].attributes
    default = float(known.get("alpha", 0.0))  # type: ignore[arg-type]
    alpha = number(settings, "activation_alpha", parameters[0] if parameters else default)
    if name == "Clip":
        bounds = [
            reader.constant(f"{output}/{end}", np.asarray(value, np.float32))
            for end, value in zip(("least", "most"), parameters, strict=True)
        ]
        reader.give(proto, output, "Clip", [source, *bounds], {})
    elif "alpha" in known:
        beta = {"beta": parameters[1]} if "beta" in known and len(parameters) > 1 else {}
        reader.give(proto, output, name, [source], {"alpha": alpha, **beta})
    else:
        reader.give(proto, output, name or "Identity", [source], {})


def _product(reader: Importer, proto: "NodeProto", attributes: Attributes) -> None:
    reader.add(proto, "Gemm", list(proto.input), attributes)


MICROSOFT: dict[str, Rewrite] = {
    **OF_ONNX_RUNTIME,
    "BiasGelu": _activation("Gelu"),
    "FastGelu": _activation("GeluTanh", "lowbit"),
    "FusedConv": _fused_activation(read_convolution),
    "FusedGemm": _fused_activation(_product, "gemm"),
    "FusedMatMul": _fused_product,
    "Gelu": _activation("Gelu"),
    "QuickGelu": _quick,
}
"""What reads each operator, by its name."""
