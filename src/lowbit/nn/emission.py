"""The nodes of a low-bit layer, in the place of its call in what torch exported.

A layer becomes an encoder and a layer on codes, with exactly the integers and scales that the module
multiplies in eval mode. Where its input or its weights are real, it is one of floats.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from lowbit.errors import UnsupportedError
from lowbit.ir import Graph, Node, Value, infer, run_passes
from lowbit.ir.graph import Attribute, Shape
from lowbit.ir.passes import transposed_to_phases
from lowbit.quantization.node import add_encoder, low_bit_node
from lowbit.schemes import Encoding
from lowbit.schemes.coded import CodedWeights

if TYPE_CHECKING:
    from lowbit.formats.onnx.model_reader import ModelReader

Codes = tuple[Encoding, npt.ArrayLike]
"""What the codes of a layer's input mean, and the thresholds between them."""

Window = Mapping[str, Attribute]
"""The attributes of a convolution; a fully connected layer has none."""


class LayerCall:
    """A call of a layer, ready to be written.

    Args:
        name: of the layer.
        reads: how its input is encoded; None where it stays real.
        weight: codes ``[o, n]``, or reals.
        bias: reals ``[o]``, if there is one.
        shape: of the weights, ``[o, n]`` or ``[o, c / group, kh, kw]``.
        window: of a convolution.

    Attributes:
        shared: constants of calls that were written, by their keys.
        key: of calls with the same weights and the same encoding of the input; None where there is one.
    """

    def __init__(
        self,
        name: str,
        reads: Codes | None,
        weight: CodedWeights | Tensor,
        bias: Tensor | None,
        shape: tuple[int, ...],
        window: Window,
    ) -> None:
        self.name, self.reads, self.weight, self.bias = name, reads, weight, bias
        self.shape, self.window = shape, window
        self.shared: dict[object, tuple[str, ...]] = {}
        self.key: object = None

    @property
    def is_coded(self) -> bool:
        """Whether both its input and its weights are codes."""
        return self.reads is not None and isinstance(self.weight, CodedWeights)

    def __call__(self, reader: "ModelReader", source: str, target: str) -> None:
        """Write the layer between two values of what is read."""
        graph = reader.result
        name, source = graph.fresh_name(self.name), reader.use(source)
        if self.reads is not None:
            source = _codes(reader, source, *self.reads, name)
        if isinstance(self.weight, CodedWeights) and self.reads is not None:
            reader.join(self._of_codes(graph, name, self.weight, source, target))
            return
        if self.reads is not None:
            decoded = graph.fresh_name(f"{name}/decode.out")
            reader.join(Node("Decode", (source,), (decoded,), {}, f"{name}/decode", "lowbit"))
            source = decoded
        for node in self._of_floats(graph, name, source, target):
            reader.join(node)

    def phase(self, places: npt.NDArray[Any], outputs: npt.NDArray[Any]) -> "LayerCall":
        """Return the layer of some of the weights, by the numbers of their places, from one on.

        Raises:
            UnsupportedError: some of its weights are none of the layer's.
        """
        if (places < 1).any():
            raise UnsupportedError(
                "a transposed convolution has a kernel shorter than its stride",
                where=self.name,
                expected="a kernel of the stride at least",
                remedy="Leave the layer float in the plan.",
            )
        at, rows = places.astype(np.int64) - 1, outputs.astype(np.int64)
        bias = None if self.bias is None else self.bias.detach()[rows]
        if isinstance(self.weight, CodedWeights):
            codes = self.weight.codes.reshape(-1)[at].reshape(len(rows), -1)
            weight: CodedWeights | Tensor = CodedWeights(_rows_of(self.weight.encoding, rows), codes)
        else:
            weight = self.weight.detach().flatten()[at.reshape(-1)].view(at.shape)
        return LayerCall(self.name, self.reads, weight, bias, at.shape, {})

    def _of_codes(self, graph: Graph, name: str, coded: CodedWeights, codes: str, target: str) -> Node:
        shape = (self.shape[0], *self.shape[2:], *self.shape[1:2])  # channels last
        moved = np.moveaxis(coded.codes.reshape(self.shape), 1, -1).reshape(len(coded.codes), -1)
        bias = np.zeros(shape[0]) if self.bias is None else _array(self.bias).astype(np.float64)
        ordered = replace(coded, codes=np.ascontiguousarray(moved))
        if self.key in self.shared:
            op = "Convolution" if self.window else "Linear"
            return Node(op, (codes, *self.shared[self.key]), (target,), self.window, name, "lowbit")
        node = low_bit_node(graph, name, (codes, target), ordered, bias, shape, self.window)
        if self.key is not None:
            self.shared[self.key] = node.inputs[1:]
        return node

    def _of_floats(self, graph: Graph, name: str, source: str, target: str) -> list[Node]:
        assert isinstance(self.weight, Tensor)

        def constant(part: str, data: Tensor) -> str:
            return graph.add_constant(graph.fresh_name(f"{self.name}.{part}"), _array(data))

        windowed, rank = bool(self.window), len(graph.value(source).shape)
        if windowed or rank == 2:
            inputs = [constant("weight", self.weight.reshape(self.shape))]
            inputs += [] if self.bias is None else [constant("bias", self.bias)]
            op, attributes = ("Conv", self.window) if windowed else ("Gemm", {"transB": 1})
            return [Node(op, (source, *inputs), (target,), attributes, name)]
        matrix = constant("weight", self.weight.T)
        if self.bias is None:
            return [Node("MatMul", (source, matrix), (target,), {}, name)]
        product = graph.fresh_name(f"{name}/product.out")
        return [
            Node("MatMul", (source, matrix), (product,), {}, f"{name}/product"),
            Node("Add", (product, constant("bias", self.bias)), (target,), {}, name),
        ]


