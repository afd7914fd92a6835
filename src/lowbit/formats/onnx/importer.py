"""What a rewrite needs of the reader."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from lowbit.ir import Graph, Node
from lowbit.ir.graph import Array, Attribute, Shape

if TYPE_CHECKING:
    from onnx import AttributeProto, NodeProto

    from lowbit.formats.onnx.quantized.grid import Grid


class Importer(Protocol):
    """The reader, as rewrites see it."""

    readers: dict[str, list[str]]
    result: Graph
    opset: int
    constants: dict[str, Array]
    grids: "dict[str, Grid]"
    coded_inputs: dict[str, str]

    def use(self, name: str) -> str:
        """Make a name a value of the graph, and return it."""

    def shape(self, name: str) -> Shape:
        """Return the shape of a name."""

    def kind(self, name: str) -> str:
        """Return the dtype of a name."""

    def give(
        self, proto: "NodeProto", output: str, op: str, inputs: list[str], attributes: dict[str, Attribute]
    ) -> None:
        """Add a node for one output of several that a node of the file has."""

    def known(self, name: str) -> Array:
        """Return the numbers of a constant; anything else is refused."""

    def constant(self, stem: str, array: Array) -> str:
        """Add a constant under a name that is free, and return it."""

    def insert(self, op: str, inputs: list[str], domain: str = "", **attributes: Attribute) -> str:
        """Add a node that the file does not have, and return what it computes."""

    def append(
        self, op: str, inputs: list[str], output: str, domain: str = "", **attributes: Attribute
    ) -> None:
        """Add a node that computes a value of the file."""

    def read(
        self,
        op: str,
        inputs: list[str],
        output: str,
        *,
        name: str = "",
        attributes: "Iterable[AttributeProto]" = (),
        **more: object,
    ) -> None:
        """Read a node that another one of the file stands for, as if the file had it."""

    def free_name(self, stem: str) -> str:
        """Return a name that neither the file nor the graph has."""

    def type_of(self, name: str) -> str:
        """Return the type that the file gives a constant or an input; that of codes is theirs alone."""

    def known_shape(self, name: str) -> Shape:
        """Return the shape of a name, without making a value of it."""

    def note(self, text: str) -> None:
        """Say to people what was read as something else."""

    def emit(self, node: Node) -> None:
        """Add a node whose inputs may be constants, and infer its outputs."""

    def add(
        self,
        proto: "NodeProto",
        op: str,
        inputs: list[str],
        attributes: dict[str, Attribute],
        domain: str = "",
    ) -> None:
        """Add a node and infer its outputs."""
