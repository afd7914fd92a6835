"""The tables under construction while a graph is written."""

from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.errors import GraphError, UnsupportedError
from lowbit.formats.circle.coded_pools import is_builtin_pool
from lowbit.formats.circle.coded_values import as_int8, coded_values
from lowbit.formats.circle.file_tensors import LOWEST
from lowbit.formats.circle.layout import TO_NCHW, TO_NHWC
from lowbit.formats.circle.schema import (
    OPERATORS,
    TENSOR_TYPES,
    Buffer,
    Operator,
    OperatorCode,
    QuantizationParameters,
    SubGraph,
    Tensor,
    TransposeOptions,
)
from lowbit.formats.packed import packed
from lowbit.ir import DTYPES, Graph, Node, Value
from lowbit.ir.layers import is_low_bit
from lowbit.ir.lengths import Length, length_of, with_known

_CODES = {TENSOR_TYPES["uint8"]: np.uint8, TENSOR_TYPES["uint16"]: np.uint16}
_TWO = ("ADD", "DEQUANTIZE", "LOGISTIC", "MAX_POOL_2D", "PAD", "PADV2", "RELU", "SOFTMAX", "TANH")
_VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 5, **dict.fromkeys(_TWO, 2)}
"""Operator versions that allow int8; floats are allowed in every version."""
_BYTE = 127  # stands for all codes above it where old readers look
_VERSIONS["BROADCAST_TO"] = 2  # there is no first one


