"""What an ONNX model has to be before its nodes are read: its structure, operators and versions."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from lowbit.errors import ModelFormatError, TooLargeError, UnsupportedError
from lowbit.formats.onnx import any_codes, by_table
from lowbit.formats.onnx.composites import composite_of
from lowbit.formats.onnx.functions import DOMAIN, DOMAIN_VERSION, functions, is_ours
from lowbit.formats.onnx.onnx_runtime import MICROSOFT
from lowbit.formats.onnx.quantized import FOREIGN
from lowbit.formats.onnx.rewrites import REWRITES
from lowbit.formats.onnx.shape_arithmetic import FOLDED
from lowbit.formats.onnx.standard_functions import has_function
from lowbit.formats.onnx.tensors import check_text
from lowbit.formats.refused import Refused
from lowbit.ir.operators import OPERATORS

if TYPE_CHECKING:
    from onnx import FunctionProto, ModelProto, NodeProto

MAX_NODES = 10_000
OLDEST_OPSET = 6

_STANDARD = ("", "ai.onnx")

_REMEDY = "Export it without them, or report which network needs them."
_LOOPS = "Control flow is not run: export the network with its loops unrolled, for a fixed length."
_TREES = "Decision trees are no networks of layers: run them in their own library."
_LISTS = "Export the network with tensors instead of lists."
_REMEDIES = {
    **dict.fromkeys(("Loop", "Scan"), _LOOPS),
    **dict.fromkeys(("TreeEnsembleClassifier", "TreeEnsembleRegressor", "TreeEnsemble"), _TREES),
    **dict.fromkeys(("SequenceConstruct", "SplitToSequence", "SequenceAt"), _LISTS),
}


def check_model(model: "ModelProto") -> None:
    """Refuse a model without a network, with too many nodes, or with functions that are not ours."""
    check_text(model)
    if not model.HasField("graph") or not (len(model.graph.node) or len(model.graph.output)):
        raise ModelFormatError("the file holds no network", expected="a graph with nodes", found="none")
    if not len(model.graph.node):
        raise UnsupportedError(
            "the network computes nothing", expected="a graph with nodes", found="outputs alone"
        )
    if len(model.graph.node) > MAX_NODES:
        raise TooLargeError(
            "too many nodes", expected=f"at most {MAX_NODES}", found=str(len(model.graph.node))
        )
    for function in model.functions:
        ours = is_ours(function.name) or composite_of(function.name) is not None
        if function.domain in _STANDARD or (function.domain == DOMAIN and not ours):
            raise UnsupportedError(
                "a function in a file has the name of an operator",
                where=f"function {function.domain}.{function.name}",
                expected="a domain of its own",
                remedy="Export the network with its functions inlined.",
            )


Functions = Mapping[tuple[str, str], "FunctionProto"]


def functions_of(model: "ModelProto") -> Functions:
    """Return the functions that a file brings along, by domain and name; ours are known by their names."""
    return {(each.domain, each.name): each for each in model.functions if each.domain != DOMAIN}


Key = tuple[str, str]
"""Domain and name of an operator."""


def refuse_unread(nodes: "Iterable[NodeProto]", own: Functions, opset: int, refused: Refused) -> set[Key]:
    """Note operators that nothing reads, and return them, with the functions of the file that have some.

    Args:
        nodes: those that are needed.
        own: functions of the file, whose nodes are looked at as well.
        opset: version of the standard operators.
        refused: is told each node.
    """
    known, unread, seen = _known() | {("", "If")}, set[Key](), set[Key]()

    def visit(node: "NodeProto") -> None:
        key = domain_of(node), node.op_type
        if key in own and key not in seen:
            seen.add(key)
            for inner in own[key].node:
                visit(inner)
                if (domain_of(inner), inner.op_type) in unread:
                    unread.add(key)
        elif key not in known and key not in own and not (key[0] == "" and has_function(key[1], opset)):
            unread.add(key)
            refused.add(_unread(node), node.name or node.output[0], label_of(node))

    for node in nodes:
        visit(node)
    return unread


def _unread(node: "NodeProto") -> UnsupportedError:
    return UnsupportedError(
        "operators that lowbit does not have",
        where=f"node {node.name or node.output[0]!r} ({node.op_type})",
        expected="those that docs/onnx-operators.md lists",
        found=f"{label_of(node)} (1)",
        remedy=_REMEDIES.get(node.op_type, _REMEDY),
    )


def label_of(node: "NodeProto") -> str:
    """Return what people call a node's operator: its name, behind the domain where that is not ONNX's."""
    return f"{domain_of(node)}.{node.op_type}".lstrip(".")


def domain_of(node: "NodeProto") -> str:
    """Return the domain of a node's operator, empty for the standard ones."""
    return "" if node.domain in _STANDARD else node.domain


def is_known(node: "NodeProto") -> bool:
    """Return whether something reads a standard operator by itself."""
    return node.op_type in REWRITES or node.op_type in FOLDED or (domain_of(node), node.op_type) in OPERATORS


def _known() -> set[tuple[str, str]]:
    """Return the operators that are read, worked out or dropped, by domain."""
    standard = {("", name) for name in (*REWRITES, *FOLDED)}
    composites = {(DOMAIN, operator.name) for operator in OPERATORS.values() if operator.body}
    return (
        OPERATORS.keys()
        | standard
        | composites
        | FOREIGN.keys()
        | {("com.microsoft", name) for name in MICROSOFT}
        | {(DOMAIN, name) for name in (*functions(), *any_codes.layers(), *by_table.kinds())}
    )


def opset_of(model: "ModelProto") -> int:
    """Return the version of the standard operators."""
    from onnx import defs

    versions = {
        ("" if item.domain in _STANDARD else item.domain): item.version for item in model.opset_import
    }
    found, newest = versions.get("", 0), defs.onnx_opset_version()
    if not OLDEST_OPSET <= found <= newest:
        raise UnsupportedError(
            "this version of ONNX is not supported",
            expected=f"opset {OLDEST_OPSET} to {newest}",
            found=f"opset {found}" if found else "none",
            remedy="Export the network with opset 18.",
        )
    if versions.get(DOMAIN, DOMAIN_VERSION) != DOMAIN_VERSION:
        raise UnsupportedError(
            "this version of the low-bit operators is not supported",
            expected=str(DOMAIN_VERSION),
            found=str(versions[DOMAIN]),
            remedy="Update lowbit.",
        )
    return int(found)
