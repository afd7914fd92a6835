"""Layers as people count them: what has weights, by scheme and bits."""

from dataclasses import dataclass

import numpy as np

from lowbit.ir.activations import activation_named
from lowbit.ir.graph import Graph, Node
from lowbit.ir.operators import Trait, has
from lowbit.schemes import Encoding
from lowbit.schemes.pair import FEW_BITS
from lowbit.schemes.registry import FLOAT_BITS as FLOAT_BITS


@dataclass(frozen=True)
class Layer:
    """One layer with weights.

    Attributes:
        name: the node's.
        scheme: of the weights; ``float`` where they have none.
        weight_bits, activation_bits: 32 for float.
        constants: the names of its constants, weights first.
    """

    name: str
    scheme: str
    weight_bits: int
    activation_bits: int
    constants: tuple[str, ...]


def layers_of(graph: Graph) -> list[Layer]:
    """Return the layers of a graph, in order."""
    return [_layer(graph, node) for node in graph.nodes if _has_weights(graph, node)]


def is_low_bit(node: Node | None) -> bool:
    """Return whether a node is a layer whose weights are codes."""
    return node is not None and node.domain == "lowbit" and has(node, Trait.LAYER)


def is_product(node: Node) -> bool:
    """Return whether a node is a layer that multiplies rows by a matrix: one without a window."""
    return has(node, Trait.LAYER) and not has(node, Trait.WINDOW)


def outputs_last(node: Node) -> bool:
    """Return whether a layer's weights are ``[n, o]``; others are ``[o, n]``, or ``[o, ...]`` of windows."""
    return not node.domain and is_product(node) and not node.attributes.get("transB")


def rounds(graph: Graph, node: Node | None) -> bool:
    """Return whether a low-bit layer has its bias in whole units of the sums, to round both as one.

    Input and weights round then, as 8-bit codes do. What its output is coded by is another question: see
    `rounds_to`.
    """
    return node is not None and is_low_bit(node) and graph.value(node.inputs[2]).dtype != "float32"


def compares(graph: Graph, node: Node | None) -> bool:
    """Return whether a node is a low-bit layer with a real bias, which thresholds and factors can take in."""
    return is_low_bit(node) and not rounds(graph, node)


def takes_over(graph: Graph, layer: Node | None, encoder: Node) -> bool:
    """Return whether a layer of codes can end in an encoder's codes: by thresholds, or by rounding its sums.

    Between 8-bit layers codes are handed on instead (`lowbit.ir.passes.affine_chain`).
    """
    encoding = graph.value(encoder.outputs[0]).encoding
    if layer is None or not is_low_bit(layer) or encoding is None:
        return False
    if gives_bytes(graph, encoder) and rounds_uniform(graph, layer):
        return False
    return graph.value(layer.inputs[0]).encoding is not None


def rounds_to(graph: Graph, encoder: Node) -> bool:
    """Return whether sums are rounded to an encoder's codes, once, instead of compared with thresholds.

    A rounding takes a scale and a bias for each channel, thresholds as many numbers as there are steps. They
    are quicker where they are few. So codes of more than `FEW_BITS` are rounded to, where their encoding
    rounds and has no thresholds of its own. Thresholds that say the same may be a neighbour of the exact
    ones: files of others divide in float32.
    """
    encoding = graph.value(encoder.outputs[0]).encoding
    if encoding is None or not encoding.rounds or encoding.bits <= FEW_BITS or encoding.channels > 1:
        return False
    if not any(encoder.inputs[1:]):
        return True
    own, given = encoding.thresholds()[0], np.asarray(graph.constant(encoder.inputs[1]), np.float32)
    unit = 2 * np.maximum(np.spacing(np.abs(own)), np.float32(encoding.integer_scale()[0] * 2.0**-23))
    return bool((np.abs(own - given) <= unit).all())


def rounds_uniform(graph: Graph, layer: Node | None) -> bool:
    """Return whether a layer rounds its sums and has weights on uniform grids, as 8-bit layers have."""
    return layer is not None and rounds(graph, layer) and is_affine(graph.value(layer.inputs[1]).encoding)


def is_affine(encoding: Encoding | None) -> bool:
    """Return whether codes are of the kind that layers round to, in the arithmetic of LiteRT."""
    return encoding is not None and encoding.as_affine() is not None


def gives_bytes(graph: Graph, encoder: Node) -> bool:
    """Return whether an encoder gives codes that layers can round to: affine ones of 8 bits."""
    encoding = graph.value(encoder.outputs[0]).encoding
    return encoding is not None and is_affine(encoding) and encoding.bits == 8


def activation_of(graph: Graph, node: Node) -> str | None:
    """Return the activation of layers that a node is, or None."""
    parameters = [graph.value(name).data if name else None for name in node.inputs[1:]]
    if not has(node, Trait.ELEMENTWISE) or any(data is None or data.size != 1 for data in parameters):
        return None
    bounds = tuple(float(data.item()) for data in parameters if data is not None)
    return None if node.domain else activation_named(node.op, bounds or None)


def scheme_of(encoding: Encoding | None) -> str:
    """Return the scheme's name; a basis of doubling coefficients is the affine grid it came from."""
    if encoding is None:
        return "float"
    doubling = encoding.storage == "planes" and encoding.bits > 1 and encoding.linear
    return "affine" if doubling else encoding.scheme


def _has_weights(graph: Graph, node: Node) -> bool:
    weights = graph.values.get(node.inputs[1]) if len(node.inputs) > 1 else None
    return weights is not None and weights.data is not None and weights.data.ndim >= 2


def _layer(graph: Graph, node: Node) -> Layer:
    source, weights = (graph.value(name).encoding for name in node.inputs[:2])
    constants = tuple(name for name in node.inputs[1:] if name and graph.value(name).data is not None)
    bits = [FLOAT_BITS if encoding is None else encoding.bits for encoding in (weights, source)]
    return Layer(node.name, scheme_of(weights), bits[0], bits[1], constants)
