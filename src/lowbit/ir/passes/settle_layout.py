"""Settle the layout: transpositions and reshapes move to the ends of a network and are absorbed on the way.

Exporters of networks that keep channels last write a ``Transpose`` around every convolution. Here a value
that is another one transposed or reshaped is only noted as such (`arrangement`). What works on elements, pads
or joins works on the other value; a product with constant weights behind a flattened map gets its weights in
another order; a convolution or a pool asks for the value itself, which by then mostly is there. What is left
is one transposition where a network's own input or output has another layout, or where something needs it.

Nothing is computed differently: every element goes through the same operations.
"""

from collections.abc import Callable
from dataclasses import replace
from math import prod

import numpy as np

from lowbit.ir.graph import Graph, Node, Shape
from lowbit.ir.infer import call_of
from lowbit.ir.layers import is_product, outputs_last
from lowbit.ir.operators import Trait, has, operator_of
from lowbit.ir.passes.arrangement import Axes, regrouped, transposed
from lowbit.ir.passes.infrastructure import Pass
from lowbit.ir.passes.views import Rebuilt, View

Handler = Callable[[Rebuilt, Node], bool]
"""Translates a node, or returns False where it must read its inputs as they are."""


def _apply(graph: Graph) -> bool:
    if not any(_is_to_settle(node) for node in graph.nodes):
        return False
    rebuilt = Rebuilt(graph)
    for node in graph.nodes:
        handler = _handler(node)
        if handler is None or not handler(rebuilt, node):
            rebuilt.emit(node, tuple(rebuilt.needed(name) for name in node.inputs))
    rebuilt.finish()
    changed = rebuilt.new.nodes != graph.nodes
    if changed:
        graph.nodes, graph.values = rebuilt.new.nodes, rebuilt.new.values
    return changed


def _is_to_settle(node: Node) -> bool:
    """Return whether a node exchanges, adds or drops axes: what only regroups them may stay."""
    return has(node, Trait.MOVES) and not has(node, Trait.REGROUPS) and not has(node, Trait.ELEMENTWISE)


def _move(work: Rebuilt, node: Node) -> bool:
    """Transpose, Reshape, Flatten, Squeeze, Unsqueeze: another view, where no axis must be split.

    What moves the network's own input does so at once: there it ends up in any case.
    """
    view, shape = work.view(node.inputs[0]), work.old.value(node.outputs[0]).shape
    if sum(isinstance(length, str) for length in shape) > 1:  # no Reshape says where two open lengths go
        return False
    axes = _moved_axes(work, node, view, shape)
    if axes is None:
        return False
    work.note(node, view, axes)
    if view.source in work.old.inputs:
        work.settle(node.outputs[0])
    return True


def _moved_axes(work: Rebuilt, node: Node, view: View, shape: Shape) -> Axes | None:
    if node.op != "Transpose":
        return regrouped(view.axes, work.source_shape(view), shape)
    order = call_of(work.old, node).integers("perm")
    return transposed(view.axes, order or tuple(range(len(shape)))[::-1])


def _elementwise(work: Rebuilt, node: Node) -> bool:
    """Work on elements is done where the first input that is all of the result lies."""
    shape = work.old.value(node.outputs[0]).shape
    computed = [name for name in node.inputs if name and not work.is_constant(name)]
    views = [work.view(name) for name in computed if work.old.value(name).shape == shape]
    like = next((view for view in views if not work.is_plain(view)), None)
    if like is None:
        return False
    operands = [work.operand(name, like) if name else "" for name in node.inputs]
    if None in operands:
        return False
    work.emit(node, tuple(name or "" for name in operands), like)
    return True


def _with_parameters(work: Rebuilt, node: Node) -> bool:
    """A function of the first input; the others are its parameters."""
    view = work.view(node.inputs[0])
    if work.is_constant(node.inputs[0]) or work.is_plain(view):
        return False
    work.emit(node, (view.source, *node.inputs[1:]), view)
    return True