class Exporter:
    """Maps values of a graph to tensor indices.

    Attributes:
        graph: what is written.
        buffers: data so far; buffer 0 is empty by convention.
        dimension: the name of the open batch, or "" where it is fixed.
        own_words: outputs of nodes that the format has no operator for, or none that is read back the same.
        stated: outputs of `Encode` among them, which are operators for codes of any encoding.
        own: values that are made by operators of ours, or in ways that runtimes of the format do not have: a
            float of codes otherwise than by DEQUANTIZE.
    """

    def __init__(self, graph: Graph, own_words: frozenset[str] = frozenset()) -> None:
        self.graph = graph
        self.own_words = own_words
        self.buffers = [Buffer()]
        self.dimension = ""
        self.own: list[str] = []
        encoded = (node.outputs[0] for node in graph.nodes if node.op == "Encode")
        self.stated = own_words.intersection(encoded)
        self.standing = coded_values(graph, self.stated)
        self._tensors: list[Tensor] = []
        self._operators: list[Operator] = []
        self._codes: list[str] = []
        self._indices: dict[str, int] = {}
        self._maps: dict[str, int] = {}
        self._operator_outputs: set[int] = set()

    def tensor(self, name: str) -> int:
        """Return the index of a value's tensor, adding it when it is new."""
        if name in self._indices:
            return self._indices[name]
        if name in self._maps:
            self._indices[name] = self._moved(self._maps[name], f"{name}_nchw", TO_NCHW)
            return self._indices[name]
        value = self.graph.value(name)
        if value.data is not None:
            return self._constant_value(value)
        shape = self._of_one(value)
        dtype, quantization = self._stored_type(value)
        self._indices[name] = self._add(Tensor(shape, dtype, 0, name, quantization))
        return self._indices[name]

    def exact(self, name: str) -> int:
        """Return the tensor of a value; of a constant, one with its own numbers in its own type.

        Under its name there may be others already: lengths of a reshape are worked out and stored as int32.
        """
        value, known = self.graph.value(name), self._indices.get(name)
        if value.data is None or value.encoding is not None or known is None:
            return self.tensor(name)
        stored = self.buffers[self._tensors[known].buffer].data
        data = np.ascontiguousarray(value.data)
        same = stored is not None and stored.tobytes() == data.tobytes()
        if same and self._tensors[known].type == TENSOR_TYPES[data.dtype.name]:
            return known
        return self.constant(f"{name}_{data.dtype.name}", data)

    def is_own(self, node: Node) -> bool:
        """Return whether a node is written as an operator of lowbit's own for codes of any encoding."""
        if node.outputs[0] in self.standing.layers:
            return True
        own = (node.domain == "lowbit" and not is_low_bit(node)) or not is_builtin_pool(self.graph, node)
        return own and self.reads_codes(node)

    def reads_codes(self, node: Node) -> bool:
        """Return whether a node reads or makes codes that stand as such."""
        return bool(self.standing.explicit.intersection((*node.inputs, *node.outputs)))

    def is_constant(self, name: str) -> bool:
        """Return whether a value is a constant."""
        return bool(name) and self.graph.value(name).data is not None

    def codes(self, name: str) -> int:
        """Return the tensor of a constant of codes."""
        return self.constant(name, packed(self.graph.value(name)))

    def is_map(self, name: str) -> bool:
        """Return whether a value [n, c, h, w] stands in the file as [n, h, w, c]."""
        return name in self._maps

    @property
    def maps(self) -> frozenset[str]:
        """Values [n, c, h, w] whose tensor of that name is [n, h, w, c]."""
        return frozenset(name for name, index in self._maps.items() if self._tensors[index].name == name)

    def map(self, name: str) -> int:
        """Return the tensor [n, h, w, c] of a value [n, c, h, w], moving its axes where nobody did yet.

        Raises:
            UnsupportedError: the value has other axes.
        """
        if name not in self._maps:
            shape = self.graph.value(name).shape
            if len(shape) != len(TO_NHWC):
                raise UnsupportedError(
                    "a .circle file has maps of two axes only",
                    where=name,
                    expected="[n, channels, height, width]",
                    found=str(shape),
                    remedy="Write .onnx or .txt instead.",
                )
            self._maps[name] = self._moved(self.tensor(name), f"{name}_nhwc", TO_NHWC)
        return self._maps[name]

    def map_output(self, name: str) -> int:
        """Add the tensor [n, h, w, c] that an operator computes for a value; return its index."""
        value = self.graph.value(name)
        lengths = self._of_one(value)
        shape = tuple(lengths[axis] for axis in TO_NHWC)
        dtype, quantization = self._stored_type(value)
        self._maps[name] = self._add(Tensor(shape, dtype, 0, name, quantization))
        return self._maps[name]

    def alias(self, name: str, index: int, *, as_map: bool) -> None:
        """Let a value be a tensor that there is already: in the layout of maps, or as it is."""
        (self._maps if as_map else self._indices)[name] = index

    def scalar(self, name: str, number: float, like: int) -> int:
        """Return the tensor of one number, of the type of another tensor; an int8 code is that number itself.

        Of codes of other encodings the first one, which has the lowest level, stands for the lowest number.
        """
        pattern = self._tensors[like]
        if pattern.type in _CODES and number == LOWEST:
            return self.constant(name, np.zeros(1, _CODES[pattern.type]))
        if pattern.type in _CODES:
            raise UnsupportedError(
                "codes with pads around them cannot be written to a .circle file",
                where=name,
                expected="no pads, those of SAME, or floats",
                remedy="Write .onnx or .txt instead.",
            )
        dtype = np.int8 if pattern.type == TENSOR_TYPES["int8"] else np.float32
        return self.constant(
            name, np.array([number], dtype), pattern.quantization if dtype is np.int8 else None
        )

    def is_int8(self, index: int) -> bool:
        """Return whether a tensor holds 8-bit codes."""
        return self._tensors[index].type == TENSOR_TYPES["int8"]

    def constant(
        self, name: str, data: npt.NDArray[Any], quantization: QuantizationParameters | None = None
    ) -> int:
        """Return the index of a constant tensor, adding it when it is new.

        Weights that layers share may stand in several forms: one that is new is added beside the first.

        Raises:
            GraphError: the name is that of another value.
        """
        known = self._indices.get(name)
        if known is not None:
            kind = TENSOR_TYPES[data.dtype.name]
            if self._tensors[known].type == kind:
                return known
            return self.constant(f"{name}_{data.dtype.name}", data, quantization)
        if name in self.graph.values and self.graph.values[name].data is None:
            raise GraphError(
                "a name that the file needs is taken",
                where=name,
                expected="a free name",
                found="a computed value",
                remedy="Rename the value.",
            )
        self._indices[name] = self._add_constant(name, data, quantization)
        return self._indices[name]

    def affine_bias(self, node: Node) -> int:
        """Return the tensor of an 8-bit layer's bias, whose scale is that of its products."""
        source, weights = (self.graph.value(name).encoding for name in node.inputs[:2])
        assert source is not None and weights is not None
        scale = (source.integer_scale()[0] * weights.integer_scale()).astype(np.float32)
        parameters = QuantizationParameters(scale=scale, zero_point=np.zeros(len(scale), np.int64))
        return self.constant(node.inputs[2], self.graph.constant(node.inputs[2]), parameters)

    def depthwise_weights(self, name: str) -> int:
        """Return the tensor [1, h, w, o] of codes [o, h, w, 1], whose scales lie along its last axis."""
        value = self.graph.value(name)
        assert value.data is not None
        moved = np.ascontiguousarray(np.asarray(value.data, np.uint8).transpose(3, 1, 2, 0))
        data = np.bitwise_xor(moved, np.uint8(128)).view(np.int8)
        parameters = replace(_quantization(value), quantized_dimension=3)
        return self.constant(name, data, parameters)

    def is_free(self, name: str, data: npt.NDArray[Any]) -> bool:
        """Return whether a constant of that name is not there yet, or has just this content."""
        if name not in self._indices:
            return True
        stored = self.buffers[self._tensors[self._indices[name]].buffer].data
        return stored is not None and stored.tobytes() == data.tobytes()

    def like(self, stem: str, pattern: int) -> int:
        """Add a computed tensor of the shape and type of another; return its index."""
        return self.made_up(stem, self._tensors[pattern].shape, pattern)

    def made_up(self, stem: str, shape: tuple[int, ...], like: int) -> int:
        """Add a computed tensor that the graph does not have, of the type of another; return its index."""
        taken, pattern = self.graph.values.keys(), self._tensors[like]
        name = next(free for free in (stem + "_" * more for more in count()) if free not in taken)
        return self._add(Tensor(shape, pattern.type, 0, name, pattern.quantization))

    def operator(
        self, name: str, inputs: tuple[int, ...], outputs: tuple[int, ...], options: object = None
    ) -> None:
        """Append a builtin operator."""
        if name != "DEQUANTIZE" and self.is_int8(inputs[0]):
            self.own += [self._tensors[index].name for index in outputs if not self.is_int8(index)]
        self._operators.append(Operator(self._code(name), inputs, outputs, options))

    def custom(self, name: str, inputs: tuple[int, ...], outputs: tuple[int, ...], options: bytes) -> None:
        """Append a custom operator with flexbuffer options."""
        self.own += [self._tensors[index].name for index in outputs]
        content = np.frombuffer(options, np.uint8)
        self._operators.append(Operator(self._code(name), inputs, outputs, None, content))

    def buffer(self, data: bytes) -> int:
        """Add a buffer and return its index."""
        self.buffers.append(Buffer(np.frombuffer(data, np.uint8)))
        return len(self.buffers) - 1

    def subgraph(self, inputs: tuple[int, ...]) -> SubGraph:
        """Return the graph's table."""
        outputs = tuple(self.tensor(name) for name in self.graph.outputs)
        return SubGraph(tuple(self._tensors), inputs, outputs, tuple(self._operators), self.graph.name)

    def operator_codes(self) -> tuple[OperatorCode, ...]:
        """Return the table of the operators in use."""
        return tuple(
            OperatorCode(min(OPERATORS[name], _BYTE), "", _VERSIONS.get(name, 1), OPERATORS[name])
            if name in OPERATORS
            else OperatorCode(OPERATORS["CUSTOM"], name, 1, OPERATORS["CUSTOM"])
            for name in self._codes
        )

    def _code(self, name: str) -> int:
        if name not in self._codes:
            self._codes.append(name)
        return self._codes.index(name)

    def _add(self, tensor: Tensor) -> int:
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def _add_constant(
        self, name: str, data: npt.NDArray[Any], quantization: QuantizationParameters | None
    ) -> int:
        self.buffers.append(Buffer(np.ascontiguousarray(data).reshape(-1).view(np.uint8)))
        dtype = TENSOR_TYPES[data.dtype.name]
        return self._add(Tensor(data.shape, dtype, len(self.buffers) - 1, name, quantization))

    def _moved(self, source: int, stem: str, order: tuple[int, ...]) -> int:
        """Append a TRANSPOSE from one layout of a value to the other."""
        shape = tuple(self._tensors[source].shape[axis] for axis in order)
        moved = self.made_up(stem, shape, source)
        axes = self.constant("to_nchw" if order == TO_NCHW else "to_nhwc", np.array(order, np.int32))
        self.operator("TRANSPOSE", (source, axes), (moved,), TransposeOptions())
        return moved

    def _constant_value(self, value: Value) -> int:
        assert value.data is not None
        self._indices[value.name] = self._added_constant(value)
        return self._indices[value.name]

    def _added_constant(self, value: Value) -> int:
        assert value.data is not None
        if as_int8(value.encoding) is not None:
            data = np.bitwise_xor(np.asarray(value.data, np.uint8), np.uint8(128)).view(np.int8)
            return self._add_constant(value.name, data, _quantization(value))
        if value.encoding is not None:
            raise _no_codes(value)
        return self._add_constant(value.name, value.data, None)

    def _stored_type(self, value: Value) -> tuple[int, QuantizationParameters | None]:
        """Return type and quantization of a computed value; see `lowbit.formats.circle.coded_values`."""
        if as_int8(value.encoding) is not None:
            return TENSOR_TYPES["int8"], _quantization(value)
        if value.name in self.standing.explicit:
            return TENSOR_TYPES[DTYPES[value.dtype].name], None
        if value.encoding is not None:
            return TENSOR_TYPES["float32"], None
        if value.dtype not in TENSOR_TYPES:
            raise _no_codes(value)
        return TENSOR_TYPES[value.dtype], None

    def _of_one(self, value: Value) -> tuple[int, ...]:
        """Return a shape for a batch of 1, because few runtimes take an open one; its name is noted."""
        self._note_dimension(value)
        known = {self.dimension: 1}
        return tuple(int(with_known(length_of(length), known)) for length in value.shape)  # type: ignore[arg-type]

    def _note_dimension(self, value: Value) -> None:
        lengths = [length for length in map(length_of, value.shape) if isinstance(length, Length)]
        names = sorted({name for length in lengths for name in length.names})
        self.dimension = self.dimension or (names[0] if names else "")
        if names and names != [self.dimension]:
            raise UnsupportedError(
                "only the batch can be open in a .circle file",
                where=value.name,
                expected=f"lengths made of {self.dimension}",
                found=str(value.shape),
                remedy="Fix the other dimensions.",
            )


def _quantization(value: Value) -> QuantizationParameters:
    """Return the parameters of int8: the zero point is moved by 128 as the codes are."""
    encoding = as_int8(value.encoding)
    assert encoding is not None
    return QuantizationParameters(scale=encoding.scale, zero_point=encoding.zero_point.astype(np.int64) - 128)


def _no_codes(value: Value) -> GraphError:
    return GraphError(
        "codes of a learned basis cannot stand here in a .circle file",
        where=value.name,
        expected="codes between low-bit layers",
        found="codes that something else makes or reads",
        remedy="Write .txt instead, or let the layer give floats.",
    )
