"""The graph under construction while a Circle or TFLite file is read."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from lowbit.errors import LowbitError, ModelFormatError, UnsupportedError
from lowbit.formats.batch import BATCH
from lowbit.formats.circle.layout import TO_NCHW, TO_NHWC
from lowbit.formats.circle.schema import FUSED_ACTIVATIONS, TENSOR_TYPES, Operator, Tensor
from lowbit.formats.circle.structure import Structure, require
from lowbit.ir import DTYPES, Graph, Node, Value
from lowbit.ir.graph import Attribute, Shape
from lowbit.schemes import Affine, Encoding

CODES, LINEAR = "/codes", "_linear"
"""Endings of names that are made up: codes of a value or layer, a value before its fused activation."""

Made = TypeVar("Made")

_TYPES = {code: name for name, code in TENSOR_TYPES.items()}


class Importer:
    """Maps tensor indices to values of a graph.

    Attributes:
        structure: the checked file.
        graph: what has been built so far.
        folded: integer tensors worked out while reading (shapes), -1 for an open length.
        codings: encodings of float tensors that are read as codes.
        padding: pads of tensors that only add zeros around another, by tensor: that other, pads.
    """

    def __init__(self, structure: Structure) -> None:
        self.structure = structure
        self.graph = Graph(structure.subgraph.name)
        self.folded: dict[int, npt.NDArray[Any]] = {}
        self.codings: dict[int, Encoding] = {}
        self.padding: dict[int, tuple[int, tuple[int, ...]]] = {}
        self._values: dict[int, str] = {}
        self._maps: dict[int, str] = {}
        self._taken: set[str] = set()
        self._node_names: set[str] = set()
        self._names = [
            self.fresh(tensor.name or f"tensor_{i}") for i, tensor in enumerate(structure.subgraph.tensors)
        ]

    def fresh(self, stem: str) -> str:
        """Reserve a value's name: ``stem``, or ``stem_2``, ``stem_3``, … if it is taken."""
        return _reserve(stem, self._taken)

    def tensor(self, index: int) -> Tensor:
        """Return a tensor of the file."""
        return self.structure.tensor(index)

    def name(self, index: int) -> str:
        """Return what the tensor's value is or will be called."""
        return self._names[index]

    def shape(self, index: int) -> Shape:
        """Return a tensor's shape, open lengths by name."""
        tensor = self.tensor(index)
        signature = tensor.shape_signature or tensor.shape
        return tuple(BATCH if length < 0 else length for length in signature)

    def constant(self, index: int) -> npt.NDArray[Any] | None:
        """Return a tensor's data, from the file or folded, or None."""
        return self.folded[index] if index in self.folded else self.structure.constants.get(index)

    def value(self, index: int) -> str:
        """Return the name of the tensor's value, adding it to the graph when it is new."""
        if index not in self._values and index in self._maps:
            value = self.graph.value(self._maps[index])
            shape = tuple(value.shape[axis] for axis in TO_NHWC)
            taken = self.name(index) in self.graph.values
            stem = self.fresh(f"{self.name(index)}_nhwc") if taken else self.name(index)
            self._values[index] = self.graph.add(Value(stem, value.dtype, shape, None, value.encoding))
            self.node("Transpose", (value.name,), stem, perm=TO_NHWC)
        elif index not in self._values:
            self._values[index] = self._add(index)
        return self._values[index]

    def is_map(self, index: int) -> bool:
        """Return whether a tensor [n, h, w, c] is known as a value [n, c, h, w]."""
        return index in self._maps

    def map(self, index: int) -> str:
        """Return the value [n, c, h, w] of a tensor [n, h, w, c], moving its axes where nobody did yet."""
        if index not in self._maps:
            source = self.value(index)
            value = self.graph.value(source)
            place = f"{self.structure.where}, tensor {index} ({self.tensor(index).name[:80]})"
            require(len(value.shape) == 4, "a map has the wrong rank", place, "[n, h, w, c]", value.shape)
            shape = tuple(value.shape[axis] for axis in TO_NCHW)
            self._maps[index] = self.add_computed(f"{source}_nchw", value.dtype, shape, value.encoding)
            self.node("Transpose", (source,), self._maps[index], perm=TO_NCHW)
        return self._maps[index]

    def map_output(self, index: int) -> str:
        """Add the value [n, c, h, w] of a tensor [n, h, w, c] that an operator computes; return its name."""
        shape = self.shape(index)
        place = f"{self.structure.where}, tensor {index} ({self.tensor(index).name[:80]})"
        require(len(shape) == 4, "a map has the wrong rank", place, "[n, h, w, c]", shape)
        encoding = self.codings.get(index) or self.encoding(index)
        dtype = "code" if encoding else self.type(index)
        moved = tuple(shape[axis] for axis in TO_NCHW)
        self._maps[index] = self.graph.add(Value(self.name(index), dtype, moved, None, encoding))
        return self._maps[index]

    def moved_constant(self, index: int, order: tuple[int, ...], place: str) -> str:
        """Return a float constant with its axes moved, under the name of the tensor."""
        data, encoding = self.constant(index), self.encoding(index)
        require(data is not None, "weights are computed", place, "a constant", "a tensor")
        assert data is not None
        if index not in self._maps:
            real = data.astype(np.float32) if encoding is None else encoding.decode(_unsigned(data))
            moved = np.ascontiguousarray(real.transpose(order))
            self._maps[index] = self.graph.add_constant(self.name(index), moved)
        return self._maps[index]

    def map_operand(self, index: int, place: str) -> str:
        """Return what an operator on maps reads: a map, or a constant with its axes moved."""
        data = self.constant(index)
        if data is None:
            return self.map(index)
        require(data.ndim <= 4, "an operand has the wrong rank", place, "at most 4", data.ndim)
        if data.ndim == 0:
            return self.float_constant(index)
        if index not in self._maps:
            encoding = self.encoding(index)
            real = data.astype(np.float32) if encoding is None else encoding.decode(_unsigned(data))
            moved = real.reshape((1,) * (4 - data.ndim) + data.shape).transpose(TO_NCHW)
            self._maps[index] = self.graph.add_constant(self.name(index), np.ascontiguousarray(moved))
        return self._maps[index]

    def alias(self, index: int, name: str, *, as_map: bool) -> None:
        """Let a tensor be a value that there is already."""
        (self._maps if as_map else self._values)[index] = name

    def float_constant(self, index: int) -> str:
        """Return a tensor as a float value: a constant that holds codes is decoded."""
        encoding = self.encoding(index)
        if encoding is None or self.constant(index) is None or index in self._values:
            return self.value(index)
        decoded = encoding.decode(_unsigned(self.structure.constants[index]))
        self._values[index] = self.graph.add_constant(self.name(index), decoded)
        return self._values[index]

    def int64(self, index: int) -> str:
        """Return a constant tensor of integers as int64, which is what shapes are in the graph."""
        if index not in self._values:
            data = np.asarray(self.constant(index), np.int64)
            self._values[index] = self.graph.add_constant(self.name(index), data, "int64")
        return self._values[index]

    def add_constant(self, stem: str, data: npt.ArrayLike, dtype: str = "float32") -> str:
        """Add a constant that the file does not have and return its name."""
        return self.graph.add_constant(self.fresh(stem), data, dtype)

    def add_computed(self, stem: str, dtype: str, shape: Shape, encoding: Encoding | None = None) -> str:
        """Add a computed value that the file does not have and return its name."""
        return self.graph.add(Value(self.fresh(stem), dtype, shape, None, encoding))

    def node(
        self, op: str, inputs: tuple[str, ...], output: str, *, domain: str = "", **attributes: Attribute
    ) -> None:
        """Append a node, called like its output."""
        name = _reserve(output.removesuffix(CODES), self._node_names)
        self.graph.nodes.append(Node(op, inputs, (output,), attributes, name, domain))

    def activated(self, code: int, output: int, place: str, *, as_map: bool = False) -> str:
        """Return the name for an operator's result before its fused activation, adding the activation later.

        The caller computes into the returned name and then calls `activate`.
        """
        if code not in FUSED_ACTIVATIONS:
            raise UnsupportedError(
                "the fused activation is not supported",
                where=place,
                expected="none, RELU or TANH",
                found=f"code {code}",
                remedy="Export the activation as an operator of its own.",
            )
        name = self.map_output(output) if as_map else self.value(output)
        if not FUSED_ACTIVATIONS[code]:
            return name
        value = self.graph.value(name)
        return self.add_computed(name + LINEAR, value.dtype, value.shape, value.encoding)

    def activate(self, code: int, before: str, output: int) -> None:
        """Append the fused activation, if there is one, from ``before`` to the output tensor."""
        if FUSED_ACTIVATIONS[code]:
            after = self.map(output) if self.is_map(output) else self.value(output)
            self.node(FUSED_ACTIVATIONS[code], (before,), after)

    def encoding(self, index: int) -> Affine | None:
        """Return the affine encoding of an 8-bit tensor, or None for a tensor without one.

        int8 is read as uint8 with everything moved by 128: ``q - z`` stays what it was.
        """
        tensor = self.tensor(index)
        parameters, shift = tensor.quantization, {"int8": 128, "uint8": 0}.get(self.type(index))
        if parameters is None or parameters.scale is None or shift is None or not len(parameters.scale):
            return None
        place = f"{self.structure.where}, tensor {index} ({tensor.name[:80]})"
        scale = parameters.scale
        zero = np.zeros(len(scale), np.int64) if parameters.zero_point is None else parameters.zero_point
        require(
            len(zero) in (1, len(scale)), "zero points do not match the scales", place, len(scale), len(zero)
        )
        if len(scale) > 1:
            fits = parameters.quantized_dimension == 0 and tensor.shape[:1] == (len(scale),)
            require(fits, "scales do not match axis 0", place, tensor.shape[:1], len(scale))
        moved = np.clip(zero, -(2**31), 2**31) + shift
        require(
            bool(((moved >= 0) & (moved < 256)).all()),
            "a zero point is out of range",
            place,
            "8 bits",
            zero[:4],
        )
        return self.checked(
            lambda: Affine(8, scale, np.broadcast_to(moved, scale.shape).astype(np.int32)), place
        )

    def type(self, index: int) -> str:
        """Return the name of a tensor's type.

        Raises:
            UnsupportedError: lowbit does not have it.
        """
        found = _TYPES.get(self.tensor(index).type)
        if found is None or (found not in DTYPES and self.constant(index) is None):
            raise UnsupportedError(
                "the tensor's type is not supported",
                where=f"{self.structure.where}, tensor {index} ({self.tensor(index).name[:80]})",
                expected=", ".join(name for name in TENSOR_TYPES if name in DTYPES),
                found=found or f"type {self.tensor(index).type}",
                remedy="Export the network in float32 or int8.",
            )
        return found

    def checked(self, make: Callable[[], Made], place: str) -> Made:
        """Return ``make()``; what is wrong with an encoding is wrong with the file."""
        try:
            return make()
        except ModelFormatError:
            raise
        except LowbitError as error:
            raise ModelFormatError(
                error.message,
                where=f"{place}, {error.where}".rstrip(", "),
                expected=error.expected,
                found=error.found,
                remedy="The file is damaged or was written wrongly: write it again.",
            ) from error

    def _add(self, index: int) -> str:
        dtype, data = self.type(index), self.constant(index)
        encoding: Encoding | None = self.codings.get(index) or self.encoding(index)
        if data is None:
            return self.graph.add(
                Value(self.name(index), "code" if encoding else dtype, self.shape(index), None, encoding)
            )
        if encoding is not None:
            return self.graph.add(Value(self.name(index), "code", data.shape, _unsigned(data), encoding))
        if dtype not in DTYPES:
            dtype = "float32" if data.dtype.kind == "f" else "int64"
        return self.graph.add(
            Value(self.name(index), dtype, data.shape, data.astype(DTYPES[dtype], copy=False))
        )


def thresholds_name(codes: str) -> str:
    """Return how the thresholds that make a value of codes are called where the file does not say."""
    return f"{codes.removesuffix(CODES)}/thresholds"


def options_of(operator: Operator, default: Any) -> Any:
    """Return an operator's options, or ``default`` where they are absent or of another kind."""
    return operator.builtin_options if isinstance(operator.builtin_options, type(default)) else default


def _reserve(stem: str, taken: set[str]) -> str:
    name, number = stem, 1
    while name in taken:
        number = number + 1 if number < 8 else 2 * number  # many equal names stay cheap
        name = f"{stem}_{number}"
    taken.add(name)
    return name


def _unsigned(data: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return int8 moved by 128 into uint8; uint8 as it is."""
    return data if data.dtype == np.uint8 else np.bitwise_xor(data.view(np.uint8), np.uint8(128))
