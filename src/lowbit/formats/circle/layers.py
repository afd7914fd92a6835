"""Low-bit layers from a file, where values between them are floats, to a graph, where they are codes.

A file carries the encoding of a layer's input on the layer (``input_scales`` and options). Read back:

- layers whose outputs go only to layers that agree on their encoding emit codes, by their
  ``input_thresholds``; in between, codes may be pooled, moved and joined;
- everything else stays float, with one ``Encode`` per distinct encoding in front of its readers.

A layer that reads floats has no second input (index -1) and no options of the input.

The sixth input, ``weights_offset (o)``, is float32, or, four times smaller, uint8 ``q`` where every offset
is a whole number of scales: ``offset = float32((q - 128) * scale)``, the tensor's own quantization
parameters being scale 1 and zero point 128.

Names: the codes value ``v`` has its basis in the tensor ``v_scales``; the weights ``w`` are the tensors
``w_binary``, ``w_scales`` and ``w_offset``.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.formats.circle.graph_operators import is_mover
from lowbit.formats.circle.importer import CODES, Importer, thresholds_name
from lowbit.formats.circle.options import LayerOptions, layer_options
from lowbit.formats.circle.schema import (
    CONVOLUTION_OPERATORS,
    CUSTOM_OPERATOR,
    LAYER_OPERATORS,
    POWER_OPERATORS,
    Operator,
    ThesisOptions,
)
from lowbit.formats.circle.structure import Structure, require
from lowbit.formats.packed import unpack_halves
from lowbit.ir import Value
from lowbit.ir.activations import preimage_thresholds
from lowbit.ir.operators.layer_names import from_file
from lowbit.ir.operators.registry import storage_dtype
from lowbit.planes import word_count
from lowbit.schemes import LearnedBasis, PowerOfTwo

OFFSET_ZERO = 128
SCALES, BINARY, OFFSET = "_scales", "_binary", "_offset"
THESIS_OPERATOR_NAME = "thesis.LQFullyConnected"
MAX_BITS = 8
_OF_MAPS = ("MAX_POOL_2D", "PADV2", "REDUCE_MAX", "RESHAPE", "TRANSPOSE", "CONCATENATION")
MOVERS = (*_OF_MAPS, "BROADCAST_TO", "GATHER", "GATHER_ND", "STRIDED_SLICE", "TILE")
"""Operators that let codes through."""

_FUSED_NAMES = {0: "none", 1: "relu", 2: "hardtanh", 3: "relu6", 4: "tanh"}


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer as the file has it.

    Attributes:
        operator, place: where it stands.
        options: what the tensors do not say.
        input_encoding: of the input's codes; None where the layer reads floats.
        weights_encoding: of the weights' codes, one row per output.
        data: planes, uint32 ``[o, k_w, words]``, or codes, uint8 ``[o, n]``.
    """

    operator: Operator
    place: str
    options: LayerOptions
    input_encoding: LearnedBasis | None
    weights_encoding: LearnedBasis | PowerOfTwo
    data: npt.NDArray[np.uint32] | npt.NDArray[np.uint8]

    def coding(self) -> tuple[bytes, ...]:
        """Return what readers of one tensor must agree on to share its codes."""
        thresholds = self.options.input_thresholds
        encoding = self.input_encoding
        assert encoding is not None
        parts = (encoding.basis, encoding.offset, encoding.top, thresholds)
        return tuple(b"" if part is None else part.tobytes() for part in parts)


def is_layer(name: str) -> bool:
    """Return whether an operator is this one, in our encoding or in that of the published system."""
    return name in (*LAYER_OPERATORS, THESIS_OPERATOR_NAME)


