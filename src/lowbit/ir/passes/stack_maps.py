"""Let several maps of one sample be one: a convolution or pool of [t, c, h, w] becomes one of [1, c, t h, w].

The maps stand one below another, each with its own rows of padding, in a height that is a multiple of the
stride; so no window that counts sees two of them. What the others give is left out. Networks that look at
frames by a convolution, and at their sequence after it, so need maps of one sample alone.
"""

from dataclasses import replace

import numpy as np

from lowbit.ir.graph import Graph, Node, Value
from lowbit.ir.infer import call_of, infer_node
from lowbit.ir.operators import Trait, has
from lowbit.ir.passes.infrastructure import Pass


def _apply(graph: Graph) -> bool:
    found = [node for node in graph.nodes if _is_of_several(graph, node)]
    for node in found:
        at = graph.nodes.index(node)
        graph.nodes[at : at + 1] = _stacked(graph, node)
    return bool(found)


def _is_of_several(graph: Graph, node: Node) -> bool:
    if not has(node, Trait.WINDOW):
        return False
    source = graph.value(node.inputs[0])
    if node.domain:
        return len(source.shape) == 4 and source.shape[0] != 1 and _is_of_rows(graph, node)
    known = len(source.shape) == 4 and all(isinstance(length, int) for length in source.shape)
    plain = source.encoding is None and not node.attributes.get("ceil_mode")
    pads = node.attributes.get("pads", (0, 0, 0, 0))
    assert isinstance(pads, tuple)
    counted = has(node, Trait.LAYER) or has(node, Trait.COMPARES) or not (pads[0] or pads[2])
    return (
        known
        and plain
        and source.shape[0] != 1
        and counted
        and node.attributes.get("auto_pad", "NOTSET") == "NOTSET"
    )


def _is_of_rows(graph: Graph, node: Node) -> bool:
    """Return whether a layer of codes looks at single rows, so that maps need nothing between them."""
    known = all(isinstance(length, int) for length in graph.value(node.inputs[0]).shape)
    top, _, bottom, _ = _four(node, "pads", (0, 0, 0, 0))
    height = graph.value(node.inputs[1]).shape[1]
    return known and height == 1 and top == bottom == 0 and _two(node, "strides")[0] == 1


def _stacked(graph: Graph, node: Node) -> list[Node]:
    """Return the nodes that put the maps together, work on them, and take them apart."""
    if node.domain:
        return _stacked_rows(graph, node)
    source, target = node.inputs[0], node.outputs[0]
    count, channels, height, width = (int(length) for length in graph.value(source).shape)
    _, made, rows, columns = (int(length) for length in graph.value(target).shape)
    top, left, bottom, right = _four(node, "pads", (0, 0, 0, 0))
    stride, reach = _two(node, "strides")[0], _reach(graph, node)
    whole = -(-(height + top + bottom) // stride) * stride
    fill = float(np.finfo(np.float32).min) if has(node, Trait.COMPARES) else 0.0
    work = _Nodes(graph, node.name)
    value = work.add("Transpose", source, perm=(1, 0, 2, 3))
    if whole != height:
        pads = [0, 0, top, 0, 0, 0, whole - height - top, 0]
        value = work.add("Pad", value, work.integers(pads), work.real(fill))
    value = work.add("Reshape", value, work.integers([1, channels, count * whole, width]))
    attributes = {**node.attributes, "pads": (0, left, max(reach - stride, 0), right)}
    inner = replace(node, inputs=(value, *node.inputs[1:]), attributes=attributes)
    value = work.put(inner)
    value = work.add("Reshape", value, work.integers([made, count, whole // stride, columns]))
    if whole // stride != rows:
        value = work.add("Slice", value, work.integers([0]), work.integers([rows]), work.integers([2]))
    work.nodes.append(Node("Transpose", (value,), (target,), {"perm": (1, 0, 2, 3)}, work.name()))
    return work.nodes


def _stacked_rows(graph: Graph, node: Node) -> list[Node]:
    """Return the same of a layer of codes that looks at single rows."""
    before, after = graph.value(node.inputs[0]), graph.value(node.outputs[0])
    count, channels, height, width = (int(length) for length in before.shape)
    made, columns = (int(after.shape[axis]) for axis in (1, 3))
    work = _Nodes(graph, node.name)
    value = work.add("Transpose", before.name, like=before, perm=(1, 0, 2, 3))
    value = work.add("Reshape", value, work.integers([1, channels, count * height, width]), like=before)
    value = work.put(replace(node, inputs=(value, *node.inputs[1:])), after)
    value = work.add("Reshape", value, work.integers([made, count, height, columns]), like=after)
    work.nodes.append(Node("Transpose", (value,), (after.name,), {"perm": (1, 0, 2, 3)}, work.name()))
    return work.nodes


def _reach(graph: Graph, node: Node) -> int:
    """Return how many rows a window spans."""
    kernel = graph.value(node.inputs[1]).shape[2] if has(node, Trait.LAYER) else _two(node, "kernel_shape")[0]
    return (int(kernel) - 1) * _two(node, "dilations")[0] + 1


def _two(node: Node, name: str) -> tuple[int, int]:
    first, second = node.attributes.get(name) or (1, 1)  # type: ignore[misc, str-unpack]
    return int(first), int(second)


def _four(node: Node, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(number) for number in node.attributes.get(name) or default)  # type: ignore[union-attr]


class _Nodes:
    """Nodes that are added one behind another."""

    def __init__(self, graph: Graph, stem: str) -> None:
        self.graph, self.stem, self.nodes = graph, stem, list[Node]()

    def name(self) -> str:
        return f"{self.stem}/stacked{len(self.nodes)}"

    def add(self, op: str, *inputs: str, like: Value | None = None, **attributes: tuple[int, ...]) -> str:
        return self.put(Node(op, inputs, (), attributes, self.name()), like)

    def put(self, node: Node, like: Value | None = None) -> str:
        output = self.graph.fresh_name(f"{self.stem}/stacked{len(self.nodes)}/y")
        if like is not None:
            self.graph.add(replace(like, name=output))
        added = replace(node, outputs=(output,))
        call_of(self.graph, added)
        infer_node(self.graph, added)
        self.nodes.append(added)
        return output

    def integers(self, numbers: list[int]) -> str:
        return self.graph.add_constant(self.graph.fresh_name(f"{self.stem}/lengths"), numbers, "int64")

    def real(self, number: float) -> str:
        return self.graph.add_constant(self.graph.fresh_name(f"{self.stem}/fill"), np.float32(number))


stack_maps = Pass("stack-maps", _apply)
