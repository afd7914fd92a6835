"""Values in the place of what refused nodes would give, so that what is behind them can be looked at too."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from lowbit.errors import UnsupportedError
from lowbit.formats.onnx.ends import input_value
from lowbit.formats.onnx.inlining import names_read
from lowbit.ir import Graph, Value

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto


class StandIns:
    """Adds them to a graph, of which nothing is used but what is wrong with it.

    Attributes:
        unknown: names of which the file says no shape, or that hold other numbers than reals: what reads them
            may need the numbers themselves, and is not looked at.
    """

    def __init__(self, file: "GraphProto", graph: Graph) -> None:
        self._graph = graph
        self._stated = {info.name: info for info in (*file.value_info, *file.output)}
        self.unknown: set[str] = set()

    def hides(self, proto: "NodeProto") -> bool:
        """Return whether a node reads a name that is unknown."""
        return not self.unknown.isdisjoint(names_read(proto))

    def add(self, proto: "NodeProto", constants: Collection[str]) -> None:
        """Add the outputs of a node that was refused.

        Args:
            proto: the node.
            constants: names that are there already.
        """
        for name in filter(None, proto.output):
            if name in constants or name in self._graph.values:
                continue
            value = self._value(name)
            if value is None or value.dtype != "float32":
                self.unknown.add(name)
            else:
                self._graph.add(value)

    def _value(self, name: str) -> Value | None:
        try:
            return input_value(self._stated[name], None) if name in self._stated else None
        except UnsupportedError:
            return None
