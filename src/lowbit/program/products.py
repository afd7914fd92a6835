"""Products of values, transposed convolutions, and recurrent layers."""

from math import prod
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lowbit.ir import Graph, Node
from lowbit.ir.infer import call_of
from lowbit.ir.operators.registry import Call
from lowbit.ir.window import Axis
from lowbit.program.steps import FloatConvolution, FloatFullyConnected, Gather, MatrixProduct

if TYPE_CHECKING:
    from lowbit.program.planner import Planner

Floats = npt.NDArray[np.float32]


def lower_product(planner: "Planner", node: Node) -> None:
    """Add the step of a matrix product: by a constant matrix row by row, else of two values."""
    left, right = node.inputs
    constant = None if planner.computed(right) else planner.graph.constant(right)
    if constant is not None and constant.ndim <= 2 and planner.sample_shape(left):
        weights = constant.reshape(len(constant), -1).T
        rows = prod(planner.sample_shape(left)[:-1])
        bias = np.zeros(len(weights), np.float32)
        add = planner.add_layer if rows == 1 else planner.add  # a map is read as it lies in one row alone
        add(node, FloatFullyConnected(np.asarray(weights, np.float32), bias, rows))
        return
    _product_of_two(planner, node)


def _product_of_two(planner: "Planner", node: Node) -> None:
    left, right = (_matrix(planner, node, name) for name in node.inputs)
    first, second = left.shape, right.shape
    first = (1, *first) if len(first) == 1 else first
    second = (*second, 1) if len(second) == 1 else second
    batches = np.broadcast_shapes(first[:-2], second[:-2])
    sources = tuple(
        _repeated(planner, side.number, shape, batches) for side, shape in ((left, first), (right, second))
    )
    step = MatrixProduct(prod(batches), first[-2], first[-1], second[-1], transposed=False)
    planner.put(node, step, sources)


class _matrix:  # noqa: N801
    """An operand: its number, laid flat, and the axes of a sample."""

    def __init__(self, planner: "Planner", node: Node, name: str) -> None:
        if planner.computed(name):
            ranks = [len(planner.shape(each)) for each in node.inputs if planner.computed(each)]
            if planner.batched and (len(set(ranks)) > 1 or ranks[0] < 3):
                planner.refuse(node, "a product that mixes samples")
            self.number, self.shape = planner.flat(name), planner.sample_shape(name)
        else:
            data = planner.graph.constant(name)
            rank = len(planner.shape(node.outputs[0]))
            if planner.batched and data.ndim >= rank:
                if data.shape[0] != 1:
                    planner.refuse(node, "a constant for each sample")
                data = data[0]
            self.number, self.shape = planner.constant(data, name), data.shape


def _repeated(planner: "Planner", number: int, shape: tuple[int, ...], batches: tuple[int, ...]) -> int:
    """Return the number of matrices with those batches that the step does not repeat by itself."""
    own = shape[:-2]
    while own and own[0] == 1:
        own = own[1:]
    if own == batches[len(batches) - len(own) :]:
        return number
    each = np.arange(prod(shape)).reshape(shape)
    places = np.broadcast_to(each, (*batches, *shape[-2:])).reshape(-1)
    return planner.inner(Gather(places.astype(np.uint32), places.size), (number,))


def is_by_phases(graph: Graph, node: Node) -> bool:
    """Return whether a transposed convolution is one by phases: of one or two axes, by constants."""
    constants = all(graph.value(name).data is not None for name in node.inputs[1:] if name)
    return constants and len(graph.value(node.inputs[1]).shape) in (3, 4)


