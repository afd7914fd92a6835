"""From a graph to the integers of an LST engine.

The graph is a chain: product with the weights of the rows, bias, activation, transpose; the same for the
columns; flatten, fully connected layer. Reshapes that only add or drop axes of length one are passed over.
"""

import re
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from lowbit.errors import PlanError, UnsupportedError
from lowbit.ir import Graph, Node
from lowbit.rtl.lst.network import Layer, LstNetwork, Rounding, pixel_codes, quantize_codes, table_codes

ACTIVATIONS: dict[str, Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]] = {
    "Tanh": np.tanh,
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Relu": lambda x: np.maximum(x, 0.0),
}
"""Operators that become a table."""

_PASSED = ("Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten")
_NEEDED = ("product", "activation", "Transpose", "product", "activation", "Transpose", "product")

_Linear = tuple[str, npt.NDArray[np.float64], npt.NDArray[np.float64]]


def parse_number_format(text: str) -> tuple[int, int]:
    """Return m and n of ``Qm.n``.

    Raises:
        PlanError: it is not of that form.
    """
    found = re.fullmatch(r"[Qq](\d{1,2})\.(\d{1,2})", text)
    if found is None:
        raise PlanError("a number format cannot be read", expected="Qm.n such as Q6.7", found=repr(text))
    return int(found[1]), int(found[2])


def from_graph(
    graph: Graph,
    number_format: str,
    rounding: Rounding = "half_up",
    normalize: tuple[float, float] = (0.5, 0.5),
) -> LstNetwork:
    """Return a float network as an LST network in fixed point.

    Args:
        graph: one input, ``[n, (1,) rows, columns]``.
        number_format: of weights, biases, activations and scores, ``Qm.n``.
        rounding: of sums; weights are always rounded half up.
        normalize: mean and deviation of pixels in [0, 1], as in training.

    Raises:
        UnsupportedError: the graph is not one learned separable transform and a fully connected layer.
        PlanError: the number format is unknown or too wide.
    """
    m, n = parse_number_format(number_format)
    steps = list(_steps(graph))
    kinds = [kind for kind, _ in steps]
    for node_number, needed in enumerate(_NEEDED):
        found = kinds[node_number] if node_number < len(kinds) else "the end of the network"
        if found != needed:
            node = steps[min(node_number, len(steps) - 1)][1]
            raise _not_lst(graph, node, needed, found)
    if len(kinds) > len(_NEEDED):
        raise _not_lst(graph, steps[len(_NEEDED)][1], "the end of the network", kinds[len(_NEEDED)])
    functions = {steps[1][1].op, steps[4][1].op}
    if len(functions) > 1:
        raise _not_lst(
            graph, steps[4][1], f"the activation of the first transform, {steps[1][1].op}", steps[4][1].op
        )
    linear = [_linear(graph, node) for kind, node in steps if kind == "product"]
    layers = [
        Layer(name, quantize_codes(weights, m, n), quantize_codes(bias, m, n))
        for name, weights, bias in linear
    ]
    table = table_codes(ACTIVATIONS[functions.pop()], m, n)
    network = LstNetwork(
        m, n, rounding, layers[0], layers[1], layers[2], table, pixel_codes(m, n, *normalize)
    )
    return network.check()


def _steps(graph: Graph) -> Iterator[tuple[str, Node]]:
    """Yield what the nodes do, from input to output; a bias is part of its product."""
    name = graph.inputs[0]
    while name not in graph.outputs:
        nodes = graph.consumers(name)
        if len(nodes) != 1:
            raise _not_lst(
                graph, nodes[0] if nodes else None, "one chain of layers", f"{len(nodes)} readers of {name}"
            )
        node = nodes[0]
        name = node.outputs[0]
        if node.op == "MatMul":
            follower = graph.consumers(name)
            if len(follower) == 1 and follower[0].op == "Add" and _constant_input(graph, follower[0]):
                name = follower[0].outputs[0]
        if node.op in ("MatMul", "Gemm"):
            yield "product", node
        elif node.op in ACTIVATIONS:
            yield "activation", node
        elif node.op not in _PASSED:
            yield node.op, node


def _linear(graph: Graph, node: Node) -> _Linear:
    """Return a layer's name, its weights ``[outputs, inputs]`` and its bias."""
    weights = _constant_input(graph, node)
    if not weights:
        raise _not_lst(graph, node, "constant weights", "weights computed at run time")
    matrix = graph.constant(weights).astype(np.float64)
    matrix = matrix if node.op == "Gemm" and node.attributes.get("transB") else matrix.T
    if node.op == "Gemm":
        bias_name, name = (node.inputs[2] if len(node.inputs) > 2 else ""), node.name
    else:
        adds = [add for add in graph.consumers(node.outputs[0]) if add.op == "Add"]
        bias_name, name = (_constant_input(graph, adds[0]), adds[0].name) if adds else ("", node.name)
    bias = graph.constant(bias_name).astype(np.float64) if bias_name else np.zeros(len(matrix))
    return name, matrix, np.broadcast_to(bias.reshape(-1), (len(matrix),))


def _constant_input(graph: Graph, node: Node) -> str:
    """Return the name of the first constant that a node reads, or nothing."""
    return next((name for name in node.inputs if name and graph.value(name).data is not None), "")


def _not_lst(graph: Graph, node: Node | None, expected: str, found: str) -> UnsupportedError:
    return UnsupportedError(
        "the LST engine does not run this network",
        where=(node.name or node.op) if node else graph.name,
        expected=expected,
        found=found,
        remedy="It runs one learned separable transform and a fully connected layer, as `lowbit zoo lst1`.",
    )
