"""Reads ``.circle`` and ``.tflite`` files into the graph IR. Constants are views of the bytes read."""

import os
from contextlib import suppress
from dataclasses import replace
from functools import partial

from lowbit.errors import LowbitError
from lowbit.formats.circle.any_codes import OPERATORS, codings, import_any
from lowbit.formats.circle.builtin import import_builtin, output_name, refuse_unread
from lowbit.formats.circle.calls import CALLING, Calls
from lowbit.formats.circle.dilations import without_exchanges
from lowbit.formats.circle.ends import real_ends
from lowbit.formats.circle.file_tensors import reserve
from lowbit.formats.circle.graph_operators import import_graph_operator, is_graph_operator
from lowbit.formats.circle.importer import Importer
from lowbit.formats.circle.layers import LayerImporter, is_layer
from lowbit.formats.circle.manifest import MANIFEST
from lowbit.formats.circle.model_file import read_model
from lowbit.formats.circle.names import NAMES, apply_names
from lowbit.formats.circle.schema import TENSOR_TYPES, Operator, Tensor
from lowbit.formats.circle.structure import Structure, check_structure, require
from lowbit.formats.input_shapes import fix_inputs, say_how_to_fix
from lowbit.formats.masks import bound_masks
from lowbit.formats.paths import first_path, layer_of_path
from lowbit.formats.refused import Refused
from lowbit.ir import Graph, Node, Trait, has, run_passes, verify
from lowbit.ir.passes import settle_layout
from lowbit.untrusted import read_file

MAX_TEXT = 2**20
"""Metadata that is kept, in bytes."""


def read(path: str | os.PathLike[str]) -> Graph:
    """Return the graph of a Circle or TFLite file.

    Raises:
        FileError: it cannot be opened, is too large, or breaks a rule of the format.
        UnsupportedError: it uses an operator or a type that lowbit does not have.
    """
    return read_content(read_file(path), os.fspath(path))


def read_content(content: bytes, where: str) -> Graph:
    """Return the graph of the bytes of a file called ``where``; errors are those of `read`."""
    structure = check_structure(read_model(content, where), content, where)
    texts = _metadata(structure)
    ours = texts.pop(MANIFEST, None) is not None
    graph = apply_names(graph_of(structure, foreign=not ours), texts.pop(NAMES, None), where)
    if not ours:
        graph.remove_unused()
        graph.nodes = _called(graph.nodes)
        bound_masks(graph)
        verify(graph)
        graph = run_passes(graph, [settle_layout]).graph
    left = [
        each.name or "?" for at, each in enumerate(structure.model.subgraphs) if at not in structure.called
    ]
    if left:
        graph.notes = (
            *graph.notes,
            f"left out: graphs that the first one does not call ({', '.join(left[:8])})",
        )
    graph.metadata = _decoded(texts) | graph.metadata
    return graph


def graph_of(structure: Structure, *, foreign: bool = False) -> Graph:
    """Return the graph of checked tables; names that tables cannot hold are made up.

    Args:
        structure: of the main graph.
        foreign: whether others wrote the file: then constants are worked out, and lengths may be fixed.
    """
    refused = Refused()
    unread = refuse_unread(structure, refused)
    if foreign and not unread:
        structure = without_exchanges(structure)
    importer = Importer(structure, foreign=foreign)
    importer.codings.update(codings(structure))
    layers = LayerImporter(importer)
    importer.graph.inputs = tuple(importer.value(index) for index in structure.subgraph.inputs)
    if foreign:
        fix_inputs(importer.graph)
    calls = Calls(importer, lambda called, operators: _run(importer, layers, calls, called, operators))
    unknown = set[int]()  # what refused operators give: what reads it may fail for no other reason
    for number, (name, operator) in enumerate(
        zip(structure.operators, structure.subgraph.operators, strict=True)
    ):
        read = partial(_read, importer, layers, calls, structure, number, operator)
        behind = not unknown.isdisjoint(operator.inputs)
        listed = Refused() if behind else refused
        done = number not in unread and listed.tried(read, output_name(structure, number), name)
        if behind or not done:
            unknown.update(index for index in operator.outputs if not _is_clear(structure.tensor(index)))
    try:
        refused.raise_all()
    except LowbitError as error:
        say_how_to_fix(error, importer.graph)
        raise
    importer.graph.outputs = tuple(importer.value(index) for index in structure.subgraph.outputs)
    real_ends(importer, structure.subgraph.inputs)
    return importer.graph


def _is_clear(tensor: Tensor) -> bool:
    """Return whether a tensor is reals of known lengths, whose numbers nobody needs to go on."""
    lengths = tensor.shape_signature or tensor.shape
    return tensor.type == TENSOR_TYPES["float32"] and min(lengths, default=1) > 0


def _run(
    importer: Importer,
    layers: LayerImporter,
    calls: Calls,
    structure: Structure,
    operators: tuple[Operator, ...],
) -> None:
    """Read the operators of a graph that is called."""
    for number, operator in enumerate(operators):
        _read(importer, layers, calls, structure, number, operator)


def _read(
    importer: Importer,
    layers: LayerImporter,
    calls: Calls,
    structure: Structure,
    number: int,
    operator: Operator,
) -> None:
    """Read an operator, whose inputs and outputs are tensors of the importer."""
    name, place = structure.operators[number], structure.place(number)
    try:
        if is_layer(name):
            layers.append(number)
        elif is_graph_operator(name):
            import_graph_operator(importer, name, operator, place)
        elif name in OPERATORS:
            import_any(importer, name, operator, place)
        elif name in CALLING:
            calls.append(name, operator, structure, place)
        else:
            import_builtin(importer, name, operator, place)
    except LowbitError as error:
        if error.where and structure.where not in error.where:
            error.where = f"{place}: {error.where}"
        raise


def _called(nodes: list[Node]) -> list[Node]:
    """Return the nodes of a file of others with names for people, each once: layers after their weights."""
    taken = set[str]()
    return [replace(node, name=reserve(_name(node), taken)) for node in nodes]


def _name(node: Node) -> str:
    weights = node.inputs[1] if has(node, Trait.LAYER) and len(node.inputs) > 1 else ""
    return layer_of_path(weights) or first_path(node.name)


def _metadata(structure: Structure) -> dict[str, bytes]:
    """Return metadata by name, up to `MAX_TEXT` bytes of it."""
    buffers, room = structure.model.buffers, MAX_TEXT
    found: dict[str, bytes] = {}
    for entry in structure.model.metadata:
        require(
            entry.buffer < len(buffers),
            "a metadata buffer index is out of range",
            structure.where,
            f"below {len(buffers)}",
            entry.buffer,
        )
        data = buffers[entry.buffer].data
        if data is not None and len(data) <= room:
            room -= len(data)
            found[entry.name] = data.tobytes()
    return found


def _decoded(texts: dict[str, bytes]) -> dict[str, str]:
    """Return what is UTF-8; some exporters store binary, which says nothing to us."""
    decoded = {}
    for key, content in texts.items():
        with suppress(UnicodeDecodeError):
            decoded[key] = content.decode()
    return decoded
