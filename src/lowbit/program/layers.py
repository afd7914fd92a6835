"""Constants of low-bit layers for the engine: the popcount path and the int8 path.

Both compute the accumulator of `lowbit.ir.deployed`. The int8 path sums bytes ``u = X - X_min`` with
weights in int8, so what is left goes into a constant per output:

    sum_n X_n (W_on + P_o) = sum_n u_n W_on + P_o sum_n u_n + X_min (sum_n W_on + n P_o)

with ``P_o`` kept apart (``row_factor``) only where ``W_on + P_o`` does not fit int8.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.errors import EngineError
from lowbit.ir import Graph, Node
from lowbit.ir.deployed import DeployedLayer, deployed_affine, deployed_layer, require_int32
from lowbit.ir.deployed_convolution import deployed_convolution
from lowbit.ir.weight_only import weight_levels
from lowbit.ir.window import Window
from lowbit.program.representation import byte_of_code, level_step, lowest_level
from lowbit.program.steps import Epilogue
from lowbit.program.windows import by_region, tap_sums_by_region, window_constants
from lowbit.schemes import Affine, Encoding, LearnedBasis

Constants = dict[str, object]
Integers = npt.NDArray[np.int64]


def lq_layer(graph: Graph, node: Node, planes: frozenset[str]) -> tuple[str, Constants, str]:
    """Return operation, constants and the reason, for an ``LQFullyConnected``.

    Args:
        graph, node: the layer.
        planes: names of the values that lie in planes.
    """
    source, weights = graph.value(node.inputs[0]), graph.value(node.inputs[1])
    assert source.encoding is not None
    layer = deployed_layer(source.encoding, weights, graph.constant(node.inputs[2]))
    _require_narrow(layer)
    if source.name in planes:
        epilogue = _epilogue(graph, node, planes, layer.scale, layer.bias, layer.integer_thresholds)
        return "plane_fully_connected", _plane_constants(source.encoding, layer, epilogue), "few planes"
    integers, unit = _in_units(layer.weights.astype(np.int64), source.encoding)
    epilogue = _epilogue(
        graph, node, planes, unit * layer.scale, layer.bias, lambda u: layer.integer_thresholds(u) // unit
    )
    constants = _byte_constants(source.encoding, integers, epilogue)
    return "byte_fully_connected", constants, "many planes, or an input shared with such a layer"


def lq_convolution(
    graph: Graph, node: Node, window: Window, planes: frozenset[str]
) -> tuple[str, Constants, str]:
    """Return operation, constants and the reason, for an ``LQConv``."""
    source, weights = graph.value(node.inputs[0]), graph.value(node.inputs[1])
    assert source.encoding is not None
    constants = deployed_convolution(source.encoding, weights, graph.constant(node.inputs[2]), window)
    _require_narrow(constants.layer)

    integers, unit = np.zeros(0, np.int64), 1  # planes stay packed
    if source.name not in planes:
        integers, unit = _in_units(constants.weights.astype(np.int64), source.encoding)

    def thresholds(given: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return by_region(constants.integer_thresholds(given) // unit, window)

    bias = by_region(constants.bias, window)
    epilogue = _epilogue(graph, node, planes, unit * constants.layer.scale, bias, thresholds)
    place = {**window_constants(window), "group": int(node.attributes.get("group", 1))}  # type: ignore[arg-type]
    if source.name in planes:
        packed = _plane_constants(source.encoding, constants.layer, epilogue)
        return "plane_convolution", {**place, **packed}, "few planes"
    rows = _byte_constants(source.encoding, integers.reshape(len(integers), -1), epilogue)
    sums = tap_sums_by_region(integers.sum(axis=3), window)
    rows["constant"] = _int32(lowest_level(source.encoding) * sums)
    return "byte_convolution", {**place, **rows}, "many planes, or an input shared with such a layer"


def _require_narrow(layer: DeployedLayer) -> None:
    """Refuse sums that leave int32."""
    if layer.is_wide:
        require_int32(layer.accumulator_bound(), layer.packed.name)


def is_weight_only(graph: Graph, node: Node) -> bool:
    """Return whether a layer with planes reads floats."""
    return graph.value(node.inputs[0]).encoding is None


def weight_only_layer(graph: Graph, node: Node) -> Constants:
    """Return the constants of an ``LQFullyConnected`` on floats; see `lowbit.ir.weight_only`."""
    weights = graph.value(node.inputs[1])
    assert isinstance(weights.encoding, LearnedBasis) and weights.data is not None
    encoding = weights.encoding
    return {
        "planes": np.ascontiguousarray(weights.data),
        "factors": encoding.basis,
        "offsets": encoding.offset if encoding.offset.any() else encoding.offset[:0],
        "bias": np.ascontiguousarray(graph.constant(node.inputs[2]), np.float32),
    }


def weight_only_convolution(graph: Graph, node: Node, window: Window) -> Constants:
    """Return the constants of an ``LQConv`` on floats, as a convolution of floats."""
    rows = weight_levels(graph.value(node.inputs[1])).astype(np.float32)
    place = {**window_constants(window), "group": int(node.attributes.get("group", 1))}  # type: ignore[arg-type]
    return {
        **place,
        "weights": rows,
        "bias": np.ascontiguousarray(graph.constant(node.inputs[2]), np.float32),
    }


def affine_layer(graph: Graph, node: Node) -> Constants:
    """Return the constants of an ``AffineFullyConnected``: acc includes the bias."""
    x, codes, scale = _affine_weights(graph, node)
    constants = _byte_constants(x, codes, _affine_epilogue(graph, node, scale))
    constants["constant"] = _int32(constants["constant"] + graph.constant(node.inputs[2]).astype(np.int64))  # type: ignore[operator]
    return constants


def affine_convolution(graph: Graph, node: Node, window: Window) -> Constants:
    """Return the constants of an ``AffineConv``: acc includes the bias, once for every region."""
    x, codes, scale = _affine_weights(graph, node)
    rows = _byte_constants(x, codes.reshape(len(codes), -1), _affine_epilogue(graph, node, scale))
    sums = lowest_level(x) * tap_sums_by_region(codes.sum(axis=3), window)
    bias = graph.constant(node.inputs[2]).astype(np.int64)
    rows["constant"] = _int32((sums.reshape(-1, len(bias)) + bias).reshape(-1))
    return {**window_constants(window), "group": int(node.attributes.get("group", 1)), **rows}  # type: ignore[arg-type]


def _affine_weights(graph: Graph, node: Node) -> tuple[Encoding, Integers, npt.NDArray[np.float64]]:
    """Return the input's encoding, centred weights and the scale of every channel."""
    x, weights = (graph.value(name) for name in node.inputs[:2])
    assert x.encoding is not None  # verified
    layer = deployed_affine(x.encoding, weights, graph.constant(node.inputs[2]))
    return x.encoding, layer.weights.astype(np.int64), layer.scale


