"""The graph under construction while a Circle or TFLite file is read."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.errors import UnsupportedError
from lowbit.formats.circle.file_tensors import FileTensors, reserve, unsigned, unsupported
from lowbit.formats.circle.layout import TO_NCHW, TO_NHWC
from lowbit.formats.circle.schema import FUSED_ACTIVATIONS, Operator
from lowbit.formats.circle.structure import Structure, require
from lowbit.ir import DTYPES, Graph, Node, Value
from lowbit.ir.graph import Attribute, Shape
from lowbit.ir.operators.registry import code_dtype
from lowbit.schemes import Encoding

CODES, LINEAR = "/codes", "_linear"
"""Endings of names that are made up: codes of a value or layer, a value before its fused activation."""

Attributes = Mapping[str, Attribute]


class Importer(FileTensors):
    """Maps tensor indices to values of a graph.

    Attributes:
        graph: what has been built so far.
        padding: tensors that only add numbers around another map: that, pads, the number.
    """

    def __init__(self, structure: Structure) -> None:
        super().__init__(structure)
        self.graph = Graph(structure.subgraph.name)
        self.padding: dict[int, tuple[int, tuple[int, ...], float]] = {}
        self._values: dict[int, str] = {}
        self._maps: dict[int, str] = {}
        self._reals: dict[str, str] = {}
        self._node_names: set[str] = set()

    def value(self, index: int) -> str:
        """Return the name of the tensor's value, adding it to the graph when it is new."""
        if index in self.padding:
            self.map(index)
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
        return index in self._maps or index in self.padding

    def map(self, index: int) -> str:
        """Return the value [n, c, h, w] of a tensor [n, h, w, c], moving its axes where nobody did yet."""
        if index not in self._maps and index in self.padding:
            inner, pads, fill = self.padding[index]
            edges = (0, 0, *pads[:2], 0, 0, *pads[2:])
            operands = self.map(inner), *self.pad_operands(index, edges, fill)
            self.node("Pad", operands, self.map_output(index))
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
        dtype = code_dtype(encoding) if encoding else self.type(index)
        moved = tuple(shape[axis] for axis in TO_NCHW)
        self._maps[index] = self.graph.add(Value(self.name(index), dtype, moved, None, encoding))
        return self._maps[index]

    def moved_constant(self, index: int, order: tuple[int, ...], place: str) -> str:
        """Return a float constant with its axes moved, under the name of the tensor."""
        if self.constant(index) is None:
            raise unsupported("weights are computed", place, "a constant", "a tensor")
        if index not in self._maps:
            moved = np.ascontiguousarray(self.decoded(index).transpose(order))
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
            moved = self.decoded(index).reshape((1,) * (4 - data.ndim) + data.shape).transpose(TO_NCHW)
            self._maps[index] = self.graph.add_constant(self.name(index), np.ascontiguousarray(moved))
        return self._maps[index]

    def alias(self, index: int, name: str, *, as_map: bool) -> None:
        """Let a tensor be a value that there is already."""
        (self._maps if as_map else self._values)[index] = name

    def float_constant(self, index: int) -> str:
        """Return a tensor as a float value: a constant that holds codes is decoded."""
        data, parameters = self.constant(index), self.tensor(index).quantization
        scaled = parameters is not None and parameters.scale is not None and len(parameters.scale)
        if index in self._values or data is None:
            return self.value(index)
        if data.dtype.kind != "f" and not scaled:
            place = f"{self.structure.where}, tensor {index} ({self.tensor(index).name[:80]})"
            raise unsupported("integers have no scale", place, "floats, or integers with a scale", data.dtype)
        self._values[index] = self.graph.add_constant(self.name(index), self.decoded(index))
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
        self,
        op: str,
        inputs: tuple[str, ...],
        output: str,
        *,
        domain: str = "",
        attributes: Attributes = MappingProxyType({}),
        **more: Attribute,
    ) -> None:
        """Append a node, called like its output."""
        self.nodes(op, inputs, (output,), domain, {**attributes, **more})

    def nodes(
        self, op: str, inputs: tuple[str, ...], outputs: tuple[str, ...], domain: str, attributes: Attributes
    ) -> None:
        """Append a node of one or more outputs, called like the first."""
        name = reserve(outputs[0].removesuffix(CODES), self._node_names)
        self.graph.nodes.append(Node(op, inputs, outputs, {**attributes}, name, domain))

    def output(self, index: int, as_map: bool) -> str:
        """Return the name of the value, or of the map, that an operator computes for a tensor."""
        return self.map_output(index) if as_map else self.value(index)

    def is_coded(self, name: str) -> bool:
        """Return whether a value holds codes."""
        return self.graph.value(name).encoding is not None

    def real(self, index: int, as_map: bool = False) -> str:
        """Return a tensor as floats, by a ``Decode`` where it holds codes."""
        source = self.map(index) if as_map else self.value(index)
        if not self.is_coded(source):
            return source
        if source not in self._reals:
            self._reals[source] = self.add_computed(
                f"{source}_real", "float32", self.graph.value(source).shape
            )
            self.node("Decode", (source,), self._reals[source], domain="lowbit")
        return self._reals[source]

    def compute(
        self,
        op: str,
        operands: tuple[str, ...],
        index: int,
        *,
        code: int = 0,
        as_map: bool = False,
        attributes: Attributes = MappingProxyType({}),
        place: str = "",
    ) -> None:
        """Append a float operator, its fused activation, and an ``Encode`` where the tensor holds codes."""
        name = self.output(index, as_map)
        value, function = self.graph.value(name), fused_activation(code, place)
        coded = value.encoding is not None
        target = self.add_computed(f"{name}_real", "float32", value.shape) if coded else name
        fused = bool(function) and not (coded and self.implies(name, code))
        before = self.add_computed(target + LINEAR, "float32", value.shape) if fused else target
        self.node(op, operands, before, attributes=attributes)
        if fused:
            self.node(function, (before, *self.bounds(index, FUSED_ACTIVATIONS[code][1])), target)
        if coded:
            self.node("Encode", (target,), name, domain="lowbit")

    def compute_codes(
        self,
        op: str,
        operands: tuple[str, ...],
        index: int,
        code: int,
        place: str,
        *,
        as_map: bool = False,
        attributes: Attributes = MappingProxyType({}),
    ) -> None:
        """Append a layer on codes and its fused activation, which works on codes too."""
        name, function = self.output(index, as_map), fused_activation(code, place)
        value = self.graph.value(name)
        if not function or self.implies(name, code):
            self.node(op, operands, name, domain="lowbit", attributes=attributes)
            return
        before = self.add_computed(name + LINEAR, value.dtype, value.shape, value.encoding)
        self.node(op, operands, before, domain="lowbit", attributes=attributes)
        if function != "Clip" or value.encoding is None:
            self.node(function, (before, *self.bounds(index, FUSED_ACTIVATIONS[code][1])), name)
            return
        real, clipped = (
            self.add_computed(f"{name}_{stem}", "float32", value.shape) for stem in ("real", "clipped")
        )
        self.node("Decode", (before,), real, domain="lowbit")
        self.node(function, (real, *self.bounds(index, FUSED_ACTIVATIONS[code][1])), clipped)
        self.node("Encode", (clipped,), name, domain="lowbit")

    def implies(self, name: str, code: int) -> bool:
        """Return whether the codes of a value cannot hold what a fused activation would change."""
        encoding, (function, bounds) = self.graph.value(name).encoding, FUSED_ACTIVATIONS[code]
        if encoding is None or not function or encoding.channels != 1:
            return not function
        levels = encoding.levels()[0]
        low, high = bounds or (0.0, np.inf)
        clipped = np.clip(levels, low, high) if function != "Tanh" else np.tanh(levels)
        return np.array_equal(encoding.encode(clipped), encoding.encode(levels))

    def bounds(self, index: int, numbers: tuple[float, ...]) -> tuple[str, ...]:
        """Return constants for the bounds of a clip that makes a tensor."""
        stem = self.name(index)
        names = zip(("low", "high"), numbers, strict=False)
        return tuple(self.add_constant(f"{stem}_{end}", np.float32(number)) for end, number in names)

    def scalar(self, index: int) -> str:
        """Return a constant of one element as one without axes."""
        name = self.float_constant(index)
        if self.graph.value(name).shape == ():
            return name
        return self.add_constant(
            f"{name}_scalar", np.asarray(self.graph.constant(name), np.float32).reshape(())
        )

    def pad_operands(self, index: int, edges: tuple[int, ...], fill: float) -> tuple[str, ...]:
        """Return the constants of a Pad that makes a tensor."""
        stem = self.name(index)
        pads = self.add_constant(f"{stem}_pads", np.array(edges, np.int64), "int64")
        return (pads, self.add_constant(f"{stem}_fill", np.float32(fill))) if fill else (pads,)

    def coded_weights(self, index: int, *, depthwise: bool) -> str:
        """Return constant weights as codes [o, h, w, c / group]; depthwise they are [1, h, w, o]."""
        if not depthwise:
            return self.value(index)
        if index not in self._maps:
            data, parameters = self.structure.constants[index], self.tensor(index).quantization
            assert parameters is not None and parameters.scale is not None
            place = f"{self.structure.where}, tensor {index} ({self.tensor(index).name[:80]})"
            if len(parameters.scale) > 1:
                fits = parameters.quantized_dimension == 3
                require(fits, "scales do not match axis 3", place, 3, parameters.quantized_dimension)
            encoding = self._affine(parameters, self.type(index), data.shape[3], place)
            codes = np.ascontiguousarray(unsigned(data).transpose(3, 1, 2, 0))
            self._maps[index] = self.graph.add(Value(self.name(index), "code", codes.shape, codes, encoding))
        return self._maps[index]

    def only_reader_of_clip(self, index: int, source: str) -> tuple[str, str] | None:
        """Take away a clip from below that was appended last and that one operator alone reads.

        Returns:
            What it reads and its bound, or None where there is no such clip.
        """
        subgraph = self.structure.subgraph
        uses = sum(operator.inputs.count(index) for operator in subgraph.operators) + subgraph.outputs.count(
            index
        )
        last = self.graph.nodes[-1] if self.graph.nodes else None
        if (
            uses != 1
            or last is None
            or last.op != "Clip"
            or last.outputs != (source,)
            or len(last.inputs) != 2
        ):
            return None
        self.graph.nodes.pop()
        del self.graph.values[source]
        return last.inputs[0], last.inputs[1]

    def _add(self, index: int) -> str:
        dtype, data = self.type(index), self.constant(index)
        encoding: Encoding | None = self.codings.get(index) or self.encoding(index)
        if data is None:
            return self.graph.add(
                Value(
                    self.name(index),
                    code_dtype(encoding) if encoding else dtype,
                    self.shape(index),
                    None,
                    encoding,
                )
            )
        if encoding is not None:
            return self.graph.add(Value(self.name(index), "code", data.shape, unsigned(data), encoding))
        if dtype not in DTYPES:
            dtype = "float32" if data.dtype.kind == "f" else "int64"
        return self.graph.add(
            Value(self.name(index), dtype, data.shape, data.astype(DTYPES[dtype], copy=False))
        )


def fused_activation(code: int, place: str) -> str:
    """Return the operator of a fused activation, "" for none.

    Raises:
        UnsupportedError: the graph has none for it.
    """
    if code not in FUSED_ACTIVATIONS:
        raise UnsupportedError(
            "the fused activation is not supported",
            where=place,
            expected="none, RELU, RELU_N1_TO_1, RELU6 or TANH",
            found=f"code {code}",
            remedy="Export the activation as an operator of its own.",
        )
    return FUSED_ACTIVATIONS[code][0]


def thresholds_name(codes: str) -> str:
    """Return how the thresholds that make a value of codes are called where the file does not say."""
    return f"{codes.removesuffix(CODES)}/thresholds"


def options_of(operator: Operator, default: Any) -> Any:
    """Return an operator's options, or ``default`` where they are absent or of another kind."""
    return operator.builtin_options if isinstance(operator.builtin_options, type(default)) else default
