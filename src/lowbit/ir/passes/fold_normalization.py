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

from lowbit.ir.deployed import row_length
from lowbit.ir.graph import Graph, Node, Value
from lowbit.ir.layers import compares
from lowbit.ir.passes.channel_affine import ChannelAffine, channel_affine
from lowbit.ir.passes.infrastructure import Pass
from lowbit.planes import pack, unpack
from lowbit.schemes.encoding import SMALLEST, Codes

Array = npt.NDArray[np.float64]


def has_no_normalization_to_fold(graph: Graph) -> bool:
    """Return whether no normalization is left behind a layer whose weights have such levels."""
    found = (_folded(graph, node) for node in graph.nodes)
    return not any(_scaled(graph, *pair) for pair in found if pair)


def _apply(graph: Graph) -> bool:
    changed = False
    for node in list(graph.nodes):
        found = _folded(graph, node)
        if found is not None:
            changed |= _fold(graph, node, *found)
    return changed


def _folded(graph: Graph, node: Node) -> tuple[Node, ChannelAffine] | None:
    """Return the layer that a node could be folded into, and what the node does."""
    affine = channel_affine(graph, node)
    layer = graph.producer(affine.source) if affine else None
    return (layer, affine) if affine is not None and layer is not None and _takes(graph, layer) else None


def _takes(graph: Graph, layer: Node) -> bool:
    """Return whether a layer gives reals without an activation to one reader alone, its constants its own."""
    if not compares(graph, layer) or layer.attributes.get("activation", "none") != "none":
        return False
    output = layer.outputs[0]
    owned = all(len(graph.consumers(name)) == 1 for name in (*layer.inputs[1:], output))
    return owned and len(layer.inputs) == 3 and output not in graph.outputs


def _scaled(graph: Graph, layer: Node, affine: ChannelAffine) -> Value | None:
    factor = np.maximum(np.abs(affine.factor), SMALLEST)
    return _rescaled(graph.value(layer.inputs[1]), factor, affine.factor < 0)


def _fold(graph: Graph, node: Node, layer: Node, affine: ChannelAffine) -> bool:
    """Fold a node into a layer; return False where the weights have no such levels."""
    _, weights, bias = layer.inputs
    stored = _scaled(graph, layer, affine)
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


fold_normalization = Pass("fold-normalization", _apply, ensures=has_no_normalization_to_fold)
