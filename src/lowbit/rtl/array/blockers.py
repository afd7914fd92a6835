"""What is said of operators that keep a graph from the array engine: what it has instead, and what to do."""

from collections.abc import Collection, Sequence

from lowbit.blockers import Blocker, remedies
from lowbit.errors import UnsupportedError
from lowbit.ir import Graph, Node, Trait, has
from lowbit.ir.layers import is_low_bit

Said = tuple[str, str, str]
"""What is expected, what is found ("" for the operator), and what to do."""

REMEDY = (
    "It runs low-bit layers, pools, sums and joins behind 8-bit inputs: `lowbit zoo cnv --weights binary`."
)
FREE = "Quantize again: a calibrated basis is a scale times integers."
INPUT = "Give the network one input, and one plan for all layers that read it: --first-activations affine:8."
ONE_SCORE = "End in a fully connected layer, or in a global pool."
SCORES = "Leave the last function out: the class is that of the largest score without it."
AVERAGE: Said = (
    "means of fixed-point codes",
    "",
    "Quantize with sums in fixed point (--sums fixed), so that the average has codes on both sides.",
)
BRANCH = "Quantize with sums in fixed point (--sums fixed), of branches of one shape."
JOIN: Said = ("joins along the channels, of maps of one size", "", "Join channels, of maps of one size.")
MAPS: Said = ("maps [n, c, h, w]", "", "Pool maps, before they are flattened.")
FALLING: Said = (
    "functions that do not fall behind a pool",
    "",
    "Put the function before the pool: Conv, function, MaxPool.",
)

WIDE: Said = (
    "codes of at most 8 bits behind a function that does not clip",
    "",
    "Give what reads it at most 8 bits, or take a function that clips, as ReLU and ReLU6 do.",
)

_FLOAT = "Quantize this layer as well: it stayed float."
_INPUTS = "Quantize activations as well: the inputs of this layer are floats."
_REAL = "Quantize what reads it, so that the function lies between a layer and codes: it becomes thresholds."
_OPERATOR = (
    "Replace this operator: the engine runs layers, pools, sums, joins, and functions of single elements."
)


def operators(graph: Graph, node: Node, table: Collection[str]) -> Said:
    """Return what is said of an operator that gives no codes, or none that the engine makes."""
    return f"an encoder of pixels, then {', '.join(table)}", "", _cure(graph, node)


def reads_floats() -> Said:
    """Return what is said of a layer that reads floats."""
    return "layers that read codes", "", _INPUTS


def last(graph: Graph, node: Node | None) -> str:
    """Return what to do about what an output of the network is."""
    if node is None:
        return REMEDY
    if has(node, Trait.POOL) or has(node, Trait.BROADCASTS):
        return "End in a quantized layer: its sums are the scores."
    return _cure(graph, node)


def _cure(graph: Graph, node: Node) -> str:
    if is_low_bit(node):
        return _INPUTS
    if has(node, Trait.LAYER):
        return _FLOAT
    if has(node, Trait.ENDS_CLASSIFIER):
        return SCORES
    if has(node, Trait.POOL):
        return REMEDY if has(node, Trait.COMPARES) else AVERAGE[2]
    if has(node, Trait.ELEMENTWISE) or has(node, Trait.HOMOGENEOUS):
        return SCORES if node.outputs[0] in graph.outputs else _REAL
    joins = has(node, Trait.CARRIES) and not has(node, Trait.MOVES)
    return BRANCH if joins or has(node, Trait.BROADCASTS) else _OPERATOR


def refuse(graph: Graph, blockers: Sequence[Blocker]) -> None:
    """Refuse a graph for everything that is in the way, if anything is.

    Raises:
        UnsupportedError: names every node, and says what to do.
    """
    if not blockers:
        return
    first, each = blockers[0], [(blocker.found, name) for blocker in blockers for name in blocker.nodes]
    raise UnsupportedError(
        "the array engine does not run this network",
        where=first.nodes[0] if first.nodes else graph.name,
        expected=first.expected,
        found=", ".join(f"{found} ({name})" for found, name in each) or first.found,
        remedy=remedies(blockers),
    )
