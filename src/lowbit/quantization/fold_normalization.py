"""Fold batch normalization into a low-bit layer: only scales, signs of levels and biases change.

    y = f (scale_o sum X W + b_o) + s,   f, s of `lowbit.ir.passes.channel_affine`
    scale'_o = |f| scale_o,   W' = sign(f) W,   b'_o = f b_o + s

The sums stay what they are, or change their sign. A factor of zero leaves a constant channel, whose scale
only has to be positive.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lowbit.ir import Graph, Node, Value
from lowbit.ir.deployed import row_length
from lowbit.ir.passes import Pass
from lowbit.ir.passes.channel_affine import ChannelAffine, channel_affine
from lowbit.planes import pack, unpack
from lowbit.quantization.fold import compares
from lowbit.schemes import LearnedBasis, PowerOfTwo, of_integers

Array = npt.NDArray[np.float64]

_SMALLEST = 1e-30


def _apply(graph: Graph) -> bool:
    changed = False
    for node in list(graph.nodes):
        affine = channel_affine(graph, node)
        layer = graph.producer(affine.source) if affine else None
        if affine is not None and layer is not None and _takes(graph, layer):
            _fold(graph, layer, node, affine)
            changed = True
    return changed


def _takes(graph: Graph, layer: Node) -> bool:
    """Return whether a layer gives reals without an activation to one reader alone, its constants its own."""
    if not compares(graph, layer) or layer.attributes.get("activation", "none") != "none":
        return False
    output = layer.outputs[0]
    owned = all(len(graph.consumers(name)) == 1 for name in (*layer.inputs[1:], output))
    return owned and len(layer.inputs) == 3 and output not in graph.outputs


def _fold(graph: Graph, layer: Node, node: Node, affine: ChannelAffine) -> None:
    _, weights, bias = layer.inputs
    stored = graph.value(weights)
    negative = affine.factor < 0
    shift = affine.factor * graph.constant(bias).astype(np.float64) + affine.shift
    graph.values[weights] = _rescaled(stored, np.maximum(np.abs(affine.factor), _SMALLEST), negative)
    graph.update(bias, data=shift.astype(np.float32))
    graph.nodes[graph.nodes.index(layer)] = replace(layer, outputs=node.outputs)
    graph.nodes.remove(node)


def _rescaled(stored: Value, factor: Array, negative: npt.NDArray[np.bool_]) -> Value:
    """Return weights times a positive factor per output, some outputs negated."""
    encoding = stored.encoding
    assert stored.data is not None
    if isinstance(encoding, PowerOfTwo):
        half = 1 << (encoding.bits - 1)
        column = negative.reshape(-1, *[1] * (stored.data.ndim - 1))
        codes = stored.data.astype(np.uint8)
        codes = np.where(column & (codes % half > 0), codes ^ np.uint8(half), codes)
        scale = np.maximum(encoding.scale * factor, _SMALLEST).astype(np.float32)
        return replace(stored, data=codes, encoding=replace(encoding, scale=scale))
    assert isinstance(encoding, LearnedBasis)
    codes = unpack(stored.data, row_length(stored))
    codes[negative] ^= np.uint8((1 << encoding.bits) - 1)
    units = np.where(negative, -encoding.integer_weight_offset(), encoding.integer_weight_offset())
    scales = np.maximum(encoding.scale.astype(np.float64) * factor, _SMALLEST)
    scaled = of_integers(scales, encoding.multipliers, units)
    return replace(stored, data=pack(codes, encoding.bits), encoding=scaled)


fold_normalization = Pass("fold-normalization", _apply)
