"""From a deployed graph to the integers of an array engine.

The graph is a chain: encoder of pixels; convolutions, fully connected layers and max-pools on codes; a last
layer whose output is real. Reshapes to ``[n, features]`` and nodes that do nothing are passed over.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from math import prod
from typing import cast

import numpy as np
import numpy.typing as npt

from lowbit.blockers import Blocker, blocker_of, grouped
from lowbit.data import Normalize
from lowbit.errors import UnsupportedError
from lowbit.ir import Graph, Node, Trait, Value, has
from lowbit.ir.deployed import (
    DeployedLayer,
    deployed_layer,
    integer_thresholds,
    row_length,
    thresholds_of_rounding,
)
from lowbit.ir.deployed_convolution import deployed_convolution
from lowbit.ir.window import Axis, Window
from lowbit.planes import unpack
from lowbit.rtl.array.blockers import SCORES, operators, refuse
from lowbit.rtl.array.network import ArrayNetwork, Basis, Integers, Layer, Pool
from lowbit.rtl.array.schedule import WINDOW_REMEDY, WINDOWS, is_read
from lowbit.rtl.chain import chain
from lowbit.rtl.pictures import pixel_values
from lowbit.schemes import Encoding, rank_encode

_POINT: Window = (Axis(1, 1), Axis(1, 1))
_REMEDY = (
    "It runs chains of low-bit layers and max-pools behind 8-bit pixels: `lowbit zoo cnv --weights binary`."
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
    refuse(graph, _blockers(graph))
    encoder, *nodes = chain(graph, _unsupported)
    shape, stages = picture_shape(graph), list[Layer | Pool]()
    for node in nodes:
        stage = _STAGES[node.op](graph, node, shape)
        shape = (stage.outputs, stage.window[0].outputs, stage.window[1].outputs)
        stages.append(stage)
    scale, bias = _score_constants(graph, nodes[-1])
    pixels = _pixel_ranks(graph, encoder, pixel_values(normalize, byte))
    return ArrayNetwork(graph.name, picture_shape(graph), pixels, tuple(stages), scale, bias)


def blockers(graph: Graph) -> list[Blocker]:
    """Return what keeps a graph from the engine; nothing is computed of its weights.

    Where there are operators that it does not have, of the others only that is said which they are by
    themselves: what else is wrong with them may follow.
    """
    return grouped(_blockers(graph))


def _blockers(graph: Graph) -> list[Blocker]:
    found = list(operators(graph, _STAGES, _REMEDY))
    said = {name for blocker in found for name in blocker.nodes}
    others = [node for node in graph.nodes if node.op in _STAGES and node.name not in said]
    alone = (error for node in others for error in _refused_alone(graph, node))
    return [*found, *(_blocker(graph, error) for error in (alone if found else _refused(graph)))]


def _refused(graph: Graph) -> Iterator[UnsupportedError]:
    """Yield what is wrong with a network of operators that there are."""
    try:
        shape, everything = picture_shape(graph), list(chain(graph, _unsupported))
    except UnsupportedError as error:
        yield error
        return
    if not everything or everything[0].op != "Encode":
        first = everything[0] if everything else None
        yield _unsupported(graph, first, "an encoder of pixels first", first.op if first else "nothing")
        return
    encoder, *nodes = everything
    yield from _refused_encoding(graph, encoder, encoder.outputs[0])
    for node, following in zip(nodes, [*nodes[1:], None], strict=True):
        yield from _refused_stage(graph, node, following, shape)
        shape = _as_map(graph.value(node.outputs[0]))
    if not nodes or shape[1:] != (1, 1):
        yield _unsupported(graph, nodes[-1] if nodes else encoder, "one score per class", f"maps {shape}")


def _refused_stage(
    graph: Graph, node: Node, following: Node | None, shape: Shape
) -> Iterator[UnsupportedError]:
    """Yield what is wrong with a layer or pool that reads maps of a shape."""
    reads = graph.value(node.inputs[0]).shape[1:]
    wanted = shape if has(node, Trait.WINDOW) else (prod(shape),)
    if reads != wanted:
        yield _unsupported(graph, node, f"an input [n, {', '.join(map(str, wanted))}]", str(reads))
    yield from _refused_alone(graph, node)
    real = graph.value(node.outputs[0]).encoding is None
    if real != (following is None):
        expected = "codes between layers, and a last layer with a real output"
        yield _unsupported(graph, node, expected, "a real output" if real else "codes at the end")
    activation = node.attributes.get("activation", "none")
    if following is None and activation != "none":
        yield _unsupported(graph, node, "scores without an activation", str(activation), SCORES)


def _refused_alone(graph: Graph, node: Node) -> Iterator[UnsupportedError]:
    """Yield what is wrong with a layer or pool wherever it stands."""
    group, source = node.attributes.get("group", 1), graph.value(node.inputs[0])
    if group != 1:
        yield _unsupported(graph, node, "a convolution in one group", f"{group} groups")
    yield from _refused_encoding(graph, node, source.name)
    if has(node, Trait.WINDOW) and not is_read(window := _window(graph, node, _as_map(source))):
        yield _unsupported(graph, node, WINDOWS, " and ".join(map(str, window)), WINDOW_REMEDY)


def _refused_encoding(graph: Graph, node: Node, name: str) -> Iterator[UnsupportedError]:
    encoding = graph.value(name).encoding
    if encoding is None or encoding.bits > 8 or encoding.channels != 1 or not encoding.snapped:
        expected = "codes of 1 to 8 bits with integer levels"
        yield _unsupported(graph, node, expected, str(encoding or "floats"))


def _is_map(lengths: tuple[int | str, ...]) -> bool:
    return len(lengths) == 3


def _as_map(value: Value) -> Shape:
    """Return the shape of a value's sample; features are channels of a single pixel."""
    lengths = cast(tuple[int, ...], value.shape[1:])
    return cast(Shape, lengths if _is_map(lengths) else (prod(lengths), 1, 1))


