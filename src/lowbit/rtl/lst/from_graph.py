"""From a fixed-point graph to the integers of an LST engine, and what the graph says of a picture.

The graph is a chain: encoder; layer of the rows, table, transpose; the same for the columns; flatten, output
layer. Reshapes that only add or drop axes of length one are passed over.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from lowbit.data import Normalize
from lowbit.errors import UnsupportedError
from lowbit.ir import Graph, Node
from lowbit.ir.layers import is_low_bit
from lowbit.ir.operators.fixed_point import integers_of
from lowbit.quantization.fixed_point import to_fixed_point
from lowbit.rtl.chain import chain
from lowbit.rtl.lst.network import Layer, LstNetwork
from lowbit.rtl.pictures import pixel_values
from lowbit.schemes import FixedPoint

_REMEDY = (
    "It runs one learned separable transform and a fully connected layer, as `lowbit zoo lst1`; "
    "--engine array runs chains of low-bit layers."
)


def in_fixed_point(graph: Graph, encoding: FixedPoint | None) -> Graph:
    """Return a network in fixed point: as it is, or a float one rounded (to Q6.7, if nothing is said).

    Raises:
        UnsupportedError: it is in fixed point and a format is wanted, or an operator has no such form.
        NumericError: a constant is not finite.
    """
    if not any(_is_layer(graph, node) for node in graph.nodes):
        low = next((node for node in graph.nodes if node.op == "Encode" or is_low_bit(node)), None)
        if low is not None:
            raise _not_lst(graph, low, "a network in float or fixed point", low.op)
        chosen = encoding or FixedPoint(6, 7)
        return to_fixed_point(graph, chosen.integer_bits, chosen.fraction_bits, chosen.rounding)
    if encoding is not None:
        raise UnsupportedError(
            "the network is in fixed point already",
            where=graph.name,
            found=str(encoding),
            remedy="Leave --scheme out.",
        )
    return graph


def from_graph(graph: Graph, normalize: Normalize, byte: float | None = None) -> LstNetwork:
    """Return the integers of a fixed-point graph with one input, ``[n, (1,) rows, columns]``.

    Args:
        graph: the network.
        normalize: mean and deviation of pixels in [0, 1], as in training.
        byte: what bytes are multiplied by; see `lowbit.rtl.pictures.pixel_values`.

    Raises:
        UnsupportedError: it is not one learned separable transform and a fully connected layer.
    """
    nodes = list(chain(graph, _not_lst))
    for node, needed in zip(nodes, _NEEDED, strict=False):
        if not needed.matches(graph, node):
            raise _not_lst(graph, node, needed.name, node.op)
    if len(nodes) != len(_NEEDED):
        raise _not_lst(graph, nodes[-1] if nodes else None, f"{len(_NEEDED)} layers", str(len(nodes)))
    _, first, table, turn, second, second_table, second_turn, output = nodes
    for node in (turn, second_turn):
        if not _turns(graph, node):
            raise _not_lst(graph, node, "rows and columns exchanged", str(node.attributes.get("perm")))
    encoding = _encoding(graph, nodes)
    if second_table.inputs[1] != table.inputs[1]:
        same = np.array_equal(graph.constant(table.inputs[1]), graph.constant(second_table.inputs[1]))
        if not same:
            raise _not_lst(graph, second_table, f"the function of {table.name}", "another one")
    rows, columns, scores = (_layer(graph, node, encoding) for node in (first, second, output))
    activation = integers_of(encoding, graph.constant(table.inputs[1]))
    pixels = encoding.quantize(pixel_values(normalize, byte))
    return LstNetwork(encoding, rows, columns, scores, activation, pixels).check()


def _is_layer(graph: Graph, node: Node) -> bool:
    """Return whether a node is a layer in fixed point: its bias is codes as well."""
    return is_low_bit(node) and graph.value(node.inputs[2]).encoding is not None


@dataclass(frozen=True)
class _Needed:
    """What has to stand at one place of the chain."""

    name: str
    matches: Callable[[Graph, Node], bool]


_ENCODER = _Needed("an encoder", lambda _, node: node.op == "Encode")
_LAYER = _Needed("a layer in fixed point", _is_layer)
_TABLE = _Needed("a function by table", lambda _, node: node.op == "FixedLookup")
_TURN = _Needed("rows and columns exchanged", lambda _, node: node.op == "Transpose")
_NEEDED = (_ENCODER, *2 * (_LAYER, _TABLE, _TURN), _LAYER)


def _turns(graph: Graph, node: Node) -> bool:
    """Return whether a transpose exchanges the two axes that are longer than one, if there are two."""
    shape = graph.value(node.inputs[0]).shape
    order = cast(tuple[int, ...], node.attributes.get("perm") or tuple(reversed(range(len(shape)))))
    long = [axis for axis in order[1:] if shape[axis] != 1]
    return order[0] == 0 and (len(long) < 2 or long == sorted(long, reverse=True))


def _encoding(graph: Graph, nodes: list[Node]) -> FixedPoint:
    """Return the one encoding of all values."""
    encoding = graph.value(nodes[0].outputs[0]).encoding
    if not isinstance(encoding, FixedPoint):
        raise _not_lst(graph, nodes[0], "fixed point", str(encoding))
    for node in nodes:
        for name in (*node.inputs, *node.outputs):
            found = graph.value(name).encoding if name else None
            if found is not None and found != encoding:
                raise _not_lst(graph, node, f"{encoding} everywhere", str(found))
    return encoding


def _layer(graph: Graph, node: Node, encoding: FixedPoint) -> Layer:
    weights, bias = (integers_of(encoding, graph.constant(name)) for name in node.inputs[1:3])
    return Layer(node.name, weights, bias)


def _not_lst(graph: Graph, node: Node | None, expected: str, found: str) -> UnsupportedError:
    return UnsupportedError(
        "the LST engine does not run this network",
        where=(node.name or node.op) if node else graph.name,
        expected=expected,
        found=found,
        remedy=_REMEDY,
    )