class LayerImporter:
    """Appends the layers of a file to a graph."""

    def __init__(self, importer: Importer) -> None:
        self.importer = importer
        names = importer.structure.operators
        self.layers = {i: _layer(importer, i) for i, name in enumerate(names) if is_layer(name)}
        self._encoded: dict[tuple[int, tuple[bytes, ...]], str] = {}
        self._weights: dict[tuple[int, ...], str] = {}
        coded = {number: layer for number, layer in self.layers.items() if layer.input_encoding is not None}
        self._agreed = agreed_readers(importer.structure, coded)
        for index, layer in self._agreed.items():
            assert layer.input_encoding is not None
            importer.codings[index] = layer.input_encoding

    def append(self, number: int) -> None:
        """Append layer ``number`` and what it needs in front of it."""
        layer = self.layers[number]
        source, output = layer.operator.inputs[0], layer.operator.outputs[0]
        operands = [self._input(source, layer), self._packed(layer), self._bias(layer)]
        geometry, attributes = layer.options.geometry, {}
        name = self.importer.structure.operators[number]
        op = from_file(CUSTOM_OPERATOR if name == THESIS_OPERATOR_NAME else name)
        if geometry is None:
            result = self.importer.value(output)
        else:
            result, attributes = self.importer.map_output(output), asdict(geometry)
        reader = self._agreed.get(output)
        if reader is not None:
            thresholds = self._pre_activation_thresholds(reader, layer)
            operands.append(self.importer.add_constant(thresholds_name(result), thresholds))
        activation = layer.options.activation
        self.importer.node(op, tuple(operands), result, domain="lowbit", activation=activation, **attributes)

    def _input(self, source: int, layer: Layer) -> str:
        """Return the layer's input: floats, or codes, by an ``Encode`` unless its producer makes them."""
        on_map = layer.options.geometry is not None
        name = self.importer.map(source) if on_map else self.importer.value(source)
        value = self.importer.graph.value(name)
        if layer.input_encoding is None:
            require(value.encoding is None, "the input is codes", layer.place, "float32", value.dtype)
            return name
        if value.encoding is not None:
            fits = value.encoding.storage == "planes"
            require(
                fits,
                "the input has another encoding",
                layer.place,
                "float32",
                f"{value.encoding.bits} bits affine",
            )
            return name
        key = (source, layer.coding())
        if key not in self._encoded:
            self._encoded[key] = self._encode(name, value, layer)
        return self._encoded[key]

    def _encode(self, name: str, value: Value, layer: Layer) -> str:
        scales = self.importer.name(layer.operator.inputs[1])
        stem = scales.removesuffix(SCALES) if scales.endswith(SCALES) else name + CODES
        codes = self.importer.add_computed(stem, "code", value.shape, layer.input_encoding)
        assert layer.input_encoding is not None
        steps, own = layer.options.input_thresholds, layer.input_encoding.thresholds()[0]
        operands = [name]
        if steps is not None and not np.array_equal(steps, own):
            operands.append(self.importer.add_constant(thresholds_name(codes), steps))
        self.importer.node("Encode", tuple(operands), codes, domain="lowbit")
        return codes

    def _pre_activation_thresholds(self, reader: Layer, producer: Layer) -> npt.NDArray[np.float32]:
        if reader.options.input_thresholds is not None:
            return reader.options.input_thresholds
        assert reader.input_encoding is not None
        return preimage_thresholds(reader.input_encoding.thresholds()[0], producer.options.activation)

    def _packed(self, layer: Layer) -> str:
        """Return the value of the packed weights."""
        key = (*layer.operator.inputs[2:4], *layer.operator.inputs[5:])
        if key not in self._weights:
            name = self.importer.name(layer.operator.inputs[3])
            stem = name.removesuffix(BINARY) or name
            shape, data = (len(layer.data), *layer.options.row_shape), layer.data
            dtype = storage_dtype(layer.weights_encoding)
            data = data if dtype == "planes" else data.reshape(shape)
            value = Value(self.importer.fresh(stem), dtype, shape, data, layer.weights_encoding)
            self._weights[key] = self.importer.graph.add(value)
        return self._weights[key]

    def _bias(self, layer: Layer) -> str:
        return self.importer.value(layer.operator.inputs[4])


def agreed_readers(structure: Structure, layers: dict[int, Layer]) -> dict[int, Layer]:
    """Return for each float tensor that is really codes a layer that reads them.

    Operators that only move or compare elements join tensors to a group. A group is codes when layers alone
    make it, and layers alone read it, as their data and with one coding.
    """
    groups = groups_of(structure)
    makers: dict[int, list[Layer | None]] = {}
    readers: dict[int, list[Layer | None]] = {}
    for number, operator in enumerate(structure.subgraph.operators):
        if _moves(structure.operators[number]):
            continue
        layer = layers.get(number)
        for index in operator.outputs:
            makers.setdefault(groups[index], []).append(layer)
        for place, index in enumerate(operator.inputs):
            readers.setdefault(groups.get(index, index), []).append(layer if place == 0 else None)
    for index in (*structure.subgraph.inputs, *structure.subgraph.outputs):
        readers.setdefault(groups[index], []).append(None)
    agreed = {}
    for index, group in groups.items():
        found = readers.get(group, [])
        first = found[0] if found else None
        same = first is not None and all(r is not None and r.coding() == first.coding() for r in found)
        made = makers.get(group, [])
        if first is not None and same and made and None not in made and index not in structure.constants:
            agreed[index] = first
    return agreed