def _affine_epilogue(graph: Graph, node: Node, scale: npt.NDArray[np.float64]) -> Epilogue:
    y = graph.value(node.outputs[0]).encoding
    if isinstance(y, Affine):
        zero, top = float(y.zero_point[0]), float((1 << y.bits) - 1)
        out = {"out_scale": float(y.scale[0]), "out_zero": zero, "out_top": top}
        return Epilogue("affine", {"scale": scale, **out})
    return Epilogue("real", {"scale": scale, "bias": np.zeros(len(scale))})


def columns_by_pixels(constants: Constants, lengths: tuple[int, int, int]) -> Constants:
    """Return a fully connected layer's constants with inputs in the order (height, width, channel).

    Args:
        constants: for inputs in the order (channel, height, width).
        lengths: channels, height, width.
    """
    channels, height, width = lengths
    if height * width == 1 or channels == 1:
        return constants
    order = np.arange(channels * height * width).reshape(lengths).transpose(1, 2, 0).reshape(-1)
    name = "planes" if "planes" in constants else "weights"
    array = np.asarray(constants[name])
    moved = _permuted_bits(array, order) if name == "planes" else np.ascontiguousarray(array[:, order])
    return {**constants, name: moved}


def _permuted_bits(planes: npt.NDArray[Any], order: npt.NDArray[np.intp]) -> npt.NDArray[np.uint32]:
    words = np.ascontiguousarray(planes, "<u4").view(np.uint8)
    bits = np.unpackbits(words, axis=-1, count=len(order), bitorder="little")[..., order]
    padded = np.zeros((*bits.shape[:-1], planes.shape[-1] * 32), np.uint8)
    padded[..., : len(order)] = bits
    return np.packbits(padded, axis=-1, bitorder="little").view("<u4").astype(np.uint32, copy=False)


