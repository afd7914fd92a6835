"""Operators in forms that the format does not have, as others that it has, with the same numbers.

Softmax, LogSoftmax on another axis     Transpose, Softmax on the last axis, Transpose
Transpose to channels last              and a Reshape to the same shape, so that what follows is on no map;
                                        the same where rows of channels are read as a map as well; where
                                        they are another map, of floats or codes, if nothing else is read back
Pad by what is there                    Gather along each axis that is padded
Max, Min with one number                Clip
Cast to its own type                    Identity
Expand beside an open batch             Tile: BROADCAST_TO takes fixed lengths alone
ArgMax, ArgMin that keep their axis     without it, Unsqueeze
Reciprocal                              Div of 1
x / 2 (1 + erf(x / sqrt 2))             Gelu: the format has no erf; its rounding differs by some last digits
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from lowbit.formats.circle.layout import TO_NCHW, TO_NHWC
from lowbit.ir import Graph, Node, Trait, Value, has
from lowbit.ir.graph import Attribute
from lowbit.ir.infer import call_of, infer_node
from lowbit.ir.operators.contents import integers
from lowbit.ir.operators.logic import CASTS
from lowbit.ir.passes import Pass

Write = Callable[[Graph, Node], list[Node]]


def has_form(graph: Graph, node: Node) -> bool:
    """Return whether a node is in a form that the format has, or that no way is known out of."""
    return _form_of(graph, node) is None


def _form_of(graph: Graph, node: Node) -> Write | None:
    if node.domain or graph.value(node.inputs[0]).encoding is not None:
        return None
    return next((write for applies, write in _FORMS if applies(graph, node)), None)


def _form_of_map(graph: Graph, node: Node) -> Write | None:
    return _left if _turns_maps(graph, node) else None


def _apply(graph: Graph, form_of: Callable[[Graph, Node], Write | None] = _form_of) -> bool:
    at = found = 0
    while at < len(graph.nodes):
        node = graph.nodes[at]
        write = form_of(graph, node)
        if write is not None:
            graph.nodes[at : at + 1] = write(graph, node)
            found += 1
        at += 1
    return bool(found)


class _Steps:
    """Adds nodes in front of the one that makes a value, under names that the graph does not have."""

    def __init__(self, graph: Graph, node: Node) -> None:
        self.graph, self.node, self.nodes = graph, node, list[Node]()

    def add(self, op: str, *inputs: str, **attributes: Attribute) -> str:
        """Add a node and return what it computes; of codes it makes the same codes."""
        name = self.graph.fresh_name(f"{self.node.outputs[0]}/{op.lower()}")
        if self.graph.value(inputs[0]).encoding is not None:
            self.graph.add(replace(self.graph.value(inputs[0]), name=name))
        self.nodes.append(Node(op, inputs, (name,), attributes, name))
        infer_node(self.graph, self.nodes[-1])
        return name

    def constant(self, stem: str, data: object, dtype: str = "float32") -> str:
        """Add a constant and return its name."""
        name = self.graph.fresh_name(f"{self.node.outputs[0]}/{stem}")
        return self.graph.add_constant(name, np.asarray(data), dtype)

    def end(self, op: str, *inputs: str, **attributes: Attribute) -> list[Node]:
        """Return all nodes, the last of which makes what the node made, under its name."""
        return [*self.nodes, Node(op, inputs, self.node.outputs, attributes, self.node.name)]


def _axis(graph: Graph, node: Node) -> int:
    return call_of(graph, node).integer("axis") % len(graph.value(node.inputs[0]).shape)


def _is_along_another_axis(graph: Graph, node: Node) -> bool:
    return has(node, Trait.ENDS_CLASSIFIER) and _axis(graph, node) != _rank(graph, node) - 1


def _along_the_last(graph: Graph, node: Node) -> list[Node]:
    axis, steps = _axis(graph, node), _Steps(graph, node)
    order = [*range(_rank(graph, node))]
    order[axis], order[-1] = order[-1], order[axis]
    turned = steps.add("Transpose", node.inputs[0], perm=tuple(order))
    made = steps.add(node.op, turned, axis=-1)
    return steps.end("Transpose", made, perm=tuple(order))


def _rank(graph: Graph, node: Node) -> int:
    return len(graph.value(node.inputs[0]).shape)


def _leaves_maps(graph: Graph, node: Node) -> bool:
    """Return whether a map becomes rows of channels, which a reader would take for the map as it lies."""
    if node.op != "Transpose" or call_of(graph, node).integers("perm") != TO_NHWC:
        return False
    return any(map(_follows_maps, graph.consumers(node.outputs[0])))


def _turns_maps(graph: Graph, node: Node) -> bool:
    """Return whether rows of channels of a map may be read as another map."""
    if node.op != "Transpose" or call_of(graph, node).integers("perm") != TO_NHWC:
        return False
    return any(map(_reads_maps, graph.consumers(node.outputs[0])))


def _reads_maps(reader: Node) -> bool:
    windows = has(reader, Trait.WINDOW) or has(reader, Trait.POOL)
    return windows or not any(has(reader, trait) for trait in _ON_ROWS)


def _follows_maps(reader: Node) -> bool:
    """Return whether what a node reads is taken for a map, by who reads a file, where it may be one."""
    return not reader.domain and not any(has(reader, trait) for trait in _ON_ROWS)


def _left(graph: Graph, node: Node) -> list[Node]:
    steps = _Steps(graph, node)
    moved = steps.add("Transpose", node.inputs[0], perm=TO_NHWC)
    lengths = graph.value(moved).shape
    shape = [-1 if isinstance(length, str) else length for length in lengths]
    return steps.end("Reshape", moved, steps.constant("shape", shape, "int64"))


def _late_readers(graph: Graph, node: Node) -> list[Node]:
    """Return who reads rows of channels after somebody read them as a map, and would be taken for it, too."""
    if node.op != "Transpose" or call_of(graph, node).integers("perm") != TO_NCHW:
        return []
    order = {id(each): index for index, each in enumerate(graph.nodes)}
    first = min((order[id(each)] for each in graph.consumers(node.outputs[0])), default=len(order))
    late = [each for each in graph.consumers(node.inputs[0]) if order[id(each)] > first]
    return list(filter(_follows_maps, late))


def _kept(graph: Graph, node: Node) -> list[Node]:
    """Give them rows of their own."""
    steps, source = _Steps(graph, node), node.inputs[0]
    shape = [-1 if isinstance(length, str) else length for length in graph.value(source).shape]
    rows = steps.add("Reshape", source, steps.constant("shape", shape, "int64"))
    for late in _late_readers(graph, node):
        given = tuple(rows if name == source else name for name in late.inputs)
        graph.nodes[graph.nodes.index(late)] = replace(late, inputs=given)
    return [*steps.nodes, node]


def _pads_by_content(graph: Graph, node: Node) -> bool:
    return node.op == "Pad" and node.attributes.get("mode", "constant") != "constant"


def _padded(graph: Graph, node: Node) -> list[Node]:
    call, steps = call_of(graph, node), _Steps(graph, node)
    pads, made, shape = integers(call, 1), node.inputs[0], call.input(0).shape
    for axis, length in enumerate(shape):
        edges = pads[axis], pads[axis + len(shape)]
        if any(edges) and isinstance(length, int):
            places = np.pad(np.arange(length), edges, mode=call.text("mode"))  # type: ignore[call-overload]
            made = steps.add("Gather", made, steps.constant("places", places, "int64"), axis=axis)
    return steps.end("Identity", made)


def _bounds_by_number(graph: Graph, node: Node) -> bool:
    if node.op not in _BOUNDS or len(node.inputs) != 2:
        return False
    numbers = [graph.value(name) for name in node.inputs if graph.value(name).data is not None]
    return len(numbers) == 1 and numbers[0].dtype == "float32" and _is_one(numbers[0], graph, node)


def _is_one(number: Value, graph: Graph, node: Node) -> bool:
    other = next(name for name in node.inputs if name != number.name)
    assert number.data is not None
    return number.data.size == 1 and len(number.shape) <= len(graph.value(other).shape)


def _clipped(graph: Graph, node: Node) -> list[Node]:
    steps = _Steps(graph, node)
    (number,) = (name for name in node.inputs if graph.value(name).data is not None)
    (other,) = (name for name in node.inputs if name != number)
    bound = steps.constant("bound", graph.constant(number).reshape(()))
    return steps.end("Clip", other, *_BOUNDS[node.op](bound))


def _keeps_type(graph: Graph, node: Node) -> bool:
    return node.op == "Cast" and CASTS.get(graph.value(node.inputs[0]).dtype) == node.attributes.get("to")


def _passed(graph: Graph, node: Node) -> list[Node]:
    return _Steps(graph, node).end("Identity", node.inputs[0])


def _widens_beside_a_batch(graph: Graph, node: Node) -> bool:
    if node.op != "Expand":
        return False
    before, after = (graph.value(name).shape for name in (node.inputs[0], node.outputs[0]))
    if len(before) != len(after) or not any(isinstance(length, str) for length in after):
        return False
    return all(new == old or isinstance(new, int) for new, old in zip(after, before, strict=True))


def _tiled(graph: Graph, node: Node) -> list[Node]:
    steps = _Steps(graph, node)
    before, after = (graph.value(name).shape for name in (node.inputs[0], node.outputs[0]))
    times = [1 if new == old else int(new) for new, old in zip(after, before, strict=True)]
    return steps.end("Tile", node.inputs[0], steps.constant("times", times, "int64"))


def _inverted(graph: Graph, node: Node) -> list[Node]:
    steps = _Steps(graph, node)
    return steps.end("Div", steps.constant("one", 1), node.inputs[0])


def _keeps_axis(graph: Graph, node: Node) -> bool:
    call = call_of(graph, node)
    return "select_last_index" in call.operator.attributes and bool(call.integer("keepdims"))


def _dropped(graph: Graph, node: Node) -> list[Node]:
    steps, axis = _Steps(graph, node), _axis(graph, node)
    made = steps.add(node.op, node.inputs[0], **{**node.attributes, "axis": axis, "keepdims": 0})
    return steps.end("Unsqueeze", made, steps.constant("axis", [axis], "int64"))


_ON_ROWS = (Trait.KEEPS_ORDER, Trait.LAYER, Trait.ENDS_CLASSIFIER, Trait.MOVES)
"""What is read from tensors as they lie, never from maps."""
_BOUNDS: dict[str, Callable[[str], tuple[str, ...]]] = {
    "Max": lambda bound: (bound,),
    "Min": lambda bound: ("", bound),
}
"""The bounds of a Clip that each is."""
_FORMS: tuple[tuple[Callable[[Graph, Node], bool], Write], ...] = (
    (_is_along_another_axis, _along_the_last),
    (_leaves_maps, _left),
    (lambda graph, node: bool(_late_readers(graph, node)), _kept),
    (_pads_by_content, _padded),
    (_bounds_by_number, _clipped),
    (_keeps_type, _passed),
    (_widens_beside_a_batch, _tiled),
    (_keeps_axis, _dropped),
    (lambda _, node: node.op == "Reciprocal", _inverted),
)
"""Which nodes a form is for, and how it is written."""


def _find_gelu(graph: Graph) -> bool:
    """Replace what exporters make of a Gelu by the operator."""
    found = [match for node in graph.nodes if node.op == "Erf" for match in [_gelu(graph, node)] if match]
    for nodes, source in found:
        last = nodes[-1]
        at = graph.nodes.index(last)
        graph.nodes[at] = Node("Gelu", (source,), last.outputs, {}, last.name)
        graph.nodes = [node for node in graph.nodes if node not in nodes]
    return bool(found)


def _gelu(graph: Graph, erf: Node) -> tuple[list[Node], str] | None:
    """Return the nodes of a Gelu around its erf, the last one at the end, and what it is of."""
    scaled = graph.producer(erf.inputs[0])
    source = None if scaled is None else _times(graph, scaled, np.sqrt(0.5))
    shifted = _only_reader(graph, erf)
    if scaled is None or source is None or shifted is None or _plus(graph, shifted) != 1:
        return None
    product = _only_reader(graph, shifted)
    if product is None or product.op != "Mul":
        return None
    other = next((name for name in product.inputs if name != shifted.outputs[0]), "")
    half = graph.producer(other)
    if other == source:  # x (1 + erf), then half of it
        last = _only_reader(graph, product)
        fits = last is not None and _times(graph, last, 0.5) == product.outputs[0]
        return ([erf, shifted, product, last], source) if fits and last else None
    fits = half is not None and _times(graph, half, 0.5) == source
    return ([erf, shifted, product], source) if fits else None


def _only_reader(graph: Graph, node: Node) -> Node | None:
    readers = graph.consumers(node.outputs[0])
    return readers[0] if len(readers) == 1 and node.outputs[0] not in graph.outputs else None


def _times(graph: Graph, node: Node, factor: float) -> str | None:
    """Return what a node multiplies by a factor, None where it does something else."""
    numbers = [name for name in filter(None, node.inputs) if graph.value(name).data is not None]
    others = [name for name in node.inputs if name not in numbers]
    if node.op not in _FACTORS or len(numbers) != 1 or len(others) != 1:
        return None
    number = graph.constant(numbers[0]).reshape(-1).astype(np.float64)
    behind = numbers[0] == node.inputs[1]
    fits = number.size == 1 and np.isclose(_FACTORS[node.op](float(number[0]), behind), factor, rtol=1e-6)
    return others[0] if fits else None


_FACTORS: dict[str, Callable[[float, bool], float]] = {
    "Mul": lambda number, _: number,
    "Div": lambda number, behind: 1 / number if behind and number else 0.0,
}
"""What each multiplies by, of its constant and whether that is the second operand."""


def _plus(graph: Graph, node: Node) -> float | None:
    numbers = [graph.value(name).data for name in filter(None, node.inputs)]
    known = [np.asarray(data) for data in numbers if data is not None and data.size == 1]
    return float(known[0].item()) if node.op == "Add" and len(known) == 1 else None


find_gelu = Pass("find-gelu", _find_gelu)
file_forms = Pass("file-forms", _apply)
turned_maps = Pass("turned-maps", partial(_apply, form_of=_form_of_map))
