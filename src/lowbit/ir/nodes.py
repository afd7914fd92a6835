"""A list of nodes that knows which of them make and read a value."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lowbit.ir.graph import Node


class Nodes(list["Node"]):
    """Nodes in an order in which they can run; whatever changes the list drops what was noted of it."""

    def __init__(self, nodes: "Iterable[Node]" = ()) -> None:
        super().__init__(nodes)
        self._producers: dict[str, Node] | None = None
        self._consumers: dict[str, list[Node]] | None = None

    def producer(self, name: str) -> "Node | None":
        """Return the first node that computes a value, or None."""
        if self._producers is None:
            self._producers = {output: node for node in reversed(self) for output in node.outputs}
        return self._producers.get(name)

    def consumers(self, name: str) -> "list[Node]":
        """Return the nodes that read a value, in order, each once."""
        if self._consumers is None:
            self._consumers = defaultdict(list)
            for node in self:
                for source in dict.fromkeys(node.inputs):
                    self._consumers[source].append(node)
        return list(self._consumers.get(name, ()))

    def append(self, node: "Node") -> None:
        """Add a node; what is noted stays right where it makes nothing that another one makes."""
        super().append(node)
        if self._producers is not None:
            for output in node.outputs:
                self._producers.setdefault(output, node)
        if self._consumers is not None:
            for source in dict.fromkeys(node.inputs):
                self._consumers[source].append(node)

    def __reduce__(self) -> tuple[type, tuple[list["Node"]]]:
        return Nodes, (list(self),)


def _dropping(name: str) -> Callable[..., Any]:
    change = getattr(list, name)

    def changed(self: Nodes, *given: Any, **named: Any) -> Any:
        self._producers = self._consumers = None
        return change(self, *given, **named)

    changed.__name__, changed.__doc__ = name, change.__doc__
    return changed


_CHANGES = (
    "__setitem__",
    "__delitem__",
    "__iadd__",
    "__imul__",
    "clear",
    "extend",
    "insert",
    "pop",
    "remove",
)
for _name in (*_CHANGES, "reverse", "sort"):
    setattr(Nodes, _name, _dropping(_name))
