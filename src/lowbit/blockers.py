"""What keeps a target from a network: everything at once, each with how often and what to do about it."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from lowbit.errors import LowbitError

_SHOWN_NODES = 3


@dataclass(frozen=True)
class Blocker:
    """One reason, and all nodes that it concerns.

    Attributes:
        what: went wrong, one clause.
        nodes: names of nodes, or of the network's inputs and outputs; empty where it concerns the whole.
        operator: of the nodes, in ONNX's words; "" where it concerns none.
        expected: what the target has instead.
        found: what the first node has.
        remedy: what to do.
    """

    what: str
    nodes: tuple[str, ...] = ()
    operator: str = ""
    expected: str = ""
    found: str = ""
    remedy: str = ""

    @property
    def count(self) -> int:
        """How many nodes it concerns; 1 where it concerns the whole network."""
        return max(len(self.nodes), 1)

    def __str__(self) -> str:
        named = ", ".join(self.nodes[:_SHOWN_NODES]) + (", …" if len(self.nodes) > _SHOWN_NODES else "")
        place = f" ({named})" if named else ""
        kind = f"{self.operator}: " if self.operator else ""
        return f"{self.count} × {kind}{self.what}{place}"


def to_dict(blocker: Blocker) -> dict[str, Any]:
    """Return a blocker JSON-ready: its fields, ``nodes`` as a list, and ``count``."""
    return {**asdict(blocker), "nodes": list(blocker.nodes), "count": blocker.count}


def blocker_of(error: LowbitError, node: str = "", operator: str = "") -> Blocker:
    """Return what an error says as a blocker of a node, or of the whole network."""
    nodes = (node,) if node else ()
    return Blocker(error.message, nodes, operator, error.expected, error.found, error.remedy)


def grouped(blockers: Iterable[Blocker]) -> list[Blocker]:
    """Return blockers in order, those of one operator and one reason as one with all their nodes."""
    found: dict[tuple[str, str], Blocker] = {}
    for blocker in blockers:
        key = blocker.operator, blocker.what
        before = found.get(key)
        nodes = () if before is None else before.nodes
        found[key] = replace(before or blocker, nodes=tuple(dict.fromkeys((*nodes, *blocker.nodes))))
    return list(found.values())


def remedies(blockers: Iterable[Blocker]) -> str:
    """Return what to do about them, each remedy once."""
    return " ".join(dict.fromkeys(blocker.remedy for blocker in blockers if blocker.remedy))


def listed(blockers: Iterable[Blocker]) -> str:
    """Return all of them in one clause, for the ``found`` of an error."""
    return "; ".join(map(str, blockers))
