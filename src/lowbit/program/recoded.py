"""Codes that become other codes by way of floats: one step on words instead, without a float.

A ``Decode`` of words, functions of single elements behind it and an ``Encode`` at the end are a function of
one code, which the reference evaluator tabulates. It is kept as thresholds on words where few levels are left
and the function rises; else as a table of all words. What nothing else reads of the floats is not computed.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lowbit.errors import LowbitError
from lowbit.ir import Graph, Node, Trait, has
from lowbit.program.layout import Layout, entries_of_code
from lowbit.program.steps import LookUpEntries, RankWords

_FEW = 16  # levels that thresholds tell apart faster than a table does


@dataclass(frozen=True)
class Recoded:
    """What is coded without floats.

    Attributes:
        steps: by name of the codes that are made: the codes that they are a function of, and the step.
        hidden: values that need not be computed for it.
    """

    steps: dict[str, tuple[str, RankWords | LookUpEntries]]
    hidden: frozenset[str]


def recoded(graph: Graph, layout: Layout) -> Recoded:
    """Return what a verified graph codes without floats."""
    steps: dict[str, tuple[str, RankWords | LookUpEntries]] = {}
    between: set[str] = set()
    for node in graph.nodes:
        chain = _chain(graph, layout, node) if node.op == "Encode" else []
        step = _step(graph, layout, chain) if chain else None
        if step is not None:
            steps[node.outputs[0]] = chain[0].inputs[0], step
            between.update(each.outputs[0] for each in chain[:-1])
    read = set(graph.outputs)
    for node in reversed(graph.nodes):
        name = node.outputs[0]
        if name in read or name not in between:
            read.update(node.inputs if name not in steps else steps[name][:1])
    return Recoded(steps, frozenset(between - read))


def _chain(graph: Graph, layout: Layout, encode: Node) -> list[Node]:
    """Return the nodes from a ``Decode`` of words to an ``Encode``, or none."""
    chain = [encode]
    while (maker := graph.producer(chain[0].inputs[0])) is not None:
        chain.insert(0, maker)
        if maker.op == "Decode":
            return chain if layout.form(maker.inputs[0]) == "words" else []
        if not _is_function(graph, maker):
            return []
    return []


def _is_function(graph: Graph, node: Node) -> bool:
    """Return whether a node makes a float of each float, in place."""
    if len(node.outputs) != 1 or not has(node, Trait.ELEMENTWISE):
        return False
    (output,), (source, *parameters) = node.outputs, node.inputs
    floats = all(graph.value(name).dtype == "float32" for name in (output, source))
    constant = all(graph.value(name).data is not None for name in parameters if name)
    return floats and constant and graph.value(output).shape == graph.value(source).shape


def _step(graph: Graph, layout: Layout, chain: list[Node]) -> RankWords | LookUpEntries | None:
    """Return the step of a chain, or None where it has none: planes by a function that falls somewhere."""
    source, name = graph.value(chain[0].inputs[0]), chain[-1].outputs[0]
    form, target = layout.form(name), graph.value(name).encoding
    assert source.encoding is not None and target is not None  # verified
    try:
        words = entries_of_code(source.encoding, "words", source.name)
        entries = entries_of_code(target, form, name)
    except LowbitError:
        return None  # the nodes are refused for what they are
    made = _codes(graph, chain, 1 << source.encoding.bits)
    order = target.code_of_rank()[0]
    ranks = np.argsort(order)[made[np.argsort(words)].astype(np.intp)]
    if len(order) <= _FEW and (np.diff(ranks) >= 0).all():
        below = np.searchsorted(ranks, np.arange(len(order) - 1), side="right")
        thresholds = np.append(words.min() - 1, np.sort(words))[below]
        return RankWords(form, thresholds.astype(np.int32), entries[order].astype(np.int16).view(np.uint16))
    if form == "planes":
        return None
    least = int(words.min())
    table = np.zeros(int(words.max()) - least + 1, np.uint16)
    table[words - least] = entries[made.astype(np.intp)].astype(np.int16).view(np.uint16)
    return LookUpEntries(form, least, table)


def _codes(graph: Graph, chain: list[Node], count: int) -> npt.NDArray[np.unsignedinteger]:
    """Return the code that a chain makes of each code, by the reference evaluator itself."""
    from lowbit.ir.reference import evaluate_node

    source = graph.value(chain[0].inputs[0])
    assert source.encoding is not None
    current: npt.NDArray[np.generic] = np.arange(count).astype(source.encoding.code_of_rank().dtype)
    for node in chain:
        constants = {name: graph.constant(name) for name in node.inputs[1:] if name}
        with np.errstate(all="ignore"):
            (current,) = evaluate_node(graph, node, {node.inputs[0]: current, **constants})
    return current  # type: ignore[return-value]
