"""From a deployed graph to the integers of an array engine.

The graph is a chain: encoder of pixels; convolutions, fully connected layers and max-pools on codes; a last
layer whose output is real. Reshapes to ``[n, features]`` and nodes that do nothing are passed over.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod
from typing import cast

import numpy as np
import numpy.typing as npt

from lowbit.data import Dataset, Normalize
from lowbit.errors import UnsupportedError
from lowbit.ir import Graph, Node, Trait, Value, evaluate, has
from lowbit.ir.deployed import deployed_layer, row_length
from lowbit.ir.deployed_convolution import deployed_convolution
from lowbit.ir.window import Axis, Window
from lowbit.planes import unpack
from lowbit.rtl.array.blockers import SCORES, check
from lowbit.rtl.array.network import ArrayNetwork, Basis, Integers, Layer, Pool
from lowbit.rtl.chain import chain
from lowbit.rtl.pictures import pixel_values, to_bytes
from lowbit.schemes import Encoding, rank_encode

_POINT: Window = (Axis(1, 1), Axis(1, 1))
_REMEDY = (
    "It runs chains of low-bit layers and max-pools behind 8-bit pixels, as `lowbit zoo cnv --scheme binary`."
)

Shape = tuple[int, int, int]


def from_graph(graph: Graph, normalize: Normalize, byte: float | None = None) -> ArrayNetwork:
    """Return the integers of a deployed graph with one input, ``[n, c, h, w]`` or ``[n, features]``.

    Args:
        graph: the network.
        normalize: mean and deviation of pixels in [0, 1], as in training, or None.
        byte: what bytes are multiplied by; see `lowbit.rtl.pictures.pixel_values`.

    Raises:
        UnsupportedError: an operator, or a shape, that the engine does not run; names the node.
    """
    check(graph, _STAGES, _REMEDY)
    everything = list(chain(graph, _unsupported))
    if not everything:
        raise _unsupported(graph, None, "layers", "none")
    encoder, *nodes = everything
    if encoder.op != "Encode":
        raise _unsupported(graph, encoder, "an encoder of pixels first", encoder.op)
    shape = picture_shape(graph)
    stages: list[Layer | Pool] = []
    for node, following in zip(nodes, [*nodes[1:], None], strict=True):
        if node.op not in _STAGES:
            raise _unsupported(graph, node, ", ".join(_STAGES), node.op)
        _check_shape(graph, node, shape)
        stage = _STAGES[node.op](graph, node, shape)
        real = isinstance(stage, Layer) and stage.thresholds is None
        if real != (following is None):
            found = "a real output" if real else "codes at the end"
            raise _unsupported(
                graph, node, "codes between layers, and a last layer with a real output", found
            )
        shape = (stage.outputs, stage.window[0].outputs, stage.window[1].outputs)
        stages.append(stage)
    if not stages or shape[1:] != (1, 1):
        raise _unsupported(graph, nodes[-1] if nodes else encoder, "one score per class", f"maps {shape}")
    scale, bias = _score_constants(graph, nodes[-1])
    pixels = _pixel_ranks(graph, encoder, pixel_values(normalize, byte))
    return ArrayNetwork(graph.name, picture_shape(graph), pixels, tuple(stages), scale, bias)


def _check_shape(graph: Graph, node: Node, shape: Shape) -> None:
    """Refuse a layer that reads something else than what the one before gives."""
    reads = graph.value(node.inputs[0]).shape[1:]
    if reads != shape and not (node.op == "Linear" and reads == (prod(shape),)):
        raise _unsupported(graph, node, f"an input [n, {', '.join(map(str, shape))}]", str(reads))


def picture_shape(graph: Graph) -> Shape:
    """Return the shape ``(c, h, w)`` of a sample; features are channels of a single pixel."""
    lengths = graph.value(graph.inputs[0]).shape[1:]
    if len(lengths) not in (1, 3) or not all(isinstance(length, int) for length in lengths):
        raise _unsupported(graph, None, "one input [n, c, h, w] or [n, features]", str(lengths))
    return cast(Shape, tuple(lengths) if len(lengths) == 3 else (lengths[0], 1, 1))


def _convolution(graph: Graph, node: Node, shape: Shape) -> Layer:
    group, window = node.attributes.get("group", 1), _window(graph, node, shape)
    if group != 1:
        raise _unsupported(graph, node, "a convolution in one group", f"{group} groups")
    encoding = _encoding(graph, node, node.inputs[0])
    weights, bias = graph.value(node.inputs[1]), graph.constant(node.inputs[2])
    constants = deployed_convolution(encoding, weights, bias, window)
    thresholds = _thresholds(graph, node)
    steps = None if thresholds is None else constants.integer_thresholds(thresholds).astype(np.int64)
    integers, basis = constants.weights.astype(np.int64), _basis(encoding, weights)
    return Layer(node.name, _levels(encoding), integers, window, steps, basis)


def _fully_connected(graph: Graph, node: Node, shape: Shape) -> Layer:
    encoding = _encoding(graph, node, node.inputs[0])
    weights = graph.value(node.inputs[1])
    constants = deployed_layer(encoding, weights, graph.constant(node.inputs[2]))
    thresholds, steps = _thresholds(graph, node), None
    if thresholds is not None:
        steps = constants.integer_thresholds(thresholds).astype(np.int64)[None, None]

    def streamed(integers: Integers) -> Integers:
        """The graph flattens [c, h, w], the stream is [h, w, c]."""
        return integers.reshape(-1, *shape).transpose(0, 2, 3, 1).reshape(len(integers), 1, 1, -1)

    basis = _basis(encoding, weights)
    basis = None if basis is None else replace(basis, codes=streamed(basis.codes))
    integers = streamed(constants.weights.astype(np.int64))
    return Layer(node.name, _levels(encoding), integers, _POINT, steps, basis)


def _pool(graph: Graph, node: Node, shape: Shape) -> Pool:
    bits = _encoding(graph, node, node.inputs[0]).bits
    return Pool(node.name, shape[0], bits, _window(graph, node, shape))


_STAGES: Mapping[str, Callable[[Graph, Node, Shape], Layer | Pool]] = {
    "Convolution": _convolution,
    "Linear": _fully_connected,
    "MaxPool": _pool,
}


def _window(graph: Graph, node: Node, shape: Shape) -> Window:
    def numbers(name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        return cast(tuple[int, ...], node.attributes.get(name) or default)

    weighted = len(node.inputs) > 1  # then the kernel is that of the weights, whether it is said or not
    kernel = cast(tuple[int, ...], graph.value(node.inputs[1]).shape[1:3]) if weighted else ()
    kernel, pads = kernel or numbers("kernel_shape", ()), numbers("pads", (0,) * 4)
    strides, dilations = numbers("strides", (1, 1)), numbers("dilations", (1, 1))
    axes = zip(shape[1:], kernel, strides, pads[:2], pads[2:], dilations, strict=True)
    rows, columns = (Axis(*axis) for axis in axes)
    return rows, columns


def _thresholds(graph: Graph, node: Node) -> npt.NDArray[np.generic] | None:
    return graph.constant(node.inputs[3]) if len(node.inputs) > 3 and node.inputs[3] else None


def _encoding(graph: Graph, node: Node, name: str) -> Encoding:
    encoding = graph.value(name).encoding
    if encoding is None or encoding.bits > 8 or encoding.channels != 1 or not encoding.snapped:
        raise _unsupported(graph, node, "codes of 1 to 8 bits with integer levels", str(encoding or "floats"))
    return encoding


def _levels(encoding: Encoding) -> Integers:
    """Return the integer levels by rank."""
    return np.asarray(encoding.integer_levels()[0][encoding.code_of_rank()[0]], np.int64)


def _basis(encoding: Encoding, weights: Value) -> Basis | None:
    """Return both bases; a weight offset is one more bit, that of its sign."""
    if weights.encoding is None or {encoding.storage, weights.encoding.storage} != {"planes"}:
        return None
    source, own = encoding.as_basis(), weights.encoding.as_basis()
    assert source is not None and own is not None and weights.data is not None
    codes = unpack(weights.data, row_length(weights)).astype(np.int64)
    coefficients, offsets = own.multipliers.astype(np.int64), own.integer_weight_offset().astype(np.int64)
    if offsets.any():
        codes |= ((offsets > 0).astype(np.int64) << own.bits)[:, None]
        coefficients = np.column_stack([coefficients, np.abs(offsets)])
    ranks = encoding.code_of_rank()[0].astype(np.int64)
    shape = [int(extent) for extent in weights.shape]
    return Basis(ranks, tuple(source.multipliers[0].tolist()), codes.reshape(shape), coefficients)


def _score_constants(graph: Graph, node: Node) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    activation = node.attributes.get("activation", "none")
    if activation != "none":
        raise _unsupported(graph, node, "scores without an activation", str(activation), SCORES)
    encoding, weights, bias = _encoding(graph, node, node.inputs[0]), node.inputs[1], node.inputs[2]
    if has(node, Trait.WINDOW):
        window: Window = _window(graph, node, _map_of(graph, node))
        constants = deployed_convolution(encoding, graph.value(weights), graph.constant(bias), window)
        return constants.layer.scale, constants.bias[0, 0]
    layer = deployed_layer(encoding, graph.value(weights), graph.constant(bias))
    return layer.scale, layer.bias


def _map_of(graph: Graph, node: Node) -> Shape:
    return cast(Shape, graph.value(node.inputs[0]).shape[1:])


def _pixel_ranks(graph: Graph, encoder: Node, values: npt.NDArray[np.float32]) -> Integers:
    """Return the rank of every byte."""
    encoding = _encoding(graph, encoder, encoder.outputs[0])
    own = graph.constant(encoder.inputs[1])[None] if len(encoder.inputs) > 1 and encoder.inputs[1] else None
    thresholds = encoding.thresholds() if own is None else np.asarray(own, np.float32)
    ranks = np.arange(1 << encoding.bits, dtype=np.uint8)[None]
    return np.asarray(rank_encode(values, thresholds, ranks), np.int64)


def _unsupported(
    graph: Graph, node: Node | None, expected: str, found: str, remedy: str = _REMEDY
) -> UnsupportedError:
    return UnsupportedError(
        "the array engine does not run this network",
        where=(node.name or node.op) if node else graph.name,
        expected=expected,
        found=found,
        remedy=remedy,
    )
