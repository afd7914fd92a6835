"""What keeps a graph from the array engine: every operator at once, each with what to do about it."""

from collections.abc import Collection, Iterator, Sequence

from lowbit.blockers import Blocker, remedies
from lowbit.errors import UnsupportedError
from lowbit.ir import Graph, Node, Trait, has
from lowbit.ir.layers import is_low_bit, rounds

_FLOAT = "Quantize this layer as well: it stayed float."
_AFFINE = "Quantize with --weights lq:K or pow2:K, or affine:2 to affine:6."
_INPUTS = "Quantize activations as well: the inputs of this layer are floats."
_FUNCTION = "Use ReLU, tanh or hardtanh, which become thresholds of the layer before."
SCORES = "Leave the last function out: the class is that of the largest score without it."
_AVERAGE = "Use a max-pool, or a convolution with a stride, in place of the average."
_BRANCH = "The engine runs one chain of layers, without sums, products or joins of branches."


def operators(graph: Graph, stages: Collection[str], remedy: str) -> Iterator[Blocker]:
    """Yield the operators that the engine does not have, one by one.

    Args:
        graph: the network.
        stages: operators of layers and pools.
        remedy: what to do where nothing more is known.
    """
    found = [node for node in graph.nodes if not _runs(graph, node, stages)]
    for node in [node for node in found if not _is_consequence(node)] or found:
        name, cure = node.name or node.op, _cure(graph, node, remedy)
        expected = f"an encoder of pixels, then {', '.join(stages)}"
        yield Blocker(_what(graph, node), (name,), node.op, expected, node.op, cure)


def _what(graph: Graph, node: Node) -> str:
    if not is_low_bit(node):
        return "the array engine has no such operator"
    reads = "that round their sums" if rounds(graph, node) else "that read floats"
    return f"the array engine has no layers {reads}"


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


def _runs(graph: Graph, node: Node, stages: Collection[str]) -> bool:
    if has(node, Trait.KEEPS_ORDER):
        return True
    if node.op == "Encode":
        return _is_input(graph, node.inputs[0])
    coded = graph.value(node.inputs[0]).encoding is not None
    return node.op in stages and coded and not rounds(graph, node)


def _is_input(graph: Graph, name: str) -> bool:
    """Return whether a value is the input of the graph, perhaps in another shape."""
    maker = graph.producer(name)
    if maker is None:
        return name in graph.inputs
    return has(maker, Trait.KEEPS_ORDER) and _is_input(graph, maker.inputs[0])


def _cure(graph: Graph, node: Node, remedy: str) -> str:
    if is_low_bit(node):
        return _AFFINE if rounds(graph, node) else _INPUTS
    if node.domain and not has(node, Trait.BROADCASTS):
        return remedy
    if has(node, Trait.LAYER):
        return _FLOAT
    if has(node, Trait.ENDS_CLASSIFIER):
        return SCORES
    if has(node, Trait.POOL):
        return remedy if has(node, Trait.COMPARES) else _AVERAGE
    if has(node, Trait.ELEMENTWISE) or has(node, Trait.HOMOGENEOUS):
        return SCORES if node.outputs[0] in graph.outputs else _FUNCTION
    joins = has(node, Trait.CARRIES) and not has(node, Trait.MOVES)
    return _BRANCH if joins or has(node, Trait.BROADCASTS) else remedy


def _is_consequence(node: Node) -> bool:
    """Return whether a node stands beside other blockers because of them: codes made and decoded, a ReLU."""
    codes = node.domain == "lowbit" and has(node, Trait.ELEMENTWISE)
    return codes or (node.domain, node.op) == ("", "Relu")
