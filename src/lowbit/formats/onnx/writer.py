"""Graph to ONNX: plain ONNX for floats, low-bit nodes with the functions that run them.

Codes travel as uint8 tensors, above 8 bits as uint16. Packed weights stay packed: planes become int32 words
``[o, bits, ceil(n / 32)]``, powers of two go two to a byte. Encodings become small tensors and attributes of
the nodes that use them, so a viewer shows them and the reader restores them; `lowbit.formats.onnx.functions`
says which. Equal graphs give equal bytes.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lowbit.blockers import Blocker, blocker_of, grouped, listed, remedies
from lowbit.errors import GraphError, LowbitError, TooLargeError, UnsupportedError
from lowbit.formats.onnx import by_table
from lowbit.formats.onnx.any_codes import AnyLayer, attributes_of, layer_of, tables_of
from lowbit.formats.onnx.bodies import FUSED, PARTS
from lowbit.formats.onnx.composites import all_needed, function_of, needs_function
from lowbit.formats.onnx.fixed_point import code_type, require_exact
from lowbit.formats.onnx.functions import (
    AFFINE_LAYERS,
    CODED_ACTIVATIONS,
    DOMAIN,
    DOMAIN_VERSION,
    DOUBLE,
    FLOAT,
    LAYERS,
    OPSET,
    Function,
    function_name,
    functions,
    part,
)
from lowbit.formats.onnx.stated import KNOWN, stated
from lowbit.formats.packed import packed
from lowbit.ir import Graph, Node, Operator, Trait, Value, has, operator_of, verify
from lowbit.ir.activations import apply_activation, saturation
from lowbit.ir.deployed import deployed_layer, row_length
from lowbit.ir.graph import DTYPES, Array, Attribute
from lowbit.ir.infer import call_of
from lowbit.ir.layers import is_low_bit
from lowbit.ir.operators.layer_names import from_file, in_file
from lowbit.ir.operators.windows import windows_of
from lowbit.ir.passes import expand
from lowbit.untrusted import write_atomic

if TYPE_CHECKING:
    from onnx import FunctionProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

IR_VERSION, _NEWER_IR_VERSION = 9, 10
PRODUCER = "lowbit"
ENCODING_KEY = "lowbit.encoding:"  # metadata that keeps the encoding of a graph input that is codes

LARGEST_PROTO = 2**31 - 1
_EXACT_IN_FLOAT32 = 2**24
_EXACT_IN_INT32 = 2**31


def _most_in_window(node: Node) -> int:
    """Return what sums of a convolution have to stay below: runtimes convolve float32, and bytes to int32."""
    return _EXACT_IN_INT32 if node.op in AFFINE_LAYERS else _EXACT_IN_FLOAT32


def write(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Write a graph as an ``.onnx`` file, whole or not at all.

    Raises:
        WriteError: the file cannot be written.
        GraphError: the graph breaks a rule of the IR.
        UnsupportedError: a value that ONNX cannot carry, naming it.
        TooLargeError: more bytes than a protobuf file may have.
    """
    model = to_proto(graph)
    if model.ByteSize() > LARGEST_PROTO:
        raise TooLargeError(
            "the network does not fit one file",
            where=str(path),
            expected=f"at most {LARGEST_PROTO} bytes",
            found=f"{model.ByteSize()} bytes",
            remedy="Write a .circle file instead.",
        )
    write_atomic(path, model.SerializeToString(deterministic=True))


def to_proto(graph: Graph) -> "ModelProto":
    """Return a graph as a model of opset 18, with functions for its low-bit nodes."""
    verify(graph)
    return Writer(expand(graph, _has_function)).model()


def blockers(graph: Graph) -> list[Blocker]:
    """Return what an ``.onnx`` cannot carry of a verified graph: nodes are translated, constants are not."""
    return grouped(_Trial(expand(graph, _has_function)).refused())


def _has_function(graph: Graph, node: Node) -> bool:
    """Return whether a layer's activation, or a function of codes, is in a function of ours or needs none."""
    source, target = (graph.values.get(name) for name in (node.inputs[0], node.outputs[0]))
    if target is None or target.encoding is None:
        return node.attributes.get("activation", "none") in FUSED
    of_codes = (
        source is not None
        and source.encoding is not None
        and has(node, Trait.ELEMENTWISE)
        and not has(node, Trait.CARRIES)
    )
    return not of_codes or node.op in CODED_ACTIVATIONS