def _epilogue(
    graph: Graph,
    node: Node,
    planes: frozenset[str],
    scale: npt.NDArray[Any],
    bias: npt.NDArray[Any],
    integer_thresholds: Callable[[npt.NDArray[Any]], npt.NDArray[Any]],
) -> Epilogue:
    name = node.outputs[0]
    encoding = graph.value(name).encoding
    if encoding is None:
        return Epilogue("real", {"scale": scale, "bias": bias})
    thresholds = integer_thresholds(graph.constant(node.inputs[3]))
    codes = encoding.code_of_rank()[0]
    if name in planes:
        return Epilogue("planes", {"thresholds": thresholds, "table": codes})
    return Epilogue("bytes", {"thresholds": thresholds, "table": byte_of_code(encoding, name)[codes]})


def _plane_constants(source: Any, layer: DeployedLayer, epilogue: Epilogue) -> Constants:
    weights = layer.packed.encoding
    assert isinstance(weights, LearnedBasis) and isinstance(source, LearnedBasis)
    offsets = weights.integer_weight_offset()
    return {
        "planes": np.ascontiguousarray(layer.packed.data),
        "factors": weights.multipliers,
        "offsets": offsets if offsets.any() else offsets[:0],
        "input_factors": source.multipliers[0],
        "epilogue": epilogue,
    }


def _byte_constants(source: Encoding, weights: Integers, epilogue: Epilogue) -> Constants:
    """Return constants for centred integer weights ``[o, n]`` that may lie outside int8."""
    stepped = weights * level_step(source)
    row_factor = _row_factor(stepped)
    small = stepped - row_factor[:, None]
    if small.size and max(int(small.max()) - 127, -128 - int(small.min())) > 0:
        raise EngineError(
            "weights do not fit bytes",
            expected="a span of at most 255 for integer weights times the step of the input's levels",
            found=str(int(np.ptp(small))),
            remedy="Use fewer bits, or evaluate it with the reference.",
        )
    return {
        "weights": small.astype(np.int8),
        "constant": _int32(lowest_level(source) * weights.sum(axis=1)),
        "row_factor": _int32(row_factor if row_factor.any() else row_factor[:0]),
        "epilogue": epilogue,
    }


def _in_units(weights: Integers, source: Encoding) -> tuple[Integers, int]:
    """Return weights in units of a power of two that divides them all, and that unit, where bytes need it.

    Sums shrink by the same power, so a scale times the unit and ``floor(T / unit)`` say exactly the same.
    """
    stepped = weights * level_step(source)
    if int(stepped.min(initial=0)) >= -128 and int(stepped.max(initial=0)) <= 127:
        return weights, 1
    common = int(np.gcd.reduce(weights.reshape(-1), initial=0))
    unit = max(common & -common, 1)
    return weights // unit, unit


def _row_factor(weights: Integers) -> Integers:
    """Return the least shift of each row that brings it into int8."""
    over = np.maximum(weights.max(axis=1) - 127, 0)
    under = np.minimum(weights.min(axis=1) + 128, 0)
    return np.asarray(over + under)


def _int32(values: Any) -> npt.NDArray[np.int32]:
    return np.asarray(values, np.int64).astype(np.int32)
