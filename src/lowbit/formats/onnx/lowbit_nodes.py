"""Low-bit nodes of a file, read back: the inverse of what the writer states about them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from lowbit.errors import ModelFormatError
from lowbit.formats.onnx.any_codes import (
    encodings_in,
    layer_of,
    layers,
    tables_of,
    weights_value,
    with_groups,
)
from lowbit.formats.onnx.by_table import ByTable
from lowbit.formats.onnx.functions import (
    AFFINE_LAYERS,
    CODED_ACTIVATIONS,
    DOMAIN,
    LAYERS,
    POOL_SETTINGS,
    WINDOW_SETTINGS,
    Function,
)
from lowbit.formats.onnx.stated import STATED, require
from lowbit.formats.onnx.tensors import plain
from lowbit.formats.onnx.writer import ENCODING_KEY
from lowbit.formats.packed import unpacked
from lowbit.ir import Graph, Node, Value
from lowbit.ir.activations import ACTIVATIONS, apply_activation, saturation
from lowbit.ir.graph import DTYPES, Array, Attribute
from lowbit.schemes import Encoding, encoding_from_dict

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto


@dataclass(frozen=True)
class LowbitNode:
    """A node as the graph has it.

    Attributes:
        inputs: value names.
        attributes: those of the graph's operator.
        domain: of the graph's operator.
        values: weights and coded output, with their encodings.
    """

    inputs: tuple[str, ...]
    attributes: dict[str, Attribute]
    domain: str
    values: tuple[Value, ...]


def input_encodings(model: "ModelProto") -> dict[str, Encoding]:
    """Return the encodings of graph inputs that are codes, which metadata keeps.

    Raises:
        ModelFormatError: an entry that is no encoding.
    """
    found: dict[str, Encoding] = {}
    for item in model.metadata_props:
        if item.key.startswith(ENCODING_KEY):
            try:
                found[item.key.removeprefix(ENCODING_KEY)] = encoding_from_dict(dict(json.loads(item.value)))
            except (ValueError, TypeError, RecursionError) as error:
                raise ModelFormatError(
                    "an encoding cannot be read", where=item.key, found=str(error)[:80]
                ) from error
    return found


def read_lowbit_node(
    kind: Function,
    proto: "NodeProto",
    attributes: Mapping[str, object],
    constants: Mapping[str, Array],
    values: Mapping[str, Value],
) -> LowbitNode:
    """Return a low-bit node of the file as the graph has it.

    Raises:
        ModelFormatError: inputs, attributes or tensors that are not what we write.
        SchemeError: an encoding with impossible parameters.
    """
    node = _Stated(kind, proto, attributes, constants)
    encodings = {prefix: node.encoding(prefix, scheme) for prefix, scheme in kind.encodings.items()}
    source = values.get(node.names["input"])
    require(source is not None, "the data input", "a computed value", node.names["input"])
    assert source is not None
    if "input" in encodings:
        require(
            source.encoding == encodings["input"],
            "the encoding of the input",
            "that of its producer",
            "another",
        )
    floats = kind.source or kind.op not in LAYERS or source.encoding is None
    require(bool(floats), "the input", "floats", "codes")
    new = _constants(kind, node, encodings)
    if "output" in encodings:
        new.append(Value(proto.output[0], "code", _output_shape(source, new), None, encodings["output"]))
    coded_activation = kind.op in CODED_ACTIVATIONS
    if coded_activation:
        _check_table(kind, node.constant("table"), source.encoding, encodings["output"])
    if "output_ends" in kind.settings:
        _check_ends(node.integers("output_ends"), attributes.get("activation"), encodings["output"])
    standard = coded_activation or kind.op == "MaxPool"
    inputs = tuple(node.names[name] for name in kind.tensors if name != "table" or kind.op == "FixedLookup")
    return LowbitNode(inputs, _own_attributes(kind, attributes), "" if standard else DOMAIN, tuple(new))


def read_layer(
    proto: "NodeProto",
    attributes: Mapping[str, object],
    constants: Mapping[str, Array],
    values: Mapping[str, Value],
) -> list[Value]:
    """Return weights, bias and output of a layer of any encodings, as the graph has them.

    Raises:
        ModelFormatError: inputs, attributes or tensors that are not what we write.
        SchemeError: an encoding with impossible parameters.
    """
    kind = layers()[proto.op_type]
    encodings = dict(encodings_in(attributes, ("weights_encoding",) if kind.group else ()))
    names = (*kind.tensors, *kind.tables)
    require(len(proto.input) == len(names) and all(proto.input), "inputs", ", ".join(names), proto.input)
    source = values.get(proto.input[0])
    require(source is not None, "the data input", "a computed value", proto.input[0])
    assert source is not None
    require(source.encoding == encodings.get("input"), "the encoding of the input", "its own", "another")
    found = {name: constants.get(label) for name, label in zip(names, proto.input, strict=True)}
    weights, bias = found["weights"], found["bias"]
    if kind.group:
        encodings["weights"] = with_groups(attributes.get("weights_encoding"), found)
    require("weights" in encodings and weights is not None, "weights", "constant codes", "others")
    assert weights is not None
    shape = attributes.get("weights_shape")
    new = [weights_value(kind, proto.input[1], weights, encodings["weights"], shape)]
    if "bias" in encodings:
        require(bias is not None, "a bias of codes", "a constant", "a computed value")
        assert bias is not None
        new.append(unpacked(encodings["bias"], bias, bias.shape, proto.input[2]))
    if "output" in encodings:
        dtype = "code" if encodings["output"].bits <= 8 else "code16"
        new.append(Value(proto.output[0], dtype, source.shape, None, encodings["output"]))
    return new


def check_tables(graph: Graph, node: Node, proto: "NodeProto", constants: Mapping[str, Array]) -> None:
    """Check that a layer's tables are those of its encodings: they are what a runtime computes with.

    Raises:
        ModelFormatError: one of them is another.
    """
    kind = layers()[proto.op_type]
    require(layer_of(graph, node) == kind, "the kind of layer", layer_of(graph, node).name, kind.name)
    given = dict(zip(kind.tables, proto.input[len(kind.tensors) :], strict=True))
    for name, table in tables_of(graph, node).items():
        found = constants.get(given[name])
        same = found is not None and found.dtype == table.dtype and np.array_equal(found, table)
        require(same, f"the table {name}", "that of the encodings", "another")


def read_by_table(
    kind: ByTable,
    proto: "NodeProto",
    attributes: Mapping[str, object],
    constants: Mapping[str, Array],
    values: Mapping[str, Value],
) -> tuple[str, Value | None, dict[str, Array | None]]:
    """Return the data input, the output of codes, and the tables of what encodes, decodes or maps codes.

    Raises:
        ModelFormatError: inputs or attributes that are not what we write.
        SchemeError: an encoding with impossible parameters.
    """
    names, encodings = ("input", *kind.tables), dict(encodings_in(attributes))
    require(len(proto.input) == len(names) and all(proto.input), "inputs", ", ".join(names), proto.input)
    require(set(encodings) == set(kind.ends), "encodings", ", ".join(kind.ends), ", ".join(encodings))
    source = values.get(proto.input[0])
    require(source is not None, "the data input", "a computed value", proto.input[0])
    assert source is not None
    require(source.encoding == encodings.get("input"), "the encoding of the input", "its own", "another")
    given = {name: constants.get(label) for name, label in zip(names[1:], proto.input[1:], strict=True)}
    if "output" not in encodings:
        return proto.input[0], None, given
    output = Value(proto.output[0], "code", source.shape, None, encodings["output"])
    return proto.input[0], output, given


class _Stated:
    """What a node of the file states, by the names of its function."""

    def __init__(
        self,
        kind: Function,
        proto: "NodeProto",
        attributes: Mapping[str, object],
        constants: Mapping[str, Array],
    ) -> None:
        require(
            len(proto.input) == len(kind.inputs) and all(proto.input),
            "inputs",
            ", ".join(kind.inputs),
            proto.input,
        )
        self.names = dict(zip(kind.inputs, proto.input, strict=True))
        self.attributes, self.constants = attributes, constants

    def constant(self, name: str, *dtypes: str) -> Array:
        array = self.constants.get(self.names[name])
        require(array is not None, f"input {name}", "a constant", "a computed value")
        assert array is not None
        require(not dtypes or array.dtype.name in dtypes, f"type of {name}", " or ".join(dtypes), array.dtype)
        return array

    def integers(self, name: str) -> tuple[int, ...]:
        """Return an attribute of one or several integers."""
        value = self.attributes.get(name)
        numbers = value if isinstance(value, tuple) else (value,)
        ok = bool(numbers) and all(isinstance(number, int) and abs(number) < 1 << 31 for number in numbers)
        require(ok, f"attribute {name}", "integers", value)
        return numbers

    def fixed_codes(self, name: str, encoding: Encoding) -> Value:
        """Return a constant of fixed-point codes, as wide as its format asks for."""
        dtype = "code" if encoding.bits <= 8 else "code16"
        codes = self.constant(name, DTYPES[dtype].name)
        require(not codes.size or int(codes.max()) >> encoding.bits == 0, name, "codes", int(codes.max()))
        return Value(self.names[name], dtype, codes.shape, codes, encoding)

    def encoding(self, prefix: str, scheme: str) -> Encoding:
        return STATED[scheme].read(self, prefix)


def _constants(kind: Function, node: _Stated, encodings: Mapping[str, Encoding]) -> list[Value]:
    """Return the constants that are codes, weights first."""
    if kind.op == "FixedLinear":
        return [node.fixed_codes(name, encodings["weights"]) for name in ("weights", "bias")]
    if kind.op == "FixedLookup":
        return [node.fixed_codes("table", encodings["output"])]
    return [_weights(kind, node, encodings["weights"])] if "weights" in encodings else []


def _weights(kind: Function, node: _Stated, encoding: Encoding) -> Value:
    if kind.op in AFFINE_LAYERS:
        codes, rank = node.constant("weights", "uint8"), 2 if kind.op == "AffineFullyConnected" else 4
        require(codes.ndim == rank, "weights", f"{rank} axes", codes.shape)
        return Value(node.names["weights"], "code", codes.shape, codes, encoding)
    (length, *_), shape = node.integers("weights_hidden_size"), node.integers("weights_hidden_size")[:1]
    if "weights_shape" in kind.settings:
        shape = node.integers("weights_shape")[1:]
        fits = len(shape) == 3 and min(shape) > 0 and prod(shape) == length
        require(fits, "attribute weights_shape", f"-1 and 3 lengths, {length} in all", shape)
    tensor = STATED[encoding.scheme].weights
    return unpacked(encoding, node.constant(tensor), (encoding.channels, *shape), node.names[tensor])


def _output_shape(source: Value, weights: list[Value]) -> tuple[int | str, ...]:
    return (source.shape[0], weights[0].shape[0]) if weights and source.shape else source.shape


def _check_table(kind: Function, table: Array, source: Encoding | None, target: Encoding) -> None:
    """The table is what a runtime uses; it must say what the operator means."""
    require(source is not None, "the input", "codes", "floats")
    assert source is not None
    codes = np.arange(1 << source.bits, dtype=np.uint8)
    meant = target.encode(apply_activation(CODED_ACTIVATIONS[kind.op], source.decode(codes)))
    require(np.array_equal(table, meant), "the table", f"{kind.op} of every code", "another")


def _check_ends(found: tuple[int, ...], activation: object, encoding: Encoding) -> None:
    """What a sum saturates to is what a runtime uses; it must be what the activation leaves."""
    known = activation in ACTIVATIONS
    meant = saturation(encoding, str(activation)) if known else None
    require(found == meant, "output_ends", f"what {activation} leaves: {meant}", found)


def _own_attributes(kind: Function, attributes: Mapping[str, object]) -> dict[str, Attribute]:
    """Return the attributes that are not the function's; a layer with float output repeats its activation."""
    taken = set(kind.attributes) - {*WINDOW_SETTINGS, *POOL_SETTINGS}
    own = {name: value for name, value in attributes.items() if name not in taken}
    stated = own.get("activation", "none")
    agrees = kind.op not in LAYERS or bool(kind.target) or stated == kind.activation
    require(agrees, "attribute activation", kind.activation, stated)
    require(len(plain(own)) == len(own), "attributes", "numbers or text", "a tensor")
    return plain(own)