def groups_of(structure: Structure) -> dict[int, int]:
    """Return the group of every tensor: tensors between which elements only move have the same."""
    parent = {index: index for index in range(-1, len(structure.subgraph.tensors))}

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for name, operator in zip(structure.operators, structure.subgraph.operators, strict=True):
        data = operator.inputs if name == "CONCATENATION" else operator.inputs[:1]
        for index in data if _moves(name) and operator.outputs else ():
            parent[root(index)] = root(operator.outputs[0])
    return {index: root(index) for index in parent}


def _moves(name: str) -> bool:
    return name in MOVERS or is_mover(name)


def _layer(importer: Importer, number: int) -> Layer:
    """Return layer ``number``, its tensors checked against each other."""
    structure = importer.structure
    operator, place = structure.subgraph.operators[number], structure.place(number)
    count, given = len(operator.inputs), (*operator.inputs[:1], *operator.inputs[2:])
    require(count in (5, 6) and -1 not in given, "wrong number of inputs", place, "5 or 6", operator.inputs)
    require(len(operator.outputs) == 1, "wrong number of outputs", place, 1, len(operator.outputs))
    options = _options(operator, structure.operators[number], place)
    input_encoding = _input_encoding(importer, operator, options, place)
    read = _powers if options.weights_bits else _planes
    weights_encoding, data = read(importer, operator, options, place)
    bias = _constant(importer, operator.inputs[4], "bias", "float32", 1, place)
    require(bias.shape == (len(data),), "the bias has the wrong shape", place, (len(data),), bias.shape)
    return Layer(operator, place, options, input_encoding, weights_encoding, data)


def _input_encoding(
    importer: Importer, operator: Operator, options: LayerOptions, place: str
) -> LearnedBasis | None:
    """Return the encoding of a layer's input, or None where there are no scales: it reads floats."""
    if operator.inputs[1] == -1:
        plain = not options.weights_bits and options.input_thresholds is None
        require(plain, "a layer that reads floats", place, "planes and no input_thresholds", "others")
        return None
    scales = _constant(importer, operator.inputs[1], "input_scales", "float32", 1, place)
    _check_bits("input_scales", len(scales), place)
    _check_steps(len(scales), options, place)
    offset, top = np.array([options.input_offset], np.float32), np.array([options.input_top], np.int32)
    return importer.checked(lambda: LearnedBasis(scales[None], offset, top), place)


def _planes(
    importer: Importer, operator: Operator, options: LayerOptions, place: str
) -> tuple[LearnedBasis, npt.NDArray[np.uint32]]:
    """Return learned-basis weights: their encoding and planes."""
    scales = _constant(importer, operator.inputs[2], "weights_scales", "float32", 2, place)
    binary = _constant(importer, operator.inputs[3], "weights_binary", "int32", 3, place)
    outputs, bits = scales.shape
    _check_bits("weights_scales", bits, place)
    wanted, tops = (outputs, bits, word_count(options.hidden_size)), options.weights_top
    require(binary.shape == wanted, "packed weights have the wrong shape", place, wanted, binary.shape)
    fits = len(tops) in (1, outputs)
    require(fits, "weights_top has the wrong length", place, f"1 or {outputs}", len(tops))
    _check_padding(binary.view(np.uint32), options.hidden_size, place)

    def encoding() -> LearnedBasis:
        offset = _weights_offset(importer, operator, options, place)
        return LearnedBasis(scales, offset, np.broadcast_to(tops, (outputs,)))

    return importer.checked(encoding, place), binary.view(np.uint32)


