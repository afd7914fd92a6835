"""The float graph of a description: standard ONNX operators, NCHW, a named batch."""

from collections.abc import Mapping

import numpy.typing as npt

from lowbit.ir import Graph, infer, verify
from lowbit.ir.activations import ACTIVATIONS
from lowbit.zoo.architecture import (
    Activation,
    Architecture,
    BatchNormalization,
    Convolution,
    Dense,
    Flatten,
    GlobalAverage,
    Linear,
    Placed,
    Pool,
    Residual,
    SeparableTransform,
    Transpose,
    place,
)
from lowbit.zoo.nodes import INPUT, append, end, global_average, pool, start, window
from lowbit.zoo.weights import Weights, weights_of


def float_graph(
    architecture: Architecture, weights: Mapping[str, npt.ArrayLike] | None = None, seed: int = 0
) -> Graph:
    """Return the network as a graph from ``x [n, ...]`` to ``logits [n, classes]``.

    Args:
        architecture: what to build.
        weights: by the names of `parameters`; random ones of ``seed`` when absent.
        seed: of the random weights.

    Raises:
        GraphError: a weight is missing or has another shape.
    """
    graph = start(architecture, architecture.name)
    _sequence(graph, place(architecture), INPUT, weights_of(architecture, weights, seed))
    end(graph)
    infer(graph)
    verify(graph)
    return graph


def constants(graph: Graph, item: Placed, given: Weights) -> tuple[str, ...]:
    """Add a layer's weights to the graph and return their names."""
    keys = [key for key in given if key.rpartition(".")[0] == item.name]
    return tuple(graph.add_constant(key, given[key]) for key in keys)


def _sequence(graph: Graph, placed: tuple[Placed, ...], source: str, given: Weights) -> str:
    for item in placed:
        source = _layer(graph, item, source, given)
    return source


def _layer(graph: Graph, item: Placed, source: str, given: Weights) -> str:
    match item.layer:
        case Convolution():
            inputs = constants(graph, item, given)
            return append(graph, "Conv", item.name, source, *inputs, **window(item.layer))
        case Linear(rows=True):
            return _linear_of_rows(graph, item, source, given)
        case Linear():
            return append(graph, "Gemm", item.name, source, *constants(graph, item, given), transB=1)
        case BatchNormalization(epsilon):
            inputs = constants(graph, item, given)
            return append(graph, "BatchNormalization", item.name, source, *inputs, epsilon=epsilon)
        case Activation(kind):
            return append(graph, ACTIVATIONS[kind].operator, item.name, source)
        case Pool():
            return pool(graph, item, source)
        case GlobalAverage():
            return global_average(graph, item, source)
        case Flatten():
            return append(graph, "Flatten", item.name, source)
        case Transpose():
            rank = len(item.source) + 1
            return append(graph, "Transpose", item.name, source, perm=(*range(rank - 2), rank - 1, rank - 2))
        case SeparableTransform():
            return _sequence(graph, item.body, source, given)
        case Residual():
            branches = [_sequence(graph, branch, source, given) for branch in (item.body, item.shortcut)]
            return append(graph, "Add", item.name, *branches)
        case Dense():
            body = _sequence(graph, item.body, source, given)
            return append(graph, "Concat", item.name, source, body, axis=1)


def _linear_of_rows(graph: Graph, item: Placed, source: str, given: Weights) -> str:
    """Append a product and a sum: a Gemm takes no maps."""
    weight = graph.add_constant(f"{item.name}.weight", given[f"{item.name}.weight"].T)
    if f"{item.name}.bias" not in given:
        return append(graph, "MatMul", item.name, source, weight)
    bias = graph.add_constant(f"{item.name}.bias", given[f"{item.name}.bias"])
    return append(
        graph, "Add", item.name, append(graph, "MatMul", f"{item.name}/product", source, weight), bias
    )
