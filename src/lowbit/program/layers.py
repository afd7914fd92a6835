"""Constants of low-bit layers for the engine: the popcount path and the int8 path.

Both compute the accumulator of `lowbit.ir.deployed`. The int8 path sums bytes ``u = X - X_min`` with
weights in int8, so what is left goes into a constant per output:

    sum_n X_n (W_on + P_o) = sum_n u_n W_on + P_o sum_n u_n + X_min (sum_n W_on + n P_o)

with ``P_o`` kept apart (``row_factor``) only where ``W_on + P_o`` does not fit int8.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.errors import EngineError
from lowbit.ir import Graph, Node
from lowbit.ir.deployed import DeployedLayer, basis_of, deployed_layer, require_int32
from lowbit.ir.deployed_convolution import deployed_convolution
from lowbit.ir.layers import rounds
from lowbit.ir.weight_only import weight_levels
from lowbit.ir.window import Window
from lowbit.program.representation import byte_of_code, level_step, lowest_level
from lowbit.program.steps import (
    AffineEnding,
    ByteConvolution,
    ByteEnding,
    ByteFullyConnected,
    ByteWeights,
    Ending,
    FloatConvolution,
    FloatFullyConnected,
    PlaneConvolution,
    PlaneEnding,
    PlaneFullyConnected,
    PlaneWeights,
    RealEnding,
    WeightOnlyFullyConnected,
)
from lowbit.program.windows import by_region, tap_sums_by_region
from lowbit.schemes import Affine, Encoding, LearnedBasis

Integers = npt.NDArray[np.int64]
Rows = PlaneFullyConnected | ByteFullyConnected | FloatFullyConnected | WeightOnlyFullyConnected

_FEW = "few planes"
_MANY = "many planes, or an input shared with such a layer"


def lq_layer(graph: Graph, node: Node, planes: frozenset[str]) -> tuple[Rows, str]:
    """Return the step and the reason, for a ``Linear`` on codes.

    Args:
        graph, node: the layer.
        planes: names of the values that lie in planes.
    """
    source, weights = graph.value(node.inputs[0]), graph.value(node.inputs[1])
    assert source.encoding is not None
    layer = deployed_layer(source.encoding, weights, graph.value(node.inputs[2]))
    _require_narrow(layer)
    if source.name in planes:
        ending = _ending(graph, node, planes, layer.scale, layer.bias, layer.integer_thresholds)
        return PlaneFullyConnected(_plane_weights(source.encoding, layer), ending), _FEW
    integers, unit = _in_units(layer, source.encoding)
    ending = _ending(
        graph, node, planes, unit * layer.scale, layer.bias, lambda u: layer.integer_thresholds(u) // unit
    )
    rows = _byte_weights(source.encoding, integers)
    rows = replace(rows, constant=_int32(rows.constant + layer.addend))
    return ByteFullyConnected(rows, ending), _why(graph, node)


def lq_convolution(
    graph: Graph, node: Node, window: Window, planes: frozenset[str]
) -> tuple[PlaneConvolution | ByteConvolution, str]:
    """Return the step and the reason, for a ``Convolution`` of codes."""
    source, weights = graph.value(node.inputs[0]), graph.value(node.inputs[1])
    assert source.encoding is not None
    constants = deployed_convolution(source.encoding, weights, graph.value(node.inputs[2]), window)
    layer, unit = constants.layer, 1
    _require_narrow(layer)
    rows = np.zeros((0, 0), np.int64)  # planes stay packed
    if source.name not in planes:
        rows, unit = _in_units(layer, source.encoding)

    def thresholds(given: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return by_region(constants.integer_thresholds(given) // unit, window)

    bias = by_region(constants.bias, window)
    ending = _ending(graph, node, planes, unit * layer.scale, bias, thresholds)
    if source.name in planes:
        return PlaneConvolution(*window, group_of(node), _plane_weights(source.encoding, layer), ending), _FEW
    packed = _byte_weights(source.encoding, rows)
    sums = tap_sums_by_region(rows.reshape(constants.weights.shape).sum(axis=3), window)
    sums = lowest_level(source.encoding) * sums.reshape(-1, len(rows)) + layer.addend
    packed = replace(packed, constant=_int32(sums.reshape(-1)))
    return ByteConvolution(*window, group_of(node), packed, ending), _why(graph, node)


def _why(graph: Graph, node: Node) -> str:
    return "8-bit codes" if rounds(graph, node) else _MANY


def _require_narrow(layer: DeployedLayer) -> None:
    """Refuse sums that leave int32."""
    if layer.is_wide:
        require_int32(layer.accumulator_bound(), layer.packed.name)


def is_weight_only(graph: Graph, node: Node) -> bool:
    """Return whether a layer with planes reads floats."""
    return graph.value(node.inputs[0]).encoding is None


def weight_only_layer(graph: Graph, node: Node) -> WeightOnlyFullyConnected | FloatFullyConnected:
    """Return the step of a ``Linear`` on floats; see `lowbit.ir.weight_only`."""
    weights = graph.value(node.inputs[1])
    bias = np.asarray(graph.constant(node.inputs[2]), np.float32)
    if weights.dtype != "planes":
        return FloatFullyConnected(weight_levels(weights).astype(np.float32), bias)
    basis = basis_of(weights)
    offsets = basis.offset if basis.offset.any() else basis.offset[:0]
    return WeightOnlyFullyConnected(np.asarray(weights.data, np.uint32), basis.basis, offsets, bias)


def weight_only_convolution(graph: Graph, node: Node, window: Window) -> FloatConvolution:
    """Return the step of a ``Convolution`` of floats, its weights decoded."""
    rows = weight_levels(graph.value(node.inputs[1])).astype(np.float32)
    return FloatConvolution(
        *window, group_of(node), rows, np.asarray(graph.constant(node.inputs[2]), np.float32)
    )


def group_of(node: Node) -> int:
    """Return the groups of a convolution."""
    return int(node.attributes.get("group", 1))  # type: ignore[arg-type]


def columns_by_pixels(step: Rows, lengths: tuple[int, int, int]) -> Rows:
    """Return a fully connected step that takes its inputs in the order (height, width, channel).

    Args:
        step: for inputs in the order (channel, height, width).
        lengths: channels, height, width.
    """
    channels, height, width = lengths
    if height * width == 1 or channels == 1:
        return step
    order = np.arange(channels * height * width).reshape(lengths).transpose(1, 2, 0).reshape(-1)
    if isinstance(step, WeightOnlyFullyConnected):
        return replace(step, planes=_permuted_bits(step.planes, order))
    if isinstance(step, FloatFullyConnected):
        return replace(step, weights=step.weights[:, order])
    if isinstance(step, ByteFullyConnected):
        return replace(step, weights=replace(step.weights, weights=step.weights.weights[:, order]))
    return replace(step, weights=replace(step.weights, planes=_permuted_bits(step.weights.planes, order)))


def _permuted_bits(planes: npt.NDArray[Any], order: npt.NDArray[np.intp]) -> npt.NDArray[np.uint32]:
    words = np.ascontiguousarray(planes, "<u4").view(np.uint8)
    bits = np.unpackbits(words, axis=-1, count=len(order), bitorder="little")[..., order]
    padded = np.zeros((*bits.shape[:-1], planes.shape[-1] * 32), np.uint8)
    padded[..., : len(order)] = bits
    return np.packbits(padded, axis=-1, bitorder="little").view("<u4").astype(np.uint32, copy=False)


def _ending(
    graph: Graph,
    node: Node,
    planes: frozenset[str],
    scale: npt.NDArray[Any],
    bias: npt.NDArray[Any],
    integer_thresholds: Callable[[npt.NDArray[Any]], npt.NDArray[Any]],
) -> Ending:
    name = node.outputs[0]
    encoding = graph.value(name).encoding
    if encoding is None:
        return RealEnding(scale, bias)
    if len(node.inputs) < 4:
        return _rounding(encoding, scale, bias, name)
    thresholds = integer_thresholds(graph.constant(node.inputs[3]))
    codes = encoding.code_of_rank()[0]
    if name in planes:
        return PlaneEnding(thresholds, codes)
    return ByteEnding(thresholds, byte_of_code(encoding, name)[codes])


def _rounding(
    encoding: Encoding, scale: npt.NDArray[Any], bias: npt.NDArray[Any], where: str
) -> AffineEnding:
    if not isinstance(encoding, Affine) or bias.any():
        raise EngineError(
            "the engine does not round these sums",
            where=where,
            expected="affine codes of sums with the bias inside",
            found=encoding.scheme,
        )
    top = float((1 << encoding.bits) - 1)
    return AffineEnding(scale, float(encoding.scale[0]), float(encoding.zero_point[0]), top)


def _plane_weights(source: Any, layer: DeployedLayer) -> PlaneWeights:
    weights = layer.packed.encoding
    assert isinstance(weights, LearnedBasis) and isinstance(source, LearnedBasis)
    assert layer.packed.data is not None
    offsets = weights.integer_weight_offset()
    kept = offsets if offsets.any() else offsets[:0]
    planes = np.asarray(layer.packed.data, np.uint32)
    return PlaneWeights(planes, weights.multipliers, kept, source.multipliers[0])


def _byte_weights(source: Encoding, weights: Integers) -> ByteWeights:
    """Return integer weights ``[o, n]``, which may lie outside int8, for the bytes of an input."""
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
    factors = _int32(row_factor if row_factor.any() else row_factor[:0])
    return ByteWeights(small.astype(np.int8), _int32(lowest_level(source) * weights.sum(axis=1)), factors)


def _in_units(layer: DeployedLayer, source: Encoding) -> tuple[Integers, int]:
    """Return weights in units of a power of two that divides them all, and that unit, where bytes need it.

    Sums shrink by the same power, so a scale times the unit and ``floor(T / unit)`` say exactly the same.
    """
    weights = layer.weights.astype(np.int64)
    stepped = weights * level_step(source)
    fits = int(stepped.min(initial=0)) >= -128 and int(stepped.max(initial=0)) <= 127
    if fits or layer.addend.any():
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
