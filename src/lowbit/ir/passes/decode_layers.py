"""A network of 8-bit affine codes becomes the float network that its codes stand for.

    Linear, Convolution    Gemm, Conv with W = scale (q - zero_point), b = scale_x scale_w b_q
    Encode, Decode of affine codes      nothing
    codes that begin at zero            Relu, or a clip at 6 where they end there

What the codes rounded is gone, and what they cut off but for the activations that files leave to that;
weights and biases are exactly what the file says. So a network of 8 bits can be quantized again.
"""

from dataclasses import replace

from lowbit.ir.graph import Graph, Node
from lowbit.ir.infer import infer
from lowbit.ir.layers import is_affine, rounds
from lowbit.ir.operators import Trait, has
from lowbit.ir.passes.infrastructure import Pass

_SIX = 6.0


def has_affine_layers(graph: Graph) -> bool:
    """Return whether there is a layer of 8-bit affine codes."""
    return any(_is_affine_layer(graph, node) for node in graph.nodes)


def _is_affine_layer(graph: Graph, node: Node) -> bool:
    return rounds(graph, node) and not _is_other(graph, node.inputs[1])


def is_decoded(graph: Graph) -> bool:
    """Return whether there are no such layers, or codes of other kinds beside them, which stay."""
    return not has_affine_layers(graph) or any(_is_other(graph, name) for name in graph.values)


def _apply(graph: Graph) -> bool:
    if is_decoded(graph):
        return False
    before = graph.copy()
    graph.nodes = [decoded for node in before.nodes for decoded in _decoded(graph, before, node)]
    for name, value in list(graph.values.items()):
        if value.data is None and value.encoding is not None:
            graph.values[name] = replace(value, dtype="float32", encoding=None)
    infer(graph)
    return True


def _is_other(graph: Graph, name: str) -> bool:
    """Return whether a value holds codes of another kind, which are no floats that were rounded."""
    encoding = graph.value(name).encoding
    return encoding is not None and not is_affine(encoding)


def _decoded(graph: Graph, before: Graph, node: Node) -> list[Node]:
    if node.domain != "lowbit":
        return [node]
    if _is_affine_layer(before, node):
        return _cut(graph, before, _layer(graph, before, node))
    if not has(node, Trait.ELEMENTWISE):
        return [node]
    # Encode and Decode: nothing, but that codes of what is computed may have cut it off
    nothing = Node("Identity", node.inputs[:1], node.outputs, {}, node.name)
    cuts = before.value(node.outputs[0]).encoding is not None and not _is_input(before, node.inputs[0])
    return _cut(graph, before, nothing) if cuts else [nothing]


def _is_input(graph: Graph, name: str) -> bool:
    """Return whether a value is an input of the network, moved at most."""
    maker = graph.producer(name)
    return name in graph.inputs or (
        maker is not None and has(maker, Trait.MOVES) and _is_input(graph, maker.inputs[0])
    )


def _cut(graph: Graph, before: Graph, node: Node) -> list[Node]:
    """Return a node, and behind it the activation that the codes of its output imply."""
    output = node.outputs[0]
    encoding = before.value(output).encoding
    levels = None if encoding is None else encoding.levels()[0]
    if encoding is None or levels is None or levels[0] != 0:
        return [node]
    inner = graph.fresh_name(f"{output}/linear")
    graph.add(replace(graph.value(output), name=inner, dtype="float32", encoding=None))
    label = graph.fresh_name(f"{node.name}/activation")
    names: tuple[str, ...] = (inner,)
    if abs(float(levels[-1]) - _SIX) < float(encoding.integer_scale()[0]) / 2:
        bounds = {"low": 0.0, "high": _SIX}
        names += tuple(graph.add_constant(graph.fresh_name(f"{label}/{end}"), b) for end, b in bounds.items())
    op = "Relu" if len(names) == 1 else "Clip"
    return [replace(node, outputs=(inner,)), Node(op, names, (output,), {}, label)]


def _layer(graph: Graph, before: Graph, node: Node) -> Node:
    source, weights = before.value(node.inputs[0]).encoding, before.value(node.inputs[1])
    assert source is not None and weights.encoding is not None
    real = weights.encoding.decode(before.constant(weights.name))
    real = real.transpose(0, 3, 1, 2) if real.ndim == 4 else real
    scale = source.integer_scale()[0] * weights.encoding.integer_scale()
    parts = {node.inputs[1]: real, node.inputs[2]: before.constant(node.inputs[2]) * scale}
    names = (graph.add_constant(graph.fresh_name(f"{name}/real"), data) for name, data in parts.items())
    op, attributes = ("Conv", dict(node.attributes)) if real.ndim == 4 else ("Gemm", {"transB": 1})
    return Node(op, (node.inputs[0], *names), node.outputs, attributes, node.name)


decode_layers = Pass("decode-layers", _apply, ensures=is_decoded)
