"""Operators of lowbit's own for codes of any encoding: written, and read back as they were.

    Encode        x, thresholds?                       output_encoding
    Decode        codes                                input_encoding
    FixedAdd      codes, codes                         input_encoding, other_encoding, output_encoding;
                                                       an activation
    FixedLookup   codes, table                         input_encoding, output_encoding
    Linear        x, weights, bias, thresholds, fields of the weights' encoding …
    Convolution   the same, with the geometry of `LQConv`
    AveragePool … codes                                see `lowbit.formats.circle.coded_pools`

Codes are tensors of uint8, above 8 bits of uint16; affine ones of 8 bits are int8 as everywhere in the
format. Weights are packed as `lowbit.formats.packed` says. An absent input is -1. An encoding of one channel
is a text of JSON in the options, the fields that `lowbit.schemes` gives; that of weights is in fields: arrays
are inputs behind the others, in the order of the option `weights_fields`; numbers and texts are in
`weights_encoding`.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from math import prod

import numpy as np
import numpy.typing as npt

from lowbit.errors import ModelFormatError, SchemeError
from lowbit.formats.circle.coded_pools import OPTIONS, pool_attributes, pool_options
from lowbit.formats.circle.exporter import Exporter
from lowbit.formats.circle.importer import Importer
from lowbit.formats.circle.layers import groups_of
from lowbit.formats.circle.map_lowering import geometry
from lowbit.formats.circle.options import (
    Geometry,
    activation_name,
    activation_of,
    geometry_of,
    geometry_options,
)
from lowbit.formats.circle.schema import TENSOR_TYPES, Operator
from lowbit.formats.circle.structure import Structure, require
from lowbit.formats.flexbuffer import Option, read_options, write_options
from lowbit.formats.packed import packed, unpacked
from lowbit.ir import Node, Trait, Value, has
from lowbit.ir.graph import Attribute
from lowbit.schemes import Encoding, encoding_from_dict, encoding_from_fields
from lowbit.schemes.fields import Field

Options = dict[str, Option]
_LAYER_INPUTS = 4


def lower(exporter: Exporter, node: Node) -> None:
    """Append the operator of a node with codes of any encoding."""
    if has(node, Trait.LAYER):
        _lower_layer(exporter, node)
    elif has(node, Trait.POOL):
        _lower_pool(exporter, node)
    else:
        _lower_elements(exporter, node)


def _lower_pool(exporter: Exporter, node: Node) -> None:
    source, output = exporter.map(node.inputs[0]), exporter.map_output(node.outputs[0])
    encodings = [exporter.graph.value(name).encoding for name in (node.inputs[0], node.outputs[0])]
    options = _stated(zip(("input", "output"), encodings, strict=True)) | pool_options(exporter.graph, node)
    exporter.custom(node.op, (source,), (output,), write_options(options))


def _lower_elements(exporter: Exporter, node: Node) -> None:
    graph, constants = exporter.graph, [name for name in node.inputs if exporter.is_constant(name)]
    data = [name for name in node.inputs if name and name not in constants]
    as_map = any(exporter.is_map(name) for name in data) and not _is_turned_input(exporter, data[0])
    inputs = (
        *(exporter.map(name) if as_map else exporter.tensor(name) for name in data),
        *(
            exporter.codes(name) if graph.value(name).encoding else exporter.tensor(name)
            for name in constants
        ),
    )
    output = exporter.map_output(node.outputs[0]) if as_map else exporter.tensor(node.outputs[0])
    encodings = [graph.value(name).encoding for name in (*data, *node.outputs)]
    prefixes = ("input", "other") if len(data) > 1 else ("input",)
    options = _stated(zip((*prefixes, "output"), encodings, strict=True))
    activation = str(node.attributes.get("activation", "none"))
    if activation != "none":
        options["fused_activation_function"] = activation_name(activation)
    exporter.custom(node.op, inputs, (output,), write_options(options))


def _is_turned_input(exporter: Exporter, name: str) -> bool:
    """Return whether a map is an input that has channels last: no reader of a file could tell."""
    maker = exporter.graph.producer(name)
    return maker is not None and maker.op == "Transpose" and maker.inputs[0] in exporter.graph.inputs


def _lower_layer(exporter: Exporter, node: Node) -> None:
    graph, window = exporter.graph, has(node, Trait.WINDOW)
    source, weights, bias = (graph.value(name) for name in node.inputs[:3])
    thresholds = node.inputs[3] if len(node.inputs) > 3 else ""
    assert weights.encoding is not None
    fields = weights.encoding.fields()
    arrays = {name: field for name, field in fields.items() if isinstance(field, np.ndarray)}
    inputs = (
        exporter.map(source.name) if window else exporter.tensor(source.name),
        exporter.constant(weights.name, packed(weights)),
        exporter.codes(bias.name) if bias.encoding else exporter.tensor(bias.name),
        exporter.tensor(thresholds) if thresholds else -1,
        *(exporter.constant(f"{weights.name}_{name}", array) for name, array in arrays.items()),
    )
    output = exporter.map_output(node.outputs[0]) if window else exporter.tensor(node.outputs[0])
    ends = {"input": source, "bias": bias, "output": graph.value(node.outputs[0])}
    options = _stated((prefix, value.encoding) for prefix, value in ends.items())
    rest = {name: field for name, field in fields.items() if name not in arrays}
    options["weights_encoding"] = json.dumps({"scheme": weights.encoding.scheme, **rest})
    options["weights_fields"] = ",".join(arrays)
    options["weights_shape"] = np.array([int(length) for length in weights.shape])
    activation = str(node.attributes.get("activation", "none"))
    options["fused_activation_function"] = activation_name(activation)
    options |= geometry_options(geometry(exporter, node)) if window else {}
    exporter.custom(node.op, inputs, (output,), write_options(options))


def _stated(encodings: object) -> Options:
    found: Options = {}
    for prefix, encoding in encodings:  # type: ignore[attr-defined]
        if encoding is not None:
            found[f"{prefix}_encoding"] = json.dumps(encoding.to_dict())
    return found


def codings(structure: Structure) -> dict[int, Encoding]:
    """Return the encodings of tensors of codes, as operators state them; what only moves codes keeps them.

    Raises:
        ModelFormatError: an encoding cannot be read, or two of them are given for one tensor.
    """
    groups, found = groups_of(structure), dict[int, Encoding]()
    for number, operator in enumerate(structure.subgraph.operators):
        if structure.operators[number] not in OPERATORS:
            continue
        place = structure.place(number)
        options = _options(operator, place)
        ends = [*zip(("input", "other"), operator.inputs[:2], strict=False), ("output", operator.outputs[0])]
        for prefix, index in ends:
            encoding = _encoding(options, prefix, place)
            dtype = structure.tensor(index).type
            if encoding is not None and dtype != TENSOR_TYPES["int8"]:
                wanted = TENSOR_TYPES["uint8" if encoding.bits <= 8 else "uint16"]
                require(dtype == wanted, "codes have the wrong type", place, wanted, dtype)
                same = found.setdefault(groups[index], encoding) == encoding
                require(same, "codes have two meanings", place, "one encoding", f"another {prefix}_encoding")
    kinds = (TENSOR_TYPES["uint8"], TENSOR_TYPES["uint16"])
    computed = (index for index in groups if index >= 0 and structure.tensor(index).type in kinds)
    return {index: found[groups[index]] for index in computed if groups[index] in found}


def import_any(importer: Importer, name: str, operator: Operator, place: str) -> None:
    """Append the node of an operator of ours.

    Raises:
        ModelFormatError: inputs, options or tensors that are not what we write.
    """
    require(len(operator.outputs) == 1, "wrong number of outputs", place, 1, len(operator.outputs))
    least, most, read = OPERATORS[name]
    count = len(operator.inputs)
    require(least <= count <= most, "wrong number of inputs", place, f"{least} to {most}", count)
    require(-1 not in operator.inputs[:least], "a required input is absent", place, "a tensor", -1)
    read(importer, name, operator, place)


def _elements(importer: Importer, name: str, operator: Operator, place: str) -> None:
    """Operators on elements: constants behind the data are thresholds, or a table of codes."""
    options = _options(operator, place)
    data = [index for index in operator.inputs if importer.constant(index) is None]
    as_map = any(importer.is_map(index) for index in data)
    operands = [importer.map(index) if as_map else importer.value(index) for index in data]
    output = importer.output(operator.outputs[0], as_map)
    for index in operator.inputs[len(data) :]:
        coded = _encoding(options, "output", place) if name == "FixedLookup" else None
        operands.append(importer.value(index) if coded is None else _codes(importer, index, coded, place))
    activation = activation_of(options, place)
    attributes: dict[str, Attribute] = {} if activation == "none" else {"activation": activation}
    importer.node(name, tuple(operands), output, domain="lowbit", attributes=attributes)


def _pool(importer: Importer, name: str, operator: Operator, place: str) -> None:
    options = _options(operator, place)
    source, output = importer.map(operator.inputs[0]), importer.map_output(operator.outputs[0])
    importer.node(name, (source,), output, attributes=pool_attributes(name, options, place))


def _layer(importer: Importer, name: str, operator: Operator, place: str) -> None:
    options, window = _options(operator, place), name == "Convolution"
    source = importer.map(operator.inputs[0]) if window else importer.value(operator.inputs[0])
    coded_bias = _encoding(options, "bias", place)
    bias = operator.inputs[2]
    operands = [source, _weights(importer, operator, options, place)]
    operands.append(importer.value(bias) if coded_bias is None else _codes(importer, bias, coded_bias, place))
    if operator.inputs[3] >= 0:
        operands.append(importer.value(operator.inputs[3]))
    attributes: dict[str, Attribute] = {"activation": activation_of(options, place)}
    if window:
        attributes |= asdict(geometry_of(options, place))
    output = importer.output(operator.outputs[0], window)
    importer.node(name, tuple(operands), output, domain="lowbit", attributes=attributes)


def _weights(importer: Importer, operator: Operator, options: Options, place: str) -> str:
    """Return the value of constant weights, once for all layers that share them."""
    index = operator.inputs[1]
    data, shape = importer.constant(index), options.get("weights_shape")
    names = str(options.get("weights_fields", "")).split(",")
    given = dict(zip(filter(None, names), operator.inputs[_LAYER_INPUTS:], strict=False))
    arrays = {name: importer.constant(field) for name, field in given.items()}
    fits = data is not None and isinstance(shape, np.ndarray) and shape.ndim == 1 and len(shape) in (2, 4)
    complete = len(given) == len(operator.inputs) - _LAYER_INPUTS and all(
        a is not None for a in arrays.values()
    )
    require(fits and complete, "weights are not as their layer says", place, "constants", "others")
    assert data is not None and isinstance(shape, np.ndarray)
    lengths = tuple(int(length) for length in shape)
    require(min(lengths) > 0 and prod(lengths) < 1 << 40, "weights_shape is impossible", place, "1…", lengths)
    fields = _json(options.get("weights_encoding"), "weights_encoding", place)
    encoding = importer.checked(lambda: _with_arrays(fields, arrays), place)
    return _known(importer, index, unpacked(encoding, data, lengths, importer.name(index)))


def _with_arrays(fields: dict[str, object], arrays: Mapping[str, npt.NDArray[np.generic] | None]) -> Encoding:
    parameters: dict[str, Field] = {}
    for name, field in {**fields, **arrays}.items():
        if isinstance(field, int | str | np.ndarray):
            parameters[name] = field
    scheme = parameters.pop("scheme", "")
    if len(parameters) + 1 != len(fields) + len(arrays):
        raise SchemeError("an encoding cannot be read", found=str(sorted(fields)))
    return encoding_from_fields(str(scheme), parameters)


def _codes(importer: Importer, index: int, encoding: Encoding, place: str) -> str:
    """Return the value of a constant of codes."""
    data = importer.constant(index)
    require(data is not None, "codes must be constant", place, "a constant", "a tensor")
    assert data is not None
    return _known(importer, index, unpacked(encoding, data, data.shape, importer.name(index)))


def _known(importer: Importer, index: int, value: Value) -> str:
    """Add a constant, or find it, with the same meaning, under its name."""
    known = importer.graph.values.get(value.name)
    if known is None:
        importer.alias(index, importer.graph.add(value), as_map=False)
    elif (known.dtype, known.shape, known.encoding) != (value.dtype, value.shape, value.encoding):
        raise ModelFormatError("a tensor is used with two meanings", where=value.name, found=known.dtype)
    return value.name


def _options(operator: Operator, place: str) -> Options:
    content = operator.custom_options
    options = read_options(b"" if content is None else content.tobytes(), where=place)
    known = {*_KEYS, *Geometry.__dataclass_fields__, *OPTIONS}
    unknown = sorted(options.keys() - known)
    require(not unknown, "unknown operator option", place, ", ".join(sorted(known)), unknown)
    return options


_KEYS = (
    *(f"{prefix}_encoding" for prefix in ("input", "other", "weights", "bias", "output")),
    "weights_fields",
    "weights_shape",
    "fused_activation_function",
)


def _encoding(options: Options, prefix: str, place: str) -> Encoding | None:
    text = options.get(f"{prefix}_encoding")
    if text is None:
        return None
    fields = _json(text, f"{prefix}_encoding", place)
    try:
        encoding = encoding_from_dict(fields)
    except SchemeError as error:
        raise ModelFormatError(
            f"{prefix}_encoding cannot be read", where=place, found=error.facts[:80]
        ) from error
    require(encoding.channels == 1, f"{prefix}_encoding", place, "one channel", encoding.channels)
    return encoding


def _json(text: object, name: str, place: str) -> dict[str, object]:
    try:
        fields = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError) as error:
        raise ModelFormatError(f"{name} cannot be read", where=place, found=str(error)[:80]) from error
    require(isinstance(fields, dict), f"{name} cannot be read", place, "an object", str(text)[:80])
    return dict(fields)  # type: ignore[arg-type]


OPERATORS: dict[str, tuple[int, int, Callable[[Importer, str, Operator, str], None]]] = {
    "Encode": (1, 2, _elements),
    "Decode": (1, 1, _elements),
    "FixedAdd": (2, 2, _elements),
    "FixedLookup": (2, 2, _elements),
    "Linear": (3, 16, _layer),
    "Convolution": (3, 16, _layer),
    "AveragePool": (1, 1, _pool),
    "GlobalAveragePool": (1, 1, _pool),
    "MaxPool": (1, 1, _pool),
}
"""Custom operators, called as in the graph: least and most inputs, and what reads them."""
