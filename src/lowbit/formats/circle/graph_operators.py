"""Operators of the graph that the format has none for: custom ones, in the graph's own words.

    onnx.LSTM           inputs as ONNX has them, an absent one -1       attributes that are no defaults
    lowbit.GeluTanh     the same, of our own domain

Tensors lie as in the graph, maps as [n, c, h, w]. The meaning is the operator's of that name in ONNX, with
the attributes in the options; codes only pass where an operator moves elements.
"""

import numpy as np

from lowbit.errors import GraphError
from lowbit.formats.circle.exporter import Exporter
from lowbit.formats.circle.importer import Importer
from lowbit.formats.circle.schema import Operator
from lowbit.formats.circle.structure import require
from lowbit.formats.flexbuffer import Option, read_options, write_options
from lowbit.ir import Graph, Node
from lowbit.ir.graph import Attribute
from lowbit.ir.infer import call_of
from lowbit.ir.operators.registry import OPERATORS, has
from lowbit.ir.operators.registry import Operator as Declared
from lowbit.ir.operators.traits import Trait

_PREFIXES = {"": "onnx.", "lowbit": "lowbit."}


def is_graph_operator(name: str) -> bool:
    """Return whether an operator of a file is one of these."""
    return _declared(name) is not None


def is_mover(name: str) -> bool:
    """Return whether such an operator lets codes through."""
    found = _declared(name)
    return found is not None and has((found.domain, found.name), Trait.CARRIES)


def can_be_own(graph: Graph, node: Node) -> bool:
    """Return whether a node can be one of these: what it reads and makes are no codes, or it moves them."""
    coded = any(name and graph.value(name).encoding is not None for name in (*node.inputs, *node.outputs))
    return not coded or has(node, Trait.CARRIES)


def lower(exporter: Exporter, node: Node) -> None:
    """Append the operator of a node as it is."""
    call = call_of(exporter.graph, node)
    defaults = call.operator.attributes
    changed = {key: value for key, value in node.attributes.items() if value != defaults[key]}
    inputs = tuple(exporter.exact(name) if name else -1 for name in node.inputs)
    outputs = tuple(exporter.tensor(name) for name in node.outputs)
    options = {key: _option(value) for key, value in changed.items()}
    content = write_options(options) if options else b""
    exporter.custom(_PREFIXES[node.domain] + node.op, inputs, outputs, content)


def import_graph_operator(importer: Importer, name: str, operator: Operator, place: str) -> None:
    """Append the node of such an operator.

    Raises:
        ModelFormatError: its options are no attributes, or it has another number of inputs.
    """
    declared = _declared(name)
    assert declared is not None
    content = operator.custom_options
    options = {} if content is None or not len(content) else read_options(content.tobytes(), where=place)
    unknown = sorted(options.keys() - declared.attributes.keys())
    require(not unknown, "unknown operator option", place, ", ".join(declared.attributes), unknown)
    inputs = tuple("" if index < 0 else importer.value(index) for index in operator.inputs)
    outputs = tuple(importer.value(index) for index in operator.outputs)
    require(bool(outputs), "wrong number of outputs", place, "1 or more", 0)
    attributes = {key: _attribute(value) for key, value in options.items()}
    importer.nodes(declared.name, inputs, outputs, declared.domain, attributes)
    try:
        call_of(importer.graph, importer.graph.nodes[-1])
    except GraphError as error:
        require(False, error.message, place, error.expected, error.found)


def _declared(name: str) -> Declared | None:
    domains = {prefix: domain for domain, prefix in _PREFIXES.items()}
    prefix, dot, op = name.partition(".")
    return OPERATORS.get((domains.get(prefix + dot, "?"), op))


def _option(value: Attribute) -> Option:
    return np.array(value) if isinstance(value, tuple) else value


def _attribute(value: Option) -> Attribute:
    return tuple(value.tolist()) if isinstance(value, np.ndarray) else value
