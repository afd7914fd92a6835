"""Equalize channels: let all channels of an activation have about the same size before it gets one encoding.

Between two layers with nothing but homogeneous operators, f(r x) = r f(x) for r > 0 (ReLU, pooling), a
channel may be divided by any r_c > 0 in the first layer and multiplied again in the second:

    W_c <- W_c / r_c,  b_c <- b_c / r_c        V_c <- r_c V_c

so one basis per tensor serves channels as well as a basis per channel would, for nothing at run time. The
size of a channel is what its values that are not zero have, E x^2 / E x; its square root is taken, which
leaves half of the difference to the weights of the second layer.

Source: Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction (ICCV 2019),
who equalize the ranges of weights instead.
"""

from collections.abc import Callable, Mapping
from math import prod

import numpy as np
import numpy.typing as npt

from lowbit.budget import budget
from lowbit.calibrate import RowStatistics, Run, ordinary_samples
from lowbit.ir import Graph, Node, Trait, has
from lowbit.ir.passes import is_convolution, is_linear
from lowbit.quantization.stream import Stream

Array = npt.NDArray[np.float64]

SHARE = 0.5

SAMPLES = 256
"""That say how large channels are."""


def equalize(
    graph: Graph, samples: Mapping[str, npt.NDArray[np.generic]], run: Run, chosen: Callable[[str], bool]
) -> Graph:
    """Return a float network that computes the same, to rounding, with channels of about equal size.

    Args:
        graph: the network, batch normalization folded.
        samples: the first of them say how large channels are.
        run: what runs a network.
        chosen: whether a layer of this name is to read equalized channels.
    """
    result = graph.copy()
    pairs = [(layer, *found) for layer in graph.nodes if (found := _readers(graph, layer))]
    pairs = [pair for pair in pairs if all(chosen(reader.name) for reader in pair[2])]
    names = {name for _, name, _ in pairs}
    if not names:
        return result
    sizes = _sizes(graph, samples, run, [name for _, name, _ in pairs])
    for layer, name, readers in pairs:
        if name not in sizes:  # not finite: the layer that reads it says so
            continue
        factor = _factor(*sizes[name])
        for constant in layer.inputs[1:]:
            weights = result.constant(constant).astype(np.float64)
            column = factor.reshape(-1, *[1] * (weights.ndim - 1))
            _set(result, constant, weights / column)
        for reader in readers:
            weights = result.constant(reader.inputs[1]).astype(np.float64)
            _set(result, reader.inputs[1], weights * _columns(weights.shape, factor))
    return result


def _sizes(
    graph: Graph, samples: Mapping[str, npt.NDArray[np.generic]], run: Run, names: list[str]
) -> dict[str, tuple[Array, Array]]:
    """Return of values that are finite the sums `[c]` of magnitudes and squares of usual samples."""
    few = {name: array[:SAMPLES] for name, array in samples.items()}
    stream, sizes = Stream(graph, few, run, budget() // 4), {}
    usual = np.logical_and.reduce([ordinary_samples(array) for array in few.values()])
    for name in dict.fromkeys(names):
        statistics, sums = RowStatistics(), []
        for part in stream.values(name):
            statistics.update(part)
            flat = np.abs(part.reshape(*part.shape[:2], -1))
            sums.append(np.stack([each.sum(axis=2, dtype=np.float64) for each in (flat, flat * flat)]))
        counts = np.concatenate(sums, axis=1)
        here = np.concatenate(statistics.ordinary())
        if np.isfinite(counts).all():
            sizes[name] = tuple(counts[:, here & usual if len(here) == len(usual) else here].sum(axis=1))
    return sizes


def _is_layer(graph: Graph, node: Node) -> bool:
    return is_linear(graph, node) or is_convolution(graph, node)


def _readers(graph: Graph, layer: Node) -> tuple[str, list[Node]] | None:
    """Return what a layer's activation is called and the layers that alone read it, if there are such.

    The activation is the first value behind the layer that still has the layer's channels.
    """
    if not _is_layer(graph, layer) or not _owns_constants(graph, layer, layer.inputs[1:]):
        return None
    name, activation = layer.outputs[0], ""
    while name not in graph.outputs:
        readers = graph.consumers(name)
        if readers and all(_is_layer(graph, reader) and reader.inputs[0] == name for reader in readers):
            owned = all(_owns_constants(graph, reader, reader.inputs[1:2]) for reader in readers)
            return (activation or layer.outputs[0], readers) if owned else None
        if len(readers) != 1 or readers[0].domain:
            return None
        name, before = readers[0].outputs[0], name
        if _flattens(graph, readers[0]):
            activation = activation or before
        elif _is_homogeneous(graph, readers[0], before):
            activation = activation or name
        else:
            return None
    return None


def _is_homogeneous(graph: Graph, node: Node, name: str) -> bool:
    """Return whether a node is so in this value; what else it reads has to be constant."""
    constant = all(graph.value(other).data is not None for other in node.inputs[1:] if other)
    return has(node, Trait.HOMOGENEOUS) and node.inputs[0] == name and constant


def _flattens(graph: Graph, node: Node) -> bool:
    """Return whether a node lays the pixels of each channel side by side, however it is written."""
    if not has(node, Trait.KEEPS_ORDER):
        return False
    before, after = (graph.value(name).shape for name in (node.inputs[0], node.outputs[0]))
    lengths = [extent for extent in before[1:] if isinstance(extent, int)]
    return len(lengths) == len(before) - 1 and after == (before[0], prod(lengths))


def _owns_constants(graph: Graph, node: Node, names: tuple[str, ...]) -> bool:
    return all(len(graph.consumers(name)) == 1 for name in names)


def _factor(magnitude: Array, power: Array) -> Array:
    """Return the number by which every channel is divided, `[c]`."""
    alive = magnitude > 0
    if not alive.any():
        return np.ones(len(magnitude))
    size = np.where(alive, power / np.where(alive, magnitude, 1.0), 1.0)
    return np.where(alive, (size / np.median(size[alive])) ** SHARE, 1.0)


def _columns(shape: tuple[int, ...], factor: Array) -> Array:
    """Return what weights `(o, n)` or `(o, c / group, h, w)` are multiplied by."""
    if len(shape) == 2:  # a flattened map holds all pixels of a channel next to each other
        return np.repeat(factor, shape[1] // len(factor))
    groups = len(factor) // shape[1]
    per_row = np.repeat(factor.reshape(groups, -1), shape[0] // groups, axis=0)
    return per_row.reshape(*per_row.shape, *[1] * (len(shape) - 2))


def _set(graph: Graph, name: str, values: npt.ArrayLike) -> None:
    graph.update(name, data=np.asarray(values, np.float32))