def check(graph: Graph) -> None:
    """Refuse a graph that an ``.onnx`` cannot carry, before work is done for it.

    Raises:
        UnsupportedError: nodes that ONNX cannot carry, all of them.
    """
    _Trial(graph).nodes()


class Writer:
    """Collects what a model needs while nodes are translated in order."""

    producer = PRODUCER

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.tensors: dict[str, TensorProto] = {}
        self.used: dict[str, Function | AnyLayer | by_table.ByTable] = {}
        self.composites: dict[str, Operator] = {}
        self.names: dict[tuple[str, str], str] = {}

    def model(self) -> "ModelProto":
        """Return the model."""
        from onnx import helper as make

        graph = self.graph
        nodes = self.nodes()
        for name in graph.outputs:
            self.add_constant(graph.value(name))
        onnx_graph = make.make_graph(
            nodes,
            graph.name or "graph",
            [self._info(name) for name in graph.inputs],
            [self._info(name) for name in graph.outputs],
            initializer=[self.tensors[name] for name in sorted(self.tensors)],
            value_info=[self._info(name) for name in self.computed()],
        )
        opsets = [make.make_opsetid(domain, version) for domain, version in self.opsets().items()]
        model = make.make_model(
            onnx_graph,
            functions=self._functions(),
            opset_imports=opsets,
            ir_version=IR_VERSION if self.opsets()[""] <= OPSET else _NEWER_IR_VERSION,
            producer_name=self.producer,
        )
        make.set_model_props(model, dict(sorted(self._metadata())))
        return model

    def computed(self) -> list[str]:
        """Return the values between inputs and outputs."""
        graph = self.graph
        return [name for node in graph.nodes for name in node.outputs if name not in graph.outputs]

    def opsets(self) -> dict[str, int]:
        """Return the versions of the operators, by domain."""
        return {"": OPSET} | ({DOMAIN: DOMAIN_VERSION} if self.used or self.composites else {})

    def refused(self) -> list[Blocker]:
        """Return what cannot be carried, in order."""
        return [blocker_of(error, node.name or node.outputs[0], node.op) for node, error in self._refused()]

    def nodes(self) -> list["NodeProto"]:
        """Return all nodes.

        Raises:
            UnsupportedError: nodes that ONNX cannot carry, all of them.
        """
        nodes: list[NodeProto] = []
        refused = list(self._refused(nodes))
        if len(refused) == 1:
            raise refused[0][1]
        if refused:
            blockers = grouped(blocker_of(error, node.name, node.op) for node, error in refused)
            raise UnsupportedError(
                f"ONNX cannot carry {len(refused)} operators of this network",
                where=self.graph.name,
                found=listed(blockers),
                remedy=remedies(blockers),
            )
        return nodes

    def _refused(self, nodes: "list[NodeProto] | None" = None) -> Iterator[tuple[Node, LowbitError]]:
        """Translate all nodes and yield those that cannot be; the others go into ``nodes``."""
        for node in self.graph.nodes:
            try:
                made = self._made(node)
            except (UnsupportedError, GraphError) as error:
                yield node, error
                continue
            if nodes is not None:
                nodes += made

    def _made(self, node: Node) -> "list[NodeProto]":
        """Return what a node becomes."""
        return [self._node(node)]

    def _functions(self) -> list["FunctionProto"]:
        called = {name for kind in self.used.values() for name in kind.parts}
        parts = [part(name) for name in PARTS if name in called]  # a part stands behind those it calls
        made = all_needed([self.composites[name] for name in sorted(self.composites)])
        kinds = [self.used[name].to_proto() for name in sorted(self.used)]
        return [*parts, *kinds, *(function_of(operator) for operator in made)]

    def _metadata(self) -> Iterable[tuple[str, str]]:
        yield from self.graph.metadata.items()
        for name in self.graph.inputs:
            encoding = self.graph.value(name).encoding
            if encoding is not None:
                yield ENCODING_KEY + name, json.dumps(encoding.to_dict())

    def _info(self, name: str) -> "ValueInfoProto":
        from onnx import helper

        value = self.graph.value(name)
        return helper.make_tensor_value_info(name, _data_type(value), list(value.shape))

    def _node(self, node: Node) -> "NodeProto":
        encodings = [self.graph.value(name).encoding for name in (*node.inputs, *node.outputs) if name]
        if node.op == "GlobalMaxPool" and encodings[0] is not None:
            node = self._as_window(node)
        operator = operator_of(node)
        if needs_function(operator) and not any(encodings):
            return self._composite(node, operator)
        # Standard operators let codes pass; what compares, only those in the order of their levels.
        ordered = encodings[0] is not None and encodings[0].linear and encodings[0].rounds
        ordered = ordered or by_table.in_order(encodings[0])
        carried = has(node, Trait.CARRIES) and (not has(node, Trait.COMPARES) or ordered)
        kind = by_table.kind_of(self.graph, node)
        if kind is not None:
            return self._by_table(node, kind)
        if node.domain == DOMAIN or (any(encodings) and not carried):
            filed = in_file(self.graph, node)
            return self._any_layer(node) if self._is_any(filed) else self._lowbit_node(filed)
        if any(encodings) and encodings[0] != encodings[-1]:
            raise _unsupported(
                f"{node.op} that changes the meaning of codes", node.name, "the same encoding in and out"
            )
        for name in filter(None, node.inputs):
            self.add_constant(self.graph.value(name))
        return make_node(node, node.op, node.inputs, node.attributes, "")

    def _composite(self, node: Node, operator: Operator) -> "NodeProto":
        self.composites[operator.name] = operator
        for name in node.inputs:
            self.add_constant(self.graph.value(name))
        return make_node(node, node.op, node.inputs, node.attributes, DOMAIN)

    def _as_window(self, node: Node) -> Node:
        """Return the pool of a whole map of codes as one whose window is the map."""
        size = tuple(int(length) for length in self.graph.value(node.inputs[0]).shape[2:])
        return replace(node, op="MaxPool", attributes={"kernel_shape": size})

    def _is_any(self, node: Node) -> bool:
        """Return whether a layer, as files call it, has no function of its own."""
        if not is_low_bit(replace(node, op=from_file(node.op))):
            return False
        if from_file(node.op) == node.op or not self._is_known(node):
            return True
        window = node.op in (*LAYERS, *AFFINE_LAYERS) and has(("lowbit", from_file(node.op)), Trait.WINDOW)
        return window and self._has_codes(node) and self._product_bound(node) >= _most_in_window(node)

    def _is_known(self, node: Node) -> bool:
        encodings = (self.graph.value(name).encoding for name in (node.inputs[0], node.outputs[0]))
        source, target = ("" if encoding is None else encoding.scheme for encoding in encodings)
        if source not in KNOWN or target not in KNOWN:
            return False
        activation = str(node.attributes.get("activation", "none"))
        by_output = self._differs_by_output(node)
        kind = functions().get(
            function_name(node.op, source, target, by_output=by_output, activation=activation)
        )
        return kind is not None and (kind.op, kind.source, kind.target) == (node.op, source, target)

    def _any_layer(self, node: Node) -> "NodeProto":
        """Return a layer of any encodings; see `lowbit.formats.onnx.any_codes`."""
        kind, tables = layer_of(self.graph, node), tables_of(self.graph, node)
        self.used[kind.name] = kind
        for name in filter(None, node.inputs):
            self.add_constant(self.graph.value(name))
        extra = [self._extra(node.outputs[0], f"layer.{name}", tables[name]) for name in kind.tables]
        inputs = [*node.inputs[: len(kind.tensors)], *extra]
        return make_node(node, kind.name, inputs, attributes_of(self.graph, node), DOMAIN)

    def _by_table(self, node: Node, kind: by_table.ByTable) -> "NodeProto":
        """Return what encodes, decodes or maps codes of any encoding."""
        tables = by_table.tables_of(self.graph, node)
        self.used[kind.name] = kind
        own = list(filter(None, node.inputs[1:]))  # thresholds of an encoder
        for name in own:
            self.add_constant(self.graph.value(name))
        missing = kind.tables[len(own) :]
        extra = own + [self._extra(node.outputs[0], f"value.{name}", tables[name]) for name in missing]
        attributes = by_table.attributes_of(self.graph, node, kind)
        return make_node(node, kind.name, [node.inputs[0], *extra], attributes, DOMAIN)

    def _lowbit_node(self, node: Node) -> "NodeProto":
        kind = self._kind(node)
        self.used[kind.name] = kind
        tensors, attributes = self._encodings(node, kind)
        tensors |= self._data_inputs(node, kind)
        own = dict(node.attributes)
        if kind.says_clip and own.get("activation") == "none":
            del own["activation"]  # a function of before does not know the word
        attributes |= own | self._settings(node, kind)
        return make_node(node, kind.name, [tensors[name] for name in kind.inputs], attributes, DOMAIN)

    def _kind(self, node: Node) -> Function:
        """Return the function for a node, from the encodings of its data in and out."""
        source, target = (self._scheme(name, node) for name in (node.inputs[0], node.outputs[0]))
        if source not in KNOWN or target not in KNOWN:
            raise _unsupported(f"{node.op} of {source or target}", node.name, "another scheme")
        thresholds = node.op == "Encode" and len(node.inputs) > 1 and bool(node.inputs[1])
        activation = str(node.attributes.get("activation", "none"))
        by_output = self._differs_by_output(node)
        name = function_name(
            node.op, source, target, by_thresholds=thresholds, by_output=by_output, activation=activation
        )
        kind = functions().get(name)
        if kind is None or (kind.op, kind.target) != (node.op, target):
            raise _unsupported(
                f"{node.op} from {source or 'floats'} to {target or 'floats'}", node.name, "another scheme"
            )
        return kind

    def _scheme(self, name: str, node: Node) -> str:
        encoding = self.graph.value(name).encoding
        if encoding is None:
            return ""
        if encoding.channels != 1:
            raise _unsupported("codes per channel", f"{node.name}: {name}", "one set of parameters")
        return encoding.scheme

    def _encodings(self, node: Node, kind: Function) -> tuple[dict[str, str], dict[str, Attribute]]:
        """Return the input names and the attributes that state the encodings of a node."""
        tensors: dict[str, str] = {}
        attributes: dict[str, Attribute] = {}
        owners = {
            "input": node.inputs[0],
            "weights": node.inputs[1] if len(node.inputs) > 1 else "",
            "output": node.outputs[0],
        }
        for prefix in kind.encodings:
            value = self.graph.value(owners[prefix])
            assert value.encoding is not None
            if not getattr(value.encoding, "snapped", True):
                raise _unsupported("a free basis", f"{node.name}: {value.name}", "a snapped basis")
            arrays, setting = stated(value.encoding, per_channel=prefix == "weights")
            field, number = setting
            attributes[f"{prefix}_{field}"] = number
            tensors |= {
                f"{prefix}_{name}": self._extra(value.name, name, array) for name, array in arrays.items()
            }
        return tensors, attributes

    def _data_inputs(self, node: Node, kind: Function) -> dict[str, str]:
        """Return the names of the inputs that are no encodings."""
        if kind.op in CODED_ACTIVATIONS:
            table = self._extra(node.outputs[0], "table", self._table(node))
            return {"input": node.inputs[0], "table": table}
        for name in filter(None, node.inputs):
            self.add_constant(self.graph.value(name))
        return dict(zip(kind.tensors, node.inputs, strict=False))

    def _settings(self, node: Node, kind: Function) -> dict[str, Attribute]:
        settings: dict[str, Attribute] = {}
        if "weights_hidden_size" in kind.settings:
            settings["weights_hidden_size"] = row_length(self.graph.value(node.inputs[1]))
        if "weights_shape" in kind.settings:
            settings["weights_shape"] = (-1, *map(int, self.graph.value(node.inputs[1]).shape[1:]))
        if "strides" in kind.settings:
            settings |= self._window(node)
        if kind.op == "FixedLinear":
            source, weights = (self.graph.value(name) for name in node.inputs[:2])
            require_exact(source, weights, node.name)
        if "code_type" in kind.settings:
            encoding = self.graph.value(node.outputs[0]).encoding
            assert encoding is not None
            settings["code_type"] = code_type(encoding)
        if "output_ends" in kind.settings:
            encoding = self.graph.value(node.outputs[0]).encoding
            assert encoding is not None
            settings["output_ends"] = saturation(encoding, str(node.attributes["activation"]))
        if "accumulator_type" in kind.settings:
            settings["accumulator_type"] = FLOAT if self._product_bound(node) < _EXACT_IN_FLOAT32 else DOUBLE
        return settings

    def _window(self, node: Node) -> dict[str, Attribute]:
        """Return the geometry of a convolution or pool, nothing left to defaults.

        Raises:
            UnsupportedError: sums that a convolution in float32 cannot hold.
        """
        call = call_of(self.graph, replace(node, op=from_file(node.op)))
        pool = node.op == "MaxPool"
        kernel = call.integers("kernel_shape") if pool else tuple(map(int, call.input(1).shape[1:3]))
        axes = windows_of(call, kernel)
        pads = (*(axis.before for axis in axes), *(axis.after for axis in axes))
        steps = {"strides": tuple(axis.stride for axis in axes), "dilations": tuple(a.dilation for a in axes)}
        if pool:
            return {"kernel_shape": kernel, "pads": pads, **steps}
        return {"kernel_shape": kernel, "pads": pads, "group": call.integer("group"), **steps}

    def _has_codes(self, node: Node) -> bool:
        return self.graph.value(node.inputs[0]).encoding is not None

    def _differs_by_output(self, node: Node) -> bool:
        """Return whether an 8-bit convolution has different zero points of weights."""
        encoding = self.graph.value(node.inputs[1]).encoding if node.op == "AffineConv" else None
        return encoding is not None and len(set(encoding.whole_levels()[:, 0].tolist())) > 1

    def _product_bound(self, node: Node) -> int:
        """Return the largest magnitude that a sum of products can reach."""
        encoding, weights = self.graph.value(node.inputs[0]).encoding, self.graph.value(node.inputs[1])
        assert encoding is not None
        return deployed_layer(encoding, weights, self.graph.value(node.inputs[2])).accumulator_bound()

    def _table(self, node: Node) -> Array:
        """Return the code out for every code in, as the reference computes it."""
        source, target = self.graph.value(node.inputs[0]).encoding, self.graph.value(node.outputs[0]).encoding
        assert source is not None and target is not None
        codes = np.arange(1 << source.bits, dtype=np.uint8)
        return target.encode(apply_activation(CODED_ACTIVATIONS[node.op], source.decode(codes)))

    def _extra(self, owner: str, field: str, array: Array) -> str:
        """Add a tensor that is no value of the graph and return its name, which nothing else has."""
        if (owner, field) not in self.names:
            stem = f"{owner}.{field}"
            while stem in self.graph.values or stem in self.tensors:
                stem += "_"
            self.names[owner, field] = stem
            self.add_tensor(stem, array)
        return self.names[owner, field]

    def add_constant(self, value: Value) -> None:
        """Add the tensor of a constant, once."""
        if value.data is not None and value.name not in self.tensors:
            self.add_tensor(value.name, _stored(value))

    def add_tensor(self, name: str, array: Array) -> None:
        """Add a tensor under a name that is free."""
        from onnx import numpy_helper

        self.tensors[name] = numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)


