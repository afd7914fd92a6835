"""The graph under construction while a layout is settled: every old value is a view of a new one."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
import numpy.typing as npt

from lowbit.ir.graph import Attribute, Graph, Node, Shape, Value
from lowbit.ir.infer import infer_node
from lowbit.ir.operators import Trait, has
from lowbit.ir.passes.arrangement import (
    Axes,
    composed,
    constant_in_source,
    lengths_in_source,
    moves_nothing,
    order_of,
    plain,
)


@dataclass(frozen=True)
class View:
    """A value as a value of the new graph, transposed and reshaped.

    Attributes:
        source: the name of the new value.
        axes: how the value lies in it.
        shape: of the value.
        name, node: how the value, and the node that makes it, are called should it be needed as it is.
        maker: an old node that makes it of just that source, if there is one.
    """

    source: str
    axes: Axes
    shape: Shape
    name: str
    node: str = ""
    maker: Node | None = None


class Rebuilt:
    """A graph that is written again, node by node.

    Attributes:
        old: as it was; not changed.
        new: what there is so far, all constants included.
    """

    def __init__(self, graph: Graph) -> None:
        self.old = graph
        kept = {name: v for name, v in graph.values.items() if v.data is not None or name in graph.inputs}
        self.new = replace(graph, nodes=[], values=kept)
        self._views: dict[str, View] = {}
        self._made: dict[tuple[str, Axes, Shape], str] = {}
        self._names = {node.name for node in graph.nodes}
        self._used: set[str] = set()

    def view(self, name: str) -> View:
        """Return what an old value is now."""
        if name not in self._views:
            shape = self.old.value(name).shape
            self._views[name] = View(name, plain(len(shape)), shape, name)
        return self._views[name]

    def note(self, node: Node, source: View, axes: Axes) -> None:
        """Note that an old node only moves: its output is another view of what its input is a view of."""
        name = node.outputs[0]
        lasts = has(node, Trait.REGROUPS) or not has(node, Trait.KEEPS_ORDER)  # others become a Reshape
        maker = node if lasts and self.is_plain(source) else None
        self._views[name] = View(source.source, axes, self.old.value(name).shape, name, node.name, maker)

    def is_constant(self, name: str) -> bool:
        """Return whether an old value is a constant."""
        return self.old.value(name).data is not None

    def is_plain(self, view: View) -> bool:
        """Return whether a view is its source."""
        return view.axes == plain(len(self.source_shape(view)))

    def source_shape(self, view: View) -> Shape:
        """Return the shape of what a view is a view of."""
        return self.new.value(view.source).shape

    def needed(self, name: str) -> str:
        """Return the name of a new value that is an old one as it is."""
        return name if not name or self.is_constant(name) else self.formed(self.view(name))

    def formed(self, view: View) -> str:
        """Return the name of a view as a value, adding a Transpose and a Reshape where there is none yet."""
        if self.is_plain(view):
            return view.source
        key = (view.source, view.axes, view.shape)
        if key not in self._made:
            again = self._encoded_later(view) or self._padded_later(view) or self._as_before(view)
            self._made[key] = again or self._moved(view)
        return self._made[key]

    def settle(self, name: str) -> None:
        """Make a value that is so far a view, whoever will need it."""
        view = self.view(name)
        self._views[name] = View(self.formed(view), plain(len(view.shape)), view.shape, name)

    def emit(self, node: Node, inputs: tuple[str, ...], like: View | None = None) -> None:
        """Add an old node on new values; its output lies in what it makes as another view does."""
        output = node.outputs[0]
        old = self.old.value(output)
        axes = plain(len(old.shape)) if like is None else like.axes
        keeps = axes == plain(len(old.shape))  # what lies otherwise is another value, and has another name
        new = self._free(output, keep=True) if keeps else self.name_elsewhere(output)
        self.append(replace(node, inputs=inputs, outputs=(new, *node.outputs[1:])), old)
        axes = axes if like is not None else plain(len(self.new.value(new).shape))
        self._views[output] = View(new, axes, old.shape, output)

    def constant(self, stem: str, data: npt.NDArray[np.generic], like: Value | None = None) -> str:
        """Add a constant like another, or one of int64, and return its name."""
        name = self._free(stem)
        if like is None:
            return self.new.add_constant(name, data, "int64")
        return self.new.add(replace(like, name=name, shape=data.shape, data=data))

    def operand(self, name: str, like: View) -> str | None:
        """Return an operand of elementwise work that is done on the source of a view of the result.

        Returns:
            The name of a new value that broadcasts to that source as the operand does to the result; None
            where an axis would have to be split.
        """
        value, source = self.old.value(name), self.source_shape(like)
        missing = len(like.axes) - len(value.shape)
        lengths = lengths_in_source(like.axes, source, (1,) * missing + value.shape)
        if value.shape == () or lengths is None or missing < 0:
            return name if value.shape == () and value.data is not None else None
        if value.data is not None:
            padded = value.data.reshape((1,) * missing + value.data.shape)
            return self.constant(f"{name}/map", constant_in_source(like.axes, lengths, padded), value)
        view = self.view(name)
        inner = ((),) * missing + view.axes
        axes = composed(inner, like.axes, self.source_shape(view), lengths)
        return (
            None if axes is None else self.formed(View(view.source, axes, lengths, self.name_elsewhere(name)))
        )

    def name_elsewhere(self, name: str) -> str:
        """Return a name for what lies otherwise than the value of that name: no old or new value has it."""
        return self._free(f"{name.removesuffix('/map')}/map")

    def append(self, node: Node, pattern: Value) -> None:
        """Add a node and infer its outputs, which have the encoding of a pattern."""
        if node.name in self._used:
            node = replace(node, name=next(n for n in _numbered(node.name) if n not in self._names))
        self._used.add(node.name)
        self._names.add(node.name)
        for output in node.outputs:
            self.new.values[output] = replace(pattern, name=output, data=None)
        infer_node(self.new, node)
        self.new.nodes.append(node)

    def finish(self) -> None:
        """Let the new graph have the outputs of the old one."""
        for name in self.old.outputs:
            if not self.is_constant(name) and (found := self.needed(name)) != name:
                self.append(Node("Identity", (found,), (name,), {}, f"{name}/as"), self.old.value(name))

    def _encoded_later(self, view: View) -> str:
        """Return codes that are made behind a transposition instead of before it, or "" for no codes."""
        maker = self.new.producer(view.source)
        if maker is None or (maker.domain, maker.op) != ("lowbit", "Encode"):
            return ""
        return self._made_behind(maker, view, view.shape, maker.inputs[1:])

    def _padded_later(self, view: View) -> str:
        """Return a value that is padded behind a transposition, where a layer can take the pads, or ""."""
        maker, shape = self.new.producer(view.source), self.source_shape(view)
        if maker is None or maker.op != "Pad" or maker.domain or moves_nothing(view.axes, shape):
            return ""
        edges = self.new.constant(maker.inputs[1]).astype(np.int64).reshape(2, -1)
        if any(len(group) > 1 and edges[:, list(group)].any() for group in view.axes):
            return ""
        inner = self.new.value(maker.inputs[0]).shape
        lengths = tuple(
            inner[group[0]] if len(group) == 1 else length
            for group, length in zip(view.axes, view.shape, strict=True)
        )
        pads = np.stack([edges[:, list(group)].sum(axis=1) for group in view.axes], axis=1).reshape(-1)
        named = self.constant(f"{maker.inputs[1]}/map", pads)
        return self._made_behind(maker, view, lengths, (named, *maker.inputs[2:]))

    def _made_behind(self, maker: Node, view: View, shape: Shape, rest: tuple[str, ...]) -> str:
        """Add a node again that made the source of a view, now reading its own source seen like that."""
        source = maker.inputs[0]
        inner = replace(
            view, source=source, shape=shape, name=self.name_elsewhere(source), node="", maker=None
        )
        inputs = (self.formed(inner), *rest)
        name = self._free(view.name, keep=True)
        self.append(replace(maker, inputs=inputs, outputs=(name,)), self.new.value(view.source))
        return name

    def _as_before(self, view: View) -> str:
        """Return a value made by the old node that made it, or "" where no old one did."""
        if view.maker is None or view.name in self.new.values:
            return ""
        inputs = (view.source, *view.maker.inputs[1:])
        self.append(replace(view.maker, inputs=inputs), self.new.value(view.source))
        return view.name

    def _moved(self, view: View) -> str:
        """Add the nodes that make a value of a view, and return its name."""
        source, order, pattern = view.source, order_of(view.axes), self.new.value(view.source)
        shape = pattern.shape
        if not moves_nothing(view.axes, shape):
            shape = tuple(shape[axis] for axis in order)
            name = self._free(view.name, keep=True) if shape == view.shape else self._free(f"{source}/moved")
            source = self._step("Transpose", (source,), name, view, pattern, perm=order)
        if shape == view.shape:
            return source
        name = self._free(view.name, keep=True)
        lengths = np.array([-1 if isinstance(length, str) else length for length in view.shape], np.int64)
        return self._step("Reshape", (source, self.constant(f"{name}/shape", lengths)), name, view, pattern)

    def _step(
        self, op: str, inputs: tuple[str, ...], name: str, view: View, pattern: Value, **attributes: Attribute
    ) -> str:
        label = view.node if name == view.name and view.node else name
        self.append(Node(op, inputs, (name,), attributes, label), pattern)
        return name

    def _free(self, stem: str, keep: bool = False) -> str:
        """Return a name that no new value has, and no old one but, with ``keep``, the one of that name."""
        if keep and stem not in self.new.values:
            return stem
        taken = self.new.values.keys() | self.old.values.keys()
        return next(name for name in _numbered(stem) if name not in taken)


def _numbered(stem: str) -> Iterator[str]:
    yield stem
    for number in count(2):
        yield f"{stem}_{number}"
