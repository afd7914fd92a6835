"""Functions of standard operators that ONNX itself says an operator is."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lowbit.errors import UnsupportedError

if TYPE_CHECKING:
    from onnx import FunctionProto, NodeProto, TypeProto


def standard_function(node: "NodeProto", opset: int, types: "list[TypeProto]") -> "FunctionProto | None":
    """Return the function of standard operators that ONNX itself says an operator is, or None."""
    from onnx import FunctionProto, defs

    if not has_function(node.op_type, opset):
        return None
    schema: Any = defs.get_schema(node.op_type, opset)
    if schema.has_context_dependent_function:
        version = _version(schema.context_dependent_function_opset_versions, opset)
        raw = schema.get_context_dependent_function_with_opset_version(
            version, node.SerializeToString(), [each.SerializeToString() for each in types]
        )
    else:
        raw = schema.get_function_with_opset_version(_version(schema.function_opset_versions, opset))
    made = FunctionProto.FromString(raw) if isinstance(raw, bytes) else raw
    named = {attribute.name for attribute in made.attribute_proto}
    defaults = ((name, attribute.default_value) for name, attribute in schema.attributes.items())
    made.attribute_proto.extend(value for name, value in defaults if value.name and name not in named)
    if not len(made.node):
        raise UnsupportedError("this form of the operator is not supported", found=node.op_type)
    return made  # type: ignore[no-any-return]


def has_function(name: str, opset: int) -> bool:
    """Return whether ONNX says of a standard operator what it is made of."""
    from onnx import defs

    if not defs.has(name, max_inclusive_version=opset):
        return False
    schema: Any = defs.get_schema(name, opset)
    return bool(schema.has_function or schema.has_context_dependent_function)


def _version(versions: Iterable[int], opset: int) -> int:
    known = sorted(versions)
    return max((version for version in known if version <= opset), default=known[0])