def _concat(work: Rebuilt, node: Node) -> bool:
    """Parts are joined in the layout of the first one that has another, along the axis that is there."""
    rank = len(work.old.value(node.outputs[0]).shape)
    axis = call_of(work.old, node).integer("axis") % rank
    views = [work.view(name) for name in node.inputs if not work.is_constant(name)]
    like = next((view for view in views if not work.is_plain(view)), None)
    if like is None or len(like.axes[axis]) != 1:
        return False
    # A part differs from the others in the length of the joined axis: there it counts as broadcast.
    there = like.axes[axis][0]
    parts = [_part(work, name, like, axis) for name in node.inputs]
    if None in parts:
        return False
    joined = replace(node, attributes={**node.attributes, "axis": there})
    work.emit(joined, tuple(name or "" for name in parts), like)
    return True


def _part(work: Rebuilt, name: str, like: View, axis: int) -> str | None:
    """Return a part of a concatenation as it lies in the layout of another part."""
    if not work.is_constant(name) and work.view(name).axes == like.axes:
        return work.view(name).source
    return work.operand(name, like)


def _pad(work: Rebuilt, node: Node) -> bool:
    """Pads move with their axes; only what is one long axis there can be padded."""
    view = work.view(node.inputs[0])
    if work.is_constant(node.inputs[0]) or work.is_plain(view):
        return False
    source = work.source_shape(view)
    edges = work.old.constant(node.inputs[1]).astype(np.int64).reshape(2, -1)
    pads = np.zeros((2, len(source)), np.int64)
    for group, before_and_after in zip(view.axes, edges.T, strict=True):
        long = [axis for axis in group if source[axis] != 1] or list(group[-1:])
        if before_and_after.any() and len(long) != 1:
            return False
        pads[:, long[:1]] = before_and_after[:, None]
    name = work.constant(f"{node.inputs[1]}/map", pads.reshape(-1))
    work.emit(node, (view.source, name, *node.inputs[2:]), view)
    return True


def _product(work: Rebuilt, node: Node) -> bool:
    """A product with constant weights reads a map flattened as it lies, by weights in that order."""
    view = work.view(node.inputs[0])
    source, weights = work.source_shape(view), work.old.value(node.inputs[1])
    flat = len(view.axes) == 2 and view.axes[0] == (0,) and len(source) >= 2
    if work.is_plain(view) or not flat or weights.data is None or weights.data.ndim != 2:
        return False
    lengths = [length for length in source[1:] if isinstance(length, int)]
    if len(lengths) != len(source) - 1 or node.attributes.get("transA"):
        return False
    taken = np.arange(prod(lengths)).reshape(lengths).transpose([axis - 1 for axis in view.axes[1]])
    order = np.argsort(taken.reshape(-1))
    moved = weights.data[order] if outputs_last(node) else weights.data[:, order]
    if np.array_equal(order, np.arange(len(order))):
        return False
    named = work.constant(f"{node.inputs[1]}/map", np.ascontiguousarray(moved), weights)
    axes: Axes = ((0,), tuple(range(1, len(source))))
    name = work.name_elsewhere(view.name)
    flattened = View(view.source, axes, (source[0], prod(lengths)), name, view.node)
    work.emit(node, (work.formed(flattened), named, *node.inputs[2:]))
    return True


def _handler(node: Node) -> Handler | None:
    """Return what translates a node, or None where it must read its inputs as they are."""
    if is_product(node):
        return _product
    if has(node, Trait.MOVES):
        return _move
    if has(node, Trait.CARRIES) and not has(node, Trait.POOL):
        return _concat if operator_of(node).inputs[0].endswith("*") else None
    if has(node, Trait.BROADCASTS):
        return _elementwise
    if has(node, Trait.ELEMENTWISE):
        return _with_parameters
    return _pad if node.op == "Pad" and not node.domain else None


settle_layout = Pass("settle-layout", _apply)
