"""Write operators that a back end does not have as what they are made of.

    HardSwish(x)  ->  x * Clip(1/6 * x + 1/2, 0, 1)

A back end says of a node whether it runs it. Every other node that has a body gives way to the body's steps
(`lowbit.ir.operators.composites`), and so on. What has neither stays, for the back end to refuse by name.
Operators on codes stay: a body is for floats.
"""

from collections.abc import Callable
from functools import partial

from lowbit.ir.graph import Graph, Node
from lowbit.ir.infer import call_of, infer_node
from lowbit.ir.operators.composites import steps_of
from lowbit.ir.passes.infrastructure import Pass, run_passes

Supports = Callable[[Graph, Node], bool]
"""Whether a back end runs a node as it is."""


def expand(graph: Graph, supports: Supports) -> Graph:
    """Return the graph in operators that a back end has, as far as bodies go; itself if nothing changes."""
    return graph if is_expanded(supports, graph) else run_passes(graph, [expansion(supports)]).graph


def expansion(supports: Supports) -> Pass:
    """Return the pass that does so; it ensures that no operator could be replaced any more."""
    return Pass("expand", partial(_apply, supports), ensures=partial(is_expanded, supports))


def is_expanded(supports: Supports, graph: Graph) -> bool:
    """Return whether every node is one that the back end has, or that has no body."""
    return not any(_is_open(graph, node, supports) for node in graph.nodes)


def _apply(supports: Supports, graph: Graph) -> bool:
    changed, at = False, 0
    while at < len(graph.nodes):
        node = graph.nodes[at]
        if _is_open(graph, node, supports):
            graph.nodes[at : at + 1] = steps_of(call_of(graph, node))
            changed = True
        else:
            infer_node(graph, node)
            at += 1
    return changed


def _is_open(graph: Graph, node: Node, supports: Supports) -> bool:
    call = call_of(graph, node)
    if call.operator.body is None or supports(graph, node) or _has_codes(graph, node):
        return False
    # An operator whose body is one case of itself ends there.
    alone = Graph(graph.name, values=dict(graph.values))
    steps = steps_of(call_of(alone, node)) if node.op in call.operator.body.operators else []
    return not any((step.op, dict(step.attributes)) == (node.op, dict(node.attributes)) for step in steps)


def _has_codes(graph: Graph, node: Node) -> bool:
    known = [graph.values[name] for name in (*node.inputs, *node.outputs) if name in graph.values]
    return any(value.encoding is not None for value in known)
