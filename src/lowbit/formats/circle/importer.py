"""The graph under construction while a Circle or TFLite file is read."""

from collections.abc import Mapping
from dataclasses import replace
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
from lowbit.ir.graph import Array, Attribute, Shape
from lowbit.ir.infer import infer_node
from lowbit.ir.operators import Trait, has
from lowbit.ir.operators.registry import code_dtype
from lowbit.ir.worked_out import resolve_shape, worked_out
from lowbit.schemes import Encoding

FIX = "Fix the open lengths."

HYBRID = (
    "weights of 8 bits beside activations of floats are the floats that they stand for; "
    "LiteRT rounds activations to 8 bits at run time"
)
"""What is said of files of dynamic range."""

_WHOLE = ("int32", "int64", "uint8", "int8")

CODES, LINEAR = "/codes", "_linear"
"""Endings of names that are made up: codes of a value or layer, a value before its fused activation."""

MAX_FOLDED = 1 << 28
"""Elements that constants may have that are worked out from others, all together."""

Attributes = Mapping[str, Attribute]


class Importer(FileTensors):
    """Maps tensor indices to values of a graph.

    Attributes:
        graph: what has been built so far.
        padding: tensors that only add numbers around another map: that, pads, the number.
        foreign: whether somebody else wrote the file, so that nodes of constants are worked out.
        symbols: rows of integers some of which are open lengths, by the name that they have here.
        room: elements that working out may still make.
        makers: the node that computes a value.
    """

    def __init__(self, structure: Structure, *, foreign: bool = False) -> None:
        super().__init__(structure)
        self.graph = Graph(structure.subgraph.name)
        self.foreign = foreign
        self.symbols: dict[str, Array] = {}
        self.room = MAX_FOLDED
        self.makers: dict[str, Node] = {}
        self.padding: dict[int, tuple[int, tuple[int, ...], float]] = {}
        self._values: dict[int, str] = {}
        self._maps: dict[int, str] = {}
        self._reals: dict[str, str] = {}
        self._floats: dict[int, str] = {}
        self._moved: dict[tuple[int, tuple[int, ...]], str] = {}
        self._node_names: set[str] = set()

    def value(self, index: int) -> str:
        """Return the name of the tensor's value, adding it to the graph when it is new."""
        if index in self.padding:
            self.map(index)
        folded = self.folded.get(index)
        if folded is not None and folded.dtype == object:
            self.symbols[self.name(index)] = folded
            return self.name(index)
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
        if (index, order) not in self._moved:
            moved = np.ascontiguousarray(self.decoded(index).transpose(order))
            self._moved[index, order] = self.graph.add_constant(self._free(index), moved)
        return self._moved[index, order]

    def map_operand(self, index: int, place: str) -> str:
        """Return what an operator on maps reads: a map, or a constant with its axes moved."""
        data = self.constant(index)
        if data is None:
            return self.map(index)
        require(data.ndim <= 4, "an operand has the wrong rank", place, "at most 4", data.ndim)
        if data.ndim == 0:
            return self.plain_constant(index)
        if (index, TO_NCHW) not in self._moved:
            plain = self.decoded(index) if self._is_decoded(index, data) else data
            moved = np.ascontiguousarray(
                plain.reshape((1,) * (4 - data.ndim) + data.shape).transpose(TO_NCHW)
            )
            name = self.graph.add_constant(self._free(index), moved, moved.dtype.name)
            self._moved[index, TO_NCHW] = name
        return self._moved[index, TO_NCHW]

    def _free(self, index: int) -> str:
        """Return the name of a tensor, or one like it where another form of it has that."""
        name = self.name(index)
        return self.fresh(name) if name in self.graph.values else name

    def plain_constant(self, index: int) -> str:
        """Return a constant as the numbers it stands for: floats, or integers and truth as they are."""
        data = self.constant(index)
        assert data is not None
        return self.float_constant(index) if self._is_decoded(index, data) else self.value(index)

    def _is_decoded(self, index: int, data: npt.NDArray[Any]) -> bool:
        parameters = self.tensor(index).quantization
        scaled = parameters is not None and parameters.scale is not None and bool(len(parameters.scale))
        return data.dtype.kind == "f" or scaled

    def alias(self, index: int, name: str, *, as_map: bool) -> None:
        """Let a tensor be a value that there is already."""
        (self._maps if as_map else self._values)[index] = name

    def float_constant(self, index: int) -> str:
        """Return a tensor as a float value: a constant that holds codes is decoded."""
        data = self.constant(index)
        if data is None:
            return self.value(index)
        if not self._is_decoded(index, data):
            place = f"{self.structure.where}, tensor {index} ({self.tensor(index).name[:80]})"
            raise unsupported("integers have no scale", place, "floats, or integers with a scale", data.dtype)
        if index not in self._floats:
            known = index in self._values and data.dtype == np.float32
            self._floats[index] = (
                self._values[index]
                if known
                else self.graph.add_constant(self._free(index), self.decoded(index))
            )
        return self._floats[index]

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
        """Append a node, called like its output, and infer its type; of constants it is worked out."""
        made = Node(op, inputs, (output,), {**attributes, **more}, "", domain)
        if self.foreign and self._work_out(made):
            return
        self.nodes(
            op, tuple(self._numbers(made, name) for name in inputs), (output,), domain, made.attributes
        )
        infer_node(self.graph, self.graph.nodes[-1])

    def nodes(
        self, op: str, inputs: tuple[str, ...], outputs: tuple[str, ...], domain: str, attributes: Attributes
    ) -> None:
        """Append a node of one or more outputs, called like the first; types are as the file says."""
        name = reserve(outputs[0].removesuffix(CODES), self._node_names)
        self.graph.nodes.append(Node(op, inputs, outputs, {**attributes}, name, domain))
        self.makers |= dict.fromkeys(outputs, self.graph.nodes[-1])

    def insert(
        self,
        op: str,
        inputs: tuple[str, ...],
        stem: str,
        *,
        attributes: Attributes = MappingProxyType({}),
        **more: Attribute,
    ) -> str:
        """Append a node that the file does not have, and return what it computes; moved codes stay codes."""
        output = self.fresh(f"{stem}/{op.lower()}")
        first = self.graph.values.get(inputs[0])
        if first is not None and first.encoding is not None and has(("", op), Trait.CARRIES):
            self.graph.add(replace(first, name=output, data=None))
        self.node(op, inputs, output, attributes={**attributes, **more})
        return output

    def note(self, text: str) -> None:
        """Say to people, once, what was read as something else."""
        if text not in self.graph.notes:
            self.graph.notes = (*self.graph.notes, text)

    def note_weights(self, source: int, weights: int) -> None:
        """Say that a layer on floats has weights of 8 bits, if that is so."""
        data = self.constant(weights)
        if self.encoding_of(source) is None and data is not None and data.dtype.kind != "f":
            self.note(HYBRID)

    def stand_for(self, index: int, other: int) -> None:
        """Let a tensor be another one."""
        if other in self.padding:
            self.map(other)
        data = self.constant(other)
        if data is not None:
            self.folded[index] = data if data.dtype == object else self._plain(other, data)
        elif other in self._maps and other not in self._values:
            self._maps[index] = self._maps[other]
        else:
            self._values[index] = self.value(other)

    def another(self, index: int, shape: Shape, name: str) -> int:
        """Return a new tensor, that means by its numbers what another does, of another shape.

        Args:
            index: of the other.
            shape: of the new one.
            name: of a value that it is already, "" for one that is computed.
        """
        like = self.tensor(index)
        lengths = tuple(1 if isinstance(length, str) else length for length in shape)
        made = self.include((replace(like, shape=lengths, shape_signature=()),), {})
        if name:
            self._values[made] = name
        return made

    def _plain(self, index: int, data: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return self.decoded(index) if self._is_decoded(index, data) else data

    def integers(self, numbers: npt.ArrayLike, stem: str) -> str:
        """Add a row of integers that the file does not have and return its name."""
        return self.add_constant(stem, np.asarray(numbers, np.int64), "int64")

    def constant(self, index: int) -> npt.NDArray[Any] | None:
        """Return a tensor's data, from the file or worked out, or None."""
        found = super().constant(index)
        if found is None and index in self._values:
            return self.known(self._values[index])
        return found

    def known(self, name: str) -> npt.NDArray[Any] | None:
        """Return the numbers of a name: of objects where lengths are open, None where they are computed."""
        if name in self.symbols:
            return self.symbols[name]
        return self.graph.values[name].data if name in self.graph.values else None

    def shape(self, index: int) -> Shape:
        """Return a tensor's shape: as inferred, else as the file says."""
        if index in self._values and self._values[index] in self.graph.values:
            return self.graph.value(self._values[index]).shape
        if index in self._maps:
            shape = self.graph.value(self._maps[index]).shape
            return tuple(shape[axis] for axis in TO_NHWC)
        if index in self.padding:
            inner, pads, _ = self.padding[index]
            before = self.shape(inner)
            more = (0, pads[0] + pads[2], pads[1] + pads[3], 0)
            return tuple(n + m if isinstance(n, int) else n for n, m in zip(before, more, strict=True))
        return super().shape(index)

    def _work_out(self, node: Node) -> bool:
        """Make a constant of what a node computes, where its inputs are constants; return whether it was."""
        arrays = [self.known(name) if name else None for name in node.inputs]
        if node.domain or any(array is None for array, name in zip(arrays, node.inputs, strict=True) if name):
            return False
        if all(array is None or array.dtype.kind in "iO" for array in arrays):
            arrays = [a.astype(np.int64) if a is not None and a.dtype.kind == "i" else a for a in arrays]
        made = worked_out(node, arrays, self.room)
        if made is None:
            return False
        (name,), (array,) = node.outputs, made
        self.room -= array.size
        if array.dtype == object:
            self.symbols[name] = array
            self.graph.values.pop(name, None)
            return True
        declared = self.graph.values.pop(name, None)
        if declared is not None and declared.dtype in _WHOLE and array.dtype.kind == "i":
            array = array.astype(DTYPES[declared.dtype])
        self.graph.add_constant(name, array, array.dtype.name)
        return True

    def _numbers(self, node: Node, name: str) -> str:
        """Return an operand of a node that stays: a row with an open length says where a reshape has it."""
        if name not in self.symbols:
            return name
        source = self.graph.value(node.inputs[0]).shape
        row = resolve_shape(self.symbols[name], source) if node.op == "Reshape" else self.symbols[name]
        if row.dtype == object:
            raise UnsupportedError(
                "a shape with an open length is used as numbers",
                where=name,
                found=str(tuple(row)),
                remedy=FIX,
            )
        return self.integers(row, f"{name}/known")

    def output(self, index: int, as_map: bool) -> str:
        """Return the name of the value, or of the map, that an operator computes for a tensor."""
        return self.map_output(index) if as_map else self.value(index)

    def dtype(self, name: str) -> str:
        """Return the type of a name; a row with an open length is one of int64."""
        return "int64" if name in self.symbols else self.graph.value(name).dtype

    def is_real(self, index: int) -> bool:
        """Return whether a tensor holds floats, or codes of them."""
        return self.type(index) == "float32" or self.encoding_of(index) is not None

    def maps(self) -> set[str]:
        """Return the names of all values that are maps."""
        return {*self._maps.values()} | {self._reals.get(name, "") for name in self._maps.values()}

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
        domain: str = "",
        thresholds: npt.NDArray[np.float32] | None = None,
    ) -> None:
        """Append an operator on numbers, its fused activation, an ``Encode`` where the tensor holds codes.

        Args:
            op: of the graph.
            operands: its inputs.
            index: the tensor that it gives.
            code: of the fused activation.
            as_map: whether the result is a map.
            attributes: of the operator.
            place: for messages.
            domain: of the operator.
            thresholds: of the ``Encode``; None for those of the encoding.
        """
        name = self.output(index, as_map)
        value, function = self.graph.value(name), fused_activation(code, place)
        coded = value.encoding is not None
        target = self.add_computed(f"{name}_real", "float32", value.shape) if coded else name
        fused = bool(function) and not (coded and self.implies(name, code))
        before = self.add_computed(target + LINEAR, "float32", value.shape) if fused else target
        self.node(op, operands, before, attributes=attributes, domain=domain)
        if fused:
            self.node(function, (before, *self.bounds(index, FUSED_ACTIVATIONS[code][1])), target)
        if coded and self.known(target) is None:
            steps = () if thresholds is None else (self.add_constant(thresholds_name(name), thresholds),)
            self.node("Encode", (target, *steps), name, domain="lowbit")
        elif coded:
            self._known_codes(index, name, target)

    def _known_codes(self, index: int, name: str, target: str) -> None:
        """Let a tensor of codes that was worked out be the floats that those codes stand for."""
        encoding = self.graph.value(name).encoding
        assert encoding is not None
        levels = encoding.decode(encoding.encode(np.asarray(self.known(target), np.float32)))
        self.graph.update(
            name, dtype="float32", shape=levels.shape, encoding=None, data=levels.astype(np.float32)
        )

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
        order = (3, 1, 2, 0)
        if (index, order) not in self._moved:
            data, parameters = self.constants[index], self.tensor(index).quantization
            assert parameters is not None and parameters.scale is not None
            place = f"{self.structure.where}, tensor {index} ({self.tensor(index).name[:80]})"
            if len(parameters.scale) > 1:
                fits = parameters.quantized_dimension == 3
                require(fits, "scales do not match axis 3", place, 3, parameters.quantized_dimension)
            encoding = self._affine(parameters, self.type(index), data.shape[3], place)
            codes = np.ascontiguousarray(unsigned(data).transpose(order))
            value = Value(self._free(index), "code", codes.shape, codes, encoding)
            self._moved[index, order] = self.graph.add(value)
        return self._moved[index, order]

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
        if encoding is not None and data.dtype.kind != "f":
            return self.graph.add(Value(self._free(index), "code", data.shape, unsigned(data), encoding))
        if data.dtype.kind == "f" or dtype not in DTYPES:
            dtype = "float32" if data.dtype.kind == "f" else "int64"
        return self.graph.add(
            Value(self._free(index), dtype, data.shape, data.astype(DTYPES[dtype], copy=False))
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
