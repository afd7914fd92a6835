"""A fully connected layer of all rows, and the transposition behind it, become a convolution.

    f(x W^T + b)^T    of maps [n, 1, h, w], W [o, w]

is, without moving an element, the convolution with kernels ``[o, 1, 1, w]``, whose result ``[n, o, h, 1]`` is
read as ``[n, 1, o, h]``. A learned separable transform is two of them, so it runs wherever convolutions do.
"""

from dataclasses import dataclass

import numpy as np

from lowbit.ir.graph import Array, Graph, Node
from lowbit.ir.operators import Trait, has
from lowbit.ir.passes.infrastructure import Pass

_SWAP = (0, 1, 3, 2)


@dataclass(frozen=True)
class _Rows:
    """Nodes of such a layer in order; `function` and `sum` may be missing."""

    product: Node
    sum: Node | None
    function: Node | None
    transpose: Node
    bias: Array


def has_no_rows(graph: Graph) -> bool:
    """Return whether no layer of rows stands before a transposition."""
    return not any(_rows(graph, node) for node in graph.nodes)


def _apply(graph: Graph) -> bool:
    found = [rows for node in graph.nodes if (rows := _rows(graph, node)) is not None]
    for rows in found:
        _rewrite(graph, rows)
    return bool(found)


def _rows(graph: Graph, product: Node) -> _Rows | None:
    """Return the layer that begins with a product, if it is one."""
    if (product.domain, product.op) != ("", "MatMul"):
        return None
    shape, weights = graph.values[product.inputs[0]].shape, graph.values[product.inputs[1]].data
    fixed = len(shape) == 4 and shape[1] == 1 and all(isinstance(length, int) for length in shape[2:])
    if not fixed or weights is None or weights.ndim != 2:
        return None
    bias: Array = np.zeros(weights.shape[1], np.float32)
    following = [_only_reader(graph, product)]
    total = function = None
    if following[-1] is not None and following[-1].op == "Add":
        total = following[-1]
        others = [name for name in total.inputs if name != product.outputs[0]]
        given = graph.values[others[0]].data if others else None  # else the product is added to itself
        if given is None or given.shape[-1:] != bias.shape or given.size != bias.size:
            return None
        bias = given.reshape(-1)
        following.append(_only_reader(graph, total))
    if following[-1] is not None and has(following[-1], Trait.ELEMENTWISE):
        function = following[-1]
        following.append(_only_reader(graph, function))
    last = following[-1]
    if last is None or last.op != "Transpose" or last.attributes.get("perm") != _SWAP:
        return None
    return _Rows(product, total, function, last, bias)


def _only_reader(graph: Graph, node: Node) -> Node | None:
    """Return the one node that reads a result which is no output, or None."""
    readers = graph.consumers(node.outputs[0])
    single = len(readers) == 1 and node.outputs[0] not in graph.outputs
    return readers[0] if single and not readers[0].domain else None


def _rewrite(graph: Graph, rows: _Rows) -> None:
    """Put convolution, function and reshape where the last node stands: there all inputs are known."""
    weights = graph.constant(rows.product.inputs[1]).astype(np.float32)
    stem = rows.product.name or "rows"
    height = graph.values[rows.product.inputs[0]].shape[2]
    width, outputs = weights.shape
    kernel = graph.add_constant(graph.fresh_name(f"{stem}/kernel"), weights.T.reshape(outputs, 1, 1, width))
    bias = graph.add_constant(graph.fresh_name(f"{stem}/bias"), rows.bias.astype(np.float32))
    shape = graph.add_constant(graph.fresh_name(f"{stem}/shape"), [0, 1, outputs, height], "int64")
    source = (rows.sum or rows.product).outputs[0]
    result = rows.function.outputs[0] if rows.function else source
    nodes = [
        Node("Conv", (rows.product.inputs[0], kernel, bias), (source,), {"kernel_shape": (1, width)}, stem)
    ]
    nodes += [rows.function] if rows.function else []
    nodes.append(Node("Reshape", (result, shape), rows.transpose.outputs, {}, rows.transpose.name))
    at = graph.nodes.index(rows.transpose)
    graph.nodes[at : at + 1] = nodes
    for old in (rows.product, rows.sum, rows.function):
        if old is not None:
            graph.nodes.remove(old)  # the first of two is the old one


rows_to_convolution = Pass("rows-to-convolution", _apply, ensures=has_no_rows)
