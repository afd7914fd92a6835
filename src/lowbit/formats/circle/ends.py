"""Inputs and outputs of 8-bit codes become reals: an `Encode` behind an input, a `Decode` before an output.

So a network with int8 or uint8 ends is run, scored and written like any other, and its scores are compared
by what they stand for. Which integers its own runtime takes is remembered (`lowbit.ir.input_type`).
"""

from dataclasses import replace

from lowbit.formats.circle.coded_values import as_int8
from lowbit.formats.circle.importer import CODES, Importer
from lowbit.ir import Graph, Node, Value
from lowbit.ir.input_type import InputType
from lowbit.schemes import Affine


def real_ends(importer: Importer, inputs: tuple[int, ...]) -> None:
    """Give a finished graph real inputs and outputs, in place.

    Args:
        importer: of the graph.
        inputs: the tensors of the inputs.
    """
    graph = importer.graph
    for position, (name, index) in enumerate(zip(graph.inputs, inputs, strict=True)):
        encoding = as_int8(graph.value(name).encoding)
        if encoding is not None:
            if position == 0:
                _input_type(importer.type(index), encoding).remember(graph)
            codes = _split(graph, importer, name)
            label = graph.fresh_name(f"{name}/encode")
            graph.nodes.insert(0, Node("Encode", (name,), (codes,), {}, label, "lowbit"))
    for name in dict.fromkeys(graph.outputs):
        if as_int8(graph.value(name).encoding) is not None:
            codes = _split(graph, importer, name)
            label = graph.fresh_name(f"{name}/decode")
            graph.nodes.append(Node("Decode", (codes,), (name,), {}, label, "lowbit"))


def _input_type(dtype: str, encoding: Affine) -> InputType:
    moved = 128 if dtype == "int8" else 0
    return InputType(dtype, float(encoding.scale[0]), int(encoding.zero_point[0]) - moved)


def _split(graph: Graph, importer: Importer, name: str) -> str:
    """Make a value real and return the name of the codes that every node goes on with."""
    value = graph.value(name)
    codes = graph.add(Value(importer.fresh(f"{name}{CODES}"), value.dtype, value.shape, None, value.encoding))
    graph.update(name, dtype="float32", encoding=None)

    def renamed(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(codes if item == name else item for item in names)

    graph.nodes = [
        replace(node, inputs=renamed(node.inputs), outputs=renamed(node.outputs)) for node in graph.nodes
    ]
    return codes
