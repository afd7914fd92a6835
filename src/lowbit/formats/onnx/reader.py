"""ONNX to graph: float networks of any exporter, and the low-bit networks that we write.

A file is parsed, checked for structure, and translated node by node; types are inferred on the way,
so an error names the node where the network stops making sense. What is read besides the operators
of the graph:

* shape arithmetic and transposed or cast constants are worked out (`shape_arithmetic`);
* Constant and ConstantOfShape become constants; Dropout and casts between floats become Identity, and floats
  of 16 and 64 bits are computed as float32;
* functions of the file, standard operators that ONNX says the functions of, and the branch of an If whose
  condition is known are read in the place of the node (`inlining`);
* lengths that are open may be fixed by the caller (`lowbit.formats.input_shapes`);
* ``auto_pad`` and ``ceil_mode`` become pads (`windows`), a mean over the map global average pooling;
* a float cast of an input makes that input float32;
* transpositions around operators of networks that keep channels last are absorbed (`settle_layout`);
* a batch that the exporter fixed to 1 is opened where type inference agrees;
* outputs that are class labels (places of largest scores, text) are left out when there are scores beside
  them, with the nodes that only they need; scikit-learn's ZipMap gives way to what it names;
* nodes of domain ``lowbit`` become low-bit nodes. Their functions are known by name: the bodies in a
  file are never run.

Nothing in a file is executed. Weights may lie in files beside it (torch writes ``NAME.onnx.data``), in its
own folder only.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from lowbit.budget import check_budget
from lowbit.errors import (
    FileError,
    LowbitError,
    ModelFormatError,
    NumericError,
    TooLargeError,
    UnsupportedError,
    UsageError,
)
from lowbit.formats.batch import BATCH, open_batch
from lowbit.formats.input_shapes import fix_inputs, open_lengths
from lowbit.formats.onnx import any_codes, by_table
from lowbit.formats.onnx.composites import composite_of
from lowbit.formats.onnx.constants import constant_of, fill_of
from lowbit.formats.onnx.functions import DOMAIN, functions
from lowbit.formats.onnx.inlining import names_read, renamed, standard_function
from lowbit.formats.onnx.labels import has_labels, is_map, is_number
from lowbit.formats.onnx.layer_labels import layer_of, layers_of_sums
from lowbit.formats.onnx.lowbit_nodes import (
    LowbitNode,
    check_tables,
    input_encodings,
    read_by_table,
    read_layer,
    read_lowbit_node,
)
from lowbit.formats.onnx.model_checks import (
    MAX_NODES,
    check_model,
    check_operators,
    domain_of,
    functions_of,
    is_known,
    opset_of,
)
from lowbit.formats.onnx.onnx_runtime import MICROSOFT
from lowbit.formats.onnx.open_lengths import OpenLengths
from lowbit.formats.onnx.quantized import FOREIGN, Grid, decode_outputs
from lowbit.formats.onnx.rewrites import REWRITES
from lowbit.formats.onnx.shape_arithmetic import (
    filled,
    fold,
    is_folded,
    known_numbers,
    shape_array,
    worked_out,
)
from lowbit.formats.onnx.tensors import (
    FLOATS,
    MAX_RANK,
    Beside,
    array_of,
    attribute_of,
    computed_dtype,
    plain,
    type_name,
)
from lowbit.formats.onnx.wire import check_fields
from lowbit.formats.onnx.writer import ENCODING_KEY, PRODUCER
from lowbit.ir import Graph, Node, Trait, Value, has, run_passes, verify
from lowbit.ir.graph import DTYPES, Array, Attribute, Dimension, Shape
from lowbit.ir.infer import infer_node
from lowbit.ir.operators.layer_names import from_file
from lowbit.ir.operators.registry import code_dtype
from lowbit.ir.passes import RECOGNISED_FORM, settle_layout
from lowbit.untrusted import MAX_BYTES, read_beside, read_file

if TYPE_CHECKING:
    from onnx import AttributeProto, FunctionProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

_BOUNDED = "infinities in constants are the largest float32"

MAX_FOLDED = 1 << 28  # elements that folding may make in all


def read(path: str | os.PathLike[str], *, limit: int = MAX_BYTES) -> Graph:
    """Return the graph of an ``.onnx`` file, verified.

    Args:
        path: the file.
        limit: the most bytes that are accepted.

    Raises:
        FileError: it cannot be read, is damaged, too large, or asks for another file.
        UnsupportedError: an operator, attribute, rank or data type that lowbit does not have.
        GraphError: types or shapes that do not fit.
        NumericError: NaN or infinity in a constant.
    """
    where, taken = os.fspath(path), 0

    def beside(name: str, offset: int, count: int, who: str) -> bytes:
        nonlocal taken
        taken += count
        check_budget(taken, where, "the weights in other files")
        return read_beside(where, name, offset, count, who)

    return from_proto(_parsed(read_file(path, limit=limit), where), where, beside)


def from_proto(model: "ModelProto", where: str = "model", beside: Beside | None = None) -> Graph:
    """Return the graph of a parsed model; errors are those of `read` and call it ``where``.

    Args:
        model: parsed.
        where: how messages call it.
        beside: reads weights that lie in other files, if there may be some.
    """
    reader: _Reader | None = None
    try:
        reader = _Reader(model, beside)
        graph = reader.graph()
        if model.producer_name != PRODUCER:  # what we write means what it says
            verify(graph)
            if any(value.encoding is not None for value in graph.values.values()):
                graph = run_passes(decode_outputs(graph), RECOGNISED_FORM).graph
            graph = run_passes(open_batch(graph), [settle_layout]).graph
        verify(graph)
    except LowbitError as error:
        error.where = f"{where}: {error.where}" if error.where else where
        if reader is not None:
            _say_how_to_fix(error, reader)
        raise
    return graph


def _say_how_to_fix(error: LowbitError, reader: "_Reader") -> None:
    """Name the option that fixes lengths, where some are open and nothing else is said."""
    rows = open_lengths(reader.result)
    if rows and not isinstance(error, FileError | UsageError):
        options = " ".join(f"--input-shape {row}" for row in rows)
        how = f"Lengths are open: fix them with {options}, numbers for names (in Python: input_shapes)."
        error.remedy = f"{how} {error.remedy or ''}".strip()


def read_content(content: bytes, where: str) -> Graph:
    """Return the graph of the bytes of a file called ``where``, all of it; errors are those of `read`."""
    return from_proto(_parsed(content, where), where)


def _parsed(raw: bytes, where: str) -> "ModelProto":
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from onnx import ModelProto

    check_fields(raw, ModelProto.DESCRIPTOR, where)
    try:
        return ModelProto.FromString(raw)  # type: ignore[no-any-return]
    except DecodeError as error:
        raise ModelFormatError(
            "this is not an ONNX file, or it is damaged",
            where=where,
            expected="an ONNX model",
            found=f"{len(raw)} bytes that cannot be parsed",
            remedy="Export the network again.",
        ) from error


class _Reader:
    """Translates one model; what is known of each name is either a constant or a value of the graph."""

    def __init__(self, model: "ModelProto", beside: Beside | None = None) -> None:
        check_model(model)
        self.model, self.beside = model, beside
        self.opset = opset_of(model)
        self.result = Graph(model.graph.name or "graph", metadata=_metadata(model))
        self.declared: dict[str, TensorProto] = {}
        self.constants: dict[str, Array] = {}
        self.origin: dict[str, str] = {}  # the initializer that a folded constant came from
        self.biased = layers_of_sums(model)
        self.readers: dict[str, list[str]] = defaultdict(list)  # their operators, but Shape, which is folded
        self.functions, self.inside = functions_of(model), list[tuple[str, str]]()
        self._count_readers(model.graph.node)
        for info in model.graph.output:
            self.readers[info.name].append("")
        self.names = {name for node in model.graph.node for name in node.output} | {
            tensor.name for tensor in (*model.graph.initializer, *model.graph.input)
        }
        self.budget, self.inlined = MAX_FOLDED, 0
        self.node_names: set[str] = set()
        self.grids: dict[str, Grid] = {}  # of values of codes that foreign operators make
        self.coded_inputs: dict[str, str] = {}  # inputs of integers, and the codes that they became
        self.numbers: dict[str, int] = {}
        self.again: dict[str, int] = defaultdict(int)  # how often a name inside a function was made new

    def _count_readers(self, nodes: "Iterable[NodeProto]") -> None:
        for node in nodes:
            for name in names_read(node) if node.op_type != "Shape" else ():
                self.readers[name].append(node.op_type)

    def graph(self) -> Graph:
        """Return the graph, not verified yet."""
        self._declare()
        self._inputs()
        producers = self._producers()
        outputs = self._outputs(producers)
        nodes = self._needed(producers, outputs)
        check_operators(nodes, self.functions, self.opset)
        self._load({*outputs, *(name for node in nodes for name in names_read(node))})
        for proto in nodes:
            self._node_at(proto)
        for name in outputs:
            self.use(name)
        self.result.outputs = tuple(outputs)
        self.result.remove_unused()
        self._check_numbers()
        return self.result

    def _declare(self) -> None:
        if len(self.model.graph.sparse_initializer):
            raise UnsupportedError("sparse tensors are not supported", found="a sparse initializer")
        for tensor in self.model.graph.initializer:
            if not tensor.name or tensor.name in self.declared:
                _duplicate(tensor.name)
            self.declared[tensor.name] = tensor

    def _load(self, names: set[str]) -> None:
        """Make constants of the initializers of these names; labels of classes, for one, are not read."""
        for name in sorted(names & self.declared.keys()):
            self.constants[name] = array_of(self.declared[name], f"tensor {name!r}", self.beside)

    def _inputs(self) -> None:
        encodings = input_encodings(self.model)
        for info in self.model.graph.input:
            if info.name in self.declared:  # before IR version 4 initializers were inputs too
                continue
            if not info.name or info.name in self.result.values:
                _duplicate(info.name)
            self.result.add(_input_value(info, encodings.get(info.name)))
            self.result.inputs += (info.name,)
            kind = FLOATS.get(info.type.tensor_type.elem_type, "float32")
            if kind != "float32":
                self._note_floats(kind)
        fix_inputs(self.result)

    def _producers(self) -> dict[str, int]:
        """Return the index of the node that computes each name; a name is computed once."""
        producers: dict[str, int] = {}
        for index, proto in enumerate(self.model.graph.node):
            for name in filter(None, proto.output):
                if name in producers or name in self.declared or name in self.result.values:
                    _duplicate(name)
                producers[name] = index
        return producers

    def _outputs(self, producers: dict[str, int]) -> list[str]:
        """Return the outputs to import; where there are scores, classes only matter to people."""
        chosen: list[str] = []
        labels: list[str] = []
        for info in self.model.graph.output:
            maker = self.model.graph.node[producers[info.name]] if info.name in producers else None
            if maker is not None and is_map(maker):
                chosen.append(maker.input[0])
                self.note(
                    f"output {info.name} (ZipMap) is given as the array that it is made of, {maker.input[0]}"
                )
            elif has_labels(self.model.graph, info, producers):
                labels.append(info.name)
            else:
                chosen.append(info.name)
        if not chosen and all(is_number(info) for info in self.model.graph.output):
            chosen, labels = labels, []
        if not chosen:
            raise UnsupportedError(
                "no output holds numbers",
                expected="probabilities or scores",
                found=", ".join(labels) or "no outputs",
                remedy="Export the network with its scores.",
            )
        if labels:
            self.note(f"left out: outputs that are classes and no scores ({', '.join(labels)})")
        return list(dict.fromkeys(chosen))

    def note(self, text: str) -> None:
        """Say to people what was left out, or read as something else."""
        self.result.notes = (*self.result.notes, text)

    def _needed(self, producers: dict[str, int], outputs: list[str]) -> "list[NodeProto]":
        """Return the nodes that the outputs depend on, in the order of the file."""
        nodes = self.model.graph.node
        needed: set[int] = set()
        waiting = list(outputs)
        while waiting:
            index = producers.get(waiting.pop())
            if index is not None and index not in needed:
                needed.add(index)
                waiting += names_read(nodes[index])
        return [nodes[index] for index in sorted(needed)]

    def _node_at(self, proto: "NodeProto") -> None:
        """Translate a node; errors say which."""
        try:
            self._node(proto)
        except LowbitError as error:
            label = f"node {proto.name or proto.output[0]!r} ({proto.op_type})"
            error.where = (
                label if proto.name and proto.name in error.where else f"{label} {error.where}".strip()
            )
            raise

    def _node(self, proto: "NodeProto") -> None:
        domain = domain_of(proto)
        if (domain, proto.op_type) == ("", "If"):
            return self._branch(proto)
        if (domain, proto.op_type) in self.functions:
            return self._function(proto, self.functions[domain, proto.op_type])
        attributes = {item.name: attribute_of(item, proto.name) for item in proto.attribute}
        if domain == DOMAIN:
            return self._lowbit(proto, attributes)
        for name in filter(None, proto.input):
            self._require_known(name)
        if domain == "" and self._constant(proto, attributes):
            return None
        if domain == "" and proto.op_type == "ConstantOfShape" and len(proto.input) == 1:
            value = self.constant(f"{proto.output[0]}/value", fill_of(attributes).reshape(-1))
            return self.add(proto, "Expand", [value, proto.input[0]], {})
        if len(plain(attributes)) < len(attributes):
            raise UnsupportedError("a tensor as an attribute", expected="numbers or text")
        if (domain, proto.op_type) in FOREIGN and len(proto.input):
            return FOREIGN[domain, proto.op_type](self, proto, plain(attributes))
        if domain == "com.microsoft" and proto.op_type in MICROSOFT and len(proto.input):
            return MICROSOFT[proto.op_type](self, proto, plain(attributes))
        if domain == "" and not is_known(proto) and (function := self._standard_function(proto)) is not None:
            return self._function(proto, function)
        if domain == "" and proto.op_type in REWRITES and len(proto.input):
            return REWRITES[proto.op_type](self, proto, plain(attributes))
        return self.add(proto, proto.op_type, list(proto.input), plain(attributes), domain)

    def _branch(self, proto: "NodeProto") -> None:
        """Read the branch of an If that is always taken, in its place."""
        condition = self.constants.get(proto.input[0])
        if condition is None or condition.dtype == object:
            raise UnsupportedError(
                "a condition that is only known when the network runs",
                expected="an If whose condition is constant",
                found=proto.input[0],
                remedy="Control flow is not run: export without it, or fix its lengths with --input-shape.",
            )
        wanted = "then_branch" if condition.any() else "else_branch"
        taken = next(attribute.g for attribute in proto.attribute if attribute.name == wanted)
        names = {}
        for tensor in taken.initializer:
            names[tensor.name] = self.constant(
                tensor.name, array_of(tensor, f"tensor {tensor.name!r}", self.beside)
            )
        self._inline(proto, taken.node, names, [info.name for info in taken.output], None)

    def _function(self, proto: "NodeProto", function: "FunctionProto") -> None:
        """Read what a function is made of, in the place of a node."""
        key = (function.domain, function.name)
        if key in self.inside:
            raise ModelFormatError("a function calls itself", found=f"{key[0]}.{key[1]}")
        given = {attribute.name: attribute for attribute in function.attribute_proto}
        given |= {attribute.name: attribute for attribute in proto.attribute}
        inputs = [*proto.input, *[""] * len(function.input)]
        names = dict(zip(function.input, inputs, strict=False))
        opset, versions = (
            self.opset,
            {item.domain.removeprefix("ai.onnx"): item.version for item in function.opset_import},
        )
        self.inside.append(key)
        self.opset = versions.get("", opset)
        self._inline(proto, function.node, names, list(function.output), given)
        self.opset = opset
        self.inside.pop()

    def _inline(
        self,
        proto: "NodeProto",
        nodes: "Iterable[NodeProto]",
        names: dict[str, str],
        outputs: list[str],
        attributes: "Mapping[str, AttributeProto] | None",
    ) -> None:
        """Read nodes in the place of one; what the outputs are inside becomes the node's own."""
        made = {name for node in nodes for name in node.output}
        passed = [(inner, outer) for inner, outer in zip(outputs, proto.output, strict=False) if outer]
        seen: dict[str, str] = {}
        again = []
        for inner, outer in passed:
            if inner in made and inner not in seen:
                seen[inner] = outer
            else:
                again.append((inner, outer))
        names |= seen
        ready = renamed(nodes, names, self._reserved, attributes)
        self._spend_nodes(len(ready))
        self._count_readers(ready)
        for node in ready:
            self._node_at(node)
        for inner, outer in again:
            self.read("Identity", [names.get(inner, inner)], outer)

    def _reserved(self, stem: str) -> str:
        """Return a name that nothing has, and nothing else gets."""
        if stem in self.names:  # a function is read again and again: no search for a name that is free
            self.again[stem] += 1
            stem = f"{stem}.{self.again[stem]}"
        name = self.free_name(stem)
        self.names.add(name)
        return name

    def _spend_nodes(self, count: int) -> None:
        self.inlined += count
        if self.inlined > MAX_NODES:
            raise TooLargeError("functions stand for too many nodes", expected=f"at most {MAX_NODES}")

    def _standard_function(self, proto: "NodeProto") -> "FunctionProto | None":
        from onnx import TypeProto, helper

        types = []
        for name in proto.input:
            kind = (
                helper.np_dtype_to_tensor_dtype(np.dtype(DTYPES.get(self.kind(name), self.kind(name))))
                if name
                else 0
            )
            types.append(helper.make_tensor_type_proto(kind, self.shape(name)) if name else TypeProto())
        return standard_function(proto, self.opset, types)

    def _constant(self, proto: "NodeProto", attributes: Mapping[str, object]) -> bool:
        """Work a node out when all it needs is known now; return whether that was done."""
        inputs = [self.constants[name] for name in proto.input if name in self.constants]
        known = len(inputs) == len(proto.input)
        array: Array | None = None
        if proto.op_type == "Constant":
            array = constant_of(attributes)
        elif proto.op_type == "ConstantOfShape" and known and inputs and inputs[0].dtype != object:
            array = filled(inputs[0], fill_of(attributes))
        elif proto.op_type == "Shape" and len(proto.input) == 1:
            array = self._shape(proto.input[0])[attributes.get("start", 0) : attributes.get("end")]
        elif known and inputs and is_folded(proto.op_type, inputs, plain(attributes)):
            array = fold(proto.op_type, inputs, plain(attributes))
            self.origin[proto.output[0]] = self.origin.get(proto.input[0], proto.input[0])
        if array is None:
            return False
        self._spend(array.size)
        self.constants[proto.output[0]] = array
        return True

    def _shape(self, name: str) -> Array:
        known = self.constants.get(name)
        return shape_array(self.result.value(name).shape if known is None else known.shape)

    def _spend(self, elements: int) -> None:
        self.budget -= elements
        if self.budget < 0:
            raise TooLargeError(
                "the constants that the file makes are too large", expected=f"{MAX_FOLDED} elements"
            )

    def _require_known(self, name: str) -> None:
        if name not in self.constants and name not in self.result.values:
            raise ModelFormatError(
                "an input is not computed before it is used",
                expected="nodes in order, no cycle",
                found=repr(name),
            )

    def use(self, name: str) -> str:
        """Make a name a value of the graph, and return it."""
        self._require_known(name)
        if name in self.result.values:
            return name
        array = self.constants[name]
        if array.dtype == object:
            OpenLengths(self).compute(name, array)
            return name
        if array.dtype.kind == "f" and array.dtype != np.float32:
            self._note_floats(array.dtype.name)
            with np.errstate(over="ignore"):
                array = array.astype(np.float32)
        if array.dtype.name not in DTYPES:
            raise UnsupportedError("data type not supported", where=name, found=array.dtype.name)
        self.result.add_constant(name, array, array.dtype.name)
        return name

    def _note_floats(self, kind: str) -> None:
        text = f"{kind} is computed as float32"
        if text not in self.result.notes:
            self.note(text)

    def shape(self, name: str) -> Shape:
        """Return the shape of a name."""
        self._require_known(name)
        return self.constants[name].shape if name in self.constants else self.result.value(name).shape

    def kind(self, name: str) -> str:
        """Return the dtype of a name."""
        self._require_known(name)
        if name in self.result.values:
            return self.result.value(name).dtype
        kind = self.constants[name].dtype
        return {"O": "int64", "f": "float32"}.get(kind.kind, kind.name)

    def known(self, name: str) -> Array:
        """Return the numbers of a constant; anything else is refused."""
        if name in self.constants:
            return known_numbers(self.constants[name])
        return self.result.constant(self.use(name))

    def constant(self, stem: str, array: Array) -> str:
        """Add a constant under a name that is free, and return it."""
        name = self.free_name(stem)
        self.constants[name] = array
        return name

    def insert(self, op: str, inputs: list[str], domain: str = "", **attributes: Attribute) -> str:
        """Add a node that the file does not have, and return what it computes."""
        output = self.free_name(f"{inputs[0]}/{op.lower()}")
        self.append(op, inputs, output, domain, **attributes)
        return output

    def append(
        self, op: str, inputs: list[str], output: str, domain: str = "", **attributes: Attribute
    ) -> None:
        """Add a node that computes a value of the file."""
        self.emit(Node(op, tuple(inputs), (output,), attributes, self._unique(output), domain))

    def read(
        self,
        op: str,
        inputs: list[str],
        output: str,
        *,
        name: str = "",
        attributes: "Iterable[AttributeProto]" = (),
        **more: object,
    ) -> None:
        """Read a node that another one of the file stands for, as if the file had it."""
        from onnx import helper

        proto = helper.make_node(op, inputs, [output], name=name, **more)  # type: ignore[arg-type]
        proto.attribute.extend(attributes)
        self._node(proto)

    def type_of(self, name: str) -> str:
        """Return the type that the file gives a constant or an input; that of codes is theirs alone."""
        if name in self.declared:
            return type_name(self.declared[name].data_type)
        if name in self.constants:
            return str(self.constants[name].dtype.name)
        return self.result.value(self.use(name)).dtype

    def known_shape(self, name: str) -> Shape:
        """Return the shape of a name, without making a value of it."""
        known = self.constants.get(name)
        return self.result.value(name).shape if known is None else known.shape

    def add(
        self,
        proto: "NodeProto",
        op: str,
        inputs: list[str],
        attributes: dict[str, Attribute],
        domain: str = "",
    ) -> None:
        """Add a node and infer its outputs."""
        while inputs and not inputs[-1]:
            inputs.pop()
        outputs = list(proto.output)
        while len(outputs) > 1 and not (outputs[-1] and self.readers.get(outputs[-1])):
            outputs.pop()
        named = tuple(name or self.free_name(f"{outputs[-1]}/unused") for name in outputs)
        source = self.result.values.get(inputs[0]) if inputs else None
        if source is not None and source.encoding is not None and has((domain, op), Trait.CARRIES):
            self.result.add(Value(named[0], "code", (), None, source.encoding))
        self.emit(Node(op, tuple(inputs), named, attributes, self._node_name(proto, tuple(inputs)), domain))

    def give(
        self, proto: "NodeProto", output: str, op: str, inputs: list[str], attributes: dict[str, Attribute]
    ) -> None:
        """Add a node for one output of several that a node of the file has."""
        source = self.result.values.get(inputs[0])
        if source is not None and source.encoding is not None:
            self.result.add(Value(output, source.dtype, (), None, source.encoding))
        self.emit(Node(op, tuple(inputs), (output,), attributes, self._node_name(proto, tuple(inputs))))

    def emit(self, node: Node) -> None:
        """Add a node whose inputs may be constants; what is known of all of them is worked out instead."""
        if not node.outputs:
            raise ModelFormatError("a node without outputs", expected="one at least", found="none")
        if self._is_constant(node):
            given = [self.constants[name] if name else None for name in node.inputs]
            made = worked_out(node, given)
            if made is not None:
                self._spend(sum(array.size for array in made))
                self.constants |= dict(zip(node.outputs, made, strict=True))
                return
        for name in filter(None, node.inputs):
            self.use(name)
        self._append(node)

    def _is_constant(self, node: Node) -> bool:
        named = list(filter(None, node.inputs))
        return bool(named) and all(name in self.constants for name in named)

    def _append(self, node: Node) -> None:
        if not node.outputs or not all(node.outputs):
            raise ModelFormatError("an output without a name", found=str(node.outputs))
        self.result.nodes.append(node)
        infer_node(self.result, node)

    def _lowbit(self, proto: "NodeProto", attributes: Mapping[str, object]) -> None:
        for name in filter(None, proto.input):
            self._require_known(name)
        kind, composite = functions().get(proto.op_type), composite_of(proto.op_type)
        if composite is not None:
            return self.add(proto, composite.name, list(proto.input), plain(attributes), composite.domain)
        if proto.op_type in any_codes.layers():
            return self._any_layer(proto, attributes)
        if proto.op_type in by_table.kinds():
            return self._by_table(proto, attributes)
        if kind is None:
            raise UnsupportedError("unknown low-bit operator", found=proto.op_type, remedy="Update lowbit.")
        translated: LowbitNode = read_lowbit_node(kind, proto, attributes, self.constants, self.result.values)
        for value in translated.values:
            self._add_value(value)
        inputs = tuple(self.use(name) for name in translated.inputs)
        name = self._node_name(proto, inputs)
        self._append(
            Node(
                from_file(kind.op),
                inputs,
                tuple(proto.output),
                translated.attributes,
                name,
                translated.domain,
            )
        )

    def _any_layer(self, proto: "NodeProto", attributes: Mapping[str, object]) -> None:
        """Append a layer of any encodings, and check that its tables are what its encodings say."""
        for value in read_layer(proto, attributes, self.constants, self.result.values):
            self._add_value(value)
        kind = any_codes.layers()[proto.op_type]
        inputs = tuple(self.use(name) for name in proto.input[: len(kind.tensors)])
        own = plain(any_codes.own_attributes(attributes))
        node = Node(kind.op, inputs, tuple(proto.output), own, self._node_name(proto, inputs), DOMAIN)
        self._append(node)
        check_tables(self.result, node, proto, self.constants)

    def _by_table(self, proto: "NodeProto", attributes: Mapping[str, object]) -> None:
        """Append what encodes, decodes or maps codes, and check that its tables are what encodings say."""
        kind = by_table.kinds()[proto.op_type]
        source, output, given = read_by_table(kind, proto, attributes, self.constants, self.result.values)
        inputs = [self.use(source)]
        if output is not None:
            self._add_value(output)
            if by_table.has_own_thresholds(output, given):
                inputs.append(self.use(proto.input[1]))
        own, name = plain(by_table.own_attributes(kind, attributes)), self._node_name(proto, tuple(inputs))
        node = Node(kind.op, tuple(inputs), tuple(proto.output), own, name, kind.domain)
        self._append(node)
        by_table.check_tables(self.result, node, given)

    def _add_value(self, value: Value) -> None:
        """Add a value, or find that it is there already with the same meaning."""
        known = self.result.values.get(value.name)
        if known is None:
            self.result.add(value)
        elif (known.dtype, known.shape, known.encoding) != (value.dtype, value.shape, value.encoding):
            raise ModelFormatError("a tensor is used with two meanings", found=repr(value.name))

    def _node_name(self, proto: "NodeProto", inputs: tuple[str, ...]) -> str:
        """Return the node's name; a layer is called after its weights where they say what it is."""
        stem = proto.name or proto.op_type
        ours = self.model.producer_name == PRODUCER
        if has(("", proto.op_type), Trait.LAYER) and len(inputs) > 1 and not (ours and proto.name):
            stem = layer_of(self.origin.get(inputs[1], inputs[1])) or self.biased.get(proto.output[0], stem)
        return self._unique(stem)

    def free_name(self, stem: str) -> str:
        """Return a name that neither the file nor the graph has."""
        while stem in self.names or stem in self.result.values or stem in self.constants:
            stem += "_"
        return stem

    def _unique(self, stem: str) -> str:
        name = stem
        while name in self.node_names:
            self.numbers[stem] = self.numbers.get(stem, 1) + 1
            name = f"{stem}_{self.numbers[stem]}"
        self.node_names.add(name)
        return name

    def _bound_masks(self) -> None:
        """Let infinities of masks, which layers do not multiply by, be the largest float32."""
        weights = {name for node in self.result.nodes if has(node, Trait.LAYER) for name in node.inputs[1:]}
        for name, value in self.result.values.items():
            data = value.data
            if data is None or data.dtype != np.float32 or name in weights or not np.isinf(data).any():
                continue
            most = np.finfo(np.float32).max
            self.result.update(name, data=np.clip(data, -most, most))
            if _BOUNDED not in self.result.notes:
                self.note(_BOUNDED)

    def _check_numbers(self) -> None:
        self._bound_masks()
        for name, value in self.result.values.items():
            if value.data is not None and value.data.dtype.kind == "f" and not np.isfinite(value.data).all():
                raise NumericError(
                    "a constant holds NaN or infinity",
                    where=f"tensor {name!r}",
                    expected="finite numbers",
                    found=f"{int((~np.isfinite(value.data)).sum())} others",
                    remedy="Train or export the network again.",
                )


