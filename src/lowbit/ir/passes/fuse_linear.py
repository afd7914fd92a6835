"""Fuse linear layers: MatMul, then Add of a vector, become one Gemm with ``transB = 1``.

Afterwards every layer with constant weights reads ``y = x W^T + b``, ``W [o, n]``, ``b [o]``.
"""

import numpy as np
import numpy.typing as npt

from lowbit.ir.graph import Graph, Node
from lowbit.ir.layers import is_product
from lowbit.ir.passes.infrastructure import Pass


def is_fused(graph: Graph) -> bool:
    """Return whether no constant-weight product is left in another form."""
    return not any(_is_open(graph, node) for node in graph.nodes)


def is_linear(graph: Graph, node: Node) -> bool:
    """Return whether a node is ``y = x W^T + b`` with constant ``W`` and ``b``."""
    if (node.domain, node.op) != ("", "Gemm") or len(node.inputs) != 3:
        return False
    weights, bias = (graph.values[name].data if name else None for name in node.inputs[1:])
    if weights is None or bias is None:
        return False
    return dict(node.attributes) == {"transB": 1} and bias.shape == weights.shape[:1]


def _apply(graph: Graph) -> bool:
    changed = False
    for node in list(graph.nodes):
        if _is_open(graph, node):
            _rewrite(graph, node)
            changed = True
    return changed


def _is_open(graph: Graph, node: Node) -> bool:
    if node.domain or not is_product(node) or is_linear(graph, node):
        return False
    weights = graph.values[node.inputs[1]]
    rank = len(graph.values[node.inputs[0]].shape)
    return (
        weights.data is not None
        and weights.data.ndim == 2
        and rank == 2
        and not node.attributes.get("transA")
        and _has_row_bias(graph, node)
    )


def _has_row_bias(graph: Graph, node: Node) -> bool:
    """Return whether a node's own bias, if it has one, is a constant that is the same for every sample."""
    if len(node.inputs) < 3 or not node.inputs[2]:
        return True
    data = graph.values[node.inputs[2]].data
    return data is not None and (data.ndim < 2 or data.shape[0] == 1)


def _rewrite(graph: Graph, node: Node) -> None:
    weights = graph.constant(node.inputs[1]).astype(np.float32)
    weights = weights if node.attributes.get("transB") else weights.T
    weights = weights * np.float32(_number(node, "alpha"))
    bias, output, absorbed = absorbed_bias(graph, node, len(weights))
    stem = node.name or node.op
    names = (
        graph.add_constant(graph.fresh_name(f"{stem}/weights"), np.ascontiguousarray(weights)),
        graph.add_constant(graph.fresh_name(f"{stem}/bias"), bias),
    )
    fused = Node("Gemm", (node.inputs[0], *names), (output,), {"transB": 1}, stem)
    # The Add, when there is one, stands where all inputs are known; constants are known everywhere.
    graph.nodes[graph.nodes.index(absorbed or node)] = fused
    if absorbed:
        graph.nodes.remove(node)


def absorbed_bias(graph: Graph, node: Node, outputs: int) -> tuple[npt.NDArray[np.float32], str, Node | None]:
    """Return a product's bias ``[o]``, the fused output's name, and the Add node that it absorbs."""
    bias = np.zeros(outputs, np.float32)
    if len(node.inputs) > 2 and node.inputs[2]:
        constant = graph.constant(node.inputs[2]).astype(np.float32) * np.float32(_number(node, "beta"))
        bias = bias + np.broadcast_to(constant, (1, outputs))[0]
    users = graph.consumers(node.outputs[0])
    if len(users) == 1 and users[0].op == "Add" and node.outputs[0] not in graph.outputs:
        other = next((name for name in users[0].inputs if name != node.outputs[0]), "")
        data = graph.values[other].data if other else None
        if data is not None and data.ndim and data.shape[-1] == data.size == outputs:
            return bias + data.astype(np.float32).reshape(-1), users[0].outputs[0], users[0]
    return bias, node.outputs[0], None


def _number(node: Node, name: str) -> float:
    value = node.attributes.get(name, 1.0)
    assert isinstance(value, int | float)
    return float(value)


fuse_linear = Pass("fuse-linear", _apply, ensures=is_fused)
