"""Write operators that a back end does not have as others that it may have.

    HardSwish(x)                        ->  x * Clip(1/6 * x + 1/2, 0, 1)      its body, or its parts
    layer(x), activation f, to floats   ->  f(layer(x))                        the activation's operator
    f(codes) to codes                   ->  Encode(f(Decode(codes)))           where all codes stay the same

A back end says of a node whether it runs it. Every other node is written out in one of these ways, and so is
what is written. What has no such way stays, for the back end to refuse by name. The layer ends in float32
before its activation in either form, so the second way changes no number; the third is taken only where the
reference gives the same code for every code; a body agrees with its operator as
`lowbit.ir.operators.composites` says.
"""

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from itertools import chain, count

import numpy as np
import numpy.typing as npt

from lowbit.ir.activations import ACTIVATIONS
from lowbit.ir.graph import Attribute, Graph, Node, Value
from lowbit.ir.infer import call_of, infer_node
from lowbit.ir.operators import Trait, has
from lowbit.ir.operators.composites import steps_of
from lowbit.ir.passes.infrastructure import Pass, run_passes
from lowbit.ir.reference import evaluate_node

Supports = Callable[[Graph, Node], bool]
"""Whether a back end runs a node as it is."""


def expand(graph: Graph, supports: Supports) -> Graph:
    """Return the graph in operators that a back end has, where there is a way; itself if nothing changes."""
    return graph if is_expanded(supports, graph) else run_passes(graph, [expansion(supports)]).graph


def expansion(supports: Supports) -> Pass:
    """Return the pass that does so; it ensures that nothing could be written out any more."""
    return Pass("expand", partial(_apply, supports), ensures=partial(is_expanded, supports))


def is_expanded(supports: Supports, graph: Graph) -> bool:
    """Return whether every node is one that the back end has, or that there is no other way to write."""
    return not any(_way_out(graph, node, supports) for node in graph.nodes)


def _apply(supports: Supports, graph: Graph) -> bool:
    changed, at = False, 0
    while at < len(graph.nodes):
        node = graph.nodes[at]
        write = _way_out(graph, node, supports)
        if write is None:
            if changed:
                infer_node(graph, node)
            at += 1
        else:
            graph.nodes[at : at + 1] = write(graph, node)
            changed = True
    return changed


def _way_out(graph: Graph, node: Node, supports: Supports) -> "Write | None":
    """Return what writes a node that a back end does not have, or None where it stays."""
    if supports(graph, node):
        return None
    return next((write for applies, write in _WAYS if applies(graph, node)), None)


def _has_body(graph: Graph, node: Node) -> bool:
    """Return whether a node of floats has a body that is not one case of itself, where it would never end."""
    call = call_of(graph, node)
    if call.operator.body is None or _codes(graph, node):
        return False
    alone = Graph(graph.name, values=dict(graph.values))
    steps = steps_of(call_of(alone, node)) if node.op in call.operator.body.operators else []
    return not any((step.op, dict(step.attributes)) == (node.op, dict(node.attributes)) for step in steps)


def _body(graph: Graph, node: Node) -> list[Node]:
    return steps_of(call_of(graph, node))


def _has_parts(graph: Graph, node: Node) -> bool:
    call = call_of(graph, node)
    operator = call.operator
    if operator.parts is None or _codes(graph, node):
        return False
    return operator.whole is None or not operator.whole(call)


def _parts(graph: Graph, node: Node) -> list[Node]:
    adder, parts = Adder(graph, node), call_of(graph, node).operator.parts
    assert parts is not None
    made = parts(call_of(graph, node), adder).split(" ")
    for output, name in zip(node.outputs, made, strict=True):
        if output:
            adder.give(name, output)
    last = adder.nodes[-1]
    return [*adder.nodes[:-1], replace(last, name=node.name)]


