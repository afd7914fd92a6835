"""Fold batch normalization into a low-bit layer: only scales, signs of levels and biases change.

    y = f (scale_o sum X W + b_o) + s,   f, s of `lowbit.ir.passes.channel_affine`
    scale'_o = |f| scale_o,   W' = sign(f) W,   b'_o = f b_o + s

The sums stay what they are, or change their sign. A factor of zero leaves a constant channel, whose scale
only has to be positive.
"""

from dataclasses import replace
from typing import cast

import numpy as np
import numpy.typing as npt

from lowbit.ir import Graph, Node, Value
from lowbit.ir.deployed import row_length
from lowbit.ir.passes import Pass
from lowbit.ir.passes.channel_affine import ChannelAffine, channel_affine
from lowbit.planes import pack, unpack
from lowbit.quantization.fold import compares
from lowbit.schemes.encoding import SMALLEST, Codes

Array = npt.NDArray[np.float64]


def _apply(graph: Graph) -> bool:
    changed = False
    for node in list(graph.nodes):
        affine = channel_affine(graph, node)
        layer = graph.producer(affine.source) if affine else None
        if affine is not None and layer is not None and _takes(graph, layer):
            changed |= _fold(graph, layer, node, affine)
    return changed


def _takes(graph: Graph, layer: Node) -> bool:
    """Return whether a layer gives reals without an activation to one reader alone, its constants its own."""
    if not compares(graph, layer) or layer.attributes.get("activation", "none") != "none":
        return False
    output = layer.outputs[0]
    owned = all(len(graph.consumers(name)) == 1 for name in (*layer.inputs[1:], output))
    return owned and len(layer.inputs) == 3 and output not in graph.outputs


def _fold(graph: Graph, layer: Node, node: Node, affine: ChannelAffine) -> bool:
    """Fold a node into a layer; return False where the weights have no such levels."""
    _, weights, bias = layer.inputs
    factor = np.maximum(np.abs(affine.factor), SMALLEST)
    stored = _rescaled(graph.value(weights), factor, affine.factor < 0)
    if stored is None:
        return False
    shift = affine.factor * graph.constant(bias).astype(np.float64) + affine.shift
    graph.values[weights] = stored
    graph.update(bias, data=shift.astype(np.float32))
    graph.nodes[graph.nodes.index(layer)] = replace(layer, outputs=node.outputs)
    graph.nodes.remove(node)
    return True


def _rescaled(stored: Value, factor: Array, negative: npt.NDArray[np.bool_]) -> Value | None:
    """Return weights times a positive factor per output, some outputs negated; None where they cannot be."""
    encoding, planes = stored.encoding, stored.dtype == "planes"
    assert encoding is not None and stored.data is not None
    codes = unpack(stored.data, row_length(stored)) if planes else cast(Codes, stored.data)
    turned = encoding.opposite(codes, negative)
    scaled = None if turned is None else turned[0].scaled(factor)
    if turned is None or scaled is None:
        return None
    data = pack(turned[1], encoding.bits) if planes else turned[1]
    return replace(stored, data=data, encoding=scaled)


fold_normalization = Pass("fold-normalization", _apply)
