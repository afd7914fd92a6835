"""What an ONNX model has to be before its nodes are read: its structure, operators and versions."""

from collections import Counter
from typing import TYPE_CHECKING

from lowbit.errors import ModelFormatError, TooLargeError, UnsupportedError
from lowbit.formats.onnx import any_codes, by_table
from lowbit.formats.onnx.composites import composite_of
from lowbit.formats.onnx.functions import DOMAIN, DOMAIN_VERSION, functions, is_ours
from lowbit.formats.onnx.quantized import FOREIGN
from lowbit.formats.onnx.rewrites import REWRITES
from lowbit.formats.onnx.shape_arithmetic import FOLDED
from lowbit.formats.onnx.tensors import check_text
from lowbit.ir.operators import OPERATORS

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

MAX_NODES = 10_000
OLDEST_OPSET = 6

_STANDARD = ("", "ai.onnx")


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
        if function.domain != DOMAIN or not ours:
            raise UnsupportedError(
                "functions in a file are not run",
                where=f"function {function.domain}.{function.name}",
                expected="standard operators",
                remedy="Export the network with its functions inlined.",
            )


def check_operators(nodes: "list[NodeProto]") -> None:
    """Refuse a network with operators that nothing reads, all of them at once."""
    known = _known()
    unknown = [node for node in nodes if (domain_of(node), node.op_type) not in known]
    if not unknown:
        return
    counts = Counter(f"{domain_of(node)}.{node.op_type}".lstrip(".") for node in unknown)
    raise UnsupportedError(
        "operators that lowbit does not have",
        where=f"node {unknown[0].name or unknown[0].output[0]!r} ({unknown[0].op_type})",
        expected="those that docs/onnx-operators.md lists",
        found=", ".join(f"{name} ({count})" for name, count in sorted(counts.items())),
        remedy="Export it without them, or report which network needs them.",
    )


def domain_of(node: "NodeProto") -> str:
    """Return the domain of a node's operator, empty for the standard ones."""
    return "" if node.domain in _STANDARD else node.domain


def _known() -> set[tuple[str, str]]:
    """Return the operators that are read, worked out or dropped, by domain."""
    standard = {("", name) for name in (*REWRITES, *FOLDED)}
    composites = {(DOMAIN, operator.name) for operator in OPERATORS.values() if operator.body}
    return (
        OPERATORS.keys()
        | standard
        | composites
        | FOREIGN.keys()
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
