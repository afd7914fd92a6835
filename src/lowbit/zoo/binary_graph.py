"""The binary graph of a description: one bit per weight and per activation, pixels of eight bits.

    weight       a_o sign(w),  a_o = mean |w_o|            (XNOR-Net, Rastegari et al. 2016, eq. 6)
    activation   sign(x),      x >= 0 gives +1             in the place of every activation function

Batch normalization is folded, ``f = weight / sqrt(variance + epsilon)``:

    scale_o = a_o |f_o|,  bias_o = f_o (b_o - mean_o) + bias_o,  a negative f_o flips the channel's bits

so a hidden layer is sums of signs and one integer threshold per channel. Residual sums, concatenations
and averages stay real, and the layer that reads them takes their sign (Bi-Real Net, Liu et al. 2018).
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from lowbit.errors import UnsupportedError
from lowbit.ir import Graph, Value, infer, verify
from lowbit.ir.operators import Trait, has
from lowbit.planes import pack
from lowbit.schemes import LearnedBasis
from lowbit.zoo.architecture import (
    Activation,
    Architecture,
    BatchNormalization,
    Convolution,
    Dense,
    Flatten,
    GlobalAverage,
    Layer,
    Linear,
    Placed,
    Pool,
    Residual,
    SeparableTransform,
    place,
)
from lowbit.zoo.float_graph import constants
from lowbit.zoo.nodes import INPUT, append, end, global_average, pool, start, window
from lowbit.zoo.weights import Weights, weights_of

SIGN = LearnedBasis(np.ones((1, 1), np.float32), np.zeros(1, np.float32), np.ones(1, np.int32))
"""Levels -1 and +1; zero is +1 by the thresholds that nodes carry."""

PIXEL = LearnedBasis(
    (np.exp2(np.arange(8))[None] / 510).astype(np.float32),
    np.full(1, 0.5, np.float32),
    np.full(1, 128, np.int32),
)
"""``level = code / 255``: the affine grid of eight bits as planes."""

_SMALLEST = np.finfo(np.float32).tiny


def binary_graph(
    architecture: Architecture, weights: Mapping[str, npt.ArrayLike] | None = None, seed: int = 0
) -> Graph:
    """Return the binary network as a graph from ``x [n, ...]`` in [0, 1] to ``logits [n, classes]``.

    Args:
        architecture: what to build.
        weights: latent weights by the names of `parameters`, of which the sign is kept, and the statistics
            of the binary network; random ones of ``seed`` when absent.
        seed: of the random weights.

    Raises:
        GraphError: a weight is missing or has another shape.
        UnsupportedError: a separable transform, which stays float or fixed point.
    """
    graph = start(architecture, f"{architecture.name}-binary")
    _sequence(graph, place(architecture), INPUT, weights_of(architecture, weights, seed))
    end(graph)
    infer(graph)
    verify(graph)
    return graph


def _sequence(graph: Graph, placed: tuple[Placed, ...], source: str, given: Weights) -> str:
    rest = list(placed)
    while rest:
        item = rest.pop(0)
        if isinstance(item.layer, Convolution | Linear):
            norm = _take(rest, BatchNormalization)
            coded = _take(rest, Activation) is not None and not _reads_reals(rest)
            source = _weighted(graph, item, norm, source, given, coded)
        else:
            source = _layer(graph, item, source, given)
    return source


def _take(rest: list[Placed], kind: type[Layer]) -> Placed | None:
    """Remove and return the first layer if it is of that kind."""
    return rest.pop(0) if rest and isinstance(rest[0].layer, kind) else None


def _reads_reals(rest: list[Placed]) -> bool:
    layer = rest[0].layer if rest else None
    return isinstance(layer, Residual | Dense | GlobalAverage) or layer == Pool("average")


def _weighted(
    graph: Graph, item: Placed, norm: Placed | None, source: str, given: Weights, coded: bool
) -> str:
    """Append a layer of signs; its output is codes or, for those who need them, reals."""
    if isinstance(item.layer, Linear) and item.layer.rows:
        raise UnsupportedError(
            "layers of rows have no binary form", where=f"{graph.name}/{item.name}", expected="flat samples"
        )
    signs, scale, bias = _folded(item, norm, given)
    inputs = [_codes(graph, source), *_planes(graph, item, signs, scale)]
    inputs.append(graph.add_constant(f"{item.name}.bias", bias))
    if coded:
        inputs.append(_sign_threshold(graph))
        graph.add(Value(f"{item.name}.out", "code", (), None, SIGN))
    if isinstance(item.layer, Convolution):
        return append(graph, "lowbit.Convolution", item.name, *inputs, **window(item.layer))
    return append(graph, "lowbit.Linear", item.name, *inputs)


def _folded(
    item: Placed, norm: Placed | None, given: Weights
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return which weights are +1 (``[o, ...]``), and scale and bias ``[o]``, the normalization inside."""
    weight = given[f"{item.name}.weight"].astype(np.float64)
    bias = given.get(f"{item.name}.bias", np.zeros(len(weight), np.float32)).astype(np.float64)
    factor, shift = np.ones(len(weight)), np.zeros(len(weight))
    if norm is not None and isinstance(norm.layer, BatchNormalization):
        gamma, beta, mean, variance = (
            given[f"{norm.name}.{key}"].astype(np.float64)
            for key in ("weight", "bias", "running_mean", "running_var")
        )
        factor = gamma / np.sqrt(variance + norm.layer.epsilon)
        shift = beta - factor * mean
    rows = weight.reshape(len(weight), -1)
    flipped = (factor < 0).reshape(-1, *[1] * (weight.ndim - 1))
    # A factor of zero leaves a constant channel: its scale only has to be positive.
    scale = np.maximum(np.abs(rows).mean(axis=1) * np.abs(factor), _SMALLEST)
    return (weight >= 0) ^ flipped, scale, factor * bias + shift


