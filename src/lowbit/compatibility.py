"""Whether a network works: all that is in the way, by what would run or hold it, and what can be quantized.

Back ends and formats are asked themselves; there is no list of operators here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from lowbit.backends import BACKENDS
from lowbit.blockers import Blocker, grouped
from lowbit.formats import FORMATS, Format
from lowbit.ir import Graph, Node
from lowbit.quantization.kept import Candidate, candidates

__all__ = ["Candidate", "Compatibility", "Target", "compatibility", "target_names"]


@dataclass(frozen=True)
class Target:
    """What would run a network, or a file that would hold it.

    Attributes:
        name: of the back end, or the suffix of the file.
        about: what it is, one clause.
        blockers: what keeps it from the network; nothing: it works.
    """

    name: str
    about: str
    blockers: tuple[Blocker, ...]


@dataclass(frozen=True)
class Compatibility:
    """What a network works with.

    Attributes:
        targets: back ends, then files.
        layers: those with weights, as quantization sees them.
    """

    targets: tuple[Target, ...]
    layers: tuple[Candidate, ...]


def target_names() -> list[str]:
    """Return the names of all targets, in order."""
    return [*BACKENDS, *(suffix for suffix, _ in _files())]


def compatibility(graph: Graph, words: Mapping[str, str]) -> Compatibility:
    """Return what a verified network works with.

    Args:
        graph: the network.
        words: the file's own word for operators, by names of nodes and of what they give; messages use it.
    """
    found = [Target(each.name, each.about, (*each.blockers(graph),)) for each in BACKENDS.values()]
    found += [Target(suffix, f"a file of {row.name}", (*row.blockers(graph),)) for suffix, row in _files()]
    targets = tuple(replace(each, blockers=_said(graph, each.blockers, words)) for each in found)
    return Compatibility(targets, tuple(candidates(graph)))


def _files() -> list[tuple[str, Format]]:
    return [(row.suffixes[0], row) for row in FORMATS]


def _said(graph: Graph, blockers: Iterable[Blocker], words: Mapping[str, str]) -> tuple[Blocker, ...]:
    """Return blockers in the file's own words, where it has some for their nodes."""
    nodes = {node.name: node for node in graph.nodes}
    own = []
    for blocker in blockers:
        parts = [replace(blocker, nodes=(name,)) for name in blocker.nodes] or [blocker]
        own += [
            replace(part, operator=_word(nodes.get(part.nodes[0]), part.nodes[0], words) or part.operator)
            if part.nodes
            else part
            for part in parts
        ]
    return tuple(grouped(own))


def _word(node: Node | None, name: str, words: Mapping[str, str]) -> str:
    """Return the file's word for a node, or ""; names that are made up begin with one of the file."""
    for given in (*(() if node is None else node.outputs), name):
        ends = [len(given), *(at for at in range(len(given) - 1, 0, -1) if given[at] in "/_")]
        found = next((words[given[:end]] for end in ends if given[:end] in words), "")
        if found:
            return found
    return ""
