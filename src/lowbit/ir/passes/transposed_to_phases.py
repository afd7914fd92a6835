"""A transposed convolution becomes convolutions whose channels are the phases between two inputs.

    y[s u + p - before] = sum over j of w[s j + p] x[u - j]          along every axis, stride s

Phase p of pixel u is a convolution with the taps j. Phases of as many taps are channels of one convolution,
which has no weight that the transposed one has not; along an axis there are at most two such kinds, the first
``kernel mod s`` phases having one tap more. What follows only moves elements, so codes pass it.
(Shi et al., Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional
Neural Network, 2016, has it the other way round.)
"""

from dataclasses import dataclass, replace
from itertools import product
from math import prod

import numpy as np
import numpy.typing as npt

from lowbit.ir.graph import Graph, Node
from lowbit.ir.infer import call_of
from lowbit.ir.operators.transposed_convolution import geometry
from lowbit.ir.operators.windows import map_lengths
from lowbit.ir.passes.expand import Adder
from lowbit.ir.passes.infrastructure import Pass

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Axis:
    """One axis.

    Attributes:
        length, kernel, stride, dilation, before, outputs: as the operator has them; a kernel shorter than
            the stride is followed by zeros.
    """

    length: int
    kernel: int
    stride: int
    dilation: int
    before: int
    outputs: int

    @property
    def kinds(self) -> list[range]:
        """Phases that have as many taps."""
        longer = self.kernel % self.stride
        return [range(longer), range(longer, self.stride)] if longer else [range(self.stride)]

    @property
    def pixels(self) -> int:
        """How many pixels of phases are computed; outputs need no more."""
        return max((self.outputs - 1 + self.before) // self.stride + 1, self.length)

    def taps(self, phase: int) -> range:
        """Return the places in the kernel of a phase's taps, the last j first."""
        return range(phase, self.kernel, self.stride)[::-1]

    def pads(self, taps: int) -> tuple[int, int]:
        """Return the pads of a convolution with so many taps."""
        return self.dilation * (taps - 1), self.pixels - self.length


def why_transposed(graph: Graph, node: Node) -> str:
    """Return why a transposed convolution stays one, or "" where it is none or becomes phases."""
    if (node.domain, node.op) != ("", "ConvTranspose"):
        return ""
    if any(graph.value(name).data is None for name in node.inputs[1:] if name):
        return "its weights are computed"
    if len(graph.value(node.inputs[0]).shape) not in (3, 4):
        return "its maps have neither one nor two axes"
    _, strides, dilations, *_ = geometry(call_of(graph, node))
    apart = any(stride > 1 < dilation for stride, dilation in zip(strides, dilations, strict=True))
    return "it has a stride and a dilation" if apart else ""


def _becomes_phases(graph: Graph, node: Node) -> bool:
    return (node.domain, node.op) == ("", "ConvTranspose") and not why_transposed(graph, node)


def _apply(graph: Graph) -> bool:
    found = [node for node in graph.nodes if _becomes_phases(graph, node)]
    for node in found:
        at = graph.nodes.index(node)
        graph.nodes[at : at + 1] = _Phases(graph, node).nodes()
    return bool(found)


class _Phases:
    """Writes one transposed convolution."""

    def __init__(self, graph: Graph, node: Node) -> None:
        self._graph, self._node, self._add = graph, node, Adder(graph, node)
        call = call_of(graph, node)
        kernel, strides, dilations, before, _, outputs = geometry(call)
        self._group = call.integer("group")
        self._weights = np.asarray(graph.constant(node.inputs[1]), np.float32)
        fill = [max(stride - length, 0) for stride, length in zip(strides, kernel, strict=True)]
        self._weights = np.pad(self._weights, [(0, 0), (0, 0), *((0, more) for more in fill)])
        lengths, extents = map_lengths(call), self._weights.shape[2:]
        each = zip(lengths, extents, strides, dilations, before, outputs, strict=True)
        self._axes = [_Axis(*numbers) for numbers in each]

    def nodes(self) -> list[Node]:
        """Return the nodes, values added to the graph."""
        made = self._joined(len(self._axes), ())
        self._add.give(self._wanted(self._interleaved(made)), self._node.outputs[0])
        nodes = self._add.nodes
        if sum(node.op == "Conv" for node in nodes) == 1:
            nodes[0] = replace(nodes[0], name=self._node.name)
        return nodes

    def _joined(self, open_axes: int, chosen: tuple[range, ...]) -> str:
        """Return ``[n, phases, ..., outputs, pixels, ...]`` of all phases of the first axes."""
        if not open_axes:
            return self._convolution(chosen[::-1])
        axis = open_axes - 1
        parts = [self._joined(axis, (*chosen, kind)) for kind in self._axes[axis].kinds]
        return parts[0] if len(parts) == 1 else self._add.node("Concat", *parts, axis=1 + axis)

    def _convolution(self, phases: tuple[range, ...]) -> str:
        """Return the result of the convolution of some phases of every axis."""
        group, outputs, count = self._group, self._weights.shape[1], prod(map(len, phases))
        taps = [len(axis.taps(kind[0])) for axis, kind in zip(self._axes, phases, strict=True)]
        rows = np.concatenate([self._phase(each) for each in product(*phases)], axis=1)
        kernel = rows.reshape(-1, *rows.shape[3:])  # group, phases, outputs; inputs, taps
        pads = [axis.pads(each) for axis, each in zip(self._axes, taps, strict=True)]
        result = self._add.node(
            "Conv",
            self._node.inputs[0],
            self._add.constant(np.ascontiguousarray(kernel)),
            self._add.constant(np.repeat(self._bias(), count, axis=1).reshape(-1)),
            called="x".join(map(str, taps)),
            group=group,
            kernel_shape=tuple(taps),
            dilations=tuple(axis.dilation for axis in self._axes),
            pads=(*(first for first, _ in pads), *(last for _, last in pads)),
        )
        pixels = [axis.pixels for axis in self._axes]
        if group > 1:  # phases first
            result = self._reshape(result, [0, group, count, outputs, prod(pixels)])
            result = self._add.node("Transpose", result, perm=(0, 2, 1, 3, 4))
        return self._reshape(result, [0, *map(len, phases), group * outputs, *pixels])

    def _bias(self) -> Floats:
        """Return the bias, ``[group, 1, outputs of a group]``."""
        bias = np.zeros(self._group * self._weights.shape[1], np.float32)
        if len(self._node.inputs) > 2 and self._node.inputs[2]:
            bias = np.asarray(self._graph.constant(self._node.inputs[2]), np.float32)
        return bias.reshape(self._group, 1, -1)

    def _phase(self, phase: tuple[int, ...]) -> Floats:
        """Return the kernel of one phase, ``[group, 1, outputs, inputs of a group, taps, ...]``."""
        inputs, outputs = self._weights.shape[:2]
        apart = self._weights.reshape(self._group, inputs // self._group, outputs, *self._weights.shape[2:])
        chosen: Floats = np.moveaxis(apart, 1, 2)[:, None]
        for number, (axis, place) in enumerate(zip(self._axes, phase, strict=True)):
            chosen = chosen.take(list(axis.taps(place)), 4 + number)
        return chosen

    def _interleaved(self, name: str) -> str:
        """Return ``[n, outputs, pixels phases, ...]`` of ``[n, phases, ..., outputs, pixels, ...]``."""
        rank, channels = len(self._axes), self._weights.shape[1] * self._group
        pairs = [place for axis in range(rank) for place in (2 + rank + axis, 1 + axis)]
        moved = self._add.node("Transpose", name, perm=(0, 1 + rank, *pairs))
        return self._reshape(moved, [0, channels, *(axis.pixels * axis.stride for axis in self._axes)])

    def _wanted(self, name: str) -> str:
        """Return the part of a map that is the result."""
        starts = [axis.before for axis in self._axes]
        ends = [axis.before + axis.outputs for axis in self._axes]
        if not any(starts) and ends == [axis.pixels * axis.stride for axis in self._axes]:
            return name
        rows = (starts, ends, [2 + axis for axis in range(len(self._axes))])
        return self._add.node("Slice", name, *(self._add.constant(row, "int64") for row in rows))

    def _reshape(self, name: str, shape: list[int]) -> str:
        return self._add.node("Reshape", name, self._add.constant(shape, "int64"))


transposed_to_phases = Pass(
    "transposed-to-phases",
    _apply,
    ensures=lambda graph: not any(_becomes_phases(graph, node) for node in graph.nodes),
)