def _powers(
    importer: Importer, operator: Operator, options: LayerOptions, place: str
) -> tuple[PowerOfTwo, npt.NDArray[np.uint8]]:
    """Return power-of-two weights: their encoding and codes, one to a byte."""
    scales = _constant(importer, operator.inputs[2], "weights_scales", "float32", 1, place)
    packed = _constant(importer, operator.inputs[3], "weights_binary", "uint8", 2, place)
    wanted, count = (len(scales), -(-options.hidden_size // 2)), len(operator.inputs)
    require(packed.shape == wanted, "packed weights have the wrong shape", place, wanted, packed.shape)
    require(count == 5, "powers of two have no offset", place, "5 inputs", count)
    halves = unpack_halves(packed, 2 * wanted[1])
    fits = int(halves.max()) < 1 << options.weights_bits and not halves[:, options.hidden_size :].any()
    require(fits, "a code does not fit its bits, or padding is set", place, options.weights_bits, "others")
    encoding = importer.checked(lambda: PowerOfTwo(options.weights_bits, scales), place)
    return encoding, np.ascontiguousarray(halves[:, : options.hidden_size])


def _options(operator: Operator, name: str, place: str) -> LayerOptions:
    if name in LAYER_OPERATORS:
        content = operator.custom_options
        packed = b"" if content is None else content.tobytes()
        return layer_options(
            packed, place, convolution=name in CONVOLUTION_OPERATORS, powers=name in POWER_OPERATORS
        )
    # The published system: floats between layers, no offset, a free basis, thresholds at midpoints.
    old = operator.builtin_options
    require(
        isinstance(old, ThesisOptions),
        "the operator has no options",
        place,
        "LQFullyConnectedOptions",
        type(old).__name__,
    )
    code = old.fused_activation_function
    require(code in _FUSED_NAMES, "unknown fused activation", place, "0 to 4", code)
    require(
        old.weights_hidden_size > 0,
        "weights_hidden_size is wrong",
        place,
        "1 or more",
        old.weights_hidden_size,
    )
    return LayerOptions(old.weights_hidden_size, _FUSED_NAMES[code], 0.0, 0, np.zeros(1, np.int32), None)


def _constant(
    importer: Importer, index: int, name: str, dtype: str, rank: int, place: str
) -> npt.NDArray[Any]:
    data = importer.structure.constants.get(index)
    found = "a value computed at run time" if data is None else f"{data.dtype} {data.shape}"
    fits = data is not None and data.dtype == dtype and data.ndim == rank and 0 not in data.shape
    require(fits, f"{name} is wrong", place, f"a constant {dtype} of rank {rank}", found)
    assert data is not None
    return data


def _weights_offset(
    importer: Importer, operator: Operator, options: LayerOptions, place: str
) -> npt.NDArray[np.float32]:
    """Return the weights' offsets, float32 ``[o]``; zeros where there is no sixth input."""
    basis = importer.structure.constants[operator.inputs[2]]
    if len(operator.inputs) == 5:
        return np.zeros(len(basis), np.float32)
    stored = importer.structure.constants.get(operator.inputs[5])
    if stored is None or stored.dtype != np.uint8:
        return _constant(importer, operator.inputs[5], "weights_offset", "float32", 1, place)
    fits = stored.shape == basis.shape[:1] and bool((options.weights_top > 0).all())
    require(fits, "weights_offset is wrong", place, f"{len(basis)} offsets of snapped rows", stored.shape)
    return offsets_of_units(stored, basis, options.weights_top)


def units_of_offsets(encoding: LearnedBasis) -> npt.NDArray[np.uint8] | None:
    """Return offsets as whole scales moved by 128, or None where that would change a bit of them."""
    if not encoding.snapped:
        return None
    units = np.rint(encoding.offset / encoding.scale) + OFFSET_ZERO
    stored = np.clip(units, 0, 255).astype(np.uint8)
    again = offsets_of_units(stored, encoding.basis, encoding.top)
    return stored if np.array_equal(again.view(np.uint32), encoding.offset.view(np.uint32)) else None


def offsets_of_units(
    stored: npt.NDArray[np.uint8], basis: npt.NDArray[np.float32], top: npt.NDArray[np.int32]
) -> npt.NDArray[np.float32]:
    """Return ``float32((q - 128) * a_{k-1} / top)`` per row, computed in float64."""
    return ((stored.astype(np.float64) - OFFSET_ZERO) * (basis[:, -1].astype(np.float64) / top)).astype(
        np.float32
    )


def _check_bits(name: str, bits: int, place: str) -> None:
    fits = 1 <= bits <= MAX_BITS
    require(fits, f"{name} has an impossible number of bits", place, f"1 to {MAX_BITS}", bits)


def _check_steps(input_bits: int, options: LayerOptions, place: str) -> None:
    steps = options.input_thresholds
    wanted = (1 << input_bits) - 1
    found = wanted if steps is None else len(steps)
    require(found == wanted, "input_thresholds has the wrong length", place, wanted, found)


def _check_padding(planes: npt.NDArray[np.uint32], length: int, place: str) -> None:
    """Padding bits are zero: kernels count on it."""
    used = length & 31
    if used:
        padding = planes[:, :, -1] >> np.uint32(used)
        require(
            not padding.any(),
            "padding bits are set",
            place,
            "zeros",
            f"row {int(np.argmax(padding.any(axis=1)))}",
        )