class _Trial(Writer):
    """A writer whose constants have names alone."""

    def add_constant(self, value: Value) -> None:
        pass

    def add_tensor(self, name: str, array: Array) -> None:
        pass


def _stored(value: Value) -> Array:
    """Return a constant as it stands in the file."""
    return packed(value)


def make_node(
    node: Node,
    op: str,
    inputs: Iterable[str],
    attributes: Mapping[str, Attribute],
    domain: str,
    output: str = "",
) -> "NodeProto":
    """Return a node of a file, called as one of the graph; with another output, if one is named."""
    from onnx import helper

    given, outputs = list(inputs), [output] if output else list(node.outputs)
    while given and not given[-1]:  # runtimes count what is left out behind the last input
        given.pop()
    made = helper.make_node(op, given, outputs, name=node.name, domain=domain)
    stated = {
        name: _words(op, name, attributes[name]) if not domain else attributes[name] for name in attributes
    }
    made.attribute.extend(helper.make_attribute(name, stated[name]) for name in sorted(stated))
    return made


def _words(op: str, name: str, value: Attribute) -> Attribute | list[str]:
    """Return a text as the words that ONNX has in its place."""
    from onnx import defs

    if not isinstance(value, str):
        return value
    kind = defs.get_schema(op, OPSET).attributes[name].type
    return value.split() if kind == defs.OpSchema.AttrType.STRINGS else value


def _data_type(value: Value) -> int:
    from onnx import helper

    stored = np.dtype(np.int32) if value.dtype == "planes" else DTYPES[value.dtype]
    return int(helper.np_dtype_to_tensor_dtype(stored))


def _unsupported(what: str, where: str, expected: str) -> UnsupportedError:
    return UnsupportedError(
        f"ONNX cannot carry {what}", where=where, expected=expected, remedy="Write a .circle file instead."
    )