def _metadata(model: "ModelProto") -> dict[str, str]:
    return {item.key: item.value for item in model.metadata_props if not item.key.startswith(ENCODING_KEY)}


def _input_value(info: "ValueInfoProto", encoding: object) -> Value:
    where = f"input {info.name!r}"
    tensor = info.type.tensor_type
    if not info.type.HasField("tensor_type") or not tensor.HasField("shape"):
        raise UnsupportedError("an input without a shape", where=where, expected="a tensor of known rank")
    if len(tensor.shape.dim) > MAX_RANK:
        raise UnsupportedError("too many axes", where=where, expected=f"at most {MAX_RANK}")
    shape: list[Dimension] = []
    for axis, length in enumerate(tensor.shape.dim):
        unnamed = BATCH if axis == 0 else f"{info.name}_{axis}"
        named = length.dim_param.strip("?- ")  # what some exporters write where they know no name
        shape.append(length.dim_value if length.dim_value > 0 else named or unnamed)
    dtype = computed_dtype(tensor.elem_type, where)
    if encoding is None:
        return Value(info.name, dtype, tuple(shape))
    return Value(info.name, code_dtype(encoding), tuple(shape), None, encoding)  # type: ignore[arg-type]


def _duplicate(name: str) -> NoReturn:
    raise ModelFormatError(
        "a name is empty or defined twice", expected="one definition of each name", found=repr(name)
    )
