"""Outputs that are classes: what a network makes of its scores for people, beside them or instead of them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, ValueInfoProto

_MACHINE_LEARNING = "ai.onnx.ml"


def is_map(maker: "NodeProto") -> bool:
    """Return whether a node makes a map from classes to scores, of an array of scores."""
    return (maker.domain, maker.op_type) == (_MACHINE_LEARNING, "ZipMap") and len(maker.input) > 0


def has_labels(graph: "GraphProto", info: "ValueInfoProto", producers: Mapping[str, int]) -> bool:
    """Return whether an output holds text, or the places of largest scores and what is looked up by them."""
    if _type(info) == "string":
        return True
    if _type(info) not in ("int32", "int64", "bool"):
        return False
    waiting, seen = [info.name], set[int]()
    while waiting:
        index = producers.get(waiting.pop())
        if index is None or index in seen:
            continue
        seen.add(index)
        maker = graph.node[index]
        if maker.op_type == "ArgMax" or maker.domain == _MACHINE_LEARNING:
            return True
        waiting += maker.input
    return False


def is_number(info: "ValueInfoProto") -> bool:
    """Return whether an output is a tensor of numbers."""
    return _type(info) not in ("", "string", "undefined")


def _type(info: "ValueInfoProto") -> str:
    from onnx import TensorProto

    number = info.type.tensor_type.elem_type
    return TensorProto.DataType.Name(number).lower() if number in TensorProto.DataType.values() else ""