def _blocker(graph: Graph, error: UnsupportedError) -> Blocker:
    operator = next((node.op for node in graph.nodes if node.name == error.where), "")
    found = blocker_of(error, error.where, operator)
    return replace(found, what=f"the array engine needs {error.expected}")


def picture_shape(graph: Graph) -> Shape:
    """Return the shape ``(c, h, w)`` of a sample; features are channels of a single pixel."""
    lengths = graph.value(graph.inputs[0]).shape[1:]
    if len(lengths) not in (1, 3) or not all(isinstance(length, int) for length in lengths):
        raise _unsupported(graph, None, "one input [n, c, h, w] or [n, features]", str(lengths))
    return cast(Shape, tuple(lengths) if len(lengths) == 3 else (lengths[0], 1, 1))


def _convolution(graph: Graph, node: Node, shape: Shape) -> Layer:
    window, encoding = _window(graph, node, shape), _encoding(graph, node.inputs[0])
    weights, bias = graph.value(node.inputs[1]), graph.constant(node.inputs[2])
    constants = deployed_convolution(encoding, weights, bias, window)
    steps = _thresholds(graph, node, constants.layer, constants.bias)
    integers, basis = constants.weights.astype(np.int64), _basis(encoding, weights)
    return Layer(node.name, _levels(encoding), integers, window, steps, basis)


def _fully_connected(graph: Graph, node: Node, shape: Shape) -> Layer:
    encoding = _encoding(graph, node.inputs[0])
    weights = graph.value(node.inputs[1])
    constants = deployed_layer(encoding, weights, graph.constant(node.inputs[2]))
    steps = _thresholds(graph, node, constants, constants.bias[None, None])

    def streamed(integers: Integers) -> Integers:
        """The graph flattens [c, h, w], the stream is [h, w, c]."""
        return integers.reshape(-1, *shape).transpose(0, 2, 3, 1).reshape(len(integers), 1, 1, -1)

    basis = _basis(encoding, weights)
    basis = None if basis is None else replace(basis, codes=streamed(basis.codes))
    integers = streamed(constants.weights.astype(np.int64))
    return Layer(node.name, _levels(encoding), integers, _POINT, steps, basis)


def _pool(graph: Graph, node: Node, shape: Shape) -> Pool:
    bits = _encoding(graph, node.inputs[0]).bits
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


def _thresholds(
    graph: Graph, node: Node, layer: DeployedLayer, bias: npt.NDArray[np.float64]
) -> Integers | None:
    """Return the integer thresholds of a layer, given or of its rounding; None where floats come out."""
    target = graph.value(node.outputs[0]).encoding
    if target is None:
        return None
    if any(node.inputs[3:]):
        given = graph.constant(node.inputs[3])
        return integer_thresholds(given, layer.scale, bias, wide=layer.is_wide).astype(np.int64)
    activation = str(node.attributes.get("activation", "none"))
    return thresholds_of_rounding(layer, bias, target, activation)


def _encoding(graph: Graph, name: str) -> Encoding:
    encoding = graph.value(name).encoding
    assert encoding is not None  # see `_refused`
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
    encoding, weights, bias = _encoding(graph, node.inputs[0]), node.inputs[1], node.inputs[2]
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
    encoding = _encoding(graph, encoder.outputs[0])
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
