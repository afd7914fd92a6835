"""Functions for single values of codes of any encoding: what encodes, decodes or maps them is a table.

`lowbit.formats.onnx.functions` has names for codes of the schemes that files of before have; these serve all
others. As in `any_codes`, a node states encodings as JSON and gives the tables that follow from them:

    EncodeByTable   thresholds, codes by rank      code = codes[#{c : x > threshold_c}]
    DecodeByTable   levels by code                 x = levels[code]
    ReluByTable, …  codes by code                  code = codes[code]

and pools of fixed-point codes, by the tables of `coded_pools`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lowbit.errors import UnsupportedError
from lowbit.formats.onnx import coded_pools
from lowbit.formats.onnx.functions import CODED_ACTIVATIONS, parse, parts_of
from lowbit.formats.onnx.stated import KNOWN, require
from lowbit.ir import Graph, Node, Trait, Value, has
from lowbit.ir.activations import apply_activation
from lowbit.ir.graph import Array, Attribute
from lowbit.schemes import Encoding

if TYPE_CHECKING:
    from onnx import FunctionProto

_ENCODE = "  rank = lowbit.CountSteps(input, thresholds)\n  output = Gather(table, rank)\n"
_GATHER = "  index = Cast<to = 6>(input)\n  output = Gather(table, index)\n"
_MOST_BITS = 8


@dataclass(frozen=True)
class ByTable:
    """The function of one operator.

    Attributes:
        op: in the graph.
        ends: what has an encoding.
        tables: inputs behind the data.
        steps: the body.
        domain: of the operator in the graph.
        settings: attributes that the body uses.
        remarks: attributes that it does not.
        end: of the name.
    """

    op: str
    ends: tuple[str, ...]
    tables: tuple[str, ...] = ("table",)
    steps: str = _GATHER
    domain: str = "lowbit"
    settings: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    end: str = "ByTable"

    @property
    def name(self) -> str:
        """The node's ``op_type``."""
        return self.op + self.end

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the functions that the body calls."""
        return parts_of(self.steps)

    def to_proto(self) -> "FunctionProto":
        """Return the function as it stands in a file."""
        stated = (f'{end}_encoding: string = ""' for end in self.ends)
        attributes = ", ".join((*self.settings, *stated, *self.remarks))
        inputs = ", ".join(("input", *self.tables))
        return parse(f"{self.name} <{attributes}> ({inputs}) => (output) {{\n{self.steps}}}")


_KINDS = {
    "Encode": ByTable("Encode", ("output",), ("thresholds", "table"), _ENCODE),
    "Decode": ByTable("Decode", ("input",)),
    **{op: ByTable(op, ("input", "output"), domain="") for op in CODED_ACTIVATIONS},
}
_POOLS = {
    op: ByTable(op, ("input", "output"), tables, steps, "", settings, remarks, "OfFixed")
    for op, (tables, settings, remarks, steps) in coded_pools.BODIES.items()
}


def kinds() -> dict[str, ByTable]:
    """Return every function by name."""
    return {kind.name: kind for kind in (*_KINDS.values(), *_POOLS.values())}


def in_order(encoding: Encoding | None) -> bool:
    """Return whether the larger level is the larger code, in a scheme that others have no name for."""
    if encoding is None or encoding.scheme in KNOWN:
        return False
    order = encoding.code_of_rank()
    return bool((order == np.arange(order.shape[1])).all())


def kind_of(graph: Graph, node: Node) -> ByTable | None:
    """Return the function of a node on codes that no other function has a name for."""
    if coded_pools.needs_function(graph, node):
        return _POOLS[node.op]
    ends = (graph.value(name).encoding for name in (node.inputs[0], node.outputs[0]))
    if all(encoding is None or encoding.scheme in KNOWN for encoding in ends):
        return None
    return _KINDS.get(node.op)


def tables_of(graph: Graph, node: Node) -> dict[str, Array]:
    """Return the tables of a node by name.

    Raises:
        UnsupportedError: codes of more than 8 bits, or per channel.
    """
    if has(node, Trait.POOL):
        return coded_pools.pool_tables(graph, node)
    ends = {"input": graph.value(node.inputs[0]).encoding, "output": graph.value(node.outputs[0]).encoding}
    for encoding in filter(None, ends.values()):
        if encoding.bits > _MOST_BITS or encoding.channels != 1:
            raise UnsupportedError(
                f"{node.op} of such codes has no form in ONNX",
                where=node.name,
                expected=f"codes of at most {_MOST_BITS} bits, one encoding for all",
                found=f"{encoding.bits} bits, {encoding.channels} channels",
            )
    if node.op == "Encode":
        target, given = _there(ends["output"]), node.inputs[1] if len(node.inputs) > 1 else ""
        steps = graph.constant(given) if given else target.thresholds()[0]
        return {"thresholds": np.asarray(steps, np.float32), "table": target.code_of_rank()[0]}
    source = _there(ends["input"])
    if node.op == "Decode":
        return {"table": source.levels()[0].astype(np.float32)}
    reals = apply_activation(CODED_ACTIVATIONS[node.op], source.decode(np.arange(1 << source.bits)))
    return {"table": _there(ends["output"]).encode(reals)}


def has_own_thresholds(output: Value, given: Mapping[str, Array | None]) -> bool:
    """Return whether an encoder's thresholds are others than those of its encoding."""
    steps = given.get("thresholds")
    return steps is not None and not np.array_equal(steps, _there(output.encoding).thresholds()[0])


def attributes_of(graph: Graph, node: Node, kind: ByTable) -> dict[str, Attribute]:
    """Return the attributes of a node: its own, and its encodings."""
    owners = {"input": node.inputs[0], "output": node.outputs[0]}
    stated: dict[str, Attribute] = {
        f"{end}_encoding": json.dumps(_there(graph.value(owners[end]).encoding).to_dict())
        for end in kind.ends
    }
    own = coded_pools.pool_attributes(graph, node) if has(node, Trait.POOL) else node.attributes
    return {**own, **stated}


def own_attributes(kind: ByTable, attributes: Mapping[str, object]) -> dict[str, object]:
    """Return the attributes that are the graph's operator's."""
    ours = {*kind.settings} - {*coded_pools.OWN}
    return {
        name: item for name, item in attributes.items() if not name.endswith("_encoding") and name not in ours
    }


def check_tables(graph: Graph, node: Node, given: Mapping[str, Array | None]) -> None:
    """Check that tables are those of the encodings: they are what a runtime computes with.

    Raises:
        ModelFormatError: one of them is another.
    """
    for name, table in tables_of(graph, node).items():
        found = given[name]
        same = found is not None and found.dtype == table.dtype and np.array_equal(found, table)
        require(same, f"the table {name}", "that of the encodings", "another")


def _there(encoding: Encoding | None) -> Encoding:
    assert encoding is not None
    return encoding
