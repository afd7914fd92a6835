"""Nodes that multiply and shift each channel by constants, seen as one thing.

    y[n, c, ...] = factor_c x[n, c, ...] + shift_c

BatchNormalization at inference, and Add, Sub, Mul, Div with a constant that differs along axis 1 at most.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lowbit.errors import NumericError
from lowbit.ir.graph import Graph, Node
from lowbit.ir.operators import Trait, has
from lowbit.ir.operators.elementwise import line_of

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ChannelAffine:
    """What such a node does.

    Attributes:
        source: the value that it reads.
        factor, shift: float64 ``[channels]``.
    """

    source: str
    factor: Floats
    shift: Floats


def channel_affine(graph: Graph, node: Node) -> ChannelAffine | None:
    """Return what a node does per channel, or None where it is something else.

    Raises:
        NumericError: a variance that is not positive.
    """
    if any(graph.values[name].encoding is not None for name in (*node.inputs, *node.outputs) if name):
        return None
    if (node.domain, node.op) == ("", "BatchNormalization"):
        return _normalization(graph, node)
    return _arithmetic(graph, node) if has(node, Trait.BROADCASTS) and len(node.inputs) == 2 else None


def _normalization(graph: Graph, node: Node) -> ChannelAffine | None:
    """``factor = scale / sqrt(variance + epsilon)``, ``shift = bias - mean factor``."""
    vectors = [graph.values[name].data for name in node.inputs[1:]]
    if any(vector is None for vector in vectors):
        return None
    scale, bias, mean, variance = (np.asarray(vector, np.float64) for vector in vectors)
    epsilon = node.attributes.get("epsilon", 1e-5)
    assert isinstance(epsilon, float | int)
    if (variance + epsilon <= 0).any():
        raise NumericError(
            "a variance is not positive",
            where=f"{graph.name}/{node.name}",
            expected="variance + epsilon above 0",
            found=f"{float((variance + epsilon).min())} in channel {int(variance.argmin())}",
            remedy="Train or export the network again.",
        )
    factor = scale / np.sqrt(variance + epsilon)
    return ChannelAffine(node.inputs[0], factor, bias - mean * factor)


def _arithmetic(graph: Graph, node: Node) -> ChannelAffine | None:
    constant = [graph.values[name].data is not None for name in node.inputs]
    if sum(constant) != 1:
        return None
    source, other = node.inputs[constant.index(False)], node.inputs[constant.index(True)]
    vector = _per_channel(graph, source, node.outputs[0], graph.constant(other))
    line = None if vector is None else line_of(node, constant.index(True), vector)
    return None if line is None else ChannelAffine(source, *line)


def _per_channel(graph: Graph, source: str, target: str, constant: npt.NDArray[np.generic]) -> Floats | None:
    """Return a constant as one number per channel, where it broadcasts like that and not further."""
    shape = graph.values[source].shape
    if len(shape) < 2 or not isinstance(shape[1], int) or graph.values[target].shape != shape:
        return None
    padded = (1,) * (len(shape) - constant.ndim) + constant.shape
    if constant.dtype != np.float32 or padded != (1, padded[1], *[1] * (len(shape) - 2)):
        return None
    return np.broadcast_to(constant.astype(np.float64).reshape(-1), (shape[1],)).copy()
