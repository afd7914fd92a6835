"""What a layer holds and what it must move: bytes at the bits that it has, and as float32.

A layer of w weights of b bits holds w b / 8 bytes of weights, in rows padded to words of 32 bits for planes.
To run one batch it must read its weights once, read its input and write its output, each at its own bits:
that is the least that any program can move, whatever its caches; `float_traffic` is the same at 32 bits.
"""

from dataclasses import dataclass
from math import prod

from lowbit.ir import Graph, Node, Value
from lowbit.ir.layers import FLOAT_BITS, layers_of, outputs_last

_TYPE_BITS = {"float32": 32, "float64": 64, "int8": 8, "uint8": 8, "int32": 32, "int64": 64, "bool": 8}


@dataclass(frozen=True)
class LayerBytes:
    """One layer with weights, for one batch.

    Attributes:
        layer: its name.
        scheme: of the weights.
        weight_bits, activation_bits: 32 for float.
        weights: how many there are.
        weight_bytes: what they take.
        other_bytes: bias, thresholds and encodings: 4 bytes for every scale and offset.
        float_bytes: what weights and bias take as float32.
        multiply_adds: of the batch.
        traffic: bytes read and written, at least.
        float_traffic: the same in float32.
    """

    layer: str
    scheme: str
    weight_bits: int
    activation_bits: int
    weights: int
    weight_bytes: int
    other_bytes: int
    float_bytes: int
    multiply_adds: int
    traffic: int
    float_traffic: int

    @property
    def bytes(self) -> int:
        """All that the layer holds."""
        return self.weight_bytes + self.other_bytes


def layer_bytes(graph: Graph, batch: int = 1) -> tuple[LayerBytes, ...]:
    """Return what every layer with weights holds and moves, in order.

    Args:
        graph: verified; every length but the batch known.
        batch: samples per call.
    """
    nodes = {node.name: node for node in graph.nodes}
    rows = []
    for layer in layers_of(graph):
        node = nodes[layer.name]
        weights, source, result = (
            graph.value(name) for name in (node.inputs[1], node.inputs[0], node.outputs[0])
        )
        count, inputs, outputs = _elements(weights, batch), _elements(source, batch), _elements(result, batch)
        constants = [graph.value(name) for name in layer.constants[1:]]
        other = sum(_constant_bytes(value) for value in constants) + _encoding_bytes(weights)
        held = _constant_bytes(weights)
        moved = held + other + _packed(inputs, source) + _packed(outputs, result)
        plain = 4 * (count + sum(_elements(value, batch) for value in constants[:1]))
        rows.append(
            LayerBytes(
                layer.name,
                layer.scheme,
                layer.weight_bits,
                layer.activation_bits,
                count,
                held,
                other,
                plain,
                _multiply_adds(node, weights, outputs),
                moved,
                plain + 4 * (inputs + outputs),
            )
        )
    return tuple(rows)


def _elements(value: Value, batch: int) -> int:
    return prod(extent if isinstance(extent, int) else batch for extent in value.shape)


def _packed(elements: int, value: Value) -> int:
    bits = _TYPE_BITS.get(value.dtype, FLOAT_BITS) if value.encoding is None else value.encoding.bits
    return -(-elements * bits // 8)


def _constant_bytes(value: Value) -> int:
    """Return the bytes of a constant, codes at their bits."""
    assert value.data is not None
    return value.data.nbytes if value.dtype == "planes" else _packed(value.data.size, value)


def _encoding_bytes(value: Value) -> int:
    if value.encoding is None:
        return 0
    planes = value.dtype == "planes" and not value.encoding.group
    scales = value.encoding.bits if planes else 1
    return 4 * value.encoding.channels * (scales + 1)


def _multiply_adds(node: Node, weights: Value, outputs: int) -> int:
    """Return products of a fully connected layer or a convolution: its outputs times a row's length."""
    rows = weights.shape[-1] if outputs_last(node) else weights.shape[0]
    return outputs * (_elements(weights, 1) // int(rows))
