"""What layers are called in files.

The graph has `Linear` and `Convolution`; what they compute follows from encodings. Files of before called a
layer by its weights, and only the pairs of encodings that they had a name for: those files are read for ever,
and what has such a name is still written under it, so that older readers take it. All other layers stand in
files as they are called in the graph.
"""

from collections.abc import Mapping
from dataclasses import replace

from lowbit.ir.graph import Attribute, Graph, Node, Value

FILE_NAMES: Mapping[tuple[str, str], str] = {
    ("LQ", "Linear"): "LQFullyConnected",
    ("LQ", "Convolution"): "LQConv",
    ("Pow2", "Linear"): "Pow2FullyConnected",
    ("Pow2", "Convolution"): "Pow2Conv",
    ("Affine", "Linear"): "AffineFullyConnected",
    ("Affine", "Convolution"): "AffineConv",
    ("Fixed", "Linear"): "FixedLinear",
}
"""Name in files, by `Encoding.file_stem` of the weights and the operator."""

_BIASES = {"Affine": "int32"}  # of layers that round, else codes as the weights are

_OPERATORS = {name: operator for (_, operator), name in FILE_NAMES.items()}


def from_file(name: str) -> str:
    """Return what an operator of domain ``lowbit`` in a file is called in the graph."""
    return _OPERATORS.get(name, name)


def in_file(graph: Graph, node: Node) -> Node:
    """Return a node as files call it: a layer by its weights, where files of before have a name for it."""
    if node.domain != "lowbit" or node.op not in _OPERATORS.values():
        return node
    weights, bias = (graph.value(name) for name in node.inputs[1:3])
    assert weights.encoding is not None
    name = FILE_NAMES.get((weights.encoding.file_stem, node.op))
    if name is None:
        return node
    if weights.encoding.rounds:
        alike = _rounds_throughout(graph, node, weights, bias)
        return replace(node, op=name, attributes=_without_activation(node)) if alike else node
    return replace(node, op=name) if _compares(graph, node, weights, bias) else node


def _compares(graph: Graph, node: Node, weights: Value, bias: Value) -> bool:
    """Return whether a layer has a real bias, a row of parameters for each output, and ends in thresholds."""
    source, target = graph.value(node.inputs[0]), graph.value(node.outputs[0])
    assert weights.encoding is not None
    plain = bias.dtype == "float32" and weights.encoding.channels == weights.shape[0]
    flat = node.op != "Linear" or len(source.shape) == 2
    ended = target.encoding is None or (len(node.inputs) == 4 and target.dtype == "code")
    free = source.encoding is None
    return plain and flat and ended and not (free and weights.dtype != "planes")


def _rounds_throughout(graph: Graph, node: Node, weights: Value, bias: Value) -> bool:
    """Return whether input, weights and output are of one kind, the bias as files of before had it."""
    target = graph.value(node.outputs[0]).encoding
    encodings = [graph.value(node.inputs[0]).encoding, weights.encoding, *([target] if target else [])]
    assert weights.encoding is not None
    alike = all(e is not None and e.file_stem == weights.encoding.file_stem for e in encodings)
    if not alike or len(node.inputs) == 4 or node.attributes.get("activation", "none") != "none":
        return False
    if bias.dtype != _BIASES.get(weights.encoding.file_stem, weights.dtype):
        return False
    if bias.encoding is not None:
        return bias.encoding == weights.encoding
    bytes_alone = all(e is not None and e.bits == 8 for e in encodings)
    return bytes_alone and (node.op != "Linear" or len(graph.value(node.inputs[0]).shape) == 2)


def _without_activation(node: Node) -> Mapping[str, Attribute]:
    return {name: item for name, item in node.attributes.items() if name != "activation"}
