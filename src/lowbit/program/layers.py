"""Steps of low-bit layers for the engine: by counting bits, by bytes, or by 16-bit words.

All compute the accumulator of `lowbit.ir.deployed`, and the form in which the input lies says which (see
`lowbit.program.layout`). Words are whole levels, so there is nothing else to say. Bytes are
``u = X - X_min``, with weights in int8, so what is left goes into a constant per output:

    sum_n X_n (W_on + P_o) = sum_n u_n W_on + P_o sum_n u_n + X_min (sum_n W_on + n P_o)

with ``P_o`` kept apart (``row_factor``) only where ``W_on + P_o`` does not fit int8.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.ir import Graph, Node, Value
from lowbit.ir.deployed import DeployedLayer, basis_of, codes_of, deployed_layer
from lowbit.ir.deployed_convolution import deployed_convolution
from lowbit.ir.weight_only import weight_levels
from lowbit.ir.window import Window
from lowbit.planes import pack
from lowbit.program.endings import LayerSums, ending_of
from lowbit.program.layout import Layout, in_units, require_words
from lowbit.program.representation import level_step, lowest_level, rows_of
from lowbit.program.steps import (
    ByteConvolution,
    ByteFullyConnected,
    ByteWeights,
    FloatConvolution,
    FloatFullyConnected,
    GroupedFullyConnected,
    PlaneConvolution,
    PlaneFullyConnected,
    PlaneWeights,
    WeightGroups,
    WeightOnlyFullyConnected,
    WordConvolution,
    WordFullyConnected,
    WordWeights,
)
from lowbit.program.windows import by_region, tap_sums_by_region
from lowbit.schemes import Encoding

Integers = npt.NDArray[np.int64]
Rows = (
    PlaneFullyConnected
    | ByteFullyConnected
    | WordFullyConnected
    | FloatFullyConnected
    | GroupedFullyConnected
    | WeightOnlyFullyConnected
)
Maps = PlaneConvolution | ByteConvolution | WordConvolution

_FEW = "few planes"
_BYTES = "levels fit bytes"
_WORDS = "levels, weights or rows that bytes do not hold"
_LOOKED_UP = "float input"
_DECODED = "float input: weights are decoded at load"
_GROUPED = "float input: codes with groups"


def linear(graph: Graph, node: Node, layout: Layout) -> tuple[Rows, str]:
    """Return the step and the reason, for a ``Linear`` on codes."""
    source = graph.value(node.inputs[0])
    assert source.encoding is not None  # verified
    layer = deployed_layer(source.encoding, graph.value(node.inputs[1]), graph.value(node.inputs[2]))
    form = layout.form(source.name)
    if form == "words":
        ending = ending_of(graph, node, layout, _sums(layer, words=True))
        return WordFullyConnected(
            rows_of(source.shape, batched=layout.batched), _word_weights(layer), ending
        ), _WORDS
    if form == "planes":
        ending = ending_of(graph, node, layout, _sums(layer))
        return PlaneFullyConnected(_plane_weights(source.encoding, layer), ending), _FEW
    rows, unit = in_units(layer, source.encoding)
    weights = _byte_weights(source.encoding, rows)
    weights = replace(weights, constant=_int32(weights.constant + layer.addend))
    return ByteFullyConnected(weights, ending_of(graph, node, layout, _sums(layer, unit))), _BYTES


def convolution(graph: Graph, node: Node, window: Window, layout: Layout) -> tuple[Maps, str]:
    """Return the step and the reason, for a ``Convolution`` of codes."""
    source = graph.value(node.inputs[0])
    assert source.encoding is not None  # verified
    constants = deployed_convolution(
        source.encoding, graph.value(node.inputs[1]), graph.value(node.inputs[2]), window
    )
    layer, form, unit = constants.layer, layout.form(source.name), 1
    rows = np.zeros((0, 0), np.int64)
    if form == "bytes":
        rows, unit = in_units(layer, source.encoding)
    sums = LayerSums(
        unit * layer.scale,
        by_region(constants.bias, window),
        lambda given: by_region(constants.integer_thresholds(given) // unit, window),
        form == "words",
    )
    place, ending = (*window, group_of(node)), ending_of(graph, node, layout, sums)
    if form == "words":
        return WordConvolution(*place, _word_weights(layer), ending), _WORDS
    if form == "planes":
        return PlaneConvolution(*place, _plane_weights(source.encoding, layer), ending), _FEW
    taps = tap_sums_by_region(rows.reshape(constants.weights.shape).sum(axis=3), window)
    constant = lowest_level(source.encoding) * taps.reshape(-1, len(rows)) + layer.addend
    weights = replace(_byte_weights(source.encoding, rows), constant=_int32(constant.reshape(-1)))
    return ByteConvolution(*place, weights, ending), _BYTES


def is_weight_only(graph: Graph, node: Node) -> bool:
    """Return whether a low-bit layer reads floats."""
    return graph.value(node.inputs[0]).encoding is None


def weight_only_layer(graph: Graph, node: Node, *, batched: bool = True) -> tuple[Rows, str]:
    """Return the step and the reason, for a ``Linear`` on floats; see `lowbit.ir.weight_only`.

    Levels that are sums of planes are looked up, grids with groups are multiplied as codes; others, and rows
    of a sample without groups, are decoded.
    """
    source, weights = graph.value(node.inputs[0]), graph.value(node.inputs[1])
    bias = np.asarray(graph.constant(node.inputs[2]), np.float32)
    rows = rows_of(source.shape, batched=batched)
    assert weights.encoding is not None  # verified
    if weights.encoding.group and weights.encoding.linear:
        return GroupedFullyConnected(_weight_groups(weights), bias, rows), _GROUPED
    basis = weights.encoding.as_basis()
    if basis is None or len(source.shape) != 2 or rows != 1:
        decoded = weight_levels(weights).astype(np.float32)
        return FloatFullyConnected(decoded, bias, rows), _DECODED
    factors, offsets = (
        np.broadcast_to(array, (len(bias), *array.shape[1:])) for array in (basis.basis, basis.offset)
    )
    stored = weights.data if weights.dtype == "planes" else pack(codes_of(weights), basis.bits)
    planes = np.asarray(stored, np.uint32)
    given = offsets if offsets.any() else offsets[:0]
    return WeightOnlyFullyConnected(planes, factors, given, bias), _LOOKED_UP


def _weight_groups(weights: Value) -> WeightGroups:
    """Return codes with groups as a factor and an offset for each, around the middle code."""
    assert weights.encoding is not None and weights.data is not None
    levels, bits, outputs = weights.encoding.levels(), weights.encoding.bits, int(weights.shape[0])
    factors = (levels[:, 1] - levels[:, 0]).astype(np.float32).reshape(outputs, -1)
    offsets = levels[:, 1 << (bits - 1)].astype(np.float32).reshape(outputs, -1)
    given = offsets if offsets.any() else offsets[:0]
    return WeightGroups(np.asarray(weights.data, np.uint32), factors, given, weights.encoding.group)


def weight_only_convolution(graph: Graph, node: Node, window: Window) -> tuple[FloatConvolution, str]:
    """Return the step and the reason, for a ``Convolution`` of floats."""
    rows = weight_levels(graph.value(node.inputs[1])).astype(np.float32)
    bias = np.asarray(graph.constant(node.inputs[2]), np.float32)
    return FloatConvolution(*window, group_of(node), rows, bias), _DECODED


def group_of(node: Node) -> int:
    """Return the groups of a convolution."""
    return int(node.attributes.get("group", 1))  # type: ignore[arg-type]


def columns_by_pixels(step: Rows, lengths: tuple[int, int, int]) -> Rows:
    """Return a fully connected step that takes its inputs in the order (height, width, channel).

    Args:
        step: for inputs in the order (channel, height, width).
        lengths: channels, height, width.
    """
    assert not isinstance(step, GroupedFullyConnected)  # groups follow the order of inputs
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
    if isinstance(step, WordFullyConnected):
        return replace(step, weights=replace(step.weights, weights=step.weights.weights[:, order]))
    return replace(step, weights=replace(step.weights, planes=_permuted_bits(step.weights.planes, order)))


def _permuted_bits(planes: npt.NDArray[Any], order: npt.NDArray[np.intp]) -> npt.NDArray[np.uint32]:
    words = np.ascontiguousarray(planes, "<u4").view(np.uint8)
    bits = np.unpackbits(words, axis=-1, count=len(order), bitorder="little")[..., order]
    padded = np.zeros((*bits.shape[:-1], planes.shape[-1] * 32), np.uint8)
    padded[..., : len(order)] = bits
    return np.packbits(padded, axis=-1, bitorder="little").view("<u4").astype(np.uint32, copy=False)


def _sums(layer: DeployedLayer, unit: int = 1, *, words: bool = False) -> LayerSums:
    return LayerSums(
        unit * layer.scale, layer.bias, lambda given: layer.integer_thresholds(given) // unit, words
    )


def _plane_weights(source: Encoding, layer: DeployedLayer) -> PlaneWeights:
    weights, inputs = basis_of(layer.packed), source.as_basis()
    assert inputs is not None and layer.packed.data is not None
    outputs = len(layer.packed.data)
    kept = _any_rows(weights.integer_weight_offset(), outputs)
    factors = np.broadcast_to(weights.multipliers, (outputs, weights.bits))
    return PlaneWeights(np.asarray(layer.packed.data, np.uint32), factors, kept, inputs.multipliers[0])


def _word_weights(layer: DeployedLayer) -> WordWeights:
    require_words(layer.weights.astype(np.int64), "levels of weights", layer.packed.name)
    return WordWeights(layer.weights.astype(np.int16), layer.addend)


def _byte_weights(source: Encoding, weights: Integers) -> ByteWeights:
    """Return integer weights ``[o, n]``, which may lie outside int8, for the bytes of an input."""
    stepped = weights * level_step(source)
    row_factor = _row_factor(stepped)
    small = (stepped - row_factor[:, None]).astype(np.int8)
    factors = _int32(row_factor if row_factor.any() else row_factor[:0])
    return ByteWeights(small, _int32(lowest_level(source) * weights.sum(axis=1)), factors)


def _row_factor(weights: Integers) -> Integers:
    """Return the least shift of each row that brings it into int8."""
    over = np.maximum(weights.max(axis=1) - 127, 0)
    under = np.minimum(weights.min(axis=1) + 128, 0)
    return np.asarray(over + under)


def _any_rows(offsets: npt.NDArray[Any], outputs: int) -> npt.NDArray[Any]:
    """Return one offset for each output, or none at all where all are zero."""
    return np.broadcast_to(offsets, (outputs,)) if offsets.any() else offsets[:0]


def _int32(values: Any) -> npt.NDArray[np.int32]:
    return np.asarray(values, np.int64).astype(np.int32)
