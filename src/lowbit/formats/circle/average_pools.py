"""An average pool that does not count its pads, where the format has no word for them.

It becomes one that counts them, times window / taps inside the map: numbers that follow from the map's
size, so no body of the operator could say it.
"""

from dataclasses import replace
from functools import reduce
from math import prod

import numpy as np

from lowbit.formats.circle.layout import padding_of
from lowbit.ir import Graph, Node
from lowbit.ir.graph import Attribute
from lowbit.ir.infer import call_of
from lowbit.ir.operators.windows import windows_of
from lowbit.ir.passes import Pass


def counts_all(graph: Graph, node: Node) -> bool:
    """Return whether a node is no average pool of floats, or one that the format has."""
    if node.domain or node.op != "AveragePool" or graph.value(node.inputs[0]).encoding is not None:
        return True
    return bool(call_of(graph, node).integer("count_include_pad")) or _has_padding(graph, node)


def _apply(graph: Graph) -> bool:
    found = [node for node in graph.nodes if not counts_all(graph, node)]
    for node in found:
        at = graph.nodes.index(node)
        graph.nodes[at : at + 1] = _corrected(graph, node)
    return bool(found)


def _corrected(graph: Graph, node: Node) -> list[Node]:
    call, output = call_of(graph, node), node.outputs[0]
    axes = windows_of(call, call.integers("kernel_shape"))
    inside = []
    for axis in axes:
        classes, taps = axis.classes()
        inside.append(taps.sum(axis=1)[classes])
    factor = prod(axis.kernel for axis in axes) / reduce(np.multiply.outer, inside)
    name = graph.add_constant(graph.fresh_name(f"{output}/factor"), factor)
    summed = graph.fresh_name(f"{output}/counted")
    attributes: dict[str, Attribute] = {**node.attributes, "count_include_pad": 1}
    label = graph.fresh_name(f"{node.name}/counted")
    return [
        replace(node, outputs=(summed,), attributes=attributes, name=label),
        Node("Mul", (summed, name), (output,), {}, node.name),
    ]


def _has_padding(graph: Graph, node: Node) -> bool:
    """Return whether the format has a word for the pads of a pool."""
    call = call_of(graph, node)
    axes = windows_of(call, call.integers("kernel_shape"))
    pads = (*(axis.before for axis in axes), *(axis.after for axis in axes))
    lengths = ([getattr(axis, name) for axis in axes] for name in ("extent", "kernel", "stride", "dilation"))
    return padding_of(pads, *lengths) is not None


count_all = Pass("count-all-pads", _apply)
