"""Layers on codes as float layers between decoders and encoders: what other people's formats can say.

    Convolution, Linear          Decode(x), Decode(W) -> Conv, Gemm, MatMul, bias -> activation -> Encode
    FixedAdd, FixedLookup        Decode -> Add, the function -> Encode
    operators that carry codes   Decode -> the operator -> Encode

The inverse of `lowbit.ir.passes.RECOGNISED_FORM`. In exact arithmetic codes stay what they are; in float32
what falls on a threshold to seven digits may round to its neighbour. A table of no known
function has no such form.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from lowbit.errors import GraphError, LowbitError, UnsupportedError
from lowbit.ir.activations import ACTIVATIONS, apply_activation, preimage_thresholds, tabulated
from lowbit.ir.coded_constants import is_decoder
from lowbit.ir.deployed import codes_of
from lowbit.ir.graph import Array, Attribute, Graph, Node, Value
from lowbit.ir.infer import infer_node
from lowbit.ir.layers import is_low_bit
from lowbit.ir.operators import Trait, carried, has
from lowbit.ir.passes.readers import is_encoder
from lowbit.schemes import Encoding

Floats32 = npt.NDArray[np.float32]

_BEYOND = 1e37
"""What is larger is a threshold that nothing reaches."""


@dataclass(frozen=True)
class Units:
    """A bias of whole units of the sums: integers ``[o]`` and the scale of each."""

    integers: Array
    scale: Array


@dataclass
class Unfolded:
    """What became of a graph.

    Attributes:
        graph: without layers of codes; not verified.
        units: the biases that were integers, by the name of the float constant that stands for them.
        repeated: codes that are made of their own levels again, behind what carries them.
        refused: the nodes that have no such form, which are left out, and why.
    """

    graph: Graph
    units: dict[str, Units] = field(default_factory=dict)
    repeated: set[str] = field(default_factory=set)
    refused: list[tuple[Node, LowbitError]] = field(default_factory=list)


def unfold(graph: Graph) -> Unfolded:
    """Return a graph with its layers as float layers between decoders and encoders."""
    result = Unfolded(graph.copy())
    result.graph.nodes = []
    unfolding = _Unfolding(graph, result)
    for node in graph.nodes:
        try:
            made = list(unfolding.node(node))
            for each in made:
                result.graph.nodes.append(each)
                infer_node(result.graph, each)
        except (UnsupportedError, GraphError) as error:
            result.refused.append((node, error))
    return result


class _Unfolding:
    def __init__(self, graph: Graph, result: Unfolded) -> None:
        self.before, self.result, self.graph = graph, result, result.graph
        self.reals: dict[str, str] = {}

    def node(self, node: Node) -> Iterator[Node]:
        """Yield what a node becomes, in order."""
        if is_decoder(node):
            self.reals.setdefault(node.inputs[0], node.outputs[0])
            yield node
        elif is_encoder(node):
            yield node
        elif is_low_bit(node):
            yield from self._layer(node)
        elif any(self._encoding(name) for name in (*node.inputs, *node.outputs) if name):
            yield from self._between(node)
        else:
            yield node

    def _encoding(self, name: str) -> Encoding | None:
        return self.before.value(name).encoding

    def _real(self, name: str) -> Iterator[Node]:
        """Decode a value where nobody did yet; `reals` has the name."""
        if name not in self.reals:
            value = self.before.value(name)
            self.reals[name] = self._float(f"{name}/real", value.shape)
            label = self.graph.fresh_name(f"{name}/decode")
            yield Node("Decode", (name,), (self.reals[name],), {}, label, "lowbit")

    def _float(self, stem: str, shape: tuple[int | str, ...]) -> str:
        return self.graph.add(Value(self.graph.fresh_name(stem), "float32", shape))

    def _layer(self, node: Node) -> Iterator[Node]:
        source, weights, bias = node.inputs[:3]
        activation, thresholds = self._activation(node)
        if self._encoding(source) is not None:
            yield from self._real(source)
            source = self.reals[source]
        yield from self._weights(weights, windowed=has(node, Trait.WINDOW))
        output, shape = node.outputs[0], self.before.value(node.outputs[0]).shape
        coded = self._encoding(output) is not None
        ends = [output] if not coded else [self._float(f"{output}/linear", shape)]
        if activation != "none":
            ends.insert(0, self._float(f"{output}/sums", shape))
        yield from self._product(node, source, self._bias(node, bias), ends[0])
        if activation != "none":
            yield self._function(node, activation, *ends)
        if coded:
            label = self.graph.fresh_name(f"{node.name}/encode")
            yield Node("Encode", (ends[-1], *thresholds), (output,), {}, label, "lowbit")

    def _product(self, node: Node, source: str, bias: str, output: str) -> Iterator[Node]:
        weights = self.reals[node.inputs[1]]
        kept = {name: value for name, value in node.attributes.items() if name != "activation"}
        if has(node, Trait.WINDOW):
            kernel = tuple(int(extent) for extent in self.before.value(node.inputs[1]).shape[1:3])
            yield Node(
                "Conv", (source, weights, bias), (output,), {**kept, "kernel_shape": kernel}, node.name
            )
            return
        shape = self.before.value(node.inputs[0]).shape
        if len(shape) == 2:
            yield Node("Gemm", (source, weights, bias), (output,), {"transB": 1}, node.name)
            return
        turned, product = (self.graph.fresh_name(f"{node.name}/{stem}") for stem in ("turned", "product"))
        labels = [self.graph.fresh_name(f"{node.name}/{stem}") for stem in ("turn", "add")]
        yield Node("Transpose", (weights,), (turned,), {"perm": (1, 0)}, labels[0])
        yield Node("MatMul", (source, turned), (product,), {}, node.name)
        yield Node("Add", (product, bias), (output,), {}, labels[1])

    def _weights(self, name: str, *, windowed: bool) -> Iterator[Node]:
        """Decode weights, a code to a byte, in ONNX's order of axes."""
        if name in self.reals:
            return
        value = self.before.value(name)
        assert value.encoding is not None
        if windowed and value.encoding.group:
            yield from self._grouped_maps(value)
            return
        codes = codes_of(value).reshape([int(extent) for extent in value.shape])
        if windowed:
            codes = np.ascontiguousarray(codes.transpose(0, 3, 1, 2))
        dtype = "code16" if codes.dtype.itemsize > 1 else "code"
        stored = Value(self.graph.fresh_name(f"{name}/codes"), dtype, codes.shape, codes, value.encoding)
        self.reals[name] = self._float(f"{name}/real", codes.shape)
        label = self.graph.fresh_name(f"{name}/decode")
        yield Node("Decode", (self.graph.add(stored),), (self.reals[name],), {}, label, "lowbit")

    def _grouped_maps(self, value: Value) -> Iterator[Node]:
        """Decode weights of a convolution with groups as rows; what is behind puts them in ONNX's order."""
        name, lengths = value.name, tuple(int(extent) for extent in value.shape)
        codes = codes_of(value)
        stored = self.graph.add(
            Value(self.graph.fresh_name(f"{name}/codes"), "code", codes.shape, codes, value.encoding)
        )
        made = [self._float(f"{name}/{stem}", ()) for stem in ("rows", "maps", "real")]
        shape = self.graph.add_constant(self.graph.fresh_name(f"{name}/shape"), lengths, "int64")
        labels = [self.graph.fresh_name(f"{name}/{stem}") for stem in ("decode", "split", "turn")]
        yield Node("Decode", (stored,), (made[0],), {}, labels[0], "lowbit")
        yield Node("Reshape", (made[0], shape), (made[1],), {}, labels[1])
        yield Node("Transpose", (made[1],), (made[2],), {"perm": (0, 3, 1, 2)}, labels[2])
        self.reals[name] = made[2]

    def _bias(self, node: Node, name: str) -> str:
        value = self.before.value(name)
        if value.encoding is None and value.dtype == "float32":
            return name
        source, weights = (self._encoding(each) for each in node.inputs[:2])
        assert source is not None and weights is not None and value.data is not None
        if value.encoding is not None:
            return self.graph.add_constant(
                self.graph.fresh_name(f"{name}/real"), value.encoding.decode(value.data)
            )
        scale = np.broadcast_to(source.integer_scale()[0] * weights.integer_scale(), value.data.shape)
        scale = scale.astype(np.float32)
        real = self.graph.add_constant(
            self.graph.fresh_name(f"{name}/real"), value.data.astype(np.float32) * scale
        )
        self.result.units[real] = Units(value.data, scale)
        return real

    def _activation(self, node: Node) -> tuple[str, tuple[str, ...]]:
        """Return the activation before a layer's codes, and the thresholds of what encodes behind it.

        Thresholds that are the encoding's own, seen through an activation, give way to that activation.
        """
        stated = str(node.attributes.get("activation", "none"))
        if len(node.inputs) < 4 or not node.inputs[3]:
            return stated, ()
        encoding = self._encoding(node.outputs[0])
        assert encoding is not None
        given = np.asarray(self.before.constant(node.inputs[3]), np.float32)
        own = encoding.thresholds()[0]
        names = [stated, *(name for name in ACTIVATIONS if name != stated)]
        found = next((name for name in names if _explains(name, given, own)), None)
        return (found, ()) if found is not None else ("none", (node.inputs[3],))

    def _function(self, node: Node, activation: str, source: str, output: str) -> Node:
        row = ACTIVATIONS[activation]
        label = self.graph.fresh_name(f"{node.name}/{activation}")
        inputs: tuple[str, ...] = (source,)
        if row.bounds is not None:
            inputs += tuple(
                self.graph.add_constant(self.graph.fresh_name(f"{label}/{end}"), np.float32(bound))
                for end, bound in zip(("low", "high"), row.bounds, strict=True)
            )
        return Node(row.operator, inputs, (output,), {}, label)

    def _between(self, node: Node) -> Iterator[Node]:
        """Yield an operator on codes as one on reals, which are coded behind it."""
        if len(node.outputs) != 1:
            raise UnsupportedError("codes in several parts", where=node.name, expected="one output")
        operands = list(node.inputs)
        tables = operands[1:] if (node.domain, node.op) == ("lowbit", "FixedLookup") else []
        for at, name in enumerate(operands):
            if name and name not in tables and self._encoding(name) is not None:
                yield from self._real(name)
                operands[at] = self.reals[name]
        output = node.outputs[0]
        target, shape = self._encoding(output), self.before.value(output).shape
        end = output if target is None else self._float(f"{output}/real", shape)
        activation = str(node.attributes.get("activation", "none")) if node.domain == "lowbit" else "none"
        if tables:
            yield self._function(node, self._looked_up(node), operands[0], end)
        else:
            first = end if activation == "none" else self._float(f"{output}/sums", shape)
            yield self._alike(node, operands, first)
            if activation != "none":
                yield self._function(node, activation, first, end)
        if target is not None:
            if has(node, Trait.CARRIES) and self._encoding(carried(node)[0]) == target:
                self.result.repeated.add(output)
            yield Node(
                "Encode", (end,), (output,), {}, self.graph.fresh_name(f"{node.name}/encode"), "lowbit"
            )

    def _alike(self, node: Node, operands: list[str], output: str) -> Node:
        """Return the float operator that a node on codes is."""
        if node.domain == "lowbit" and not has(node, Trait.BROADCASTS):
            raise UnsupportedError(f"{node.op} has no form in floats", where=node.name)
        op = "Add" if node.domain == "lowbit" else node.op
        kept: dict[str, Attribute] = {} if node.domain == "lowbit" else dict(node.attributes)
        return replace(node, op=op, domain="", inputs=tuple(operands), outputs=(output,), attributes=kept)

    def _looked_up(self, node: Node) -> str:
        """Return the function that a table of codes is."""
        source, target = self._encoding(node.inputs[0]), self._encoding(node.outputs[0])
        if source is not None and source == target:
            name = tabulated(source, self.before.constant(node.inputs[1]))
            if name is not None:
                return name
        raise UnsupportedError(
            "a table that is of no known function", where=node.name, expected=", ".join(ACTIVATIONS)
        )


def _explains(activation: str, given: Floats32, own: Floats32) -> bool:
    """Return whether thresholds are those of an encoding behind an activation, to a neighbour.

    They are the same before it, or behind it, where it rises: a nearly flat function makes much of a
    neighbour before it, and one that is flat has no threshold there.
    """
    before = preimage_thresholds(own, activation)
    with np.errstate(over="ignore"):
        above = np.minimum(np.nextafter(given, np.float32(np.inf)), np.finfo(np.float32).max)
    behind, rises = apply_activation(activation, given), apply_activation(activation, above)
    return bool((_near(given, before) | (_near(behind, own) & (rises > behind))).all())


def _near(given: Array, own: Array) -> npt.NDArray[np.bool_]:
    one, other = np.asarray(given, np.float64), np.asarray(own, np.float64)
    beyond = np.abs(other) > _BEYOND
    size = np.abs(other[~beyond]).max(initial=0.0)
    near = np.abs(one - other) <= 4 * 2.0**-24 * np.maximum(np.abs(other), size * 2.0**-8)
    return np.asarray(np.where(beyond, one == other, near))
