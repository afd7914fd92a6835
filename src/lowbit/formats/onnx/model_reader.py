"""A model is translated node by node: what each name is, and what is worked out while reading."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from lowbit.errors import LowbitError, ModelFormatError, NumericError, TooLargeError, UnsupportedError
from lowbit.formats.input_shapes import fix_inputs
from lowbit.formats.masks import bound_masks
from lowbit.formats.onnx.constants import constant_of, fill_of
from lowbit.formats.onnx.ends import input_value, outputs_of
from lowbit.formats.onnx.functions import DOMAIN
from lowbit.formats.onnx.inlining import Inliner, names_read
from lowbit.formats.onnx.layer_labels import layer_of, layers_of_sums
from lowbit.formats.onnx.lowbit_nodes import input_encodings
from lowbit.formats.onnx.model_checks import (
    check_model,
    domain_of,
    is_known,
    label_of,
    opset_of,
    refuse_unread,
)
from lowbit.formats.onnx.onnx_runtime import MICROSOFT
from lowbit.formats.onnx.open_lengths import OpenLengths
from lowbit.formats.onnx.own_nodes import read_own_node
from lowbit.formats.onnx.quantized import FOREIGN, Grid, choose
from lowbit.formats.onnx.rewrites import REWRITES
from lowbit.formats.onnx.shape_arithmetic import (
    filled,
    fold,
    is_folded,
    known_numbers,
)
from lowbit.formats.onnx.stand_ins import StandIns
from lowbit.formats.onnx.tensors import FLOATS, Beside, array_of, attribute_of, plain, type_name
from lowbit.formats.onnx.writer import ENCODING_KEY, PRODUCER
from lowbit.formats.refused import Refused
from lowbit.ir import Graph, Node, Trait, Value, has
from lowbit.ir.graph import DTYPES, Array, Attribute, Shape
from lowbit.ir.infer import infer_node
from lowbit.ir.worked_out import shape_array, worked_out

if TYPE_CHECKING:
    from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

MAX_FOLDED = 1 << 28  # elements that folding may make in all

Own = Mapping[str, "Callable[[ModelReader, NodeProto, Mapping[str, object]], None]"]
"""What reads the operators of a domain that the caller brings."""


class ModelReader:
    """Translates one model; what is known of each name is either a constant or a value of the graph."""

    def __init__(self, model: "ModelProto", beside: Beside | None = None, own: Own | None = None) -> None:
        check_model(model)
        self.model, self.beside, self.own = model, beside, own or {}
        self.opset = opset_of(model)
        self.result = Graph(model.graph.name or "graph", metadata=_metadata(model))
        self.declared: dict[str, TensorProto] = {}
        self.constants: dict[str, Array] = {}
        self.origin: dict[str, str] = {}  # the initializer that a folded constant came from
        self.biased = layers_of_sums(model)
        self.readers: dict[str, list[str]] = defaultdict(list)  # their operators, but Shape, which is folded
        self.inliner = Inliner(self, model)
        self.count_readers(model.graph.node)
        for info in model.graph.output:
            self.readers[info.name].append("")
        self.names = {name for node in model.graph.node for name in node.output} | {
            tensor.name for tensor in (*model.graph.initializer, *model.graph.input)
        }
        self.budget = MAX_FOLDED
        self.node_names: set[str] = set()
        self.grids: dict[str, Grid] = {}  # of values of codes that foreign operators make
        self.coded_inputs: dict[str, str] = {}  # inputs of integers, and the codes that they became
        self.numbers: dict[str, int] = {}
        self.refused, self.stand_ins = Refused(), StandIns(model.graph, self.result)

    def count_readers(self, nodes: "Iterable[NodeProto]") -> None:
        """Note which operators read each name."""
        for node in nodes:
            for name in names_read(node) if node.op_type != "Shape" else ():
                self.readers[name].append(node.op_type)

    def graph(self) -> Graph:
        """Return the graph, not verified yet."""
        self._declare()
        self._inputs()
        producers = self._producers()
        outputs = outputs_of(self.model.graph, producers, self.note)
        nodes = self._needed(producers, outputs)
        foreign = [node for node in nodes if domain_of(node) not in self.own]
        unread = refuse_unread(foreign, self.inliner.functions, self.opset, self.refused)
        self._load({*outputs, *(name for node in nodes for name in names_read(node))})
        for proto in nodes:
            kind, blind = (domain_of(proto), proto.op_type), self.stand_ins.hides(proto)
            if kind in unread or blind or not self._tried(proto):
                self.stand_ins.add(proto, self.constants)
        self.refused.raise_all()
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
            read = partial(self._input, info, encodings.get(info.name))
            if not self.refused.tried(read, info.name, ""):
                self.stand_ins.unknown.add(info.name)
        fix_inputs(self.result)

    def _input(self, info: "ValueInfoProto", encoding: object) -> None:
        self.result.add(input_value(info, encoding))
        self.result.inputs += (info.name,)
        kind = FLOATS.get(info.type.tensor_type.elem_type, "float32")
        if kind != "float32":
            self._note_floats(kind)

    def _producers(self) -> dict[str, int]:
        """Return the index of the node that computes each name; a name is computed once."""
        producers: dict[str, int] = {}
        for index, proto in enumerate(self.model.graph.node):
            for name in filter(None, proto.output):
                if name in producers or name in self.declared or name in self.result.values:
                    _duplicate(name)
                producers[name] = index
        return producers

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

    def _tried(self, proto: "NodeProto") -> bool:
        """Translate a node of the file, and return whether that is not refused."""
        name = proto.name or next(iter(proto.output), "")
        return self.refused.tried(lambda: self.read_node(proto), name, label_of(proto))

    def read_node(self, proto: "NodeProto") -> None:
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
            return self.inliner.branch(proto)
        if (domain, proto.op_type) in self.inliner.functions:
            return self.inliner.function(proto, self.inliner.functions[domain, proto.op_type])
        attributes = {item.name: attribute_of(item, proto.name) for item in proto.attribute}
        if domain == DOMAIN:
            return read_own_node(self, proto, attributes)
        for name in filter(None, proto.input):
            self.require_known(name)
        if domain in self.own:
            return self.own[domain](self, proto, attributes)
        if domain == "" and self._constant(proto, attributes):
            return None
        if domain == "" and proto.op_type == "ConstantOfShape" and len(proto.input) == 1:
            value = self.constant(f"{proto.output[0]}/value", fill_of(attributes).reshape(-1))
            return self.add(proto, "Expand", [value, proto.input[0]], {})
        if len(plain(attributes)) < len(attributes):
            raise UnsupportedError("a tensor as an attribute", expected="numbers or text")
        proto = _copied(proto)  # rewrites change it, and a model in memory is the caller's
        if (domain, proto.op_type) in FOREIGN and len(proto.input):
            return FOREIGN[domain, proto.op_type](self, proto, plain(attributes))
        if domain == "" and choose(self, proto, plain(attributes)):
            return None
        if domain == "com.microsoft" and proto.op_type in MICROSOFT and len(proto.input):
            return MICROSOFT[proto.op_type](self, proto, plain(attributes))
        if domain == "" and not is_known(proto) and (function := self.inliner.standard(proto)) is not None:
            return self.inliner.function(proto, function)
        if domain == "" and proto.op_type in REWRITES and len(proto.input):
            return REWRITES[proto.op_type](self, proto, plain(attributes))
        return self.add(proto, proto.op_type, list(proto.input), plain(attributes), domain)

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

    def require_known(self, name: str) -> None:
        """Raise `ModelFormatError` where a name is used before it is computed."""
        if name not in self.constants and name not in self.result.values:
            raise ModelFormatError(
                "an input is not computed before it is used",
                expected="nodes in order, no cycle",
                found=repr(name),
            )

    def use(self, name: str) -> str:
        """Make a name a value of the graph, and return it."""
        self.require_known(name)
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
        self.require_known(name)
        return self.constants[name].shape if name in self.constants else self.result.value(name).shape

    def kind(self, name: str) -> str:
        """Return the dtype of a name."""
        self.require_known(name)
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
        self.emit(Node(op, tuple(inputs), named, attributes, self.node_name(proto, tuple(inputs)), domain))

    def give(
        self, proto: "NodeProto", output: str, op: str, inputs: list[str], attributes: dict[str, Attribute]
    ) -> None:
        """Add a node for one output of several that a node of the file has."""
        source = self.result.values.get(inputs[0])
        if source is not None and source.encoding is not None:
            self.result.add(Value(output, source.dtype, (), None, source.encoding))
        self.emit(Node(op, tuple(inputs), (output,), attributes, self.node_name(proto, tuple(inputs))))

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
        self.join(node)

    def _is_constant(self, node: Node) -> bool:
        named = list(filter(None, node.inputs))
        return bool(named) and all(name in self.constants for name in named)

    def join(self, node: Node) -> None:
        """Add a node whose inputs are values, and infer its outputs."""
        if not node.outputs or not all(node.outputs):
            raise ModelFormatError("an output without a name", found=str(node.outputs))
        self.result.nodes.append(node)
        infer_node(self.result, node)

    def node_name(self, proto: "NodeProto", inputs: tuple[str, ...]) -> str:
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

    def _check_numbers(self) -> None:
        bound_masks(self.result)
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


def _copied(proto: "NodeProto") -> "NodeProto":
    copy = type(proto)()
    copy.CopyFrom(proto)
    return copy


def _duplicate(name: str) -> NoReturn:
    raise ModelFormatError(
        "a name is empty or defined twice", expected="one definition of each name", found=repr(name)
    )