def transposed(call: LayerCall) -> Any:
    """Return what writes a transposed convolution: the convolutions of its phases, and what orders them.

    A pass of the graph makes them of a transposed convolution whose weights are the numbers of their places.
    """

    def emit(reader: "ModelReader", source: str, target: str) -> None:
        graph, stem = reader.result, reader.result.fresh_name(call.name)
        phases = _phases(call, graph.value(reader.use(source)).shape)
        names = {phases.inputs[0]: source, phases.outputs[0]: target}
        for node in phases.nodes:
            for output in node.outputs:
                names.setdefault(output, graph.fresh_name(f"{stem}/{output}"))
            inputs = [names.get(name, name) for name in node.inputs]
            if node.op == "Conv":
                part = call.phase(phases.constant(node.inputs[1]), phases.constant(node.inputs[2]))
                part.name, part.window = stem if node.name == stem else f"{stem}/{node.name}", node.attributes
                part(reader, inputs[0], names[node.outputs[0]])
                continue
            for at, name in enumerate(node.inputs):
                if name not in names:
                    data = phases.value(name)
                    assert data.data is not None
                    inputs[at] = graph.add_constant(graph.fresh_name(f"{stem}/{name}"), data.data, data.dtype)
            outputs = tuple(names[name] for name in node.outputs)
            reader.join(Node(node.op, tuple(inputs), outputs, node.attributes, f"{stem}/{outputs[0]}"))

    return emit


def _phases(call: LayerCall, source: Shape) -> Graph:
    """Return the phases of a transposed convolution whose weights and biases are numbers of their places."""
    outputs, inputs, *kernel = call.shape
    groups = int(call.window.get("group", 1))  # type: ignore[arg-type]
    places = np.arange(1, prod(call.shape) + 1, dtype=np.float64).reshape(call.shape)
    stored = places.reshape(groups, outputs // groups, inputs, *kernel).swapaxes(1, 2)
    graph = Graph("phases", ("x",), ("y",))
    graph.add(Value("x", "float32", source))
    graph.add(Value("y", "float32", ()))
    graph.add_constant("w", stored.reshape(groups * inputs, outputs // groups, *kernel))
    graph.add_constant("b", np.arange(outputs))
    graph.nodes.append(Node("ConvTranspose", ("x", "w", "b"), ("y",), call.window, "phase"))
    infer(graph)
    return run_passes(graph, [transposed_to_phases]).graph


def emit_function(op: str, name: str) -> Any:
    """Return what writes a function of one value."""

    def emit(reader: "ModelReader", source: str, target: str) -> None:
        reader.join(Node(op, (reader.use(source),), (target,), {}, reader.result.fresh_name(name)))

    return emit


def _rows_of(encoding: Encoding, rows: npt.NDArray[np.int64]) -> Encoding:
    """Return the encoding of some outputs, each of them as often as it is named."""
    if encoding.channels == 1:
        return encoding
    fields = encoding.fields()
    chosen = {
        name: value[rows] if isinstance(value, np.ndarray) and len(value) == encoding.channels else value
        for name, value in fields.items()
    }
    return type(encoding).from_fields(chosen)


def _codes(
    reader: "ModelReader", source: str, encoding: Encoding, thresholds: npt.ArrayLike, name: str
) -> str:
    """Return the codes of a value; equal encodings of a value are shared."""
    graph = reader.result
    for node in graph.consumers(source):
        if node.op == "Encode" and graph.value(node.outputs[0]).encoding == encoding:
            known = graph.constant(node.inputs[1]) if len(node.inputs) > 1 else None
            if known is None or np.array_equal(known, np.asarray(thresholds, np.float32)):
                return node.outputs[0]
    node = add_encoder(graph, source, encoding, thresholds, f"{name}/encode")
    reader.join(node)
    return node.outputs[0]


def _array(data: Tensor) -> npt.NDArray[Any]:
    return np.array(data.detach().cpu().numpy(), order="C")
