"""Nodes of domain ``lowbit`` become nodes of the graph."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lowbit.errors import ModelFormatError, UnsupportedError
from lowbit.formats.onnx import any_codes, by_table
from lowbit.formats.onnx.composites import composite_of
from lowbit.formats.onnx.functions import DOMAIN, functions
from lowbit.formats.onnx.lowbit_nodes import (
    LowbitNode,
    check_tables,
    read_by_table,
    read_layer,
    read_lowbit_node,
)
from lowbit.formats.onnx.tensors import plain
from lowbit.ir import Node, Value
from lowbit.ir.operators.layer_names import from_file

if TYPE_CHECKING:
    from onnx import NodeProto

    from lowbit.formats.onnx.model_reader import ModelReader


def read_own_node(reader: "ModelReader", proto: "NodeProto", attributes: Mapping[str, object]) -> None:
    """Add what a node of domain ``lowbit`` is; its function, which the file holds too, is not looked at.

    Raises:
        ModelFormatError: its tensors are not what its encodings say.
        UnsupportedError: an operator of a later lowbit.
    """
    for name in filter(None, proto.input):
        reader.require_known(name)
    kind, composite = functions().get(proto.op_type), composite_of(proto.op_type)
    if composite is not None:
        return reader.add(proto, composite.name, list(proto.input), plain(attributes), composite.domain)
    if proto.op_type in any_codes.layers():
        return _any_layer(reader, proto, attributes)
    if proto.op_type in by_table.kinds():
        return _by_table(reader, proto, attributes)
    if kind is None:
        raise UnsupportedError("unknown low-bit operator", found=proto.op_type, remedy="Update lowbit.")
    translated: LowbitNode = read_lowbit_node(kind, proto, attributes, reader.constants, reader.result.values)
    for value in translated.values:
        _add_value(reader, value)
    inputs = tuple(reader.use(name) for name in translated.inputs)
    name = reader.node_name(proto, inputs)
    reader.join(
        Node(
            from_file(kind.op),
            inputs,
            tuple(proto.output),
            translated.attributes,
            name,
            translated.domain,
        )
    )


def _any_layer(reader: "ModelReader", proto: "NodeProto", attributes: Mapping[str, object]) -> None:
    """Append a layer of any encodings, and check that its tables are what its encodings say."""
    for value in read_layer(proto, attributes, reader.constants, reader.result.values):
        _add_value(reader, value)
    kind = any_codes.layers()[proto.op_type]
    inputs = tuple(reader.use(name) for name in proto.input[: len(kind.tensors)])
    own = plain(any_codes.own_attributes(attributes))
    node = Node(kind.op, inputs, tuple(proto.output), own, reader.node_name(proto, inputs), DOMAIN)
    reader.join(node)
    check_tables(reader.result, node, proto, reader.constants)


def _by_table(reader: "ModelReader", proto: "NodeProto", attributes: Mapping[str, object]) -> None:
    """Append what encodes, decodes or maps codes, and check that its tables are what encodings say."""
    kind = by_table.kinds()[proto.op_type]
    source, output, given = read_by_table(kind, proto, attributes, reader.constants, reader.result.values)
    inputs = [reader.use(source)]
    if output is not None:
        _add_value(reader, output)
        if by_table.has_own_thresholds(output, given):
            inputs.append(reader.use(proto.input[1]))
    own, name = plain(by_table.own_attributes(kind, attributes)), reader.node_name(proto, tuple(inputs))
    node = Node(kind.op, tuple(inputs), tuple(proto.output), own, name, kind.domain)
    reader.join(node)
    by_table.check_tables(reader.result, node, given)


def _add_value(reader: "ModelReader", value: Value) -> None:
    """Add a value, or find that it is there already with the same meaning."""
    known = reader.result.values.get(value.name)
    if known is None:
        reader.result.add(value)
    elif (known.dtype, known.shape, known.encoding) != (value.dtype, value.shape, value.encoding):
        raise ModelFormatError("a tensor is used with two meanings", found=repr(value.name))