class Adder:
    """Makes nodes and constants of what an operator is made of, under names that the graph does not have.

    Attributes:
        nodes: those that were made, in order.
    """

    def __init__(self, graph: Graph, node: Node) -> None:
        self._graph, self.nodes, self._node = graph, list[Node](), node.name or node.op
        self._stem = next(filter(None, node.outputs))
        self._names = {node.name for node in graph.nodes}

    def node(self, op: str, *inputs: str, called: str = "", **attributes: Attribute) -> str:
        """Add a node, its type inferred, and return what it computes."""
        name = self._fresh(op.lower())
        label = self._named(called) if called else name
        self.nodes.append(Node(op, inputs, (name,), attributes, label))
        infer_node(self._graph, self.nodes[-1])
        return name

    def constant(self, data: npt.ArrayLike, dtype: str = "float32") -> str:
        """Add a constant and return its name."""
        return self._graph.add_constant(self._fresh("constant"), data, dtype)

    def give(self, name: str, output: str) -> None:
        """Let what is computed under a name be an output of the operator."""
        readers = any(name in node.inputs for node in self.nodes)
        at = next((at for at, node in enumerate(self.nodes) if node.outputs == (name,)), None)
        if at is None or readers:
            self.nodes.append(Node("Identity", (name,), (output,), {}, self._fresh("identity")))
        else:
            self.nodes[at] = replace(self.nodes[at], outputs=(output,))
            del self._graph.values[name]

    def _fresh(self, stem: str) -> str:
        taken = self._graph.values.keys() | self._names
        return _free(f"{self._stem}/{stem}", taken)

    def _named(self, called: str) -> str:
        name = _free(f"{self._node}/{called}", self._names)
        self._names.add(name)
        return name


def _free(stem: str, taken: Collection[str]) -> str:
    return next(name for name in chain([stem], (f"{stem}_{k}" for k in count(2))) if name not in taken)


def _has_activation(graph: Graph, node: Node) -> bool:
    """Return whether a layer applies an activation to floats; behind thresholds it only is a remark."""
    activation = node.attributes.get("activation", "none")
    return activation != "none" and node.outputs[0] not in _codes(graph, node)


def separated(graph: Graph, node: Node) -> list[Node]:
    """Return a node without the activation that it has, and behind it the operator of that, names added."""
    name, output = str(node.attributes["activation"]), node.outputs[0]
    row, label = ACTIVATIONS[name], graph.fresh_name(f"{node.name}/{name}")
    bounds = [
        graph.add_constant(graph.fresh_name(f"{output}/{end}"), np.float32(number))
        for end, number in zip(("least", "most"), row.bounds or (), strict=False)
    ]
    ends = graph.fresh_name(f"{output}/before")
    attributes = {key: value for key, value in node.attributes.items() if key != "activation"}
    layer = replace(node, outputs=(ends,), attributes=attributes)
    return [layer, Node(row.operator, (ends, *bounds), (output,), {}, label)]


def _has_equal_codes(graph: Graph, node: Node) -> bool:
    """Return whether a function of codes gives each code that encoding the function of its level gives."""
    between = {node.inputs[0], node.outputs[0]}
    if not has(node, Trait.ELEMENTWISE) or has(node, Trait.CARRIES) or _codes(graph, node) != between:
        return False
    encoding, alone = graph.value(node.inputs[0]).encoding, Graph(graph.name, values=dict(graph.values))
    assert encoding is not None
    steps = _through_floats(alone, node)
    arrays = {name: value.data for name, value in graph.values.items() if value.data is not None}
    arrays[node.inputs[0]] = np.arange(1 << encoding.bits, dtype=encoding.code_of_rank().dtype)
    (expected,) = evaluate_node(graph, node, arrays)
    for step in steps:
        (arrays[step.outputs[0]],) = evaluate_node(alone, step, arrays)
    return np.array_equal(arrays[node.outputs[0]], expected)


def _through_floats(graph: Graph, node: Node) -> list[Node]:
    shape, output = graph.value(node.inputs[0]).shape, node.outputs[0]
    names = (graph.fresh_name(f"{output}/{stem}") for stem in ("levels", "real"))
    levels, result = (graph.add(Value(name, "float32", shape)) for name in names)
    return [
        Node("Decode", node.inputs[:1], (levels,), {}, graph.fresh_name(f"{node.name}/decode"), "lowbit"),
        replace(node, inputs=(levels, *node.inputs[1:]), outputs=(result,)),
        Node("Encode", (result,), (output,), {}, graph.fresh_name(f"{node.name}/encode"), "lowbit"),
    ]


def _codes(graph: Graph, node: Node) -> set[str]:
    """Return the values of a node that are codes."""
    known = (graph.values.get(name) for name in (*node.inputs, *node.outputs))
    return {value.name for value in known if value is not None and value.encoding is not None}


Write = Callable[[Graph, Node], list[Node]]

_WAYS: tuple[tuple[Callable[[Graph, Node], bool], Write], ...] = (
    (_has_activation, separated),
    (_has_body, _body),
    (_has_parts, _parts),
    (_has_equal_codes, _through_floats),
)
"""Which nodes a way is for, and the way."""
