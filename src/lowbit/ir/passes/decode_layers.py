"""A network of 8-bit affine codes becomes the float network that its codes stand for.

    Linear, Convolution    Gemm, Conv with W = scale (q - zero_point), b = scale_x scale_w b_q
    Encode, Decode of such codes        nothing
    codes that begin at zero            Relu, or a clip at 6 where they end there
    sums and means of fixed point       those of floats, and the activation that clips them
    tables of functions of such codes   the functions

What the codes rounded is gone, and what they cut off but for the activations that files leave to that;
weights and biases are exactly what the file says. So a network of 8 bits can be quantized again.
"""

from dataclasses import replace

from lowbit.ir.activations import ACTIVATIONS, tabulated
from lowbit.ir.graph import Graph, Node, Value
from lowbit.ir.infer import infer
from lowbit.ir.layers import activation_of, is_affine, rounds
from lowbit.ir.operators import Trait, has
from lowbit.ir.passes.expand import separated
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
    """Return whether a value holds codes of another kind, which are no floats that were rounded.

    Computed codes of fixed point are: sums between layers; and tables of functions on them.
    """
    value = graph.value(name)
    if value.encoding is None or is_affine(value.encoding):
        return False
    if value.data is not None:
        readers = graph.consumers(name)
        return not readers or any(_looked_up(graph, reader) is None for reader in readers)
    return value.encoding.as_fixed_point() is None


def _looked_up(graph: Graph, node: Node) -> str | None:
    """Return the function that a node looks up in a table of codes, or None."""
    if (node.domain, node.op) != ("lowbit", "FixedLookup"):
        return None
    source, target = (graph.value(name).encoding for name in (node.inputs[0], node.outputs[0]))
    return tabulated(source, graph.constant(node.inputs[1])) if source and source == target else None


def _decoded(graph: Graph, before: Graph, node: Node) -> list[Node]:
    if node.domain != "lowbit":
        return [node]
    function_of_codes = _looked_up(before, node)
    if function_of_codes is not None:
        named = {"activation": function_of_codes}
        return separated(graph, Node("Identity", node.inputs[:1], node.outputs, named, node.name))
    activation = str(node.attributes.get("activation", "none"))
    if activation != "none":
        inner, function = separated(graph, node)
        return [*_without_activation(graph, before, inner, node.outputs[0]), function]
    return _without_activation(graph, before, node, node.outputs[0])


def _without_activation(graph: Graph, before: Graph, node: Node, output: str) -> list[Node]:
    if node.op == "FixedAdd":
        return [replace(node, op="Add", domain="", attributes={})]
    if _is_affine_layer(before, node):
        *rows, layer = _on_rows(graph, before, _layer(graph, before, node))
        return [*rows, *_cut(graph, before, layer, output)]
    if not has(node, Trait.ELEMENTWISE):
        return [node]
    # Encode and Decode: nothing, but that codes of what is computed may have cut it off
    nothing = Node("Identity", node.inputs[:1], node.outputs, {}, node.name)
    cuts = before.value(output).encoding is not None and not _is_input(before, node.inputs[0])
    return _cut(graph, before, nothing, output) if cuts else [nothing]


def _is_input(graph: Graph, name: str) -> bool:
    """Return whether a value is an input of the network, moved at most."""
    maker = graph.producer(name)
    return name in graph.inputs or (
        maker is not None and has(maker, Trait.MOVES) and _is_input(graph, maker.inputs[0])
    )


def _cut(graph: Graph, before: Graph, node: Node, coded: str) -> list[Node]:
    """Return a node, and behind it the activation that codes imply, unless one beside it does as much."""
    encoding = before.value(coded).encoding
    levels = None if encoding is None else encoding.levels()[0]
    if encoding is None or levels is None or levels[0] != 0:
        return [node]
    ends_at_six = abs(float(levels[-1]) - _SIX) < float(encoding.integer_scale()[0]) / 2
    function = "relu6" if ends_at_six else "relu"
    if _is_clipped(before, node, coded, function):
        return [node]
    active = replace(node, attributes={**node.attributes, "activation": function})
    inner, clip = separated(graph, active)
    return [inner, clip]


def _is_clipped(graph: Graph, node: Node, name: str, function: str) -> bool:
    """Return whether what alone makes or reads codes, or what they are made of, clips as a function does."""
    maker = graph.producer(node.inputs[0]) if node.op == "Identity" else None
    readers = graph.consumers(name)
    return _clips(graph, maker, function) or (
        bool(readers) and all(_clips(graph, reader, function) for reader in readers)
    )


def _clips(graph: Graph, node: Node | None, function: str) -> bool:
    found = activation_of(graph, node) if node is not None else None
    ends, wanted = (ACTIVATIONS[name].clip if name else None for name in (found, function))
    return ends is not None and wanted is not None and ends[0] >= wanted[0] and ends[1] <= wanted[1]


def _on_rows(graph: Graph, before: Graph, layer: Node) -> list[Node]:
    """Return a layer, behind a Flatten where it reads whole maps: a layer of codes takes them as they are."""
    source = before.value(layer.inputs[0])
    if layer.op != "Gemm" or len(source.shape) == 2:
        return [layer]
    rows = graph.fresh_name(f"{layer.name}/rows")
    graph.add(Value(rows, "float32", ()))
    flat = Node("Flatten", (source.name,), (rows,), {}, rows)
    return [flat, replace(layer, inputs=(rows, *layer.inputs[1:]))]


def _layer(graph: Graph, before: Graph, node: Node) -> Node:
    source, weights = before.value(node.inputs[0]).encoding, before.value(node.inputs[1])
    assert source is not None and weights.encoding is not None
    real = weights.encoding.decode(before.constant(weights.name))
    real = real.transpose(0, 3, 1, 2) if real.ndim == 4 else real
    scale = source.integer_scale()[0] * weights.encoding.integer_scale()
    parts = {node.inputs[1]: real, node.inputs[2]: before.constant(node.inputs[2]) * scale}
    names = (graph.add_constant(graph.fresh_name(f"{name}/real"), data) for name, data in parts.items())
    window = {name: item for name, item in node.attributes.items() if name != "activation"}
    op, attributes = ("Conv", window) if real.ndim == 4 else ("Gemm", {"transB": 1})
    return Node(op, (node.inputs[0], *names), node.outputs, attributes, node.name)


decode_layers = Pass("decode-layers", _apply, ensures=is_decoded)
