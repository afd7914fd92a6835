"""From a fixed-point graph to the integers of an LST engine, and what the graph says of a picture.

The graph is a chain: encoder; layer of the rows, table, transpose; the same for the columns; flatten, output
layer. Reshapes that only add or drop axes of length one are passed over.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from lowbit.blockers import Blocker, blocker_of, grouped
from lowbit.data import Normalize
from lowbit.errors import LowbitError, UnsupportedError
from lowbit.ir import Graph, Node
from lowbit.ir.layers import is_low_bit
from lowbit.ir.operators.fixed_point import integers_of
from lowbit.quantization.fixed_point import blockers as fixed_point_blockers
from lowbit.quantization.fixed_point import to_fixed_point
from lowbit.rtl.chain import chain
from lowbit.rtl.lst.network import Layer, LstNetwork
from lowbit.rtl.pictures import NORMALIZE, AnyByte, pixel_values
from lowbit.schemes import FixedPoint

_MESSAGE = "the LST engine does not run this network"
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
    if not is_fixed_point(graph):
        if not _is_float(graph):
            low = next(node for node in graph.nodes if _is_coded(node))
            raise _not_lst(graph, low, "a network in float or fixed point", low.op)
        chosen = encoding or FixedPoint(6, 7)
        return to_fixed_point(graph, chosen.integer_bits, chosen.fraction_bits, chosen.rounding)
    if encoding is not None:
        raise UnsupportedError(
            "the network is in fixed point already",
            where=graph.name,
            found=str(encoding),
            remedy="Leave --weights and --activations out.",
        )
    return graph


def _is_coded(node: Node) -> bool:
    return node.op == "Encode" or is_low_bit(node)


def _is_float(graph: Graph) -> bool:
    return not any(map(_is_coded, graph.nodes))


def is_fixed_point(graph: Graph) -> bool:
    """Return whether a network has layers in fixed point."""
    return any(_is_layer(graph, node) for node in graph.nodes)


def from_graph(graph: Graph, normalize: Normalize, byte: AnyByte = None) -> LstNetwork:
    """Return the integers of a fixed-point graph with one input, ``[n, (1,) rows, columns]``.

    Args:
        graph: the network.
        normalize: mean and deviation of pixels in [0, 1], as in training.
        byte: what a byte stands for; see `lowbit.rtl.pictures.Byte`.

    Raises:
        UnsupportedError: it is not one learned separable transform and a fully connected layer.
    """
    refused = list(_refused(graph))
    if refused:
        raise _all_of(graph, refused)
    encoder, first, table, _, second, _, _, output = chain(graph, _not_lst)
    encoding = _format(graph, encoder)
    assert encoding is not None  # see `_refused`
    rows, columns, scores = (_layer(graph, node, encoding) for node in (first, second, output))
    activation = integers_of(encoding, graph.constant(table.inputs[1]))
    pixels = encoding.quantize(pixel_values(normalize, byte))
    return LstNetwork(encoding, rows, columns, scores, activation, pixels).check()


def blockers(graph: Graph) -> list[Blocker]:
    """Return what keeps a graph, in float or fixed point, from the engine: all of it that can be told."""
    if _is_float(graph) and (found := fixed_point_blockers(graph)):
        return found
    try:
        fixed = in_fixed_point(graph, None)
        refused: list[LowbitError] = list(_refused(fixed))
        if not refused:
            from_graph(fixed, NORMALIZE)  # no more than a few thousand integers
    except LowbitError as error:
        refused = [error]
    return grouped(_blocker(graph, error) for error in refused)


def _blocker(graph: Graph, error: LowbitError) -> Blocker:
    operator = next((node.op for node in graph.nodes if node.name == error.where), "")
    found = blocker_of(error, error.where, operator)
    needed = f"the LST engine needs {error.expected}" if error.message == _MESSAGE else error.message
    return replace(found, what=needed, remedy=error.remedy or _REMEDY)


def _refused(graph: Graph) -> Iterator[UnsupportedError]:
    """Yield nodes that stand in another's place, or what is wrong with those that do not."""
    try:
        nodes = list(chain(graph, _not_lst))
    except UnsupportedError as error:
        yield error
        return
    misplaced = [
        _not_lst(graph, node, needed.name, node.op)
        for node, needed in zip(nodes, _NEEDED, strict=False)
        if not needed.matches(graph, node)
    ]
    if len(nodes) != len(_NEEDED):
        last = nodes[-1] if nodes else None
        misplaced.append(_not_lst(graph, last, f"{len(_NEEDED)} layers", str(len(nodes))))
    yield from misplaced or _refused_details(graph, nodes)


def _refused_details(graph: Graph, nodes: list[Node]) -> Iterator[UnsupportedError]:
    for node in nodes:
        if node.op == "Transpose" and not _turns(graph, node):
            yield _not_lst(graph, node, _TURN.name, str(node.attributes.get("perm")))
    yield from _refused_encodings(graph, nodes)
    table, second = (node for node in nodes if node.op == "FixedLookup")
    one, other = (graph.constant(node.inputs[1]) for node in (table, second))
    if not np.array_equal(one, other):
        yield _not_lst(graph, second, f"the function of {table.name}", "another one")


def _format(graph: Graph, node: Node) -> FixedPoint | None:
    """Return the fixed-point format of what a node gives, if it has one."""
    encoding = graph.value(node.outputs[0]).encoding
    return None if encoding is None else encoding.as_fixed_point()


def _refused_encodings(graph: Graph, nodes: list[Node]) -> Iterator[UnsupportedError]:
    """Yield the nodes that have another encoding than the one of all values."""
    encoding = _format(graph, nodes[0])
    if encoding is None:
        yield _not_lst(graph, nodes[0], "fixed point", str(graph.value(nodes[0].outputs[0]).encoding))
        return
    for node in nodes:
        names = [name for name in (*node.inputs, *node.outputs) if name]
        encodings = [graph.value(name).encoding for name in names]
        other = next((found for found in encodings if found not in (None, encoding)), None)
        if other is not None:
            yield _not_lst(graph, node, f"{encoding} everywhere", str(other))


def _all_of(graph: Graph, refused: Sequence[UnsupportedError]) -> UnsupportedError:
    """Return one error for all."""
    if len(refused) == 1:
        return refused[0]
    found = ", ".join(f"{error.found} ({error.where})" for error in refused)
    first = refused[0]
    facts = {"where": first.where, "expected": first.expected, "found": found, "remedy": first.remedy}
    return UnsupportedError(first.message, **facts)


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


def _layer(graph: Graph, node: Node, encoding: FixedPoint) -> Layer:
    weights, bias = (integers_of(encoding, graph.constant(name)) for name in node.inputs[1:3])
    return Layer(node.name, weights, bias)


def _not_lst(graph: Graph, node: Node | None, expected: str, found: str) -> UnsupportedError:
    return UnsupportedError(
        _MESSAGE,
        where=(node.name or node.op) if node else graph.name,
        expected=expected,
        found=found,
        remedy=_REMEDY,
    )