def _planes(
    graph: Graph, item: Placed, signs: npt.NDArray[np.bool_], scale: npt.NDArray[np.float64]
) -> list[str]:
    """Add packed weights: ``[o, n]``, or ``[o, kh, kw, c]`` for a convolution."""
    ordered = signs.transpose(0, 2, 3, 1) if signs.ndim == 4 else signs
    data = pack(ordered.reshape(len(signs), -1).astype(np.uint8), 1)
    zeros, ones = np.zeros(len(signs), np.float32), np.ones(len(signs), np.int32)
    encoding = LearnedBasis(scale[:, None].astype(np.float32), zeros, ones)
    return [graph.add(Value(f"{item.name}.weight", "planes", ordered.shape, data, encoding))]


def _layer(graph: Graph, item: Placed, source: str, given: Weights) -> str:
    match item.layer:
        case BatchNormalization(epsilon):
            inputs = (_reals(graph, source), *constants(graph, item, given))
            return append(graph, "BatchNormalization", item.name, *inputs, epsilon=epsilon)
        case Pool("max") if _is_coded(graph, source):
            graph.add(Value(f"{item.name}.out", "code", (), None, SIGN))
            return pool(graph, item, source)
        case Pool():
            return pool(graph, item, _reals(graph, source))
        case GlobalAverage():
            return global_average(graph, item, _reals(graph, source))
        case Flatten():
            if _is_coded(graph, source):
                graph.add(Value(f"{item.name}.out", "code", (), None, graph.value(source).encoding))
            return append(graph, "Flatten", item.name, source)
        case SeparableTransform():
            return _sequence(graph, item.body, source, given)
        case Residual():
            branches = [_sequence(graph, branch, source, given) for branch in (item.body, item.shortcut)]
            return append(graph, "Add", item.name, *(_reals(graph, branch) for branch in branches))
        case Dense():
            parts = (_reals(graph, source), _reals(graph, _sequence(graph, item.body, source, given)))
            return append(graph, "Concat", item.name, *parts, axis=1)
    return source  # an activation that stands alone: the layer that reads it takes the sign


def _codes(graph: Graph, source: str) -> str:
    """Return the value as codes: pixels of the network's input, signs of other reals."""
    if _is_coded(graph, source):
        return source
    name = f"{source}/encode"
    pixels = _shows_pixels(graph, source)
    codes, encoding = f"{name}.out", PIXEL if pixels else SIGN
    if codes not in graph.values:
        graph.add(Value(codes, "code", (), None, encoding))
        steps = () if pixels else (_sign_threshold(graph),)
        append(graph, "lowbit.Encode", name, source, *steps)
    return codes


def _shows_pixels(graph: Graph, source: str) -> bool:
    """Return whether a value is the network's input, moved or pooled: in [0, 1] as pixels are."""
    while (node := graph.producer(source)) and (has(node, Trait.MOVES) or has(node, Trait.POOL)):
        source = node.inputs[0]
    return source == INPUT


def _reals(graph: Graph, source: str) -> str:
    """Return the value as reals."""
    if not _is_coded(graph, source):
        return source
    return append(graph, "lowbit.Decode", f"{source}/decode", source)


def _is_coded(graph: Graph, source: str) -> bool:
    return source in graph.values and graph.value(source).encoding is not None


def _sign_threshold(graph: Graph) -> str:
    """Return the constant that all signs share: the largest float32 below zero, so that zero is +1."""
    name = "sign.threshold"
    if name in graph.values:
        return name
    return graph.add_constant(name, np.nextafter(np.zeros(1, np.float32), np.float32(-1)))