def lower_transposed_convolution(planner: "Planner", node: Node) -> None:
    """Add a convolution that makes all outputs between two inputs as channels of a pixel, and order them.

    With stride s, output ``s u + p - pad`` is the sum of ``w[k] x[u - j]`` over taps with
    ``dilation k = s j + p``: phase p of pixel u is a convolution, whose taps are j. Phases are channels.
    Shi et al., Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional
    Neural Network, 2016, has it the other way round.
    """
    call, source, target = call_of(planner.graph, node), node.inputs[0], node.outputs[0]
    weights = np.asarray(planner.graph.constant(node.inputs[1]), np.float32)
    axes = weights.ndim - 2
    lengths, made = planner.sample_shape(source)[-axes - 1 :], planner.sample_shape(target)[-axes - 1 :]
    pads, strides, dilations = (
        _lengths(call, name, axes, default)
        for name, default in (("pads", 0), ("strides", 1), ("dilations", 1))
    )
    if axes == 1:  # a line is a map of one row
        weights = weights[:, :, None]
        lengths, made = (lengths[0], 1, lengths[1]), (made[0], 1, made[1])
        pads, strides, dilations = (0, *pads), (1, *strides), (1, *dilations)
    group = call.integer("group")
    phases = [_phases(*axis) for axis in zip(weights.shape[2:], strides, dilations, strict=True)]
    rows = _phase_weights(weights, phases, group)
    bias = np.zeros(made[0], np.float32)
    if len(node.inputs) > 2 and node.inputs[2]:
        bias = np.asarray(planner.graph.constant(node.inputs[2]), np.float32)
    count = prod(strides)
    spread = np.repeat(bias.reshape(group, 1, -1), count, axis=1).reshape(-1)
    windows = tuple(
        _axis(*each)
        for each in zip(
            lengths[1:], (phase.shape[1] for phase in phases), made[1:], strides, pads, strict=True
        )
    )
    step = FloatConvolution(windows[0], windows[1], group, rows, spread)
    number = planner.inner(step, (planner.map(source, (lengths[0], lengths[1], lengths[2])),))
    places = _pixel_places(windows, made, strides, pads, group)
    on_map = axes == 2
    ordered = places if on_map else places.transpose(2, 0, 1)
    size = made if on_map else (ordered.size, 0, 0)
    gather = Gather(np.ascontiguousarray(ordered.reshape(-1), np.uint32), *size)
    planner.put(node, gather, (number,), on_map=on_map)


def _lengths(call: Call, name: str, axes: int, default: int) -> tuple[int, ...]:
    """Return an attribute of one number for each axis."""
    return call.integers(name)[:axes] or (default,) * axes


def _phases(kernel: int, stride: int, dilation: int) -> npt.NDArray[np.intp]:
    """Return which tap ``[phase, j]`` is, or -1: ``dilation tap = stride j + phase``."""
    reach = dilation * (kernel - 1)
    taps = np.full((stride, reach // stride + 1), -1, np.intp)
    for tap in range(kernel):
        taps[dilation * tap % stride, dilation * tap // stride] = tap
    return taps


def _phase_weights(weights: Floats, phases: list[npt.NDArray[np.intp]], group: int) -> Floats:
    """Return ``[group * phases * outputs, taps * inputs of a group]`` of ``[inputs, outputs, kh, kw]``."""
    inputs, outputs, height, width = weights.shape
    padded = np.zeros((group, inputs // group, outputs, height + 1, width + 1), np.float32)
    padded[..., :-1, :-1] = weights.reshape(group, inputs // group, outputs, height, width)
    rows, columns = phases
    # A convolution slides the other way: the last j first. Tap -1 is the zero behind the last one.
    chosen = padded[:, :, :, rows[:, None, ::-1, None], columns[None, :, None, ::-1]]
    ordered = chosen.transpose(0, 3, 4, 2, 5, 6, 1)  # group, phases, outputs, taps, inputs
    return np.ascontiguousarray(ordered.reshape(group * rows.shape[0] * columns.shape[0] * outputs, -1))


def _axis(length: int, taps: int, made: int, stride: int, pad: int) -> Axis:
    """Return the window of one axis: as many pixels as outputs need, the first one before the first input."""
    pixels = (made - 1 + pad) // stride + 1
    return Axis(length, taps, 1, taps - 1, max(pixels - length, 0), 1)


def _pixel_places(
    windows: tuple[Axis, ...],
    made: tuple[int, ...],
    strides: tuple[int, ...],
    pads: tuple[int, ...],
    group: int,
) -> npt.NDArray[np.intp]:
    """Return where outputs ``[height, width, channel]`` lie in the convolution's map of phases."""
    channels, height, width = made
    row, column = (np.arange(length) + pad for length, pad in zip((height, width), pads, strict=True))
    each, count = channels // group, strides[0] * strides[1]
    channel = np.arange(channels)
    first = channel // each * (count * each) + channel % each
    pixel = (row // strides[0])[:, None] * windows[1].outputs + (column // strides[1])[None, :]
    phase = (row % strides[0])[:, None] * strides[1] + (column % strides[1])[None, :]
    places: npt.NDArray[np.intp] = pixel[..., None] * (count * channels) + phase[..., None] * each + first
    return places
